//! The forecaster of one signal: measurements come in, quantiles of load for the next steps go out. This is the only
//! place that knows all parts: history, members, blend, calibration, and what watches them.

mod contest;
mod quantile_rows;
mod trust;

use std::time::Duration;

use jiff::Timestamp;
use series::{Forecast, Sample, Series, time};

use crate::change::{Drift, Jump};
use crate::clean_history::CleanHistory;
use crate::ensemble::Ensemble;
use crate::features::SIDE;
use crate::feedback::Feedback;
use crate::history::History;
use crate::horizon_model::HorizonModel;
use crate::members::{self, LOG_RIDGE, MEMBERS};
use crate::pending::Pending;
use crate::prefix_sums::PrefixSums;
use crate::season::{self, Period};
use crate::{NoForecast, Settings};
use contest::{Cause, Contest, Wanted};

/// The state of one signal's forecast.
///
/// Feed it with [`observe`](Self::observe) (or whole slots with [`observe_slot`](Self::observe_slot)), let it learn
/// with [`refit`](Self::refit) every half hour to few hours, and ask it with [`predict`](Self::predict) as often as
/// needed. Time is an argument everywhere; nothing here reads a clock. What it says is a
/// function of what it was fed.
#[derive(Clone, Debug)]
pub struct Forecaster {
    pub(crate) settings: Settings,
    pub(crate) partial: Option<(Timestamp, f64, u32)>,
    pub(crate) history: History,
    /// The cleaned history; `None` before the first value.
    pub(crate) past: Option<CleanHistory>,
    pub(crate) ensemble: Ensemble,
    pub(crate) tracks: Vec<HorizonModel>,
    pub(crate) seasons: Vec<Period>,
    pub(crate) jump: Jump,
    /// The slot in which the level last jumped.
    pub(crate) jumped: Option<i64>,
    pub(crate) drift: Drift,
    pub(crate) wanted: Wanted,
    pub(crate) contest: Option<Contest>,
    /// What came of the last change, in words.
    pub(crate) change: Option<String>,
    pub(crate) feedback: Feedback,
    /// Further series by name, each with its own history on the same step.
    pub(crate) regressors: Vec<(String, History)>,
    /// Reused for the members' forecasts, and for those with the challenger's regressions.
    cells: Vec<f32>,
    rivals: Vec<f32>,
}

/// The horizons that are learned for, in steps, up to the decision horizon and beyond: in between, forecasts are
/// interpolated.
fn horizons(settings: &Settings) -> (Vec<usize>, Vec<usize>) {
    let step = settings.step.as_secs().max(1);
    let (decided, rows) = (settings.decision_rows(), settings.rows());
    let minutes = [5, 15, 30, 60, 120, 240, 480, 960, 1440, 2880];
    let keys = |from: usize, to: usize| {
        let usual = [1, 2].into_iter().chain(minutes.iter().map(|m| (m * 60 / step) as usize));
        let mut keys: Vec<usize> = usual.chain([to]).filter(|k| (from..=to).contains(k)).collect();
        keys.sort_unstable();
        keys.dedup();
        // Two keys close together at the end teach the same.
        if let [.., a, b] = keys[..]
            && b > 4
            && b * 3 < a * 4
        {
            let last = keys.len() - 2;
            keys.remove(last);
        }
        keys
    };
    (keys(1, decided), keys(decided + 1, rows))
}

impl Forecaster {
    /// A forecaster that knows nothing yet. Settings out of range are brought into range.
    pub fn new(settings: Settings) -> Self {
        let settings = settings.in_range();
        let (near, far) = horizons(&settings);
        let decided = near.len();
        let keys = [near, far].concat();
        let step = settings.step.as_secs();
        Self {
            partial: None,
            history: History::new(step as i64),
            past: None,
            tracks: keys.iter().map(|h| HorizonModel::new(*h, step as f32)).collect(),
            ensemble: Ensemble::new(keys, decided),
            seasons: Vec::new(),
            jump: Jump::default(),
            jumped: None,
            drift: Drift::default(),
            wanted: Wanted::default(),
            contest: None,
            change: None,
            feedback: Feedback::default(),
            regressors: Vec::new(),
            cells: Vec::new(),
            rivals: Vec::new(),
            settings,
        }
    }

