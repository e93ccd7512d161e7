//! One story per incident that autoscaling has caused: the scene goes in, a transcript comes out, and shows the guard
//! that holds. `UPDATE_GOLDEN=1 cargo test -p decide --test incidents` writes the transcripts anew; read the diff.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may panic, and reads whether to write its transcripts"
)]

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use decide::{
    BacklogPolicy, Capacity, ForecastUse, ForeignWrite, Health, History, MetricKind, MetricObservation,
    MetricPolicy, Observation, Outlook, PodBudget, Policy, QueueObservation, Record, Replicas, Standing,
    Startup, line,
};
use jiff::Timestamp;
use series::{AbsenceReason, Forecast, Reading, Sample, time};

const TICK: Duration = Duration::from_secs(15);

/// A scene: a workload under a policy, told decision by decision.
struct Scene {
    policy: Policy,
    now: Timestamp,
    spec: u32,
    history: History,
    text: String,
    last: Option<(String, u32)>,
    pub startup: Startup,
    records: Vec<Record>,
}

impl Scene {
    fn open(title: &str, story: &str, policy: Policy, spec: u32) -> Self {
        let mut text = String::new();
        writeln!(text, "# {title}\n").unwrap();
        for line in story.trim().lines() {
            writeln!(text, "# {}", line.trim()).unwrap();
        }
        let startup =
            Startup { p95: Some(Duration::from_secs(60)), mean: Some(Duration::from_secs(45)), samples: 40 };
        let now = "2026-03-02T09:00:00Z".parse().unwrap();
        Self {
            policy,
            now,
            spec,
            history: History::default(),
            text,
            last: None,
            startup,
            records: Vec::new(),
        }
    }

    fn say(&mut self, words: &str) {
        writeln!(self.text, "\n-- {words}").unwrap();
        self.last = None;
    }

    fn load(&self, value: f64) -> MetricObservation {
        let name = self.policy.metrics[0].name.clone();
        MetricObservation::fresh(name, Reading::Fresh(Sample::new(self.now, value).unwrap()))
    }

    fn seen(&self, metrics: Vec<MetricObservation>) -> Observation {
        Observation { metrics, startup: self.startup, ..Observation::of(self.spec) }
    }

    /// One decision, carried out. A line is written where something is said that wasn't a moment ago.
    fn decide(&mut self, observation: &Observation) -> u32 {
        let (record, next) = Record::make(&self.policy, observation, &self.history, self.now);
        self.history = next;
        let target = record.recommendation.target;
        self.history.scaled(self.now, self.spec, target);
        let said = line(&record);
        let words: Vec<_> = record.recommendation.limits.iter().map(|l| l.reason.to_string()).collect();
        let key = (words.join(","), target);
        if self.last.as_ref() != Some(&key) {
            let clock = self.now.strftime("%H:%M:%S");
            writeln!(self.text, "{clock}  {said}").unwrap();
            for limit in &record.recommendation.limits {
                writeln!(self.text, "          {}", limit.message).unwrap();
            }
        }
        self.last = Some(key);
        assert!(record.holds(), "a record must replay to the same answer");
        self.records.push(record);
        self.spec = target;
        self.now = time::after(self.now, TICK);
        target
    }

    /// Decides for `minutes` with the same load.
    fn steady(&mut self, minutes: u32, value: f64) {
        for _ in 0..minutes * 4 {
            let observation = self.seen(vec![self.load(value)]);
            self.decide(&observation);
        }
    }

    /// Decides for `minutes` on whatever `look` shows.
    fn watch(&mut self, minutes: u32, look: impl Fn(&Self) -> Observation) {
        for _ in 0..minutes * 4 {
            let observation = look(self);
            self.decide(&observation);
        }
    }

    fn close(self, name: &str) {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format!("{name}.txt"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, &self.text).unwrap();
            return;
        }
        let golden = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(self.text, golden, "{name} reads differently; UPDATE_GOLDEN=1 accepts the new text");
    }
}

/// Requests at 100 a second and replica, 2 to 40 replicas, no forecasts unless a scene brings one.
fn web() -> Policy {
    let mut policy = Policy::simple(2, 40, 100.0);
    "requests".clone_into(&mut policy.metrics[0].name);
    policy
}

