//! Probes, the read-only API, the event stream and the page.
