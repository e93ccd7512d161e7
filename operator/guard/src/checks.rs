//! HealthChecks: each becomes a probe, all together the system; what is found goes to the page, to the other instances,
//! and to the status of each check.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::units;
use api::v1alpha1::{Criticality, HealthCheck, HealthCheckSpec, HealthCheckStatus, Tls};
use health::calendar::Calendar;
use health::check::Settings;
use health::graph::Dependency;
use health::{Component, ComponentId, ComponentView, Overview, Reason, Status};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;
use probes::{
    Bounds, Credentials, Definition, Endpoint, Grpc, Http, Inputs, Invalid, JsonExpectation, Kafka, Nats,
    Outputs, Postgres, Probe, Promql, Rabbitmq, Redis, StatusRange, Tcp, Thresholds, Watch, Workload,
    WorkloadKind,
};
use reqwest::Client as HttpClient;
use secrecy::SecretString;
use sources::prometheus::{Auth, Config, Prometheus};
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;

use crate::status::{condition, write};
use crate::store::{Kept, id};
use crate::{Shared, page, share};

/// Secrets that were rotated are in use after this time.
const REMAKE: Duration = Duration::from_secs(60);
/// The page and statuses follow at once where something changed, and numbers alone this often.
const NUMBERS: Duration = Duration::from_secs(5);

pub(crate) async fn run(
    shared: Shared,
    calendars: watch::Receiver<Arc<Vec<Calendar>>>,
    out: watch::Sender<Arc<Overview>>,
    stop: CancellationToken,
) {
    let kept: Arc<Kept<HealthCheck>> = Arc::new(Kept::follow(&shared.client, &shared.settings.namespaces));
    let (definitions_sender, definitions) = watch::channel(Arc::new(Vec::new()));
    let (others_sender, others) = watch::channel(Arc::new(Vec::new()));
    let inputs = Inputs {
        definitions,
        others,
        calendars,
        prober: shared.settings.instance.clone(),
        limits: probes::Limits::default(),
    };
    let (watch, outputs) = Watch::start(inputs, shared.metrics.clone());
    let mut tasks = tokio::task::JoinSet::new();
    if shared.settings.share {
        tasks.spawn(share::tell(shared.clone(), outputs.own.clone(), stop.clone()));
        tasks.spawn(share::hear(shared.clone(), others_sender, stop.clone()));
    }
    tasks.spawn(define(shared.clone(), kept.clone(), definitions_sender, stop.clone()));
    tasks.spawn(publish(shared, kept, outputs, out, stop.clone()));
    stop.cancelled().await;
    // Probing ends first: a network that is being taken down isn't an outage of the system.
    drop(watch);
    while tasks.join_next().await.is_some() {}
}

/// Keeps the definitions up to date.
async fn define(
    shared: Shared,
    kept: Arc<Kept<HealthCheck>>,
    out: watch::Sender<Arc<Vec<Definition>>>,
    stop: CancellationToken,
) {
    let maker = Maker { shared: shared.clone(), pool: sources::Pool::default(), clients: Mutex::default() };
    let mut made: HashMap<String, (Instant, Option<i64>, Definition)> = HashMap::new();
    let mut first = true;
    loop {
        let (objects, unreadable) = kept.all();
        for told in unreadable {
            tracing::warn!(check = told, "a HealthCheck can't be read");
        }
        let mut next = Vec::with_capacity(objects.len());
        let mut changed = first || objects.len() != made.len();
        first = false;
        let mut seen = HashMap::with_capacity(objects.len());
        for object in &objects {
            let key = id(&**object);
            let uid = object.uid().unwrap_or_default();
            let known = made.remove(&key).filter(|(at, generation, d)| {
                at.elapsed() < REMAKE
                    && *generation == object.metadata.generation
                    && d.revision.starts_with(&uid)
            });
            let entry = if let Some(entry) = known {
                entry
            } else {
                changed = true;
                (Instant::now(), object.metadata.generation, maker.definition(object).await)
            };
            next.push(entry.2.clone());
            seen.insert(key, entry);
        }
        made = seen;
        if changed {
            out.send_replace(Arc::new(next));
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = kept.changed.notified() => tokio::time::sleep(Duration::from_millis(50)).await,
            () = tokio::time::sleep(REMAKE) => {}
        }
    }
}

