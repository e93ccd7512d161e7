//! From a HealthCheck to the probe that is run: Secrets resolved, certificates read, clients shared.

use std::collections::HashMap;
use std::sync::Arc;

use api::units;
use api::v1alpha1::{HealthCheck, HealthCheckSpec, Tls};
use health::Reason;
use health::check::Settings;
use jiff::Timestamp;
use kube::ResourceExt as _;
use probes::{
    Bounds, Credentials, Definition, Endpoint, Grpc, Http, Invalid, JsonExpectation, Kafka, Nats, Postgres,
    Probe, Promql, Rabbitmq, Redis, Tcp, Thresholds, Workload, WorkloadKind,
};
use reqwest::Client as HttpClient;
use secrecy::SecretString;
use sources::breaker::Limits;
use sources::prometheus::{Auth, Config, Prometheus};
use tokio::sync::Mutex;

use super::REMAKE;
use super::spec::{component, count, kind, millis, range, settings, uses_secrets};
use crate::Shared;

/// Makes definitions.
pub(super) struct Maker {
    shared: Shared,
    pool: sources::Pool,
    clients: Mutex<HashMap<String, HttpClient>>,
}

type Made = Result<Arc<dyn Probe>, (Reason, String)>;

fn invalid(error: impl ToString) -> (Reason, String) {
    (Reason::InvalidCheck, error.to_string())
}

fn missing(error: String) -> (Reason, String) {
    (Reason::SecretMissing, error)
}

impl Maker {
    /// A maker whose checks share one set of clients.
    pub(super) fn new(shared: Shared) -> Self {
        // Checks ask at their own pace: a circuit that stays open would tell of an outage that is over.
        let limits = Limits { failures: u32::MAX, ..Limits::default() };
        Self { shared, pool: sources::Pool::new(limits), clients: Mutex::default() }
    }

    /// The check as it is run; one that can't be made fails with the reason.
    pub(super) async fn definition(&self, object: &HealthCheck) -> Definition {
        let namespace = object.namespace().unwrap_or_default();
        let spec = &object.spec;
        let kind = kind(spec);
        let made = self.probe(&namespace, spec).await;
        let settings = settings(spec);
        let (probe, settings): (Arc<dyn Probe>, Settings) = match (made, settings) {
            (Ok(probe), Ok(settings)) => (probe, settings),
            (Err((reason, message)), settings) => {
                (Arc::new(Invalid { kind, reason, message }), settings.unwrap_or_default())
            }
            (Ok(_), Err(message)) => {
                let probe = Invalid { kind, reason: Reason::InvalidCheck, message };
                (Arc::new(probe), Settings::default())
            }
        };
        // A new generation, a new object, or a rotated Secret: a new probe.
        let revision = format!(
            "{} {:?} {}",
            object.uid().unwrap_or_default(),
            object.metadata.generation,
            Timestamp::now().as_second() / REMAKE.as_secs() as i64
        );
        let revision = if uses_secrets(spec) {
            revision
        } else {
            revision.rsplit_once(' ').map_or_else(String::new, |(r, _)| r.to_owned())
        };
        Definition { component: component(object, kind, settings), probe, revision }
    }

