//! A rehearsal of every stance on a workload's own past, carried along live: each stance owns a small imagined workload
//! that is scaled as the stance would, with pods that start late, and is billed and blamed for it. What comes in are
//! the measurements and forecasts as they came, 15 s after 15 s; what goes out are [`Score`]s a decision can choose a
//! stance by. No history has to be kept for it, and nothing can be peeked at.
//!
//! One tick of the whole portfolio takes a few microseconds; the state is a few hundred bytes a stance and a day.

use std::collections::VecDeque;
use std::time::Duration;

use decide::{Foresight, Score, Stance};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use series::{Forecast, time};

/// Ticks of 15 seconds that a measurement lags behind: a rate over a minute is that of half a minute ago.
const LAG_TICKS: usize = 2;
/// Raw answers are held for five minutes before a way down, by an HPA and by us.
const HOLD: Duration = Duration::from_secs(300);
/// Without a trusted forecast, half of what ran within this time stays.
const PEAK: Duration = Duration::from_secs(1_800);
/// How many days a score looks back.
const DAYS: usize = 7;
const TICKS_PER_DAY: u32 = 5_760;
const KEEP_LEVEL: f64 = 0.9;

/// What a rehearsal needs to know of a workload.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// What one replica carries within its promise, in the unit of the load.
    pub per_replica: f64,
    /// Bounds of replicas.
    pub min_replicas: u32,
    /// Bounds of replicas.
    pub max_replicas: u32,
    /// How far ahead replicas are ordered.
    pub lead: Duration,
    /// How long a pod takes to serve.
    pub startup: Duration,
    /// How far ahead replicas are kept.
    pub keep: Duration,
}

/// The portfolio, rehearsed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Rehearsal {
    actors: Vec<Actor>,
    ticks: u64,
}

/// One stance and its imagined workload.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Actor {
    stance: Stance,
    spec: u32,
    ready: u32,
    starting: VecDeque<(Timestamp, u32)>,
    /// The largest raw answer of the hold.
    held: Highest,
    /// The most replicas of the last half hour.
    peak: Highest,
    /// Ready replicas of the last ticks, newest last.
    before: VecDeque<u32>,
    allowance: f64,
    days: VecDeque<Day>,
}

/// What a day brought.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Day {
    ticks: u32,
    violated: u32,
    replicas: u64,
}

/// The stances worth trying: an HPA's from 45 % to 100 % of what a replica carries, and the forecast at several
/// quantiles with little or more headroom on the load of now; each with shorter and longer holds.
pub fn portfolio() -> Vec<Stance> {
    let mut stances = Vec::new();
    let minutes = |m: u64| Duration::from_secs(m * 60);
    for headroom in [1.0, 1.04, 1.08, 1.12, 1.17, 1.23, 1.3, 1.4, 1.5, 1.65, 1.8, 2.0] {
        for hold in [10, 20, 40] {
            stances.push(Stance { headroom, foresight: None, hold: minutes(hold) });
        }
    }
    for level in [0.5, 0.8, 0.95, 0.99] {
        for margin in [1.0, 1.05, 1.12, 1.25] {
            for headroom in [1.0, 1.08, 1.2] {
                for hold in [10, 25] {
                    let foresight = Some(Foresight { level, margin });
                    stances.push(Stance { headroom, foresight, hold: minutes(hold) });
                }
            }
        }
    }
    stances
}

impl Rehearsal {
    /// A rehearsal of `stances` that has seen nothing yet.
    pub fn new(stances: Vec<Stance>) -> Self {
        Self { actors: stances.into_iter().map(Actor::new).collect(), ticks: 0 }
    }

    /// Takes in one tick: the load as measured (`None` where nothing fresh was), and the forecast as issued.
    pub fn tick(&mut self, now: Timestamp, load: Option<f64>, forecast: Option<&Forecast>, stage: &Stage) {
        self.ticks += 1;
        let mut ahead = Ahead::new(now, forecast, stage);
        for actor in &mut self.actors {
            actor.tick(now, load, &mut ahead, stage);
        }
    }

    /// What each stance cost and missed over the days looked back at. Empty until a quarter of a day has passed.
    pub fn scores(&self) -> Vec<Score> {
        if self.ticks < u64::from(TICKS_PER_DAY / 4) {
            return Vec::new();
        }
        self.actors.iter().filter_map(Actor::score).collect()
    }
}

