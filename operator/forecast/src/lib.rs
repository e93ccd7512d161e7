//! Forecasts of service load with calibrated quantiles: fit, then predict.
//!
//! What comes in: [`Sample`](series::Sample)s of one signal. What goes out: a [`Forecast`](series::Forecast), or
//! [`NoForecast`] with its reason. What this crate refuses to know: the clock, the network, Kubernetes and replicas to
//! set.

mod forecaster;
mod refusal;
mod settings;
mod standing;

pub use forecaster::Forecaster;
pub use refusal::{NoForecast, NoForecastReason};
pub use settings::{Event, Settings, Window};
pub use standing::{HorizonScore, Season, Standing};
