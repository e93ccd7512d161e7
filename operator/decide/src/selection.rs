//! Which strategy sizes a workload: the one that a simulation of the workload's own past ([`crate::Shadow`]) proves, or,
//! before there is a proof, whether the forecast has been accurate enough to raise replicas at all. What was selected
//! stays selected until something better is proved: a restart, a gap or missing scores are no reason to leave it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use std::time::Duration;

use crate::policy::{ForecastUse, Policy};
use crate::strategy::{Selected, Strategy, StrategyReason};
use crate::tally::{Score, Simulated};

/// Scores over fewer days than this don't choose: a day is the season that most loads have.
const LEAST_DAYS: f64 = 1.0;
/// A strategy counts as keeping its promise where it used at most this share of the error budget in the simulation:
/// history repeats itself only about.
const BUDGET_SHARE: f64 = 0.6;
/// The selected strategy is left for safety where its simulation burns more than this share of the budget.
const BUDGET_LEFT: f64 = 1.25;
/// And for another only where that is better by this share at least.
const LEAST_SAVING: f64 = 0.03;
/// Where no strategy keeps the promise, those within this factor of the safest are safe enough.
const SAFE_ENOUGH: f64 = 1.5;
/// The stabilization window of an HPA without `behavior`.
const HPA_WINDOW: Duration = Duration::from_secs(300);
/// Three minutes a week: below that, luck decides.
const LEAST_VIOLATION: f64 = 0.0003;
/// What a change and a reversal a day are worth, as shares of the replicas, where the HPA at 70 % would make fewer.
const CHANGE: f64 = 0.0001;
const REVERSAL: f64 = 0.008;
const MOST_RESTLESS: f64 = 0.5;
/// A promise is strict where it is broken in at most this share of time.
const STRICT: f64 = 0.01;
/// The powers of strictness by which calm, and safety beyond the promise, are worth less where it is laxer.
const CALM_FADES: i32 = 3;
const SAFETY_FADES: f64 = 0.25;
/// One per cent beyond the limit has to bring three per cent of worth: one for itself and two for this. The laxer the promise,
/// the more: who accepts to be short pays little for safety.
const DEARER: f64 = 2.0;
/// Better than naive means at least this much better, and stays so until it isn't better at all.
const BETTER: f64 = 0.95;
const NO_BETTER: f64 = 1.0;

/// What a strategy was selected on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    /// The selected strategy's own score.
    pub score: Score,
    /// Mean replicas that the HPA at 70 % took in the same simulation, where it is one of the strategies.
    pub usual_replicas: Option<f64>,
    /// Its share of time with too few ready replicas.
    pub usual_violation: Option<f64>,
    /// Until when the past was simulated.
    pub until: Timestamp,
}

/// How a forecast has been doing at the lead time, by the forecaster's own record.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ForecastAccuracy {
    /// Error divided by that of "the last value again"; below 1 is better.
    pub versus_last: f64,
    /// The same against "as yesterday at this time".
    pub versus_yesterday: f64,
    /// Share of measurements below the quantile they should be below with probability `level`.
    pub coverage: f64,
    /// That level.
    pub level: f64,
}

/// What is selected, since when, and on which evidence.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Selection {
    /// What sizes the workload; `None` before the first decision.
    pub selected: Option<Selected>,
    /// Since when that strategy sizes the workload; `None` before the first decision.
    pub since: Option<Timestamp>,
    /// What it was selected on; `None` before the first simulation.
    pub evidence: Option<Evidence>,
}

impl Selection {
    /// Takes in what a simulation of the past until `until` found. Too few days choose nothing.
    pub fn prove(&mut self, policy: &Policy, simulated: &[Simulated], until: Timestamp) {
        let scores: Vec<Score> = simulated.iter().filter_map(Simulated::score).collect();
        let scores: Vec<&Score> = scores.iter().filter(|s| is_sane(s)).collect();
        if scores.is_empty() || policy.forecast == ForecastUse::Off {
            return;
        }
        let proved = self.selected.filter(Selected::by_replay).map(|s| s.strategy);
        let (strategy, reason) = by_score(&scores, 1.0 - policy.protection, proved);
        let Some(score) = scores.iter().find(|s| s.strategy == strategy) else { return };
        let usual = usual(&scores);
        self.evidence = Some(Evidence {
            score: **score,
            usual_replicas: usual.map(|s| s.replicas),
            usual_violation: usual.map(|s| s.violation),
            until,
        });
        self.take(Selected { strategy, reason }, until);
    }

