//! The decision: numbered steps from policy, observation, history and time to a recommendation and the history for the
//! next one. Every step is a function elsewhere in this crate; here is their order.

use std::cmp::Reverse;
use std::time::Duration;

use jiff::Timestamp;
use series::time;

use crate::ascend;
use crate::backlog::at_work;
use crate::calendar::{self, InForce};
use crate::candidates::{self, CapReason, Context, MetricOutcome};
use crate::descend::{self, Holds, WayDown};
use crate::history::{DropHold, History, Last, NoBenefit};
use crate::lead::{keep_span, lead};
use crate::limit_chain::LimitChain;
use crate::normalize::{self, Bounds};
use crate::observation::Observation;
use crate::policy::{MetricKind, Policy};
use crate::recommendation::{Candidate, CandidateReason, Driver, LimitReason, Recommendation, Source};
use crate::runs::note;
use crate::strategy::Span;
use crate::validate::{Moment, Validated, validate};

/// After this long without a decision, the replicas there are count as recommended.
const LONGEST_SILENCE: Duration = Duration::from_secs(120);
/// A utilization says little about pods that have served for less than this.
const SETTLING: Duration = Duration::from_secs(75);
/// How long a level at which more consumers didn't help stands.
const NO_BENEFIT_FOR: Duration = Duration::from_secs(3_600);
/// After consumers came up, this long until their work must show.
const BENEFIT_AFTER: Duration = Duration::from_secs(120);
/// Less than this share of the expected gain is no gain.
const LEAST_BENEFIT: f64 = 0.1;
/// Where more waits than is worked off in this share of the promise, consumers don't keep up.
const HALF_OF_THE_PROMISE: f64 = 0.5;

/// A recommendation, and what the next decision must remember.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// What to do, and why.
    pub recommendation: Recommendation,
    /// The history to pass to the next decision.
    pub history: History,
}

/// How far ahead of now a decision looks at forecasts: what a recorded decision must keep of them.
pub fn reach(policy: &Policy, observation: &Observation) -> Duration {
    let lead = lead(policy, &observation.startup, observation.lag);
    let queues = policy.metrics.iter().filter_map(|m| match &m.kind {
        MetricKind::Backlog(backlog) => Some(backlog.drain_within.max(lead) + backlog.drain_within),
        MetricKind::AverageValue | MetricKind::Value => None,
    });
    queues.max().unwrap_or_default().max(lead).max(keep_span(policy, &observation.startup, lead))
}

