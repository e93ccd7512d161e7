//! `/livez` and `/readyz`: machines read the status code, people add `?verbose`.
//!
//! Liveness fails only where a restart would help: a task that promised to give a sign of life is silent. Readiness
//! fails until every named check has passed once, and from the moment the process is asked to end.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::Web;

type Beats = Mutex<BTreeMap<&'static str, (Instant, Duration)>>;

/// Where tasks say whether they are ready and alive.
#[derive(Clone, Debug, Default)]
pub struct Probes {
    checks: Arc<Mutex<BTreeMap<&'static str, Result<(), String>>>>,
    beats: Arc<Beats>,
    ending: Arc<AtomicBool>,
}

/// One named condition of readiness. It stands on its last word, also when dropped.
#[derive(Clone, Debug)]
pub struct Check {
    name: &'static str,
    checks: Arc<Mutex<BTreeMap<&'static str, Result<(), String>>>>,
}

impl Check {
    /// The condition holds.
    pub fn pass(&self) {
        self.set(Ok(()));
    }

    /// The condition doesn't hold; `why` is shown to who asks for it.
    pub fn fail(&self, why: impl Into<String>) {
        self.set(Err(why.into()));
    }

    fn set(&self, word: Result<(), String>) {
        self.checks.lock().unwrap_or_else(PoisonError::into_inner).insert(self.name, word);
    }
}

/// A task's promise to give signs of life. Dropping it ends the promise.
#[derive(Debug)]
pub struct Heartbeat {
    name: &'static str,
    silence: Duration,
    beats: Arc<Beats>,
}

impl Heartbeat {
    /// A sign of life.
    pub fn beat(&self) {
        let mut beats = self.beats.lock().unwrap_or_else(PoisonError::into_inner);
        beats.insert(self.name, (Instant::now(), self.silence));
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.beats.lock().unwrap_or_else(PoisonError::into_inner).remove(self.name);
    }
}

impl Probes {
    /// A condition of readiness, not met until [`Check::pass`].
    pub fn check(&self, name: &'static str) -> Check {
        let check = Check { name, checks: Arc::clone(&self.checks) };
        check.fail("not yet");
        check
    }

    /// A promise to call [`Heartbeat::beat`] more often than every `silence`; else liveness fails.
    pub fn heartbeat(&self, name: &'static str, silence: Duration) -> Heartbeat {
        let heartbeat = Heartbeat { name, silence, beats: Arc::clone(&self.beats) };
        heartbeat.beat();
        heartbeat
    }

    /// From now on not ready, whatever else.
    pub fn shutting_down(&self) {
        self.ending.store(true, Ordering::Release);
    }

    /// Whether everything is ready.
    pub fn is_ready(&self) -> bool {
        self.readiness().iter().all(|(_, word)| word.is_ok())
    }

    fn readiness(&self) -> Vec<(&'static str, Result<(), String>)> {
        let checks = self.checks.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = checks.iter().map(|(n, w)| (*n, w.clone())).collect();
        let ending = self.ending.load(Ordering::Acquire);
        all.push(("shutdown", if ending { Err("shutting down".to_owned()) } else { Ok(()) }));
        all
    }

    fn liveness(&self) -> Vec<(&'static str, Result<(), String>)> {
        let beats = self.beats.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = vec![("ping", Ok(()))];
        all.extend(beats.iter().map(|(name, (last, silence))| {
            let quiet = last.elapsed();
            let word = if quiet <= *silence {
                Ok(())
            } else {
                Err(format!("silent for {} s, promised {} s", quiet.as_secs(), silence.as_secs()))
            };
            (*name, word)
        }));
        all
    }
}

pub(crate) async fn livez(State(web): State<Web>, RawQuery(query): RawQuery) -> Response {
    answer("livez", web.probes.liveness(), query.as_deref())
}

pub(crate) async fn readyz(State(web): State<Web>, RawQuery(query): RawQuery) -> Response {
    answer("readyz", web.probes.readiness(), query.as_deref())
}

pub(crate) async fn livez_one(State(web): State<Web>, Path(check): Path<String>) -> Response {
    one(web.probes.liveness(), &check)
}

pub(crate) async fn readyz_one(State(web): State<Web>, Path(check): Path<String>) -> Response {
    one(web.probes.readiness(), &check)
}

/// As the Kubernetes API server answers: `ok`, or a line for each check with `?verbose` and on failure. `exclude=NAME`
/// leaves checks out.
fn answer(probe: &str, checks: Vec<(&'static str, Result<(), String>)>, query: Option<&str>) -> Response {
    let pairs: Vec<&str> = query.unwrap_or_default().split('&').collect();
    let verbose = pairs.iter().any(|p| *p == "verbose" || p.starts_with("verbose="));
    let excluded = |name: &str| pairs.iter().any(|p| p.strip_prefix("exclude=") == Some(name));
    let mut failed = false;
    let mut text = String::new();
    for (name, word) in checks {
        let _ = match word {
            _ if excluded(name) => writeln!(text, "[+]{name} excluded: ok"),
            Ok(()) => writeln!(text, "[+]{name} ok"),
            Err(why) => {
                failed = true;
                writeln!(text, "[-]{name} failed: {why}")
            }
        };
    }
    if failed {
        let _ = write!(text, "{probe} check failed");
        (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
    } else if verbose {
        let _ = write!(text, "{probe} check passed");
        text.into_response()
    } else {
        "ok".into_response()
    }
}

fn one(checks: Vec<(&'static str, Result<(), String>)>, name: &str) -> Response {
    match checks.into_iter().find(|(n, _)| *n == name) {
        Some((_, Ok(()))) => "ok".into_response(),
        Some((_, Err(why))) => (StatusCode::SERVICE_UNAVAILABLE, why).into_response(),
        None => (StatusCode::NOT_FOUND, "no such check").into_response(),
    }
}
