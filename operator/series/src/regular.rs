//! A regular grid of measurements in which a gap is a gap.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::time;

/// Values on a regular grid: `start`, `start + step`, and so on. A slot holds the finite value of the bucket that
/// *begins* there, or nothing. There is no constructor that fills gaps with zero.
///
/// Stored as one `f64` a slot, NaN marking a gap, so that numeric code can borrow it without copying
/// ([`Series::raw`]).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Series {
    start: Timestamp,
    step: Duration,
    #[serde(with = "gaps_as_null")]
    values: Vec<f64>,
}

/// Why a series can't be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SeriesError {
    /// Steps are whole seconds, one or more.
    #[error("a step of {0:?} isn't a whole number of seconds above zero")]
    Step(Duration),
    /// The window ends before it starts, or is absurdly long.
    #[error("the window from {start} to {end} holds no sensible number of steps")]
    Window {
        /// First slot.
        start: Timestamp,
        /// Exclusive end.
        end: Timestamp,
    },
}

/// More slots than this is a mistake in the caller's units: 20 years at a minute.
pub(crate) const MAX_SLOTS: u64 = 10_519_200;

impl Series {
    /// A series from its slots. NaN and infinities become gaps.
    pub fn new(start: Timestamp, step: Duration, values: Vec<f64>) -> Result<Self, SeriesError> {
        if step.as_secs() == 0 || step.subsec_nanos() != 0 {
            return Err(SeriesError::Step(step));
        }
        let values = values.into_iter().map(|v| if v.is_finite() { v } else { f64::NAN }).collect();
        Ok(Self { start, step, values })
    }

    /// The same from a step that is one of whole seconds already.
    pub(crate) fn of_whole_seconds(start: Timestamp, step: u32, values: Vec<f64>) -> Self {
        Self { start, step: Duration::from_secs(u64::from(step.max(1))), values }
    }

    /// When the first slot begins.
    pub fn start(&self) -> Timestamp {
        self.start
    }

    /// The length of a slot: whole seconds, at least one.
    pub fn step(&self) -> Duration {
        self.step
    }

    /// When the last slot ends, which is when a next one would begin.
    pub fn end(&self) -> Timestamp {
        self.time_of(self.values.len())
    }

    /// How many slots there are, gaps included.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are no slots at all.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// When slot `index` begins; also for an index past the end.
    pub fn time_of(&self, index: usize) -> Timestamp {
        let seconds = self.step.as_secs().saturating_mul(index as u64);
        time::after(self.start, Duration::from_secs(seconds))
    }

    /// The slot that `at` falls into, if it's inside the series.
    pub fn index_of(&self, at: Timestamp) -> Option<usize> {
        if at < self.start {
            return None;
        }
        let index = usize::try_from(time::since(at, self.start).as_secs() / self.step.as_secs()).ok()?;
        (index < self.values.len()).then_some(index)
    }

    /// The value of a slot; `None` for a gap and outside the series.
    pub fn get(&self, index: usize) -> Option<f64> {
        self.values.get(index).copied().filter(|v| !v.is_nan())
    }

    /// The value of the slot that `at` falls into.
    pub fn at(&self, at: Timestamp) -> Option<f64> {
        self.index_of(at).and_then(|index| self.get(index))
    }

    /// The newest slot with a value: when it began, and the value.
    pub fn last(&self) -> Option<(Timestamp, f64)> {
        let index = self.values.iter().rposition(|v| !v.is_nan())?;
        Some((self.time_of(index), self.values[index]))
    }

    /// All slots in order, with the time each begins.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (Timestamp, Option<f64>)> + ExactSizeIterator + '_ {
        self.values.iter().enumerate().map(|(i, v)| (self.time_of(i), (!v.is_nan()).then_some(*v)))
    }

    /// The slots as numbers, NaN marking a gap.
    pub fn raw(&self) -> &[f64] {
        &self.values
    }

    /// The share of slots with a value, 0 to 1; 0 for an empty series.
    pub fn coverage(&self) -> f64 {
        if self.values.is_empty() {
            return 0.0;
        }
        self.values.iter().filter(|v| !v.is_nan()).count() as f64 / self.values.len() as f64
    }

    /// Appends the next slot. NaN and infinities become a gap.
    pub fn push(&mut self, value: Option<f64>) {
        self.values.push(value.filter(|v| v.is_finite()).unwrap_or(f64::NAN));
    }

    /// Forgets all but the newest `slots` slots.
    pub fn keep_last(&mut self, slots: usize) {
        let surplus = self.values.len().saturating_sub(slots);
        if surplus > 0 {
            self.start = self.time_of(surplus);
            self.values.drain(..surplus);
        }
    }

    /// The slots that begin in `[from, to)`, as a series of their own.
    pub fn between(&self, from: Timestamp, to: Timestamp) -> Self {
        let first = self.slots_before(from);
        let last = self.slots_before(to).max(first);
        Self { start: self.time_of(first), step: self.step, values: self.values[first..last].to_vec() }
    }

    /// How many slots begin before `at`.
    fn slots_before(&self, at: Timestamp) -> usize {
        if at <= self.start {
            return 0;
        }
        let slots = time::since(at, self.start).as_secs().div_ceil(self.step.as_secs());
        usize::try_from(slots).unwrap_or(usize::MAX).min(self.values.len())
    }

    /// A coarser series in which each slot is the mean of `factor` slots here, aligned to the multiple of the new
    /// step since the epoch. A coarse slot needs half of its fine ones; incomplete first and last slots are left
    /// out. A `factor` of 0 counts as 1.
    pub fn coarsen(&self, factor: usize) -> Self {
        let factor = factor.max(1);
        if factor == 1 {
            return self.clone();
        }
        let step = self.step * u32::try_from(factor).unwrap_or(u32::MAX);
        let aligned = time::align(self.start, step);
        let first_time = if aligned == self.start { aligned } else { time::after(aligned, step) };
        let skip = self.slots_before(first_time);
        let values = self.values[skip..]
            .chunks_exact(factor)
            .map(|chunk| {
                let (sum, n) =
                    chunk.iter().filter(|v| !v.is_nan()).fold((0.0, 0), |(s, n), v| (s + v, n + 1));
                if n * 2 >= factor { sum / f64::from(n as u32) } else { f64::NAN }
            })
            .collect();
        Self { start: self.time_of(skip), step, values }
    }
}

