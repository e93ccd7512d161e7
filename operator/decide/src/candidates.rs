//! Every answer to "how many replicas", one a metric and step: reactive, burst, panic, predictive, backlog, fallback.
//! Broken metrics give answers too: none, or one that may only raise.

use std::time::Duration;

use jiff::Timestamp;
use series::{Forecast, Reading, time};

use crate::backlog::{Queue, Sized};
use crate::burst::Burst;
use crate::history::NoBenefit;
use crate::observation::{Observation, Outlook, QueueObservation};
use crate::policy::{BacklogPolicy, Capacity, ForecastUse, MetricKind, MetricPolicy, Policy};
use crate::predictive::{self, highest};
use crate::reactive::{self, GROWTH, OVERLOAD, SURGE, SURGE_HEADROOM, UNUSUAL};
use crate::recommendation::{Candidate, CandidateReason, Source};
use crate::stance::{Foresight, Stance};
use crate::validate::{Validated, sane};

/// What all steps share.
pub(crate) struct Scene<'a> {
    pub(crate) policy: &'a Policy,
    pub(crate) observation: &'a Observation,
    pub(crate) stance: Stance,
    /// The stance comes from replayed history, so its headroom already covers bursts.
    pub(crate) replayed: bool,
    /// The level to provision for, paced.
    pub(crate) level: f64,
    pub(crate) lead: Duration,
    pub(crate) keep_span: Duration,
    pub(crate) now: Timestamp,
}

/// What a metric's steps found besides candidates.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) surge: bool,
    /// Replicas that the forecast wants again soon.
    pub(crate) keep: u32,
    /// Replicas for the forecast's median at its highest ahead, where the load fell far below everything foreseen.
    pub(crate) dropped: Option<u32>,
    /// The promise of a queue is about to break.
    pub(crate) urgent: bool,
    /// A queue that nothing waits in, comes into or is about to come into.
    pub(crate) idle: bool,
    /// More consumers than this don't help now.
    pub(crate) most: Option<(u32, MostReason)>,
}

/// Why more consumers don't help.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum MostReason {
    Partitions,
    NoBenefit,
}

/// The answers of one metric.
pub(crate) fn of_metric(scene: &Scene<'_>, metric: &Validated<'_>, out: &mut Vec<Candidate>) -> Found {
    let mut found = Found::default();
    if let MetricKind::Backlog(backlog) = &metric.policy.kind {
        backlog_candidate(scene, metric, backlog, out, &mut found);
    } else {
        reactive_candidates(scene, metric, out, &mut found);
        predictive_candidate(scene, metric, out, &mut found);
    }
    fallback_candidate(scene, metric, out);
    found
}

fn push(
    out: &mut Vec<Candidate>,
    source: Source,
    metric: &Validated<'_>,
    replicas: Option<u32>,
    reason: CandidateReason,
    message: String,
) {
    out.push(Candidate { source, metric: Some(metric.policy.name.clone()), replicas, reason, message });
}

fn reactive_candidates(
    scene: &Scene<'_>,
    metric: &Validated<'_>,
    out: &mut Vec<Candidate>,
    found: &mut Found,
) {
    let spec = scene.observation.replicas.spec;
    let Some(value) = metric.fresh.or(metric.upward) else {
        let why = metric.problem.as_ref().map(ToString::to_string).unwrap_or_default();
        push(out, Source::Reactive, metric, None, CandidateReason::NoData, why);
        return;
    };
    let stale = metric.fresh.is_none();
    let reason = if stale { CandidateReason::StaleData } else { CandidateReason::FromLoad };
    let foresighted = scene.stance.foresight.is_some() && metric.policy.kind == MetricKind::AverageValue;
    if !foresighted {
        // What was learnt takes the target's place once it is known.
        let target = match metric.policy.capacity {
            Capacity::Learnt => metric.per_replica,
            Capacity::Target | Capacity::Declared(_) => metric.policy.target,
        };
        let (replicas, within) = reactive::hpa(
            &metric.policy.kind,
            target,
            value,
            spec,
            scene.observation.replicas.ready,
            // A replayed stance has its own way of leaving small changes alone.
            if scene.replayed { (0.0, 0.0) } else { tolerance(scene.policy) },
        );
        // A value that may only raise keeps what is there where it would lower.
        let replicas = if stale { replicas.max(spec) } else { replicas };
        let shown = (target * 1e3).round() / 1e3;
        let message = if within {
            format!("load {value:.1} is within tolerance of {spec} x {shown}")
        } else {
            format!("load {value:.1} / target {shown}")
        };
        let reason = if within && !stale { CandidateReason::WithinTolerance } else { reason };
        push(out, Source::Reactive, metric, Some(replicas), reason, message);
    }
    if metric.policy.kind != MetricKind::AverageValue {
        return;
    }
    if scene.policy.forecast == ForecastUse::Auto {
        burst_candidate(scene, metric, value, reason, out);
    }
    surge_candidate(scene, metric, value, out, found);
}