    /// Gives back what is only kept to be used again.
    pub(crate) fn forget_scratch(&mut self) {
        (self.cells, self.rivals) = (Vec::new(), Vec::new());
    }

    /// The settings in use.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Takes in one measurement, of any cadence at or below the step: a slot's value is the mean of its samples, and
    /// it counts once a sample of a later slot arrives. Samples older than the newest complete slot are dropped.
    pub fn observe(&mut self, sample: Sample) {
        let slot = time::align(sample.time(), self.settings.step);
        match self.partial {
            Some((begin, sum, n)) if begin == slot => {
                self.partial = Some((begin, sum + sample.value(), n.saturating_add(1)));
            }
            Some((begin, _, _)) if begin > slot => {}
            Some((begin, sum, n)) => {
                self.observe_slot(begin, Some(sum / f64::from(n)));
                self.partial = Some((slot, sample.value(), 1));
            }
            None => self.partial = Some((slot, sample.value(), 1)),
        }
    }

    /// Takes in one complete slot that began at `begin`; `None` is a gap, and so are NaN, infinities and values below
    /// zero. Slots that were skipped become gaps; slots that are known already are ignored.
    pub fn observe_slot(&mut self, begin: Timestamp, value: Option<f64>) {
        let slot = begin.as_second().div_euclid(self.history.step);
        if !self.history.values.is_empty() {
            let missed = slot - self.history.end();
            if missed < 0 {
                return;
            }
            if missed > self.settings.slots() as i64 {
                *self = Self::new(self.settings.clone());
            } else {
                for gap in self.history.end()..slot {
                    self.advance(gap, f32::NAN);
                }
            }
        }
        let value = self.history.scaled(value);
        self.advance(slot, value);
    }

    /// Takes in history, oldest first, as at a start, and learns from it: forecasts are rehearsed along the way, so
    /// that weights and quantiles are known at its end. What is older than what is known already is ignored. A series
    /// with a finer step is averaged; one with a coarser step is repeated.
    pub fn back_fill(&mut self, series: &Series) {
        let (ours, theirs) = (self.settings.step.as_secs(), series.step().as_secs().max(1));
        let grid = series.coarsen((ours / theirs).max(1) as usize);
        let repeat = (theirs / ours).max(1);
        let keep = self.settings.slots();
        let skip = grid.len().saturating_sub(keep / repeat as usize);
        let day = self.day();
        self.history.choose_unit(grid.iter().skip(skip).filter_map(|(_, value)| value));
        for (begin, value) in grid.iter().skip(skip) {
            for part in 0..repeat {
                self.observe_slot(time::after(begin, Duration::from_secs(part * ours)), value);
            }
            let known = self.history.values.len();
            if known >= day && known % day < repeat as usize || self.refit_is_due() {
                self.refit();
            }
        }
        self.refit();
    }

    /// Takes in how many replicas the target has, so that a signal that follows them is noticed.
    pub fn observe_replicas(&mut self, replicas: f64) {
        self.feedback.replicas(replicas);
    }

    /// Leaves a member out of the blend as well, by the name that [`Accuracy::model`](crate::Accuracy) has: in its place
    /// stands the last value. What the member is worth is what is missed then. Whether there is a member of this name.
    pub fn leave_out(&mut self, member: &str) -> bool {
        let found = members::named(member);
        self.ensemble.left_out.extend(found);
        found.is_some()
    }

    /// What was noticed of that so far. It can't be learned from a history.
    pub fn feedback(&self) -> &Feedback {
        &self.feedback
    }

    /// Goes on with what another forecaster of the same signal noticed.
    pub fn set_feedback(&mut self, feedback: Feedback) {
        self.feedback = feedback;
    }

