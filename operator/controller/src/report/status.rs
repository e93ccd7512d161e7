//! From an outcome to the status of the resource, and whether that is worth a write. Pure.

use std::time::Duration;

use api::v1alpha1::{
    AutoscalePolicyStatus, Candidate, CapacityStatus, Decision, ForecastStatus, Limit, NextChange, Saved,
    SelectionStatus, Startup,
};
use autoscaler::{Autoscaler, ForecastState, Progress, score_at};
use decide::{Evidence, MetricObservation, Policy, Protection, Selection, StrategyReason};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use series::{Reading, time};

use crate::actuate::Actuation;
use crate::report::conditions::conditions;
use crate::report::outcome::{Decided, Outcome, driver};

/// Changes that only move numbers inside the record are written this often at most.
const COALESCE: Duration = Duration::from_mins(1);
/// The state of a strategy that was selected on the past.
const SELECTED: &str = "Selected";
/// A record above this size stays out of the status; etcd allows 1.5 MiB, and watchers pay for every byte.
const LARGEST_RECORD: usize = 48 * 1024;

/// What a status is made of besides the outcome.
pub(crate) struct Inputs<'a> {
    /// The status as it is.
    pub(crate) previous: &'a AutoscalePolicyStatus,
    /// The generation that was looked at.
    pub(crate) generation: Option<i64>,
    /// The target as written, where the spec could be read.
    pub(crate) target: Option<String>,
    /// Measured start-up times.
    pub(crate) startup: Option<Startup>,
    /// What one replica carries.
    pub(crate) capacity: Vec<CapacityStatus>,
    /// The forecast that matters most, with its metric.
    pub(crate) forecast: Option<(&'a str, &'a ForecastState)>,
    /// How the strategy in force was selected.
    pub(crate) selection: Option<SelectionStatus>,
    /// The next change that is expected: when, and to how many.
    pub(crate) next_change: Option<(Timestamp, u32)>,
    /// Replica-hours saved, and since when.
    pub(crate) saved: Option<(f64, Timestamp)>,
    /// The trace of the evaluation.
    pub(crate) trace_id: Option<String>,
}

/// The status that `outcome` makes.
pub(crate) fn status(inputs: &Inputs<'_>, outcome: &Outcome, now: Timestamp) -> AutoscalePolicyStatus {
    let mut status = inputs.previous.clone();
    status.observed_generation = inputs.generation;
    status.target.clone_from(&inputs.target);
    status.conditions = conditions(&inputs.previous.conditions, outcome, inputs.generation, now);
    if let Some(startup) = &inputs.startup {
        status.startup = Some(startup.clone());
    }
    if let Some((hours, since)) = inputs.saved {
        status.saved = Some(Saved { replica_hours: hours as i64, since: Some(Time(since)) });
    }
    match outcome {
        Outcome::Decided(decided) => {
            let recommendation = &decided.record.recommendation;
            status.current_replicas = Some(decided.replicas() as i32);
            status.desired_replicas = Some(recommendation.target as i32);
            status.effective_min_replicas = Some(recommendation.effective_min as i32);
            status.effective_max_replicas = Some(recommendation.effective_max as i32);
            if matches!(decided.actuation, Actuation::Applied(_)) {
                status.last_scale_time = Some(Time(now));
            }
            status.decision = Some(decision(decided, inputs.trace_id.clone()));
            status.forecast = forecast(inputs, decided);
            status.capacity.clone_from(&inputs.capacity);
            status.selection.clone_from(&inputs.selection);
        }
        Outcome::Refused(_) => {
            // Numbers from before would look like numbers of now. The record stays: a restart reads it.
            status.current_replicas = None;
            status.desired_replicas = None;
            status.effective_min_replicas = None;
            status.effective_max_replicas = None;
        }
    }
    status
}

fn decision(decided: &Decided, trace_id: Option<String>) -> Decision {
    let record = &decided.record;
    let recommendation = &record.recommendation;
    let stored = serde_json::to_value(record).ok().filter(|v| v.to_string().len() <= LARGEST_RECORD);
    Decision {
        time: Some(Time(record.now)),
        driver: driver(&recommendation.driver),
        message: decided.sentence.clone(),
        candidates: recommendation
            .candidates
            .iter()
            .map(|c| Candidate {
                name: c.metric.clone().unwrap_or_else(|| "policy".to_owned()),
                kind: c.source.to_string(),
                replicas: c.replicas.map(|r| r as i32),
                value: c.metric.as_deref().and_then(|m| record.observation.metric(m)).and_then(value),
                message: c.message.clone(),
            })
            .collect(),
        limits: recommendation
            .limits
            .iter()
            .map(|l| Limit { reason: l.reason.to_string(), message: l.message.clone() })
            .collect(),
        trace_id,
        record: stored,
    }
}

