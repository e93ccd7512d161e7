//! Whether the forecast is trusted on this workload, and with how much headroom: trust is earned on the workload's own
//! history, changes slowly towards less headroom and at once towards more.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use series::time;

use crate::observation::{Observation, Outlook};
use crate::policy::{ForecastUse, Policy};
use crate::recommendation::StanceReason;
use crate::stance::{Foresight, Score, Stance, Standing};

/// Scores over less history than this don't choose.
const LEAST_HOURS: f64 = 24.0;
/// A stance counts as keeping its promise where it used at most this share of the error budget on replay: history
/// repeats itself only about.
const BUDGET_SHARE: f64 = 0.8;
/// A stance in place is left for safety where its replay burns more than this share of the budget.
const BUDGET_LEFT: f64 = 1.25;
/// And for cost only where that saves at least this share.
const LEAST_SAVING: f64 = 0.03;
/// Where no stance keeps the promise, those within this factor of the safest are safe enough.
const SAFE_ENOUGH: f64 = 1.5;
/// The hold of an HPA without `behavior`.
const HPA_HOLD: Duration = Duration::from_secs(300);
/// Three minutes a week.
const LEAST_VIOLATION: f64 = 0.0003;
/// What a change above [`FREE_CHANGES`] a day is worth, as a share of the replicas, and a reversal above one a day.
const CHANGE: f64 = 0.0001;
const FREE_CHANGES: f64 = 60.0;
const REVERSAL: f64 = 0.008;
const MOST_RESTLESS: f64 = 0.5;
/// A promise is strict where it is broken in at most this share of time.
const STRICT: f64 = 0.01;
/// The powers of strictness by which calm, and safety beyond the promise, are worth less where it is laxer.
const CALM_FADES: i32 = 3;
const SAFETY_FADES: f64 = 0.25;
/// What a calmer stance may cost over the HPA that breaks the promise as long.
const NO_WORSE: f64 = 1.02;
/// Better than naive means at least this much better, and stays so until it isn't better at all.
const BETTER: f64 = 0.95;
const NO_BETTER: f64 = 1.0;

/// Which stance is taken, since when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GateState {
    /// The stance in place; `None` before the first decision.
    pub stance: Option<Stance>,
    /// Since when.
    pub since: Option<Timestamp>,
    /// Why it was taken.
    pub reason: Option<StanceReason>,
}

impl Stance {
    /// Reactive only: exactly the load there is.
    pub const REACTIVE: Self =
        Self { headroom: 1.0, foresight: None, hold: Duration::ZERO, lean: 0.0, slack: 0.0, band: 0.05 };
}

/// The stance to take now, and the state to remember.
pub(crate) fn stance(
    policy: &Policy,
    observation: &Observation,
    before: &GateState,
    now: Timestamp,
) -> GateState {
    let wish = wish(policy, observation, before);
    let taken = |wish: (Stance, StanceReason)| GateState {
        stance: Some(wish.0),
        since: if before.stance == Some(wish.0) { before.since } else { Some(now) },
        reason: Some(wish.1),
    };
    let Some(current) = before.stance else { return taken(wish) };
    if current == wish.0 || is_safer(&wish.0, &current, wish.1) {
        return taken(wish);
    }
    // A first stance taken for want of knowledge binds nobody.
    let unproven = before.reason == Some(StanceReason::NotYetProven);
    let stood = before.since.map_or(Duration::MAX, |since| time::since(now, since));
    if unproven || stood >= policy.timing.trust_dwell {
        return taken(wish);
    }
    GateState { reason: Some(StanceReason::Dwelling), ..*before }
}

/// Changes towards safety don't wait: losing trust, or a stance that replay shows to break the promise.
fn is_safer(wish: &Stance, current: &Stance, reason: StanceReason) -> bool {
    match reason {
        StanceReason::ForecastOff
        | StanceReason::NoBetterThanNaive
        | StanceReason::PoorCoverage
        | StanceReason::SafestOnReplay => true,
        _ => wish.headroom > current.headroom && (wish.foresight.is_some() || current.foresight.is_none()),
    }
}