/// Hands the overview on: to `/health` at once, to the page and the statuses when something changed.
async fn publish(
    shared: Shared,
    kept: Arc<Kept<HealthCheck>>,
    mut outputs: Outputs,
    out: watch::Sender<Arc<Overview>>,
    stop: CancellationToken,
) {
    let mut last = Instant::now();
    let mut words = Vec::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            changed = outputs.overview.changed() => if changed.is_err() { return },
        }
        let overview = outputs.overview.borrow_and_update().clone();
        out.send_replace(overview.clone());
        let now_words: Vec<(Status, bool, bool)> = overview
            .components
            .iter()
            .map(|c| (c.status, c.view.flapping, c.view.pending.is_some()))
            .collect();
        if now_words == words && last.elapsed() < NUMBERS {
            continue;
        }
        words = now_words;
        last = Instant::now();
        shared.snapshot.send_modify(|s| s.health = Arc::new(page::snapshot(&overview)));
        if shared.leads() {
            for object in kept.all().0 {
                let id = ComponentId::new(
                    object.metadata.namespace.as_deref().unwrap_or_default(),
                    object.metadata.name.as_deref().unwrap_or_default(),
                );
                if let Some(view) = overview.component(&id) {
                    let next = status(&object, view, overview.at);
                    write(&shared.client, &*object, object.status.as_ref(), &next).await;
                }
            }
        }
    }
}

/// What moves with every probe stays out: a status is written when it says something new.
fn status(object: &HealthCheck, view: &ComponentView, now: Timestamp) -> HealthCheckStatus {
    let previous = object.status.clone().unwrap_or_default();
    let same = previous.status.as_deref() == Some(view.status.as_str());
    let generation = object.metadata.generation;
    let last = view.view.last.as_ref();
    let invalid = last.filter(|o| matches!(o.reason, Reason::InvalidCheck | Reason::SecretMissing));
    let output =
        if same && previous.output.is_some() { previous.output.clone() } else { Some(page::output(view)) };
    let (ready, why) = match invalid {
        Some(outcome) => (false, (outcome.reason.as_str(), outcome.output.clone())),
        None => (true, ("Probing", "the check is valid and runs".to_owned())),
    };
    let healthy = matches!(view.status, Status::Pass | Status::Warn);
    let reason = match view.status {
        Status::Pass => "Pass",
        Status::Warn => "Degraded",
        Status::Fail => "Down",
        Status::Unknown => "Unknown",
        Status::Maintenance => "Maintenance",
    };
    HealthCheckStatus {
        observed_generation: generation,
        kind: Some(view.component.kind.clone()),
        status: Some(view.status.to_string()),
        since: if same { previous.since.clone().or(Some(Time(view.since))) } else { Some(Time(view.since)) },
        own: Some(view.own.to_string()),
        flapping: view.view.flapping,
        output: output.clone(),
        causes: view.causes.iter().map(|c| c.id.to_string()).collect(),
        consequences: view.consequences.iter().take(50).map(ToString::to_string).collect(),
        votes: Some(format!("{}/{}", view.agreement.down, view.agreement.voters)),
        conditions: vec![
            condition(&previous.conditions, "Ready", ready, why.0, &why.1, generation, now),
            condition(
                &previous.conditions,
                "Healthy",
                healthy,
                reason,
                output.as_deref().unwrap_or_default(),
                generation,
                now,
            ),
        ],
    }
}

