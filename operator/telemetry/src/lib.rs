//! Tracing, the metrics registry, and OTLP.