fn wish(policy: &Policy, observation: &Observation, before: &GateState) -> (Stance, StanceReason) {
    if policy.forecast == ForecastUse::Off {
        return (Stance::REACTIVE, StanceReason::ForecastOff);
    }
    let scores: Vec<&Score> = observation.scores.iter().filter(|s| is_sane(s)).collect();
    if !scores.is_empty() {
        return by_score(&scores, 1.0 - policy.protection, before);
    }
    by_standing(policy, observation, before)
}

fn is_sane(score: &Score) -> bool {
    let foresight = score
        .stance
        .foresight
        .is_none_or(|f| f.level > 0.0 && f.level < 1.0 && f.margin >= 1.0 && (0.0..=1.0).contains(&f.follow));
    score.hours >= LEAST_HOURS
        && score.replicas.is_finite()
        && (0.0..=1.0).contains(&score.violation)
        && score.stance.headroom.is_finite()
        && score.stance.headroom >= 1.0
        && (0.0..=4.0).contains(&score.stance.lean)
        && (0.0..=0.5).contains(&score.stance.slack)
        && (0.0..=0.5).contains(&score.stance.band)
        && foresight
}

/// Picks by replay. Among the stances that keep the promise, the one that saves most against an HPA with the target that
/// breaks it just as long: where the forecast is good, much more safety costs little, and is taken. No dearer, though,
/// than the cheapest one, or than the HPA at 70 %; where the promise is lax, than one between that and the HPA which just
/// keeps it. Where none keeps the promise: the cheapest of the safest.
fn by_score(scores: &[&Score], budget: f64, before: &GateState) -> (Stance, StanceReason) {
    let price = |s: &Score| price(s, budget);
    let keeps = |s: &&&Score| s.violation <= budget * BUDGET_SHARE;
    let cheapest = scores.iter().filter(keeps).min_by(|a, b| price(a).total_cmp(&price(b)));
    let Some(cheapest) = cheapest else {
        let lowest = scores.iter().map(|s| s.violation).fold(1.0, f64::min);
        let safe = scores.iter().filter(|s| s.violation <= lowest * SAFE_ENOUGH);
        let best = safe.min_by(|a, b| price(a).total_cmp(&price(b)));
        return (best.map_or(Stance::REACTIVE, |s| s.stance), StanceReason::SafestOnReplay);
    };
    let tuned = Tuned::of(scores);
    let usual = tuned.usual().unwrap_or(0.0);
    let just = tuned.at(budget * BUDGET_SHARE).unwrap_or(usual).min(usual);
    let limit =
        price(cheapest).max(just + (usual - just) * strictness(budget).powf(SAFETY_FADES)) * (1.0 + 1e-9);
    let worth = |s: &Score| price(s) / tuned.at(s.violation).unwrap_or(1.0);
    let affordable = || scores.iter().filter(keeps).filter(|s| price(s) <= limit);
    // However restless the HPA: nothing is taken that is dearer than it by more than this for the same promise.
    let no_worse = |s: &&&Score| tuned.at(s.violation).is_none_or(|hpa| s.replicas <= hpa * NO_WORSE);
    let by_worth = |a: &&&Score, b: &&&Score| worth(a).total_cmp(&worth(b));
    let best = affordable().filter(no_worse).min_by(by_worth).or_else(|| affordable().min_by(by_worth));
    let best = best.unwrap_or(cheapest);
    let current = scores.iter().find(|s| before.stance == Some(s.stance));
    if let Some(current) = current
        && current.violation <= budget * BUDGET_LEFT
        && price(current) <= limit * (1.0 + LEAST_SAVING)
        && (no_worse(&current) || !no_worse(&best))
        && worth(best) > worth(current) * (1.0 - LEAST_SAVING)
    {
        return (current.stance, StanceReason::CheapestOnReplay);
    }
    (best.stance, StanceReason::CheapestOnReplay)
}

