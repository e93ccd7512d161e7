//! One metric over time: its history on a grid, and the forecaster that learns from it.

use std::sync::Arc;
use std::time::Duration;

use forecast::{Accuracy, Feedback, Forecaster, HorizonScore, PackedForecaster, Settings};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use series::{Absence, Forecast, NoForecast, NoForecastReason, Packed, Sample, Series, time};

use crate::fit::{Due, Fit, FitJob, From, Grid, Slot};
use crate::forecast_state::ForecastState;
use crate::job::JobId;
use crate::open_slots::{OpenSlots, between};
use crate::prepared::Prepared;
use crate::queue_flow::QueueFlow;

/// What is simulated is looked at by the minute.
pub(crate) const MINUTE: Duration = Duration::from_mins(1);
/// Days that are simulated, and one in which the last fit was.
const MINUTES_KEPT: usize = 8 * 1_440;
/// What is kept of a history that its source doesn't keep: two weeks in slots of this length, below 4 KiB.
pub const PROFILE_STEP: Duration = Duration::from_mins(15);
const PROFILE_SLOTS: usize = 14 * 96;
/// How long a forecast of before a restart counts: as long as one that is renewed no more.
const KEPT_FOR: Duration = Duration::from_mins(10);
/// How long to wait after history couldn't be read.
const RETRY_AFTER: Duration = Duration::from_mins(1);

/// What a metric is measured by, and how it is forecast.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SignalSpec {
    /// Tells one source of the metric from another: its server, its query, its unit. Another identity is another series,
    /// whose history begins anew.
    pub identity: String,
    /// How it is forecast.
    pub settings: Settings,
    /// Whether its source keeps history. Where it doesn't, [`Autoscaler::profiles`](crate::Autoscaler::profiles) is to be
    /// kept elsewhere, and given back as history after a restart.
    pub keeps_history: bool,
    /// Forecasts that were made before; then nothing is fitted.
    #[serde(skip)]
    pub prepared: Option<Arc<Prepared>>,
}

impl SignalSpec {
    /// Whether both are the same source, and are learned the same way.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        let learned = |spec: &Self| {
            let Settings { step, horizon, decision_horizon, history, time_zone, excluded, .. } =
                spec.settings.clone().in_range();
            (step, horizon, decision_horizon, history, time_zone, excluded)
        };
        (&self.identity, self.keeps_history) == (&other.identity, other.keeps_history)
            && learned(self) == learned(other)
    }
}

/// What is known of a signal's past.
#[derive(Clone, Debug)]
enum Past {
    /// To be asked for, not before then.
    Wanted(Timestamp, Option<Absence>),
    /// It was given, or there is none.
    Known,
}

/// One metric over time.
#[derive(Debug)]
pub(crate) struct Signal {
    pub(crate) spec: SignalSpec,
    grid: Grid,
    /// Whether it is forecast; else only its history is kept, for simulations.
    forecasts: bool,
    /// The last looks at the queue, where it is one.
    pub(crate) flow: QueueFlow,
    /// Complete slots, as long as the forecaster learns from.
    history: Packed,
    /// The last days by the minute, where a slot is longer.
    minutes: Option<Packed>,
    open: OpenSlots,
    last: Option<Sample>,
    past: Past,
    forecaster: Option<Learned>,
    waiting: Waiting,
    /// The next minutes of a forecast that was made before a restart.
    kept: Option<Arc<Forecast>>,
    /// What was seen before a restart of replicas that move the signal.
    kept_feedback: Option<Feedback>,
    /// The forecast of the slot that is under way.
    cached: Option<(Timestamp, ForecastState)>,
}

/// A forecaster: open from the end of a slot until it was asked, else packed beside the history.
#[derive(Debug)]
enum Learned {
    Open(Box<Forecaster>),
    Packed(Box<PackedForecaster>),
}

impl Learned {
    fn open(self, history: &Packed) -> Box<Forecaster> {
        match self {
            Self::Open(forecaster) => forecaster,
            Self::Packed(packed) => Box::new(packed.unpack(history)),
        }
    }

    fn feedback(&self) -> &Feedback {
        match self {
            Self::Open(forecaster) => forecaster.feedback(),
            Self::Packed(packed) => packed.feedback(),
        }
    }
}

/// A fit that is due or under way, and the slots that came since.
#[derive(Debug, Default)]
enum Waiting {
    #[default]
    Nothing,
    /// To be taken by whoever runs it: only then the history is copied for it.
    Due(From, Vec<Slot>),
    /// Taken under this number; the slots since.
    Running(JobId, Vec<Slot>),
}

