//! From a policy's signals to sources that can be asked: addresses, credentials and certificates put together, made
//! once and made again when the spec or a Secret changes.

use std::sync::Arc;
use std::time::Duration;

use api::v1alpha1::PrometheusServer;
use secrecy::SecretString;
use series::{Absence, AbsenceReason};
use sources::prometheus::{Auth, Config, Prometheus};
use sources::{Pool, QueueSource, Source, Tls};

use crate::observe::queues::{self, Plan};
use crate::observe::secrets::{Resolver, Secrets};
use crate::validate::{Intent, Signal, SignalSource};

/// The sources of one policy, in the order of its signals, each or why it can't be asked.
#[derive(Clone)]
pub(crate) struct Sources {
    /// What they were made from: the spec's generation and the versions of the Secrets.
    made_from: (Option<i64>, String),
    /// One for each signal.
    pub(crate) all: Vec<Result<Asked, Absence>>,
}

/// What one signal is asked of.
#[derive(Clone)]
pub(crate) enum Asked {
    /// A load, now and over its past, and how busy the replicas are under it, where that is learned from.
    Load { load: Arc<dyn Source>, utilization: Option<Arc<dyn Source>> },
    /// A queue, and what tells its arrivals over their past, where something does.
    Queue { queue: Arc<dyn QueueSource>, arrivals: Option<Arc<dyn Source>>, busy: Option<Busy> },
}

/// What tells how much work each pod has.
#[derive(Clone)]
pub(crate) struct Busy {
    pub(crate) source: Arc<Prometheus>,
    /// The label that names the pod.
    pub(crate) pod_label: String,
}

impl Asked {
    /// What can be forecast: the load itself, or a queue's arrivals.
    pub(crate) fn forecastable(&self) -> Option<&Arc<dyn Source>> {
        match self {
            Self::Load { load, .. } => Some(load),
            Self::Queue { arrivals, .. } => arrivals.as_ref(),
        }
    }
}

/// A signal with every secret resolved.
#[allow(
    clippy::large_enum_variant,
    reason = "a handful live for a moment each, while a policy's sources are made"
)]
enum Prepared {
    Load { load: Config, utilization: Option<Config> },
    Queue { queue: Plan, arrivals: Option<Config>, busy: Option<(Config, String)> },
}

/// Where a policy's queries go, with every secret resolved.
#[derive(Clone)]
struct Server {
    address: String,
    auth: Auth,
    tls: Tls,
    headers: Vec<(String, SecretString)>,
}

/// What is needed to make sources.
pub(crate) struct Maker<'a> {
    pub(crate) pool: &'a Pool,
    pub(crate) secrets: &'a Secrets,
    /// The Prometheus that Foresail was started with.
    pub(crate) default_address: Option<&'a str>,
    /// The longest a reading may take.
    pub(crate) deadline: Duration,
}

