//! Every answer to "how many replicas", one a metric and step: reactive, burst, panic, predictive, backlog, fallback.
//! Broken metrics give answers too: none, or one that may only raise.

use jiff::Timestamp;
use series::{Forecast, time};

use crate::backlog::Queue;
use crate::history::NoBenefit;
use crate::observation::Observation;
use crate::policy::{BacklogPolicy, Capacity, ForecastUse, MetricKind, Policy};
use crate::predictive::{blind_cap, least_around, peak};
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
    let selected = &context.observation.selected;
    let sizing = Sizing::resolve(context.policy, selected, &metric.memory.peaks);
    let mut answers = Answers { context, metric, sizing, out, outcome: MetricOutcome::default() };
    if let MetricKind::Backlog(backlog) = &metric.policy.kind {
        answers.backlog(backlog);
    } else {
        answers.reactive();
        answers.predictive();
    }
    answers.fallback();
    answers.outcome
}

/// The answers of one metric, as they are found.
struct Answers<'a> {
    context: &'a Context<'a>,
    metric: &'a Validated<'a>,
    sizing: Sizing,
    out: &'a mut Vec<Candidate>,
    outcome: MetricOutcome,
}

impl Answers<'_> {
    fn push(&mut self, source: Source, replicas: Option<u32>, reason: CandidateReason, message: String) {
        let metric = Some(self.metric.policy.name.clone());
        self.out.push(Candidate { source, metric, replicas, reason, message });
    }

    /// A candidate without an answer, and why there is none.
    fn no_data(&mut self, source: Source) {
        let why = self.metric.problem.as_ref().map(ToString::to_string).unwrap_or_default();
        self.push(source, None, CandidateReason::NoData, why);
    }

    /// An answer to the load there is. A value that is no longer fresh keeps what is there where it would lower.
    fn push_present(&mut self, source: Source, replicas: u32, reason: CandidateReason, message: String) {
        let fresh = self.metric.fresh.is_some();
        let replicas = if fresh { replicas } else { replicas.max(self.context.observation.replicas.spec) };
        self.push(source, Some(replicas), reason, message);
    }

    fn reason(&self) -> CandidateReason {
        if self.metric.fresh.is_some() { CandidateReason::FromLoad } else { CandidateReason::StaleData }
    }

    fn reactive(&mut self) {
        let metric = self.metric;
        let Some(value) = metric.fresh.or(metric.upward) else {
            return self.no_data(Source::Reactive);
        };
        if self.sizing.forecast.is_none() || metric.policy.kind != MetricKind::AverageValue {
            self.as_hpa(value);
        }
        if metric.policy.kind == MetricKind::AverageValue && self.context.policy.forecast == ForecastUse::Auto
        {
            // Until the past was simulated, it's what the usual HPA answers.
            if self.context.observation.selected.by_replay() {
                self.with_headroom(value);
            }
            if self.sizing.growth.is_none() {
                self.surge(value);
            }
        }
    }

    fn as_hpa(&mut self, value: f64) {
        let (metric, replicas) = (self.metric, self.context.observation.replicas);
        // What was learned takes the target's place once it is known.
        let carried = match metric.policy.capacity {
            Capacity::Learned => metric.per_replica,
            Capacity::Target | Capacity::Declared(_) => metric.policy.target,
        };
        // What the simulation chose has its own headroom.
        let replayed = self.context.observation.selected.by_replay();
        let target = if replayed { carried } else { carried * metric.policy.usual_share() };
        let tolerance = self.sizing.load_tolerance;
        let (wanted, within) =
            reactive::hpa(&metric.policy.kind, target, value, replicas.spec, replicas.ready, tolerance);
        let shown = (target * 1e3).round() / 1e3;
        let spare = if target < carried {
            format!(" ({:.0} % of what it carries is kept spare)", metric.policy.spare * 100.0)
        } else {
            String::new()
        };
        let message = if within {
            format!("load {value:.1} is within tolerance of {} x {shown}{spare}", replicas.spec)
        } else {
            format!("load {value:.1} / {shown} for each replica{spare}")
        };
        let wanted = self.sizing.limited(wanted, replicas.spec, replicas.started());
        let tolerated = within && metric.fresh.is_some();
        let reason = if tolerated { CandidateReason::WithinTolerance } else { self.reason() };
        self.push_present(Source::Reactive, wanted, reason, message);
    }

    fn with_headroom(&mut self, value: f64) {
        let (sizing, per_replica) = (self.sizing, self.metric.per_replica);
        let climbed = self.metric.climbed(self.context.span.lead).unwrap_or(value);
        let replicas = self.context.observation.replicas;
        let present = sizing.present(value, climbed, per_replica);
        let wanted = sizing.limited(present, replicas.spec, replicas.started());
        let load = sizing.present_load(value, climbed) / sizing.headroom;
        let climbs = if load > value { format!(", climbing to {load:.1},") } else { String::new() };
        let message = format!(
            "load {value:.1}{climbs} x headroom {:.2} / {per_replica:.1} that a replica carries",
            sizing.headroom
        );
        let message = match sizing.growth.filter(|_| wanted < present) {
            Some(growth) => format!("{message}, at most {growth:.2} times what has started"),
            None => message,
        };
        self.push_present(Source::Burst, wanted, self.reason(), message);
    }

    fn surge(&mut self, value: f64) {
        let per_replica = self.metric.per_replica;
        let usual_peak = self.sizing.usual_peak;
        let surge = Surge { load: value, mean: self.metric.mean(), per_replica, usual_peak };
        let ready = self.context.observation.replicas.ready;
        let Some(replicas) = surge.replicas(ready) else { return };
        self.outcome.surge = true;
        let message = match surge.times() {
            Some(times) if surge.is_sudden() => {
                format!("load {value:.1} is {times:.1} times that of five minutes")
            }
            _ => format!(
                "load {value:.1} is {:.1} times what the ready replicas carry",
                value / (per_replica * f64::from(ready.max(1)))
            ),
        };
        self.push(Source::Panic, Some(replicas), CandidateReason::Surge, message);
    }

    fn predictive(&mut self) {
        let forecast = match self.usable_forecast() {
            Ok(forecast) => forecast,
            Err((reason, message)) => return self.push(Source::Predictive, None, reason, message),
        };
        let (span, capacity) = (self.context.span, self.metric.per_replica);
        let message = |quantile: f64, load: f64| {
            format!(
                "q{:.1} of the load within {}s is {load:.1}, / {capacity:.1} that a replica carries",
                quantile * 100.0,
                span.lead.as_secs()
            )
        };
        let Some(params) = self.sizing.forecast else {
            // Shown for comparison, at the quantile that was asked for.
            let quantile = self.context.policy.protection.quantile();
            let load = peak(forecast, span.now, time::after(span.now, span.lead), quantile);
            let (replicas, message) = load.map_or((None, String::new()), |load| {
                (Some(reactive::need(load, capacity)), message(quantile, load))
            });
            return self.push(Source::Predictive, replicas, CandidateReason::NotTrusted, message);
        };
        let Some(Coming { load, keep }) = self.sizing.coming(forecast, &span, self.metric.measured()) else {
            let message = "the forecast doesn't reach the present".to_owned();
            return self.push(Source::Predictive, None, CandidateReason::ForecastExpired, message);
        };
        let (replicas, message) = (reactive::need(load, capacity), message(params.quantile, load));
        let keep = reactive::need(keep, capacity);
        let lost_at = self.metric.memory.replicas_at_loss;
        let median = lost_at.and_then(|_| peak(forecast, span.now, time::after(span.now, span.lead), 0.5));
        match lost_at.zip(median).map(|(lost_at, median)| blind_cap(lost_at, median, capacity)) {
            Some(cap) if replicas > cap => {
                let message = format!("{message}; without a measurement it asks for no more than {cap}");
                self.push(Source::Predictive, Some(cap), CandidateReason::CappedWhileAbsent, message);
                self.outcome.keep = keep.min(cap);
            }
            _ => {
                self.push(Source::Predictive, Some(replicas), CandidateReason::FromForecast, message);
                self.outcome.keep = keep;
            }
        }
        let dropped = |value| foreseen_drop(value, forecast, span.now, capacity);
        self.outcome.dropped = self.metric.fresh.and_then(dropped);
    }

    fn backlog(&mut self, backlog: &BacklogPolicy) {
        let (metric, replicas) = (self.metric, self.context.observation.replicas);
        let Some(waiting) = metric.fresh.or(metric.upward) else {
            return self.no_data(Source::Backlog);
        };
        let queue = metric.observed.and_then(|o| o.queue).unwrap_or_default();
        let arrivals = sane(queue.arrivals).or(sane(queue.served)).unwrap_or(0.0);
        let Span { now, lead, .. } = self.context.span;
        let forecast = self.sizing.forecast.zip(self.usable_forecast().ok());
        // A consumer is worth starting, or keeping, for what is more likely to come than not.
        let coming = forecast
            .and_then(|(_, f)| peak(f, now, time::after(now, lead), 0.5))
            .map_or(0.0, |rate| rate * lead.as_secs_f64());
        if coming < (backlog.activation + 1.0)
            && let Some(message) = idle(backlog, waiting, arrivals, replicas.spec)
        {
            self.outcome.idle = metric.fresh.is_some();
            return self.push(Source::Backlog, Some(0), CandidateReason::QueueIdle, message);
        }
        let Some(per_consumer) = per_consumer(metric) else {
            return self.unknown_consumers(backlog, waiting, arrivals);
        };
        let partitions = queue.partitions.filter(|p| *p > 0);
        let queue = Queue {
            backlog: waiting,
            arrivals,
            coming: forecast.map(|(params, forecast)| (forecast, params.quantile)),
            per_consumer,
            ready: replicas.ready,
            spec: replicas.spec,
            lead,
            now,
            most: self.context.policy.max_replicas,
            partitions,
        };
        self.sized(&queue, backlog);
        if let Some(partitions) = partitions {
            self.outcome.most = Some((partitions, CapReason::Partitions));
        }
        if let Some(NoBenefit { replicas, .. }) = metric.memory.no_benefit.filter(|n| now < n.until)
            && self.outcome.most.is_none_or(|(most, _)| replicas < most)
        {
            self.outcome.most = Some((replicas, CapReason::NoBenefit));
        }
    }

    fn sized(&mut self, queue: &Queue<'_>, backlog: &BacklogPolicy) {
        let sized = queue.size(backlog);
        self.outcome.urgent = sized.urgent;
        let reason = if sized.drain >= sized.steady && queue.backlog > 0.0 {
            CandidateReason::MustDrain
        } else {
            CandidateReason::SteadyArrivals
        };
        let reach = if sized.out_of_reach { "; even the most can't keep the promise" } else { "" };
        let message = format!(
            "{:.0} wait, {:.1}/s arrive, a consumer finishes {:.1}/s: {} to drain in time, {} for steady arrivals{reach}",
            queue.backlog, queue.arrivals, queue.per_consumer, sized.drain, sized.steady
        );
        self.push_present(Source::Backlog, sized.steady.max(sized.drain).max(1), reason, message);
    }

    /// Nothing is known of the consumers yet: keep them while the promise holds, double them while it doesn't.
    fn unknown_consumers(&mut self, backlog: &BacklogPolicy, waiting: f64, arrivals: f64) {
        let replicas = self.context.observation.replicas;
        let spec = replicas.spec;
        let late = waiting > arrivals * backlog.drain_within.as_secs_f64();
        let settled = replicas.ready >= spec;
        // Where nothing waits, one in twenty fewer shows in time what the others can do; they get busy before they get
        // late.
        let idle = waiting < 0.05 * arrivals * backlog.drain_within.as_secs_f64();
        let wanted = match (late, idle) {
            (true, _) if settled => spec.saturating_mul(2).max(1),
            (false, true) if settled => spec.saturating_sub((spec / 20).max(1)).max(1),
            _ => spec.max(1),
        };
        self.outcome.urgent = late;
        let message =
            format!("{waiting:.0} wait, {arrivals:.1}/s arrive; what a consumer finishes isn't known yet");
        self.push(Source::Backlog, Some(wanted), CandidateReason::LearningThroughput, message);
    }

    fn fallback(&mut self) {
        let metric = self.metric;
        let (Some(fallback), Some(since)) = (metric.policy.fallback, metric.memory.absent_since) else {
            return;
        };
        let gone = time::since(self.context.span.now, since);
        if metric.fresh.is_none() && gone >= fallback.after {
            let least = fallback.min_replicas;
            let message = format!("gone for {}s; at least {least} replicas run", gone.as_secs());
            self.push(Source::Fallback, Some(least), CandidateReason::MetricGone, message);
        }
    }
}

