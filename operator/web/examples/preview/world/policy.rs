//! Policies as they stand.

#[allow(clippy::wildcard_imports, reason = "a preview shows all of it")]
use health::snapshot::*;
use jiff::Timestamp;
use series::{Absence, AbsenceReason};

use super::workload::{AHEAD, PAST, STEP, Trait, Workload};
use super::{at, noise, second};

pub(super) fn policy(w: &Workload, now: Timestamp) -> PolicySnapshot {
    let s = second(now);
    let minute = s - s.rem_euclid(STEP);
    let from = minute - (PAST - 1) * STEP;
    let blind = w.trait_ == Trait::Blind;
    let ready_at = |s: i64| w.wanted(s - 90).min(w.wanted(s).max(2));
    let load = w.load(s);
    let replicas =
        Replicas { current: w.wanted(s - 20), ready: ready_at(s), desired: w.wanted(s), min: 2, max: w.max };
    let need = load / w.target;
    let predicted = (0..=10).map(|m| w.shape(s + m * 60)).fold(0.0, f64::max) * 1.12 / w.target;
    let leads = if w.trait_ == Trait::Queue { "backlog" } else { "predictive" };
    let trusted = !matches!(w.trait_, Trait::Learning | Trait::Blind);
    let next = next_change(w, s, replicas.desired);
    let driver = match w.trait_ {
        Trait::Blind => String::new(),
        Trait::Learning => format!("{} (reactive)", w.metric),
        _ => format!("{} ({leads})", w.metric),
    };
    PolicySnapshot {
        namespace: w.namespace.into(),
        name: w.name.into(),
        target: Target { api_version: "apps/v1".into(), kind: w.kind.into(), name: w.name.into() },
        mode: if w.trait_ == Trait::Recommend { Mode::Recommend } else { Mode::Auto },
        paused: (w.trait_ == Trait::Paused).then(|| Pause {
            until: Some(at(s - s.rem_euclid(3600) + 7200)),
            reason: "model rollout, ask Kim".into(),
        }),
        replicas,
        need: (!blind).then_some(need),
        reason: reason(w, &replicas, need, predicted, next.as_ref(), s),
        driver,
        conditions: conditions(w, s, need),
        metrics: vec![MetricSnapshot {
            name: w.metric.into(),
            query: if w.trait_ == Trait::Queue {
                format!("kafka://events/{} lag of group {}", w.name, w.name)
            } else {
                format!("sum(rate(http_requests_total{{app=\"{}\"}}[2m]))", w.name)
            },
            unit: w.unit.into(),
            target: w.target,
            value: (!blind).then_some(load),
            age_seconds: (!blind).then_some((s % 15) as f64),
            absence: blind.then(|| {
                Absence::new(
                    AbsenceReason::Empty,
                    "the query is right and nothing matched it; is the exporter scraped?",
                )
            }),
            candidates: candidates(w, need, predicted, trusted, leads),
            recent: Workload::grid(from, |t| if blind && t > s - 2400 { f64::NAN } else { w.load(t) }),
            capacity: Workload::grid(from, |t| f64::from(ready_at(t)) * w.target),
            hindcast: if trusted {
                Workload::grid(from, |t| w.shape(t) * (1.0 + 0.02 * noise(3, t / 900)))
            } else {
                None
            },
            forecast: if trusted { w.forecast(minute + STEP) } else { None },
            forecast_status: Some(forecast_status(w, trusted)),
        }],
        ready_replicas: Workload::grid(from, |t| f64::from(ready_at(t))),
        desired_replicas: Workload::grid(from, |t| f64::from(w.wanted(t))),
        decisions: decisions(w, s),
        next_change: if trusted { next } else { None },
        startup: Some(Startup { p95_seconds: 48.0 + (w.seed() % 60) as f64, samples: 214 }),
        lead_time_seconds: 95 + (w.seed() % 60) as u32,
        saved: trusted.then(|| Saved {
            replica_hours: f64::from(w.max) * 11.4 + (s % 86_400) as f64 / 900.0,
            against: format!("{} replicas all day", w.max * 4 / 5),
            since: at(s - 9 * 86_400),
        }),
        backtest: trusted.then(|| backtest(w, s)),
        updated: now,
        trace_id: Some(format!("{:032x}", w.seed().wrapping_mul(0x9E37_79B9_7F4A_7C15))),
    }
}