/// A value with three decimals at most.
fn value(metric: &MetricObservation) -> Option<String> {
    let sample = match &metric.reading {
        Reading::Fresh(sample) | Reading::Stale { sample, .. } => *sample,
        Reading::Absent(_) => return None,
    };
    let text = format!("{:.3}", sample.value());
    Some(text.trim_end_matches('0').trim_end_matches('.').to_owned())
}

fn forecast(inputs: &Inputs<'_>, decided: &Decided) -> Option<ForecastStatus> {
    let (metric, state) = inputs.forecast?;
    let lead = decided.record.recommendation.lead;
    let accuracy = state.accuracy.as_deref();
    let score = accuracy.and_then(|s| score_at(s, lead));
    let message = match (&state.forecast, accuracy) {
        (Err(refusal), _) => refusal.message.clone(),
        (_, Some(accuracy)) => accuracy.chosen_because.clone(),
        _ => String::new(),
    };
    Some(ForecastStatus {
        metric: Some(metric.to_owned()),
        model: accuracy.map(|s| s.model.clone()).filter(|m| !m.is_empty()),
        error_percent_of_naive: score.map(|s| percent(s.versus_last_value.max(s.versus_yesterday))),
        coverage_percent: score.map(|s| percent(s.coverage_95)),
        lead_time_seconds: Some(lead.as_secs() as i32),
        next_change: inputs
            .next_change
            .map(|(at, replicas)| NextChange { time: Some(Time(at)), replicas: replicas as i32 }),
        message,
    })
}

/// How the strategy in force was selected, or how far that got.
pub(crate) fn selection(autoscaler: &Autoscaler, policy: Option<&Policy>, now: Timestamp) -> SelectionStatus {
    let Selection { selected, evidence, .. } = autoscaler.selection();
    let (state, mut message) = progress(&autoscaler.progress(now), evidence.is_some());
    if state == SELECTED {
        let unkept = policy.and_then(|p| unkept(autoscaler.selection(), p, autoscaler.savings().peak()));
        message = unkept.unwrap_or_default();
    }
    let hundredths = |share: f64| format!("{:.2}%", share * 100.0);
    SelectionStatus {
        state: state.to_owned(),
        message,
        strategy: selected.map(|s| s.strategy.to_string()).unwrap_or_default(),
        simulated_days: evidence.map(|e| e.score.days.round() as i32),
        short_of_replicas: evidence.map(|e| hundredths(e.score.violation)),
        short_of_replicas_range: evidence
            .and_then(|e| e.violation_to_come)
            .map(|range| format!("{} to {}", hundredths(range.low), hundredths(range.high))),
        hpa_short_of_replicas: evidence.and_then(|e| e.usual_violation).map(hundredths),
        percent_of_hpa: evidence.and_then(of_hpa),
        percent_of_hpa_range: evidence
            .and_then(|e| e.cost_to_come)
            .map(|range| format!("{} to {}", percent(range.low), percent(range.high))),
    }
}

/// What is said beforehand of a promise that no strategy kept: how close one came, at which cost, and whether the bound was in
/// the way. `peak` is the most replicas that the last week needed within the bounds.
fn unkept(selection: &Selection, policy: &Policy, peak: Option<u32>) -> Option<String> {
    let evidence = selection.evidence?;
    if selection.selected?.reason != StrategyReason::SafestOnReplay
        || policy.protection == Protection::SameCost
    {
        return None;
    }
    let cost = of_hpa(evidence)
        .map_or_else(String::new, |cost| format!(", at {cost} % of the usual HPA's replicas"));
    let max = policy.max_replicas;
    let bound = if peak.is_some_and(|peak| peak >= max) {
        format!("; the load reached maxReplicas ({max}), and a higher one may keep it")
    } else {
        String::new()
    };
    Some(format!(
        "no strategy kept {} on the past {:.0} days: the safest was short for {:.2} % of the time{cost}{bound}",
        policy.protection,
        evidence.score.days,
        evidence.score.violation * 100.0
    ))
}