impl<'a> Answers<'a> {
    fn usable_forecast(&self) -> Result<&'a Forecast, (CandidateReason, String)> {
        let (policy, metric) = (self.context.policy, self.metric);
        let off = policy.forecast == ForecastUse::Off || !metric.policy.forecast;
        if off || metric.policy.kind == MetricKind::Value {
            let message = "forecasts are switched off for this metric, or make no sense for it".to_owned();
            return Err((CandidateReason::ForecastOff, message));
        }
        match metric.observed.map(|o| &o.forecast) {
            Some(Ok(forecast)) => {
                let age = time::since(self.context.span.now, forecast.origin());
                if age <= policy.timing.forecast_valid {
                    return Ok(forecast);
                }
                Err((CandidateReason::ForecastExpired, format!("the forecast is {}s old", age.as_secs())))
            }
            Some(Err(refusal)) => Err((CandidateReason::NoForecast, refusal.to_string())),
            None => Err((CandidateReason::NoForecast, "the metric hasn't been read yet".to_owned())),
        }
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

/// Messages per second that one consumer finishes: the user's word, or what was learned.
fn per_consumer(metric: &Validated<'_>) -> Option<f64> {
    match metric.policy.capacity {
        Capacity::Declared(each) => Some(each),
        Capacity::Target => Some(metric.policy.target),
        Capacity::Learned => metric.memory.throughput.per_consumer(),
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
