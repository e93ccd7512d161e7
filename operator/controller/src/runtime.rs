//! Runs the controller: waits for the CRD, keeps the caches, takes part in the election, ticks, and ends in order.

use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use api::v1alpha1::AutoscalePolicy;
use futures::{StreamExt as _, TryStreamExt as _};
use health::snapshot::PolicyKey;
use jiff::Timestamp;
use k8s_openapi::api::autoscaling::v1::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use kube::runtime::controller::Action;
use kube::runtime::reflector::{self, Store};
use kube::runtime::watcher::{self, Event, watcher};
use kube::runtime::{Controller, Predicate as _, WatchStreamExt as _, controller, predicates};
use kube::{Client, ResourceExt as _};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::actuate::give_back_floor;
use crate::context::{Context, Settings};
use crate::error::say;
use crate::lease::{Leadership, elect};
use crate::reconcile::{Guarded, drives_floor, note_claim, reconcile};
use crate::wiring::{Progress, Wiring};

/// How long writing histories may take at the end: all of them belong to one process, which has seconds.
const PROFILES_AT_THE_END: Duration = Duration::from_secs(5);

/// Runs until `stop`. Then: no new looks, those under way end, leadership is given up, and it returns.
pub async fn run(wiring: Wiring, settings: Settings, stop: CancellationToken) {
    let scopes = scopes(&settings);
    if stop.run_until_cancelled(await_crd(&wiring.client, &scopes, &wiring.progress)).await.is_none() {
        return;
    }
    let context = Arc::new(Context::new(&wiring, settings.clone()));
    let Wiring { client, progress, leadership, lease, beat, .. } = wiring;
    let mut tasks = JoinSet::new();
    let warm = caches(&context, &scopes, &stop, &mut tasks);
    progress.send_replace(Progress::Waiting("reading pods and HPAs".to_owned()));
    if stop.run_until_cancelled(warm).await.is_none() {
        tasks.shutdown().await;
        return;
    }

    // The election ends last: whoever follows must not begin while our last writes are under way.
    let resign = CancellationToken::new();
    let election = if let Some(lease) = lease {
        tokio::spawn(elect(client, lease, leadership, resign.clone()))
    } else {
        leadership.send_replace(Leadership::always(settings.instance.clone()));
        tokio::spawn(async {})
    };
    let mut controllers = JoinSet::new();
    let mut stores = Vec::new();
    let mut listed = Vec::new();
    for scope in &scopes {
        let (store, first_list, running) = controller(&context, scope.as_deref(), &stop, Arc::clone(&beat));
        stores.push(store);
        listed.push(first_list);
        controllers.spawn(running);
    }
    for mut first_list in listed {
        if stop.run_until_cancelled(first_list.wait_for(|listed| *listed)).await.is_none() {
            break;
        }
    }
    // Only now: before the first list every policy would look as if it were gone.
    tasks.spawn(sweep(Arc::clone(&context), stores.clone(), stop.clone(), beat));
    progress.send_replace(Progress::Ready);
    tracing::info!(policies = stores.iter().map(|s| s.state().len()).sum::<usize>(), "controller ready");

    while controllers.join_next().await.is_some() {}
    tracing::info!("no evaluation under way any more");
    keep_profiles(&context).await;
    resign.cancel();
    if let Err(error) = election.await {
        tracing::error!(%error, "the election ended badly");
    }
    tasks.shutdown().await;
}

/// The last thing that is written: histories that no source keeps, up to now.
async fn keep_profiles(context: &Context) {
    if !context.leads() {
        return;
    }
    let write = futures::stream::iter(context.memory.all()).for_each_concurrent(8, |memory| async move {
        context.profiles.write(&*memory.lock().await).await;
    });
    if tokio::time::timeout(PROFILES_AT_THE_END, write).await.is_err() {
        tracing::warn!("not all histories were kept in time: their last quarter of an hour is lost");
    }
}

/// One scope per namespace, or one for all.
fn scopes(settings: &Settings) -> Vec<Option<String>> {
    if settings.namespaces.is_empty() {
        return vec![None];
    }
    let unique: HashSet<_> = settings.namespaces.iter().cloned().collect();
    let mut scopes: Vec<_> = unique.into_iter().map(Some).collect();
    scopes.sort();
    scopes
}