impl Signal {
    pub(crate) fn new(spec: SignalSpec, grid: Grid, forecasts: bool) -> Self {
        let settings = spec.settings.clone().in_range();
        Self {
            grid,
            forecasts,
            flow: QueueFlow::default(),
            history: Packed::new(settings.step),
            minutes: (settings.step > MINUTE).then(|| Packed::new(MINUTE)),
            open: OpenSlots::default(),
            last: None,
            past: Past::Wanted(Timestamp::MIN, None),
            forecaster: None,
            waiting: Waiting::Nothing,
            kept: None,
            kept_feedback: None,
            cached: None,
            spec: SignalSpec { settings, ..spec },
        }
    }

    /// The signal of `spec`, which goes on where one of the same source was. Where it is forecast otherwise, what was
    /// measured stays, as far as nobody else keeps it.
    pub(crate) fn succeed(before: Option<Self>, spec: SignalSpec, grid: Grid, forecasts: bool) -> Self {
        let mut new = Self::new(spec, grid, forecasts);
        let Some(before) = before else { return new };
        if before.is_like(&new) {
            return before;
        }
        let same_grid = before.step() == new.step();
        if let Some(feedback) = before.feedback().filter(|_| same_grid) {
            new.keep_feedback(feedback);
        }
        new.flow = before.flow;
        if !new.spec.keeps_history && same_grid {
            (new.history, new.minutes) = (before.history, before.minutes);
            (new.open, new.last, new.past) = (before.open, before.last, before.past);
            if matches!(new.past, Past::Known) {
                new.learn(new.history.end());
            }
        }
        new
    }

    /// Whether the other measures the same and learns the same way.
    fn is_like(&self, other: &Self) -> bool {
        (self.grid, self.forecasts) == (other.grid, other.forecasts) && self.spec.is_like(&other.spec)
    }

    fn step(&self) -> Duration {
        self.spec.settings.step
    }

    /// What the forecaster learns from, a day until that is cut, and another in which a fit may be late.
    fn slots_kept(&self) -> usize {
        let day = 86_400 / self.step().as_secs().max(1);
        self.spec.settings.slots() + 2 * usize::try_from(day).unwrap_or(usize::MAX)
    }

    /// The span of history to ask for at `now`, if it is time to.
    pub(crate) fn wanted_history(&self, now: Timestamp) -> Option<(Timestamp, Timestamp)> {
        let Past::Wanted(not_before, _) = &self.past else { return None };
        if now < *not_before {
            return None;
        }
        let to = time::align(now, self.step());
        let day = Duration::from_hours(24);
        Some((time::before(to, self.spec.settings.history + day), to))
    }

    /// Takes in the history: slots on any step, none of them newer than what was measured since.
    pub(crate) fn warm_up(&mut self, history: &Series, minutes: Option<&Series>, now: Timestamp) {
        self.past = Past::Known;
        let (step, keep) = (self.step(), self.slots_kept());
        let live = std::mem::replace(&mut self.history, Packed::new(step));
        fill(&mut self.history, history, live, keep, now);
        if let Some(kept) = self.minutes.take() {
            let mut filled = Packed::new(MINUTE);
            fill(&mut filled, minutes.unwrap_or(history), kept, MINUTES_KEPT, now);
            self.minutes = Some(filled);
        }
        self.learn(now);
    }

    /// A forecaster is to be made from the history up to the last time on the grid, and of what came since.
    fn learn(&mut self, now: Timestamp) {
        let until = self.grid.last_anew(now);
        let slots = self.history.between(until, self.history.end()).iter().collect();
        self.fit(From::History(until), slots);
    }

    /// A fit is due, and then the slots that came since.
    fn fit(&mut self, from: From, slots: Vec<Slot>) {
        if self.forecasts && self.spec.prepared.is_none() {
            self.waiting = Waiting::Due(from, slots);
        }
    }

    /// History couldn't be read.
    pub(crate) fn history_failed(&mut self, absence: Absence, now: Timestamp) {
        if matches!(self.past, Past::Wanted(..)) {
            self.past = Past::Wanted(time::after(now, RETRY_AFTER), Some(absence));
        }
    }

    /// Takes in a measurement, and what lay between it and the last.
    pub(crate) fn observe(&mut self, sample: Sample) {
        let step = self.step();
        let between = self.last.map_or_else(Vec::new, |last| between(last, sample, step));
        self.last = Some(sample);
        for sample in between.into_iter().chain([sample]) {
            if let Some((begin, value)) = self.open.slot.add(sample, step) {
                self.end_slot(begin, value);
            }
            if let Some(minutes) = &mut self.minutes
                && let Some((begin, value)) = self.open.minute.add(sample, MINUTE)
            {
                minutes.push(begin, value, MINUTES_KEPT);
                minutes.keep_last(MINUTES_KEPT);
            }
        }
    }

