//! Stories of consumers.

use std::fmt::Write as _;
use std::time::Duration;

use decide::{BacklogPolicy, Capacity, MetricKind, MetricPolicy, QueueObservation};

use crate::stage::{Scene, web};

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
        capacity: Capacity::Learned,
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
