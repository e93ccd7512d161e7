//! A rehearsal of every stance on a workload's own past, carried along live: each stance owns a small imagined workload
//! that is scaled as the stance would, with pods that start late, and is billed and blamed for it. What comes in are
//! the measurements and forecasts as they came, 15 s after 15 s; what goes out are [`Score`]s a decision can choose a
//! stance by. No history has to be kept for it, and nothing can be peeked at.
//!
//! One tick of the whole portfolio takes a few microseconds; the state is half a kilobyte a stance.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use series::{Forecast, Sample, time};

use crate::momentum::Momentum;
use crate::predictive::{moved, peak};
use crate::seconds;
use crate::stance::{Foresight, Score, Stance};

/// Ticks of 15 seconds that a measurement lags behind: a rate over a minute is that of half a minute ago.
const LAG_TICKS: usize = 2;
/// Raw answers are held for five minutes before a way down, by an HPA and by us.
const HOLD: Duration = Duration::from_secs(300);
/// Share of replicas that may go in a minute.
const PACE: f64 = 0.3;
/// How many days a score looks back.
const DAYS: usize = 7;
const TICKS_PER_DAY: u32 = 5_760;
const KEEP_LEVEL: f64 = 0.9;
/// A promise is kept or broken within seconds, and a measurement is the mean of a minute: the load counts as this much
/// higher when it comes to blame.
const TREMBLE: f64 = 0.01;
/// A change in the other direction within this time is a reversal.
const REVERSAL: Duration = Duration::from_secs(600);

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
    #[serde(with = "seconds")]
    pub lead: Duration,
    /// How long a pod takes to serve.
    #[serde(with = "seconds")]
    pub startup: Duration,
    /// How far ahead replicas are kept.
    #[serde(with = "seconds")]
    pub keep: Duration,
}

/// The portfolio, rehearsed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Rehearsal {
    actors: Vec<Actor>,
    ticks: u64,
    /// The first tick. Actors count seconds from it: a quarter of the room, and there are hundreds of them.
    began: Option<Timestamp>,
    momentum: Momentum,
}

/// One stance and its imagined workload.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Actor {
    stance: Stance,
    spec: u32,
    ready: u32,
    /// Pods on their way: in which second they serve, and how many.
    starting: VecDeque<(u32, u32)>,
    /// The largest raw answer of the hold.
    held: Highest,
    /// Ready replicas of the last ticks, newest last.
    before: [u32; LAG_TICKS + 1],
    allowance: f64,
    days: VecDeque<Day>,
    /// The last change: in which second, and whether up.
    changed: Option<(u32, bool)>,
}

/// What a day brought.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Day {
    ticks: u32,
    violated: u32,
    replicas: u64,
    changes: u32,
    reversals: u32,
}

/// The stances worth trying: an HPA's from 37 % to 100 % of what a replica carries, with its tolerance; the load of now
/// with headroom, its climb carried on or not, and with longer holds; the forecast as it is, and moved to the load of
/// now, at several quantiles and margins. Each of ours restless, for whoever counts replicas, and calm.
pub fn portfolio() -> Vec<Stance> {
    let mut stances = without_foresight();
    stances.extend(with_foresight());
    stances.extend(nimble());
    stances
}

fn without_foresight() -> Vec<Stance> {
    let mut stances = Vec::new();
    for headroom in [1.0, 1.04, 1.08, 1.12, 1.17, 1.23, 1.3, 1.4, 1.5, 1.65, 1.8, 2.0, 2.3, 2.7] {
        let hpa = Stance { hold: HOLD, slack: 0.1, band: 0.1, headroom, ..Stance::REACTIVE };
        stances.push(hpa);
        if headroom < 1.25 {
            let climbing = Stance { lean: LEAN, slack: 0.0, ..hpa };
            stances.extend([climbing, Stance { hold: 2 * HOLD, ..climbing }]);
        }
        if CALMER.contains(&headroom) {
            for (hold, lean) in [4 * HOLD, 8 * HOLD].into_iter().flat_map(|h| [(h, 0.0), (h, LEAN)]) {
                stances.push(Stance { hold, lean, band: 0.15, ..hpa });
            }
        }
    }
    stances
}

fn with_foresight() -> Vec<Stance> {
    let mut stances = Vec::new();
    for level in [0.5, 0.8, 0.95, 0.99] {
        for margin in [1.0, 1.05, 1.12, 1.25] {
            let plain = Stance {
                foresight: Some(Foresight { level, margin, follow: 0.0 }),
                hold: 2 * HOLD,
                ..Stance::REACTIVE
            };
            let calm = Stance { slack: 0.1, band: 0.15, ..plain };
            let following = Stance { foresight: Some(Foresight { level, margin, follow: 1.0 }), ..plain };
            for headroom in [1.0, 1.12] {
                let calm = Stance { headroom, ..calm };
                stances.extend([Stance { lean: LEAN, ..calm }, Stance { hold: 4 * HOLD, ..calm }]);
            }
            stances.extend([
                plain,
                Stance { lean: LEAN, band: 0.1, ..plain },
                Stance { hold: 8 * HOLD, ..plain },
                following,
                Stance { hold: 4 * HOLD, slack: 0.1, band: 0.15, ..following },
            ]);
        }
    }
    stances
}