/// Tolerance up and down: `behavior` of a direction first, then the policy's.
fn tolerance(policy: &Policy) -> (f64, f64) {
    let own = |rules: Option<f64>| rules.unwrap_or(policy.tolerance);
    policy.behavior.as_ref().map_or((policy.tolerance, policy.tolerance), |behavior| {
        (own(behavior.scale_up.tolerance), own(behavior.scale_down.tolerance))
    })
}

fn burst_candidate(
    scene: &Scene<'_>,
    metric: &Validated<'_>,
    value: f64,
    reason: CandidateReason,
    out: &mut Vec<Candidate>,
) {
    let margin = if scene.replayed || scene.stance.foresight.is_some() {
        1.0
    } else {
        1.0 + metric.memory.burst.margin()
    };
    let headroom = scene.stance.headroom.max(1.0) * margin;
    let capacity = metric.per_replica;
    let climbed =
        metric.memory.momentum.carried(scene.lead).filter(|_| metric.fresh.is_some()).unwrap_or(value);
    let load = value + (climbed - value).max(0.0) * scene.stance.lean.clamp(0.0, 4.0);
    let replicas = reactive::need(load * headroom, capacity);
    let replicas = if reason == CandidateReason::StaleData {
        replicas.max(scene.observation.replicas.spec)
    } else {
        replicas
    };
    let climbs = if load > value { format!(", climbing to {load:.1},") } else { String::new() };
    let message =
        format!("load {value:.1}{climbs} x headroom {headroom:.2} / {capacity:.1} that a replica carries");
    push(out, Source::Burst, metric, Some(replicas), reason, message);
}

fn surge_candidate(
    scene: &Scene<'_>,
    metric: &Validated<'_>,
    value: f64,
    out: &mut Vec<Candidate>,
    found: &mut Found,
) {
    let Burst { mean, large, .. } = metric.memory.burst;
    let short = sane(metric.observed.and_then(|o| o.short)).unwrap_or(value);
    let long = sane(metric.observed.and_then(|o| o.long)).or(mean).filter(|l| *l > 0.0);
    // A handful of requests more than nothing is no surge.
    let matters = short > metric.per_replica;
    // Where the load doubles every hour, doubling is no surge, and a stance that was replayed on it has room for it.
    let unusual = if scene.replayed { 1.0 + UNUSUAL * large } else { 1.0 };
    let surges = matters && long.is_some_and(|long| short >= SURGE.max(unusual) * long);
    let carried = metric.per_replica * f64::from(scene.observation.replicas.ready.max(1));
    let grows = long.is_some_and(|long| short >= GROWTH.max(unusual) * long);
    let overloaded = matters && grows && value.max(short) > OVERLOAD * carried;
    if !surges && !overloaded {
        return;
    }
    found.surge = true;
    let load = short.max(value);
    let replicas = reactive::need(load * SURGE_HEADROOM, metric.per_replica);
    let message = if surges {
        format!("load {load:.1} is {:.1} times that of five minutes", load / long.unwrap_or(load))
    } else {
        format!("load {load:.1} is {:.1} times what the ready replicas carry", load / carried)
    };
    push(out, Source::Panic, metric, Some(replicas), CandidateReason::Surge, message);
}