/// The scores that a choice can fall on: the undominated ones, those the HPA is judged by, and the stance in place.
/// What a decision records stays small that way, and the choice is the same.
pub fn shortlist(scores: &[Score], protection: f64, current: Option<Stance>) -> Vec<Score> {
    let price = |s: &Score| price(s, 1.0 - protection);
    let mut sorted: Vec<&Score> = scores.iter().collect();
    sorted.sort_by(|a, b| a.violation.total_cmp(&b.violation).then(price(a).total_cmp(&price(b))));
    let mut cheapest = f64::INFINITY;
    let mut kept = Vec::new();
    for score in sorted {
        let undominated = price(score) < cheapest;
        cheapest = cheapest.min(price(score));
        let hpa = is_hpa(&score.stance);
        if undominated || hpa || current == Some(score.stance) {
            kept.push(*score);
        }
    }
    kept
}

/// What an HPA could do.
fn is_hpa(stance: &Stance) -> bool {
    stance.foresight.is_none() && stance.hold <= HPA_HOLD && stance.lean <= 0.0
}

/// What a stance costs: its replicas, and something for restlessness, since every change moves connections and caches,
/// and one that is taken back at once moves them for nothing. Who accepts to be short now and then has little of that:
/// calm is worth less the laxer the promise.
fn price(score: &Score, budget: f64) -> f64 {
    let restless =
        CHANGE * (score.changes - FREE_CHANGES).max(0.0) + REVERSAL * (score.reversals - 1.0).max(0.0);
    score.replicas * (1.0 + restless.min(MOST_RESTLESS) * strictness(budget).powi(CALM_FADES))
}

/// 1 for a promise of 99 % and above, and less the laxer it is: a half at 98 %, a tenth at 90 %.
fn strictness(budget: f64) -> f64 {
    (STRICT / budget.max(STRICT)).min(1.0)
}

/// The HPA tuned in hindsight: what reactive stances with the HPA's own hold cost at which violation.
struct Tuned {
    /// Logarithm of violation, rising, and replicas, falling.
    frontier: Vec<(f64, f64)>,
    usual: Option<f64>,
}

impl Tuned {
    fn of(scores: &[&Score]) -> Self {
        let hpas = || scores.iter().filter(|s| is_hpa(&s.stance));
        let mut points: Vec<(f64, f64)> = hpas().map(|s| (log_violation(s.violation), s.replicas)).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        let mut frontier: Vec<(f64, f64)> = Vec::new();
        for point in points {
            if frontier.last().is_none_or(|last| point.1 < last.1) {
                frontier.push(point);
            }
        }
        // 70 % of what saturates a replica, where 80 % is what it carries.
        let usual = hpas().find(|s| (s.stance.headroom - 1.12).abs() < 0.03).map(|s| s.replicas);
        Self { frontier, usual }
    }

    /// What the HPA at 70 % costs.
    fn usual(&self) -> Option<f64> {
        self.usual
    }

    /// What the HPA costs that breaks the promise for this share of time; linear between the logarithms.
    fn at(&self, violation: f64) -> Option<f64> {
        let v = log_violation(violation);
        let after = self.frontier.partition_point(|p| p.0 < v);
        let (Some(first), Some(last)) = (self.frontier.first(), self.frontier.last()) else { return None };
        if after == 0 {
            return Some(first.1);
        }
        let Some(b) = self.frontier.get(after) else { return Some(last.1) };
        let a = self.frontier[after - 1];
        Some(a.1 + (b.1 - a.1) * (v - a.0) / (b.0 - a.0))
    }
}

/// Below a few minutes a week, luck decides: less than that counts as that.
fn log_violation(violation: f64) -> f64 {
    violation.max(LEAST_VIOLATION).ln()
}

