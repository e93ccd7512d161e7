//! The forecast step: keeps one forecaster per signal, fills it from history, fits it anew now and then, and asks it.
//!
//! What comes in: samples as they are measured, and a source to ask for history. What goes out: an outlook for the
//! decision. Everything that takes processor time runs on blocking threads, a few at a time; until a forecaster is
//! ready, the outlook says so. What this module refuses to know: replicas.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use forecast::{Forecaster, HorizonScore, Settings};
use jiff::Timestamp;
use series::{Absence, Aggregate, Sample, Series, resample, time};
use sources::Source;
use telemetry::metrics::{Metrics, Outcome};
use tokio::sync::Semaphore;

/// How often a forecaster learns anew.
const REFIT_EVERY: Duration = Duration::from_hours(1);
/// How long to wait after history couldn't be read.
const RETRY_AFTER: Duration = Duration::from_mins(1);
/// Measurements up to this far apart come from a slow scrape, whose slots without one are no gaps: five minutes, and as
/// much as a scrape may be late.
const SLOWEST_SCRAPE: Duration = Duration::from_secs(330);

/// What the forecasters of all policies share.
#[derive(Clone)]
pub(crate) struct Workshop {
    fits: Arc<Semaphore>,
    fills: Arc<Semaphore>,
    metrics: Metrics,
}

impl Workshop {
    /// At most `fits` forecasters learn at the same time, and a few more fetch their history.
    pub(crate) fn new(fits: usize, metrics: Metrics) -> Self {
        Self { fits: Arc::new(Semaphore::new(fits.max(1))), fills: Arc::new(Semaphore::new(4)), metrics }
    }
}

/// The forecast of one signal.
#[derive(Clone)]
pub(crate) struct Foresight {
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    settings: Settings,
    forecaster: Option<Arc<Forecaster>>,
    /// The newest sample.
    last: Option<Sample>,
    /// Samples measured while a task holds the forecaster.
    since: Vec<Sample>,
    busy: bool,
    next: Timestamp,
    trouble: Option<Absence>,
    history: Option<Series>,
    cached: Option<(Timestamp, Arc<Result<series::Forecast, forecast::NoForecast>>)>,
}

impl Inner {
    /// Whether it is time to read history or to learn anew: its turn has come, or the load has changed.
    fn is_due(&self, now: Timestamp) -> bool {
        now >= self.next || self.forecaster.as_ref().is_some_and(|f| f.refit_is_due())
    }
}

/// What a forecaster says now.
#[derive(Clone)]
pub(crate) struct View {
    /// For the decision.
    pub(crate) outlook: decide::Outlook,
    /// How it fares at the lead time.
    pub(crate) standing: Option<decide::Standing>,
    /// All about how it fares, for status and page.
    pub(crate) record: Option<forecast::Standing>,
    /// The forecast whether or not it is to be acted on, for the page.
    pub(crate) drawn: Option<series::Forecast>,
}

impl Foresight {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            inner: Arc::new(Mutex::new(Inner {
                settings,
                forecaster: None,
                last: None,
                since: Vec::new(),
                busy: false,
                next: Timestamp::MIN,
                trouble: None,
                history: None,
                cached: None,
            })),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a measurement, and what lay between it and the last: microseconds.
    pub(crate) fn observe(&self, sample: Sample) {
        let mut inner = self.lock();
        let missed = inner.last.map_or_else(Vec::new, |last| between(last, sample, inner.settings.step));
        inner.last = Some(sample);
        for sample in missed.into_iter().chain([sample]) {
            if inner.busy {
                inner.since.push(sample);
            } else if let Some(forecaster) = &mut inner.forecaster {
                Arc::make_mut(forecaster).observe(sample);
            }
        }
    }

    /// History that was filled in since the last call, for charts.
    pub(crate) fn new_history(&self) -> Option<Series> {
        self.lock().history.take()
    }

    /// Starts what is due: reading history, or learning anew. Returns at once. `phase`, in 0 to 1, staggers policies.
    pub(crate) fn tend(&self, now: Timestamp, source: &Arc<dyn Source>, workshop: &Workshop, phase: f64) {
        let mut inner = self.lock();
        if inner.busy || !inner.is_due(now) {
            return;
        }
        inner.busy = true;
        let task = Task { foresight: self.clone(), workshop: workshop.clone(), now, phase };
        match inner.forecaster.clone() {
            Some(forecaster) => tokio::spawn(task.refit(forecaster)),
            None => tokio::spawn(task.fill(Arc::clone(source), inner.settings.clone())),
        };
    }

