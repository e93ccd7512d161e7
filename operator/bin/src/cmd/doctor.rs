//! `foresail doctor`: what would keep Foresail from working, what to do about it, before or after it is installed.

use std::process::ExitCode;
use std::time::Duration;

use api::v1alpha1::AutoscalePolicy;
use jiff::Timestamp;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ListParams, PostParams};
use kube::{Client, ResourceExt as _};
use serde::Serialize;
use series::time;
use sources::prometheus::{Config, Prometheus};

use crate::cli::{self, Output};
use crate::cluster::Cluster;

#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes: 0 all is well, 2 something deserves a look, 1 something is broken.")]
pub(crate) struct Args {
    #[command(flatten)]
    cluster: Cluster,
    /// Prometheus that Foresail is, or will be, started with
    #[arg(long, value_name = "URL", env = "FORESAIL_PROMETHEUS_URL")]
    prometheus_url: Option<String>,
    /// Namespace whose policies are looked at. Default: all
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,
    /// The service account to check permissions of, as namespace/name. Default: who asks
    #[arg(long, value_name = "ACCOUNT")]
    service_account: Option<String>,
    /// text, json or yaml
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Good,
    Warning,
    Broken,
}

/// One check.
#[derive(Clone, Debug, Serialize)]
struct Finding {
    area: &'static str,
    verdict: Verdict,
    what: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

/// The checks so far.
#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn good(&mut self, area: &'static str, what: impl Into<String>) {
        self.0.push(Finding { area, verdict: Verdict::Good, what: what.into(), remedy: None });
    }

    fn warn(&mut self, area: &'static str, what: impl Into<String>, remedy: impl Into<String>) {
        let remedy = Some(remedy.into());
        self.0.push(Finding { area, verdict: Verdict::Warning, what: what.into(), remedy });
    }

    fn broken(&mut self, area: &'static str, what: impl Into<String>, remedy: impl Into<String>) {
        let remedy = Some(remedy.into());
        self.0.push(Finding { area, verdict: Verdict::Broken, what: what.into(), remedy });
    }
}

pub(crate) fn main(args: Args) -> anyhow::Result<ExitCode> {
    cli::runtime()?.block_on(run(args))
}

async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut findings = Findings::default();
    match args.cluster.client().await {
        Ok((client, own)) => {
            if cluster(&client, &mut findings).await {
                definitions(&client, &mut findings).await;
                permissions(&client, &own, args.service_account.as_deref(), &mut findings).await;
                policies(&client, &args, &mut findings).await;
            }
        }
        Err(error) => findings.broken("cluster", format!("{error:#}"), "check --kubeconfig and --context"),
    }
    prometheus(args.prometheus_url.as_deref(), &mut findings).await;
    match args.output {
        Output::Text => print(&findings.0),
        Output::Json => println!("{}", serde_json::to_string_pretty(&findings.0)?),
        Output::Yaml => print!("{}", serde_saphyr::to_string(&findings.0)?),
    }
    let worst = |v| findings.0.iter().any(|f| f.verdict == v);
    Ok(if worst(Verdict::Broken) {
        ExitCode::FAILURE
    } else if worst(Verdict::Warning) {
        ExitCode::from(2)
    } else {
        ExitCode::SUCCESS
    })
}

fn print(findings: &[Finding]) {
    let mut area = "";
    for finding in findings {
        if finding.area != area {
            println!("{}{}", if area.is_empty() { "" } else { "\n" }, finding.area);
            area = finding.area;
        }
        let sign = match finding.verdict {
            Verdict::Good => "√",
            Verdict::Warning => "‼",
            Verdict::Broken => "×",
        };
        println!("  {sign} {}", finding.what);
        if let Some(remedy) = &finding.remedy {
            println!("      → {remedy}");
        }
    }
}

/// The oldest Kubernetes that Foresail supports: 1.34.
const OLDEST_MINOR: u32 = 34;

/// Whether the API server answers at all.
async fn cluster(client: &Client, findings: &mut Findings) -> bool {
    let area = "cluster";
    let before = Timestamp::now();
    match client.apiserver_version().await {
        Ok(version) => {
            let minor: u32 = version.minor.trim_end_matches('+').parse().unwrap_or(0);
            let told = format!("Kubernetes {}", version.git_version);
            if minor >= OLDEST_MINOR {
                findings.good(area, told);
            } else {
                findings.warn(
                    area,
                    format!("{told} is older than 1.{OLDEST_MINOR}, the oldest that Foresail supports"),
                    "upgrade Kubernetes",
                );
            }
        }
        Err(error) => {
            findings.broken(
                area,
                format!("the API server doesn't answer: {error}"),
                "check the address and the network",
            );
            return false;
        }
    }
    clock(client, before, findings).await;
    true
}

