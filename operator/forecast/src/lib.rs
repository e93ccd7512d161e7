//! Forecasts of service load with calibrated quantiles: many small models side by side, blended by how each has done on
//! this very load, with quantiles that are corrected by what came.
//!
//! What comes in: [`Sample`](series::Sample)s of one signal, at any cadence, and what else is known: time zone, events,
//! further series, windows not to learn from. What goes out: a [`Forecast`](series::Forecast) with quantiles for every
//! step up to the horizon, or [`NoForecast`] with its reason, and a [`Accuracy`] that says how it has been doing. What
//! this crate refuses to know: the clock, the network, Kubernetes, and how many replicas to set.
//!
//! ```
//! use std::time::Duration;
//! use forecast::{Forecaster, Settings};
//! use series::{Sample, Series};
//!
//! // A week of load with one hump a day, on a grid of five minutes.
//! let start: jiff::Timestamp = "2026-03-02T00:00:00Z".parse()?;
//! let day = |t: usize| 1000.0 + 600.0 * (std::f64::consts::TAU * t as f64 / 288.0).sin();
//! let history = Series::new(start, Duration::from_secs(300), (0..7 * 288).map(day).collect())?;
//!
//! let mut forecaster = Forecaster::new(Settings::default());
//! forecaster.back_fill(&history); // once, at the start
//!
//! // Then, as it comes: microseconds for a sample. Every hour or so, `refit`: tens of milliseconds.
//! let now = history.end();
//! forecaster.observe(Sample::new(now, day(7 * 288)).ok_or("not a number")?);
//! forecaster.refit(); // also whenever `refit_is_due` says so
//!
//! let forecast = forecaster.predict(now)?; // or why there is none to act on
//! let in_an_hour = now + jiff::SignedDuration::from_mins(55);
//! let median = forecast.at(in_an_hour, 0.5).ok_or("beyond the horizon")?;
//! assert!((median - day(7 * 288 + 11)).abs() < 0.03 * median);
//! let most = forecast.max_between(now, in_an_hour, 0.95).ok_or("beyond the horizon")?;
//! assert!(most >= median);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # How it works
//!
//! * **History.** Slots of one length ([`Settings::step`]), each the mean of its samples; a slot counts once it's over.
//!   Gaps stay gaps. For learning, a copy is cleaned: short gaps by a line, long ones by the day before, single values far
//!   above everything around them and single zeros amid steady load taken out. Counters become rates with [`rates`].
//! * **Members.** Last value; mean of three; the same time yesterday, a week ago and a season ago, as it was and moved to
//!   the present level; the usual day added and multiplied; a Fourier curve of day and week (`linfa`); nearest
//!   neighbors among earlier days; ridge regression for each horizon on lags, calendar, events and further series.
//! * **Blend.** At each of a few horizons every member forecasts at every step. When the value is known, weights follow
//!   by Bernstein online aggregation and by a power of the recent error, half each, and the last value is mixed in as far
//!   as it would have helped. So selection is a rolling-origin comparison on the load's own past that costs microseconds.
//! * **Quantiles.** Conformal prediction on scaled errors, weighted by age, with a bounded adaptive step; see
//!   [`Accuracy`] for the coverage reached. Rows between the learned horizons are interpolated along the usual day.
//! * **Change.** A jump of the level is noticed within minutes, and members that follow the present level take it over at
//!   once. It, or errors that grow, ask for an early refit ([`Forecaster::refit_is_due`]) and for a challenger: regressions
//!   fitted mostly on the load since then run beside those in use for a day, and take over if they were clearly better. A
//!   forecast that isn't better than doing nothing clever is refused ([`Forecaster::predict`]).
//!
//! # Cost
//!
//! With two weeks at five minutes and one hour ahead: 16 microseconds a slot, 8 ms a refit.
//! Time and memory depend on [`Settings::history`], not on how long it has been running. Measure with `cargo bench -p forecast`; accuracy with the
//! `evaluate` example.

mod accuracy;
mod analog;
mod blend;
mod calendar;
mod calibration;
mod change;
mod clean_history;
mod counter;
mod ensemble;
mod features;
mod feedback;
mod forecaster;
mod fourier;
mod history;
mod horizon_model;
mod members;
mod packed_forecaster;
mod pending;
mod prefix_sums;
mod regressions;
mod ridge;
mod score;
mod season;
mod settings;
mod simple;
#[cfg(test)]
mod testdata;

pub use accuracy::{Accuracy, HorizonScore, Season};
pub use counter::rates;
pub use feedback::Feedback;
pub use forecaster::Forecaster;
pub use packed_forecaster::PackedForecaster;
pub use series::{NoForecast, NoForecastReason};
pub use settings::{Event, Settings, Window};
