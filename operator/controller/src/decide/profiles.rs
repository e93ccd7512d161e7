//! Histories that no source keeps: those of metrics of brokers. One ConfigMap a policy in Foresail's own namespace, at most
//! 4 KiB a metric, written each quarter of an hour and at the end; after a restart it is read as a Prometheus would be.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use autoscaler::Recorded;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use series::{Absence, AbsenceReason, Packed, Series, time};

use crate::actuate::FIELD_MANAGER;
use crate::error::say;
use crate::memory::PolicyMemory;

/// As often as a slot of a profile ends.
const WRITTEN_EVERY: Duration = autoscaler::PROFILE_STEP;
/// The longest that a call may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// On ConfigMaps that hold histories: whose they are.
const LABEL: &str = "foresail.dev/history-of";
/// What each is called, before the policy's UID.
const PREFIX: &str = "foresail-history-";

/// Where the histories are kept.
#[derive(Clone, Debug)]
pub struct Store {
    /// The namespace of the ConfigMaps: Foresail's own.
    pub namespace: String,
    /// Tells these ConfigMaps from those of another Foresail in the same namespace: the name of its Lease.
    pub owner: String,
}

/// The histories that no source keeps; none are kept without a store.
#[derive(Clone)]
pub(crate) struct Profiles {
    maps: Option<(Api<ConfigMap>, Arc<str>)>,
}

impl Profiles {
    pub(crate) fn new(client: &Client, store: Option<&Store>) -> Self {
        let maps = |s: &Store| (Api::namespaced(client.clone(), &s.namespace), label_value(&s.owner).into());
        Self { maps: store.map(maps) }
    }

    /// The history of the metric with this identity; an empty one where none was kept.
    pub(crate) async fn read(&self, uid: &str, identity: &str) -> Result<Series, Absence> {
        let nothing = || {
            Series::new(Timestamp::UNIX_EPOCH, WRITTEN_EVERY, Vec::new())
                .map_err(|error| Absence::new(AbsenceReason::InvalidAnswer, error.to_string()))
        };
        let Some((maps, _)) = &self.maps else { return nothing() };
        let name = name(uid);
        let unreachable = |what: String| {
            Absence::new(AbsenceReason::Unreachable, format!("can't read ConfigMap {name}: {what}"))
        };
        let map = tokio::time::timeout(DEADLINE, maps.get_opt(&name))
            .await
            .map_err(|_| unreachable(format!("no answer within {}s", DEADLINE.as_secs())))?
            .map_err(|error| unreachable(say(&error)))?;
        let Some(text) = map.and_then(|m| m.data).and_then(|mut data| data.remove(identity)) else {
            return nothing();
        };
        match serde_json::from_str::<Packed>(&text) {
            Ok(packed) => Ok(packed.between(packed.start(), packed.end())),
            // It would be as unreadable the next time: what is measured from now on takes its place.
            Err(error) => {
                tracing::warn!(configmap = name, key = identity, %error, "this history can't be read; beginning anew");
                nothing()
            }
        }
    }

    /// Writes a policy's histories, if it is time to and there are any. Returns at once.
    pub(crate) fn tend(&self, memory: &mut PolicyMemory, now: Timestamp) {
        let place = autoscaler::place(&memory.uid);
        let slot = time::align(time::before(now, WRITTEN_EVERY.mul_f64(place)), WRITTEN_EVERY);
        // At the first look there is nothing yet that wasn't read.
        if *memory.profile_written.get_or_insert(slot) >= slot {
            return;
        }
        memory.profile_written = Some(slot);
        if let Some(map) = self.map(memory) {
            let profiles = self.clone();
            tokio::spawn(async move { profiles.apply(map).await });
        }
    }

    /// Writes a policy's histories, if there are any: at the end, when nothing comes after.
    pub(crate) async fn write(&self, memory: &PolicyMemory) {
        if let Some(map) = self.map(memory) {
            self.apply(map).await;
        }
    }

    fn map(&self, memory: &PolicyMemory) -> Option<ConfigMap> {
        let (_, owner) = self.maps.as_ref()?;
        let kept = memory.autoscaler.as_ref().map(|a| a.profiles()).filter(|kept| !kept.is_empty())?;
        let text = |packed: &Packed| serde_json::to_string(packed).ok();
        let data: BTreeMap<String, String> =
            kept.into_iter().filter_map(|(identity, packed)| Some((identity, text(&packed)?))).collect();
        let mut map = ConfigMap { data: Some(data), ..ConfigMap::default() };
        map.metadata.name = Some(name(&memory.uid));
        map.metadata.labels = Some(BTreeMap::from([(LABEL.to_owned(), owner.to_string())]));
        map.metadata.annotations =
            Some(BTreeMap::from([("foresail.dev/policy".to_owned(), memory.key.to_string())]));
        Some(map)
    }

    async fn apply(&self, map: ConfigMap) {
        let (Some((maps, _)), Some(name)) = (&self.maps, map.metadata.name.as_deref()) else { return };
        // Applied, so that metrics that are gone go from it too.
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let patch = Patch::Apply(&map);
        match tokio::time::timeout(DEADLINE, maps.patch(name, &params, &patch)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(configmap = name, error = %say(&error), "can't keep a history"),
            Err(_) => tracing::warn!(configmap = name, "can't keep a history: no answer in time"),
        }
    }

    /// Deletes what was kept of policies that are gone.
    pub(crate) async fn retain(&self, alive: &HashSet<String>) {
        let Some((maps, owner)) = &self.maps else { return };
        let of_ours = ListParams::default().labels(&format!("{LABEL}={owner}"));
        let listed = match tokio::time::timeout(DEADLINE, maps.list_metadata(&of_ours)).await {
            Ok(Ok(listed)) => listed,
            Ok(Err(error)) => {
                return tracing::warn!(error = %say(&error), "can't list the histories that are kept");
            }
            Err(_) => return tracing::warn!("can't list the histories that are kept: no answer in time"),
        };
        let names = listed.items.into_iter().filter_map(|map| map.metadata.name);
        for name in names.filter(|name| name.strip_prefix(PREFIX).is_some_and(|uid| !alive.contains(uid))) {
            self.delete(&name).await;
        }
    }

    /// Deletes what was kept of a policy that is gone.
    pub(crate) async fn forget(&self, memory: &PolicyMemory) {
        let of_a_source = |a: &Recorded| a.setup().signals.iter().all(|signal| signal.keeps_history);
        if !memory.autoscaler.as_ref().is_none_or(of_a_source) {
            self.delete(&name(&memory.uid)).await;
        }
    }

    async fn delete(&self, name: &str) {
        let Some((maps, _)) = &self.maps else { return };
        let why = match tokio::time::timeout(DEADLINE, maps.delete(name, &DeleteParams::default())).await {
            Ok(Ok(_)) => return,
            Ok(Err(kube::Error::Api(status))) if status.code == 404 => return,
            Ok(Err(error)) => say(&error),
            Err(_) => "no answer in time".to_owned(),
        };
        tracing::warn!(configmap = name, error = why, "can't delete a history");
    }
}

/// A label's value is shorter than a Lease's name may be.
fn label_value(name: &str) -> String {
    const LONGEST: usize = 63;
    if name.len() <= LONGEST { name.to_owned() } else { autoscaler::identity(name) }
}

fn name(uid: &str) -> String {
    format!("{PREFIX}{uid}")
}
