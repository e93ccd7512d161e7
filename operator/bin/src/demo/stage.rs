//! The simulated cluster of the demo, with Foresail and an HPA on the same load. What goes out is one [`Moment`] after
//! the other; what is done with them, and how fast, is somebody else's.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use autoscaler::Prepared;
use backtest::{
    Answer, Comparison, Contender, FORESAIL, Foresail, Load, Outcome, Scaler, Setup, Tick, USUAL_HPA, View,
    replay_recorded,
};
use decide::{LeadTime, Policy, Record};
use jiff::Timestamp;
use series::{Forecast, Series, time};

use super::script::{HOURS, PER_REPLICA, Script};

/// A pod of a shop takes its time to start.
const STARTUP: Duration = Duration::from_secs(90);
/// The share of time the promise is to be kept.
pub(super) const PROTECTION: f64 = 0.995;

/// The simulated cluster.
pub(super) struct Stage {
    setup: Setup,
    load: Load,
    forecasts: Vec<Arc<Prepared>>,
    hpa: Vec<Tick>,
    hpa_outcome: Outcome,
}

/// One decision, and what everybody has by then.
pub(super) struct Moment {
    /// Since the beginning of the replay.
    pub(super) elapsed: Duration,
    /// Simulated time.
    pub(super) now: Timestamp,
    /// Foresail's tick.
    pub(super) ours: Tick,
    /// The decision behind it, with everything it was made of.
    pub(super) record: Option<Record>,
    /// The HPA's tick at the same time.
    pub(super) hpa: Tick,
    /// The whole forecast that stood then; the record only holds the part that was looked at.
    pub(super) forecast: Option<Arc<Forecast>>,
    /// What the forecast that stood one lead time ago expected for now: the median, and the protected upper bound.
    pub(super) foreseen: (Option<f64>, Option<f64>),
    /// How long the decision took, in real time.
    pub(super) took: Duration,
}

/// A replay can't be stopped. Once nobody watches, nothing is decided any more, and the rest of the day passes in a
/// moment.
struct Braked<'a> {
    inner: Foresail,
    watching: &'a AtomicBool,
    took: &'a AtomicU64,
}

impl Scaler for Braked<'_> {
    fn decide(&mut self, view: &View<'_>, explain: bool) -> Answer {
        if self.watching.load(Ordering::Relaxed) {
            let begun = Instant::now();
            let answer = self.inner.decide(view, explain);
            self.took.store(begun.elapsed().as_nanos() as u64, Ordering::Relaxed);
            answer
        } else {
            Answer::plain(view.spec)
        }
    }
}

impl Stage {
    /// Learns the known weeks and lets the HPA run through the day.
    pub(super) fn build(script: &Script) -> anyhow::Result<Self> {
        let mut policy = Policy::simple(2, 120, PER_REPLICA);
        policy.protection = PROTECTION;
        policy.calendar.clone_from(&script.calendar);
        policy.lead_time = LeadTime::Measured { until_known: STARTUP * 2 };
        if let Some(metric) = policy.metrics.first_mut() {
            "requests".clone_into(&mut metric.name);
        }
        let mut setup = Setup::new(policy, STARTUP, 1);
        setup.world.faults.clone_from(&script.faults);
        setup.world.crash_loops.clone_from(&script.crash_loops);
        setup.variants = true;
        setup.scored = Duration::from_secs(HOURS * 3_600);
        setup.contenders = vec![
            Contender::Hpa(70),
            Contender::Hpa(50),
            Contender::Keda(70),
            Contender::Cron,
            Contender::LastWeek,
            Contender::StaticPeak,
        ];
        let load = setup.load(&script.recording).context("the recording")?;
        let forecasts = setup.forecasts(&load);
        let mut hpa = Vec::new();
        let mut scaler = Contender::Hpa(70).scaler(&load, &setup.world);
        let hpa_outcome =
            replay_recorded(&load, &setup.world, &mut *scaler, USUAL_HPA, &mut |tick| hpa.push(tick));
        Ok(Self { setup, load, forecasts, hpa, hpa_outcome })
    }

    /// Plays the day; ends early where `watch` says no, and then there is no outcome.
    pub(super) fn run(&self, watch: &mut dyn FnMut(&Moment) -> bool) -> Option<Outcome> {
        let (watching, took) = (AtomicBool::new(true), AtomicU64::new(0));
        let policy = self.setup.policy.clone();
        let (settings, world) = (&self.setup.forecast, &self.setup.world);
        let foresail = Foresail::new(&self.load, policy, settings, &self.forecasts, world);
        let mut scaler = Braked { inner: foresail, watching: &watching, took: &took };
        let mut index = 0;
        let outcome = replay_recorded(&self.load, &self.setup.world, &mut scaler, FORESAIL, &mut |tick| {
            let hpa = self.hpa.get(index).cloned();
            index += 1;
            if let Some(hpa) = hpa.filter(|_| watching.load(Ordering::Relaxed)) {
                let took = Duration::from_nanos(took.load(Ordering::Relaxed));
                watching.store(watch(&self.moment(tick, hpa, took)), Ordering::Relaxed);
            }
        });
        watching.into_inner().then_some(outcome)
    }

    fn moment(&self, ours: Tick, hpa: Tick, took: Duration) -> Moment {
        let now = ours.time;
        let record: Option<Record> = serde_json::from_value(ours.why.record.clone()).ok();
        let lead = record.as_ref().map_or(STARTUP, |r| r.recommendation.lead);
        let level = record.as_ref().map_or(PROTECTION, protected_level);
        let stood = |at: Timestamp| {
            self.forecasts.first()?.at(at).and_then(|state| state.forecast.as_ref().ok()).cloned()
        };
        let before = stood(time::before(now, lead));
        let foreseen = |level| before.as_ref().and_then(|f| f.at(now, level));
        Moment {
            elapsed: time::since(now, self.load.start()),
            now,
            forecast: stood(now),
            foreseen: (foreseen(0.5), foreseen(level)),
            took,
            record,
            ours,
            hpa,
        }
    }

    /// What the HPA at 70 % made of the day.
    pub(super) fn hpa(&self) -> &Outcome {
        &self.hpa_outcome
    }

    /// When the replay begins.
    pub(super) fn start(&self) -> Timestamp {
        self.load.start()
    }

    /// The last day before it, minute by minute.
    pub(super) fn yesterday(&self) -> Series {
        let end = self.load.history().end();
        self.load.history().between(time::before(end, Duration::from_secs(86_400)), end)
    }

    /// The replicas that the busiest minute of the known weeks needed: what one would run without any autoscaler.
    pub(super) fn peak(&self) -> u32 {
        let most = self.load.history().iter().filter_map(|(_, value)| value).fold(0.0, f64::max);
        (most / PER_REPLICA).ceil() as u32
    }

    /// The model behind the forecasts at `now`, and how good it is.
    pub(super) fn standing(&self, now: Timestamp) -> Option<Arc<forecast::Standing>> {
        self.forecasts.first()?.at(now)?.standing.clone()
    }

    /// The whole day under each way of scaling.
    pub(super) fn comparison(&self) -> Comparison {
        backtest::compare(&self.setup, &self.load, &self.forecasts, &|_| {})
    }
}

/// The level of the forecast that a decision looked at.
pub(super) fn protected_level(record: &Record) -> f64 {
    record.recommendation.strategy.forecast.map_or(record.policy.protection, |f| f.quantile)
}
