//! The simplest policies, and the one that knows the future.

use crate::load::Load;
use crate::load::RUN_IN;
use crate::replay::{WINDOW, needs};
use crate::scaler::{Answer, Scaler, View};
use crate::world::World;

/// As many replicas as the highest need of the whole span, all the time.
#[derive(Clone, Copy, Debug)]
pub struct Static(pub u32);

impl Static {
    /// The true peak: generous, since nobody knows it beforehand.
    pub fn peak(load: &Load, world: &World) -> Self {
        Self(needs(load, world).into_iter().max().unwrap_or(1))
    }
}

impl Scaler for Static {
    fn decide(&mut self, _: &View<'_>, explain: bool) -> Answer {
        Answer::with(self.0, explain, &[("peak", self.0)])
    }
}

/// As many replicas as the last measurement needs, up and down at once.
#[derive(Clone, Copy, Debug)]
pub struct LastValue {
    /// What one replica carries within its promise.
    pub per_replica: f64,
}

impl Scaler for LastValue {
    fn decide(&mut self, view: &View<'_>, explain: bool) -> Answer {
        let Some(value) = view.signal.reading.fresh() else { return Answer::plain(view.spec) };
        let n = (value / self.per_replica).ceil() as u32;
        Answer::with(n, explain, &[("last value", n)])
    }
}

/// Knows every need to come, but not how long a pod takes: orders for the largest need within its lead, and lets go of
/// what isn't needed within the break-even time. The distance from here to the oracle is the price of late pods; from
/// us to here, that of not knowing the future.
#[derive(Clone, Debug)]
pub struct Clairvoyant {
    /// For each second of the replay, in scoring windows: the need.
    need: Vec<u32>,
    lead: usize,
    keep: usize,
    held: u32,
}

impl Clairvoyant {
    /// For a load in a world, ordering `lead` and keeping `keep` seconds ahead.
    pub fn new(load: &Load, world: &World, lead: usize, keep: usize) -> Self {
        Self { need: needs(load, world), lead, keep: keep.max(lead), held: 0 }
    }

    fn most(&self, second: usize, ahead: usize) -> u32 {
        let window = |s: usize| s.saturating_sub(RUN_IN as usize) / WINDOW;
        let from = window(second).min(self.need.len());
        let to = (window(second + ahead) + 1).min(self.need.len());
        self.need[from..to].iter().copied().max().unwrap_or(1).max(1)
    }
}

impl Scaler for Clairvoyant {
    fn decide(&mut self, view: &View<'_>, explain: bool) -> Answer {
        let up = self.most(view.second, self.lead);
        let keep = self.most(view.second, self.keep);
        self.held = if up > view.spec { up } else { view.spec.min(keep).max(up) };
        Answer::with(self.held, explain, &[("lead", up), ("keep", keep)])
    }
}