fn api<K>(client: &Client, scope: Option<&str>) -> Api<K>
where
    K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
{
    match scope {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

/// Until policies can be listed: a controller whose first list fails would retry for ever and not even end on demand.
async fn await_crd(client: &Client, scopes: &[Option<String>], progress: &watch::Sender<Progress>) {
    let policies: Api<AutoscalePolicy> = api(client, scopes.first().and_then(Option::as_deref));
    let mut wait = Duration::from_millis(500);
    while let Err(error) = policies.list_metadata(&ListParams::default().limit(1)).await {
        let told = match &error {
            kube::Error::Api(status) if status.code == 404 => {
                "the AutoscalePolicy CRD isn't installed; run `foresail crds | kubectl apply --server-side -f -`".to_owned()
            }
            error => format!("can't list AutoscalePolicies: {}", say(error)),
        };
        tracing::warn!("{told}; trying again in {:.1}s", wait.as_secs_f64());
        progress.send_replace(Progress::Waiting(told));
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(Duration::from_secs(10));
    }
}

/// Keeps pods and HPAs; the future ends when all of them were listed once, or after a while: without pods decisions
/// are more careful, not wrong.
fn caches(
    context: &Arc<Context>,
    scopes: &[Option<String>],
    stop: &CancellationToken,
    tasks: &mut JoinSet<()>,
) -> impl Future<Output = ()> + use<> {
    let mut listed = Vec::new();
    for scope in scopes {
        let (pods_listed, pods_ready) = watch::channel(false);
        let (hpas_listed, hpas_ready) = watch::channel(false);
        listed.extend([pods_ready, hpas_ready]);
        let shared = Arc::clone(context);
        let of = scope.clone();
        let keep_pods = follow::<Pod>(
            api(&context.client, scope.as_deref()),
            "pods",
            pods_listed,
            move |fresh, event| {
                shared.pods.apply(of.as_deref(), fresh, event);
            },
        );
        let shared = Arc::clone(context);
        let of = scope.clone();
        let keep_hpas = follow::<HorizontalPodAutoscaler>(
            api(&context.client, scope.as_deref()),
            "HPAs",
            hpas_listed,
            move |fresh, event| shared.hpas.apply(of.as_deref(), fresh, event),
        );
        for keep in
            [Box::pin(keep_pods) as std::pin::Pin<Box<dyn Future<Output = ()> + Send>>, Box::pin(keep_hpas)]
        {
            let stop = stop.clone();
            tasks.spawn(async move {
                stop.run_until_cancelled(keep).await;
            });
        }
    }
    async move {
        let all = async {
            for mut ready in listed {
                // An error means that the task is gone, which says so itself.
                let _ = ready.wait_for(|r| *r).await.is_ok();
            }
        };
        if tokio::time::timeout(Duration::from_secs(20), all).await.is_err() {
            tracing::warn!("pods or HPAs can't be listed yet; going on without");
        }
    }
}

/// Feeds a cache from a watch, for ever.
async fn follow<K>(
    api: Api<K>,
    what: &'static str,
    listed: watch::Sender<bool>,
    apply: impl Fn(&mut Vec<K>, Event<K>),
) where
    K: kube::Resource + Clone + serde::de::DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    let mut events = watcher(api, watcher::Config::default()).default_backoff().boxed();
    let mut fresh = Vec::new();
    let mut told = None;
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => {
                told = None;
                let done = matches!(event, Event::InitDone);
                apply(&mut fresh, event);
                if done {
                    listed.send_replace(true);
                }
            }
            Err(error) => {
                let text = error.to_string();
                if told.as_ref() != Some(&text) {
                    tracing::warn!(error = %text, "can't watch {what}");
                }
                told = Some(text);
            }
        }
    }
}