struct Maker {
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
    async fn definition(&self, object: &HealthCheck) -> Definition {
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

fn kind(spec: &HealthCheckSpec) -> &'static str {
    let kinds = present(spec);
    kinds.into_iter().find(|(there, _)| *there).map_or("invalid", |(_, kind)| kind)
}

fn count(spec: &HealthCheckSpec) -> usize {
    present(spec).into_iter().filter(|(there, _)| *there).count()
}

fn present(spec: &HealthCheckSpec) -> [(bool, &'static str); 10] {
    [
        (spec.http.is_some(), "http"),
        (spec.tcp.is_some(), "tcp"),
        (spec.grpc.is_some(), "grpc"),
        (spec.promql.is_some(), "promql"),
        (spec.workload.is_some(), "workload"),
        (spec.redis.is_some(), "redis"),
        (spec.postgres.is_some(), "postgres"),
        (spec.rabbitmq.is_some(), "rabbitmq"),
        (spec.kafka.is_some(), "kafka"),
        (spec.nats.is_some(), "nats"),
    ]
}

fn uses_secrets(spec: &HealthCheckSpec) -> bool {
    serde_json::to_string(spec).is_ok_and(|text| text.contains("SecretRef"))
}

fn settings(spec: &HealthCheckSpec) -> Result<Settings, String> {
    let defaults = Settings::default();
    let duration = |text: &Option<String>, default: Duration| match text {
        Some(text) => units::duration(text).map_err(|e| e.to_string()),
        None => Ok(default),
    };
    let threshold =
        |n: Option<i32>, default: u32| n.and_then(|n| u32::try_from(n).ok()).unwrap_or(default).max(1);
    let interval = duration(&spec.interval, defaults.interval)?;
    if interval < Duration::from_secs(1) {
        return Err("interval must be at least 1s".into());
    }
    let timeout = duration(&spec.timeout, defaults.timeout.min(interval))?;
    if timeout > interval || timeout.is_zero() {
        return Err("timeout must be above 0s and not longer than interval".into());
    }
    Ok(Settings {
        interval,
        timeout,
        failure_threshold: threshold(spec.failure_threshold, defaults.failure_threshold),
        success_threshold: threshold(spec.success_threshold, defaults.success_threshold),
        start_up_grace: duration(&spec.start_up_grace, defaults.start_up_grace)?,
        flapping: defaults.flapping,
    })
}

fn component(object: &HealthCheck, kind: &str, settings: Settings) -> Component {
    let spec = &object.spec;
    let namespace = object.namespace().unwrap_or_default();
    let groups = if spec.groups.is_empty() { vec![namespace.clone()] } else { spec.groups.clone() };
    // Labels with a prefix are for machines.
    let labels =
        object.labels().iter().filter(|(k, _)| !k.contains('/')).map(|(k, v)| (k.clone(), v.clone()));
    Component {
        id: ComponentId::new(&namespace, &object.name_any()),
        kind: kind.to_owned(),
        settings,
        criticality: match spec.criticality {
            Criticality::Critical => health::Criticality::Critical,
            Criticality::Optional => health::Criticality::Optional,
        },
        depends_on: spec
            .depends_on
            .iter()
            .map(|d| Dependency {
                on: ComponentId::new(d.namespace.as_deref().unwrap_or(&namespace), &d.name),
                required: !d.optional,
            })
            .collect(),
        groups,
        labels: labels.collect(),
    }
}

fn range(text: &str) -> Result<StatusRange, String> {
    let wrong = || format!("{text:?} is no status code or range");
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    Ok(StatusRange(from.parse().map_err(|_| wrong())?, to.parse().map_err(|_| wrong())?))
}

fn millis(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no latency such as 500ms or 2s");
    let number = |t: &str| t.parse::<u64>().map_err(|_| wrong());
    match text.strip_suffix("ms") {
        Some(ms) => number(ms).map(Duration::from_millis),
        None => number(text.strip_suffix('s').ok_or_else(wrong)?).map(Duration::from_secs),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_of_three_lines_has_every_default() {
        let object: HealthCheck = serde_saphyr::from_str(
            "{apiVersion: foresail.dev/v1alpha1, kind: HealthCheck, metadata: {name: db, namespace: shop, labels: {team: orders, app.kubernetes.io/name: db}}, spec: {redis: {address: 'db:6379'}, dependsOn: [{name: net, optional: true}]}}",
        )
        .unwrap();
        assert_eq!((kind(&object.spec), count(&object.spec)), ("redis", 1));
        let settings = settings(&object.spec).unwrap();
        assert_eq!(settings, Settings::default());
        let component = component(&object, "redis", settings);
        assert_eq!(component.groups, ["shop"]);
        assert_eq!(component.labels.len(), 1);
        assert_eq!(component.depends_on[0].on.as_str(), "shop/net");
    }

    #[test]
    fn what_is_wrong_is_a_sentence() {
        let spec = |text: &str| serde_saphyr::from_str::<HealthCheckSpec>(text).unwrap();
        assert!(settings(&spec("{interval: 5s, timeout: 10s}")).unwrap_err().contains("timeout"));
        assert!(settings(&spec("{interval: soon}")).unwrap_err().contains("soon"));
        assert_eq!(count(&spec("{tcp: {address: 'a:1'}, redis: {address: 'a:1'}}")), 2);
        assert_eq!(range("200-204"), Ok(StatusRange(200, 204)));
        assert_eq!(millis("500ms"), Ok(Duration::from_millis(500)));
        assert!(range("abc").is_err() && millis("5m").is_err());
    }
}
