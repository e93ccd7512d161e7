//! How a metric's forecast stands.

use std::sync::Arc;

use forecast::Accuracy;
use series::{Forecast, NoForecast};

/// How a metric's forecast stands.
#[derive(Clone, Debug, PartialEq)]
pub struct ForecastState {
    /// The whole forecast, or why there is none.
    pub forecast: Result<Arc<Forecast>, NoForecast>,
    /// How it has been doing; `None` before the first fit.
    pub accuracy: Option<Arc<Accuracy>>,
}