/// The replicas of the selected strategy, in percent of what the usual HPA took.
fn of_hpa(evidence: Evidence) -> Option<i32> {
    let usual = evidence.usual_replicas.filter(|usual| *usual > 0.0)?;
    Some(percent(evidence.score.replicas / usual))
}

fn progress(progress: &Progress, proved: bool) -> (&'static str, String) {
    let few = "a day of measurements is the least that says anything about the next";
    match progress {
        Progress::Off(why) => ("Off", (*why).to_owned()),
        Progress::ReadingHistory(metrics) => {
            ("ReadingHistory", format!("the history of {} is being read", metrics.join(", ")))
        }
        Progress::Fitting(metrics) => {
            ("Fitting", format!("the first forecast of {} is being fitted", metrics.join(", ")))
        }
        Progress::LearningCapacity(metric) => {
            ("LearningCapacity", format!("what one replica carries of {metric} isn't measured yet"))
        }
        Progress::TooLittleHistory(metric) => ("TooLittleHistory", format!("{metric}: {few}")),
        Progress::Simulating => ("Simulating", "strategies are being simulated on the known past".to_owned()),
        Progress::Simulated(_) if proved => (SELECTED, String::new()),
        Progress::Simulated(_) => ("TooLittleHistory", few.to_owned()),
    }
}

fn percent(share: f64) -> i32 {
    (share * 100.0).round().clamp(0.0, 100_000.0) as i32
}

/// Whether `next` is to be written over `written`, of `at`: at once when something a person or a program would look
/// at changed, now and then when only numbers moved, never when nothing but time went by.
pub(crate) fn is_due(
    written: Option<&(AutoscalePolicyStatus, Timestamp)>,
    next: &AutoscalePolicyStatus,
    now: Timestamp,
) -> bool {
    let Some((before, at)) = written else { return true };
    if essence(before) != essence(next) {
        return true;
    }
    timeless(before) != timeless(next) && time::since(now, *at) >= COALESCE
}

/// What is always worth a write.
fn essence(status: &AutoscalePolicyStatus) -> impl PartialEq + use<> {
    let conditions: Vec<_> = status
        .conditions
        .iter()
        .map(|c| (c.type_.clone(), c.status.clone(), c.reason.clone(), c.observed_generation))
        .collect();
    let decision = status.decision.as_ref().map(|d| {
        let limits: Vec<_> = d.limits.iter().map(|l| l.reason.clone()).collect();
        (d.driver.clone(), limits)
    });
    // What was learned is written with it, and must not be lost. The steps on the way there are only numbers.
    let selection = status.selection.as_ref().map(|s| (s.state == SELECTED, s.strategy.clone()));
    let bounds = (status.effective_min_replicas, status.effective_max_replicas);
    let replicas = (status.current_replicas, status.desired_replicas);
    (
        status.observed_generation,
        status.target.clone(),
        bounds,
        replicas,
        status.last_scale_time.clone(),
        decision,
        selection,
        conditions,
    )
}

/// A status without what changes by itself.
fn timeless(status: &AutoscalePolicyStatus) -> AutoscalePolicyStatus {
    let mut status = status.clone();
    if let Some(decision) = &mut status.decision {
        decision.time = None;
        decision.record = None;
        decision.trace_id = None;
    }
    status.saved = None;
    status.learned = None;
    for condition in &mut status.conditions {
        condition.last_transition_time = Time(Timestamp::UNIX_EPOCH);
    }
    status
}

#[cfg(test)]
mod tests {
    use decide::{Score, Selected, Strategy};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

