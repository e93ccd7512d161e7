//! Every answer to "how many replicas", one a metric and step: reactive, burst, panic, predictive, backlog, fallback.
//! Broken metrics give answers too: none, or one that may only raise.

use jiff::Timestamp;
use series::{Forecast, time};

use crate::backlog::{Queue, Sized};
use crate::history::NoBenefit;
use crate::observation::{Observation, QueueObservation};
use crate::policy::{BacklogPolicy, Capacity, ForecastUse, MetricKind, MetricPolicy, Policy};
use crate::predictive::{least_around, peak};
use crate::quantile_controller::QuantileController;
use crate::reactive::{self, Surge};
use crate::recommendation::{Candidate, CandidateReason, Source};
use crate::strategy::{Coming, Sizing, Span};
use crate::validate::{Validated, sane};

/// A load below this share of the median foreseen isn't a quiet hour, as quantiles may not know them, but traffic that is
/// missing.
const FAR_BELOW: f64 = 0.6;

/// What all steps share.
pub(crate) struct Context<'a> {
    pub(crate) policy: &'a Policy,
    pub(crate) observation: &'a Observation,
    pub(crate) budget: &'a QuantileController,
    pub(crate) span: Span,
}

/// What a metric's steps found besides candidates.
#[derive(Default)]
pub(crate) struct MetricOutcome {
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
    pub(crate) most: Option<(u32, CapReason)>,
}

/// Why more consumers don't help.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum CapReason {
    Partitions,
    NoBenefit,
}

