//! The vocabulary every other crate speaks: [`Sample`]s as measured, regular [`Series`] with real gaps,
//! [`Absence`] with its reason, and the [`Forecast`] value.
//!
//! What comes in: measurements. What goes out: values on a grid, and how much of the grid was really measured.
//! What this crate refuses to know: the clock, the network, Kubernetes, models and decisions.
//!
//! ```
//! use std::time::Duration;
//! use series::{Aggregate, Sample, resample};
//!
//! let start: jiff::Timestamp = "2026-01-05T08:00:00Z".parse()?;
//! let end: jiff::Timestamp = "2026-01-05T08:03:00Z".parse()?;
//! let samples: Vec<Sample> = [(0, 10.0), (30, 20.0), (130, 60.0)]
//!     .into_iter()
//!     .filter_map(|(s, v)| Sample::new(start + jiff::SignedDuration::from_secs(s), v))
//!     .collect();
//! let grid = resample(&samples, start, end, Duration::from_secs(60), Aggregate::Mean)?;
//! assert_eq!(grid.iter().map(|(_, v)| v).collect::<Vec<_>>(), [Some(15.0), None, Some(60.0)]); // a gap stays a gap
//! assert!((grid.coverage() - 2.0 / 3.0).abs() < 1e-9);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod absence;
mod count;
mod forecast;
mod no_forecast;
mod packed;
mod regular;
mod resample;
mod sample;
pub mod time;

pub use absence::{Absence, AbsenceReason, Reading};
pub use count::Count;
pub use forecast::{Forecast, ForecastError};
pub use no_forecast::{NoForecast, NoForecastReason};
pub use packed::Packed;
pub use regular::{Series, SeriesError};
pub use resample::{Aggregate, resample};
pub use sample::Sample;