/// The controller of one scope: its store, whether that was filled once, and the future that runs it until `stop`.
/// (The store's own `wait_until_ready` wakes one waiter only, and the controller is that one.)
fn controller(
    context: &Arc<Context>,
    scope: Option<&str>,
    stop: &CancellationToken,
    beat: Arc<dyn Fn() + Send + Sync>,
) -> (Store<Guarded>, watch::Receiver<bool>, impl Future<Output = ()> + use<>) {
    let (store, writer) = reflector::store();
    let (listed, first_list) = watch::channel(false);
    let claims = Arc::clone(context);
    let known = Arc::clone(context);
    let events = watcher(api::<Guarded>(&context.client, scope), watcher::Config::default())
        .default_backoff()
        .modify(move |policy| slim(&known, policy))
        .reflect(writer)
        .inspect_ok(move |event| match event {
            Event::InitApply(policy) | Event::Apply(policy) => note_claim(&claims, policy),
            Event::InitDone => drop(listed.send_replace(true)),
            Event::Init | Event::Delete(_) => {}
        })
        .applied_objects()
        // Our own status writes change neither the generation nor annotations.
        .predicate_filter(
            predicates::generation.combine(predicates::annotations),
            kube::runtime::PredicateConfig::default(),
        );
    let gained = leadership_gained(context.leadership.clone());
    let settings = controller::Config::default().concurrency(context.settings.concurrency);
    let stopped = stop.clone();
    let running = Controller::for_stream(events, store.clone())
        .with_config(settings)
        .reconcile_all_on(gained)
        .graceful_shutdown_on(async move { stopped.cancelled().await })
        .run(reconcile, |_, _, _| Action::requeue(Duration::from_secs(15)), Arc::clone(context))
        .for_each(move |result| {
            beat();
            if let Err(error) = result {
                tracing::warn!(error = %error, "controller");
            }
            std::future::ready(())
        });
    (store, first_list, running)
}

/// Takes out of a policy what is only read once: what was learned of it, which is kept for the first look.
fn slim(context: &Context, policy: &mut Guarded) {
    policy.managed_fields_mut().clear();
    let uid = policy.uid().unwrap_or_default();
    let Some(status) = policy.0.as_mut().ok().and_then(|p| p.status.as_mut()) else { return };
    if let Some(decision) = &mut status.decision {
        decision.record = None;
    }
    // Whoever leads knows it already, but for policies that it hasn't looked at yet.
    if let Some(learned) = status.learned.take()
        && (!context.leads() || !context.memory.knows(&uid))
    {
        context.memory.found(uid, learned);
    }
}

/// An item each time leadership comes to this instance.
fn leadership_gained(
    leadership: watch::Receiver<Leadership>,
) -> impl futures::Stream<Item = ()> + Send + 'static {
    futures::stream::unfold((leadership, false), |(mut leadership, mut before)| async move {
        loop {
            let ours = leadership.borrow_and_update().ours;
            if ours && !before {
                return Some(((), (leadership, true)));
            }
            before = ours;
            leadership.changed().await.ok()?;
        }
    })
}

/// Forgets policies that are gone, and gives HPAs back the floor they had.
async fn sweep(
    context: Arc<Context>,
    stores: Vec<Store<Guarded>>,
    stop: CancellationToken,
    beat: Arc<dyn Fn() + Send + Sync>,
) {
    let mut tick = tokio::time::interval(Duration::from_secs(2));
    let mut led = false;
    while stop.run_until_cancelled(tick.tick()).await.is_some() {
        beat();
        let alive: HashSet<String> = stores.iter().flat_map(Store::state).filter_map(|p| p.uid()).collect();
        let leads = context.leads();
        context.metrics.leader.set(leads.into());
        context.metrics.shard_policies.set(if leads { alive.len() as i64 } else { 0 });
        for gone in context.memory.sweep(|uid| alive.contains(uid)) {
            let gone = gone.lock().await;
            forget(&context, &gone.key, drives_floor(gone.target.as_ref())).await;
            if leads {
                context.profiles.forget(&gone).await;
            }
        }
        context.claims.retain(&alive);
        context.memory.retain_found(&alive);
        if leads && !led {
            // Policies may have gone while nobody led.
            context.profiles.retain(&alive).await;
        }
        led = leads;
        if !leads {
            show_nothing(&context);
        }
    }
}

/// A standby shows nothing rather than what was true when it led. What it learned it keeps: a Lease that is lost for a
/// moment loses nothing else.
fn show_nothing(context: &Context) {
    context.snapshot.send_if_modified(|snapshot| {
        let any = !snapshot.policies.is_empty();
        snapshot.policies.clear();
        any
    });
}

async fn forget(context: &Context, key: &PolicyKey, floor_of: Option<&str>) {
    tracing::info!(policy = %key, at = %Timestamp::now(), "policy gone");
    context.snapshot.send_if_modified(|snapshot| snapshot.remove(key));
    if let Some(name) = floor_of.filter(|_| context.leads()) {
        match give_back_floor(&context.client, &key.namespace, name).await {
            Ok(true) => tracing::info!(hpa = name, "floor given back"),
            Ok(false) => {}
            Err(error) => tracing::warn!(hpa = name, error = %say(&error), "can't give the floor back"),
        }
    }
}