/// Equal where gaps are in the same slots and all values are the same.
impl PartialEq for Series {
    fn eq(&self, other: &Self) -> bool {
        self.start == other.start
            && self.step == other.step
            && self.values.len() == other.values.len()
            && self.values.iter().zip(&other.values).all(|(a, b)| a == b || (a.is_nan() && b.is_nan()))
    }
}

/// JSON knows no NaN: a gap travels as null.
mod gaps_as_null {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(values: &[f64], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(values.iter().map(|v| (!v.is_nan()).then_some(*v)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f64>, D::Error> {
        let values = Vec::<Option<f64>>::deserialize(deserializer)?;
        Ok(values.into_iter().map(|v| v.unwrap_or(f64::NAN)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(values: &[f64]) -> Series {
        Series::new(Timestamp::from_second(0).unwrap(), Duration::from_secs(60), values.to_vec()).unwrap()
    }

    #[test]
    fn a_step_of_zero_or_a_fraction_is_refused() {
        let start = Timestamp::UNIX_EPOCH;
        assert!(Series::new(start, Duration::ZERO, vec![]).is_err());
        assert!(Series::new(start, Duration::from_millis(1_500), vec![]).is_err());
    }

    #[test]
    fn gaps_survive_json_and_infinities_become_gaps() {
        let s = series(&[1.0, f64::NAN, f64::INFINITY, 0.0]);
        assert_eq!(s.iter().map(|(_, v)| v).collect::<Vec<_>>(), [Some(1.0), None, None, Some(0.0)]);
        let back: Series = serde_json::from_str(&serde_json::to_string(&s).unwrap()).unwrap();
        assert_eq!(back, s);
    }

    #[test]
    fn keeping_the_last_slots_moves_the_start() {
        let mut s = series(&[1.0, 2.0, 3.0]);
        s.keep_last(2);
        assert_eq!(s.start(), Timestamp::from_second(60).unwrap());
        assert_eq!(s.raw(), [2.0, 3.0]);
        s.keep_last(5);
        assert_eq!(s.len(), 2);
    }

    #[test]
    fn between_takes_the_slots_that_begin_in_the_window() {
        let s = series(&[1.0, 2.0, 3.0, 4.0]);
        let cut = s.between(Timestamp::from_second(30).unwrap(), Timestamp::from_second(180).unwrap());
        assert_eq!(cut.raw(), [2.0, 3.0]);
        assert_eq!(cut.start(), Timestamp::from_second(60).unwrap());
        let nothing = s.between(Timestamp::from_second(500).unwrap(), Timestamp::from_second(100).unwrap());
        assert!(nothing.is_empty());
    }

    #[test]
    fn coarse_slots_need_half_of_their_fine_ones() {
        let nan = f64::NAN;
        let s = series(&[1.0, 3.0, nan, 4.0, nan, nan, 9.0]);
        let coarse = s.coarsen(2);
        assert_eq!(coarse.iter().map(|(_, v)| v).collect::<Vec<_>>(), [Some(2.0), Some(4.0), None]);
        assert_eq!(coarse.step(), Duration::from_secs(120));
    }

    #[test]
    fn the_newest_value_skips_trailing_gaps() {
        let s = series(&[1.0, 2.0, f64::NAN]);
        assert_eq!(s.last(), Some((Timestamp::from_second(60).unwrap(), 2.0)));
        assert_eq!(s.at(Timestamp::from_second(119).unwrap()), Some(2.0));
        assert_eq!(s.at(Timestamp::from_second(180).unwrap()), None);
    }
}
