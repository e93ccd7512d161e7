//! Forecasts of service load with calibrated quantiles: fit, then predict.
//!
//! What comes in: [`Sample`](series::Sample)s of one signal. What goes out: a [`Forecast`](series::Forecast), or
//! [`NoForecast`] with its reason. What this crate refuses to know: the clock, the network, Kubernetes and replicas to
//! set.

mod analog;
mod blend;
mod calendar;
mod calibration;
mod change;
mod counter;
mod decomposition;
mod features;
mod feedback;
mod forecaster;
mod fourier;
mod history;
mod outlook;
mod panel;
mod past;
mod plane;
mod refusal;
mod ridge;
mod saved;
mod score;
mod season;
mod settings;
mod simple;
mod smoothing;
mod standing;
#[cfg(test)]
mod testdata;
mod trees;
mod trust;

pub use counter::rates;
pub use forecaster::Forecaster;
pub use refusal::{NoForecast, NoForecastReason};
pub use settings::{Event, Settings, Window};
pub use standing::{HorizonScore, Season, Standing};
