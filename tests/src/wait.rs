//! Waiting by asking: nothing in the testbed sleeps and hopes.

use std::fmt::Display;
use std::future::Future;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Asks every 50 ms until `probe` answers `Ok`, or `patience` is over.
///
/// # Errors
/// Fails with `what` and the last refusal when `patience` is over.
pub async fn until<T, E, F>(what: &str, patience: Duration, mut probe: impl FnMut() -> F) -> Result<T>
where
    E: Display,
    F: Future<Output = Result<T, E>>,
{
    let start = Instant::now();
    loop {
        let refusal = match probe().await {
            Ok(value) => return Ok(value),
            Err(refusal) => refusal,
        };
        if start.elapsed() > patience {
            bail!("{what}: not within {patience:?}; at last: {refusal:#}");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Demands that `probe` keeps answering `Ok` for all of `span`, asked every 200 ms.
///
/// # Errors
/// Fails with `what` and the first refusal.
pub async fn throughout<E, F>(what: &str, span: Duration, mut probe: impl FnMut() -> F) -> Result<()>
where
    E: Display,
    F: Future<Output = Result<(), E>>,
{
    let start = Instant::now();
    while start.elapsed() < span {
        if let Err(refusal) = probe().await {
            bail!("{what}: broken after {:?}: {refusal:#}", start.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

/// An HTTP client for servers on loopback: made once, because making one reads all certificates of the system.
///
/// # Errors
/// Fails when TLS cannot be set up.
pub fn client() -> Result<reqwest::Client> {
    static CLIENT: OnceLock<reqwest::Client> = OnceLock::new();
    if let Some(client) = CLIENT.get() {
        return Ok(client.clone());
    }
    // Connections are not kept: each test has a runtime of its own, and a connection belongs to one.
    let client = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build()?;
    Ok(CLIENT.get_or_init(|| client).clone())
}