/// Without a replay: the forecaster's own standing.
fn by_standing(policy: &Policy, observation: &Observation, before: &GateState) -> (Stance, StanceReason) {
    let trusted_before = before.stance.is_some_and(|s| s.foresight.is_some());
    let mut reason = StanceReason::NotYetProven;
    for metric in policy.metrics.iter().filter(|m| m.forecast) {
        let Some(observed) = observation.metric(&metric.name) else { continue };
        let (Outlook::Forecast(_), Some(standing)) = (&observed.outlook, observed.standing) else { continue };
        match fault(&standing, trusted_before) {
            None => {
                let foresight = Foresight { level: policy.protection, margin: 1.0, follow: 0.0 };
                let stance = Stance { foresight: Some(foresight), ..Stance::REACTIVE };
                return (stance, StanceReason::Accurate);
            }
            Some(found) => reason = found,
        }
    }
    (Stance::REACTIVE, reason)
}

/// What speaks against a forecast with this standing.
pub(crate) fn fault(standing: &Standing, trusted_before: bool) -> Option<StanceReason> {
    let bar = if trusted_before { NO_BETTER } else { BETTER };
    // Yesterday is a forecast too: being as good as it is no fault, being worse is.
    let beats_naive = standing.versus_last <= bar && standing.versus_yesterday <= bar + 0.1;
    if !beats_naive {
        return Some(StanceReason::NoBetterThanNaive);
    }
    let (missed, promised) = (1.0 - standing.coverage, 1.0 - standing.level);
    (missed > 2.0 * promised + 0.05).then_some(StanceReason::PoorCoverage)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_second(hour * 3_600).unwrap()
    }

    fn score(headroom: f64, level: Option<f64>, violation: f64, replicas: f64) -> Score {
        let foresight = level.map(|level| Foresight { level, margin: 1.0, follow: 0.0 });
        Score {
            stance: Stance { headroom, foresight, hold: Duration::ZERO, lean: 0.0, slack: 0.0, band: 0.05 },
            violation,
            replicas,
            hours: 168.0,
            changes: 0.0,
            reversals: 0.0,
        }
    }

    fn with(scores: Vec<Score>) -> Observation {
        Observation { scores, ..Observation::of(3) }
    }

    #[test]
    fn a_shortlist_leads_to_the_same_choice() {
        let policy = Policy::simple(1, 10, 100.0);
        let scores: Vec<Score> = (0..60)
            .map(|i| {
                let i = f64::from(i);
                let level = (i % 3.0 > 0.5).then_some(0.9);
                score(1.0 + i / 50.0, level, 0.02 / (1.0 + (i * 7.0) % 13.0), 10.0 + (i * 5.0) % 11.0)
            })
            .collect();
        let all = stance(&policy, &with(scores.clone()), &GateState::default(), at(0));
        let short = shortlist(&scores, policy.protection, None);
        assert!(short.len() < scores.len());
        assert_eq!(stance(&policy, &with(short), &GateState::default(), at(0)), all);
    }

    #[test]
    fn the_cheapest_stance_that_keeps_the_promise_is_taken() {
        let policy = Policy::simple(1, 10, 100.0);
        let scores = vec![
            score(1.0, None, 0.05, 10.0),
            score(1.4, None, 0.002, 14.0),
            score(1.0, Some(0.9), 0.004, 11.0),
            score(1.0, Some(0.5), 0.02, 9.0),
        ];
        let state = stance(&policy, &with(scores), &GateState::default(), at(0));
        assert_eq!(state.stance.and_then(|s| s.foresight).map(|f| f.level), Some(0.9));
        assert_eq!(state.reason, Some(StanceReason::CheapestOnReplay));
    }

    #[test]
    fn a_strict_promise_pays_for_calm_and_a_lax_one_for_replicas() {
        let restless = Score { changes: 300.0, reversals: 40.0, ..score(1.1, Some(0.5), 0.002, 10.0) };
        let scores = vec![score(1.12, None, 0.003, 15.0), score(1.5, None, 0.001, 12.0), restless];
        let taken = |protection: f64| {
            let policy = Policy { protection, ..Policy::simple(1, 10, 100.0) };
            stance(&policy, &with(scores.clone()), &GateState::default(), at(0)).stance.map(|s| s.headroom)
        };
        assert_eq!((taken(0.99), taken(0.97)), (Some(1.5), Some(1.1)));
    }

    #[test]
    fn a_lax_promise_is_not_overfulfilled_at_the_price_of_the_usual_hpa() {
        // The HPA at 70 % breaks the promise for 0.2 % of the time, one that just keeps it costs a fifth less.
        let scores = vec![
            score(1.12, None, 0.002, 10.0),
            score(1.0, None, 0.2, 8.0),
            score(1.0, Some(0.99), 0.0005, 9.0),
            score(1.0, Some(0.5), 0.1, 7.8),
        ];
        let taken = |protection: f64| {
            let policy = Policy { protection, ..Policy::simple(1, 10, 100.0) };
            let state = stance(&policy, &with(scores.clone()), &GateState::default(), at(0));
            state.stance.and_then(|s| s.foresight).map(|f| f.level)
        };
        assert_eq!((taken(0.99), taken(0.6)), (Some(0.99), Some(0.5)));
    }

    #[test]
    fn a_cheaper_stance_waits_for_the_dwell_and_a_safer_one_doesnt() {
        let policy = Policy::simple(1, 10, 100.0);
        let dear = with(vec![score(1.4, None, 0.002, 14.0), score(1.0, Some(0.9), 0.05, 11.0)]);
        let cheap = with(vec![score(1.4, None, 0.002, 14.0), score(1.0, Some(0.9), 0.001, 11.0)]);
        let first = stance(&policy, &dear, &GateState::default(), at(0));
        assert_eq!(first.stance.map(|s| s.headroom), Some(1.4));
        let soon = stance(&policy, &cheap, &first, at(2));
        assert_eq!((soon.stance, soon.reason), (first.stance, Some(StanceReason::Dwelling)));
        let later = stance(&policy, &cheap, &soon, at(24));
        assert_eq!(later.stance.map(|s| s.headroom), Some(1.0));
        let broken = with(vec![score(1.4, None, 0.02, 14.0), score(1.0, Some(0.9), 0.05, 11.0)]);
        let back = stance(&policy, &broken, &later, at(25));
        assert_eq!(back.reason, Some(StanceReason::SafestOnReplay));
        assert_eq!(back.stance.map(|s| s.headroom), Some(1.4));
    }

    #[test]
    fn less_than_three_per_cent_isnt_worth_a_change() {
        let policy = Policy::simple(1, 10, 100.0);
        let before = GateState {
            stance: Some(Stance { headroom: 1.4, ..Stance::REACTIVE }),
            since: Some(at(0)),
            reason: None,
        };
        let close = with(vec![score(1.4, None, 0.002, 14.0), score(1.0, Some(0.9), 0.001, 13.7)]);
        assert_eq!(stance(&policy, &close, &before, at(99)).stance, before.stance);
    }

    #[rstest]
    #[case::good(0.7, 0.9, 0.95, None)]
    #[case::as_good_as_yesterday(0.7, 1.0, 0.95, None)]
    #[case::no_better_than_last(0.97, 0.5, 0.95, Some(StanceReason::NoBetterThanNaive))]
    #[case::worse_than_yesterday(0.7, 1.2, 0.95, Some(StanceReason::NoBetterThanNaive))]
    #[case::overconfident(0.7, 0.9, 0.80, Some(StanceReason::PoorCoverage))]
    fn trust_must_be_earned(
        #[case] versus_last: f64,
        #[case] versus_yesterday: f64,
        #[case] coverage: f64,
        #[case] expected: Option<StanceReason>,
    ) {
        let standing = Standing { versus_last, versus_yesterday, coverage, level: 0.95 };
        assert_eq!(fault(&standing, false), expected);
    }

    #[test]
    fn trust_once_earned_is_lost_only_when_the_forecast_is_no_better_at_all() {
        let standing = Standing { versus_last: 0.98, versus_yesterday: 0.9, coverage: 0.95, level: 0.95 };
        assert!(fault(&standing, false).is_some());
        assert!(fault(&standing, true).is_none());
    }
}