    /// What sizes the workload now. `accuracy` is that of each metric's usable forecast: it counts until there is a
    /// proof.
    pub fn now(
        &mut self,
        policy: &Policy,
        accuracy: impl Iterator<Item = ForecastAccuracy>,
        now: Timestamp,
    ) -> Selected {
        let selected = match self.selected {
            _ if policy.forecast == ForecastUse::Off => {
                Selected { strategy: Strategy::REACTIVE, reason: StrategyReason::ForecastOff }
            }
            Some(selected) if selected.by_replay() => selected,
            before => {
                let trusted_before = before.is_some_and(|s| s.strategy.forecast.is_some());
                by_accuracy(policy, accuracy, trusted_before)
            }
        };
        self.take(selected, now);
        selected
    }

    fn take(&mut self, selected: Selected, now: Timestamp) {
        if self.selected.is_none_or(|before| before.strategy != selected.strategy) {
            self.since = Some(now);
        }
        self.selected = Some(selected);
    }
}

fn is_sane(score: &Score) -> bool {
    let forecast = score.strategy.forecast.is_none_or(|f| {
        f.quantile > 0.0 && f.quantile < 1.0 && f.margin >= 1.0 && (0.0..=1.0).contains(&f.level_correction)
    });
    score.days >= LEAST_DAYS
        && score.replicas.is_finite()
        && (0.0..=1.0).contains(&score.violation)
        && score.strategy.headroom.is_finite()
        && score.strategy.headroom >= 1.0
        && (0.0..=4.0).contains(&score.strategy.trend_weight)
        && (0.0..=0.5).contains(&score.strategy.up_tolerance)
        && (0.0..=0.5).contains(&score.strategy.down_tolerance)
        && forecast
}

/// The HPA at 70 % of what saturates a replica, where 80 % is what it carries within its promise.
pub(crate) const USUAL_HEADROOM: f64 = 80.0 / 70.0;

/// Whether a strategy is the HPA at 70 %.
pub fn is_usual_hpa(strategy: &Strategy) -> bool {
    is_hpa(strategy) && (strategy.headroom - USUAL_HEADROOM).abs() < 0.001
}

fn usual<'a>(scores: &[&'a Score]) -> Option<&'a Score> {
    scores.iter().find(|s| is_usual_hpa(&s.strategy)).copied()
}

/// Picks by simulation. Among the strategies that keep the promise it is the one with the least
///
/// ```text
/// ln(price / hpa(violation)) + DEARER / strictness × max(0, ln(price / limit))
/// ```
///
/// `hpa(violation)` is what an HPA costs whose target was tuned in hindsight to break the promise just as long: where the
/// forecast is good, much more safety costs little, and is taken. `limit` is what the cheapest strategy costs that keeps
/// the promise, or the HPA at 70 %, whichever is more; where the promise is lax, less than the latter. Where none keeps
/// the promise, it is the cheapest of the safest.
fn by_score(scores: &[&Score], budget: f64, selected: Option<Strategy>) -> (Strategy, StrategyReason) {
    let hpa = usual(scores);
    let price = |s: &Score| price(s, hpa, budget);
    let keeps = || scores.iter().filter(|s| s.violation <= budget * BUDGET_SHARE);
    let Some(cheapest) = keeps().map(|s| price(s)).min_by(f64::total_cmp) else {
        let lowest = scores.iter().map(|s| s.violation).fold(1.0, f64::min);
        let safe = scores.iter().filter(|s| s.violation <= lowest * SAFE_ENOUGH);
        let best = safe.min_by(|a, b| price(a).total_cmp(&price(b)));
        return (best.map_or(Strategy::REACTIVE, |s| s.strategy), StrategyReason::SafestOnReplay);
    };
    let tuned = Tuned::of(scores);
    let usual = hpa.map_or(0.0, |s| s.replicas);
    let just = tuned.at(budget * BUDGET_SHARE).unwrap_or(usual).min(usual);
    let limit = cheapest.max(just + (usual - just) * strictness(budget).powf(SAFETY_FADES));
    let aim = |s: &Score| {
        let worth = (price(s) / tuned.at(s.violation).unwrap_or(1.0)).ln();
        worth + DEARER / strictness(budget) * (price(s) / limit).ln().max(0.0)
    };
    let best = keeps().min_by(|a, b| aim(a).total_cmp(&aim(b)));
    let current = scores.iter().find(|s| selected == Some(s.strategy));
    let stays = |current: &&&Score| {
        current.violation <= budget * BUDGET_LEFT && best.is_none_or(|b| aim(current) < aim(b) + LEAST_SAVING)
    };
    let taken = current.filter(stays).or(best).map_or(Strategy::REACTIVE, |s| s.strategy);
    (taken, StrategyReason::SelectedByReplay)
}