    /// The same for a signal whose past nobody keeps: the forecaster begins with nothing and learns from what is observed.
    pub(crate) fn tend_watched(&self, now: Timestamp, workshop: &Workshop, phase: f64) {
        let mut inner = self.lock();
        if inner.busy || !inner.is_due(now) {
            return;
        }
        let Some(forecaster) = inner.forecaster.clone() else {
            inner.forecaster = Some(Arc::new(Forecaster::new(inner.settings.clone())));
            inner.next = time::after(now, REFIT_EVERY.mul_f64(0.5 + phase));
            return;
        };
        inner.busy = true;
        let task = Task { foresight: self.clone(), workshop: workshop.clone(), now, phase };
        tokio::spawn(task.refit(forecaster));
    }

    /// The outlook at `now`. Asking takes processor time once per step, on a blocking thread.
    pub(crate) async fn view(&self, now: Timestamp, lead: Duration) -> View {
        let (forecaster, cached) = {
            let inner = self.lock();
            let Some(forecaster) = inner.forecaster.clone() else { return unready(&inner) };
            let slot = time::align(now, inner.settings.step);
            (forecaster, inner.cached.clone().filter(|(at, _)| *at == slot).map(|(_, f)| f))
        };
        let record = forecaster.standing();
        let drawn = match cached {
            Some(cached) => cached,
            None => self.ask(forecaster, now).await,
        };
        let standing = score_at(&record, lead).map(|score| decide::Standing {
            versus_last: score.versus_last_value,
            versus_yesterday: score.versus_yesterday,
            coverage: score.coverage_95,
            level: 0.95,
        });
        let (outlook, drawn) = match drawn.as_ref() {
            Ok(forecast) => (decide::Outlook::Forecast(forecast.clone()), Some(forecast.clone())),
            Err(refusal) => (
                decide::Outlook::Unknown {
                    reason: refusal.reason.to_string(),
                    message: refusal.message.clone(),
                },
                None,
            ),
        };
        View { outlook, standing, record: Some(record), drawn }
    }

    async fn ask(
        &self,
        forecaster: Arc<Forecaster>,
        now: Timestamp,
    ) -> Arc<Result<series::Forecast, forecast::NoForecast>> {
        let asked = tokio::task::spawn_blocking(move || forecaster.predict(now)).await;
        let answer = Arc::new(asked.unwrap_or_else(|_| {
            Err(forecast::NoForecast::new(forecast::NoForecastReason::NoData, "the forecaster failed"))
        }));
        let mut inner = self.lock();
        let slot = time::align(now, inner.settings.step);
        inner.cached = Some((slot, Arc::clone(&answer)));
        answer
    }
}

/// One value for each slot between two measurements of a slow scrape, on the line from one to the other. Prometheus says
/// the same of the past, where a value stands until the next: without them, what was filled in would have no gaps, and
/// what is measured since would have nothing else.
fn between(last: Sample, next: Sample, step: Duration) -> Vec<Sample> {
    let apart = time::since(next.time(), last.time());
    if apart <= step || apart > SLOWEST_SCRAPE {
        return Vec::new();
    }
    let end = time::align(next.time(), step);
    let first = time::after(time::align(last.time(), step), step);
    std::iter::successors(Some(first), |begin| Some(time::after(*begin, step)))
        .take_while(|begin| *begin < end)
        .filter_map(|begin| {
            let middle = time::after(begin, step / 2);
            let share = time::since(middle, last.time()).as_secs_f64() / apart.as_secs_f64();
            Sample::new(middle, last.value() + share * (next.value() - last.value()))
        })
        .collect()
}

fn unready(inner: &Inner) -> View {
    let (reason, message) = match &inner.trouble {
        Some(absence) => (absence.reason.to_string(), format!("can't read history: {}", absence.message)),
        None => ("Learning".to_owned(), "history is being read".to_owned()),
    };
    View { outlook: decide::Outlook::Unknown { reason, message }, standing: None, record: None, drawn: None }
}