/// Those that are as quick to let go as an HPA: dear in changes, cheap in replicas.
fn nimble() -> Vec<Stance> {
    let quick = Stance { hold: HOLD, ..Stance::REACTIVE };
    let mut stances = Vec::new();
    for headroom in [1.0, 1.04, 1.08, 1.12, 1.17] {
        stances.extend([0.3, LEAN].map(|lean| Stance { headroom, lean, ..quick }));
    }
    for level in [0.5, 0.65, 0.8, 0.9, 0.99] {
        for margin in [1.0, 1.05, 1.12] {
            let foreseeing =
                |follow| Stance { foresight: Some(Foresight { level, margin, follow }), ..quick };
            stances.extend([0.0, 0.5, 1.0].map(foreseeing));
        }
    }
    stances
}

/// Headrooms that are tried with longer holds.
const CALMER: [f64; 8] = [1.0, 1.08, 1.17, 1.3, 1.5, 1.8, 2.3, 2.7];
/// How much of the lead time a climb is carried on where it is.
const LEAN: f64 = 0.7;

impl Rehearsal {
    /// A rehearsal of `stances` that has seen nothing yet.
    pub fn new(stances: Vec<Stance>) -> Self {
        Self {
            actors: stances.into_iter().map(Actor::new).collect(),
            ticks: 0,
            began: None,
            momentum: Momentum::default(),
        }
    }

