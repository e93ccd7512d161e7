//! Objects of one kind, kept up to date by a watch, over all namespaces or a few.

use std::sync::Arc;

use futures::StreamExt as _;
use k8s_openapi::NamespaceResourceScope;
use kube::core::DeserializeGuard;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::reflector::{self, Store};
use kube::runtime::watcher::{self, watcher};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// A kind whose objects may be unreadable one by one without stopping the others.
pub(crate) type Guarded<K> = DeserializeGuard<K>;

/// The objects of one kind.
pub(crate) struct Kept<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Send + Sync + 'static,
{
    stores: Vec<Store<Guarded<K>>>,
    /// Told at each change.
    pub(crate) changed: Arc<Notify>,
    _tasks: JoinSet<()>,
}

impl<K> Kept<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static,
{
    /// Follows the kind in these namespaces; in all where none is named.
    pub(crate) fn follow(client: &Client, namespaces: &[String]) -> Self {
        let changed = Arc::new(Notify::new());
        let scopes: Vec<Option<&String>> =
            if namespaces.is_empty() { vec![None] } else { namespaces.iter().map(Some).collect() };
        let mut tasks = JoinSet::new();
        let mut stores = Vec::new();
        for scope in scopes {
            let api: Api<Guarded<K>> = match scope {
                Some(namespace) => Api::namespaced(client.clone(), namespace),
                None => Api::all(client.clone()),
            };
            let (store, writer) = reflector::store();
            stores.push(store);
            let told = changed.clone();
            let events = watcher(api, watcher::Config::default()).default_backoff().reflect(writer);
            tasks.spawn(async move {
                let mut events = std::pin::pin!(events);
                let mut last = String::new();
                while let Some(event) = events.next().await {
                    match event {
                        Ok(_) => told.notify_one(),
                        Err(error) => {
                            let text = error.to_string();
                            if text != last {
                                tracing::warn!(kind = %K::kind(&()), error = text, "can't watch");
                                last = text;
                            }
                        }
                    }
                }
            });
        }
        Self { stores, changed, _tasks: tasks }
    }

    /// The objects that can be read, and a word for each that can't.
    pub(crate) fn all(&self) -> (Vec<Arc<K>>, Vec<String>) {
        let (mut read, mut unreadable) = (Vec::new(), Vec::new());
        for object in self.stores.iter().flat_map(Store::state) {
            match &object.0 {
                Ok(object) => read.push(Arc::new(object.clone())),
                Err(invalid) => {
                    let name = invalid.metadata.name.clone().unwrap_or_default();
                    unreadable.push(format!("{name}: {}", invalid.error));
                }
            }
        }
        read.sort_by(|a, b| {
            let key = |o: &Arc<K>| (o.meta().namespace.clone(), o.meta().name.clone());
            key(a).cmp(&key(b))
        });
        (read, unreadable)
    }
}

/// `namespace/name` of an object.
pub(crate) fn id<K: Resource>(object: &K) -> String {
    let meta = object.meta();
    format!("{}/{}", meta.namespace.as_deref().unwrap_or_default(), meta.name.as_deref().unwrap_or_default())
}