fn next_change(w: &Workload, s: i64, desired: u32) -> Option<NextChange> {
    (1..AHEAD).map(|m| s + m * 60).find(|t| w.wanted(*t) != desired).map(|t| NextChange {
        at: at(t),
        replicas: w.wanted(t),
        reason: if w.wanted(t) > desired { "daily ramp" } else { "load falls off" }.into(),
    })
}

fn reason(
    w: &Workload,
    r: &Replicas,
    need: f64,
    predicted: f64,
    next: Option<&NextChange>,
    s: i64,
) -> String {
    match w.trait_ {
        Trait::Blind => format!(
            "Holding {} replicas: no data for 40 minutes, and only fresh data may lower them.",
            r.current
        ),
        Trait::AtMax if need * 1.12 > f64::from(w.max) => {
            format!("At the maximum of {}: the load would need {:.1} replicas.", w.max, predicted)
        }
        Trait::Learning => {
            format!("Holding {} replicas by the load as it is; the forecast is still learning.", r.current)
        }
        Trait::Recommend => {
            format!("Would hold {} replicas: {predicted:.1} are needed within the lead time.", r.desired)
        }
        Trait::Queue => format!(
            "{} consumers work off the backlog and what is expected to arrive within two minutes.",
            r.desired
        ),
        _ => match next {
            Some(n) if n.replicas > r.desired => format!(
                "Holding {} replicas, which is enough for now; {} in {} minutes, ahead of the daily ramp.",
                r.desired,
                n.replicas,
                (second(n.at) - s) / 60
            ),
            _ => format!(
                "Holding {} replicas: {predicted:.1} are needed within the lead time, at most {:.1} now.",
                r.desired, need
            ),
        },
    }
}

fn candidates(w: &Workload, need: f64, predicted: f64, trusted: bool, leads: &str) -> Vec<Candidate> {
    if w.trait_ == Trait::Blind {
        return vec![];
    }
    let entry = |kind: &str, replicas: f64, message: String, wins: bool| Candidate {
        kind: kind.into(),
        replicas,
        message,
        wins,
    };
    let mut all = vec![entry(
        "reactive",
        need,
        format!("{:.0} {} now, {} per replica", need * w.target, w.unit, w.target),
        !trusted,
    )];
    if trusted {
        let message =
            format!("99 % sure to stay below {:.0} {} within the lead time", predicted * w.target, w.unit);
        all.insert(0, entry(leads, predicted, message, true));
    }
    if w.namespace == "shop" {
        all.push(entry("calendar", 2.0, "nothing special today".into(), false));
    }
    all
}

fn forecast_status(w: &Workload, trusted: bool) -> ForecastStatus {
    let active = trusted;
    ForecastStatus {
        active,
        reason: if active { "Active" } else { "Learning" }.into(),
        message: if active {
            "Beats last value and yesterday on this workload's own last two weeks.".into()
        } else {
            "4 of 14 days of history so far.".into()
        },
        model: if active {
            "ridge on Fourier terms 62 %, seasonal decomposition 38 %".into()
        } else {
            String::new()
        },
        error_ratio: active.then_some(0.31 + (w.seed() % 22) as f64 / 100.0),
        coverage: active.then_some(0.981 + (w.seed() % 9) as f64 / 1000.0),
        coverage_target: active.then_some(0.99),
        seasons_seconds: if active { vec![86_400, 604_800] } else { vec![86_400] },
        history_seconds: if active { 14 * 86_400 } else { 4 * 86_400 },
        level_shift: None,
    }
}