fn flat_forecast(now: Timestamp, low: f64, middle: f64, high: f64) -> Outlook {
    let step = Duration::from_secs(300);
    let rows = vec![vec![low, middle, high]; 24];
    Outlook::Forecast(
        Forecast::new(time::align(now, step), step, vec![0.01, 0.5, 0.99], rows, "seasonal").unwrap(),
    )
}

fn good() -> Standing {
    Standing { versus_last: 0.5, versus_yesterday: 0.7, coverage: 0.95, level: 0.95 }
}

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
    assert_eq!(s.spec, 21, "nothing was removed while unhealthy");
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
    s.watch(10, |s| {
        s.seen(vec![MetricObservation::absent(
            "requests",
            AbsenceReason::SeriesVanished,
            "40 series instead of 120",
        )])
    });
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
    s.watch(15, |s| {
        s.seen(vec![MetricObservation::absent(
            "requests",
            AbsenceReason::Empty,
            "the query matched no series",
        )])
    });
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
    s.watch(2, |s| {
        s.seen(vec![MetricObservation::absent("requests", AbsenceReason::Unreachable, "connection refused")])
    });
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
    s.policy.metrics.push(MetricPolicy { forecast: false, ..MetricPolicy::average("sessions", 50.0) });
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
fn keda_7092_consumers_that_add_nothing_are_not_added_to() {
    let mut s = Scene::open(
        "More consumers, no more throughput",
        "KEDA issue 7092: each added consumer lowered throughput and took a shared Kafka region down. Here a way up that
         adds less than a tenth of what it should freezes further ones for an hour.",
        web(),
        6,
    );
    s.policy.metrics = vec![MetricPolicy {
        kind: MetricKind::Backlog(BacklogPolicy {
            dwell: Duration::from_secs(120),
            ..BacklogPolicy::within(Duration::from_secs(120))
        }),
        capacity: Capacity::Learnt,
        ..MetricPolicy::average("orders", 1.0)
    }];
    let queue = |s: &Scene, backlog: f64, served: f64| {
        let mut metric = s.load(backlog);
        metric.queue = Some(QueueObservation {
            arrivals: Some(650.0),
            served: Some(served),
            partitions: Some(32),
            oldest: None,
        });
        s.seen(vec![metric])
    };
    s.watch(5, |s| queue(s, 5_000.0, 600.0));
    s.say("The database behind the consumers is slow: the backlog grows, whatever is added");
    for i in 0..60 {
        let observation = queue(&s, 100_000.0 + 3_000.0 * f64::from(i), 600.0);
        s.decide(&observation);
    }
    assert!(s.spec < 32, "{}", s.text);
    s.close("no-benefit");
}