    fn end_slot(&mut self, begin: Timestamp, value: Option<f64>) {
        // Before the history goes on, and forgets.
        self.forecaster = self.forecaster.take().map(|learned| Learned::Open(learned.open(&self.history)));
        let keep = self.slots_kept();
        let before = self.history.end();
        let known = !self.history.is_empty();
        if !self.history.push(begin, value, keep) {
            return;
        }
        // The slots that were skipped are gaps for the forecaster too, one by one: each may make a fit due.
        let from = if known && self.history.len() > 1 { before.min(begin) } else { begin };
        let slots: Vec<Slot> = self.history.between(from, self.history.end()).iter().collect();
        self.history.keep_last(keep);
        self.feed(&slots);
    }

    fn feed(&mut self, slots: &[Slot]) {
        match &mut self.waiting {
            Waiting::Due(_, since) | Waiting::Running(_, since) => since.extend_from_slice(slots),
            Waiting::Nothing => return self.advance(slots),
        }
        if let Some(learned) = self.forecaster.take() {
            let mut forecaster = learned.open(&self.history);
            for (begin, value) in slots {
                forecaster.observe_slot(*begin, *value);
            }
            self.forecaster = Some(Learned::Open(forecaster));
        }
    }

    /// Feeds the forecaster; where a fit becomes due on the way, what comes after it waits for the fit too.
    fn advance(&mut self, slots: &[Slot]) {
        if slots.is_empty() {
            return;
        }
        let Some(learned) = self.forecaster.take() else { return };
        let mut forecaster = learned.open(&self.history);
        let (fed, due) = self.grid.feed(&mut forecaster, slots);
        let rest = &slots[fed..];
        let from = due.map(|due| match due {
            Due::Refit => From::Forecaster(Box::new(forecaster.clone().pack(&self.history))),
            Due::Anew(until) => From::History(until),
        });
        for (begin, value) in rest {
            forecaster.observe_slot(*begin, *value);
        }
        self.forecaster = Some(Learned::Open(forecaster));
        if let Some(from) = from {
            self.fit(from, rest.to_vec());
        }
    }

    /// Whether a fit is due; whether it's the first one.
    pub(crate) fn fit_is_due(&self) -> Option<bool> {
        matches!(self.waiting, Waiting::Due(..)).then_some(self.forecaster.is_none())
    }

    /// Takes the fit that is due, under this number.
    pub(crate) fn take_job(&mut self, id: JobId) -> Option<FitJob> {
        match std::mem::take(&mut self.waiting) {
            Waiting::Due(from, slots) => {
                self.waiting = Waiting::Running(id, slots.clone());
                let (grid, settings) = (self.grid, self.spec.settings.clone());
                Some(FitJob { grid, settings, from, history: self.history.clone(), slots })
            }
            other => {
                self.waiting = other;
                None
            }
        }
    }

    /// Whether the fit that was taken under this number is still wanted.
    pub(crate) fn waits_for(&self, id: JobId) -> bool {
        matches!(self.waiting, Waiting::Running(of, _) if of == id)
    }

    /// Takes over the forecaster that it waits for.
    pub(crate) fn take_over(&mut self, mut fit: Fit) {
        let Waiting::Running(_, slots) = std::mem::take(&mut self.waiting) else { return };
        if let Some(feedback) = self.feedback() {
            fit.forecaster.set_feedback(feedback);
        }
        self.forecaster = Some(Learned::Packed(fit.forecaster));
        self.cached = None;
        self.advance(slots.get(fit.fed..).unwrap_or_default());
    }

    /// The job was lost: what it should have given is due again.
    pub(crate) fn give_up_job(&mut self, now: Timestamp) {
        self.waiting = Waiting::Nothing;
        self.learn(now);
    }

    /// How the forecast stands: made once a slot.
    pub(crate) fn forecast(&mut self, now: Timestamp) -> ForecastState {
        let nothing = || NoForecast::new(NoForecastReason::NoData, "nothing was forecast yet");
        if let Some(prepared) = &self.spec.prepared {
            let unknown = || ForecastState { forecast: Err(nothing()), accuracy: None };
            return prepared.at(now).cloned().unwrap_or_else(unknown);
        }
        let slot = time::align(now, self.step());
        if let Some((_, state)) = self.cached.clone().filter(|(at, _)| *at == slot) {
            // A slot that ended since then has opened it.
            self.pack();
            return state;
        }
        let kept = self.kept.clone().filter(|f| now < f.end() && time::since(now, f.origin()) <= KEPT_FOR);
        if let Some(learned) = self.forecaster.take() {
            let forecaster = learned.open(&self.history);
            let forecast = forecaster.predict(now).map(Arc::new);
            let state = ForecastState { forecast, accuracy: Some(Arc::new(forecaster.accuracy())) };
            self.forecaster = Some(Learned::Open(forecaster));
            self.pack();
            self.cached = Some((slot, state.clone()));
            return state;
        }
        let forecast = match &self.past {
            _ if kept.is_some() => kept.ok_or_else(nothing),
            Past::Wanted(_, Some(absence)) => Err(NoForecast::new(
                NoForecastReason::HistoryUnavailable,
                format!("can't read history: {}: {}", absence.reason, absence.message),
            )),
            _ => Err(NoForecast::new(NoForecastReason::Learning, "history is being read and learned from")),
        };
        ForecastState { forecast, accuracy: None }
    }

