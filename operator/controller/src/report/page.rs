//! From an outcome to what the page shows of a policy. Pure: the demo shows the same without a cluster.

use std::sync::Arc;

use autoscaler::{ForecastState, Savings, score_at};
use decide::Source;
use health::snapshot as page;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use series::{Reading, time};

use crate::report::outcome::{Decided, driver};
use crate::report::recent::Recent;
use crate::validate::{Intent, SignalSource};

/// What a page is made of besides the outcome.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// Whose page it is.
    pub key: &'a page::PolicyKey,
    /// What the policy asks for.
    pub intent: &'a Intent,
    /// The last day.
    pub recent: &'a Recent,
    /// Replica-hours that were saved, where any were counted.
    pub savings: Option<&'a Savings>,
}

/// What the page shows after a decision.
pub fn decided(
    shown: &Shown<'_>,
    decided: &Decided,
    conditions: &[Condition],
    next_change: Option<&page::NextChange>,
    trace_id: Option<String>,
) -> page::PolicySnapshot {
    let record = &decided.record;
    let recommendation = &record.recommendation;
    let mut metrics: Vec<page::MetricSnapshot> =
        (0..shown.intent.signals.len()).map(|i| metric(shown, decided, i)).collect();
    // The driving metric first.
    if let Some(driving) = &recommendation.driver.metric {
        metrics.sort_by_key(|m| *m.name != **driving);
    }
    let startup = record.observation.startup;
    page::PolicySnapshot {
        mode: mode(record.policy.mode),
        replicas: page::Replicas {
            current: decided.replicas(),
            ready: record.observation.replicas.ready,
            desired: recommendation.target,
            min: recommendation.effective_min,
            max: recommendation.effective_max,
        },
        need: record.recommendation.data_fresh.then(|| f64::from(recommendation.uncapped)),
        driver: driver(&recommendation.driver),
        reason: decided.sentence.clone(),
        metrics,
        next_change: next_change.cloned(),
        startup: startup
            .p95
            .map(|p95| page::Startup { p95_seconds: p95.as_secs_f64(), samples: startup.samples }),
        lead_time_seconds: recommendation.lead.as_secs() as u32,
        trace_id,
        ..bare(shown, conditions, record.now)
    }
}

/// What the page shows where nothing was decided.
pub fn bare(shown: &Shown<'_>, conditions: &[Condition], now: Timestamp) -> page::PolicySnapshot {
    let Shown { key, intent, recent, savings } = *shown;
    let reason = conditions.first().map(|c| c.message.clone()).unwrap_or_default();
    page::PolicySnapshot {
        namespace: key.namespace.clone(),
        name: key.name.clone(),
        target: page::Target {
            api_version: intent.target.api_version.clone().unwrap_or_default(),
            kind: intent.target.kind.clone(),
            name: intent.target.name.clone(),
        },
        mode: mode(intent.policy.mode),
        paused: intent
            .pause
            .as_ref()
            .filter(|p| p.until.is_none_or(|until| now < until))
            .map(|p| page::Pause { until: p.until, reason: p.reason.clone() }),
        replicas: page::Replicas {
            min: intent.policy.min_replicas,
            max: intent.policy.max_replicas,
            ..page::Replicas::default()
        },
        need: None,
        driver: String::new(),
        reason,
        conditions: conditions.iter().map(condition).collect(),
        metrics: Vec::new(),
        ready_replicas: recent.ready.series(),
        desired_replicas: recent.desired.series(),
        decisions: recent.decisions.iter().cloned().collect(),
        next_change: None,
        startup: None,
        lead_time_seconds: 0,
        saved: savings.and_then(|savings| {
            Some(page::Saved {
                replica_hours: savings.seconds / 3_600.0,
                against: format!("{} replicas all the time", savings.peak().unwrap_or(0)),
                since: savings.since?,
            })
        }),
        backtest: None,
        updated: now,
        trace_id: None,
    }
}

fn mode(mode: decide::Mode) -> page::Mode {
    match mode {
        decide::Mode::Auto => page::Mode::Auto,
        decide::Mode::Recommend => page::Mode::Recommend,
    }
}

fn condition(condition: &Condition) -> page::ConditionSnapshot {
    page::ConditionSnapshot {
        kind: condition.type_.clone(),
        status: match condition.status.as_str() {
            "True" => page::ConditionStatus::True,
            "False" => page::ConditionStatus::False,
            _ => page::ConditionStatus::Unknown,
        },
        reason: condition.reason.clone(),
        message: condition.message.clone(),
        since: condition.last_transition_time.0,
    }
}