fn predictive_candidate(
    scene: &Scene<'_>,
    metric: &Validated<'_>,
    out: &mut Vec<Candidate>,
    found: &mut Found,
) {
    let silent = |reason, message: String| (reason, message);
    let outcome = usable_forecast(scene, metric).map_err(|(reason, message)| silent(reason, message));
    let forecast = match outcome {
        Ok(forecast) => forecast,
        Err((reason, message)) => {
            push(out, Source::Predictive, metric, None, reason, message);
            return;
        }
    };
    let foresight = scene.stance.foresight.unwrap_or(Foresight {
        level: scene.policy.protection,
        margin: 1.0,
        follow: 0.0,
    });
    let (now, capacity) = (scene.now, metric.per_replica);
    let moved = match metric.observed.map(|o| &o.reading) {
        Some(Reading::Fresh(sample)) if metric.fresh.is_some() => {
            predictive::moved(forecast, sample.time(), sample.value(), foresight.follow)
        }
        _ => 1.0,
    };
    // A replayed stance was replayed on the line between steps; without a replay every step counts as its highest.
    let peak = |ahead: Duration, level: f64| {
        let to = time::after(now, ahead);
        if scene.replayed {
            predictive::peak(forecast, now, to, level)
        } else {
            highest(forecast, now, to, level)
        }
        .map(|load| load * moved * foresight.margin)
    };
    let Some(load) = peak(scene.lead, scene.level) else {
        let message = "the forecast doesn't reach the present".to_owned();
        push(out, Source::Predictive, metric, None, CandidateReason::ForecastExpired, message);
        return;
    };
    let replicas = reactive::need(load, capacity);
    let message = format!(
        "q{:.1} of the load within {}s is {load:.1}, / {capacity:.1} that a replica carries",
        scene.level * 100.0,
        scene.lead.as_secs()
    );
    if scene.stance.foresight.is_none() {
        push(out, Source::Predictive, metric, Some(replicas), CandidateReason::NotTrusted, message);
        return;
    }
    push(out, Source::Predictive, metric, Some(replicas), CandidateReason::FromForecast, message);
    let keep_level = scene.level.min(0.9);
    found.keep = peak(scene.keep_span, keep_level).map_or(0, |load| reactive::need(load, capacity));
    found.dropped = dropped(scene, metric, forecast);
}

fn usable_forecast<'a>(
    scene: &Scene<'_>,
    metric: &Validated<'a>,
) -> Result<&'a Forecast, (CandidateReason, String)> {
    let off = scene.policy.forecast == ForecastUse::Off || !metric.policy.forecast;
    if off || metric.policy.kind == MetricKind::Value {
        let message = "forecasts are switched off for this metric, or make no sense for it".to_owned();
        return Err((CandidateReason::ForecastOff, message));
    }
    match metric.observed.map(|o| &o.outlook) {
        Some(Outlook::Forecast(forecast)) => {
            let age = time::since(scene.now, forecast.origin());
            if age <= scene.policy.timing.forecast_valid {
                return Ok(forecast);
            }
            Err((CandidateReason::ForecastExpired, format!("the forecast is {}s old", age.as_secs())))
        }
        Some(Outlook::Unknown { reason, message }) => {
            Err((CandidateReason::NoForecast, format!("{reason}: {message}")))
        }
        None => Err((CandidateReason::NoForecast, "the metric hasn't been read yet".to_owned())),
    }
}

/// Replicas for the median foreseen, where the load is far below everything foreseen: traffic that an outage keeps
/// away comes back all at once.
fn dropped(scene: &Scene<'_>, metric: &Validated<'_>, forecast: &Forecast) -> Option<u32> {
    let value = metric.fresh?;
    let lowest = forecast.at(scene.now, 0.01)?;
    let median = forecast.at(scene.now, 0.5)?;
    (value < lowest && value < 0.6 * median).then(|| reactive::need(median, metric.per_replica))
}

fn backlog_candidate(
    scene: &Scene<'_>,
    metric: &Validated<'_>,
    backlog: &BacklogPolicy,
    out: &mut Vec<Candidate>,
    found: &mut Found,
) {
    let replicas = scene.observation.replicas;
    let Some(waiting) = metric.fresh.or(metric.upward) else {
        let why = metric.problem.as_ref().map(ToString::to_string).unwrap_or_default();
        push(out, Source::Backlog, metric, None, CandidateReason::NoData, why);
        return;
    };
    let queue = metric.observed.and_then(|o| o.queue).unwrap_or_default();
    let arrivals = arrivals(&queue);
    let forecast = usable_forecast(scene, metric).ok().filter(|_| scene.stance.foresight.is_some());
    // A consumer is worth starting, or keeping, for what is more likely to come than not.
    let coming = forecast
        .and_then(|f| highest(f, scene.now, time::after(scene.now, scene.lead), 0.5))
        .map_or(0.0, |rate| rate * scene.lead.as_secs_f64());
    if coming < (backlog.activation + 1.0)
        && let Some(message) = idle(backlog, waiting, arrivals, replicas.spec)
    {
        found.idle = metric.fresh.is_some();
        push(out, Source::Backlog, metric, Some(0), CandidateReason::QueueIdle, message);
        return;
    }
    let Some(per_consumer) = per_consumer(metric.policy, metric) else {
        learning(scene, metric, backlog, waiting, arrivals, out, found);
        return;
    };
    let partitions = queue.partitions.filter(|p| *p > 0);
    let sized = Queue {
        backlog: waiting,
        arrivals,
        outlook: forecast.map(|f| (f, scene.level)),
        per_consumer,
        ready: replicas.ready,
        spec: replicas.spec,
        lead: scene.lead,
        now: scene.now,
        most: scene.policy.max_replicas,
        partitions,
    }
    .size(backlog);
    sized_candidate(scene, metric, waiting, arrivals, per_consumer, sized, out);
    found.urgent = sized.urgent;
    if let Some(partitions) = partitions {
        found.most = Some((partitions, MostReason::Partitions));
    }
    if let Some(NoBenefit { replicas, .. }) = metric.memory.no_benefit.filter(|n| scene.now < n.until)
        && found.most.is_none_or(|(most, _)| replicas < most)
    {
        found.most = Some((replicas, MostReason::NoBenefit));
    }
}

