//! The chart: linted, rendered with many values, every object accepted by a real API server, every permission used.

#![allow(clippy::expect_used, clippy::panic, reason = "all of this file is test code")]

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use testbed::{ControlPlane, assets, chart};

fn ci_values() -> Result<Vec<(String, Value)>> {
    let folder = assets::repository().join("charts/foresail/ci");
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let values: Value = serde_saphyr::from_str(&std::fs::read_to_string(&path)?)?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        all.push((name, if values.is_null() { json!({}) } else { values }));
    }
    Ok(all)
}

fn kinds<'a>(objects: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    objects.iter().filter(move |object| object["kind"] == kind)
}

#[test]
fn the_chart_lints_with_every_set_of_values() -> Result<()> {
    for entry in std::fs::read_dir(assets::repository().join("charts/foresail/ci"))? {
        for kubernetes in ["v1.34.0", "v1.37.0"] {
            chart::lint(&entry.as_ref().map_err(|error| anyhow::anyhow!("{error}"))?.path(), kubernetes)?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn helm_installs_upgrades_and_uninstalls_the_chart_and_keeps_the_policies() -> Result<()> {
    let plane = ControlPlane::start().await?;
    chart::install(&plane, &json!({})).await?;
    let policy = json!({
        "apiVersion": "foresail.dev/v1alpha1", "kind": "AutoscalePolicy", "metadata": {"name": "web"},
        "spec": {"scaleTargetRef": {"name": "web"}, "maxReplicas": 3,
            "metrics": [{"name": "requests", "target": 100, "prometheus": {"query": "vector(1)"}}]},
    });
    plane.apply_object(policy).await?;
    let patches_pods = |role: &Value| {
        let mut rules = role["rules"].as_array().into_iter().flatten();
        let has = |list: &Value, word: &str| list.as_array().is_some_and(|all| all.contains(&json!(word)));
        rules.any(|rule| has(&rule["resources"], "pods") && has(&rule["verbs"], "patch"))
    };
    let role = || plane.get("rbac.authorization.k8s.io/v1", "ClusterRole", "", "foresail");
    ensure!(!patches_pods(&role().await?), "pods are patched only where that was asked for");
    chart::install(&plane, &json!({"rbac": {"protectBusyPods": true}})).await?;
    ensure!(patches_pods(&role().await?), "{}", role().await?["rules"]);

    chart::uninstall(&plane).await?;
    ensure!(role().await.is_err(), "the role outlives the release");
    // Definitions stay, or every policy would go with the release; and a second release finds them.
    ensure!(plane.get("foresail.dev/v1alpha1", "AutoscalePolicy", "default", "web").await.is_ok());
    chart::install(&plane, &json!({})).await?;
    ensure!(plane.get("foresail.dev/v1alpha1", "AutoscalePolicy", "default", "web").await.is_ok());
    Ok(())
}

#[test]
fn a_misspelt_value_is_refused() {
    for wrong in [
        json!({"replica": 3}),
        json!({"replicas": "three"}),
        json!({"image": {"pullPolicy": "Sometimes"}}),
        json!({"image": {"digest": "latest"}}),
        json!({"operator": {"interval": "5 minutes"}}),
        json!({"rbac": {"scale": [{"resource": "deployments"}]}}),
        json!({"prometheus": {"url": "prometheus:9090"}}),
    ] {
        assert!(chart::render(&wrong).is_err(), "{wrong} was accepted");
    }
}

#[tokio::test]
async fn every_object_is_accepted_by_the_api_server() -> Result<()> {
    let plane = ControlPlane::start().await?;
    let mut names = Vec::new();
    for definition in chart::foreign_kinds() {
        names.push(definition["metadata"]["name"].as_str().unwrap_or_default().to_owned());
        plane.apply_object(definition).await?;
    }
    plane.wait_for_crds(&names).await?;
    plane.install_crds().await?;
    let mut count = 0;
    for (set, values) in ci_values()? {
        for namespace in [chart::NAMESPACE, "shop", "payments"] {
            plane.namespace(namespace).await?;
        }
        for object in chart::render(&values)? {
            let what = format!("{} {} with {set}", object["kind"], object["metadata"]["name"]);
            plane.apply_object(object).await.context(what)?;
            count += 1;
        }
    }
    println!("{count} objects applied");
    let manifests = std::fs::read_to_string(assets::repository().join("deploy/foresail.yaml"))?;
    plane.apply(&manifests).await?;
    Ok(())
}

#[test]
fn a_release_for_namespaces_has_no_cluster_wide_permission() -> Result<()> {
    let objects = chart::render(&json!({"watchNamespaces": ["shop"], "rbac": {"aggregate": false}}))?;
    assert_eq!(kinds(&objects, "ClusterRole").count(), 0);
    assert_eq!(kinds(&objects, "ClusterRoleBinding").count(), 0);
    let role = kinds(&objects, "Role")
        .find(|role| role["metadata"]["namespace"] == "shop")
        .context("a role for shop")?;
    assert!(!role["rules"].as_array().context("rules")?.is_empty());
    Ok(())
}

#[test]
fn scale_is_granted_only_for_the_kinds_that_are_listed() -> Result<()> {
    let only = json!({"rbac": {"scale": [{"apiGroup": "apps", "resource": "deployments"}]}});
    let objects = chart::render(&only)?;
    let roles: Vec<&Value> = kinds(&objects, "ClusterRole").collect();
    let text = serde_json::to_string(&roles)?;
    assert!(text.contains("deployments/scale"));
    assert!(!text.contains("statefulsets/scale"));
    Ok(())
}

#[test]
fn pods_meet_the_restricted_pod_security_standard() -> Result<()> {
    for (set, values) in ci_values()? {
        for deployment in kinds(&chart::render(&values)?, "Deployment") {
            let pod = &deployment["spec"]["template"]["spec"];
            let main = &pod["containers"][0];
            ensure!(pod["securityContext"]["runAsNonRoot"] == true, "{set}");
            ensure!(pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault", "{set}");
            ensure!(main["securityContext"]["allowPrivilegeEscalation"] == false, "{set}");
            ensure!(main["securityContext"]["readOnlyRootFilesystem"] == true, "{set}");
            ensure!(main["securityContext"]["capabilities"]["drop"] == json!(["ALL"]), "{set}");
            ensure!(main["resources"]["limits"]["cpu"].is_null(), "{set}: a CPU limit delays decisions");
            ensure!(pod["hostNetwork"].is_null() && pod["volumes"].is_null(), "{set}");
        }
    }
    Ok(())
}

#[test]
fn a_digest_is_what_is_run() -> Result<()> {
    let digest = format!("sha256:{}", "ab".repeat(32));
    let objects = chart::render(&json!({"image": {"digest": digest, "tag": "1.2.3"}}))?;
    let deployment = kinds(&objects, "Deployment").next().context("a deployment")?;
    let image = &deployment["spec"]["template"]["spec"]["containers"][0]["image"];
    assert_eq!(image, &json!(format!("foresail/foresail@{digest}")));
    Ok(())
}

#[test]
fn receivers_checks_and_calendars_come_from_values() -> Result<()> {
    let objects = chart::render(&json!({
        "alertReceivers": {"team": {"webhook": {}}}, "healthChecks": {"shop": {"http": {}}},
        "scalingCalendars": {"sale": {"events": []}}, "extraObjects": [{"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "extra"}}],
    }))?;
    for kind in ["AlertReceiver", "HealthCheck", "ScalingCalendar", "ConfigMap"] {
        assert_eq!(kinds(&objects, kind).count(), 1, "{kind}");
    }
    Ok(())
}
