//! What is told, when, how often, and never twice.

use health::alert::{Evidence, Severity, fingerprint};
use proptest::prelude::*;

use super::*;
use crate::message::FailureReason;

pub(crate) fn at(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(1_700_000_000_000 + ms).unwrap()
}

pub(crate) fn alert(name: &str, namespace: &str, component: &str) -> Alert {
    let labels = BTreeMap::from([
        ("namespace".to_owned(), namespace.to_owned()),
        ("component".to_owned(), component.to_owned()),
    ]);
    Alert {
        id: fingerprint(name, &labels),
        name: name.into(),
        severity: Severity::Critical,
        labels,
        summary: format!("{namespace}/{component} is down: connection refused"),
        facts: BTreeMap::from([
            ("output".to_owned(), "connection refused".to_owned()),
            ("consequences".to_owned(), "shop/web, shop/orders".to_owned()),
        ]),
        evidence: Evidence {
            check: Some(format!("{namespace}/{component}")),
            trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736".into()),
            ..Evidence::default()
        },
        runbook_url: format!("https://example.com/runbooks/{name}.md"),
        phase: AlertPhase::Firing,
        since: at(0),
        fired: Some(at(0)),
        resolved: None,
        muted: false,
    }
}

pub(crate) fn resolved(mut alert: Alert, when: Timestamp) -> Alert {
    alert.phase = AlertPhase::Resolved;
    alert.resolved = Some(when);
    alert
}

fn outbox() -> Outbox {
    Outbox::new(Grouping::default(), true, Quota::unlimited(), "chat")
}

fn deliver(outbox: &mut Outbox, now: Timestamp) -> Option<Message> {
    let attempt = outbox.due(now)?;
    outbox.report(&Verdict::Delivered, 1, now);
    Some(attempt.message)
}

#[test]
fn a_group_waits_is_told_once_repeats_and_is_resolved_once() {
    let mut outbox = outbox();
    let db = alert("ComponentDown", "shop", "db");
    let web = alert("ComponentDown", "shop", "web");
    outbox.sync([&db], at(0));
    assert_eq!(outbox.next_wake(at(0)), Some(at(30_000)));
    outbox.sync([&db, &web], at(10_000));
    assert!(deliver(&mut outbox, at(29_999)).is_none());
    let first = deliver(&mut outbox, at(30_000)).unwrap();
    assert_eq!(first.alerts().len(), 2, "both in one message");
    assert!(deliver(&mut outbox, at(31_000)).is_none());
    assert!(deliver(&mut outbox, at(4 * 3_600_000)).is_none());
    assert_eq!(deliver(&mut outbox, at(4 * 3_600_000 + 30_000)).unwrap().alerts().len(), 2);
    let t = 5 * 3_600_000;
    outbox.sync([&db, &resolved(web, at(t))], at(t));
    let message = deliver(&mut outbox, at(t)).unwrap();
    assert_eq!(message.counts(), (1, 1));
    outbox.sync([&resolved(db, at(t + 1_000))], at(t + 1_000));
    assert!(deliver(&mut outbox, at(t + 2_000)).is_none(), "not sooner than the interval");
    assert_eq!(deliver(&mut outbox, at(t + 300_000)).unwrap().counts(), (0, 1));
    assert!(deliver(&mut outbox, at(t + 9_999_999)).is_none());
    outbox.sync([], at(t + 10_000_000));
    assert!(outbox.batches.is_empty());
}

#[test]
fn what_fires_and_ends_while_waiting_is_not_told() {
    let mut outbox = outbox();
    outbox.sync([&alert("ComponentDown", "shop", "db")], at(0));
    outbox.sync([], at(10_000));
    assert!(deliver(&mut outbox, at(40_000)).is_none());
    assert_eq!(outbox.next_wake(at(40_000)), None);
}

#[test]
fn a_message_that_was_given_up_is_told_after_all() {
    let mut outbox = outbox();
    let db = alert("ComponentDown", "shop", "db");
    outbox.sync([&db], at(0));
    let mut now = at(30_000);
    let mut dead = 0;
    for _ in 0..200 {
        if outbox.due(now).is_some() {
            let verdict = Verdict::retry(FailureReason::ServerError, None, "500");
            if outbox.report(&verdict, 0, now) == Fate::Dead {
                dead += 1;
                break;
            }
        }
        now = outbox.next_wake(now).unwrap();
    }
    assert_eq!(dead, 1);
    assert!(since(now, at(30_000)) <= GIVE_UP_AFTER);
    now = outbox.next_wake(now).unwrap();
    assert_eq!(deliver(&mut outbox, now).unwrap().alerts().len(), 1);
}

#[test]
fn retry_after_is_honored_and_parts_are_not_sent_twice() {
    let mut outbox = outbox();
    outbox.sync([&alert("ComponentDown", "shop", "db")], at(0));
    assert_eq!(outbox.due(at(30_000)).unwrap().parts_done, 0);
    let verdict = Verdict::retry(FailureReason::RateLimited, Some(Duration::from_secs(60)), "slow down");
    assert_eq!(outbox.report(&verdict, 1, at(30_000)), Fate::Later(at(90_000)));
    assert!(outbox.due(at(89_999)).is_none());
    let again = outbox.due(at(90_000)).unwrap();
    assert_eq!((again.parts_done, again.number), (1, 2));
}