/// The score at the shortest horizon that reaches the lead time, or the longest there is.
pub(crate) fn score_at(standing: &forecast::Standing, lead: Duration) -> Option<&HorizonScore> {
    let scored = || standing.horizons.iter().filter(|h| h.scored > 0);
    scored().find(|h| h.ahead >= lead).or_else(|| scored().next_back())
}

/// One piece of work in the background.
struct Task {
    foresight: Foresight,
    workshop: Workshop,
    now: Timestamp,
    phase: f64,
}

impl Task {
    /// Reads history and makes a forecaster of it.
    async fn fill(self, source: Arc<dyn Source>, settings: Settings) {
        let Ok(_permit) = self.workshop.fills.clone().acquire_owned().await else { return };
        let step = settings.step;
        let to = time::align(self.now, step);
        let from = time::before(to, settings.history);
        match source.history(from, to, step).await {
            Ok(samples) => {
                let (history, forecaster) = self.learn(samples, from, to, settings).await;
                self.finish(forecaster, None, history, REFIT_EVERY.mul_f64(0.5 + self.phase));
            }
            Err(absence) => self.finish(None, Some(absence), None, RETRY_AFTER.mul_f64(0.5 + self.phase)),
        }
    }

    async fn learn(
        &self,
        samples: Vec<Sample>,
        from: Timestamp,
        to: Timestamp,
        settings: Settings,
    ) -> (Option<Series>, Option<Forecaster>) {
        let Ok(_permit) = self.workshop.fits.clone().acquire_owned().await else { return (None, None) };
        let step = settings.step;
        let work = move || {
            // History is read at the ends of steps; a value at a boundary belongs to the step that ended there.
            let shifted: Vec<Sample> = samples
                .iter()
                .filter_map(|s| Sample::new(time::before(s.time(), Duration::from_millis(1)), s.value()))
                .collect();
            let history = resample(&shifted, from, to, step, Aggregate::Mean).ok()?;
            let mut forecaster = Forecaster::new(settings);
            forecaster.back_fill(&history);
            Some((history, forecaster))
        };
        let begun = Instant::now();
        let learnt = tokio::task::spawn_blocking(work).await.ok().flatten();
        self.count(learnt.is_some(), begun);
        learnt.map_or((None, None), |(history, forecaster)| (Some(history), Some(forecaster)))
    }

    /// Learns anew on a copy, while the one in use goes on answering.
    async fn refit(self, forecaster: Arc<Forecaster>) {
        let Ok(_permit) = self.workshop.fits.clone().acquire_owned().await else { return };
        let begun = Instant::now();
        let mut copy = (*forecaster).clone();
        drop(forecaster);
        let fitted = tokio::task::spawn_blocking(move || {
            copy.refit();
            copy
        })
        .await
        .ok();
        self.count(fitted.is_some(), begun);
        self.finish(fitted, None, None, REFIT_EVERY.mul_f64(0.75 + 0.5 * self.phase));
    }

    fn count(&self, success: bool, begun: Instant) {
        let outcome = if success { Outcome::Success } else { Outcome::Failure };
        self.workshop.metrics.refitted(outcome, begun.elapsed().as_secs_f64());
    }

