//! The simulated cluster of the demo, with Foresail and an HPA on the same load. What goes out is one [`Moment`] after
//! the other; what is done with them, and how fast, is somebody else's.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use autoscaler::{Prepared, Savings};
use backtest::{
    Answer, Comparison, Contender, FORESAIL, Foresail, Load, Outcome, Scaler, Setup, Tick, USUAL_HPA, View,
    replay_recorded,
};
use controller::actuate::{Actuation, Applied, Skip};
use controller::report::outcome::{Decided, sentence};
use controller::validate::Intent;
use decide::{Plan, Selection};
use health::snapshot::PolicyKey;
use jiff::Timestamp;
use series::{Forecast, Series, time};

use super::script::{HOURS, Script};
use crate::policy_file;

/// A pod of a shop takes its time to start.
const STARTUP: Duration = Duration::from_secs(90);
/// The demo's policy, as a user would apply it.
const POLICY: &str = include_str!("policy.yaml");

/// The simulated cluster.
pub(super) struct Stage {
    key: PolicyKey,
    intent: Intent,
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
    pub(super) decided: autoscaler::Decided,
    /// Replica-hours saved by then.
    pub(super) savings: Savings,
    /// Which strategy is selected.
    pub(super) selection: Selection,
    /// The HPA's tick at the same time.
    pub(super) hpa: Tick,
    /// How long the decision took, in real time.
    pub(super) took: Duration,
}

impl Moment {
    /// The whole forecast that stood then; the record only holds the part that was looked at.
    pub(super) fn forecast(&self) -> Option<&Forecast> {
        self.decided.forecasts.first()?.forecast.as_deref().ok()
    }

    /// The decision as the operator reports one. In a replay every write succeeds.
    pub(super) fn reported(&self) -> Decided {
        let autoscaler::Decided { record, plan, forecasts } = self.decided.clone();
        let actuation = match plan {
            Plan::Scale { from, to } => Actuation::Applied(Applied::in_replay(from, to)),
            Plan::Suggest { to, .. } => Actuation::Skipped(Skip::Suggested(to)),
            Plan::Hold { .. } => Actuation::Skipped(Skip::Hold),
        };
        let sentence = sentence(&record.recommendation);
        Decided { record, plan, forecasts, actuation, sentence, notes: Vec::new() }
    }
}

/// What is told of a decision besides its number.
struct Told {
    decided: autoscaler::Decided,
    savings: Savings,
    selection: Selection,
    took: Duration,
}

/// A replay can't be stopped. Once nobody watches, nothing is decided any more, and the rest of the day passes in a
/// moment.
struct Braked<'a> {
    inner: Foresail,
    watching: &'a AtomicBool,
    told: &'a Mutex<Option<Told>>,
}

impl Scaler for Braked<'_> {
    fn decide(&mut self, view: &View<'_>, explain: bool) -> Answer {
        if !self.watching.load(Ordering::Relaxed) {
            return Answer::plain(view.spec);
        }
        let begun = Instant::now();
        let answer = self.inner.decide(view, explain);
        let took = begun.elapsed();
        let told = self.inner.last().map(|decided| Told {
            decided: decided.clone(),
            savings: self.inner.savings().clone(),
            selection: self.inner.selection().clone(),
            took,
        });
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = told;
        answer
    }
}

/// The demo's policy, read as a user's would be.
fn policy() -> anyhow::Result<(PolicyKey, Intent)> {
    let (policy, intent) = policy_file::read("the demo's policy", POLICY)?;
    let name = |name: Option<String>| name.unwrap_or_default();
    Ok((PolicyKey::new(name(policy.metadata.namespace), name(policy.metadata.name)), intent))
}

impl Stage {
    /// Learns the known weeks and lets the HPA run through the day.
    pub(super) fn build(script: &Script) -> anyhow::Result<Self> {
        let (key, mut intent) = policy()?;
        intent.policy.calendar.clone_from(&script.calendar);
        let mut setup = Setup::new(intent.policy.clone(), STARTUP, 1);
        setup.forecast = intent.forecast.clone();
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
        Ok(Self { key, intent, setup, load, forecasts, hpa, hpa_outcome })
    }

    /// Plays the day; ends early where `watch` says no, and then there is no outcome.
    pub(super) fn run(&self, watch: &mut dyn FnMut(&Moment) -> bool) -> Option<Outcome> {
        let (watching, told) = (AtomicBool::new(true), Mutex::new(None));
        let policy = self.setup.policy.clone();
        let (settings, world) = (&self.setup.forecast, &self.setup.world);
        let foresail = Foresail::new(&self.load, policy, settings, &self.forecasts, world);
        let mut scaler = Braked { inner: foresail, watching: &watching, told: &told };
        let mut index = 0;
        let outcome = replay_recorded(&self.load, &self.setup.world, &mut scaler, FORESAIL, &mut |ours| {
            let hpa = self.hpa.get(index).cloned();
            index += 1;
            let told = told.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let (Some(hpa), Some(told)) = (hpa, told) {
                let Told { decided, savings, selection, took } = told;
                let now = ours.time;
                let elapsed = time::since(now, self.load.start());
                let moment = Moment { elapsed, now, ours, decided, savings, selection, hpa, took };
                watching.store(watch(&moment), Ordering::Relaxed);
            }
        });
        watching.into_inner().then_some(outcome)
    }

    /// The policy's namespace and name.
    pub(super) fn key(&self) -> &PolicyKey {
        &self.key
    }

    /// What the policy asks for.
    pub(super) fn intent(&self) -> &Intent {
        &self.intent
    }

    /// The name of the policy's only metric.
    pub(super) fn metric(&self) -> &str {
        self.intent.signals.first().map_or("", |signal| &signal.name)
    }

    /// The share of time for which the policy promises enough replicas.
    pub(super) fn protection(&self) -> f64 {
        self.intent.policy.protection.quantile()
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

    /// The whole day under each way of scaling.
    pub(super) fn comparison(&self) -> Comparison {
        backtest::compare(&self.setup, &self.load, &self.forecasts, &|_| {})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_is_valid_and_has_the_metric_that_is_played() {
        let (key, intent) = policy().unwrap();
        assert_eq!(key.to_string(), "shop/checkout");
        assert_eq!((intent.signals.len(), intent.policy.calendar.len()), (1, 0));
    }
}
