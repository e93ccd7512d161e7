//! `foresail status`: the policies as a table, from what their status says. Works without access to Foresail itself.

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use api::v1alpha1::{AutoscalePolicy, Mode};
use jiff::Timestamp;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt as _};
use series::time;

use crate::cli::{self, Output};
use crate::cluster::Cluster;

/// Some policy isn't Ready.
const NOT_READY: u8 = 3;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 every policy is Ready, 3 some policy isn't, 1 the list couldn't be read."
)]
pub(crate) struct Args {
    /// Only this policy
    name: Option<String>,
    #[command(flatten)]
    cluster: Cluster,
    /// Namespace. Default: the one of the context
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,
    /// Policies of all namespaces
    #[arg(short = 'A', long, conflicts_with_all = ["namespace", "name"])]
    all_namespaces: bool,
    /// text, json or yaml
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

pub(crate) fn main(args: Args) -> anyhow::Result<ExitCode> {
    cli::runtime()?.block_on(run(args))
}

async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let (client, namespace) = args.cluster.client().await?;
    let policies = list(&client, &args, namespace).await?;
    let ready = policies.iter().all(|p| condition(p, "Ready").is_some_and(|(status, _)| status == "True"));
    match args.output {
        Output::Text => print!("{}", table(&policies, args.all_namespaces, Timestamp::now())),
        Output::Json => println!("{}", serde_json::to_string_pretty(&policies)?),
        Output::Yaml => print!("{}", serde_saphyr::to_string(&policies)?),
    }
    Ok(if ready { ExitCode::SUCCESS } else { ExitCode::from(NOT_READY) })
}

async fn list(client: &Client, args: &Args, namespace: String) -> anyhow::Result<Vec<AutoscalePolicy>> {
    let namespace = args.namespace.clone().unwrap_or(namespace);
    let api: Api<AutoscalePolicy> = if args.all_namespaces {
        Api::all(client.clone())
    } else {
        Api::namespaced(client.clone(), &namespace)
    };
    if let Some(name) = &args.name {
        let policy = api
            .get(name)
            .await
            .with_context(|| format!("can't read AutoscalePolicy {name} in {namespace}"))?;
        return Ok(vec![policy]);
    }
    let list = api.list(&ListParams::default()).await.context("can't list AutoscalePolicies")?;
    Ok(list.items)
}

fn condition<'a>(policy: &'a AutoscalePolicy, kind: &str) -> Option<(&'a str, &'a str)> {
    let found = policy.status.as_ref()?.conditions.iter().find(|c| c.type_ == kind)?;
    Some((&found.status, &found.reason))
}

/// The table, with columns as wide as their widest cell.
fn table(policies: &[AutoscalePolicy], with_namespace: bool, now: Timestamp) -> String {
    if policies.is_empty() {
        return "No policies. A first one: https://github.com/foresail/foresail#readme\n".to_owned();
    }
    let mut header =
        vec!["NAME", "TARGET", "MODE", "REPLICAS", "DRIVER", "READY", "FORECAST", "NEXT", "DECIDED"];
    if with_namespace {
        header.insert(0, "NAMESPACE");
    }
    let mut rows: Vec<Vec<String>> = vec![header.into_iter().map(str::to_owned).collect()];
    rows.extend(policies.iter().map(|p| row(p, with_namespace, now)));
    let columns = rows[0].len();
    let widths: Vec<usize> =
        (0..columns).map(|c| rows.iter().map(|r| r[c].chars().count()).max().unwrap_or(0)).collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            // Writing to a String can't fail.
            let _ = write!(line, "{cell:<width$}   ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn row(policy: &AutoscalePolicy, with_namespace: bool, now: Timestamp) -> Vec<String> {
    let empty = api::v1alpha1::AutoscalePolicyStatus::default();
    let status = policy.status.as_ref().unwrap_or(&empty);
    let number = |n: Option<i32>| n.map_or("-".to_owned(), |n| n.to_string());
    let ready =
        condition(policy, "Ready").map_or("-".to_owned(), |(truth, reason)| format!("{truth} ({reason})"));
    let decision = status.decision.as_ref();
    let next = status.forecast.as_ref().and_then(|f| f.next_change.as_ref()).map_or("-".to_owned(), |next| {
        let wait = next.time.as_ref().map_or(String::new(), |t| {
            format!(" in {}", api::units::write_duration(coarse(time::since(t.0, now))))
        });
        format!("{}{wait}", next.replicas)
    });
    let decided = decision.and_then(|d| d.time.as_ref()).map_or("-".to_owned(), |t| {
        format!("{} ago", api::units::write_duration(coarse(time::since(now, t.0))))
    });
    let mut row = vec![
        policy.name_any(),
        status.target.clone().unwrap_or_else(|| "-".to_owned()),
        match policy.spec.mode {
            Mode::Auto => "Auto".to_owned(),
            Mode::Recommend => "Recommend".to_owned(),
        },
        format!(
            "{} → {} ({}–{})",
            number(status.current_replicas),
            number(status.desired_replicas),
            number(status.effective_min_replicas),
            number(status.effective_max_replicas)
        ),
        decision.map(|d| d.driver.clone()).filter(|d| !d.is_empty()).unwrap_or_else(|| "-".to_owned()),
        ready,
        condition(policy, "ForecastActive").map_or("-".to_owned(), |(_, reason)| reason.to_owned()),
        next,
        decided,
    ];
    if with_namespace {
        row.insert(0, policy.namespace().unwrap_or_default());
    }
    row
}

/// Nobody wants seconds next to hours.
fn coarse(duration: std::time::Duration) -> std::time::Duration {
    let seconds = duration.as_secs();
    let grain = match seconds {
        0..120 => 1,
        120..7_200 => 60,
        _ => 3_600,
    };
    std::time::Duration::from_secs(seconds / grain * grain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_one_line_and_columns_are_aligned() {
        let policy: AutoscalePolicy = serde_json::from_value(serde_json::json!({
            "apiVersion": "foresail.dev/v1alpha1", "kind": "AutoscalePolicy",
            "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"scaleTargetRef": {"name": "web"}, "maxReplicas": 9, "metrics": []},
            "status": {
                "target": "Deployment/web", "currentReplicas": 3, "desiredReplicas": 5,
                "effectiveMinReplicas": 1, "effectiveMaxReplicas": 9,
                "decision": {"driver": "rps (Predictive)", "message": "", "time": "2026-01-05T08:00:00Z"},
                "forecast": {"nextChange": {"time": "2026-01-05T08:12:30Z", "replicas": 7}},
                "conditions": [{"type": "Ready", "status": "True", "reason": "Scaling", "message": "",
                    "lastTransitionTime": "2026-01-05T08:00:00Z"}],
            },
        }))
        .unwrap();
        let text = table(&[policy], true, "2026-01-05T08:00:10Z".parse().unwrap());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[1].starts_with("shop        web    Deployment/web   Auto   3 → 5 (1–9)"), "{text}");
        assert!(lines[1].contains("True (Scaling)") && lines[1].ends_with("7 in 12m   10s ago"), "{text}");
    }
}