/// Quantiles of the load ahead, each looked up once a tick.
struct Ahead<'a> {
    now: Timestamp,
    forecast: Option<&'a Forecast>,
    lead: Timestamp,
    keep: Timestamp,
    seen: Vec<(f64, f64, f64)>,
}

impl<'a> Ahead<'a> {
    fn new(now: Timestamp, forecast: Option<&'a Forecast>, stage: &Stage) -> Self {
        Self {
            now,
            forecast,
            lead: time::after(now, stage.lead),
            keep: time::after(now, stage.keep),
            seen: Vec::new(),
        }
    }

    /// The largest load up to the lead at `level`, and up to the keep at that level or the ninth decile.
    fn at(&mut self, level: f64) -> Option<(f64, f64)> {
        if let Some((_, lead, keep)) = self.seen.iter().find(|s| s.0 == level) {
            return Some((*lead, *keep));
        }
        let forecast = self.forecast?;
        let lead = forecast.max_between(self.now, self.lead, level)?;
        let keep = forecast.max_between(self.now, self.keep, level.min(KEEP_LEVEL))?;
        self.seen.push((level, lead, keep));
        Some((lead, keep))
    }
}

impl Actor {
    fn new(stance: Stance) -> Self {
        Self {
            stance,
            spec: 0,
            ready: 0,
            starting: VecDeque::new(),
            held: Highest::default(),
            peak: Highest::default(),
            before: VecDeque::new(),
            allowance: 0.0,
            days: VecDeque::new(),
        }
    }

    fn tick(&mut self, now: Timestamp, load: Option<f64>, ahead: &mut Ahead<'_>, stage: &Stage) {
        let need = |load: f64| ((load / stage.per_replica - 1e-9).ceil().max(0.0)) as u32;
        let foreseen =
            self.stance.foresight.and_then(|f| ahead.at(f.level).map(|(l, k)| (l * f.margin, k * f.margin)));
        let reactive = load.map_or(0, |load| need(load * self.stance.headroom));
        let raw = reactive.max(foreseen.map_or(0, |f| need(f.0)));
        let keep = foreseen.map_or(0, |f| need(f.1));
        let raw = raw.clamp(stage.min_replicas, stage.max_replicas);
        if self.spec == 0 {
            (self.spec, self.ready) = (raw.max(1), raw.max(1));
        }
        self.start(now);
        self.blame(load, stage);
        let held = self.held.note(now, self.stance.hold.max(HOLD), raw);
        let peak = self.peak.note(now, PEAK, self.spec);
        let half = if foreseen.is_some() { 0 } else { peak.div_ceil(2) };
        if raw > self.spec {
            self.starting.push_back((time::after(now, stage.startup), raw - self.spec));
            self.spec = raw;
        } else if load.is_some() {
            let pace = if foreseen.is_some() { 0.3 } else { 0.1 };
            self.lower(held.max(keep.min(stage.max_replicas)).max(half), pace);
        }
    }

    /// Pods whose time has come serve.
    fn start(&mut self, now: Timestamp) {
        while let Some((at, n)) = self.starting.front().copied() {
            if at > now {
                break;
            }
            self.ready += n;
            self.starting.pop_front();
        }
        self.before.push_back(self.ready);
        if self.before.len() > LAG_TICKS + 1 {
            self.before.pop_front();
        }
    }

    /// Bills the tick, and blames it where the load of `LAG_TICKS` ago was more than the replicas of then carry.
    fn blame(&mut self, load: Option<f64>, stage: &Stage) {
        if self.days.back().is_none_or(|d| d.ticks >= TICKS_PER_DAY) {
            self.days.push_back(Day::default());
            if self.days.len() > DAYS + 1 {
                self.days.pop_front();
            }
        }
        let Some(day) = self.days.back_mut() else { return };
        let Some(load) = load else { return };
        day.ticks += 1;
        day.replicas += u64::from(self.spec);
        let carried = self.before.front().map_or(0.0, |n| f64::from(*n) * stage.per_replica);
        day.violated += u32::from(load > carried);
    }

