//! One day in the life of an installation under exactly the chart's roles: health holds the way down, a calendar
//! raises the floor and mutes alerts, workloads are judged, hands are respected, a floor is lent to an HPA, leadership
//! changes. At the end the API server's audit log is read: everything the chart grants was used, and nothing refused.

#![allow(clippy::expect_used, clippy::panic, reason = "all of this file is test code")]

mod scene;

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, ensure};
use jiff::{SignedDuration, Timestamp};
use scene::chat::Chat;
use scene::{Scene, deployment, object, policy, until, workload};
use serde_json::{Value, json};
use testbed::nodes::{CRASH_LOOP, behavior};
use testbed::{Shape, audit, chart, net, wait};

const PATIENCE: Duration = Duration::from_secs(40);

#[tokio::test]
async fn every_permission_of_the_chart_is_used_and_nothing_is_refused() -> Result<()> {
    let mut scene = Scene::set(Shape::constant(600.0), &json!({})).await?;
    scene.deploy("gated", 12).await?;
    scene.deploy("serviced", 12).await?;
    // Kept of a policy that was deleted while nobody led.
    let leftover = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {
            "name": "foresail-history-gone", "namespace": chart::NAMESPACE,
            "labels": {"foresail.dev/history-of": "foresail"},
        },
    });
    scene.plane.apply_object(leftover).await?;
    let before = scene.plane.audit_log().len();
    let chat = Chat::of(&scene.plane).await?;
    let database = net::free_port()?;
    scene.start_foresail("one", &[]).await?;
    scene.start_foresail("two", &[]).await?;

    let day = async {
        health_holds_the_way_down(&scene, database).await?;
        workloads_are_judged(&scene).await?;
        an_event_raises_the_floor(&scene).await?;
        maintenance_holds_and_mutes(&scene, &chat, database).await?;
        hands_are_named(&scene).await?;
        an_hpa_is_lent_a_floor(&scene).await
    };
    if let Err(error) = day.await {
        scene.tell("gated").await;
        return Err(error);
    }
    let status = scene.foresail[0].terminate(Duration::from_secs(20)).await?;
    ensure!(status.success(), "the first one ended with {status}");
    let second = &scene.foresail[1];
    wait::until("a take-over", Duration::from_secs(20), || async {
        ensure!(second.metric("foresail_leader").await? == 1.0, "not yet");
        anyhow::Ok(())
    })
    .await?;
    nothing_is_granted_in_vain(&scene.plane.audit_log()[before..])
}

/// Everything the chart grants was used by a call, and no call was refused.
fn nothing_is_granted_in_vain(log: &str) -> Result<()> {
    let calls = audit::calls(log, &format!("system:serviceaccount:{}:foresail", chart::NAMESPACE));
    let refused: BTreeSet<String> =
        calls.iter().filter(|call| matches!(call.code, 401 | 403)).map(ToString::to_string).collect();
    ensure!(refused.is_empty(), "refused: {refused:#?}");
    let grants = audit::grants(&chart::render(&json!({}))?, "foresail");
    ensure!(grants.len() > 20, "{} grants read from the chart", grants.len());
    let unused: Vec<String> = grants
        .iter()
        .filter(|grant| !calls.iter().any(|call| grant.is_used_by(call)))
        .map(ToString::to_string)
        .collect();
    println!("{} calls, {} grants, {} unused", calls.len(), grants.len(), unused.len());
    ensure!(unused.is_empty(), "granted and never used: {unused:#?}");
    Ok(())
}

/// 12 replicas for a load of 6, and a check that the policy names fails: nothing is removed, and the reason is in the
/// decision. Once it passes, that has to last.
async fn health_holds_the_way_down(scene: &Scene, database: u16) -> Result<()> {
    let check =
        json!({"tcp": {"address": format!("127.0.0.1:{database}")}, "interval": "1s", "timeout": "1s"});
    scene.plane.apply_object(object("HealthCheck", "gated-db", &check)).await?;
    // Without forecasts no strategy of its own holds the way down for longer than the policy says.
    let gate = json!({"healthGate": {"checks": ["gated-db"]}, "forecast": {"mode": "Off"}});
    scene.plane.apply_object(policy("gated", &gate)).await?;
    let told = scene.wait_for_decision("gated", "default/gated-db", PATIENCE).await?;
    ensure!(told.contains("Unhealthy"), "{told}");
    scene.demand_replicas("gated", 12..=12, Duration::from_secs(5)).await?;
    let revived = tokio::net::TcpListener::bind(("127.0.0.1", database)).await?;
    scene.wait_for_decision("gated", "HealthyTooShortly", PATIENCE).await?;
    scene.demand_replicas("gated", 12..=12, Duration::from_secs(3)).await?;
    drop(revived);
    Ok(())
}