fn conditions(w: &Workload, s: i64, need: f64) -> Vec<ConditionSnapshot> {
    let entry = |kind: &str, yes: bool, reason: &str, message: String| ConditionSnapshot {
        kind: kind.into(),
        status: if yes { ConditionStatus::True } else { ConditionStatus::False },
        reason: reason.into(),
        message,
        since: at(s - s.rem_euclid(3600) - 7200),
    };
    let blind = w.trait_ == Trait::Blind;
    let full = w.trait_ == Trait::AtMax && need * 1.12 > f64::from(w.max);
    let learning = w.trait_ == Trait::Learning;
    vec![
        entry(
            "Ready",
            !blind,
            if blind { "DataAbsent" } else { "Scaling" },
            if blind {
                "requests: the query is right and nothing matched it; replicas are held".into()
            } else {
                "scaling as the policy asks".into()
            },
        ),
        entry("AbleToScale", true, "ReadyForNewScale", "the target's scale can be read and written".into()),
        entry(
            "ScalingActive",
            !blind,
            if blind { "Empty" } else { "ValidMetricFound" },
            "decisions follow the policy's metrics".into(),
        ),
        entry(
            "ScalingLimited",
            full,
            if full { "TooManyReplicas" } else { "DesiredWithinRange" },
            if full {
                format!("the load needs {:.1} replicas, the maximum is {}", need * 1.12, w.max)
            } else {
                "the wanted number is within the limits".into()
            },
        ),
        entry(
            "ForecastActive",
            !learning && !blind,
            if learning || blind { "Learning" } else { "Active" },
            "see how good the forecast is".into(),
        ),
        entry(
            "DataFresh",
            !blind,
            if blind { "Empty" } else { "Fresh" },
            if blind { "no sample for 40 minutes".into() } else { "newest sample 4 s old".into() },
        ),
    ]
}

fn decisions(w: &Workload, s: i64) -> Vec<DecisionEntry> {
    if w.trait_ == Trait::Blind {
        return vec![];
    }
    let minute = s - s.rem_euclid(60);
    let mut all = Vec::new();
    for m in 0..1440 {
        let t = minute - m * 60;
        let (from, to) = (w.wanted(t - 60), w.wanted(t));
        if from == to || all.len() >= 40 {
            continue;
        }
        let up = to > from;
        let minutes = 2 + w.seed() % 4;
        all.push(DecisionEntry {
            at: at(t),
            outcome: if w.trait_ == Trait::Recommend { Outcome::Suggested } else { Outcome::Scaled },
            from,
            to,
            driver: format!(
                "{} ({})",
                w.metric,
                if w.trait_ == Trait::Queue { "backlog" } else { "predictive" }
            ),
            message: if up {
                format!(
                    "{:.0} {} are expected in {minutes} minutes, {:.0} now.",
                    w.shape(t + 600),
                    w.unit,
                    w.load(t)
                )
            } else {
                format!(
                    "No more than {:.0} {} are expected for the next {} minutes.",
                    w.shape(t),
                    w.unit,
                    minutes + 8
                )
            },
            limits: if !up && w.seed().is_multiple_of(3) {
                vec![LimitEntry {
                    reason: "ScaleDownStabilized".into(),
                    message: format!("{} was wanted within the last 5 minutes", to + 1),
                }]
            } else if to == w.max {
                vec![LimitEntry {
                    reason: "TooManyReplicas".into(),
                    message: format!("the maximum is {}", w.max),
                }]
            } else {
                vec![]
            },
            trace_id: (m < 30).then(|| format!("{:016x}{:016x}", w.seed(), t)),
        });
    }
    all
}

fn backtest(w: &Workload, s: i64) -> BacktestSummary {
    let hours = 14.0 * 24.0;
    let mean = f64::from(w.max) * 0.31;
    let row = |name: &str, unserved: f64, short: f64, factor: f64, scales: u32| BacktestRow {
        name: name.into(),
        unserved_ratio: unserved,
        short_ratio: short,
        replica_hours: mean * hours * factor,
        scales,
    };
    let to = s - s.rem_euclid(86_400);
    BacktestSummary {
        from: at(to - 14 * 86_400),
        to: at(to),
        rows: vec![
            row("Foresail", 0.00002, 0.0006, 1.0, 412),
            row("HPA as configured", 0.0031, 0.021, 1.06, 538),
            row("HPA, tuned in hindsight", 0.0012, 0.011, 1.17, 391),
            row("Cron, four windows", 0.0007, 0.009, 1.41, 112),
            row("Static peak", 0.0, 0.0, 2.83, 0),
            row("Clairvoyant", 0.0, 0.0, 0.91, 402),
        ],
    }
}