/// Why no consumer is needed, if none is. What was taken on is finished: the threshold is for waking up, and whoever is
/// awake goes to sleep on nothing but an empty queue.
fn idle(backlog: &BacklogPolicy, waiting: f64, arrivals: f64, spec: u32) -> Option<String> {
    if spec == 0 && waiting <= backlog.activation {
        return Some(format!(
            "{waiting:.0} messages wait; {:.0} wake the workload up",
            backlog.activation.floor() + 1.0
        ));
    }
    (waiting <= 0.0 && arrivals <= 0.0).then(|| "no message waits and none arrives".to_owned())
}

fn sized_candidate(
    scene: &Scene<'_>,
    metric: &Validated<'_>,
    waiting: f64,
    arrivals: f64,
    per_consumer: f64,
    sized: Sized,
    out: &mut Vec<Candidate>,
) {
    let replicas = sized.steady.max(sized.drain).max(1);
    let reason = if sized.drain >= sized.steady && waiting > 0.0 {
        CandidateReason::MustDrain
    } else {
        CandidateReason::SteadyArrivals
    };
    let reach = if sized.out_of_reach { "; even the most can't keep the promise" } else { "" };
    let message = format!(
        "{waiting:.0} wait, {arrivals:.1}/s arrive, a consumer finishes {per_consumer:.1}/s: {} to drain in time, {} \
         for steady arrivals{reach}",
        sized.drain, sized.steady
    );
    let replicas =
        if metric.fresh.is_none() { replicas.max(scene.observation.replicas.spec) } else { replicas };
    push(out, Source::Backlog, metric, Some(replicas), reason, message);
}

/// Nothing is known of the consumers yet: keep them while the promise holds, double them while it doesn't.
fn learning(
    scene: &Scene<'_>,
    metric: &Validated<'_>,
    backlog: &BacklogPolicy,
    waiting: f64,
    arrivals: f64,
    out: &mut Vec<Candidate>,
    found: &mut Found,
) {
    let spec = scene.observation.replicas.spec;
    let late = waiting > arrivals * backlog.drain_within.as_secs_f64();
    let settled = scene.observation.replicas.ready >= spec;
    // Where nothing waits, one in twenty fewer shows in time what the others can do; they get busy before they get late.
    let idle = waiting < 0.05 * arrivals * backlog.drain_within.as_secs_f64();
    let replicas = match (late, idle) {
        (true, _) if settled => spec.saturating_mul(2).max(1),
        (false, true) if settled => spec.saturating_sub((spec / 20).max(1)).max(1),
        _ => spec.max(1),
    };
    found.urgent = late;
    let message =
        format!("{waiting:.0} wait, {arrivals:.1}/s arrive; what a consumer finishes isn't known yet");
    push(out, Source::Backlog, metric, Some(replicas), CandidateReason::LearningThroughput, message);
}

fn arrivals(queue: &QueueObservation) -> f64 {
    sane(queue.arrivals).or(sane(queue.served)).unwrap_or(0.0)
}

/// Messages per second that one consumer finishes: the user's word, or what was learnt.
fn per_consumer(policy: &MetricPolicy, metric: &Validated<'_>) -> Option<f64> {
    match policy.capacity {
        Capacity::Declared(each) => Some(each),
        Capacity::Target => Some(policy.target),
        Capacity::Learnt => metric.memory.throughput.per_consumer(),
    }
}

fn fallback_candidate(scene: &Scene<'_>, metric: &Validated<'_>, out: &mut Vec<Candidate>) {
    let (Some(fallback), Some(since)) = (metric.policy.fallback, metric.memory.absent_since) else { return };
    let gone = time::since(scene.now, since);
    if metric.fresh.is_none() && gone >= fallback.after {
        let message =
            format!("gone for {}s; at least {} replicas run", gone.as_secs(), fallback.min_replicas);
        push(
            out,
            Source::Fallback,
            metric,
            Some(fallback.min_replicas),
            CandidateReason::MetricGone,
            message,
        );
    }
}