/// The words that a HealthCheck's status should hold.
async fn wait_for_check(scene: &Scene, name: &str, status: &str, words: &str) -> Result<()> {
    wait::until(&format!("HealthCheck {name} says {status} {words:?}"), PATIENCE, || async {
        let check = scene.plane.get("foresail.dev/v1alpha1", "HealthCheck", "default", name).await?;
        let told = check["status"]["output"].as_str().unwrap_or_default();
        ensure!(check["status"]["status"] == status && told.contains(words), "{}", check["status"]);
        anyhow::Ok(())
    })
    .await
}

/// Workloads of each kind: well, crashing again and again, stuck in a rollout.
async fn workloads_are_judged(scene: &Scene) -> Result<()> {
    let mut stuck = deployment("stuck", 2);
    stuck["spec"]["progressDeadlineSeconds"] = 3.into();
    scene.plane.apply_object(stuck.clone()).await?;
    scene.plane.apply_object(behavior(deployment("crashing", 2), &[("behavior", CRASH_LOOP)])).await?;
    scene.plane.apply_object(workload("StatefulSet", "data", 2)).await?;
    let mut agent = workload("DaemonSet", "agent", 0);
    agent["spec"].as_object_mut().expect("a spec").shift_remove("replicas");
    scene.plane.apply_object(agent).await?;
    let checks = [
        ("stuck", "Deployment"),
        ("crashing", "Deployment"),
        ("data", "StatefulSet"),
        ("agent", "DaemonSet"),
    ];
    for (name, kind) in checks {
        let check = json!({"workload": {"kind": kind, "name": name}, "interval": "1s", "timeout": "1s"});
        scene.plane.apply_object(object("HealthCheck", name, &check)).await?;
    }
    wait_for_check(scene, "crashing", "fail", "/main (CrashLoopBackOff)").await?;
    wait_for_check(scene, "stuck", "pass", "").await?;
    // Its second version is larger than any node.
    stuck["spec"]["template"]["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "10k"}});
    scene.plane.apply_object(stuck).await?;
    wait_for_check(scene, "stuck", "warn", "the rollout is stuck").await?;
    wait_for_check(scene, "data", "pass", "").await?;
    wait_for_check(scene, "agent", "pass", "").await
}

/// The floor of a sale, imported from a ConfigMap, is there when the sale begins, and not long before.
async fn an_event_raises_the_floor(scene: &Scene) -> Result<()> {
    scene.plane.apply_object(deployment("event", 2)).await?;
    let refs = json!({"calendarRefs": [{"name": "sales"}], "forecast": {"leadTime": "15s"}});
    scene.plane.apply_object(policy("event", &refs)).await?;
    let sale = Timestamp::now() + SignedDuration::from_secs(50);
    let stamp = |at: Timestamp| at.strftime("%Y%m%dT%H%M%SZ").to_string();
    let ics = format!(
        "BEGIN:VCALENDAR\nBEGIN:VEVENT\nUID:1\nSUMMARY:flash sale\nDTSTART:{}\nDTEND:{}\nEND:VEVENT\nEND:VCALENDAR\n",
        stamp(sale),
        stamp(sale + SignedDuration::from_mins(30)),
    );
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"calendar.ics": ics},
        "metadata": {"name": "marketing", "namespace": "default"}});
    scene.plane.apply_object(map).await?;
    let sales = json!({"imports": [{"configMap": "marketing", "minReplicas": 15}]});
    scene.plane.apply_object(object("ScalingCalendar", "sales", &sales)).await?;
    scene.wait_for_replicas("event", 6..15, Duration::from_secs(20)).await?;
    scene.wait_for_replicas("event", 15..=15, until(sale)).await?;
    println!("the floor was there {:?} before the sale", until(sale));
    scene.wait_for_decision("event", "flash sale", Duration::from_secs(10)).await?;
    Ok(())
}

