//! Servers that Foresail talks to besides Kubernetes and Prometheus: one small module each, all alike: `start`,
//! an address, and the end when dropped.

mod alertmanager;
mod chromium;
mod kafka;
mod nats;
mod postgresql;
mod rabbitmq;
mod redis;
mod sqs;

pub use alertmanager::Alertmanager;
pub use chromium::Chromium;
pub use kafka::{Kafka, Protocol};
pub use nats::Nats;
pub use postgresql::PostgreSql;
pub use rabbitmq::RabbitMq;
pub use redis::Redis;
pub use sqs::Sqs;

use std::time::Duration;

use tempfile::TempDir;

/// How long a server may take to answer at first, on a crowded machine.
const PATIENCE: Duration = Duration::from_mins(1);

fn directory(name: &str) -> std::io::Result<TempDir> {
    tempfile::Builder::new().prefix(&format!("foresail-{name}-")).tempdir()
}