fn metric(shown: &Shown<'_>, decided: &Decided, index: usize) -> page::MetricSnapshot {
    let signal = &shown.intent.signals[index];
    let record = &decided.record;
    let recommendation = &record.recommendation;
    let recent = shown.recent.metrics.get(&signal.name);
    let reading = record.observation.metric(&signal.name).map(|m| &m.reading);
    let sample = match reading {
        Some(Reading::Fresh(sample) | Reading::Stale { sample, .. }) => Some(*sample),
        _ => None,
    };
    let candidates = recommendation
        .candidates
        .iter()
        .filter(|c| c.metric.as_deref() == Some(signal.name.as_str()))
        .filter_map(|c| {
            Some(page::Candidate {
                kind: kind(c.source).to_owned(),
                replicas: f64::from(c.replicas?),
                message: c.message.clone(),
                wins: c.source == recommendation.driver.source && c.metric == recommendation.driver.metric,
            })
        })
        .collect();
    let state = decided.forecasts.get(index);
    page::MetricSnapshot {
        name: Arc::from(signal.name.as_str()),
        query: match &signal.source {
            SignalSource::Prometheus { query, .. } => query.clone(),
            SignalSource::Queue { queue } => queue.describe(),
        },
        unit: String::new(),
        target: record.policy.metrics.get(index).map_or(0.0, |m| m.target),
        value: reading.and_then(Reading::fresh),
        age_seconds: sample.map(|s| time::since(record.now, s.time()).as_secs_f64()),
        absence: reading.and_then(Reading::absence),
        candidates,
        recent: recent.and_then(|r| r.measured.series()),
        capacity: recent.and_then(|r| r.capacity.series()),
        hindcast: recent.and_then(|r| r.hindcast.series()),
        forecast: state.and_then(|s| s.forecast.as_ref().ok()).map(|f| f.as_ref().clone()),
        forecast_status: state.map(|s| forecast_status(s, decided)),
    }
}

/// The page's word for a step of the decision.
fn kind(source: Source) -> &'static str {
    match source {
        Source::Predictive | Source::Keep => "predictive",
        Source::Calendar => "calendar",
        Source::Backlog => "backlog",
        Source::Fallback => "fallback",
        _ => "reactive",
    }
}

fn forecast_status(state: &ForecastState, decided: &Decided) -> page::ForecastStatus {
    let recommendation = &decided.record.recommendation;
    let active = recommendation.is_forecast_active() && state.forecast.is_ok();
    let (reason, message) = match &state.forecast {
        Err(refusal) => (refusal.reason.to_string(), refusal.message.clone()),
        Ok(_) if active => ("Active".to_owned(), String::new()),
        Ok(_) => (recommendation.strategy_reason.to_string(), String::new()),
    };
    let record = state.accuracy.as_deref();
    let score = record.and_then(|r| score_at(r, recommendation.lead));
    page::ForecastStatus {
        active,
        reason,
        message: if message.is_empty() {
            record.map(|r| r.chosen_because.clone()).unwrap_or_default()
        } else {
            message
        },
        model: record.map(|r| r.model.clone()).unwrap_or_default(),
        error_ratio: score.map(|s| s.versus_last_value.max(s.versus_yesterday)),
        coverage: score.map(|s| s.coverage_95),
        coverage_target: score.map(|_| 0.95),
        seasons_seconds: record
            .map(|r| r.seasons.iter().map(|s| s.period.as_secs()).collect())
            .unwrap_or_default(),
        history_seconds: record.map_or(0, |r| r.history.as_secs()),
        level_shift: record.and_then(|r| r.level_shift),
    }
}

/// The next change that the forecast expects: the first step whose need isn't the present target, one lead time
/// earlier for a rise.
pub fn next_change(decided: &Decided) -> Option<page::NextChange> {
    let recommendation = &decided.record.recommendation;
    let params = recommendation.strategy.forecast?;
    let (now, target) = (decided.record.now, recommendation.target);
    let need = |value: f64, per_replica: f64| {
        let replicas = (value * params.margin / per_replica).ceil().max(0.0) as u32;
        replicas.clamp(recommendation.effective_min, recommendation.effective_max)
    };
    // For each step the largest need over the metrics.
    let mut needs: std::collections::BTreeMap<Timestamp, (u32, &str)> = std::collections::BTreeMap::new();
    for (index, state) in decided.forecasts.iter().enumerate() {
        let (Ok(forecast), Some(metric)) = (&state.forecast, decided.record.policy.metrics.get(index)) else {
            continue;
        };
        if metric.kind != decide::MetricKind::AverageValue {
            continue;
        }
        for (at, value) in forecast.path(params.quantile).filter(|(at, _)| *at > now) {
            let entry = needs.entry(at).or_insert((0, metric.name.as_str()));
            let replicas = need(value, metric.target);
            if replicas > entry.0 {
                *entry = (replicas, metric.name.as_str());
            }
        }
    }
    let (at, (replicas, metric)) = needs.iter().find(|(_, (n, _))| n.abs_diff(target) > target / 20)?;
    let at = if *replicas > target { time::before(*at, recommendation.lead).max(now) } else { *at };
    let direction = if *replicas > target { "more" } else { "less" };
    Some(page::NextChange {
        at,
        replicas: *replicas,
        reason: format!("{metric} is forecast to ask for {direction}"),
    })
}