impl Maker<'_> {
    /// The sources for `intent`: those of before, where nothing they were made from has changed.
    pub(crate) async fn make(
        &self,
        namespace: &str,
        intent: &Intent,
        generation: Option<i64>,
        before: Option<Sources>,
    ) -> Sources {
        let mut versions = String::new();
        let server = self.server(namespace, intent, &mut versions).await;
        let mut prepared = Vec::new();
        for signal in &intent.signals {
            prepared.push(self.prepare(namespace, signal, &server, &mut versions).await);
        }
        let made_from = (generation, versions);
        if let Some(before) =
            before.filter(|b| b.made_from == made_from && prepared.iter().all(Result::is_ok))
        {
            return before;
        }
        let all = prepared.into_iter().map(|prepared| self.source(prepared?)).collect();
        Sources { made_from, all }
    }

    async fn prepare(
        &self,
        namespace: &str,
        signal: &Signal,
        server: &Result<Server, Absence>,
        versions: &mut String,
    ) -> Result<Prepared, Absence> {
        let prometheus = |query: String| {
            let Server { address, auth, tls, headers } = server.clone()?;
            Ok(Config { auth, tls, headers, deadline: self.deadline, ..Config::new(address, query) })
        };
        match &signal.source {
            SignalSource::Prometheus { query, utilization } => Ok(Prepared::Load {
                load: prometheus(query.clone())?,
                utilization: utilization.clone().map(prometheus).transpose()?,
            }),
            SignalSource::Queue { queue } => {
                let mut secrets = Resolver::new(self.secrets, namespace, versions);
                let plan = queues::plan(queue, &mut secrets, prometheus).await?;
                let arrivals = queue.arrivals.clone().map(prometheus).transpose()?;
                let busy = queue.busy.as_ref();
                let busy =
                    busy.map(|b| Ok((prometheus(b.query.clone())?, b.pod_label.clone()))).transpose()?;
                Ok(Prepared::Queue { queue: plan, arrivals, busy })
            }
        }
    }

    fn source(&self, prepared: Prepared) -> Result<Asked, Absence> {
        let load = |config| Ok::<Arc<dyn Source>, Absence>(Arc::new(Prometheus::new(self.pool, config)?));
        match prepared {
            Prepared::Load { load: query, utilization } => {
                Ok(Asked::Load { load: load(query)?, utilization: utilization.map(load).transpose()? })
            }
            Prepared::Queue { queue, arrivals, busy } => Ok(Asked::Queue {
                queue: queue.source(self.pool)?,
                arrivals: arrivals.map(load).transpose()?,
                busy: busy.map(|(query, pod_label)| self.busy(query, pod_label)).transpose()?,
            }),
        }
    }

    fn busy(&self, query: Config, pod_label: String) -> Result<Busy, Absence> {
        Ok(Busy { source: Arc::new(Prometheus::new(self.pool, query)?), pod_label })
    }

    async fn server(
        &self,
        namespace: &str,
        intent: &Intent,
        versions: &mut String,
    ) -> Result<Server, Absence> {
        if let Some(written) = &intent.prometheus {
            return self.resolve(namespace, written, versions).await;
        }
        let address = self.default_address.ok_or_else(|| {
            Absence::new(
                AbsenceReason::Unreachable,
                "no Prometheus is named; write spec.prometheus.address, or start Foresail with --prometheus-url",
            )
        })?;
        Ok(Server { address: address.to_owned(), auth: Auth::None, tls: Tls::default(), headers: Vec::new() })
    }

    async fn resolve(
        &self,
        namespace: &str,
        written: &PrometheusServer,
        versions: &mut String,
    ) -> Result<Server, Absence> {
        let mut secrets = Resolver::new(self.secrets, namespace, versions);
        let auth = match (&written.bearer_token_secret_ref, &written.basic_auth) {
            (Some(token), _) => Auth::Bearer(secrets.value(token).await.map_err(at("bearerTokenSecretRef"))?),
            (None, Some(basic)) => Auth::Basic {
                username: basic.username.clone(),
                password: secrets
                    .value(&basic.password_secret_ref)
                    .await
                    .map_err(at("basicAuth.passwordSecretRef"))?,
            },
            (None, None) => Auth::None,
        };
        let tls = match &written.tls {
            Some(written) => queues::tls(written, &mut secrets).await.map_err(at("tls"))?,
            None => Tls::default(),
        };
        let mut headers = Vec::new();
        for (index, header) in written.headers.iter().enumerate() {
            let value = match (&header.value, &header.value_secret_ref) {
                (_, Some(reference)) => {
                    let field = format!("headers[{index}].valueSecretRef");
                    secrets.value(reference).await.map_err(at(&field))?
                }
                (value, None) => SecretString::from(value.clone().unwrap_or_default()),
            };
            headers.push((header.name.clone(), value));
        }
        Ok(Server { address: written.address.clone(), auth, tls, headers })
    }
}

/// Says under which field of `spec.prometheus` a Secret is referred to.
fn at(field: &str) -> impl FnOnce(Absence) -> Absence {
    move |absence| Absence::new(absence.reason, format!("spec.prometheus.{field}: {}", absence.message))
}
