//! Stories of metrics that are missing, wrong, or say less than they seem to.

use std::time::Duration;

use decide::{Health, MetricObservation, MetricPolicy, Observation, Policy};
use series::{AbsenceReason, Reading, Sample, time};

use crate::stage::{Scene, web};

#[test]
fn slack_2021_waiting_threads_look_idle_but_demand_is_what_counts() {
    let mut s = Scene::open(
        "Waiting threads look idle",
        "Slack, 4 January 2021: packet loss made threads wait, CPU fell, and the web tier was scaled down in the
         middle of the outage. Here requests are what is scaled on, and the health gate holds the way down.",
        web(),
        20,
    );
    s.say("Monday morning, all is well");
    s.watch(12, |s| Observation {
        health: Health::Healthy { since: time::before(s.now, Duration::from_secs(3_600)) },
        ..s.seen(vec![s.load(1_900.0)])
    });
    s.say("The network drops packets: half of the requests don't get through, and the error rate alerts");
    s.watch(20, |s| Observation {
        health: Health::Unhealthy { what: "checkout fails: 12 % errors".to_owned() },
        ..s.seen(vec![s.load(900.0)])
    });
    assert_eq!(s.spec, 20, "nothing was removed while unhealthy");
    s.say("The network is back, and so is the load");
    s.watch(3, |s| Observation {
        health: Health::Healthy { since: time::before(s.now, Duration::from_secs(30)) },
        ..s.seen(vec![s.load(2_000.0)])
    });
    assert!(s.spec >= 20);
    s.close("waiting-threads");
}

#[test]
fn reddit_2016_a_fleet_that_vanishes_from_sight_is_held() {
    let mut s = Scene::open(
        "Half of the fleet vanishes from sight",
        "Reddit, 11 August 2016: an autoscaler that read half-migrated state removed servers within 16 seconds. Here a
         number that suddenly comes from far fewer series is no number, and a way down has steps.",
        web(),
        30,
    );
    s.steady(12, 2_700.0);
    s.say("A migration begins: a third of the series is left, and the sum with it");
    s.blind(10, AbsenceReason::SeriesVanished, "40 series instead of 120");
    assert_eq!(s.spec, 30);
    s.say("The series are back; but the load really is lower now");
    s.steady(25, 900.0);
    s.close("vanished-fleet");
}

#[test]
fn keda_3065_an_empty_answer_is_not_zero() {
    let mut s = Scene::open(
        "An empty answer at the peak",
        "KEDA issue 3065: Prometheus answered with nothing, nothing counted as 0, and everything went to its minimum at
         the peak. Here an absence has a reason, holds what runs, and a fallback may raise it.",
        web(),
        24,
    );
    s.policy.metrics[0].fallback =
        Some(decide::Fallback { after: Duration::from_secs(300), min_replicas: 28 });
    s.steady(11, 2_200.0);
    s.say("Prometheus restarts with a new configuration; the query matches nothing");
    s.blind(15, AbsenceReason::Empty, "the query matched no series");
    assert_eq!(s.spec, 28);
    s.say("It is back");
    s.steady(20, 2_200.0);
    s.close("empty-answer");
}

#[test]
fn mimir_7691_a_half_empty_window_is_far_too_low() {
    let mut s = Scene::open(
        "A window that is half empty",
        "Mimir pull request 7691: after an outage of Prometheus the rate's window was half empty, the value 17 times too
         low, and pods were removed. Here a window must be measured to 90 %, and data must last ten minutes.",
        web(),
        29,
    );
    s.steady(11, 2_700.0);
    s.say("Prometheus is away for two minutes");
    s.blind(2, AbsenceReason::Unreachable, "connection refused");
    s.say("It is back; the window fills from almost nothing");
    for share in [0.06, 0.3, 0.55, 0.8] {
        let mut metric = s.load(2_700.0 * share);
        metric.coverage = share;
        let observation = s.seen(vec![metric]);
        s.decide(&observation);
    }
    assert!(s.spec >= 29);
    s.say(
        "The window is full, and the load is lower than before; ten minutes pass before anything is removed",
    );
    s.steady(18, 1_500.0);
    s.close("half-empty-window");
}