/// Decides how many replicas there should be at `now`.
///
/// # Guarantees
/// - The answer depends on the arguments only: the same ones give the same answer.
/// - It lies within the bounds of the policy and its calendar, except where the target was scaled to 0 by hand or
///   somebody else has just set the replicas.
/// - It is below the present replicas only where every metric is fresh and fully measured and has been for a while,
///   or where the maximum demands it.
/// - A forecast never lowers it below what the load now needs.
pub fn recommend(policy: &Policy, observation: &Observation, history: &History, now: Timestamp) -> Decision {
    let current = observation.replicas.spec;
    let mut next = carried_over(history, current, now);

    // 1. Validate what was measured, and learn from it.
    let lead = lead(policy, &observation.startup, observation.lag);
    let metrics = validated(policy, observation, history, lead, now);

    // 2. How far ahead to look.
    let span = Span { now, lead, keep: keep_span(policy, &observation.startup, lead) };
    let context = Context { policy, observation, span };

    // 3. Every answer there is.
    let calendar = calendar::in_force(policy, now, lead);
    let mut candidates = Vec::new();
    let answer = |mut metric| {
        watch_benefit(&mut metric, &mut next, observation, now, lead);
        let found = candidates::of_metric(&context, &metric, &mut candidates);
        (metric, found)
    };
    let metrics: Vec<(Validated<'_>, MetricOutcome)> = metrics.into_iter().map(answer).collect();
    static_candidates(&calendar, current, &metrics, &mut candidates);

    // 4. The largest wins, 5. and meets the limits.
    let (uncapped, driver) = largest(&candidates, current);
    note(&mut next.recommendations, now, uncapped);
    let surge = metrics.iter().any(|(_, f)| f.surge);
    if surge {
        next.panic_until = Some(time::after(now, policy.timing.panic));
    }
    hold_after_drop(policy, &metrics, &mut next, now);
    let (target, limits) = limited(&context, &metrics, &mut next, history, (uncapped, &driver), &calendar);

    let data_fresh = metrics.iter().all(|(m, _)| m.problem.is_none());
    next.metrics = metrics.into_iter().map(|(m, _)| (m.policy.name.clone(), m.memory)).collect();
    next.last = Some(Last { at: now, spec: current });
    let recommendation = Recommendation {
        target,
        current,
        uncapped,
        effective_min: calendar.bounds.min,
        effective_max: calendar.bounds.max,
        driver,
        candidates,
        limits,
        lead,
        strategy: observation.selected.strategy,
        strategy_reason: observation.selected.reason,
        data_fresh,
    };
    Decision { recommendation, history: next }
}

/// What is remembered of earlier decisions, without what is too old to count.
fn carried_over(history: &History, current: u32, now: Timestamp) -> History {
    let mut next = history.clone();
    next.forget(now);
    note(&mut next.supplied, now, current);
    if history.last.is_none_or(|last| time::since(now, last.at) > LONGEST_SILENCE) {
        // As the HPA's first recommendation: whoever has just started knows no reason yet to remove what runs.
        note(&mut next.recommendations, now, current);
    }
    next
}

/// Each metric as far as it can be believed, with what is learned from it.
fn validated<'a>(
    policy: &'a Policy,
    observation: &'a Observation,
    history: &History,
    lead: Duration,
    now: Timestamp,
) -> Vec<Validated<'a>> {
    let moment = Moment {
        now,
        after_fall: policy.timing.after_fall,
        settled: settled(observation, history, lead, now),
    };
    policy.metrics.iter().map(|m| validate(m, observation, history.metric(&m.name), moment)).collect()
}

/// Whether all pods are ready and have been since the last change had the time to come true.
fn settled(observation: &Observation, history: &History, lead: Duration, now: Timestamp) -> bool {
    let replicas = observation.replicas;
    let coming = |change: i64| if change > 0 { lead + SETTLING } else { SETTLING };
    replicas.ready > 0
        && replicas.ready == replicas.spec
        && history.scale_events.last().is_none_or(|event| time::since(now, event.at) > coming(event.change))
}