#[test]
fn a_storm_becomes_one_message() {
    let mut outbox = Outbox::new(
        Grouping { by: vec!["component".into()], ..Grouping::default() },
        true,
        Quota::unlimited().and(18, Duration::from_secs(60)),
        "chat",
    );
    let storm: Vec<Alert> = (0..500).map(|i| alert("ComponentDown", "shop", &format!("c{i}"))).collect();
    outbox.sync(&storm, at(0));
    let message = deliver(&mut outbox, at(30_000)).unwrap();
    assert_eq!(message.alerts().len(), 500);
    assert!(deliver(&mut outbox, at(31_000)).is_none());
}

#[test]
fn a_restart_repeats_nothing() {
    let mut before = outbox();
    let db = alert("ComponentDown", "shop", "db");
    before.sync([&db], at(0));
    deliver(&mut before, at(30_000));
    let notified: Vec<Alert> = before.notified_firing().into_iter().cloned().collect();
    let mut after = outbox();
    after.restore(notified, at(60_000));
    after.sync([&db], at(60_000));
    assert!(deliver(&mut after, at(100_000)).is_none());
    after.sync([], at(400_000));
    assert_eq!(deliver(&mut after, at(400_000)).unwrap().counts(), (0, 1));
}

#[test]
fn alertmanager_is_reminded_of_what_is_over() {
    let grouping = Grouping {
        by: vec!["...".into()],
        wait: Duration::ZERO,
        interval: Duration::from_secs(1),
        repeat: Duration::from_secs(60),
        keep_resolved: Duration::from_secs(900),
    };
    let mut outbox = Outbox::new(grouping, true, Quota::unlimited(), "am");
    let db = alert("ComponentDown", "shop", "db");
    outbox.sync([&db], at(0));
    assert!(deliver(&mut outbox, at(0)).is_some());
    assert!(deliver(&mut outbox, at(59_999)).is_none());
    assert!(deliver(&mut outbox, at(60_000)).is_some());
    outbox.sync([&resolved(db, at(70_000))], at(70_000));
    let mut notified = 0;
    for s in 70..2_000 {
        outbox.sync([], at(s * 1_000));
        notified += usize::from(deliver(&mut outbox, at(s * 1_000)).is_some());
    }
    assert_eq!(notified, 15, "once a minute for 15 minutes");
}

/// A receiver that believes what it is told, and a world that goes its way.
fn play(seed: &[(u16, u8, bool)], failing: &[u8]) -> (usize, usize, usize) {
    let grouping = Grouping {
        by: vec!["component".into()],
        wait: Duration::from_secs(1),
        interval: Duration::from_secs(5),
        ..Grouping::default()
    };
    let mut outbox = Outbox::new(grouping, true, Quota::unlimited().and(60, Duration::from_secs(60)), "chat");
    let mut firing: BTreeMap<String, Alert> = BTreeMap::new();
    let mut believed: BTreeMap<String, AlertPhase> = BTreeMap::new();
    let (mut duplicates, mut attempts) = (0, 0);
    let mut now = 0_i64;
    let take = |outbox: &mut Outbox, believed: &mut BTreeMap<String, AlertPhase>, now: i64, n: &mut usize| {
        let mut duplicates = 0;
        while let Some(attempt) = outbox.due(at(now)) {
            *n += 1;
            if failing[*n % failing.len()] < 77 {
                outbox.report(&Verdict::retry(FailureReason::ServerError, None, "500"), 0, at(now));
                break;
            }
            for alert in attempt.message.alerts() {
                let news = believed.insert(alert.id.clone(), alert.phase) != Some(alert.phase);
                duplicates += usize::from(!news);
            }
            outbox.report(&Verdict::Delivered, 1, at(now));
        }
        duplicates
    };
    for (gap, which, up) in seed {
        now += i64::from(*gap % 5_000);
        let one = alert("ComponentDown", "shop", &format!("c{}", which % 30));
        if *up {
            firing.remove(&one.id);
        } else {
            firing.insert(one.id.clone(), one);
        }
        outbox.sync(firing.values(), at(now));
        duplicates += take(&mut outbox, &mut believed, now, &mut attempts);
    }
    // The world stands still; everything outstanding arrives.
    for _ in 0..3_000 {
        now += 1_000;
        outbox.sync(firing.values(), at(now));
        duplicates += take(&mut outbox, &mut believed, now, &mut attempts);
    }
    let lost = firing.keys().filter(|id| believed.get(*id) != Some(&AlertPhase::Firing)).count()
        + believed.iter().filter(|(id, p)| **p == AlertPhase::Firing && !firing.contains_key(*id)).count();
    (duplicates, lost, attempts)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn in_the_end_the_receiver_knows_how_it_is_and_was_told_nothing_twice(
        seed in prop::collection::vec((any::<u16>(), any::<u8>(), any::<bool>()), 1..300),
        failing in prop::collection::vec(any::<u8>(), 50),
    ) {
        prop_assume!(failing.iter().any(|f| *f >= 77));
        let (duplicates, lost, _) = play(&seed, &failing);
        // In a group of one, the only repetition would be a failed delivery told twice.
        prop_assert_eq!((duplicates, lost), (0, 0));
    }
}