#[test]
fn k8s_99394_one_missing_metric_of_two_blocks_the_way_down() {
    let mut s = Scene::open(
        "One metric of two is missing",
        "Kubernetes issue 99394: from 1.16 to 1.20 the HPA scaled down when one of several metrics was missing. Here the
         missing one blocks the way down, and the other may still raise.",
        web(),
        10,
    );
    s.policy.metrics.push(MetricPolicy {
        forecast: false,
        spare: 0.1,
        ..MetricPolicy::average("sessions", 50.0)
    });
    let both = |s: &Scene, requests: f64, sessions: Option<f64>| {
        let sessions = match sessions {
            Some(n) => MetricObservation::fresh("sessions", Reading::Fresh(Sample::new(s.now, n).unwrap())),
            None => MetricObservation::absent("sessions", AbsenceReason::Timeout, "no answer within 5s"),
        };
        s.seen(vec![s.load(requests), sessions])
    };
    s.watch(11, |s| both(s, 850.0, Some(440.0)));
    s.say("sessions times out while requests falls");
    s.watch(15, |s| both(s, 300.0, None));
    assert_eq!(s.spec, 10);
    s.say("requests rises: the one that is there may raise");
    s.watch(2, |s| both(s, 1_400.0, None));
    assert!(s.spec >= 14);
    s.close("one-of-two");
}

#[test]
fn judoscale_a_future_sample_is_refused() {
    let mut s = Scene::open(
        "A sample from the future",
        "Judoscale: one row dated in the future became the latest for everybody, and nothing scaled up for twelve hours.
         Here a sample ahead of the clock is absent with the reason Future; the other metric still raises.",
        web(),
        10,
    );
    s.policy.metrics.push(MetricPolicy {
        forecast: false,
        spare: 0.1,
        ..MetricPolicy::average("sessions", 50.0)
    });
    s.say("requests comes from a server whose clock is an hour ahead, sessions climbs");
    for i in 0..12 {
        let ahead = Sample::new(time::after(s.now, Duration::from_secs(3_600)), 10.0).unwrap();
        let max = Duration::from_secs(60);
        let requests = MetricObservation::fresh("requests", Reading::judge(ahead, s.now, max, max));
        let value = 450.0 + 40.0 * f64::from(i);
        let sessions =
            MetricObservation::fresh("sessions", Reading::Fresh(Sample::new(s.now, value).unwrap()));
        let observation = s.seen(vec![requests, sessions]);
        s.decide(&observation);
    }
    assert!(s.spec >= 18, "{}", s.text);
    s.close("future-sample");
}

#[test]
fn a_tenth_of_the_targets_missing_is_not_a_tenth_less_load() {
    let mut s = Scene::open(
        "A tenth of the targets goes missing",
        "No error, no gap, no empty answer: a part of the targets is no longer scraped, and the sum is a tenth lower.
         Nobody can tell that from users who leave, except that users don't leave within half a minute. A load that falls
         as it never does has to stay low for a quarter of an hour before anything is removed.",
        Policy { max_replicas: 80, ..web() },
        50,
    );
    s.policy.tolerance = 0.0;
    s.steady(12, 4_200.0);
    let before = s.spec;
    s.say("One of ten targets isn't scraped for ten minutes");
    s.steady(10, 3_780.0);
    assert_eq!(s.spec, before, "{}", s.text);
    s.say("It is back");
    s.steady(3, 4_200.0);
    assert_eq!(s.spec, before, "{}", s.text);
    s.say("Later a tenth of the users really leaves at once");
    s.steady(35, 3_780.0);
    assert!(s.spec < before, "{}", s.text);
    s.close("tenth-missing");
}
