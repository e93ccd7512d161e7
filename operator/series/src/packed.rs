//! A regular grid of loads in two bytes a slot, for what is kept long.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use jiff::Timestamp;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Series;
use crate::regular::MAX_SLOTS;

/// Loads on a regular grid since the epoch, oldest first. A slot holds the value of the time that *begins* there, or
/// nothing: a gap stays a gap. Each takes two bytes: eleven significant bits, so that a value is off by at most 1 in 2048,
/// from about 1e-6 to 1.7e13; what lies outside becomes the nearest of these, and only zero is zero.
///
/// Rounding is a function of the value alone ([`Packed::rounded`]): the same loads pack to the same bits, wherever they
/// came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    step: u32,
    /// The number of the first slot since the epoch.
    first: i64,
    slots: Vec<u16>,
}

const ZERO: u16 = 0;
const GAP: u16 = u16::MAX;
/// Bits after the leading one.
const FRACTION: u32 = 10;
/// The exponent of the smallest value.
const LEAST: i32 = -20;

impl Packed {
    /// An empty grid with slots of `step`: whole seconds, at least one.
    pub fn new(step: Duration) -> Self {
        Self { step: u32::try_from(step.as_secs()).unwrap_or(u32::MAX).max(1), first: 0, slots: Vec::new() }
    }

    /// The value as it is kept. NaN, infinities and what is below zero are no loads.
    pub fn rounded(value: f64) -> Option<f64> {
        decode(encode(Some(value)))
    }

    /// The length of a slot.
    pub fn step(&self) -> Duration {
        Duration::from_secs(u64::from(self.step))
    }

    /// How many slots there are, gaps included.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// When the first slot begins.
    pub fn start(&self) -> Timestamp {
        self.time_of(0)
    }

    /// When the last slot ends.
    pub fn end(&self) -> Timestamp {
        self.time_of(self.slots.len())
    }

    fn time_of(&self, index: usize) -> Timestamp {
        let second = (self.first.saturating_add(index as i64)).saturating_mul(i64::from(self.step));
        Timestamp::from_second(second).unwrap_or(Timestamp::MAX)
    }

    /// Appends the slot that holds `begin`. Slots between become gaps; a slot that is known already is left as it is. A
    /// jump of more slots than `most` begins anew. Says whether it was appended.
    pub fn push(&mut self, begin: Timestamp, value: Option<f64>, most: usize) -> bool {
        let slot = begin.as_second().div_euclid(i64::from(self.step));
        let missed = slot - (self.first + self.slots.len() as i64);
        if self.slots.is_empty() || missed > most as i64 {
            self.first = slot;
            self.slots.clear();
        } else if missed < 0 {
            return false;
        } else {
            self.slots.resize(self.slots.len() + missed as usize, GAP);
        }
        self.slots.push(encode(value));
        true
    }

    /// Forgets all but the newest `slots` slots, some at a time: more than a sixteenth too many stay no longer.
    pub fn keep_last(&mut self, slots: usize) {
        if self.slots.len() > slots + slots / 16 {
            let surplus = self.slots.len() - slots;
            self.slots.drain(..surplus);
            self.first += surplus as i64;
        }
    }

    /// The value of the slot that `at` falls into.
    pub fn at(&self, at: Timestamp) -> Option<f64> {
        let index = at.as_second().div_euclid(i64::from(self.step)) - self.first;
        decode(*self.slots.get(usize::try_from(index).ok()?)?)
    }