    fn finish(
        &self,
        forecaster: Option<Forecaster>,
        trouble: Option<Absence>,
        history: Option<Series>,
        again: Duration,
    ) {
        let mut inner = self.foresight.lock();
        inner.busy = false;
        inner.trouble = trouble;
        inner.next = time::after(self.now, again);
        inner.cached = None;
        if history.is_some() {
            inner.history = history;
        }
        let since = std::mem::take(&mut inner.since);
        if let Some(mut forecaster) = forecaster {
            for sample in since {
                forecaster.observe(sample);
            }
            inner.forecaster = Some(Arc::new(forecaster));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_signal_whose_past_nobody_keeps_is_forecast_once_it_was_watched_for_long_enough() {
        let foresight = Foresight::new(Settings::default());
        let workshop = Workshop::new(1, Metrics::default());
        let at = |slot: i64| Timestamp::from_second(1_767_571_200 + slot * 300).unwrap();
        foresight.tend_watched(at(0), &workshop, 0.5);
        let young = foresight.view(at(1), Duration::from_mins(2)).await;
        assert!(matches!(young.outlook, decide::Outlook::Unknown { .. }), "nothing was seen yet");
        let slots = 6 * 288;
        for slot in 0..slots {
            let day = slot as f64 / 288.0;
            let rate = 50.0 - 40.0 * (std::f64::consts::TAU * day).cos();
            foresight.observe(Sample::new(at(slot), rate).unwrap());
        }
        foresight.tend_watched(at(slots), &workshop, 0.5);
        for _ in 0..200 {
            if !foresight.lock().busy {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let view = foresight.view(at(slots), Duration::from_mins(2)).await;
        let decide::Outlook::Forecast(forecast) = view.outlook else { panic!("{:?}", view.outlook) };
        // The wave is at its trough at midnight.
        let trough = forecast.at(at(slots + 4), 0.5).unwrap();
        assert!((9.0..13.0).contains(&trough), "{trough}");
    }

    #[tokio::test]
    async fn after_a_jump_it_learns_ahead_of_its_turn() {
        let foresight = Foresight::new(Settings::default());
        let workshop = Workshop::new(1, Metrics::default());
        let at = |slot: i64| Timestamp::from_second(1_767_571_200 + slot * 300).unwrap();
        let mut forecaster = Forecaster::new(Settings::default());
        let wave = |slot: i64| 50.0 - 20.0 * (std::f64::consts::TAU * slot as f64 / 288.0).cos();
        let slots = 7 * 288;
        let history = Series::new(at(0), Duration::from_mins(5), (0..slots).map(wave).collect()).unwrap();
        forecaster.back_fill(&history);
        {
            let mut inner = foresight.lock();
            inner.forecaster = Some(Arc::new(forecaster));
            inner.next = at(slots + 100);
        }
        let busy = |slot| {
            foresight.tend_watched(at(slot), &workshop, 0.5);
            foresight.lock().busy
        };
        assert!(!busy(slots), "its turn is hours away");
        for slot in slots..slots + 8 {
            foresight.observe(Sample::new(at(slot), 3.0 * wave(slot)).unwrap());
        }
        assert!(busy(slots + 8), "the level jumped more than a quarter of an hour ago");
    }

    #[test]
    fn slots_between_two_measurements_lie_on_a_line_unless_they_are_too_far_apart() {
        let at = |second: i64, value: f64| {
            Sample::new(Timestamp::from_second(1_767_571_200 + second).unwrap(), value).unwrap()
        };
        let minute = Duration::from_mins(1);
        let seen = |last, next, step| between(last, next, step).iter().map(Sample::value).collect::<Vec<_>>();
        assert_eq!(between(at(0, 10.0), at(60, 70.0), minute), []);
        assert_eq!(between(at(59, 10.0), at(121, 72.0), minute), [at(90, 41.0)]);
        assert_eq!(seen(at(0, 0.0), at(300, 300.0), minute), [90.0, 150.0, 210.0, 270.0]);
        assert_eq!(between(at(0, 0.0), at(300, 300.0), minute * 5), []);
        assert_eq!(between(at(0, 0.0), at(600, 600.0), minute), [], "nobody knows what it was in between");
        assert_eq!(between(at(300, 0.0), at(0, 1.0), minute), [], "time went back");
    }

    #[tokio::test]
    async fn a_scrape_slower_than_the_step_leaves_no_gaps() {
        let step = Duration::from_mins(1);
        let settings = Settings { step, ..Settings::default() };
        let at = |second: i64| Timestamp::from_second(1_767_571_200 + second).unwrap();
        let wave = |second: i64| 50.0 - 20.0 * (std::f64::consts::TAU * second as f64 / 86_400.0).cos();
        let known = 5 * 86_400;
        let history =
            Series::new(at(0), step, (0..known / 60).map(|slot| wave(slot * 60)).collect()).unwrap();
        let mut forecaster = Forecaster::new(settings.clone());
        forecaster.back_fill(&history);
        let foresight = Foresight::new(settings);
        foresight.lock().forecaster = Some(Arc::new(forecaster));
        // A day of scrapes each two minutes, looked at each 15 s.
        for second in (known..known + 86_400).step_by(15) {
            let measured = second.div_euclid(120) * 120;
            foresight.observe(Sample::new(at(measured), wave(measured)).unwrap());
        }
        let view = foresight.view(at(known + 86_400), Duration::from_mins(2)).await;
        assert!(matches!(view.outlook, decide::Outlook::Forecast(_)), "{:?}", view.outlook);
    }
}
