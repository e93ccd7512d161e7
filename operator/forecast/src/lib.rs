//! Forecasts of service load with calibrated quantiles: fit, then predict.