    /// The values from the slot on that `begin` falls into, as far as they are known; gaps for slots before the first.
    pub fn values_from(&self, begin: Timestamp) -> impl Iterator<Item = Option<f64>> + '_ {
        let index = begin.as_second().div_euclid(i64::from(self.step)) - self.first;
        let before = usize::try_from(-index).unwrap_or(0);
        let known = self.slots.get(usize::try_from(index).unwrap_or(0)..).unwrap_or_default();
        std::iter::repeat_n(None, before).chain(known.iter().map(|code| decode(*code)))
    }

    /// All slots in order, with the time each begins.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (Timestamp, Option<f64>)> + '_ {
        self.slots.iter().enumerate().map(|(i, code)| (self.time_of(i), decode(*code)))
    }

    /// The slots that begin in `[from, to)`.
    pub fn between(&self, from: Timestamp, to: Timestamp) -> Series {
        let index = |at: Timestamp| {
            let ends =
                at.as_second().saturating_add(i64::from(self.step) - 1).div_euclid(i64::from(self.step));
            usize::try_from(ends.saturating_sub(self.first).max(0))
                .unwrap_or(usize::MAX)
                .min(self.slots.len())
        };
        let (first, last) = (index(from), index(to).max(index(from)));
        let values = self.slots[first..last].iter().map(|c| decode(*c).unwrap_or(f64::NAN)).collect();
        Series::of_whole_seconds(self.time_of(first), self.step, values)
    }

    /// The mean of up to `factor` slots in one, aligned to the multiple of the new step since the epoch. Slots at the ends,
    /// and those with gaps, are the mean of what is there.
    #[must_use]
    pub fn coarsened(&self, factor: u32) -> Self {
        let mut coarse = Self::new(self.step() * factor.max(1));
        let mut open: Option<(i64, f64, u32)> = None;
        let close = |packed: &mut Self, (slot, sum, n): (i64, f64, u32)| {
            let begin = Timestamp::from_second(slot * i64::from(packed.step)).unwrap_or(Timestamp::MAX);
            packed.push(begin, (n > 0).then(|| sum / f64::from(n)), usize::MAX >> 1);
        };
        for (begin, value) in self.iter() {
            let slot = begin.as_second().div_euclid(i64::from(coarse.step));
            if let Some(ended) = open.take_if(|(of, ..)| *of != slot) {
                close(&mut coarse, ended);
            }
            let (_, sum, n) = open.get_or_insert((slot, 0.0, 0));
            if let Some(value) = value {
                *sum += value;
                *n += 1;
            }
        }
        if let Some(last) = open {
            close(&mut coarse, last);
        }
        coarse
    }
}

/// A sixteen-bit code that rises with the value: zero, then exponent and fraction, then the gap.
fn encode(value: Option<f64>) -> u16 {
    let Some(value) = value.filter(|v| v.is_finite() && *v >= 0.0) else { return GAP };
    if value == 0.0 {
        return ZERO;
    }
    let bits = value.to_bits();
    // Round half up by adding half of the last kept bit: a carry goes into the exponent, as it should.
    let rounded = bits.saturating_add(1 << (51 - FRACTION)) >> (52 - FRACTION);
    let least = (u64::try_from(1023 + LEAST).unwrap_or(0)) << FRACTION;
    let code = rounded.saturating_sub(least);
    u16::try_from(code).unwrap_or(u16::MAX).clamp(ZERO + 1, GAP - 1)
}

fn decode(code: u16) -> Option<f64> {
    match code {
        ZERO => Some(0.0),
        GAP => None,
        code => {
            let least = (u64::try_from(1023 + LEAST).unwrap_or(0)) << FRACTION;
            Some(f64::from_bits((u64::from(code) + least) << (52 - FRACTION)))
        }
    }
}

/// As stored: the step in seconds, the first slot, and the slots' bytes in base64.
#[derive(Serialize, Deserialize)]
struct Stored {
    step: u32,
    first: i64,
    slots: String,
}