    /// Takes in a further series that may explain the load, under a name of at most two: queue length, visitors, a
    /// price. Learned from at the next refit; then its newest value takes part in each forecast. Give it before the slot
    /// of the load itself, or its value of that slot comes too late for the forecast made then.
    pub fn observe_regressor(&mut self, name: &str, begin: Timestamp, value: Option<f64>) {
        let step = self.history.step;
        let at = match self.regressors.iter().position(|(known, _)| known == name) {
            Some(at) => at,
            None if self.regressors.len() < SIDE => {
                self.regressors.push((name.to_owned(), History::new(step)));
                self.regressors.len() - 1
            }
            None => return,
        };
        let keep = self.settings.slots();
        let history = &mut self.regressors[at].1;
        let slot = begin.as_second().div_euclid(step);
        let missed = slot - history.end();
        if !history.values.is_empty() && missed < 0 {
            return;
        }
        if missed > keep as i64 {
            history.values.clear();
        }
        for gap in history.end()..if history.values.is_empty() { history.end() } else { slot } {
            history.push(gap, f32::NAN);
        }
        let value = history.scaled(value);
        history.push(slot, value);
        if history.values.len() > keep + 288 {
            history.keep_last(keep);
        }
        if let Some(past) = &mut self.past
            && past.regressors.len() > at
        {
            let index = slot - past.first;
            while (past.regressors[at].len() as i64) <= index {
                past.regressors[at].push(if value.is_finite() { value } else { 0.0 });
            }
        }
    }

    /// The forecast as good as it can be made, whether or not it has earned trust: an error only where nothing was
    /// measured yet. Row 0 is the step that holds `origin`.
    pub fn estimate(&self, origin: Timestamp) -> Result<Forecast, NoForecast> {
        quantile_rows::forecast(self, origin)
    }

    /// What is learned at the horizons that decisions look at.
    fn decided(&self) -> &[HorizonModel] {
        &self.tracks[..self.ensemble.decided]
    }

    /// Slots in a day.
    pub(crate) fn day(&self) -> usize {
        ((86_400 + self.history.step / 2) / self.history.step).max(1) as usize
    }

    /// Learns anew from the history: tens of milliseconds of processor time at most. To be called every half hour to few
    /// hours; nothing else depends on the cadence.
    pub fn refit(&mut self) {
        if self.history.values.is_empty() {
            return;
        }
        self.history.keep_last(self.settings.slots());
        let factor = self.history.reunite();
        if factor != 1.0 {
            self.rescale(factor);
        }
        self.clean();
        let Some(past) = &mut self.past else { return };
        self.seasons = season::find(past);
        past.extra = extra_season(&self.seasons, past.day());
        self.ensemble.refit(past, factor != 1.0);
        self.tend_contest();
        self.look_ahead(true);
    }

    /// Rebuilds the cleaned past from the history.
    pub(crate) fn clean(&mut self) {
        let rows = self.settings.rows();
        let mut past = self.history.clean(&self.settings.time_zone, rows, &self.settings.excluded);
        past.extra = extra_season(&self.seasons, past.day());
        past.events = event_slots(&self.settings, self.history.step);
        past.regressors = self.regressors.iter().map(|(_, h)| aligned(h, &past)).collect();
        self.past = Some(past);
    }

    pub(crate) fn rescale(&mut self, factor: f32) {
        for track in &mut self.tracks {
            track.blend.rescale(factor);
            track.calibration.rescale(factor);
            track.score.rescale(factor);
            // What waits was forecast in the old unit.
            track.pending.clear();
        }
        self.contest = None;
    }

    /// Everything that a new slot sets in motion. `value` is NaN for a gap.
    fn advance(&mut self, slot: i64, value: f32) {
        self.history.push(slot, value);
        if self.past.is_none() || self.history.values.len() > self.settings.slots() + self.day() {
            self.history.keep_last(self.settings.slots());
            self.clean();
        } else if let Some(past) = &mut self.past {
            let (newest, day) = (past.newest(), past.day());
            let silent = self.history.silence();
            let filler = past.lin.back(newest + 1, day).filter(|_| silent > day / 24);
            let filler = filler.unwrap_or(past.lin.values()[newest]);
            past.push(if value.is_finite() { value } else { filler }, value.is_finite());
        }
        self.settle(value);
        self.watch(value);
        self.look_ahead(false);
    }