/// The answers of one metric.
pub(crate) fn of_metric(
    context: &Context<'_>,
    metric: &Validated<'_>,
    out: &mut Vec<Candidate>,
) -> MetricOutcome {
    let mut outcome = MetricOutcome::default();
    let sizing = Sizing::resolve(
        context.policy,
        &context.observation.selected,
        &metric.memory.peaks,
        Some(context.budget),
    );
    if let MetricKind::Backlog(backlog) = &metric.policy.kind {
        backlog_candidate(context, metric, backlog, &sizing, out, &mut outcome);
    } else {
        reactive_candidates(context, metric, &sizing, out, &mut outcome);
        predictive_candidate(context, metric, &sizing, out, &mut outcome);
    }
    fallback_candidate(context, metric, out);
    outcome
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

/// A candidate without an answer, and why there is none.
fn no_data(source: Source, metric: &Validated<'_>, out: &mut Vec<Candidate>) {
    let why = metric.problem.as_ref().map(ToString::to_string).unwrap_or_default();
    push(out, source, metric, None, CandidateReason::NoData, why);
}

fn reactive_candidates(
    context: &Context<'_>,
    metric: &Validated<'_>,
    sizing: &Sizing,
    out: &mut Vec<Candidate>,
    outcome: &mut MetricOutcome,
) {
    let Some(value) = metric.fresh.or(metric.upward) else {
        return no_data(Source::Reactive, metric, out);
    };
    if sizing.forecast.is_none() || metric.policy.kind != MetricKind::AverageValue {
        hpa_candidate(context, metric, sizing, value, out);
    }
    if metric.policy.kind != MetricKind::AverageValue {
        return;
    }
    // Switched off, it's what an HPA answers and nothing else.
    if context.policy.forecast == ForecastUse::Auto {
        headroom_candidate(context, metric, sizing, value, out);
        surge_candidate(context, metric, sizing, value, out, outcome);
    }
}

/// A value that is no longer fresh keeps what is there where it would lower.
fn upward(context: &Context<'_>, metric: &Validated<'_>, replicas: u32) -> u32 {
    if metric.fresh.is_some() { replicas } else { replicas.max(context.observation.replicas.spec) }
}

fn reason(metric: &Validated<'_>) -> CandidateReason {
    if metric.fresh.is_some() { CandidateReason::FromLoad } else { CandidateReason::StaleData }
}

fn hpa_candidate(
    context: &Context<'_>,
    metric: &Validated<'_>,
    sizing: &Sizing,
    value: f64,
    out: &mut Vec<Candidate>,
) {
    let replicas = context.observation.replicas;
    // What was learned takes the target's place once it is known.
    let target = match metric.policy.capacity {
        Capacity::Learned => metric.per_replica,
        Capacity::Target | Capacity::Declared(_) => metric.policy.target,
    };
    let (wanted, within) = reactive::hpa(
        &metric.policy.kind,
        target,
        value,
        replicas.spec,
        replicas.ready,
        sizing.load_tolerance,
    );
    let shown = (target * 1e3).round() / 1e3;
    let message = if within {
        format!("load {value:.1} is within tolerance of {} x {shown}", replicas.spec)
    } else {
        format!("load {value:.1} / target {shown}")
    };
    let tolerated = within && metric.fresh.is_some();
    let reason = if tolerated { CandidateReason::WithinTolerance } else { reason(metric) };
    push(out, Source::Reactive, metric, Some(upward(context, metric, wanted)), reason, message);
}

fn headroom_candidate(
    context: &Context<'_>,
    metric: &Validated<'_>,
    sizing: &Sizing,
    value: f64,
    out: &mut Vec<Candidate>,
) {
    let climbed = metric.climbed(context.span.lead).unwrap_or(value);
    let wanted = sizing.present(value, climbed, metric.per_replica);
    let load = sizing.present_load(value, climbed) / sizing.headroom;
    let climbs = if load > value { format!(", climbing to {load:.1},") } else { String::new() };
    let message = format!(
        "load {value:.1}{climbs} x headroom {:.2} / {:.1} that a replica carries",
        sizing.headroom, metric.per_replica
    );
    push(out, Source::Burst, metric, Some(upward(context, metric, wanted)), reason(metric), message);
}

fn surge_candidate(
    context: &Context<'_>,
    metric: &Validated<'_>,
    sizing: &Sizing,
    value: f64,
    out: &mut Vec<Candidate>,
    outcome: &mut MetricOutcome,
) {
    let surge = Surge {
        load: value,
        mean: metric.mean(),
        per_replica: metric.per_replica,
        usual_peak: sizing.usual_peak,
    };
    let ready = context.observation.replicas.ready;
    let Some(replicas) = surge.replicas(ready) else { return };
    outcome.surge = true;
    let message = match surge.times() {
        Some(times) if surge.is_sudden() => {
            format!("load {value:.1} is {times:.1} times that of five minutes")
        }
        _ => format!(
            "load {value:.1} is {:.1} times what the ready replicas carry",
            value / (metric.per_replica * f64::from(ready.max(1)))
        ),
    };
    push(out, Source::Panic, metric, Some(replicas), CandidateReason::Surge, message);
}

fn predictive_candidate(
    context: &Context<'_>,
    metric: &Validated<'_>,
    sizing: &Sizing,
    out: &mut Vec<Candidate>,
    outcome: &mut MetricOutcome,
) {
    let forecast = match usable_forecast(context, metric) {
        Ok(forecast) => forecast,
        Err((reason, message)) => {
            push(out, Source::Predictive, metric, None, reason, message);
            return;
        }
    };
    let (span, capacity) = (context.span, metric.per_replica);
    let message = |quantile: f64, load: f64| {
        format!(
            "q{:.1} of the load within {}s is {load:.1}, / {capacity:.1} that a replica carries",
            quantile * 100.0,
            span.lead.as_secs()
        )
    };
    let Some(params) = sizing.forecast else {
        // Shown for comparison, at the quantile that was asked for.
        let quantile = context.policy.protection;
        let load = peak(forecast, span.now, time::after(span.now, span.lead), quantile);
        let (replicas, message) = load.map_or((None, String::new()), |load| {
            (Some(reactive::need(load, capacity)), message(quantile, load))
        });
        push(out, Source::Predictive, metric, replicas, CandidateReason::NotTrusted, message);
        return;
    };
    let Some(Coming { load, keep }) = sizing.coming(forecast, &span, metric.measured()) else {
        let message = "the forecast doesn't reach the present".to_owned();
        push(out, Source::Predictive, metric, None, CandidateReason::ForecastExpired, message);
        return;
    };
    let replicas = reactive::need(load, capacity);
    let message = message(params.quantile, load);
    push(out, Source::Predictive, metric, Some(replicas), CandidateReason::FromForecast, message);
    outcome.keep = reactive::need(keep, capacity);
    outcome.dropped = metric.fresh.and_then(|value| foreseen_drop(value, forecast, span.now, capacity));
}

fn usable_forecast<'a>(
    context: &Context<'_>,
    metric: &Validated<'a>,
) -> Result<&'a Forecast, (CandidateReason, String)> {
    let off = context.policy.forecast == ForecastUse::Off || !metric.policy.forecast;
    if off || metric.policy.kind == MetricKind::Value {
        let message = "forecasts are switched off for this metric, or make no sense for it".to_owned();
        return Err((CandidateReason::ForecastOff, message));
    }
    match metric.observed.map(|o| &o.forecast) {
        Some(Ok(forecast)) => {
            let age = time::since(context.span.now, forecast.origin());
            if age <= context.policy.timing.forecast_valid {
                return Ok(forecast);
            }
            Err((CandidateReason::ForecastExpired, format!("the forecast is {}s old", age.as_secs())))
        }
        Some(Err(refusal)) => Err((CandidateReason::NoForecast, refusal.to_string())),
        None => Err((CandidateReason::NoForecast, "the metric hasn't been read yet".to_owned())),
    }
}

/// Replicas for the median foreseen, where the load is far below everything foreseen for about now: traffic that an outage
/// keeps away comes back all at once.
pub(crate) fn foreseen_drop(
    value: f64,
    forecast: &Forecast,
    now: Timestamp,
    per_replica: f64,
) -> Option<u32> {
    let lowest = least_around(forecast, now, 0.01)?;
    let least = least_around(forecast, now, 0.5)?;
    let median = forecast.at(now, 0.5)?;
    (value < lowest && value < FAR_BELOW * least).then(|| reactive::need(median, per_replica))
}