impl Serialize for Packed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bytes: Vec<u8> = self.slots.iter().flat_map(|code| code.to_le_bytes()).collect();
        Stored { step: self.step, first: self.first, slots: STANDARD_NO_PAD.encode(bytes) }
            .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Packed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let stored = Stored::deserialize(deserializer)?;
        let bytes = STANDARD_NO_PAD.decode(stored.slots).map_err(D::Error::custom)?;
        let far = stored.first.unsigned_abs().saturating_mul(u64::from(stored.step)) > 1 << 38;
        if stored.step == 0 || far || bytes.len() % 2 != 0 || bytes.len() as u64 / 2 > MAX_SLOTS {
            return Err(D::Error::custom(
                "no packed series: a step of 0, a time out of range, or half a slot",
            ));
        }
        let slots = bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
        Ok(Self { step: stored.step, first: stored.first, slots })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    proptest! {
        #[test]
        fn a_value_is_off_by_at_most_one_in_two_thousand(value in 1e-5f64..1e13) {
            let kept = Packed::rounded(value).unwrap();
            prop_assert!((kept / value - 1.0).abs() <= 1.0 / 2_048.0, "{value} {kept}");
            prop_assert_eq!(Packed::rounded(kept), Some(kept), "rounding twice is rounding once");
        }
    }

    #[test]
    fn coarse_slots_are_means_of_what_is_there() {
        let mut fine = Packed::new(Duration::from_secs(60));
        for (minute, value) in [(1, Some(2.0)), (2, Some(4.0)), (3, None), (4, Some(8.0)), (9, Some(16.0))] {
            fine.push(at(minute * 60), value, 100);
        }
        let coarse = fine.coarsened(3);
        let slots: Vec<_> = coarse.iter().map(|(begin, value)| (begin.as_second() / 60, value)).collect();
        assert_eq!(slots, [(0, Some(3.0)), (3, Some(8.0)), (6, None), (9, Some(16.0))]);
        assert_eq!(coarse.step(), Duration::from_secs(180));
        assert!(Packed::new(Duration::from_secs(60)).coarsened(15).is_empty());
    }

    #[test]
    fn values_are_told_from_any_slot_on() {
        let mut packed = Packed::new(Duration::from_secs(60));
        for (minute, value) in [(5, Some(2.0)), (7, Some(4.0))] {
            packed.push(at(minute * 60), value, 100);
        }
        let from = |second: i64| packed.values_from(at(second)).collect::<Vec<_>>();
        assert_eq!(from(300), [Some(2.0), None, Some(4.0)]);
        assert_eq!(from(419), [None, Some(4.0)], "the slot that the time falls into");
        assert_eq!(from(180), [None, None, Some(2.0), None, Some(4.0)], "before the first are gaps");
        assert_eq!(from(480), []);
    }

    #[test]
    fn only_zero_is_zero_and_only_loads_are_loads() {
        assert_eq!(Packed::rounded(0.0), Some(0.0));
        assert!(Packed::rounded(1e-300).unwrap() > 0.0);
        assert!(Packed::rounded(1e300).unwrap() > 1e13);
        assert_eq!((Packed::rounded(f64::NAN), Packed::rounded(-1.0)), (None, None));
        assert_eq!(Packed::rounded(1.0), Some(1.0));
    }

    #[test]
    fn a_gap_stays_a_gap_and_a_known_slot_as_it_is() {
        let mut packed = Packed::new(Duration::from_secs(60));
        assert!(packed.push(at(120), Some(4.0), 100));
        assert!(packed.push(at(241), Some(8.0), 100));
        assert!(!packed.push(at(180), Some(9.0), 100));
        let values: Vec<_> = packed.iter().collect();
        assert_eq!(values, [(at(120), Some(4.0)), (at(180), None), (at(240), Some(8.0))]);
        assert_eq!((packed.at(at(299)), packed.at(at(300))), (Some(8.0), None));
        let series = packed.between(at(121), at(241));
        assert_eq!((series.start(), series.len()), (at(180), 2));
        assert!(packed.push(at(60 * 200), Some(1.0), 100), "too far apart: anew");
        assert_eq!(packed.len(), 1);
    }

    #[test]
    fn it_reads_what_it_wrote_and_refuses_the_rest() {
        let mut packed = Packed::new(Duration::from_secs(900));
        for i in 0..1_344 {
            packed.push(at(1_767_571_200 + i * 900), Some(i as f64), 2_000);
        }
        let text = serde_json::to_string(&packed).unwrap();
        assert!(text.len() < 3_700, "{}", text.len());
        assert_eq!(serde_json::from_str::<Packed>(&text).unwrap(), packed);
        for wrong in [r#"{"step":0,"first":0,"slots":""}"#, r#"{"step":1,"first":0,"slots":"AA"}"#] {
            assert!(serde_json::from_str::<Packed>(wrong).is_err());
        }
    }
}
