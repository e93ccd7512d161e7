//! The simulated cluster of the demo, with Foresail and an HPA on the same load. What goes out is one [`Moment`] after
//! the other; what is done with them, and how fast, is somebody else's.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use backtest::{
    Answer, Cadence, Comparison, Contender, FORESAIL, Foresail, Issued, Load, Scaler, Setup, Tick, USUAL_HPA,
    View, replay_recorded,
};
use decide::{LeadTime, Policy, Record};
use jiff::Timestamp;
use series::{Forecast, Series, time};

use super::script::{HOURS, PER_REPLICA, Script};

/// A pod of a shop takes its time to start.
const STARTUP: Duration = Duration::from_secs(90);
/// The share of time the promise is to be kept.
const PROTECTION: f64 = 0.995;

/// The simulated cluster.
pub(super) struct Stage {
    setup: Setup,
    load: Load,
    issued: Arc<Issued>,
    hpa: Vec<Tick>,
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
    /// What the forecast that stood one lead time ago expected for now.
    pub(super) foreseen: Option<f64>,
}

/// A replay can't be stopped. Once nobody watches, nothing is decided any more, and the rest of the day passes in a
/// moment.
struct Braked<'a> {
    inner: Foresail,
    watching: &'a AtomicBool,
}

impl Scaler for Braked<'_> {
    fn decide(&mut self, view: &View<'_>, explain: bool) -> Answer {
        if self.watching.load(Ordering::Relaxed) {
            self.inner.decide(view, explain)
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
        policy.lead_time = LeadTime::Measured { until_known: STARTUP * 2 };
        if let Some(metric) = policy.metrics.first_mut() {
            "requests".clone_into(&mut metric.name);
        }
        let mut setup = Setup::new(policy, STARTUP, 1);
        setup.world.faults.clone_from(&script.faults);
        setup.world.crash_loops.clone_from(&script.crash_loops);
        setup.scored = Duration::from_secs(HOURS * 3_600);
        // A refit each six hours is enough for a day like the others.
        setup.cadence = Cadence { refit: Duration::from_secs(6 * 3_600), ..Cadence::default() };
        setup.contenders = vec![
            Contender::Hpa(70),
            Contender::Hpa(50),
            Contender::Keda(70),
            Contender::Cron,
            Contender::LastWeek,
            Contender::StaticPeak,
        ];
        let load = setup.load(&script.recording).context("the recording")?;
        let issued = setup.issue(&load);
        let mut hpa = Vec::new();
        let mut scaler = Contender::Hpa(70).scaler(&load, &setup.world);
        replay_recorded(&load, &setup.world, &mut *scaler, USUAL_HPA, &mut |tick| hpa.push(tick));
        Ok(Self { setup, load, issued, hpa })
    }

    /// Plays the day; ends early where `watch` says no.
    pub(super) fn run(&self, watch: &mut dyn FnMut(&Moment) -> bool) {
        let watching = AtomicBool::new(true);
        let foresail = Foresail::new(&self.load, self.setup.policy.clone(), Arc::clone(&self.issued));
        let mut scaler = Braked { inner: foresail, watching: &watching };
        let mut index = 0;
        replay_recorded(&self.load, &self.setup.world, &mut scaler, FORESAIL, &mut |tick| {
            let hpa = self.hpa.get(index).cloned();
            index += 1;
            if let Some(hpa) = hpa.filter(|_| watching.load(Ordering::Relaxed)) {
                watching.store(watch(&self.moment(tick, hpa)), Ordering::Relaxed);
            }
        });
    }

    fn moment(&self, ours: Tick, hpa: Tick) -> Moment {
        let now = ours.time;
        let record: Option<Record> = serde_json::from_value(ours.why.record.clone()).ok();
        let lead = record.as_ref().map_or(STARTUP, |r| r.recommendation.lead);
        let stood =
            |at: Timestamp| self.issued.at(at).and_then(|issue| issue.forecast.as_ref().ok()).cloned();
        let foreseen = stood(time::before(now, lead)).and_then(|f| f.at(now, 0.5));
        Moment {
            elapsed: time::since(now, self.load.start()),
            now,
            forecast: stood(now),
            foreseen,
            record,
            ours,
            hpa,
        }
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

    /// The model behind the forecasts at `now`, and how good it is.
    pub(super) fn standing(&self, now: Timestamp) -> Option<Arc<forecast::Standing>> {
        self.issued.at(now).map(|issue| Arc::clone(&issue.standing))
    }

    /// The whole day under each way of scaling.
    pub(super) fn comparison(&self) -> Comparison {
        backtest::compare(&self.setup, &self.load, &self.issued, &|_| {})
    }
}
