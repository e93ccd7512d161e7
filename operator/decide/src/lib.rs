//! From observations and forecasts to a recommendation with its reasons, and a plan.
