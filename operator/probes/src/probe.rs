//! What every probe is: something that can be asked once, with an outcome rather than an error.

use std::future::Future;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use health::Reason;
use health::check::Outcome;

use crate::net::Failure;

/// One kind of probe, made for one component.
#[async_trait]
pub trait Probe: Send + Sync {
    /// Its kind: `http`, `redis`, ...
    fn kind(&self) -> &'static str;

    /// What it burdens, so that not too many ask it at once: host and port, mostly.
    fn host(&self) -> &str;

    /// Asks once. The caller stops waiting after the check's timeout.
    async fn probe(&self) -> Outcome;
}

/// What a question comes to that is answered or not, with the time it took.
pub(crate) async fn timed(question: impl Future<Output = Result<(), Failure>> + Send) -> Outcome {
    let started = Instant::now();
    match question.await {
        Ok(()) => Outcome::pass(started.elapsed()),
        Err(failure) => failure.outcome(started.elapsed()),
    }
}

/// A check that can't be carried out as it is written: it fails with a sentence, instead of not being there.
#[derive(Debug)]
pub struct Invalid {
    /// The kind it was meant to be.
    pub kind: &'static str,
    /// The word for what is wrong with the check.
    pub reason: Reason,
    /// The remedy.
    pub message: String,
}

#[async_trait]
impl Probe for Invalid {
    fn kind(&self) -> &'static str {
        self.kind
    }

    fn host(&self) -> &'static str {
        ""
    }

    async fn probe(&self) -> Outcome {
        Outcome::fail(self.reason, self.message.clone(), Duration::ZERO)
    }
}
