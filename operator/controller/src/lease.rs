//! Leadership: of several instances one acts, and another follows within seconds when it ends.
//!
//! A Lease is taken and renewed with the resource version that was read, so two instances can't both succeed. Whether
//! the holder is gone is told by our own clock from when its last renewal was seen, as client-go does, so that clocks
//! may differ. On the way out the Lease is given up at once: the next instance doesn't wait for it to expire.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::actuate::FIELD_MANAGER;
use crate::error::{is_conflict, is_not_found, say};

/// How leadership is arranged.
#[derive(Clone, Debug)]
pub struct LeaseSettings {
    /// Where the Lease lives.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Who we are; unique among the instances.
    pub identity: String,
    /// How long a Lease holds without being renewed. Instances that vanish are followed after this time.
    pub duration: Duration,
    /// How often it is renewed, or looked at.
    pub retry: Duration,
}

impl LeaseSettings {
    /// The usual times: 15 s without a sign of life, a look every 2 s.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>, identity: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
            identity: identity.into(),
            duration: Duration::from_secs(15),
            retry: Duration::from_secs(2),
        }
    }
}

/// Who leads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leadership {
    /// We do.
    pub ours: bool,
    /// Who does, as far as known.
    pub holder: Option<String>,
    /// Until when ours holds without another renewal: later nothing may be written.
    pub valid_until: Option<Instant>,
}

impl Leadership {
    /// Leadership without an election: of a single instance.
    pub fn always(identity: impl Into<String>) -> Self {
        Self { ours: true, holder: Some(identity.into()), valid_until: None }
    }

    /// Whether something may be written right now.
    pub fn holds(&self) -> bool {
        self.ours && self.valid_until.is_none_or(|until| Instant::now() < until)
    }
}

/// What was seen of the Lease, and when by our own clock.
struct Seen {
    holder: Option<String>,
    renewed: Option<Timestamp>,
    at: Instant,
}

/// Takes part in the election until `stop`, then gives the Lease up and returns. Tells each change to `state`.
pub async fn elect(
    client: Client,
    settings: LeaseSettings,
    state: watch::Sender<Leadership>,
    stop: CancellationToken,
) {
    let api: Api<Lease> = Api::namespaced(client, &settings.namespace);
    let mut seen: Option<Seen> = None;
    loop {
        match attempt(&api, &settings, &mut seen).await {
            Ok(next) => publish(&state, next),
            Err(error) => {
                tracing::warn!(lease = %settings.name, error = %say(&error), "can't look at the lease");
                // Ours holds until it expires, and not a moment longer.
                let expired = state.borrow().ours && !state.borrow().holds();
                if expired {
                    publish(&state, Leadership { ours: false, holder: None, valid_until: None });
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(jittered(settings.retry)) => {}
        }
    }
    let held = state.borrow().ours;
    publish(&state, Leadership::default());
    if held {
        match release(&api, &settings).await {
            Ok(()) => tracing::info!(lease = %settings.name, "leadership given up"),
            Err(error) => {
                tracing::warn!(error = %say(&error), "can't give the lease up; it expires by itself");
            }
        }
    }
}

fn jittered(duration: Duration) -> Duration {
    duration.mul_f64(0.9 + 0.2 * rand::random::<f64>())
}

fn publish(state: &watch::Sender<Leadership>, next: Leadership) {
    let told = state.borrow().ours;
    if told != next.ours {
        tracing::info!(leads = next.ours, holder = next.holder.as_deref().unwrap_or("nobody"), "leadership");
    }
    state.send_if_modified(|current| {
        let changed = current.ours != next.ours || current.holder != next.holder;
        *current = next;
        changed
    });
}

/// One look at the Lease: renews ours, takes a free one, or says who has it.
async fn attempt(
    api: &Api<Lease>,
    settings: &LeaseSettings,
    seen: &mut Option<Seen>,
) -> Result<Leadership, kube::Error> {
    // Taken before asking: the time on the way counts against us, never for us.
    let asked = Instant::now();
    let Some(lease) = api.get_opt(&settings.name).await? else {
        return create(api, settings, asked).await;
    };
    let spec = lease.spec.clone().unwrap_or_default();
    let holder = spec.holder_identity.clone().filter(|h| !h.is_empty());
    let renewed = spec.renew_time.as_ref().map(|t| t.0);
    let unchanged = seen.as_ref().is_some_and(|s| s.holder == holder && s.renewed == renewed);
    if !unchanged {
        *seen = Some(Seen { holder: holder.clone(), renewed, at: asked });
    }
    let ours = holder.as_deref() == Some(settings.identity.as_str());
    let duration =
        spec.lease_duration_seconds.map_or(settings.duration, |s| Duration::from_secs(s.max(1) as u64));
    let expired = seen.as_ref().is_some_and(|s| s.at.elapsed() > duration);
    if !(ours || holder.is_none() || expired) {
        return Ok(Leadership { ours: false, holder, valid_until: None });
    }
    let next = claim(&lease, &spec, settings, ours);
    match api.replace(&settings.name, &post(), &next).await {
        Ok(_) => Ok(led(settings, asked)),
        Err(error) if is_conflict(&error) => Ok(Leadership { ours: false, holder, valid_until: None }),
        Err(error) => Err(error),
    }
}

fn led(settings: &LeaseSettings, asked: Instant) -> Leadership {
    Leadership {
        ours: true,
        holder: Some(settings.identity.clone()),
        valid_until: Some(asked + settings.duration),
    }
}

fn post() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() }
}

