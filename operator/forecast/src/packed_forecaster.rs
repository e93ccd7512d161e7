//! A forecaster between two slots: what it learned, without the history that it learned from. The history is kept by
//! whoever feeds it, in two bytes a slot; the planes that models read, 29 bytes a slot, are made of it again when a slot has ended.

use jiff::Timestamp;
use series::Packed;

use crate::clean_history::CleanHistory;
use crate::feedback::Feedback;
use crate::forecaster::Forecaster;
use crate::history::History;
use crate::prefix_sums::PrefixSums;

/// What a value in single precision may be off by its exact one for both to be the same.
const SAME: f32 = 1e-6;

/// A forecaster without its history, which [`Forecaster::pack`] made: a seventh of the size, and less.
#[derive(Clone, Debug)]
pub struct PackedForecaster {
    /// Everything but the history and the cleaned past.
    learned: Forecaster,
    slots: usize,
    /// Slots that aren't in the cleaned past as they are in the history: gaps, glitches, what isn't to be learned from.
    unlike: Vec<Unlike>,
    /// What the cleaned past knows besides.
    past: Option<Box<CleanHistory>>,
}

/// A slot that is kept by itself.
#[derive(Clone, Copy, Debug)]
struct Unlike {
    index: u32,
    /// As in the history; NaN for a gap.
    raw: f32,
    /// As models see it.
    clean: f32,
    measured: bool,
}

impl Forecaster {
    /// Leaves the history to `history`, which must hold the slots that were observed on the same grid, as [`Packed`] rounds
    /// them.
    pub fn pack(mut self, history: &Packed) -> PackedForecaster {
        let values = std::mem::take(&mut self.history.values);
        let mut past = self.past.take().map(Box::new);
        let mut unlike = Vec::new();
        let known = known(&self.history, history, values.len());
        for (index, (raw, known)) in values.iter().copied().zip(known).enumerate() {
            let clean = past.as_ref().map_or(raw, |past| past.lin.values()[index]);
            let measured = past.as_ref().is_some_and(|past| past.measured[index]);
            let same = |a: f32, b: f32| (a - b).abs() <= SAME * b.abs();
            if !(measured && same(known, raw) && same(raw, clean)) {
                unlike.push(Unlike { index: index as u32, raw, clean, measured });
            }
        }
        unlike.shrink_to_fit();
        if let Some(past) = &mut past {
            (past.lin, past.log, past.measured) = (PrefixSums::default(), PrefixSums::default(), Vec::new());
        }
        self.forget_scratch();
        PackedForecaster { learned: self, slots: values.len(), unlike, past }
    }
}

/// The values of `own` from the history that is kept elsewhere, in the forecaster's unit; NaN for a gap.
fn known(own: &History, kept: &Packed, slots: usize) -> impl Iterator<Item = f32> {
    let begin = Timestamp::from_second(own.first.saturating_mul(own.step)).unwrap_or(Timestamp::MAX);
    let values = kept.values_from(begin).chain(std::iter::repeat(None)).take(slots);
    let unit = own.unit;
    values.map(move |value| {
        value.map_or(f32::NAN, |value| if unit > 0.0 { (value / unit) as f32 } else { 0.0 })
    })
}

impl PackedForecaster {
    /// The forecaster again, with the history that it was packed beside.
    pub fn unpack(self, history: &Packed) -> Forecaster {
        let Self { mut learned, slots, unlike, past } = self;
        let mut values: Vec<f32> = known(&learned.history, history, slots).collect();
        if let Some(mut past) = past {
            let mut clean = values.clone();
            let mut measured = vec![true; slots];
            for slot in &unlike {
                clean[slot.index as usize] = slot.clean;
                measured[slot.index as usize] = slot.measured;
            }
            past.log = PrefixSums::new(clean.iter().map(|v| v.max(0.0).ln_1p()).collect());
            past.lin = PrefixSums::new(clean);
            past.measured = measured;
            learned.past = Some(*past);
        }
        for slot in &unlike {
            values[slot.index as usize] = slot.raw;
        }
        learned.history.values = values;
        learned
    }

    /// As [`Forecaster::observe_replicas`].
    pub fn observe_replicas(&mut self, replicas: f64) {
        self.learned.observe_replicas(replicas);
    }

    /// As [`Forecaster::feedback`].
    pub fn feedback(&self) -> &Feedback {
        self.learned.feedback()
    }

    /// As [`Forecaster::set_feedback`].
    pub fn set_feedback(&mut self, feedback: Feedback) {
        self.learned.set_feedback(feedback);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use series::time;

    use super::*;
    use crate::settings::{Settings, Window};

    const STEP: Duration = Duration::from_mins(5);

    fn at(slot: u32) -> Timestamp {
        time::after(Timestamp::from_second(1_767_571_200).unwrap(), STEP * slot)
    }

    /// A daily wave with noise, gaps of a slot and of hours, glitches, hours of nothing, and a level that doubles at last.
    fn value(slot: u32) -> Option<f64> {
        let wave = 900.0 - 700.0 * (std::f64::consts::TAU * f64::from(slot) / 288.0).cos();
        let noise = f64::from(slot.wrapping_mul(2_654_435_761) >> 16) / 65_536.0;
        let level = if slot > 10 * 288 { 2.0 } else { 1.0 };
        let glitch = if slot.is_multiple_of(611) { 80.0 } else { 1.0 };
        let missing = slot.is_multiple_of(97) || (700..730).contains(&slot) || (2_500..2_520).contains(&slot);
        let load = if (1_300..1_310).contains(&slot) { 0.0 } else { wave * level * glitch };
        (!missing).then_some(load * (0.9 + 0.2 * noise))
    }

    /// A forecaster that is packed after each slot, as life does, and one that never is.
    #[test]
    fn packing_changes_nothing_but_rounding() {
        let excluded = vec![Window { from: at(1_000), to: at(1_050) }];
        let settings = Settings { history: Duration::from_hours(8 * 24), excluded, ..Settings::default() };
        let mut history = Packed::new(STEP);
        let push = |history: &mut Packed, slot: u32| history.push(at(slot), value(slot), usize::MAX >> 1);
        let known = 9 * 288;
        for slot in 0..known {
            push(&mut history, slot);
        }
        let mut open = Forecaster::new(settings);
        open.back_fill(&history.between(at(288), at(known)));
        let mut packed = open.clone().pack(&history);
        let mut compared = 0;
        for slot in known..known + 3 * 288 {
            let mut unpacked = packed.unpack(&history);
            push(&mut history, slot);
            for forecaster in [&mut open, &mut unpacked] {
                forecaster.observe_slot(at(slot), history.at(at(slot)));
                if slot.is_multiple_of(12) || forecaster.refit_is_due() {
                    forecaster.refit();
                }
            }
            let forecast = |f: &Forecaster| f.estimate(at(slot + 1)).unwrap();
            let (a, b) = (forecast(&open), forecast(&unpacked));
            for row in 0..12 {
                for level in [0.5, 0.95, 0.99] {
                    let (a, b) = (a.quantile(row, level).unwrap(), b.quantile(row, level).unwrap());
                    assert!((a - b).abs() <= 1e-3 * a, "slot {slot}, row {row}: {a} open, {b} packed");
                    compared += 1;
                }
            }
            let trust = |f: &Forecaster| f.predict(at(slot + 1)).map(|_| ()).map_err(|e| e.reason);
            assert_eq!(trust(&open), trust(&unpacked), "slot {slot}");
            packed = unpacked.pack(&history);
        }
        assert!(compared > 30_000);
    }
}
