//! The testbed: real servers on loopback, for tests and for trying things by hand.
//!
//! Everything here starts a real program (an API server, Prometheus, Redis, ...) on free loopback ports with a
//! temporary directory, waits until the program itself answers, and ends it when the value is dropped. Which programs
//! these are, `tests/setup/servers.sh` says.

#![allow(clippy::missing_panics_doc)]

pub mod assets;
pub mod audit;
pub mod certificates;
pub mod chart;
pub mod control_plane;
pub mod exporter;
pub mod fleet;
pub mod foresail;
pub mod hpa_agreement;
pub mod idle;
pub mod net;
pub mod nodes;
pub mod peers;
pub mod process;
pub mod prometheus;
pub mod servers;
pub mod shape;
pub mod wait;
pub mod warm_up;

pub use control_plane::ControlPlane;
pub use exporter::LoadExporter;
pub use foresail::Foresail;
pub use nodes::Nodes;
pub use prometheus::Prometheus;
pub use shape::Shape;

/// Installs the TLS provider and, with `RUST_LOG` set, logging. Call it first in every test; more than once is
/// fine.
pub fn prepare() {
    // Both fail only when somebody was here before, which is as good.
    drop(rustls::crypto::ring::default_provider().install_default());
    drop(
        tracing_subscriber::fmt()
            .with_env_filter(
                // What is not there yet while a server starts is no error worth a line.
                tracing_subscriber::EnvFilter::builder()
                    .with_default_directive(tracing_subscriber::filter::LevelFilter::OFF.into())
                    .from_env_lossy(),
            )
            .with_test_writer()
            .try_init(),
    );
}