fn claim(lease: &Lease, spec: &LeaseSpec, settings: &LeaseSettings, ours: bool) -> Lease {
    let now = MicroTime(Timestamp::now());
    let transitions = spec.lease_transitions.unwrap_or(0) + i32::from(!ours);
    Lease {
        metadata: ObjectMeta { managed_fields: None, ..lease.metadata.clone() },
        spec: Some(LeaseSpec {
            holder_identity: Some(settings.identity.clone()),
            lease_duration_seconds: Some(settings.duration.as_secs() as i32),
            acquire_time: if ours { spec.acquire_time.clone() } else { Some(now.clone()) },
            renew_time: Some(now),
            lease_transitions: Some(transitions),
            ..spec.clone()
        }),
    }
}

async fn create(
    api: &Api<Lease>,
    settings: &LeaseSettings,
    asked: Instant,
) -> Result<Leadership, kube::Error> {
    let empty = Lease {
        metadata: ObjectMeta { name: Some(settings.name.clone()), ..ObjectMeta::default() },
        spec: None,
    };
    match api.create(&post(), &claim(&empty, &LeaseSpec::default(), settings, false)).await {
        Ok(_) => Ok(led(settings, asked)),
        Err(error) if is_conflict(&error) => Ok(Leadership::default()),
        Err(error) => Err(error),
    }
}

/// Empties the holder, where it is still us.
async fn release(api: &Api<Lease>, settings: &LeaseSettings) -> Result<(), kube::Error> {
    let lease = match api.get(&settings.name).await {
        Ok(lease) => lease,
        Err(error) if is_not_found(&error) => return Ok(()),
        Err(error) => return Err(error),
    };
    let spec = lease.spec.clone().unwrap_or_default();
    if spec.holder_identity.as_deref() != Some(settings.identity.as_str()) {
        return Ok(());
    }
    let free = Lease {
        metadata: ObjectMeta { managed_fields: None, ..lease.metadata },
        spec: Some(LeaseSpec {
            holder_identity: Some(String::new()),
            lease_duration_seconds: Some(1),
            renew_time: Some(MicroTime(Timestamp::now())),
            ..spec
        }),
    };
    api.replace(&settings.name, &post(), &free).await.map(|_| ())
}
