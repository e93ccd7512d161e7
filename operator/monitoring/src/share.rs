//! What instances tell each other: each writes what it sees, as far as it isn't well, into an annotation of a Lease of
//! its own, and follows the others' Leases. A Lease that hasn't been renewed for a while counts for nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use health::agreement::ProberView;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, ResourceExt as _};
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{FIELD_MANAGER, Shared};

const LABEL: &str = "foresail.dev/prober";
const VIEW: &str = "foresail.dev/view";
/// Told again so often, and believed for so long.
const RENEW: Duration = Duration::from_secs(5);
const FRESH: Duration = Duration::from_secs(15);
/// Changes are told together for so long.
const SETTLE: Duration = Duration::from_millis(250);
/// An object's annotations may have 256 KiB together.
const VIEW_MAX: usize = 200_000;

/// Tells what we see, until `stop`; then the Lease goes, so that the others don't wait for us.
pub(crate) async fn tell(shared: Shared, mut own: watch::Receiver<Arc<ProberView>>, stop: CancellationToken) {
    let api: Api<Lease> = Api::namespaced(shared.client.clone(), &shared.settings.own_namespace);
    let name = lease_name(&shared.settings.instance);
    loop {
        let view = own.borrow_and_update().clone();
        if let Err(error) = write(&api, &name, &view).await {
            tracing::warn!(%error, "can't tell the other instances what is seen here");
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(RENEW) => {}
            Ok(()) = own.changed() => tokio::time::sleep(SETTLE).await,
        }
    }
    api.delete(&name, &DeleteParams::default()).await.ok();
}

async fn write(api: &Api<Lease>, name: &str, view: &ProberView) -> Result<(), kube::Error> {
    let patch = json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, "labels": {LABEL: "true"}, "annotations": {VIEW: encode(view)}},
        "spec": {
            "holderIdentity": view.prober,
            "leaseDurationSeconds": FRESH.as_secs(),
            "renewTime": MicroTime(Timestamp::now()),
        },
    });
    api.patch(name, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(&patch)).await.map(drop)
}

/// The view as JSON; one that is too long leaves out what is least bad, and then what comes last.
fn encode(view: &ProberView) -> String {
    let mut view = view.clone();
    loop {
        let text = serde_json::to_string(&view).unwrap_or_default();
        if text.len() <= VIEW_MAX {
            return text;
        }
        let keep = view.troubles.len() * VIEW_MAX / text.len();
        let mut all: Vec<_> = std::mem::take(&mut view.troubles).into_iter().collect();
        all.sort_by_key(|(_, status)| std::cmp::Reverse(*status));
        all.truncate(keep.saturating_sub(1));
        view.troubles = all.into_iter().collect();
    }
}

/// Follows what the others see, until `stop`.
pub(crate) async fn hear(shared: Shared, out: watch::Sender<Arc<Vec<ProberView>>>, stop: CancellationToken) {
    let api: Api<Lease> = Api::namespaced(shared.client.clone(), &shared.settings.own_namespace);
    let ours = lease_name(&shared.settings.instance);
    let events = watcher(api, watcher::Config::default().labels(&format!("{LABEL}=true"))).default_backoff();
    let mut events = std::pin::pin!(events);
    let mut heard: HashMap<String, (Instant, Option<MicroTime>, ProberView)> = HashMap::new();
    let mut tick = tokio::time::interval(Duration::from_secs(2));
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tick.tick() => {}
            event = events.next() => match event {
                Some(Ok(Event::Apply(lease) | Event::InitApply(lease))) if lease.name_any() != ours => take(&mut heard, &lease),
                Some(Ok(Event::Delete(lease))) => drop(heard.remove(&lease.name_any())),
                Some(_) => {}
                None => return,
            },
        }
        // By our own clock: others' clocks may differ.
        let fresh: Vec<ProberView> = heard
            .values()
            .filter(|(at, _, _)| at.elapsed() < FRESH)
            .map(|(_, _, view)| view.clone())
            .collect();
        out.send_if_modified(|last| {
            let mut fresh = fresh;
            fresh.sort_by(|a, b| a.prober.cmp(&b.prober));
            let changed = **last != fresh;
            if changed {
                *last = Arc::new(fresh);
            }
            changed
        });
    }
}

fn take(heard: &mut HashMap<String, (Instant, Option<MicroTime>, ProberView)>, lease: &Lease) {
    let name = lease.name_any();
    let renewed = lease.spec.as_ref().and_then(|s| s.renew_time.clone());
    let Some(view) = lease.annotations().get(VIEW).and_then(|text| serde_json::from_str(text).ok()) else {
        return;
    };
    // A Lease that is only listed again wasn't renewed.
    let same = heard.get(&name).is_some_and(|(_, at, _)| *at == renewed);
    if !same {
        heard.insert(name, (Instant::now(), renewed, view));
    }
}

/// Lower case, digits and dashes, as names of objects must be.
fn lease_name(instance: &str) -> String {
    let clean: String = instance
        .to_ascii_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    let mut name = format!("foresail-prober-{}", clean.trim_matches('-'));
    name.truncate(63);
    name.trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use health::{ComponentId, Status};

    use super::*;

    #[test]
    fn a_view_that_is_too_long_keeps_the_worst() {
        let mut view = ProberView { prober: "a".into(), probed: 9_000, ..ProberView::default() };
        for i in 0..9_000 {
            let status = if i % 3 == 0 { Status::Fail } else { Status::Warn };
            view.troubles
                .insert(ComponentId::new("a-rather-long-namespace", &format!("component-{i}")), status);
        }
        let text = encode(&view);
        assert!(text.len() <= VIEW_MAX);
        let back: ProberView = serde_json::from_str(&text).unwrap();
        let down = back.troubles.values().filter(|s| **s == Status::Fail).count();
        assert_eq!(down, 3_000);
        assert_eq!(back.probed, 9_000);
    }

    #[test]
    fn names_suit_the_api_server() {
        assert_eq!(lease_name("Foresail_7d9.x"), "foresail-prober-foresail-7d9-x");
        assert!(lease_name(&"x".repeat(200)).len() <= 63);
    }
}
