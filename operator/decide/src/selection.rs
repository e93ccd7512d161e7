//! Which strategy sizes a workload: the one that a simulation of the workload's own past ([`crate::Shadow`]) proves. Before
//! there is a proof, the workload is sized as by the usual HPA. What was selected stays selected until something better is
//! proved: a restart, a gap or missing scores are no reason to leave it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::interval::{Range, cost_to_come, violation_to_come};
use crate::policy::{ForecastUse, Policy, Protection};
use crate::strategy::{Selected, Strategy, StrategyReason};
use crate::tally::{Score, Simulated};

/// How many days to come an interval is told for.
const WEEK: f64 = 7.0;
/// Scores over fewer days than this don't choose: a day is the season that most loads have.
const LEAST_DAYS: f64 = 1.0;
/// The selected strategy is left for safety where its simulation burns more than this share of the budget.
const BUDGET_LEFT: f64 = 1.25;
/// Where no strategy keeps the promise, those within this factor of the safest are safe enough.
const SAFE_ENOUGH: f64 = 1.5;
/// Three minutes a week: below that, luck decides.
const LEAST_VIOLATION: f64 = 0.0003;
/// What a change a day is worth, as a share of the replicas, where the usual HPA would make fewer.
const CHANGE: f64 = 0.0001;
const MOST_RESTLESS: f64 = 0.5;
/// A promise is strict where it is broken in at most this share of time.
const STRICT: f64 = 0.01;
/// The powers of strictness by which calm, and safety beyond the promise, are worth less where it is laxer.
const CALM_FADES: i32 = 3;
const SAFETY_FADES: f64 = 0.25;
/// The promise where the cost of the usual HPA is asked for and there is none to compare with: only queues decide.
const UNPRICED: f64 = 0.99;

/// What selection weighs against each other. The values in force were chosen on recorded series;
/// `lab --folds` shows what such a choice comes to on families that weren't looked at (`docs/guide/backtest.md`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SelectionRule {
    /// A strategy counts as keeping its promise where it used at most this share of the error budget in the simulation:
    /// history repeats itself only about.
    pub budget_share: f64,
    /// One per cent beyond the limit has to bring one per cent of worth for itself, and so many more. The laxer the promise, the
    /// more: who accepts to be short pays little for safety.
    pub dearer: f64,
    /// What a reversal a day is worth, as a share of the replicas, where the usual HPA would make fewer.
    pub reversal: f64,
    /// Where the cost is given, one per cent less of it is worth as much as so many per cent less time with too few replicas. It
    /// weighs calm against safety: at 0 replicas change twice as often as under an HPA, at 20 little of the safety is left.
    pub saving: f64,
    /// Another strategy is taken where it is better by this much at least, in the logarithm of replicas; where the cost is
    /// given, in that of the time with too few.
    pub least_gain: (f64, f64),
}

impl Default for SelectionRule {
    fn default() -> Self {
        Self { budget_share: 0.6, dearer: 2.0, reversal: 0.008, saving: 2.0, least_gain: (0.03, 0.1) }
    }
}