/// Answers that no metric gives.
fn static_candidates(
    calendar: &InForce<'_>,
    current: u32,
    metrics: &[(Validated<'_>, MetricOutcome)],
    out: &mut Vec<Candidate>,
) {
    if let Some(window) = calendar.floor {
        out.push(Candidate {
            source: Source::Calendar,
            metric: None,
            replicas: window.min_replicas,
            reason: CandidateReason::WindowOpen,
            message: format!("{} from {} to {}", window.name, window.from, window.to),
        });
    }
    let keep = metrics.iter().map(|(_, found)| found.keep).max().unwrap_or(0);
    if keep > 0 {
        out.push(Candidate {
            source: Source::Keep,
            metric: None,
            replicas: Some(keep.min(current)),
            reason: CandidateReason::FromForecast,
            message: format!("{keep} replicas will be wanted within minutes; what is there of them stays"),
        });
    }
    // Without any metric to go by there is nothing better than what runs.
    if metrics.iter().all(|(m, _)| m.fresh.is_none()) {
        out.push(Candidate {
            source: Source::Current,
            metric: None,
            replicas: Some(current),
            reason: CandidateReason::AsIs,
            message: format!("no metric is fresh; {current} replicas run"),
        });
    }
    out.sort_by_key(|candidate| Reverse((candidate.counts(), candidate.replicas)));
}

impl Candidate {
    /// Whether the candidate takes part. An untrusted forecast is only shown, and so is what will be wanted again soon:
    /// that holds the way down ([`LimitReason::NeededSoon`]), and is no wish that stabilization would remember.
    pub fn counts(&self) -> bool {
        self.replicas.is_some() && self.reason != CandidateReason::NotTrusted && self.source != Source::Keep
    }
}

fn largest(candidates: &[Candidate], current: u32) -> (u32, Driver) {
    let best = candidates.iter().filter(|c| c.counts()).max_by_key(|c| (c.replicas, Reverse(c.source)));
    best.map_or((current, Driver { source: Source::Current, metric: None }), |c| {
        (c.replicas.unwrap_or(current), Driver { source: c.source, metric: c.metric.clone() })
    })
}

/// Step 5: from the largest answer to the target, through every limit in order.
fn limited(
    context: &Context<'_>,
    metrics: &[(Validated<'_>, MetricOutcome)],
    next: &mut History,
    history: &History,
    (uncapped, driver): (u32, &Driver),
    calendar: &InForce<'_>,
) -> (u32, Vec<crate::recommendation::Limit>) {
    let (policy, observation, now) = (context.policy, context.observation, context.span.now);
    let current = observation.replicas.spec;
    let bounds = calendar.bounds;
    let mut chain = LimitChain::new(uncapped);
    if let Some((reason, message)) = untouchable(policy, observation, bounds, now) {
        chain.stop(current, reason, message);
        return chain.finish();
    }
    // As the HPA: what is out of bounds is brought back at once, whatever the metrics say.
    if current > bounds.max || current < bounds.min {
        let to = uncapped.clamp(bounds.min, bounds.max);
        let to = if current > bounds.max { bounds.max } else { to };
        out_of_bounds(&mut chain, to, current, calendar);
        return chain.finish();
    }
    let selected = &observation.selected;
    let expected = metrics.iter().all(|(_, outcome)| outcome.dropped.is_none() && !outcome.surge);
    let way = WayDown::resolve(policy, selected, expected);
    normalize::stabilize(&mut chain, policy.behavior.as_ref(), current, &next.recommendations, now);
    for (metric, found) in metrics {
        limit_queue(&mut chain, metric, found, current, next, now);
    }
    if matches!(driver.source, Source::Reactive | Source::Burst | Source::Predictive | Source::Current) {
        ascend::tolerate(&mut chain, selected.strategy.up_tolerance, current);
    }
    descend::wait(&mut chain, way.stabilization, current, &next.recommendations, now);
    ascend::guard(&mut chain, observation, history, now, context.span.lead);
    let validated: Vec<&Validated<'_>> = metrics.iter().map(|(m, _)| m).collect();
    descend::hold(&mut chain, policy, observation, &validated, next, now);
    let holds = Holds {
        keep: metrics.iter().map(|(_, outcome)| outcome.keep).max().unwrap_or(0),
        idle: metrics.iter().all(|(_, outcome)| outcome.idle),
    };
    descend::slow(&mut chain, &way, current, next, &holds, now);
    normalize::rate(&mut chain, policy.behavior.as_ref(), current, history, now);
    if let Some(window) = calendar.ceiling {
        chain.at_most(bounds.max, LimitReason::CalendarCeiling, || {
            format!("{} allows no more than {} until {}", window.name, bounds.max, window.to)
        });
    }
    normalize::bound(&mut chain, bounds);
    chain.finish()
}

/// Replicas that aren't ours to touch.
fn untouchable(
    policy: &Policy,
    observation: &Observation,
    bounds: Bounds,
    now: Timestamp,
) -> Option<(LimitReason, String)> {
    if observation.replicas.spec == 0 && bounds.min > 0 {
        let message = format!("the target was scaled to 0 while the minimum is {}", bounds.min);
        return Some((LimitReason::ScalingDisabled, message));
    }
    let foreign = observation.foreign_writer.as_ref()?;
    let recent = time::since(now, foreign.at) < policy.timing.after_outage;
    recent.then(|| {
        let message = format!("{} set {} replicas at {}", foreign.who, foreign.replicas, foreign.at);
        (LimitReason::ForeignWriter, message)
    })
}

fn out_of_bounds(chain: &mut LimitChain, to: u32, current: u32, calendar: &InForce<'_>) {
    let bounds = calendar.bounds;
    let reason = match (current > bounds.max, calendar.ceiling) {
        (true, Some(_)) => LimitReason::CalendarCeiling,
        (true, None) => LimitReason::TooManyReplicas,
        (false, _) => LimitReason::TooFewReplicas,
    };
    chain.apply(to, reason, || {
        format!("{current} replicas run, outside of the bounds {} to {}", bounds.min, bounds.max)
    });
}

/// What a queue's consumers add: no more than help, and not too often.
fn limit_queue(
    chain: &mut LimitChain,
    metric: &Validated<'_>,
    found: &MetricOutcome,
    current: u32,
    next: &History,
    now: Timestamp,
) {
    let MetricKind::Backlog(backlog) = &metric.policy.kind else { return };
    match found.most {
        Some((most, CapReason::Partitions)) => {
            chain.at_most(most.max(1), LimitReason::PartitionsReached, || {
                format!("{}: more than {most} consumers would share {most} partitions", metric.policy.name)
            });
        }
        Some((most, CapReason::NoBenefit)) if chain.replicas() > most.max(current) => {
            chain.apply(most.max(current), LimitReason::NoBenefit, || {
                format!("{}: more than {most} consumers didn't raise throughput", metric.policy.name)
            });
        }
        _ => {}
    }
    let wanted = chain.replicas();
    // Waking up and going to sleep aren't rebalances.
    if wanted == current || current == 0 || wanted == 0 {
        return;
    }
    let dwell = backlog.cooldown(wanted > current);
    let waits = wanted < current || !found.urgent;
    let changed = next.scale_events.last().map(|event| time::since(now, event.at));
    if let Some(ago) = changed.filter(|ago| waits && *ago < dwell) {
        chain.apply(current, LimitReason::ConsumerCooldown, || {
            format!(
                "{}: the consumers changed {}s ago, and each change pauses all of them",
                metric.policy.name,
                ago.as_secs()
            )
        });
    }
}

/// Whether the last way up raised what the consumers finish.
fn watch_benefit(
    metric: &mut Validated<'_>,
    next: &mut History,
    observation: &Observation,
    now: Timestamp,
    lead: Duration,
) {
    let MetricKind::Backlog(backlog) = &metric.policy.kind else { return };
    let queue = metric.observed.and_then(|o| o.queue);
    let Some(served) = crate::validate::sane(queue.and_then(|q| q.served)) else { return };
    let Some(mut up) = next.last_up else { return };
    let since = time::since(now, up.at);
    let Some(before) = up.served else {
        if since <= lead {
            up.served = Some(served);
            next.last_up = Some(up);
        }
        return;
    };
    // Those who came one by one paused all of them: what the last minutes show counts from the last one on.
    let complete = metric.memory.throughput.since.map_or(Duration::ZERO, |at| time::since(now, at));
    let settled = observation.replicas.ready >= up.to && complete >= BENEFIT_AFTER;
    if !settled || up.from == 0 || before <= 0.0 {
        return;
    }
    next.last_up = None;
    let partitions = queue.and_then(|q| q.partitions);
    let expected = before * (at_work(up.to, partitions) / at_work(up.from, partitions) - 1.0);
    // Consumers that keep up with what arrives can't show what they could do.
    let much = served * HALF_OF_THE_PROMISE * backlog.drain_within.as_secs_f64();
    let busy = metric.fresh.is_some_and(|waiting| waiting > much);
    if busy && served - before < LEAST_BENEFIT * expected {
        metric.memory.no_benefit =
            Some(NoBenefit { replicas: up.to, until: time::after(now, NO_BENEFIT_FOR) });
    }
}

/// Remembers an unexplained drop from when it began; a load that comes back ends it.
fn hold_after_drop(
    policy: &Policy,
    metrics: &[(Validated<'_>, MetricOutcome)],
    next: &mut History,
    now: Timestamp,
) {
    let floor = metrics.iter().filter_map(|(_, found)| found.dropped).max();
    next.drop_hold = match (floor, next.drop_hold) {
        // The hold ends after its time even though the load stays low: then that is the new normal.
        (Some(floor), Some(hold)) => Some(DropHold { floor: floor.min(hold.floor).max(1), ..hold }),
        (Some(floor), None) => Some(DropHold { until: time::after(now, policy.timing.after_drop), floor }),
        (None, hold) => hold.filter(|_| metrics.iter().any(|(m, _)| m.fresh.is_none())),
    };
}
