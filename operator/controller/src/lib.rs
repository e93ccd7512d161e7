//! Observe, validate, forecast, decide, actuate, report.