    async fn probe(&self, namespace: &str, spec: &HealthCheckSpec) -> Made {
        let HealthCheckSpec {
            http, tcp, grpc, promql, workload, redis, postgres, rabbitmq, kafka, nats, ..
        } = spec;
        if count(spec) != 1 {
            return Err(invalid(
                "set exactly one of http, tcp, grpc, promql, workload, redis, postgres, rabbitmq, kafka and nats",
            ));
        }
        if let Some(check) = http {
            return self.http(namespace, check).await;
        }
        if let Some(check) = tcp {
            let endpoint = Endpoint::new(&check.address, None).map_err(invalid)?;
            return Ok(Arc::new(Tcp { endpoint }));
        }
        if let Some(check) = grpc {
            let tls = self.tls(namespace, check.tls.as_ref()).await?;
            return Ok(Arc::new(Grpc::new(&check.address, &check.service, tls.as_ref()).map_err(invalid)?));
        }
        if let Some(check) = promql {
            return self.promql(namespace, check).await;
        }
        if let Some(check) = workload {
            return self.workload(namespace, check);
        }
        if let Some(check) = redis {
            let (endpoint, credentials) = self.broker(namespace, check).await?;
            return Ok(Arc::new(Redis { endpoint, credentials }));
        }
        if let Some(check) = nats {
            let (endpoint, credentials) = self.broker(namespace, check).await?;
            return Ok(Arc::new(Nats { endpoint, credentials }));
        }
        if let Some(check) = postgres {
            let endpoint = self.endpoint(namespace, &check.address, check.tls.as_ref()).await?;
            let password = self.secret(namespace, check.password_secret_ref.as_ref()).await?;
            let username = check.username.clone().unwrap_or_else(|| "postgres".into());
            let credentials = Credentials { username, password: password.unwrap_or_default() };
            let database = check.database.clone().unwrap_or_else(|| "postgres".into());
            return Ok(Arc::new(Postgres { endpoint, credentials, database }));
        }
        if let Some(check) = rabbitmq {
            let endpoint = self.endpoint(namespace, &check.address, check.tls.as_ref()).await?;
            let password = self.secret(namespace, check.password_secret_ref.as_ref()).await?;
            let username = check.username.clone().unwrap_or_else(|| "guest".into());
            let credentials = Credentials { username, password: password.unwrap_or_else(|| "guest".into()) };
            let virtual_host = check.virtual_host.clone().unwrap_or_else(|| "/".into());
            return Ok(Arc::new(Rabbitmq { endpoint, credentials, virtual_host }));
        }
        let Some(check) = kafka else { return Err(invalid("the check is empty")) };
        let endpoint = self.endpoint(namespace, &check.address, check.tls.as_ref()).await?;
        Ok(Arc::new(Kafka { endpoint, topics: check.topics.clone() }))
    }

    async fn http(&self, namespace: &str, check: &api::v1alpha1::HttpCheck) -> Made {
        let tls = self.tls(namespace, check.tls.as_ref()).await?.unwrap_or_default();
        let client = self.client(namespace, check.tls.as_ref(), &tls).await?;
        let mut headers = Vec::new();
        for header in &check.headers {
            let value = match (&header.value, &header.value_secret_ref) {
                (Some(value), _) => SecretString::from(value.clone()),
                (None, Some(reference)) => {
                    self.shared.secrets.value(namespace, reference).await.map_err(missing)?
                }
                (None, None) => SecretString::default(),
            };
            headers.push((header.name.clone(), value));
        }
        let method = check.method.as_deref().unwrap_or("GET");
        let mut http = Http::new(client, method, &check.url, &headers).map_err(invalid)?;
        http.statuses = check.statuses.iter().map(|s| range(s)).collect::<Result<_, _>>().map_err(invalid)?;
        http.body_contains.clone_from(&check.body_contains);
        http.json =
            check.json.as_ref().map(|j| JsonExpectation { path: j.path.clone(), equals: j.equals.clone() });
        http.bounds = Bounds {
            warn_above: check.warn_above.as_deref().map(millis).transpose().map_err(invalid)?,
            fail_above: check.fail_above.as_deref().map(millis).transpose().map_err(invalid)?,
        };
        if let Some(before) = &check.certificate_warn_before {
            http.certificate_warn_before = units::duration(before).map_err(invalid)?;
        }
        Ok(Arc::new(http))
    }

    /// One client for all checks that trust alike.
    async fn client(
        &self,
        namespace: &str,
        spec: Option<&Tls>,
        tls: &sources::Tls,
    ) -> Result<HttpClient, (Reason, String)> {
        let key = spec.map_or_else(String::new, |s| format!("{namespace} {s:?}"));
        let mut clients = self.clients.lock().await;
        if let Some(client) = clients.get(&key).filter(|_| spec.is_none()) {
            return Ok(client.clone());
        }
        let client = Http::client(tls).map_err(invalid)?;
        clients.insert(key, client.clone());
        Ok(client)
    }