    /// Scores the forecasts that were made of the newest slot.
    fn settle(&mut self, value: f32) {
        let mut surprise = None;
        let mut strain = None;
        for (key, track) in self.tracks.iter_mut().enumerate() {
            if track.pending.len() < track.ahead {
                continue;
            }
            let Some(pending) = track.pending.pop_front() else { continue };
            if !value.is_finite() {
                continue;
            }
            let error = value - pending.mixed.center;
            if track.ahead == 1 {
                surprise = Some(error / track.calibration.usual.max(1e-6));
            }
            if key <= 1 && track.calibration.usual > 0.0 {
                strain = Some(error.abs() / track.calibration.expected(&pending.band).max(1e-6));
            }
            if let Some(contest) = &mut self.contest {
                contest.score(key, pending.mixed.members[LOG_RIDGE], pending.rival, value);
            }
            track.score.add(&pending, value);
            track.blend.score(&pending.mixed, value);
            track.calibration.score(pending.mixed.center, &pending.band, value);
        }
        self.feedback.close(surprise);
        if let Some(since) = strain.and_then(|strain| self.drift.observe(strain)) {
            self.raise(Cause::Drift, self.history.end() - since);
        }
        self.judge();
    }

    /// Notices a jump of the level.
    fn watch(&mut self, value: f32) {
        let Some(past) = self.past.as_ref().filter(|_| value.is_finite()) else { return };
        let newest = past.newest();
        let usual = past.usual(newest, 0).unwrap_or_else(|| past.recent(newest, past.day()));
        let floor = 0.1 * past.recent(newest, past.day()) + 1e-6;
        if self.jump.observe(value, usual, floor) {
            let slot = past.first + newest as i64;
            self.jumped = Some(slot);
            self.raise(Cause::Jump, slot - crate::change::RECENT as i64);
        }
    }

    /// Asks all members and keeps what they say until the values are known. `again` replaces what they said of the
    /// same slots before a refit.
    pub(crate) fn look_ahead(&mut self, again: bool) {
        let Some(past) = &self.past else { return };
        self.ensemble.predict(past, &mut self.cells);
        let newest = past.first + past.newest() as i64;
        self.rivals.clear();
        if let Some(contest) = &self.contest {
            self.rivals.extend_from_slice(&self.cells);
            contest.challenger.predict(past, &self.ensemble.keys, &mut self.rivals);
        }
        for (key, (track, cells)) in self.tracks.iter_mut().zip(self.cells.chunks_exact(MEMBERS)).enumerate()
        {
            let mut members = [0.0; MEMBERS];
            members.copy_from_slice(cells);
            let mixed = track.blend.mix(&members);
            let rival = self.rivals.chunks_exact(MEMBERS).nth(key).map_or(f32::NAN, |cells| cells[LOG_RIDGE]);
            let spread = members.iter().map(|m| (m - mixed.center).abs()).sum::<f32>() / MEMBERS as f32;
            let second = past.calendar.second_of_day(newest + track.ahead as i64);
            let quarter = (second / 900) as usize;
            let band = track.calibration.band(mixed.center, spread, quarter);
            let pending = Pending { mixed, band, rival };
            if again {
                track.pending.pop_back();
            }
            track.pending.push_back(pending);
        }
    }
}

/// The strongest season besides day and week.
fn extra_season(seasons: &[Period], day: usize) -> usize {
    seasons.iter().map(|s| s.slots).find(|s| *s != day && *s != 7 * day).unwrap_or(0)
}

/// The slots of events, by name, in the order in which names appear. Slots of events with a stated multiplier aren't
/// learned from.
fn event_slots(settings: &Settings, step: i64) -> Vec<Vec<(i64, i64)>> {
    let mut names: Vec<&str> = Vec::new();
    let mut slots: Vec<Vec<(i64, i64)>> = Vec::new();
    for event in settings.events.iter().filter(|e| e.multiplier.is_none()) {
        let at = names.iter().position(|n| *n == event.name).unwrap_or_else(|| {
            names.push(&event.name);
            slots.push(Vec::new());
            names.len() - 1
        });
        let from = event.window.from.as_second().div_euclid(step);
        let to = (event.window.to.as_second() + step - 1).div_euclid(step);
        slots[at].push((from, to));
    }
    slots.truncate(SIDE);
    slots
}

/// A regressor on the slots of the past; where it wasn't measured, its last value before.
fn aligned(history: &History, past: &CleanHistory) -> PrefixSums {
    let mut last = 0.0;
    let values = (0..past.len())
        .map(|i| {
            let at = past.first + i as i64 - history.first;
            let value = usize::try_from(at).ok().and_then(|at| history.values.get(at)).copied();
            if let Some(value) = value.filter(|v| v.is_finite()) {
                last = value;
            }
            last
        })
        .collect();
    PrefixSums::new(values)
}