/// A Lease or event written with a wrong clock misleads people, and forecasts of shifted time are shifted.
async fn clock(client: &Client, before: Timestamp, findings: &mut Findings) {
    let Ok(request) = http::Request::get("/version").body(kube::client::Body::empty()) else { return };
    let Ok(response) = client.send(request).await else { return };
    let date = response.headers().get("date").and_then(|d| d.to_str().ok());
    let Some(server) = date.and_then(|d| jiff::fmt::rfc2822::parse(d).ok()) else { return };
    let skew = time::since(server.timestamp(), before).max(time::since(before, server.timestamp()));
    if skew > Duration::from_secs(5) {
        findings.warn(
            "cluster",
            format!("this machine's clock and the API server's differ by {} s", skew.as_secs()),
            "synchronize the clocks (chrony, ntp)",
        );
    } else {
        findings.good("cluster", "clocks agree");
    }
}

async fn definitions(client: &Client, findings: &mut Findings) {
    let area = "resource definitions";
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for wanted in api::definitions::all() {
        let name = wanted.name_any();
        match api.get_opt(&name).await {
            Ok(Some(found)) => {
                let versions = |crd: &CustomResourceDefinition| {
                    crd.spec.versions.iter().map(|v| v.name.clone()).collect::<Vec<_>>()
                };
                if versions(&found) == versions(&wanted) {
                    findings.good(area, name);
                } else {
                    findings.warn(
                        area,
                        format!("{name} has other versions"),
                        "run `foresail crds | kubectl apply --server-side -f -`",
                    );
                }
            }
            Ok(None) => findings.broken(
                area,
                format!("{name} isn't installed"),
                "run `foresail crds | kubectl apply --server-side -f -`",
            ),
            Err(kube::Error::Api(status)) if status.code == 403 => {
                findings.warn(area, format!("can't look at {name}"), "ask somebody who may list CRDs");
                return;
            }
            Err(error) => findings.broken(area, format!("{name}: {error}"), "look at the API server"),
        }
    }
}

/// What the operator does, as group, resource, subresource and verb.
const NEEDED: [(&str, &str, &str, &str); 14] = [
    ("foresail.dev", "autoscalepolicies", "", "watch"),
    ("foresail.dev", "autoscalepolicies", "status", "patch"),
    ("apps", "deployments", "scale", "get"),
    ("apps", "deployments", "scale", "update"),
    ("apps", "statefulsets", "scale", "get"),
    ("apps", "statefulsets", "scale", "update"),
    ("", "pods", "", "watch"),
    ("autoscaling", "horizontalpodautoscalers", "", "watch"),
    ("autoscaling", "horizontalpodautoscalers", "", "patch"),
    ("", "secrets", "", "get"),
    ("events.k8s.io", "events", "", "create"),
    ("coordination.k8s.io", "leases", "", "create"),
    ("coordination.k8s.io", "leases", "", "update"),
    ("foresail.dev", "scalingcalendars", "", "watch"),
];

async fn permissions(client: &Client, own: &str, account: Option<&str>, findings: &mut Findings) {
    let area = "permissions";
    // Leases are held beside the operator, wherever it looks after policies.
    let own = account.and_then(|a| a.split_once('/')).map_or(own, |(namespace, _)| namespace);
    let mut denied = Vec::new();
    for (group, resource, subresource, verb) in NEEDED {
        let namespace = (resource == "leases").then_some(own);
        match allowed(client, account, namespace, (group, resource, subresource, verb)).await {
            Ok(true) => {}
            Ok(false) => {
                let slash = if subresource.is_empty() { "" } else { "/" };
                denied.push(format!("{verb} {resource}{slash}{subresource}"));
            }
            Err(error) => {
                findings.warn(
                    area,
                    format!("can't ask for permissions: {error}"),
                    "ask a cluster administrator",
                );
                return;
            }
        }
    }
    let who = account.unwrap_or("the current user");
    if denied.is_empty() {
        findings.good(area, format!("{who} may do what the operator does"));
    } else {
        findings.warn(
            area,
            format!("{who} may not: {}", denied.join(", ")),
            "install with the chart's ClusterRole; for a look at its account use --service-account",
        );
    }
}

async fn allowed(
    client: &Client,
    account: Option<&str>,
    namespace: Option<&str>,
    (group, resource, subresource, verb): (&str, &str, &str, &str),
) -> Result<bool, kube::Error> {
    use k8s_openapi::api::authorization::v1::{SubjectAccessReview, SubjectAccessReviewSpec};
    let attributes = ResourceAttributes {
        namespace: namespace.map(str::to_owned),
        group: Some(group.to_owned()),
        resource: Some(resource.to_owned()),
        subresource: (!subresource.is_empty()).then(|| subresource.to_owned()),
        verb: Some(verb.to_owned()),
        ..ResourceAttributes::default()
    };
    if let Some((namespace, name)) = account.and_then(|a| a.split_once('/')) {
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                resource_attributes: Some(attributes),
                user: Some(format!("system:serviceaccount:{namespace}:{name}")),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let api: Api<SubjectAccessReview> = Api::all(client.clone());
        let answer = api.create(&PostParams::default(), &review).await?;
        return Ok(answer.status.is_some_and(|s| s.allowed));
    }
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(attributes),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let api: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let answer = api.create(&PostParams::default(), &review).await?;
    Ok(answer.status.is_some_and(|s| s.allowed))
}