/// What an HPA could do.
fn is_hpa(strategy: &Strategy) -> bool {
    strategy.forecast.is_none() && strategy.down_stabilization <= HPA_WINDOW && strategy.trend_weight <= 0.0
}

/// What a strategy costs: its replicas, and something for being more restless than the HPA at 70 %, since every change
/// moves connections and caches, and one that is taken back at once moves them for nothing. Who accepts to be short now
/// and then has little of that: calm is worth less the laxer the promise.
fn price(score: &Score, usual: Option<&Score>, budget: f64) -> f64 {
    let (changes, reversals) = usual.map_or((0.0, 0.0), |hpa| (hpa.changes, hpa.reversals));
    let restless =
        CHANGE * (score.changes - changes).max(0.0) + REVERSAL * (score.reversals - reversals).max(0.0);
    score.replicas * (1.0 + restless.min(MOST_RESTLESS) * strictness(budget).powi(CALM_FADES))
}

/// 1 for a promise of 99 % and above, and less the laxer it is: a half at 98 %, a tenth at 90 %.
fn strictness(budget: f64) -> f64 {
    (STRICT / budget.max(STRICT)).min(1.0)
}

/// The HPA tuned in hindsight: what reactive strategies with the HPA's own hold cost at which violation.
struct Tuned {
    /// Logarithm of violation, rising, and replicas, falling.
    frontier: Vec<(f64, f64)>,
}