/// What a strategy was selected on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    /// The selected strategy's own score.
    pub score: Score,
    /// Mean replicas that the usual HPA took in the same simulation, where it is one of the strategies.
    pub usual_replicas: Option<f64>,
    /// The usual HPA's share of time with too few ready replicas.
    pub usual_violation: Option<f64>,
    /// Between what and what the selected strategy's share of time with too few ready replicas is to be expected over a week to
    /// come, in nine cases of ten; `None` for fewer than two days.
    #[serde(default)]
    pub violation_to_come: Option<Range>,
    /// The same of its mean replicas over the usual HPA's.
    #[serde(default)]
    pub cost_to_come: Option<Range>,
    /// Until when the past was simulated.
    pub until: Timestamp,
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
        self.prove_by(&SelectionRule::default(), policy, simulated, until);
    }

    /// The same by another rule, to find out what a rule is worth.
    pub fn prove_by(
        &mut self,
        rule: &SelectionRule,
        policy: &Policy,
        simulated: &[Simulated],
        until: Timestamp,
    ) {
        let mut all: Vec<Score> = Vec::with_capacity(simulated.len());
        all.extend(simulated.iter().filter_map(Simulated::score).filter(is_sane));
        let scores: Vec<&Score> = all.iter().collect();
        if scores.is_empty() || policy.forecast == ForecastUse::Off {
            return;
        }
        let proved = self.selected.filter(Selected::by_replay).map(|s| s.strategy);
        let usual = usual(policy, &scores);
        let (strategy, reason) = match (policy.protection, usual) {
            (Protection::SameCost, Some(usual)) => {
                (at_same_cost(rule, &scores, usual, proved), StrategyReason::SelectedByReplay)
            }
            (Protection::SameCost, None) => keeping(rule, &scores, usual, 1.0 - UNPRICED, proved),
            (Protection::Share(share), _) => keeping(rule, &scores, usual, 1.0 - share, proved),
        };
        let Some(score) = scores.iter().find(|s| s.strategy == strategy) else { return };
        let days = |of: &Strategy| by_day(simulated, of);
        let own = days(&strategy);
        let violations: Vec<f64> = own.iter().map(|day| day.violation).collect();
        let usual_days = usual.map_or_else(Vec::new, |usual| days(&usual.strategy));
        let costs: Vec<f64> = own.iter().zip(&usual_days).map(|(a, b)| a.replicas / b.replicas).collect();
        self.evidence = Some(Evidence {
            score: **score,
            usual_replicas: usual.map(|s| s.replicas),
            usual_violation: usual.map(|s| s.violation),
            violation_to_come: violation_to_come(&violations, WEEK),
            cost_to_come: cost_to_come(&costs, WEEK),
            until,
        });
        self.take(Selected { strategy, reason }, until);
    }

    /// What sizes the workload now.
    pub fn now(&mut self, policy: &Policy, now: Timestamp) -> Selected {
        let off = policy.forecast == ForecastUse::Off;
        let selected = match self.selected {
            Some(selected) if selected.by_replay() && !off => selected,
            _ => {
                let reason =
                    if off { StrategyReason::ForecastOff } else { StrategyReason::InsufficientHistory };
                // Window and tolerance are those of the policy's own `behavior`.
                let headroom = policy.usual_headroom();
                Selected { strategy: Strategy { headroom, ..Strategy::REACTIVE }, reason }
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

/// What a strategy came to, day by day.
fn by_day(simulated: &[Simulated], strategy: &Strategy) -> Vec<Score> {
    let days = simulated.iter().find(|s| s.strategy == *strategy).map_or(&[][..], |s| &s.days);
    days.iter().filter_map(|day| day.score(*strategy)).collect()
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
        && score.strategy.growth.is_none_or(|growth| growth.is_finite() && growth > 1.0)
        && forecast
}

/// Whether a strategy is what the usual HPA does under a policy: the one that keeps [spare](crate::MetricPolicy::spare)
/// what the policy's metrics keep.
pub fn is_usual_hpa(policy: &Policy, strategy: &Strategy) -> bool {
    let Strategy { headroom, growth, .. } = *strategy;
    let usual = Strategy::usual_hpa(policy, policy.usual_headroom());
    let near = |a: f64, b: f64| (a - b).abs() < 1e-6;
    near(headroom, usual.headroom)
        && growth.is_some() == usual.growth.is_some()
        && growth.zip(usual.growth).is_none_or(|(a, b)| near(a, b))
        && *strategy == Strategy { headroom, growth, ..usual }
}

fn usual<'a>(policy: &Policy, scores: &[&'a Score]) -> Option<&'a Score> {
    scores.iter().find(|s| is_usual_hpa(policy, &s.strategy)).copied()
}

/// Picks by simulation where the cost is given: of the strategies that took no more replicas than the `usual` HPA and were short
/// no longer, the one with the least
///
/// ```text
/// ln(violation) + saving × ln(price)
/// ```
///
/// The usual HPA is one of them: nothing is taken that wasn't at least as good.
fn at_same_cost(
    rule: &SelectionRule,
    scores: &[&Score],
    usual: &Score,
    selected: Option<Strategy>,
) -> Strategy {
    let price = |s: &Score| price(rule, s, Some(usual), STRICT);
    let aim = |s: &Score| log_violation(s.violation) + rule.saving * price(s).ln();
    let short = usual.violation.max(LEAST_VIOLATION);
    let affordable = || scores.iter().filter(|s| s.replicas <= usual.replicas && s.violation <= short);
    let best = affordable().min_by(|a, b| aim(a).total_cmp(&aim(b)));
    let current = affordable().find(|s| selected == Some(s.strategy));
    let stays = |current: &&&Score| best.is_none_or(|b| aim(current) < aim(b) + rule.least_gain.1);
    current.filter(stays).or(best).map_or(usual.strategy, |s| s.strategy)
}

