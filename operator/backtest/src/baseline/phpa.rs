//! PredictiveHorizontalPodAutoscaler (`jthomperoo/predictive-horizontal-pod-autoscaler`): an HPA whose past
//! *replica counts*, not the load, are extrapolated by a linear and a Holt-Winters model; the largest of all counts
//! (`decisionType: maximum`, the default), and then the HPA's stabilization applies.

use std::collections::VecDeque;

use crate::hpa::{Hpa, HpaSpec, Metric, Normalizer};
use crate::scaler::{Answer, Scaler, View};

/// Seconds the linear model looks ahead, and calculations it looks back at.
const LOOK_AHEAD: f64 = 60.0;
const LINEAR_HISTORY: usize = 20;
/// The Holt-Winters model runs every ten minutes over a season of a day.
const SLOT: usize = 600;
const SEASON: usize = 144;
const ALPHA: f64 = 0.9;
const BETA: f64 = 0.9;
const GAMMA: f64 = 0.9;

/// The autoscaler with both of its models.
#[derive(Clone, Debug)]
pub struct Phpa {
    hpa: Hpa,
    normalizer: Normalizer,
    recent: VecDeque<(usize, f64)>,
    slots: Vec<f64>,
}

impl Phpa {
    /// On CPU utilization with a target in percent.
    pub fn new(target: u32, min: u32, max: u32) -> Self {
        Self {
            hpa: Hpa::new(HpaSpec::on(Metric::Utilization(target), min, max)),
            normalizer: Normalizer::new(None, min, max),
            recent: VecDeque::new(),
            slots: Vec::new(),
        }
    }

    /// Least squares over the recent calculations, read off a look-ahead from now.
    fn linear(&self, now: usize) -> Option<u32> {
        let n = self.recent.len() as f64;
        if n < 2.0 {
            return None;
        }
        let x = |at: usize| at as f64 - now as f64;
        let mean_x = self.recent.iter().map(|(at, _)| x(*at)).sum::<f64>() / n;
        let mean_y = self.recent.iter().map(|(_, y)| y).sum::<f64>() / n;
        let sxx: f64 = self.recent.iter().map(|(at, _)| (x(*at) - mean_x).powi(2)).sum();
        let sxy: f64 = self.recent.iter().map(|(at, y)| (x(*at) - mean_x) * (y - mean_y)).sum();
        let slope = if sxx > 0.0 { sxy / sxx } else { 0.0 };
        Some((mean_y + slope * (LOOK_AHEAD - mean_x)).ceil().max(0.0) as u32)
    }

    /// Additive Holt-Winters over the slots so far, one slot ahead, once two seasons are known.
    fn holt_winters(&self) -> Option<u32> {
        if self.slots.len() < 2 * SEASON {
            return None;
        }
        let first: f64 = self.slots[..SEASON].iter().sum::<f64>() / SEASON as f64;
        let second: f64 = self.slots[SEASON..2 * SEASON].iter().sum::<f64>() / SEASON as f64;
        let mut season: Vec<f64> = self.slots[..SEASON].iter().map(|v| v - first).collect();
        let (mut level, mut trend) = (first, (second - first) / SEASON as f64);
        for (i, value) in self.slots.iter().enumerate() {
            let s = season[i % SEASON];
            let before = level;
            level = ALPHA * (value - s) + (1.0 - ALPHA) * (level + trend);
            trend = BETA * (level - before) + (1.0 - BETA) * trend;
            season[i % SEASON] = GAMMA * (value - level) + (1.0 - GAMMA) * s;
        }
        Some((level + trend + season[self.slots.len() % SEASON]).ceil().max(0.0) as u32)
    }
}

impl Scaler for Phpa {
    fn decide(&mut self, view: &View<'_>, explain: bool) -> Answer {
        let Some(calculated) = self.hpa.proposal(view) else { return Answer::plain(view.spec) };
        self.recent.push_back((view.second, f64::from(calculated)));
        if self.recent.len() > LINEAR_HISTORY {
            self.recent.pop_front();
        }
        let slot_begins = view.second.is_multiple_of(SLOT);
        if slot_begins {
            self.slots.push(f64::from(calculated));
            if self.slots.len() > 4 * SEASON {
                self.slots.drain(..SEASON);
            }
        }
        let linear = self.linear(view.second).unwrap_or(calculated);
        let seasonal = if slot_begins { self.holt_winters().unwrap_or(calculated) } else { calculated };
        let proposal = calculated.max(linear).max(seasonal);
        let replicas = self.normalizer.normalize(view.second, view.spec, proposal);
        Answer::with(
            replicas,
            explain,
            &[("calculated", calculated), ("linear", linear), ("holt-winters", seasonal)],
        )
    }
}