    async fn promql(&self, namespace: &str, check: &api::v1alpha1::PromqlCheck) -> Made {
        let server = check.prometheus.as_ref();
        let address = server
            .map(|s| s.address.clone())
            .or_else(|| self.shared.settings.prometheus_url.clone())
            .ok_or_else(|| {
                invalid("no Prometheus: set promql.prometheus, or start Foresail with --prometheus-url")
            })?;
        let mut config = Config::new(address, &check.query);
        if let Some(server) = server {
            if let Some(tls) = self.tls(namespace, server.tls.as_ref()).await? {
                config.tls = tls;
            }
            if let Some(reference) = &server.bearer_token_secret_ref {
                let token = self.shared.secrets.value(namespace, reference).await.map_err(missing)?;
                config.auth = Auth::Bearer(token);
            } else if let Some(basic) = &server.basic_auth {
                let password = self
                    .shared
                    .secrets
                    .value(namespace, &basic.password_secret_ref)
                    .await
                    .map_err(missing)?;
                config.auth = Auth::Basic { username: basic.username.clone(), password };
            }
            for header in &server.headers {
                let value = match (&header.value, &header.value_secret_ref) {
                    (Some(value), _) => SecretString::from(value.clone()),
                    (None, Some(r)) => self.shared.secrets.value(namespace, r).await.map_err(missing)?,
                    (None, None) => continue,
                };
                config.headers.push((header.name.clone(), value));
            }
        }
        let source = Prometheus::new(&self.pool, config).map_err(invalid)?;
        let bound =
            |q: &Option<units::Quantity>| q.as_ref().map(units::Quantity::value).transpose().map_err(invalid);
        let thresholds = Thresholds {
            warn_above: bound(&check.warn_above)?,
            fail_above: bound(&check.fail_above)?,
            warn_below: bound(&check.warn_below)?,
            fail_below: bound(&check.fail_below)?,
        };
        Ok(Arc::new(Promql { source, thresholds, unit: check.unit.clone() }))
    }

    fn workload(&self, namespace: &str, check: &api::v1alpha1::WorkloadCheck) -> Made {
        let kind = match check.kind.as_str() {
            "Deployment" => WorkloadKind::Deployment,
            "StatefulSet" => WorkloadKind::StatefulSet,
            "DaemonSet" => WorkloadKind::DaemonSet,
            other => return Err(invalid(format!("{other} is no kind of workload that can be checked"))),
        };
        let least = check.min_available.as_deref().unwrap_or("50%");
        Ok(Arc::new(Workload {
            client: self.shared.client.clone(),
            namespace: namespace.to_owned(),
            kind,
            name: check.name.clone(),
            min_available: units::percent(least).map_err(invalid)?,
        }))
    }

    async fn broker(
        &self,
        namespace: &str,
        check: &api::v1alpha1::BrokerCheck,
    ) -> Result<(Endpoint, Option<Credentials>), (Reason, String)> {
        let endpoint = self.endpoint(namespace, &check.address, check.tls.as_ref()).await?;
        let password = self.secret(namespace, check.password_secret_ref.as_ref()).await?;
        let credentials = password
            .map(|password| Credentials { username: check.username.clone().unwrap_or_default(), password });
        Ok((endpoint, credentials))
    }

    async fn endpoint(
        &self,
        namespace: &str,
        address: &str,
        tls: Option<&Tls>,
    ) -> Result<Endpoint, (Reason, String)> {
        let tls = self.tls(namespace, tls).await?;
        Endpoint::new(address, tls.as_ref()).map_err(invalid)
    }

    async fn tls(
        &self,
        namespace: &str,
        tls: Option<&Tls>,
    ) -> Result<Option<sources::Tls>, (Reason, String)> {
        match tls {
            Some(tls) => self.shared.secrets.tls(namespace, tls).await.map(Some).map_err(missing),
            None => Ok(None),
        }
    }

    async fn secret(
        &self,
        namespace: &str,
        reference: Option<&api::v1alpha1::SecretKeyRef>,
    ) -> Result<Option<SecretString>, (Reason, String)> {
        self.shared.secrets.optional(namespace, reference).await.map_err(missing)
    }
}