    /// Takes in one tick: the load as measured (`None` where nothing fresh was), and the forecast as issued.
    pub fn tick(&mut self, now: Timestamp, load: Option<Sample>, forecast: Option<&Forecast>, stage: &Stage) {
        self.ticks += 1;
        let second = seconds_of(time::since(now, *self.began.get_or_insert(now)));
        if let Some(load) = load {
            self.momentum.observe(load.time(), load.value());
        }
        let mut ahead = Ahead::new(now, load, forecast, stage);
        let climbed = load.and_then(|_| self.momentum.carried(stage.lead));
        for actor in &mut self.actors {
            actor.tick(second, load.map(|l| (l.value(), climbed.unwrap_or(l.value()))), &mut ahead, stage);
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
    load: Option<Sample>,
    seen: Vec<(f64, f64, f64)>,
    /// The factor of a full move to the load of now, once it was asked for.
    moved: Option<f64>,
}

impl<'a> Ahead<'a> {
    fn new(now: Timestamp, load: Option<Sample>, forecast: Option<&'a Forecast>, stage: &Stage) -> Self {
        Self {
            now,
            forecast,
            lead: time::after(now, stage.lead),
            keep: time::after(now, stage.keep),
            load,
            seen: Vec::new(),
            moved: None,
        }
    }

    /// The largest loads up to the lead and up to the keep, as `foresight` sees them.
    fn at(&mut self, foresight: Foresight) -> Option<(f64, f64)> {
        let (lead, keep) = self.peaks(foresight.level)?;
        let factor = foresight.margin * self.moved(foresight.follow);
        Some((lead * factor, keep * factor))
    }

    /// Up to the lead at `level`, and up to the keep at that level or the ninth decile.
    fn peaks(&mut self, level: f64) -> Option<(f64, f64)> {
        if let Some((_, lead, keep)) = self.seen.iter().find(|s| s.0 == level) {
            return Some((*lead, *keep));
        }
        let forecast = self.forecast?;
        let lead = peak(forecast, self.now, self.lead, level)?;
        let keep = peak(forecast, self.now, self.keep, level.min(KEEP_LEVEL))?;
        self.seen.push((level, lead, keep));
        Some((lead, keep))
    }

    fn moved(&mut self, follow: f64) -> f64 {
        let (Some(forecast), Some(load)) = (self.forecast, self.load) else { return 1.0 };
        if follow <= 0.0 {
            return 1.0;
        }
        let all = *self.moved.get_or_insert_with(|| moved(forecast, load.time(), load.value(), 1.0));
        if follow >= 1.0 { all } else { all.powf(follow) }
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
            before: [0; LAG_TICKS + 1],
            allowance: 0.0,
            days: VecDeque::with_capacity(DAYS + 1),
            changed: None,
        }
    }

    fn tick(&mut self, now: u32, seen: Option<(f64, f64)>, ahead: &mut Ahead<'_>, stage: &Stage) {
        let need = |load: f64| ((load / stage.per_replica - 1e-9).ceil().max(0.0)) as u32;
        let foreseen = self.stance.foresight.and_then(|f| ahead.at(f));
        let load = seen.map(|s| s.0);
        let leant = seen.map(|(load, climbed)| load + (climbed - load) * self.stance.lean);
        let reactive = leant.map_or(0, |load| need(load * self.stance.headroom));
        let raw = reactive.max(foreseen.map_or(0, |f| need(f.0)));
        let keep = foreseen.map_or(0, |f| need(f.1));
        let raw = raw.clamp(stage.min_replicas, stage.max_replicas);
        if self.spec == 0 {
            (self.spec, self.ready) = (raw.max(1), raw.max(1));
            self.before.fill(self.ready);
        }
        self.start(now);
        self.blame(load, stage);
        let held = self.held.note(now, self.stance.hold.max(HOLD), raw);
        let before = self.spec;
        if f64::from(raw) > f64::from(self.spec) * (1.0 + self.stance.slack) {
            self.starting.push_back((now.saturating_add(seconds_of(stage.startup)), raw - self.spec));
            self.spec = raw;
        } else if load.is_some() {
            self.lower(held.max(keep.min(stage.max_replicas)));
        }
        if self.spec != before {
            self.note_change(now, self.spec > before);
        }
    }

    fn note_change(&mut self, now: u32, up: bool) {
        let soon = |at: u32| now.saturating_sub(at) <= seconds_of(REVERSAL);
        let reversed = self.changed.is_some_and(|(at, was)| was != up && soon(at));
        self.changed = Some((now, up));
        if let Some(day) = self.days.back_mut() {
            day.changes += 1;
            day.reversals += u32::from(reversed);
        }
    }

    /// Pods whose time has come serve.
    fn start(&mut self, now: u32) {
        while let Some((at, n)) = self.starting.front().copied() {
            if at > now {
                break;
            }
            self.ready += n;
            self.starting.pop_front();
        }
        self.before.rotate_left(1);
        self.before[LAG_TICKS] = self.ready;
    }

    /// Bills the tick, and blames it where the load of `LAG_TICKS` ago was more than the replicas of then carry.
    fn blame(&mut self, load: Option<f64>, stage: &Stage) {
        if self.days.back().is_none_or(|d| d.ticks >= TICKS_PER_DAY) {
            if self.days.len() > DAYS {
                self.days.pop_front();
            }
            self.days.push_back(Day::default());
        }
        let Some(day) = self.days.back_mut() else { return };
        let Some(load) = load else { return };
        day.ticks += 1;
        day.replicas += u64::from(self.spec);
        let carried = f64::from(self.before[0]) * stage.per_replica;
        day.violated += u32::from(load * (1.0 + TREMBLE) > carried);
    }

    /// Down to `target`, past a dead band and at most the share [`PACE`] a minute, as a decision would.
    fn lower(&mut self, target: u32) {
        let band = ((f64::from(self.spec) * self.stance.band).ceil() as u32).max(1);
        if target + band > self.spec {
            self.allowance = self.allowance.min(1.0);
            return;
        }
        let minute = (f64::from(self.spec) * PACE).max(1.0);
        self.allowance = (self.allowance + minute / 4.0).min(minute + 1.0);
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
            changes: sum.changes + d.changes,
            reversals: sum.reversals + d.reversals,
        });
        let ticks = f64::from(sum.ticks);
        let a_day = f64::from(TICKS_PER_DAY) / ticks;
        (sum.ticks > 0).then(|| Score {
            stance: self.stance,
            violation: f64::from(sum.violated) / ticks,
            replicas: sum.replicas as f64 / ticks,
            hours: ticks / 240.0,
            changes: f64::from(sum.changes) * a_day,
            reversals: f64::from(sum.reversals) * a_day,
        })
    }
}

/// Whole seconds; more than a century is a century.
fn seconds_of(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}

/// The largest of what was noted within a time: a falling sequence of (until which second, value).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Highest(VecDeque<(u32, u32)>);

impl Highest {
    fn note(&mut self, now: u32, within: Duration, value: u32) -> u32 {
        while self.0.back().is_some_and(|h| h.1 <= value) {
            self.0.pop_back();
        }
        self.0.push_back((now.saturating_add(seconds_of(within)), value));
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
                Sample::new(at(tick), load(tick.saturating_sub(2))),
                knows.then_some(&forecast),
                &stage(),
            );
        }
        rehearsal.scores()
    }

    fn foresight(level: f64) -> Stance {
        Stance { foresight: Some(Foresight { level, margin: 1.05, follow: 0.0 }), ..Stance::REACTIVE }
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
            rehearsal.tick(at(tick), Sample::new(at(tick), 100.0), None, &stage());
        }
        assert!(rehearsal.scores().is_empty());
    }
}