    /// Down to `target`, past a dead band and at most the share `pace` a minute, as a decision would.
    fn lower(&mut self, target: u32, pace: f64) {
        let band = if self.spec <= 20 { 1 } else { (f64::from(self.spec) * 0.05).ceil() as u32 };
        if target + band > self.spec {
            self.allowance = self.allowance.min(1.0);
            return;
        }
        self.allowance = (self.allowance + (f64::from(self.spec) * 0.1).max(1.0) / 4.0)
            .min(f64::from(self.spec) * 0.1 + 1.0);
        let step = (self.allowance as u32).min(self.spec - target);
        if step == 0 {
            return;
        }
        self.allowance -= f64::from(step);
        let mut left = step;
        while left > 0
            && let Some((_, n)) = self.starting.back_mut()
        {
            let cut = left.min(*n);
            *n -= cut;
            left -= cut;
            if *n == 0 {
                self.starting.pop_back();
            }
        }
        self.ready -= left.min(self.ready);
        self.spec -= step;
    }

    fn score(&self) -> Option<Score> {
        let sum = self.days.iter().fold(Day::default(), |sum, d| Day {
            ticks: sum.ticks + d.ticks,
            violated: sum.violated + d.violated,
            replicas: sum.replicas + d.replicas,
        });
        (sum.ticks > 0).then(|| Score {
            stance: self.stance,
            violation: f64::from(sum.violated) / f64::from(sum.ticks),
            replicas: sum.replicas as f64 / f64::from(sum.ticks),
            hours: f64::from(sum.ticks) / 240.0,
        })
    }
}

/// The largest of what was noted within a time: a falling sequence of (until, value).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Highest(VecDeque<(Timestamp, u32)>);

impl Highest {
    fn note(&mut self, now: Timestamp, within: Duration, value: u32) -> u32 {
        while self.0.back().is_some_and(|h| h.1 <= value) {
            self.0.pop_back();
        }
        self.0.push_back((time::after(now, within), value));
        while self.0.front().is_some_and(|h| h.0 < now) {
            self.0.pop_front();
        }
        self.0.front().map_or(value, |h| h.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage() -> Stage {
        Stage {
            per_replica: 80.0,
            min_replicas: 1,
            max_replicas: 1_000,
            lead: Duration::from_secs(120),
            startup: Duration::from_secs(60),
            keep: Duration::from_secs(360),
        }
    }

    fn at(tick: u64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + tick as i64 * 15).unwrap()
    }

    /// Two days of a load that climbs steeply each hour, with a forecast that knows it or doesn't.
    fn rehearse(stances: Vec<Stance>, knows: bool) -> Vec<Score> {
        let load = |tick: u64| if tick % 240 < 60 { 4_000.0 } else { 1_600.0 };
        let mut rehearsal = Rehearsal::new(stances);
        for tick in 0..2 * u64::from(TICKS_PER_DAY) {
            let rows = (0..20).map(|h| vec![load(tick + h * 4), load(tick + h * 4)]).collect();
            let forecast =
                Forecast::new(at(tick), Duration::from_secs(60), vec![0.5, 0.99], rows, "known").unwrap();
            rehearsal.tick(
                at(tick),
                Some(load(tick.saturating_sub(2))),
                knows.then_some(&forecast),
                &stage(),
            );
        }
        rehearsal.scores()
    }

    fn foresight(level: f64) -> Stance {
        Stance { foresight: Some(Foresight { level, margin: 1.05 }), ..Stance::REACTIVE }
    }

    #[test]
    fn foresight_keeps_a_promise_that_headroom_breaks() {
        let scores = rehearse(vec![Stance { headroom: 1.3, ..Stance::REACTIVE }, foresight(0.5)], true);
        assert!(scores[0].violation > 0.01, "{scores:?}");
        assert!(scores[1].violation < 0.001, "{scores:?}");
        assert!(scores[1].replicas < scores[0].replicas, "{scores:?}");
    }

    #[test]
    fn without_a_forecast_foresight_is_the_same_as_none() {
        let scores = rehearse(vec![Stance::REACTIVE, foresight(0.5)], false);
        assert_eq!(scores[0].violation, scores[1].violation);
        assert_eq!(scores[0].replicas, scores[1].replicas);
    }

    #[test]
    fn more_headroom_costs_more() {
        let stances = [1.0, 1.5, 2.0].map(|headroom| Stance { headroom, ..Stance::REACTIVE }).to_vec();
        let scores = rehearse(stances, false);
        assert!(scores[0].replicas < scores[1].replicas && scores[1].replicas < scores[2].replicas);
    }

    #[test]
    fn nothing_is_scored_before_a_quarter_of_a_day() {
        let mut rehearsal = Rehearsal::new(portfolio());
        for tick in 0..100 {
            rehearsal.tick(at(tick), Some(100.0), None, &stage());
        }
        assert!(rehearsal.scores().is_empty());
    }
}