    use super::*;
    use crate::error::Refusal;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn inputs(previous: &AutoscalePolicyStatus) -> Inputs<'_> {
        Inputs {
            previous,
            generation: Some(2),
            target: Some("Deployment/web".into()),
            startup: None,
            capacity: Vec::new(),
            forecast: None,
            selection: None,
            next_change: None,
            saved: None,
            trace_id: None,
        }
    }

    fn refusal(message: &str) -> Outcome {
        Outcome::Refused(Refusal::new("TargetNotFound", message))
    }

    fn ready(status: &AutoscalePolicyStatus) -> &Condition {
        status.conditions.iter().find(|c| c.type_ == "Ready").unwrap()
    }

    #[test]
    fn a_promise_that_nothing_kept_is_told_beforehand() {
        let selected = |reason| Selection {
            selected: Some(Selected { strategy: Strategy::REACTIVE, reason }),
            since: None,
            evidence: Some(Evidence {
                score: Score {
                    strategy: Strategy::REACTIVE,
                    violation: 0.019,
                    replicas: 24.0,
                    days: 7.0,
                    changes: 0.0,
                    reversals: 0.0,
                },
                usual_replicas: Some(10.0),
                usual_violation: Some(0.05),
                violation_to_come: None,
                cost_to_come: None,
                until: at(0),
            }),
        };
        let safest = selected(StrategyReason::SafestOnReplay);
        let policy = Policy { protection: Protection::Share(0.99), ..Policy::simple(1, 40, 100.0) };
        let told = unkept(&safest, &policy, Some(30)).unwrap();
        let words = "no strategy kept 99% on the past 7 days: the safest was short for 1.90 % of the time, at 240 % of the usual \
                     HPA's replicas";
        assert_eq!(told, words);
        let bound = unkept(&safest, &policy, Some(40)).unwrap();
        assert_eq!(
            bound,
            format!("{words}; the load reached maxReplicas (40), and a higher one may keep it")
        );
        assert_eq!(unkept(&selected(StrategyReason::SelectedByReplay), &policy, Some(40)), None);
        let same_cost = Policy { protection: Protection::SameCost, ..policy };
        assert_eq!(unkept(&safest, &same_cost, Some(40)), None, "nothing was promised");
    }

    #[test]
    fn a_refusal_names_itself_on_ready_and_has_no_numbers() {
        let before = AutoscalePolicyStatus { current_replicas: Some(3), ..AutoscalePolicyStatus::default() };
        let next = status(&inputs(&before), &refusal("there is none"), at(10));
        let ready = ready(&next);
        assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("False", "TargetNotFound"));
        assert_eq!(ready.message, "there is none");
        assert_eq!(next.current_replicas, None);
        assert_eq!(next.conditions.len(), 6);
        assert_eq!(next.observed_generation, Some(2));
    }

    #[test]
    fn a_transition_time_moves_only_with_the_status() {
        let empty = AutoscalePolicyStatus::default();
        let first = status(&inputs(&empty), &refusal("a"), at(10));
        let second = status(&inputs(&first), &refusal("b"), at(99));
        assert_eq!(ready(&second).last_transition_time.0, at(10));
        assert_eq!(ready(&second).message, "b");
    }

    #[test]
    fn nothing_is_written_when_only_time_went_by() {
        let empty = AutoscalePolicyStatus::default();
        let first = status(&inputs(&empty), &refusal("a"), at(10));
        assert!(is_due(None, &first, at(10)));
        let again = status(&inputs(&first), &refusal("a"), at(4_000));
        assert!(!is_due(Some(&(first, at(10))), &again, at(4_000)));
    }

    #[test]
    fn words_are_written_at_once_and_sentences_once_a_minute() {
        let empty = AutoscalePolicyStatus::default();
        let first = status(&inputs(&empty), &refusal("a"), at(10));
        let sentence = status(&inputs(&first), &refusal("b"), at(25));
        assert!(!is_due(Some(&(first.clone(), at(10))), &sentence, at(25)));
        assert!(is_due(Some(&(first.clone(), at(10))), &sentence, at(70)));
        let word = status(&inputs(&first), &Outcome::Refused(Refusal::new("InvalidSpec", "a")), at(11));
        assert!(is_due(Some(&(first, at(10))), &word, at(11)));
    }

    #[test]
    fn what_was_selected_is_written_at_once_and_the_way_there_once_a_minute() {
        let of = |state: &str, strategy: &str| AutoscalePolicyStatus {
            selection: Some(SelectionStatus {
                state: state.to_owned(),
                strategy: strategy.to_owned(),
                ..SelectionStatus::default()
            }),
            ..AutoscalePolicyStatus::default()
        };
        let written = (of("Fitting", "load x 1.00"), at(10));
        assert!(!is_due(Some(&written), &of("Simulating", "load x 1.00"), at(25)));
        assert!(is_due(Some(&written), &of("Simulating", "load x 1.00"), at(70)));
        assert!(is_due(Some(&written), &of("Selected", "load x 1.00"), at(25)));
        assert!(is_due(Some(&written), &of("Fitting", "load x 1.12"), at(25)));
    }
}