/// Every policy: its spec, its conditions, its queries.
async fn policies(client: &Client, args: &Args, findings: &mut Findings) {
    let area = "policies";
    let api: Api<AutoscalePolicy> = match &args.namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    let policies = match api.list(&ListParams::default()).await {
        Ok(list) => list.items,
        Err(error) => {
            findings.broken(
                area,
                format!("can't list policies: {error}"),
                "install the resource definitions",
            );
            return;
        }
    };
    if policies.is_empty() {
        findings.good(area, "none yet");
    }
    for policy in &policies {
        let name = format!("{}/{}", policy.namespace().unwrap_or_default(), policy.name_any());
        match controller::validate::validate(&policy.spec, Duration::from_secs(15)) {
            Ok(intent) => {
                conditions(policy, &name, findings);
                queries(&intent, &name, args.prometheus_url.as_deref(), findings).await;
            }
            Err(invalid) => {
                for each in invalid {
                    findings.broken(
                        area,
                        format!("{name}: spec.{} is {}", each.field, each.value),
                        each.remedy,
                    );
                }
            }
        }
    }
}

fn conditions(policy: &AutoscalePolicy, name: &str, findings: &mut Findings) {
    let area = "policies";
    let Some(status) = &policy.status else {
        findings.warn(
            area,
            format!("{name} was never looked at"),
            "check that Foresail runs and looks after the namespace",
        );
        return;
    };
    if status.observed_generation != policy.metadata.generation {
        findings.warn(
            area,
            format!("{name}: the last change wasn't seen yet"),
            "wait, or look at Foresail's logs",
        );
    }
    match status.conditions.iter().find(|c| c.type_ == "Ready") {
        Some(ready) if ready.status == "True" => {
            findings.good(area, format!("{name} is Ready ({})", ready.reason));
        }
        Some(ready) => findings.broken(
            area,
            format!("{name} isn't Ready: {}", ready.reason),
            if ready.message.is_empty() { "see `kubectl describe`" } else { ready.message.as_str() },
        ),
        None => findings.warn(area, format!("{name} says nothing about Ready"), "look at Foresail's logs"),
    }
}

/// Asks the queries of a policy that needs no Secret for them.
async fn queries(
    intent: &controller::validate::Intent,
    name: &str,
    default_url: Option<&str>,
    findings: &mut Findings,
) {
    let address = match &intent.prometheus {
        Some(server) if server.bearer_token_secret_ref.is_none() && server.basic_auth.is_none() => {
            Some(server.address.as_str())
        }
        Some(_) => None,
        None => default_url,
    };
    let Some(address) = address else { return };
    let pool = sources::Pool::default();
    for signal in &intent.signals {
        let controller::validate::SignalSource::Prometheus { query, .. } = &signal.source else { continue };
        let area = "queries";
        match ask(&pool, address, query).await {
            Ok(value) => findings.good(area, format!("{name}: {} is {value}", signal.name)),
            Err(absence) => {
                findings.broken(area, format!("{name}: {} gives no value", signal.name), absence.to_string());
            }
        }
    }
}

async fn ask(pool: &sources::Pool, address: &str, query: &str) -> Result<f64, series::Absence> {
    use sources::Source as _;
    let source = Prometheus::new(pool, Config::new(address, query))?;
    Ok(source.read(Timestamp::now()).await?.value())
}

async fn prometheus(address: Option<&str>, findings: &mut Findings) {
    let area = "Prometheus";
    let Some(address) = address else {
        findings.warn(
            area,
            "no --prometheus-url given",
            "name the one that Foresail is started with to check it",
        );
        return;
    };
    let pool = sources::Pool::default();
    match ask(&pool, address, "vector(1)").await {
        Ok(_) => findings.good(area, format!("{address} answers")),
        Err(absence) => {
            findings.broken(area, format!("{address} doesn't answer"), absence.to_string());
            return;
        }
    }
    match ask(&pool, address, "count(up == 1)").await {
        Ok(up) => findings.good(area, format!("{up} targets are scraped")),
        Err(absence) => findings.warn(area, "no target is scraped", absence.to_string()),
    }
    let age = "min(time() - timestamp(up))";
    if let Ok(age) = ask(&pool, address, age).await {
        if age > 120.0 {
            findings.warn(
                area,
                format!("the newest sample is {age:.0} s old"),
                "look at Prometheus' own targets",
            );
        } else {
            findings.good(area, format!("the newest sample is {age:.0} s old"));
        }
    }
    match ask(&pool, address, "count(up offset 14d) or vector(0)").await {
        Ok(0.0) => findings.warn(
            area,
            "there is no history of two weeks",
            "forecasts begin after two days and get better with two weeks; see --storage.tsdb.retention.time",
        ),
        Ok(_) => findings.good(area, "history reaches back two weeks"),
        Err(_) => {}
    }
}
