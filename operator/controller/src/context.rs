//! What every evaluation shares: clients, caches, settings, and where results go.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use health::Overview;
use health::calendar::Calendar;
use health::snapshot::Snapshot;
use jiff::Timestamp;
use kube::Client;
use kube::runtime::events::{Recorder, Reporter};
use telemetry::metrics::Metrics;
use tokio::sync::watch;

use crate::actuate::claims::Claims;
use crate::actuate::owners::Hpas;
use crate::actuate::target::Targets;
use crate::decide::fits::FitPool;
use crate::decide::profiles::{Profiles, Store};
use crate::decide::recordings::Recordings;
use crate::lease::Leadership;
use crate::memory::Memory;
use crate::observe::pods::Pods;
use crate::observe::secrets::Secrets;
use crate::wiring::Wiring;

/// How the controller is run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The Prometheus for policies that name none.
    pub prometheus_url: Option<String>,
    /// The namespaces to look after; all where empty.
    pub namespaces: Vec<String>,
    /// The time between two decisions for one policy.
    pub interval: Duration,
    /// How many policies are looked at at the same time.
    pub concurrency: u16,
    /// Pods that the whole fleet may add in a minute; no limit where `None`.
    pub pods_per_minute: Option<u32>,
    /// The longest one reading may take.
    pub deadline: Duration,
    /// Where histories are kept that no source keeps; nowhere where `None`, and then they end with the process.
    pub store: Option<Store>,
    /// What is recorded of policies, and where; nothing where `None`.
    pub recordings: Option<Recordings>,
    /// The name of this instance.
    pub instance: String,
    /// Foresail's version.
    pub version: String,
}

impl Settings {
    /// The defaults for an instance called `instance`.
    pub fn new(instance: impl Into<String>) -> Self {
        Self {
            prometheus_url: None,
            namespaces: Vec::new(),
            interval: Duration::from_secs(15),
            concurrency: 32,
            pods_per_minute: None,
            deadline: Duration::from_secs(10),
            store: None,
            recordings: None,
            instance: instance.into(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

/// What every evaluation shares.
pub(crate) struct Context {
    pub(crate) client: Client,
    pub(crate) settings: Settings,
    pub(crate) targets: Targets,
    pub(crate) secrets: Secrets,
    pub(crate) pool: sources::Pool,
    pub(crate) pods: Pods,
    pub(crate) hpas: Hpas,
    pub(crate) claims: Claims,
    pub(crate) memory: Memory,
    pub(crate) fits: FitPool,
    pub(crate) profiles: Profiles,
    pub(crate) budget: Budget,
    pub(crate) metrics: Metrics,
    pub(crate) recorder: Recorder,
    pub(crate) leadership: watch::Receiver<Leadership>,
    pub(crate) snapshot: watch::Sender<Snapshot>,
    pub(crate) overview: watch::Receiver<Arc<Overview>>,
    pub(crate) calendars: watch::Receiver<Arc<Vec<Calendar>>>,
}

impl Context {
    pub(crate) fn new(wiring: &Wiring, settings: Settings) -> Self {
        let (client, metrics) = (wiring.client.clone(), wiring.metrics.clone());
        let reporter =
            Reporter { controller: "foresail".to_owned(), instance: Some(settings.instance.clone()) };
        let pool = sources::Pool::observed(
            sources::breaker::Limits::default(),
            Box::new(|headers| {
                telemetry::tracing::propagate(|name, value| {
                    let name = http::HeaderName::try_from(name);
                    if let (Ok(name), Ok(value)) = (name, http::HeaderValue::try_from(value)) {
                        headers.insert(name, value);
                    }
                });
            }),
            metrics.clone(),
        );
        let profiles = Profiles::new(&client, settings.store.as_ref());
        Self {
            targets: Targets::new(client.clone()),
            secrets: Secrets::new(client.clone()),
            pool,
            pods: Pods::default(),
            hpas: Hpas::default(),
            claims: Claims::default(),
            memory: Memory::default(),
            fits: FitPool::new(2, profiles.clone(), metrics.clone()),
            profiles,
            budget: Budget::new(settings.pods_per_minute, Timestamp::now()),
            recorder: Recorder::new(client.clone(), reporter),
            client,
            settings,
            metrics,
            leadership: wiring.leadership.subscribe(),
            snapshot: wiring.snapshot.clone(),
            overview: wiring.overview.clone(),
            calendars: wiring.calendars.clone(),
        }
    }

    /// Whether this instance may act right now.
    pub(crate) fn leads(&self) -> bool {
        self.leadership.borrow().holds()
    }

    /// How long to wait until the turn of `uid` comes again: each policy keeps its own place in the interval, so that
    /// a thousand of them spread evenly.
    pub(crate) fn until_next(&self, uid: &str, now: Timestamp) -> Duration {
        until_turn(self.settings.interval, autoscaler::place(uid), now)
    }
}

fn until_turn(interval: Duration, phase: f64, now: Timestamp) -> Duration {
    let interval_ms = (interval.as_millis() as u64).max(1);
    let offset = (interval_ms as f64 * phase) as u64;
    let position = (now.as_millisecond().unsigned_abs() + interval_ms - offset % interval_ms) % interval_ms;
    let rest = interval_ms - position;
    // A turn that comes at once would be a second look at the same thing.
    Duration::from_millis(if rest < interval_ms / 4 { rest + interval_ms } else { rest })
}

/// How many pods the whole fleet may add, shared by all policies.
#[derive(Debug)]
pub(crate) struct Budget(Mutex<Option<decide::PodBudget>>);

impl Budget {
    pub(crate) fn new(per_minute: Option<u32>, now: Timestamp) -> Self {
        Self(Mutex::new(per_minute.map(|pods| decide::PodBudget::per_minute(pods, now))))
    }

    /// What is left now; `None` without a limit.
    pub(crate) fn left(&self, now: Timestamp) -> Option<u32> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|b| b.available(now))
    }

    /// Takes `pods` out.
    pub(crate) fn take(&self, now: Timestamp, pods: u32) {
        if let Some(budget) = self.0.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            budget.take(pods, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use series::time;

    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(millis).unwrap()
    }

    #[test]
    fn each_policy_keeps_its_place_in_the_interval() {
        let interval = Duration::from_secs(15);
        for phase in [0.0, 0.3, 0.99] {
            let mut now = at(1_700_000_000_123);
            let first = time::after(now, until_turn(interval, phase, now));
            now = time::after(first, Duration::from_millis(40));
            let second = time::after(now, until_turn(interval, phase, now));
            let gap = time::since(second, first);
            assert!((14_990..=15_010).contains(&gap.as_millis()), "{gap:?}");
        }
    }
}
