//! The `foresail` executable: allocator, TLS provider, and hand over to the command line.

mod calls;
mod cli;
mod cluster;
mod cmd;
mod demo;
mod health_routes;
mod policy_file;

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // The only TLS provider in the process; it is installed once, before anything can have made another.
    let _ = rustls::crypto::ring::default_provider().install_default();
    cli::main()
}