/// Picks by simulation. Among the strategies that keep the promise it is the one with the least
///
/// ```text
/// ln(price / hpa(violation)) + dearer / strictness × max(0, ln(price / limit))
/// ```
///
/// `hpa(violation)` is what an HPA costs whose target was tuned in hindsight to break the promise just as long: where the
/// forecast is good, much more safety costs little, and is taken. `limit` is what the cheapest strategy costs that keeps
/// the promise, or the usual HPA, whichever is more; where the promise is lax, less than the latter. Where none keeps
/// the promise, it is the cheapest of the safest.
fn keeping(
    rule: &SelectionRule,
    scores: &[&Score],
    hpa: Option<&Score>,
    budget: f64,
    selected: Option<Strategy>,
) -> (Strategy, StrategyReason) {
    let price = |s: &Score| price(rule, s, hpa, budget);
    let kept = budget * rule.budget_share;
    let keeps = || scores.iter().filter(|s| s.violation <= kept);
    let Some(cheapest) = keeps().map(|s| price(s)).min_by(f64::total_cmp) else {
        let lowest = scores.iter().map(|s| s.violation).fold(1.0, f64::min);
        let safe = scores.iter().filter(|s| s.violation <= lowest * SAFE_ENOUGH);
        let best = safe.min_by(|a, b| price(a).total_cmp(&price(b)));
        return (best.map_or(Strategy::REACTIVE, |s| s.strategy), StrategyReason::SafestOnReplay);
    };
    let tuned = Tuned::of(scores);
    let usual = hpa.map_or(0.0, |s| s.replicas);
    let just = tuned.at(kept).unwrap_or(usual).min(usual);
    let limit = cheapest.max(just + (usual - just) * strictness(budget).powf(SAFETY_FADES));
    let aim = |s: &Score| {
        let worth = (price(s) / tuned.at(s.violation).unwrap_or(1.0)).ln();
        worth + rule.dearer / strictness(budget) * (price(s) / limit).ln().max(0.0)
    };
    let best = keeps().min_by(|a, b| aim(a).total_cmp(&aim(b)));
    let current = scores.iter().find(|s| selected == Some(s.strategy));
    let stays = |current: &&&Score| {
        current.violation <= budget * BUDGET_LEFT
            && best.is_none_or(|b| aim(current) < aim(b) + rule.least_gain.0)
    };
    let taken = current.filter(stays).or(best).map_or(Strategy::REACTIVE, |s| s.strategy);
    (taken, StrategyReason::SelectedByReplay)
}

