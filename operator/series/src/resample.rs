//! From samples as they came to a regular grid.

use std::time::Duration;

use jiff::Timestamp;

use crate::regular::MAX_SLOTS;
use crate::{Sample, Series, SeriesError, time};

/// How several samples in one slot become one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aggregate {
    /// Arithmetic mean: for rates and gauges.
    Mean,
    /// The newest: for values that are already aggregates.
    Last,
    /// The largest: for queue depths and other backlogs.
    Max,
    /// The sum: for counts of events.
    Sum,
}

/// Puts samples on the grid that begins at `start` and ends before `end`. Only slots that end by `end` are made, so a
/// half-measured last bucket never looks like a drop in load. Samples may come unsorted; those outside the window are
/// left out. A slot without samples is a gap.
pub fn resample(
    samples: &[Sample],
    start: Timestamp,
    end: Timestamp,
    step: Duration,
    aggregate: Aggregate,
) -> Result<Series, SeriesError> {
    let empty = Series::new(start, step, Vec::new())?;
    let slots = time::since(end, start).as_secs() / step.as_secs();
    if end < start || slots > MAX_SLOTS {
        return Err(SeriesError::Window { start, end });
    }
    let slots = slots as usize;
    if slots == 0 {
        return Ok(empty);
    }
    let grid = Series::new(start, step, vec![f64::NAN; slots])?;
    let mut cells: Vec<Cell> = vec![Cell::default(); slots];
    for sample in samples {
        if let Some(index) = grid.index_of(sample.time()) {
            cells[index].add(*sample);
        }
    }
    let values = cells.iter().map(|cell| cell.value(aggregate)).collect();
    Series::new(start, step, values)
}

#[derive(Clone, Default)]
struct Cell {
    count: u32,
    sum: f64,
    max: f64,
    last: Option<Sample>,
}

impl Cell {
    fn add(&mut self, sample: Sample) {
        self.max = if self.count == 0 { sample.value() } else { self.max.max(sample.value()) };
        self.count += 1;
        self.sum += sample.value();
        if self.last.is_none_or(|last| last.time() <= sample.time()) {
            self.last = Some(sample);
        }
    }

    fn value(&self, aggregate: Aggregate) -> f64 {
        let Some(last) = self.last else { return f64::NAN };
        match aggregate {
            Aggregate::Mean => self.sum / f64::from(self.count),
            Aggregate::Last => last.value(),
            Aggregate::Max => self.max,
            Aggregate::Sum => self.sum,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn samples(pairs: &[(i64, f64)]) -> Vec<Sample> {
        pairs.iter().map(|(s, v)| Sample::new(at(*s), *v).unwrap()).collect()
    }

    #[test]
    fn a_partial_last_bucket_is_left_out() {
        let s = samples(&[(0, 10.0), (60, 10.0), (120, 1.0)]);
        let grid = resample(&s, at(0), at(130), Duration::from_secs(60), Aggregate::Mean).unwrap();
        assert_eq!(grid.raw(), [10.0, 10.0]);
    }

    #[test]
    fn each_aggregate_does_what_it_says() {
        let s = samples(&[(5, -3.0), (1, -1.0), (3, -2.0)]);
        let value = |a| resample(&s, at(0), at(10), Duration::from_secs(10), a).unwrap().get(0);
        assert_eq!(value(Aggregate::Mean), Some(-2.0));
        assert_eq!(value(Aggregate::Last), Some(-3.0));
        assert_eq!(value(Aggregate::Max), Some(-1.0));
        assert_eq!(value(Aggregate::Sum), Some(-6.0));
    }

    #[test]
    fn a_window_that_ends_before_it_starts_is_refused() {
        assert!(resample(&[], at(10), at(0), Duration::from_secs(1), Aggregate::Mean).is_err());
    }

    proptest! {
        #[test]
        fn the_mean_lies_between_the_samples_and_gaps_stay(
            pairs in proptest::collection::vec((0i64..3_600, -1e6f64..1e6), 0..200)
        ) {
            let s = samples(&pairs);
            let grid = resample(&s, at(0), at(3_600), Duration::from_secs(300), Aggregate::Mean).unwrap();
            for (begin, value) in grid.iter() {
                let inside: Vec<f64> = pairs
                    .iter()
                    .filter(|(t, _)| (begin.as_second()..begin.as_second() + 300).contains(t))
                    .map(|p| p.1)
                    .collect();
                match value {
                    None => prop_assert!(inside.is_empty()),
                    Some(v) => {
                        let low = inside.iter().copied().fold(f64::INFINITY, f64::min);
                        let high = inside.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                        prop_assert!(v >= low - 1e-6 && v <= high + 1e-6);
                    }
                }
            }
        }
    }
}
