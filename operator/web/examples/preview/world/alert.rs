//! Alerts that go with the components' troubles, and a calendar.

#[allow(clippy::wildcard_imports, reason = "a preview shows all of it")]
use health::snapshot::*;
use jiff::{Timestamp, Unit};

use super::{at, second};

pub(super) fn alerts(now: Timestamp) -> Vec<AlertSnapshot> {
    let s = second(now);
    let down = s.rem_euclid(1200) < 600;
    let began = s - s.rem_euclid(1200);
    let sent = |to: &[(&str, bool, &str)]| {
        to.iter()
            .map(|(r, ok, m)| Delivery { receiver: (*r).into(), delivered: *ok, message: (*m).into() })
            .collect()
    };
    let entry = |alert: &str, severity, state, subject: &str, summary: &str, since: i64| AlertSnapshot {
        id: format!("{alert}/{subject}"),
        alert: alert.into(),
        severity,
        state,
        subject: subject.into(),
        summary: summary.into(),
        description: String::new(),
        runbook_url: format!("https://foresail.dev/runbooks/{alert}"),
        since: at(since),
        resolved: None,
        consequences: vec![],
        deliveries: vec![],
        trace_id: None,
    };
    let mut all = vec![
        AlertSnapshot {
            consequences: vec!["orders".into(), "checkout".into()],
            deliveries: sent(&[
                ("oncall-pagerduty", true, "202"),
                ("ops-feishu", true, "code 0"),
                ("ops-dingtalk", false, "130101 send too fast, again in 48 s"),
            ]),
            resolved: (!down).then(|| at(began + 600)),
            trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736".into()),
            ..entry(
                "ComponentDown",
                Severity::Critical,
                if down { AlertPhase::Firing } else { AlertPhase::Resolved },
                "component shop/orders-db",
                "orders-db is down: connection refused by 10.0.14.7:5432.",
                began,
            )
        },
        AlertSnapshot {
            description: "Replicas are held at the last known number. Only fresh data may lower them.".into(),
            deliveries: sent(&[("ops-feishu", true, "code 0")]),
            ..entry(
                "PolicyDataAbsent",
                Severity::Warning,
                AlertPhase::Firing,
                "policy platform/reports",
                "reports has had no data for 40 minutes: the query is right and nothing matched it.",
                began - 2400,
            )
        },
        entry(
            "ComponentDegraded",
            Severity::Warning,
            AlertPhase::Pending,
            "component shop/card-network",
            "card-network answers slowly: p95 840 ms, warns above 600 ms.",
            s - s.rem_euclid(300),
        ),
    ];
    all.push(AlertSnapshot {
        resolved: Some(at(began - 4000)),
        deliveries: sent(&[("ops-feishu", true, "code 0")]),
        ..entry(
            "PolicyAtMaxReplicas",
            Severity::Warning,
            AlertPhase::Resolved,
            "policy shop/search",
            "search was at its maximum of 18 replicas and needed 20.4.",
            began - 9000,
        )
    });
    all
}

pub(super) fn calendar(now: Timestamp) -> Vec<CalendarWindow> {
    let midnight = now.round(Unit::Hour).map_or(0, second).div_euclid(86_400) * 86_400;
    let entry = |day: i64, hour: i64, hours: i64, name: &str, kind, effect: &str| CalendarWindow {
        calendar: "shop/campaigns".into(),
        name: name.into(),
        kind,
        start: at(midnight + day * 86_400 + hour * 3600),
        end: at(midnight + day * 86_400 + (hour + hours) * 3600),
        effect: effect.into(),
    };
    vec![
        entry(
            0,
            0,
            24,
            "Database upgrade night",
            CalendarKind::Maintenance,
            "alerts of group data muted, scale-downs held",
        ),
        entry(0, 18, 5, "Evening flash sale", CalendarKind::Scaling, "at least 24 replicas of shop/checkout"),
        entry(2, 9, 3, "Newsletter", CalendarKind::Scaling, "at least 30 replicas of shop/storefront"),
        entry(5, 0, 24, "Thanksgiving", CalendarKind::Holiday, "forecast as a holiday"),
        entry(
            6,
            0,
            24,
            "Black Friday",
            CalendarKind::Scaling,
            "at least 40 replicas of shop/checkout, load expected ×2.5",
        ),
        entry(9, 2, 2, "Kernel patches", CalendarKind::Maintenance, "alerts muted, scale-downs held"),
    ]
}