    fn pack(&mut self) {
        self.forecaster = self.forecaster.take().map(|learned| match learned {
            Learned::Open(forecaster) => Learned::Packed(Box::new(forecaster.pack(&self.history))),
            packed @ Learned::Packed(_) => packed,
        });
    }

    /// The slots that are under way.
    pub(crate) fn open(&self) -> OpenSlots {
        self.open
    }

    /// Goes on with slots that were under way before a restart.
    pub(crate) fn go_on(&mut self, open: OpenSlots) {
        if self.last.is_none() {
            self.open = open;
        }
    }

    /// Takes over what was forecast before a restart, until there is a forecaster again.
    pub(crate) fn keep(&mut self, forecast: Forecast) {
        if self.forecaster.is_none() {
            self.kept = Some(Arc::new(forecast));
        }
    }

    /// How far the signal was seen to follow our own replicas.
    pub(crate) fn feedback(&self) -> Option<Feedback> {
        self.forecaster
            .as_ref()
            .map(|learned| learned.feedback().clone())
            .or_else(|| self.kept_feedback.clone())
    }

    /// Goes on with what was seen of that before a restart.
    pub(crate) fn keep_feedback(&mut self, feedback: Feedback) {
        if self.forecaster.is_none() {
            self.kept_feedback = Some(feedback);
        }
    }

    /// How many replicas there are, so that a signal that follows them is noticed.
    pub(crate) fn observe_replicas(&mut self, replicas: u32) {
        match &mut self.forecaster {
            Some(Learned::Open(forecaster)) => forecaster.observe_replicas(f64::from(replicas)),
            Some(Learned::Packed(packed)) => packed.observe_replicas(f64::from(replicas)),
            None => {}
        }
    }

    /// Whether its history was given, or there is none.
    pub(crate) fn knows_history(&self) -> bool {
        matches!(self.past, Past::Known)
    }

    /// Whether there is a forecaster that can be asked, or none is wanted.
    pub(crate) fn is_learned(&self) -> bool {
        self.forecaster.is_some() || self.spec.prepared.is_some() || !self.forecasts
    }

    /// What is to be kept of the history elsewhere, where its source keeps none: two weeks in slots of a quarter of an hour.
    /// Nothing before what was kept is known: it would be lost.
    pub(crate) fn profile(&self) -> Option<Packed> {
        let known = !self.spec.keeps_history && matches!(self.past, Past::Known) && !self.history.is_empty();
        if !known {
            return None;
        }
        let factor = PROFILE_STEP.as_secs() / self.step().as_secs().max(1);
        let mut profile = self.history.coarsened(u32::try_from(factor).unwrap_or(1));
        profile.keep_last(PROFILE_SLOTS);
        Some(profile).filter(|profile| !profile.is_empty())
    }

    /// Complete slots, oldest first.
    pub(crate) fn history(&self) -> &Packed {
        &self.history
    }

    /// The last days by the minute, or by the slot where that is no longer.
    pub(crate) fn by_minute(&self) -> &Packed {
        self.minutes.as_ref().unwrap_or(&self.history)
    }
}

/// `live` on top of `history`, in which what was measured live wins. Of slots that are longer than these, the part up to
/// `now` counts.
fn fill(into: &mut Packed, history: &Series, live: Packed, keep: usize, now: Timestamp) {
    let step = into.step();
    let theirs = history.step();
    let grid = history.coarsen((step.as_secs() / theirs.as_secs().max(1)).max(1) as usize);
    let repeat = (theirs.as_secs() / step.as_secs().max(1)).max(1);
    let ended = time::align(now, step);
    let live_from = if live.is_empty() { ended } else { live.start().min(ended) };
    for (begin, value) in grid.iter() {
        for part in 0..repeat {
            let begin = time::after(begin, step * u32::try_from(part).unwrap_or(u32::MAX));
            if begin < live_from {
                into.push(begin, value, keep);
            }
        }
    }
    for (begin, value) in live.iter() {
        into.push(begin, value, keep);
    }
    into.keep_last(keep);
}

/// The score at the shortest horizon that reaches the lead time, or at the longest there is: the horizon that trust looks
/// at.
pub fn score_at(accuracy: &Accuracy, lead: Duration) -> Option<&HorizonScore> {
    let scored = || accuracy.horizons.iter().filter(|h| h.scored > 0);
    scored().find(|h| h.ahead >= lead).or_else(|| scored().next_back())
}
