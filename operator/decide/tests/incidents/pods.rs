//! Stories of pods that don't start, of rollouts, second writers and changes for nothing.

use std::fmt::Write as _;

use decide::{ForecastUse, ForeignWrite, Observation, PodBudget, Policy, Replicas};

use crate::stage::{Scene, web};

#[test]
fn k8s_78712_a_rollouts_surge_pods_are_not_demand() {
    let mut s = Scene::open(
        "Surge pods of a rollout",
        "Kubernetes issues 78712 and 79035: replicas that a rollout ran on top were written back as wanted, again and
         again, up to the maximum. Here replicas follow from load alone, and a rollout holds the way down.",
        web(),
        10,
    );
    s.steady(11, 900.0);
    s.say("A rollout runs a quarter more pods for a while; load is the same");
    s.watch(10, |s| Observation {
        rollout: true,
        replicas: Replicas { spec: s.spec, ready: s.spec + 3, pending: 2, ..Replicas::default() },
        ..s.seen(vec![s.load(900.0)])
    });
    assert_eq!(s.spec, 10, "{}", s.text);
    s.close("rollout-surge");
}

#[test]
fn k8s_87199_pods_that_crash_loop_are_not_multiplied() {
    let mut s = Scene::open(
        "Pods that crash-loop",
        "Kubernetes issues 87199 and 79158: crash-looping and pending pods distort averages, and the HPA adds more of
         them up to the maximum. Here more than a fifth of pods that can't start stop the way up.",
        web(),
        8,
    );
    s.steady(5, 700.0);
    s.say("A bad configuration: new pods crash while load climbs");
    s.watch(6, |s| Observation {
        replicas: Replicas {
            spec: s.spec,
            ready: 6,
            crash_looping: s.spec - 6,
            pending: 0,
            unschedulable: 0,
        },
        ..s.seen(vec![s.load(1_300.0)])
    });
    assert!(s.spec <= 15, "{}", s.text);
    s.say("The configuration is fixed");
    s.watch(2, |s| s.seen(vec![s.load(1_300.0)]));
    assert!(s.spec >= 14);
    s.close("crash-loop");
}

#[test]
fn aws_2021_a_fleet_wakes_up_in_steps() {
    let mut s = Scene::open(
        "Everything grows at once",
        "AWS us-east-1, 7 December 2021: automated scaling of one service set off a surge of connections, and seven hours
         of trouble. Here the whole fleet shares a budget of new pods per minute.",
        web(),
        10,
    );
    s.policy.max_replicas = 400;
    s.say("The fleet may add 20 pods a minute; load jumps sixfold everywhere");
    let mut budget = PodBudget::per_minute(20, s.now);
    for _ in 0..16 {
        let metric = s.load(6_000.0);
        let observation = Observation { pod_budget: Some(budget.available(s.now)), ..s.seen(vec![metric]) };
        let (before, at) = (s.spec, s.now);
        let after = s.decide(&observation);
        budget.take(after.saturating_sub(before), at);
    }
    assert!(s.spec <= 10 + 20 + 4 * 20, "{}", s.text);
    s.close("fleet-budget");
}

#[test]
fn argo_cd_5105_a_second_writer_is_reported_and_not_fought() {
    let mut s = Scene::open(
        "A second writer",
        "argo-cd issue 5105 and Kubernetes issue 25238: two writers of spec.replicas set it back and forth. Here another
         writer is named, and left alone for ten minutes.",
        web(),
        10,
    );
    s.steady(11, 900.0);
    s.say("Somebody applies a manifest with replicas: 4");
    s.spec = 4;
    let written = s.now;
    let seen = move |s: &Scene| Observation {
        foreign_writer: Some(ForeignWrite { at: written, who: "argocd-controller".to_owned(), replicas: 4 }),
        ..s.seen(vec![s.load(900.0)])
    };
    s.watch(11, seen);
    assert!(s.spec >= 8, "{}", s.text);
    s.close("second-writer");
}

#[test]
fn google_subsetting_small_changes_are_batched() {
    let mut s = Scene::open(
        "Every resize reconnects the clients",
        "Google on subsetting (CACM 2023): the churn of connections at each resize put promises at risk and kept teams
         from autoscaling at all. Here a change below a twentieth isn't made on the way down, and the largest answer of
         five minutes counts.",
        Policy { max_replicas: 200, forecast: ForecastUse::Off, ..web() },
        100,
    );
    s.say("Load swings by a few per cent for half an hour");
    for i in 0..120u32 {
        let value = 8_730.0 + 225.0 * (f64::from(i) / 5.0).sin();
        let observation = s.seen(vec![s.load(value)]);
        s.decide(&observation);
    }
    let changes = s.records.iter().filter(|r| r.recommendation.target != r.recommendation.current).count();
    writeln!(s.text, "\n-- {changes} changes").unwrap();
    assert!(changes <= 2, "{}", s.text);
    s.close("small-changes");
}
