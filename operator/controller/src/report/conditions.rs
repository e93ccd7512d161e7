//! From an outcome to the conditions of the resource. Pure: what was decided and when goes in, conditions go out; a
//! transition time moves only when a status does.

use api::condition::{self as kinds, reason};
use decide::{LimitReason, MetricKind, Policy};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use series::{Absence, AbsenceReason, Reading};

use crate::actuate::{Actuation, Skip};
use crate::error::Refusal;
use crate::report::outcome::{Decided, Outcome};

/// Longest message of a condition; the API allows 32 KiB, people read less.
const LONGEST: usize = 1_024;

/// One finding: truth, word, sentence.
struct Finding(&'static str, Option<bool>, String, String);

/// The conditions that `outcome` makes of the `previous` ones.
pub fn conditions(
    previous: &[Condition],
    outcome: &Outcome,
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    let findings = match outcome {
        Outcome::Refused(refusal) => refused(refusal),
        Outcome::Decided(decided) => decided_findings(decided),
    };
    findings
        .into_iter()
        .map(|Finding(kind, truth, reason, message)| {
            let status = match truth {
                Some(true) => "True",
                Some(false) => "False",
                None => "Unknown",
            };
            let before = previous.iter().find(|c| c.type_ == kind && c.status == status);
            Condition {
                type_: kind.to_owned(),
                status: status.to_owned(),
                reason,
                message: cut(message),
                observed_generation: generation,
                last_transition_time: before.map_or(Time(now), |c| c.last_transition_time.clone()),
            }
        })
        .collect()
}

fn cut(mut message: String) -> String {
    if message.len() > LONGEST {
        let end = (0..=LONGEST - 3).rev().find(|at| message.is_char_boundary(*at)).unwrap_or(0);
        message.truncate(end);
        message.push_str("...");
    }
    message
}

fn refused(refusal: &Refusal) -> Vec<Finding> {
    let word = || refusal.reason.to_owned();
    let told = || refusal.message.clone();
    let able = match refusal.reason {
        reason::INVALID_SPEC => None,
        _ => Some(false),
    };
    let unknown = |kind| Finding(kind, None, word(), "nothing was decided".to_owned());
    vec![
        Finding(kinds::READY, Some(false), word(), told()),
        Finding(kinds::ABLE_TO_SCALE, able, word(), told()),
        Finding(kinds::SCALING_ACTIVE, Some(false), word(), told()),
        unknown(kinds::SCALING_LIMITED),
        unknown(kinds::FORECAST_ACTIVE),
        unknown(kinds::DATA_FRESH),
    ]
}

fn decided_findings(decided: &Decided) -> Vec<Finding> {
    let able = able_to_scale(decided);
    let active = scaling_active(decided);
    let fresh = data_fresh(decided);
    let ready = ready(decided, &able, &active, &fresh);
    vec![ready, able, active, scaling_limited(decided), forecast_active(decided), fresh]
}

fn able_to_scale(decided: &Decided) -> Finding {
    let (truth, word, message) = match &decided.actuation {
        Actuation::Refused(refusal) => (false, refusal.reason, refusal.message.clone()),
        Actuation::Applied(applied) => {
            (true, "SucceededRescale", format!("scaled from {} to {}", applied.from(), applied.to()))
        }
        Actuation::Skipped(Skip::Overtaken { now }) => {
            (true, "Overtaken", format!("somebody else set {now} replicas at the same moment; deciding anew"))
        }
        Actuation::Skipped(_) => (true, "ReadyForNewScale", "the target can be scaled".to_owned()),
    };
    Finding(kinds::ABLE_TO_SCALE, Some(truth), word.to_owned(), message)
}

fn has_limit(decided: &Decided, reason: LimitReason) -> Option<&str> {
    let limits = &decided.record.recommendation.limits;
    limits.iter().find(|l| l.reason == reason).map(|l| l.message.as_str())
}

fn scaling_active(decided: &Decided) -> Finding {
    let finding =
        |truth, word: &str, message| Finding(kinds::SCALING_ACTIVE, Some(truth), word.to_owned(), message);
    if let Some(message) = has_limit(decided, LimitReason::ScalingDisabled) {
        return finding(false, reason::SCALING_DISABLED, message.to_owned());
    }
    let metrics = &decided.record.observation.metrics;
    let fresh = metrics.iter().filter(|m| matches!(m.reading, Reading::Fresh(_))).count();
    if fresh == 0 {
        let (_, message) = first_absence(decided);
        return finding(false, reason::METRICS_MISSING, message);
    }
    finding(true, "ValidMetricFound", format!("{fresh} of {} metrics measured", metrics.len()))
}

/// The word and the sentences of what keeps metrics from being fresh.
fn first_absence(decided: &Decided) -> (String, String) {
    let metrics = decided.record.observation.metrics.iter().enumerate();
    let absences: Vec<_> =
        metrics.filter_map(|(index, m)| m.reading.absence().map(|a| (index, m, a))).collect();
    let word = absences.first().map_or("NotYetRead".to_owned(), |(_, _, a)| a.reason.to_string());
    let policy = &decided.record.policy;
    let told =
        absences.iter().map(|(index, m, a)| format!("{}: {}", place(*index, policy, &m.name, a), a.message));
    (word, told.collect::<Vec<_>>().join("; "))
}

/// Where to look: at the field of a query that can't be answered, or at a metric that is well written and absent.
fn place(index: usize, policy: &Policy, name: &str, absence: &Absence) -> String {
    if absence.reason != AbsenceReason::InvalidQuery || !absence.message.contains("the query") {
        return name.to_owned();
    }
    let is_queue = policy.metric(name).is_some_and(|metric| matches!(metric.kind, MetricKind::Backlog(_)));
    let field = if is_queue { "queue.prometheus" } else { "prometheus.query" };
    format!("spec.metrics[{index}].{field} ({name})")
}

fn data_fresh(decided: &Decided) -> Finding {
    if decided.record.recommendation.data_fresh {
        let message = "every metric was measured lately".to_owned();
        return Finding(kinds::DATA_FRESH, Some(true), "Fresh".to_owned(), message);
    }
    let any = decided.record.observation.metrics.iter().any(|m| m.reading.absence().is_some());
    if !any {
        let told = "metrics are measured, but their windows are not filled yet".to_owned();
        return Finding(kinds::DATA_FRESH, Some(false), "HalfFilled".to_owned(), told);
    }
    let (word, message) = first_absence(decided);
    Finding(kinds::DATA_FRESH, Some(false), word, message)
}

fn scaling_limited(decided: &Decided) -> Finding {
    let recommendation = &decided.record.recommendation;
    if recommendation.is_limited() {
        let limit = recommendation.limits.iter().rev().find(|l| {
            matches!(
                l.reason,
                LimitReason::TooManyReplicas
                    | LimitReason::TooFewReplicas
                    | LimitReason::CalendarCeiling
                    | LimitReason::ScaleUpLimit
                    | LimitReason::ScaleDownLimit
            )
        });
        let (word, message) =
            limit.map_or(("Limited", String::new()), |l| (l.reason.as_str(), l.message.clone()));
        return Finding(kinds::SCALING_LIMITED, Some(true), word.to_owned(), message);
    }
    let message = format!("{} replicas lie within every bound", recommendation.target);
    Finding(kinds::SCALING_LIMITED, Some(false), "DesiredWithinRange".to_owned(), message)
}

fn forecast_active(decided: &Decided) -> Finding {
    let finding =
        |truth, word: String, message: String| Finding(kinds::FORECAST_ACTIVE, Some(truth), word, message);
    let record = &decided.record;
    if record.policy.forecast == decide::ForecastUse::Off || record.policy.metrics.iter().all(|m| !m.forecast)
    {
        return finding(false, "Off".to_owned(), "forecasts are switched off".to_owned());
    }
    let unknown = record.observation.metrics.iter().find_map(|m| match &m.forecast {
        Err(refusal) if record.policy.metric(&m.name).is_some_and(|p| p.forecast) => {
            Some((refusal.reason.to_string(), format!("{}: {}", m.name, refusal.message)))
        }
        _ => None,
    });
    let some = record.observation.metrics.iter().any(|m| m.forecast.is_ok());
    if record.recommendation.is_forecast_active() && some {
        return finding(
            true,
            "Active".to_owned(),
            "replicas are raised ahead of what is forecast".to_owned(),
        );
    }
    if let Some((word, message)) = unknown
        && !some
    {
        return finding(false, word, message);
    }
    let word = record.recommendation.strategy_reason.to_string();
    let message = "the forecast is watched and not acted on".to_owned();
    finding(false, word, message)
}

fn ready(decided: &Decided, able: &Finding, active: &Finding, fresh: &Finding) -> Finding {
    let finding = |truth, word: &str, message: &str| {
        let notes = decided.notes.iter().map(|note| note.message.as_str());
        let message = std::iter::once(message).chain(notes).collect::<Vec<_>>().join("; ");
        Finding(kinds::READY, Some(truth), word.to_owned(), message)
    };
    for broken in [able, active] {
        if broken.1 == Some(false) {
            return finding(false, &broken.2, &broken.3);
        }
    }
    if fresh.1 == Some(false) {
        return finding(false, reason::METRICS_INCOMPLETE, &fresh.3);
    }
    match (&decided.plan, decided.record.policy.mode) {
        (decide::Plan::Hold { reason: decide::HoldReason::Paused, message }, _) => {
            finding(true, reason::PAUSED, message)
        }
        (_, decide::Mode::Recommend) => finding(true, reason::RECOMMENDING, &decided.sentence),
        _ => finding(true, reason::SCALING, &decided.sentence),
    }
}

#[cfg(test)]
mod tests {
    use decide::{History, MetricObservation, Observation, Record};
    use series::Sample;

    use super::*;
    use crate::report::outcome::sentence;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn load(name: &str, value: f64) -> MetricObservation {
        MetricObservation::fresh(name, Reading::Fresh(Sample::new(at(100), value).unwrap()))
    }

    fn gone(name: &str) -> MetricObservation {
        MetricObservation::absent(name, AbsenceReason::Unreachable, "nobody answers")
    }

    /// The conditions after deciding on `metrics` with 3 replicas.
    fn after(policy: Policy, metrics: Vec<MetricObservation>, actuation: Actuation) -> Vec<Condition> {
        let observation = Observation { metrics, ..Observation::of(3) };
        let (record, _) = Record::make(&policy, &observation, &History::default(), at(100));
        let plan = decide::plan(policy.mode, None, &record.recommendation, at(100));
        let sentence = sentence(&record.recommendation);
        let forecasts = Vec::new();
        let decided = Decided { record, plan, forecasts, actuation, sentence, notes: Vec::new() };
        conditions(&[], &Outcome::Decided(Box::new(decided)), Some(1), at(100))
    }

    fn find<'a>(all: &'a [Condition], kind: &str) -> (&'a str, &'a str) {
        let found = all.iter().find(|c| c.type_ == kind).unwrap();
        (&found.status, &found.reason)
    }

    const HELD: Actuation = Actuation::Skipped(Skip::Hold);

    #[test]
    fn with_fresh_data_a_policy_is_ready() {
        let all = after(Policy::simple(1, 10, 100.0), vec![load("load", 300.0)], HELD);
        assert_eq!(find(&all, kinds::READY), ("True", "Scaling"));
        assert_eq!(find(&all, kinds::DATA_FRESH), ("True", "Fresh"));
        assert_eq!(find(&all, kinds::SCALING_ACTIVE).0, "True");
    }

    #[test]
    fn a_blind_policy_is_never_ready() {
        let all = after(Policy::simple(1, 10, 100.0), vec![gone("load")], HELD);
        assert_eq!(find(&all, kinds::READY), ("False", "MetricsMissing"));
        assert_eq!(find(&all, kinds::SCALING_ACTIVE), ("False", "MetricsMissing"));
        assert_eq!(find(&all, kinds::DATA_FRESH), ("False", "Unreachable"));
    }

    #[test]
    fn a_query_that_is_refused_is_named_by_its_field() {
        let told = |message: &str| {
            let refused = MetricObservation::absent("load", AbsenceReason::InvalidQuery, message);
            let all = after(Policy::simple(1, 10, 100.0), vec![refused], HELD);
            all.iter().find(|c| c.type_ == kinds::DATA_FRESH).unwrap().message.clone()
        };
        let message = told("http://p:9090 refused the query 'sum(': parse error");
        assert!(message.starts_with("spec.metrics[0].prometheus.query (load): http://p:9090"), "{message}");
        assert_eq!(told("the address isn't a URL"), "load: the address isn't a URL");
    }

    #[test]
    fn a_policy_that_sees_half_is_not_ready_but_scales() {
        let mut policy = Policy::simple(1, 10, 100.0);
        policy.metrics.push(decide::MetricPolicy::average("more", 10.0));
        let all = after(policy, vec![load("load", 300.0), gone("more")], HELD);
        assert_eq!(find(&all, kinds::READY), ("False", "MetricsIncomplete"));
        assert_eq!(find(&all, kinds::SCALING_ACTIVE).0, "True");
    }

    #[test]
    fn a_refused_write_is_not_able_to_scale() {
        let refused = Actuation::Refused(Refusal::transient(reason::FAILED_UPDATE_SCALE, "forbidden"));
        let all = after(Policy::simple(1, 10, 100.0), vec![load("load", 900.0)], refused);
        assert_eq!(find(&all, kinds::ABLE_TO_SCALE), ("False", "FailedUpdateScale"));
        assert_eq!(find(&all, kinds::READY), ("False", "FailedUpdateScale"));
    }

    #[test]
    fn bounds_in_the_way_are_said() {
        let all = after(Policy::simple(1, 4, 100.0), vec![load("load", 900.0)], HELD);
        assert_eq!(find(&all, kinds::SCALING_LIMITED), ("True", "TooManyReplicas"));
    }

    #[test]
    fn long_messages_are_cut_at_a_character() {
        assert_eq!(cut("é".repeat(2_000)).len(), LONGEST - 1);
    }
}
