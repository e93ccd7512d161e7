//! Health probes: what to ask comes in as plain values with secrets resolved, outcomes go out to the roll-up of
//! [`health::System`], and overviews and events to whoever watches. One file for each kind of probe; each speaks just
//! enough of its protocol to know that a client would be served, over a connection of its own.
//!
//! What is refused here: to know custom resources, what an alert is, and who listens.

mod certificate;
mod grpc;
mod http;
mod kafka;
mod nats;
mod net;
mod postgres;
mod probe;
mod promql;
mod rabbitmq;
mod redis;
mod schedule;
mod tcp;
mod watch;
mod workload;

pub use grpc::Grpc;
pub use http::{Bounds, Http, JsonExpectation, StatusRange};
pub use kafka::Kafka;
pub use nats::Nats;
pub use net::{Credentials, Endpoint};
pub use postgres::Postgres;
pub use probe::{Invalid, Probe};
pub use promql::{Promql, Thresholds};
pub use rabbitmq::Rabbitmq;
pub use redis::Redis;
pub use schedule::{Definition, Limits, Schedule};
pub use tcp::Tcp;
pub use watch::{Inputs, Outputs, Watch};
pub use workload::{Workload, WorkloadKind, WorkloadState, judge as judge_workload};