impl Tuned {
    fn of(scores: &[&Score]) -> Self {
        let hpas = scores.iter().filter(|s| is_hpa(&s.strategy));
        let mut points: Vec<(f64, f64)> = hpas.map(|s| (log_violation(s.violation), s.replicas)).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        let mut frontier: Vec<(f64, f64)> = Vec::new();
        for point in points {
            if frontier.last().is_none_or(|last| point.1 < last.1) {
                frontier.push(point);
            }
        }
        Self { frontier }
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

/// Before a proof: whether any metric's forecast beats the naive ones.
fn by_accuracy(
    policy: &Policy,
    accuracy: impl Iterator<Item = ForecastAccuracy>,
    trusted_before: bool,
) -> Selected {
    let mut reason = StrategyReason::InsufficientHistory;
    for accuracy in accuracy {
        match fault(&accuracy, trusted_before) {
            None => {
                let strategy = Strategy::at_quantile(policy.protection);
                return Selected { strategy, reason: StrategyReason::Accurate };
            }
            Some(found) => reason = found,
        }
    }
    Selected { strategy: Strategy::REACTIVE, reason }
}

/// What speaks against a forecast with this record.
fn fault(accuracy: &ForecastAccuracy, trusted_before: bool) -> Option<StrategyReason> {
    let bar = if trusted_before { NO_BETTER } else { BETTER };
    // Yesterday is a forecast too: being as good as it is no fault, being worse is.
    let beats_naive = accuracy.versus_last <= bar && accuracy.versus_yesterday <= bar + 0.1;
    if !beats_naive {
        return Some(StrategyReason::NoBetterThanNaive);
    }
    let (missed, promised) = (1.0 - accuracy.coverage, 1.0 - accuracy.level);
    (missed > 2.0 * promised + 0.05).then_some(StrategyReason::PoorCoverage)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::strategy::ForecastParams;
    use crate::tally::Tally;

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_second(hour * 3_600).unwrap()
    }

    fn score(headroom: f64, level: Option<f64>, violation: f64, replicas: f64) -> Score {
        let forecast = level.map(|quantile| ForecastParams { quantile, margin: 1.0, level_correction: 0.0 });
        Score {
            strategy: Strategy { headroom, forecast, ..Strategy::REACTIVE },
            violation,
            replicas,
            days: 7.0,
            changes: 0.0,
            reversals: 0.0,
        }
    }

    /// A strategy that came to this score, on as many equal days.
    fn simulated(score: &Score) -> Simulated {
        const TICKS: f64 = 5_760.0;
        let of = |share: f64| (share * TICKS).round() as u32;
        let day = |share: f64| Tally {
            ticks: of(share),
            short: of(score.violation * share),
            replicas: (score.replicas * share * TICKS) as u64,
            changes: score.changes as u32,
            reversals: score.reversals as u32,
        };
        let days = (0..score.days as u32).map(|_| day(1.0)).collect::<Vec<_>>();
        let part = (score.days.fract() > 0.0).then(|| day(score.days.fract()));
        Simulated { strategy: score.strategy, days: days.into_iter().chain(part).collect() }
    }

    /// What is selected after these scores, and what was before.
    fn after(policy: &Policy, scores: &[Score], before: &Selection, at: Timestamp) -> Selection {
        let mut selection = before.clone();
        selection.prove(policy, &scores.iter().map(simulated).collect::<Vec<_>>(), at);
        selection
    }

    fn strategy(selection: &Selection) -> Option<Strategy> {
        selection.selected.map(|s| s.strategy)
    }

    #[test]
    fn the_cheapest_strategy_that_keeps_the_promise_is_taken() {
        let policy = Policy::simple(1, 10, 100.0);
        let scores = vec![
            score(1.0, None, 0.05, 10.0),
            score(1.4, None, 0.002, 14.0),
            score(1.0, Some(0.9), 0.004, 11.0),
            score(1.0, Some(0.5), 0.02, 9.0),
        ];
        let selection = after(&policy, &scores, &Selection::default(), at(0));
        assert_eq!(strategy(&selection).and_then(|s| s.forecast).map(|f| f.quantile), Some(0.9));
        assert_eq!(selection.selected.map(|s| s.reason), Some(StrategyReason::SelectedByReplay));
    }

    #[test]
    fn a_strict_promise_pays_for_calm_and_a_lax_one_for_replicas() {
        let restless = Score { changes: 300.0, reversals: 40.0, ..score(1.1, Some(0.5), 0.002, 10.0) };
        let scores = vec![score(USUAL_HEADROOM, None, 0.003, 15.0), score(1.5, None, 0.001, 12.0), restless];
        let taken = |protection: f64| {
            let policy = Policy { protection, ..Policy::simple(1, 10, 100.0) };
            strategy(&after(&policy, &scores, &Selection::default(), at(0))).map(|s| s.headroom)
        };
        assert_eq!((taken(0.99), taken(0.97)), (Some(1.5), Some(1.1)));
    }

    #[test]
    fn a_lax_promise_is_not_overfulfilled_at_the_price_of_the_usual_hpa() {
        // The HPA at 70 % breaks the promise for 0.2 % of the time, one that just keeps it costs a fifth less.
        let scores = vec![
            score(USUAL_HEADROOM, None, 0.002, 10.0),
            score(1.0, None, 0.2, 8.0),
            score(1.0, Some(0.99), 0.0005, 9.0),
            score(1.0, Some(0.5), 0.1, 7.8),
        ];
        let taken = |protection: f64| {
            let policy = Policy { protection, ..Policy::simple(1, 10, 100.0) };
            let selection = after(&policy, &scores, &Selection::default(), at(0));
            strategy(&selection).and_then(|s| s.forecast).map(|f| f.quantile)
        };
        assert_eq!((taken(0.99), taken(0.6)), (Some(0.99), Some(0.5)));
    }

    #[test]
    fn what_is_selected_stays_until_something_better_is_proved() {
        let policy = Policy::simple(1, 10, 100.0);
        let dear = [score(1.4, None, 0.002, 14.0), score(1.0, Some(0.9), 0.05, 11.0)];
        let first = after(&policy, &dear, &Selection::default(), at(0));
        assert_eq!(strategy(&first).map(|s| s.headroom), Some(1.4));
        for too_little in [vec![], vec![Score { days: 0.5, ..score(1.0, None, 0.0, 1.0) }]] {
            assert_eq!(after(&policy, &too_little, &first, at(1)), first);
        }
        let mut later = first.clone();
        assert_eq!(later.now(&policy, std::iter::empty(), at(2)).strategy, strategy(&first).unwrap());
        assert_eq!(later.since, first.since);
        let cheap = [score(1.4, None, 0.002, 14.0), score(1.0, Some(0.9), 0.001, 11.0)];
        let second = after(&policy, &cheap, &first, at(24));
        assert_eq!(strategy(&second).map(|s| s.headroom), Some(1.0));
        assert_eq!((second.since, second.evidence.map(|e| e.score.replicas)), (Some(at(24)), Some(11.0)));
        let broken = [score(1.4, None, 0.02, 14.0), score(1.0, Some(0.9), 0.05, 11.0)];
        let back = after(&policy, &broken, &second, at(48));
        assert_eq!(back.selected.map(|s| s.reason), Some(StrategyReason::SafestOnReplay));
        assert_eq!(strategy(&back).map(|s| s.headroom), Some(1.4));
    }

    #[test]
    fn less_than_three_per_cent_isnt_worth_a_change() {
        let policy = Policy::simple(1, 10, 100.0);
        let selected = Selected {
            strategy: Strategy { headroom: 1.4, ..Strategy::REACTIVE },
            reason: StrategyReason::SelectedByReplay,
        };
        let before = Selection { selected: Some(selected), since: Some(at(0)), evidence: None };
        // With the HPA at 70 % beside them, both are within what is usually paid.
        let usual = score(USUAL_HEADROOM, None, 0.5, 20.0);
        let close = [score(1.4, None, 0.002, 14.0), score(1.0, Some(0.9), 0.001, 13.7), usual];
        assert_eq!(after(&policy, &close, &before, at(99)).selected, before.selected);
    }

    #[test]
    fn forecasts_that_are_switched_off_size_nothing_even_after_a_proof() {
        let on = Policy::simple(1, 10, 100.0);
        let mut selection = after(&on, &[score(1.0, Some(0.9), 0.001, 11.0)], &Selection::default(), at(0));
        let off = Policy { forecast: ForecastUse::Off, ..on };
        let now = selection.now(&off, std::iter::empty(), at(1));
        assert_eq!((now.strategy, now.reason), (Strategy::REACTIVE, StrategyReason::ForecastOff));
    }

    #[rstest]
    #[case::good(0.7, 0.9, 0.95, None)]
    #[case::as_good_as_yesterday(0.7, 1.0, 0.95, None)]
    #[case::no_better_than_last(0.97, 0.5, 0.95, Some(StrategyReason::NoBetterThanNaive))]
    #[case::worse_than_yesterday(0.7, 1.2, 0.95, Some(StrategyReason::NoBetterThanNaive))]
    #[case::overconfident(0.7, 0.9, 0.80, Some(StrategyReason::PoorCoverage))]
    fn trust_must_be_earned(
        #[case] versus_last: f64,
        #[case] versus_yesterday: f64,
        #[case] coverage: f64,
        #[case] expected: Option<StrategyReason>,
    ) {
        let accuracy = ForecastAccuracy { versus_last, versus_yesterday, coverage, level: 0.95 };
        assert_eq!(fault(&accuracy, false), expected);
    }

    #[test]
    fn trust_once_earned_is_lost_only_when_the_forecast_is_no_better_at_all() {
        let accuracy =
            ForecastAccuracy { versus_last: 0.98, versus_yesterday: 0.9, coverage: 0.95, level: 0.95 };
        assert!(fault(&accuracy, false).is_some());
        assert!(fault(&accuracy, true).is_none());
    }
}