fn backlog_candidate(
    context: &Context<'_>,
    metric: &Validated<'_>,
    backlog: &BacklogPolicy,
    sizing: &Sizing,
    out: &mut Vec<Candidate>,
    outcome: &mut MetricOutcome,
) {
    let replicas = context.observation.replicas;
    let Some(waiting) = metric.fresh.or(metric.upward) else {
        return no_data(Source::Backlog, metric, out);
    };
    let queue = metric.observed.and_then(|o| o.queue).unwrap_or_default();
    let arrivals = arrivals(&queue);
    let Span { now, lead, .. } = context.span;
    let forecast = sizing.forecast.zip(usable_forecast(context, metric).ok());
    // A consumer is worth starting, or keeping, for what is more likely to come than not.
    let coming = forecast
        .and_then(|(_, f)| peak(f, now, time::after(now, lead), 0.5))
        .map_or(0.0, |rate| rate * lead.as_secs_f64());
    if coming < (backlog.activation + 1.0)
        && let Some(message) = idle(backlog, waiting, arrivals, replicas.spec)
    {
        outcome.idle = metric.fresh.is_some();
        push(out, Source::Backlog, metric, Some(0), CandidateReason::QueueIdle, message);
        return;
    }
    let Some(per_consumer) = per_consumer(metric.policy, metric) else {
        learning(context, metric, backlog, waiting, arrivals, out, outcome);
        return;
    };
    let partitions = queue.partitions.filter(|p| *p > 0);
    let sized = Queue {
        backlog: waiting,
        arrivals,
        coming: forecast.map(|(params, forecast)| (forecast, params.quantile)),
        per_consumer,
        ready: replicas.ready,
        spec: replicas.spec,
        lead,
        now,
        most: context.policy.max_replicas,
        partitions,
    }
    .size(backlog);
    sized_candidate(context, metric, waiting, arrivals, per_consumer, sized, out);
    outcome.urgent = sized.urgent;
    if let Some(partitions) = partitions {
        outcome.most = Some((partitions, CapReason::Partitions));
    }
    if let Some(NoBenefit { replicas, .. }) = metric.memory.no_benefit.filter(|n| now < n.until)
        && outcome.most.is_none_or(|(most, _)| replicas < most)
    {
        outcome.most = Some((replicas, CapReason::NoBenefit));
    }
}

/// Why no consumer is needed, if none is. What was taken on is finished: the threshold is for waking up, and a
/// workload that runs is scaled to zero only when its queue is empty.
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
    context: &Context<'_>,
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
    push(out, Source::Backlog, metric, Some(upward(context, metric, replicas)), reason, message);
}

/// Nothing is known of the consumers yet: keep them while the promise holds, double them while it doesn't.
fn learning(
    context: &Context<'_>,
    metric: &Validated<'_>,
    backlog: &BacklogPolicy,
    waiting: f64,
    arrivals: f64,
    out: &mut Vec<Candidate>,
    outcome: &mut MetricOutcome,
) {
    let spec = context.observation.replicas.spec;
    let late = waiting > arrivals * backlog.drain_within.as_secs_f64();
    let settled = context.observation.replicas.ready >= spec;
    // Where nothing waits, one in twenty fewer shows in time what the others can do; they get busy before they get late.
    let idle = waiting < 0.05 * arrivals * backlog.drain_within.as_secs_f64();
    let replicas = match (late, idle) {
        (true, _) if settled => spec.saturating_mul(2).max(1),
        (false, true) if settled => spec.saturating_sub((spec / 20).max(1)).max(1),
        _ => spec.max(1),
    };
    outcome.urgent = late;
    let message =
        format!("{waiting:.0} wait, {arrivals:.1}/s arrive; what a consumer finishes isn't known yet");
    push(out, Source::Backlog, metric, Some(replicas), CandidateReason::LearningThroughput, message);
}

fn arrivals(queue: &QueueObservation) -> f64 {
    sane(queue.arrivals).or(sane(queue.served)).unwrap_or(0.0)
}

/// Messages per second that one consumer finishes: the user's word, or what was learned.
fn per_consumer(policy: &MetricPolicy, metric: &Validated<'_>) -> Option<f64> {
    match policy.capacity {
        Capacity::Declared(each) => Some(each),
        Capacity::Target => Some(policy.target),
        Capacity::Learned => metric.memory.throughput.per_consumer(),
    }
}

fn fallback_candidate(context: &Context<'_>, metric: &Validated<'_>, out: &mut Vec<Candidate>) {
    let (Some(fallback), Some(since)) = (metric.policy.fallback, metric.memory.absent_since) else { return };
    let gone = time::since(context.span.now, since);
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_ramp_that_comes_a_step_later_than_foreseen_is_no_drop() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let rows =
            [100.0, 100.0, 1_000.0, 1_000.0, 1_000.0].map(|median| vec![0.9 * median, median]).to_vec();
        let forecast = Forecast::new(at(0), Duration::from_mins(1), vec![0.01, 0.5], rows, "x").unwrap();
        let drop = |second, load| foreseen_drop(load, &forecast, at(second), 100.0);
        assert_eq!((drop(110, 100.0), drop(150, 100.0)), (None, None));
        assert_eq!((drop(240, 100.0), drop(240, 700.0)), (Some(10), None));
    }
}