/// What a strategy costs: its replicas, and something for being more restless than the usual HPA, since every change
/// moves connections and caches, and one that is taken back at once moves them for nothing. Who accepts to be short now
/// and then has little of that: calm is worth less the laxer the promise.
fn price(rule: &SelectionRule, score: &Score, usual: Option<&Score>, budget: f64) -> f64 {
    let (changes, reversals) = usual.map_or((0.0, 0.0), |hpa| (hpa.changes, hpa.reversals));
    let restless =
        CHANGE * (score.changes - changes).max(0.0) + rule.reversal * (score.reversals - reversals).max(0.0);
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
        let hpas = scores.iter().filter(|s| s.strategy.is_hpa());
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

    /// What the usual HPA of a policy without spare came to.
    fn usual_hpa(violation: f64, replicas: f64) -> Score {
        Score { strategy: Strategy::hpa(1.0), ..score(1.0, None, violation, replicas) }
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
        let scores = vec![usual_hpa(0.003, 15.0), score(1.5, None, 0.001, 12.0), restless];
        let taken = |share: f64| {
            let policy = Policy { protection: Protection::Share(share), ..Policy::simple(1, 10, 100.0) };
            strategy(&after(&policy, &scores, &Selection::default(), at(0))).map(|s| s.headroom)
        };
        assert_eq!((taken(0.99), taken(0.97)), (Some(1.5), Some(1.1)));
    }

    #[test]
    fn a_lax_promise_is_not_overfulfilled_at_the_price_of_the_usual_hpa() {
        // The usual HPA breaks the promise for 0.2 % of the time, one that just keeps it costs a fifth less.
        let scores = vec![
            usual_hpa(0.002, 10.0),
            score(1.0, None, 0.2, 8.0),
            score(1.0, Some(0.99), 0.0005, 9.0),
            score(1.0, Some(0.5), 0.1, 7.8),
        ];
        let taken = |share: f64| {
            let policy = Policy { protection: Protection::Share(share), ..Policy::simple(1, 10, 100.0) };
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
        assert_eq!(later.now(&policy, at(2)).strategy, strategy(&first).unwrap());
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
        // With the usual HPA beside them, both are within what is usually paid.
        let usual = usual_hpa(0.5, 20.0);
        let close = [score(1.4, None, 0.002, 14.0), score(1.0, Some(0.9), 0.001, 13.7), usual];
        assert_eq!(after(&policy, &close, &before, at(99)).selected, before.selected);
    }

    #[test]
    fn forecasts_that_are_switched_off_size_nothing_even_after_a_proof() {
        let on = Policy::simple(1, 10, 100.0);
        let mut selection = after(&on, &[score(1.0, Some(0.9), 0.001, 11.0)], &Selection::default(), at(0));
        let off = Policy { forecast: ForecastUse::Off, ..on };
        let now = selection.now(&off, at(1));
        assert_eq!((now.strategy, now.reason), (Strategy::REACTIVE, StrategyReason::ForecastOff));
    }

    #[test]
    fn before_a_proof_the_usual_hpa_sizes() {
        let mut policy = Policy::simple(1, 10, 100.0);
        policy.metrics[0].spare = 0.3;
        let now = Selection::default().now(&policy, at(0));
        assert_eq!(now.reason, StrategyReason::InsufficientHistory);
        assert!((now.strategy.headroom - 1.0 / 0.7).abs() < 1e-9 && now.strategy.forecast.is_none());
    }

    /// What is taken at the cost of the usual HPA, which is short for 1 % of the time on 10 replicas.
    #[rstest]
    #[case::safer_for_the_same(&[score(1.0, Some(0.9), 0.004, 10.0)], Some(0.9))]
    #[case::safer_and_dearer(&[score(1.0, Some(0.99), 0.0, 10.1)], None)]
    #[case::cheaper_and_less_safe(&[score(1.0, Some(0.5), 0.02, 9.0)], None)]
    #[case::no_safer_and_cheaper(&[score(1.0, Some(0.5), 0.01, 9.0)], Some(0.5))]
    #[case::the_safest(&[score(1.0, Some(0.8), 0.004, 9.6), score(1.0, Some(0.9), 0.002, 9.9)], Some(0.9))]
    #[case::cheaper_where_nothing_is_short(&[score(1.0, Some(0.8), 0.0002, 9.0), score(1.0, Some(0.9), 0.0, 9.9)], Some(0.8))]
    #[case::restless_and_much_safer(&[Score { changes: 400.0, ..score(1.0, Some(0.9), 0.002, 9.9) }], Some(0.9))]
    #[case::restless_and_hardly_safer(&[Score { changes: 400.0, ..score(1.0, Some(0.9), 0.0097, 9.9) }], None)]
    fn at_the_same_cost_it_is_the_one_that_is_short_least(
        #[case] others: &[Score],
        #[case] quantile: Option<f64>,
    ) {
        let policy = Policy { protection: Protection::SameCost, ..Policy::simple(1, 10, 100.0) };
        let scores = [&[usual_hpa(0.01, 10.0)], others].concat();
        let selection = after(&policy, &scores, &Selection::default(), at(0));
        let taken = strategy(&selection).unwrap();
        assert_eq!(taken.forecast.map(|f| f.quantile), quantile);
    }

    #[test]
    fn at_the_same_cost_what_is_selected_stays_where_another_is_hardly_better() {
        let policy = Policy { protection: Protection::SameCost, ..Policy::simple(1, 10, 100.0) };
        let first = [usual_hpa(0.01, 10.0), score(1.0, Some(0.9), 0.004, 10.0)];
        let before = after(&policy, &first, &Selection::default(), at(0));
        let with = |scores: &[Score]| strategy(&after(&policy, scores, &before, at(24)));
        let close = score(1.0, Some(0.8), 0.0038, 10.0);
        assert_eq!(with(&[first[0], first[1], close]), strategy(&before));
        // What costs more than the usual HPA now goes at once.
        assert_eq!(with(&[first[0], score(1.0, Some(0.9), 0.004, 10.2), close]), Some(close.strategy));
    }
}
