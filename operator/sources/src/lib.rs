//! Where numbers come from: Prometheus and queue brokers behind one small trait.
//!
//! A source turns a server's answer into samples, or into an [`Absence`](series::Absence) that says why there are
//! none. It knows addresses, credentials and protocols; it does not know policies, replicas or what the number is
//! for. Parsing is pure and apart from the connection, so every odd answer is a unit test.

pub mod breaker;
mod fingerprint;
pub mod http;
pub mod prometheus;
pub mod queue;
mod source;
pub mod tls;

pub use http::Pool;
pub use queue::{QueueReading, QueueSource};
pub use source::{Freshness, Measured, Source};
pub use tls::Tls;