/// 12 replicas for a load of 6: while the window is open, nothing is removed and nobody is told of its database.
async fn maintenance_holds_and_mutes(scene: &Scene, chat: &Chat, database: u16) -> Result<()> {
    let now = Timestamp::now();
    let end = now + SignedDuration::from_secs(40);
    let rfc = |at: Timestamp| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let works = json!({"windows": [{
        "name": "works", "kind": "Maintenance", "scope": ["serviced", "serviced-db"],
        "start": rfc(now - SignedDuration::from_mins(1)), "end": rfc(end),
    }]});
    scene.plane.apply_object(object("ScalingCalendar", "works", &works)).await?;
    // A policy that comes before its calendar was read says that it is missing, and a sentence stands for a minute.
    wait::until("the calendar was read", PATIENCE, || async {
        let calendar =
            scene.plane.get("foresail.dev/v1alpha1", "ScalingCalendar", "default", "works").await?;
        ensure!(calendar["status"]["now"] == "works", "{}", calendar["status"]);
        anyhow::Ok(())
    })
    .await?;
    let check =
        json!({"tcp": {"address": format!("127.0.0.1:{database}")}, "interval": "1s", "timeout": "1s"});
    scene.plane.apply_object(object("HealthCheck", "serviced-db", &check)).await?;
    let refs = json!({"calendarRefs": [{"name": "works"}], "forecast": {"mode": "Off"}});
    scene.plane.apply_object(policy("serviced", &refs)).await?;
    scene.wait_for_decision("serviced", "maintenance window works", Duration::from_secs(20)).await?;
    scene.demand_replicas("serviced", 12..=12, until(end - SignedDuration::from_secs(4))).await?;
    ensure!(chat.heard(&["default/gated-db"]), "{:?}", chat.messages());
    ensure!(!chat.heard(&["serviced-db"]), "told in the window: {:?}", chat.messages());
    wait::until("what lasts after the window is told", PATIENCE, || async {
        ensure!(chat.heard(&["serviced-db"]), "{:?}", chat.messages());
        anyhow::Ok(())
    })
    .await?;
    scene.wait_for_replicas("serviced", ..12, PATIENCE).await?;
    Ok(())
}

/// Whoever sets replicas by hand is named, of each kind that the chart lets scale.
async fn hands_are_named(scene: &Scene) -> Result<()> {
    let mut data = policy("data", &json!({}));
    data["spec"]["scaleTargetRef"] = json!({"kind": "StatefulSet", "name": "data"});
    scene.plane.apply_object(data).await?;
    wait::until("a stateful set is scaled", PATIENCE, || async {
        let set = scene.plane.get("apps/v1", "StatefulSet", "default", "data").await?;
        ensure!(set["spec"]["replicas"].as_u64() >= Some(6), "{}", set["spec"]["replicas"]);
        anyhow::Ok(())
    })
    .await?;
    scene.scale_set_by_hand("data", 3).await?;
    scene.scale_by_hand("event", 3).await?;
    for name in ["data", "event"] {
        scene.wait_for_decision(name, "ForeignWriter", PATIENCE).await?;
    }
    Ok(())
}

/// The floor of an HPA is raised, and given back when the policy goes.
async fn an_hpa_is_lent_a_floor(scene: &Scene) -> Result<()> {
    scene.plane.apply_object(deployment("lent", 2)).await?;
    let hpa = scene::hpa("lent", "lent", 12);
    scene.plane.apply_object(hpa).await?;
    let target = json!({"kind": "HorizontalPodAutoscaler", "name": "lent"});
    let lends = policy("lent", &json!({"scaleTargetRef": target, "maxReplicas": null}));
    scene.plane.apply_object(lends.clone()).await?;
    let floor = |wanted: fn(u64) -> bool| async move {
        wait::until("the HPA's floor", PATIENCE, || async {
            let hpa: Value =
                scene.plane.get("autoscaling/v1", "HorizontalPodAutoscaler", "default", "lent").await?;
            let floor = hpa["spec"]["minReplicas"].as_u64().unwrap_or(1);
            ensure!(wanted(floor), "{floor}");
            anyhow::Ok(())
        })
        .await
    };
    floor(|replicas| replicas >= 6).await?;
    scene.plane.delete(lends).await?;
    floor(|replicas| replicas == 2).await
}