#[test]
fn numaflow_1529_consumers_change_seldom() {
    let mut s = Scene::open(
        "Rebalance storms",
        "numaflow issue 1529 and KEDA issue 5096: every change of the number of consumers pauses all of them, and a
         scaler that follows the lag keeps them paused. Here a change needs a reason that outlasts the pause.",
        web(),
        8,
    );
    s.policy.metrics = vec![MetricPolicy {
        kind: MetricKind::Backlog(BacklogPolicy {
            rebalance_pause: Duration::from_secs(30),
            ..BacklogPolicy::within(Duration::from_secs(180))
        }),
        capacity: Capacity::Declared(100.0),
        ..MetricPolicy::average("orders", 1.0)
    }];
    s.say("Arrivals swing between 500 and 700 a second, and the backlog with them, for an hour");
    for i in 0..240u32 {
        let swing = f64::from(i % 16) / 16.0;
        let mut metric = s.load(2_000.0 + 9_000.0 * swing);
        metric.queue = Some(QueueObservation {
            arrivals: Some(500.0 + 200.0 * swing),
            served: Some(600.0),
            partitions: Some(32),
            oldest: None,
        });
        let observation = s.seen(vec![metric]);
        s.decide(&observation);
    }
    let changes = s.records.iter().filter(|r| r.recommendation.target != r.recommendation.current).count();
    writeln!(s.text, "\n-- {changes} changes in the hour").unwrap();
    assert!(changes <= 4, "{}", s.text);
    s.close("rebalance-storm");
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
        let mut metric = s.load(6_000.0);
        metric.short = Some(6_000.0);
        let observation = Observation { pod_budget: Some(budget.available(s.now)), ..s.seen(vec![metric]) };
        let (before, at) = (s.spec, s.now);
        let after = s.decide(&observation);
        budget.take(after.saturating_sub(before), at);
    }
    assert!(s.spec <= 10 + 20 + 4 * 20, "{}", s.text);
    s.close("fleet-budget");
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
    s.policy.metrics.push(MetricPolicy { forecast: false, ..MetricPolicy::average("sessions", 50.0) });
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
fn netflix_an_unexplained_drop_keeps_the_replicas() {
    let mut s = Scene::open(
        "Traffic that an outage keeps away",
        "Netflix on Scryer: an outage in front drops traffic, reactive scaling removes capacity, and everybody's retries
         meet what is left. Here a load far below everything foreseen holds the forecast's median for an hour.",
        web(),
        30,
    );
    let foreseen = |s: &Scene, value: f64| {
        let mut metric = s.load(value);
        metric.outlook = flat_forecast(s.now, 2_400.0, 2_700.0, 3_000.0);
        metric.standing = Some(good());
        s.seen(vec![metric])
    };
    s.watch(12, |s| foreseen(s, 2_700.0));
    s.say("A load balancer in front fails: a tenth of the traffic arrives");
    s.watch(30, |s| foreseen(s, 270.0));
    assert!(s.spec >= 27, "{}", s.text);
    s.say("It is repaired, and everybody comes back at once");
    s.watch(2, |s| foreseen(s, 3_000.0));
    assert!(s.spec >= 30);
    s.close("unexplained-drop");
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
        let value = 9_700.0 + 250.0 * (f64::from(i) / 5.0).sin();
        let observation = s.seen(vec![s.load(value)]);
        s.decide(&observation);
    }
    let changes = s.records.iter().filter(|r| r.recommendation.target != r.recommendation.current).count();
    writeln!(s.text, "\n-- {changes} changes").unwrap();
    assert!(changes <= 2, "{}", s.text);
    s.close("small-changes");
}

#[test]
fn a_flash_crowd_panics_and_the_way_down_waits() {
    let mut s = Scene::open(
        "A flash crowd",
        "Nobody forecasts a link on television. The load now is more than twice that of five minutes: half as much again
         is ordered on top, and nothing is removed for ten minutes after the last surge.",
        web(),
        5,
    );
    s.steady(6, 400.0);
    s.say("Three times the load within half a minute");
    s.steady(2, 1_200.0);
    assert!(s.spec >= 18, "{}", s.text);
    s.say("It is over");
    s.steady(25, 400.0);
    assert!(s.spec < 12, "{}", s.text);
    s.close("flash-crowd");
}

#[test]
fn a_trusted_forecast_orders_before_the_ramp_and_the_decision_explains_itself() {
    let mut s = Scene::open(
        "The morning ramp",
        "The forecast has beaten the last value and yesterday's on this workload. The load doubles at 09:10; capacity is
         ordered one lead time (start-up, delays, an interval) before.",
        web(),
        10,
    );
    let ramp: Timestamp = "2026-03-02T09:10:00Z".parse().unwrap();
    let look = |s: &Scene| {
        let step = Duration::from_secs(60);
        let start = time::align(s.now, step);
        let rows = (0..60)
            .map(|i| {
                let at = time::after(start, step * i);
                let load = if at < ramp { 900.0 } else { 1_800.0 };
                vec![load * 0.9, load, load * 1.1]
            })
            .collect();
        let mut metric = s.load(if s.now < ramp { 900.0 } else { 1_800.0 });
        metric.outlook =
            Outlook::Forecast(Forecast::new(start, step, vec![0.05, 0.5, 0.99], rows, "seasonal").unwrap());
        metric.standing = Some(good());
        metric.short = Some(900.0);
        s.seen(vec![metric])
    };
    s.watch(12, look);
    let ordered = s.records.iter().find(|r| r.recommendation.target >= 18).unwrap();
    let ahead = time::since(ramp, ordered.now);
    assert!(ahead >= Duration::from_secs(60), "{}", s.text);
    let explained = ordered.explain(false);
    writeln!(s.text, "\n-- foresail explain, of the decision that ordered it\n").unwrap();
    s.text.push_str(&explained);
    s.close("morning-ramp");
}
