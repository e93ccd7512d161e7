//! The last day as charts show it: means over five minutes, bounded.

use std::time::Duration;

use jiff::Timestamp;
use series::{Aggregate, Sample, Series, resample, time};

/// The grid of charts.
pub(crate) const STEP: Duration = Duration::from_mins(5);
/// A day of it.
const SLOTS: usize = 288;

/// One line of a chart.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chart {
    done: Option<Series>,
    partial: Option<(Timestamp, f64, u32)>,
}

impl Chart {
    /// Starts from history, where there is none yet.
    pub(crate) fn seed(&mut self, history: &Series) {
        let Some(mut seeded) = on_grid(history) else { return };
        seeded.keep_last(SLOTS);
        let newer = self.done.take();
        self.done = Some(seeded);
        for (begin, value) in newer.iter().flat_map(Series::iter) {
            self.push(begin, value);
        }
    }

    /// Takes in a value.
    pub(crate) fn note(&mut self, at: Timestamp, value: f64) {
        if !value.is_finite() {
            return;
        }
        let slot = time::align(at, STEP);
        match self.partial {
            Some((begin, sum, n)) if begin == slot => self.partial = Some((begin, sum + value, n + 1)),
            Some((begin, _, _)) if begin > slot => {}
            Some((begin, sum, n)) => {
                self.push(begin, Some(sum / f64::from(n)));
                self.partial = Some((slot, value, 1));
            }
            None => self.partial = Some((slot, value, 1)),
        }
    }

    fn push(&mut self, begin: Timestamp, value: Option<f64>) {
        let missed = self.done.as_ref().map(|s| time::since(begin, s.end()).as_secs() / STEP.as_secs());
        if missed.is_none_or(|m| m as usize > SLOTS) {
            self.done = Series::new(begin, STEP, Vec::new()).ok();
        }
        let Some(done) = &mut self.done else { return };
        if begin < done.end() {
            return;
        }
        while done.end() < begin {
            done.push(None);
        }
        done.push(value);
        done.keep_last(SLOTS);
    }

    /// The line so far, the unfinished slot included.
    pub(crate) fn series(&self) -> Option<Series> {
        let mut whole = self.clone();
        if let Some((begin, sum, n)) = self.partial {
            whole.push(begin, Some(sum / f64::from(n)));
        }
        whole.done
    }
}

/// History on the grid of charts; nothing where its own steps are longer.
fn on_grid(history: &Series) -> Option<Series> {
    let step = history.step();
    let factor = STEP.as_secs() / step.as_secs().max(1);
    if step * u32::try_from(factor).ok()? == STEP {
        return Some(history.coarsen(factor as usize));
    }
    if step > STEP {
        return None;
    }
    // Steps that don't fill a slot belong to the one that holds their middle.
    let middle = |(begin, value): (Timestamp, Option<f64>)| Sample::new(time::after(begin, step / 2), value?);
    let samples: Vec<Sample> = history.iter().filter_map(middle).collect();
    let (from, to) = (time::align(history.start(), STEP), time::align(history.end(), STEP));
    resample(&samples, from, to, STEP, Aggregate::Mean).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn values_become_means_and_silence_becomes_a_gap() {
        let mut chart = Chart::default();
        for (second, value) in [(0, 1.0), (15, 3.0), (310, 4.0), (950, 9.0)] {
            chart.note(at(second), value);
        }
        let series = chart.series().unwrap();
        let values: Vec<_> = series.iter().map(|(_, v)| v).collect();
        assert_eq!(values, [Some(2.0), Some(4.0), None, Some(9.0)]);
    }

    #[test]
    fn history_goes_before_what_was_seen_since() {
        let mut chart = Chart::default();
        chart.note(at(900), 5.0);
        chart.seed(&Series::new(at(0), Duration::from_mins(5), vec![1.0, 2.0, 3.0]).unwrap());
        let values: Vec<_> = chart.series().unwrap().iter().map(|(_, v)| v).collect();
        assert_eq!(values, [Some(1.0), Some(2.0), Some(3.0), Some(5.0)]);
    }

    #[test]
    fn history_of_any_step_up_to_the_charts_own_is_shown() {
        for step in [60, 90, 120, 150, 240, 300] {
            let mut chart = Chart::default();
            // Begins within a slot, and says at every moment how many slots there were by then.
            let (begin, slots) = (540 / step * step, 7_200 / step);
            let passed = |slot: i64| (begin + slot * step + step / 2) as f64 / 300.0;
            let values = (0..slots).map(passed).collect();
            chart.seed(&Series::new(at(begin), Duration::from_secs(step as u64), values).unwrap());
            chart.note(at(7_740), 26.0);
            let series = chart.series().unwrap();
            assert_eq!(series.step(), STEP, "step {step}");
            assert_eq!(series.start(), time::align(series.start(), STEP), "step {step}");
            assert!(series.len() >= 23, "step {step}: {}", series.len());
            for (begin, value) in series.iter().skip(1).take(21) {
                let middle = begin.as_second() as f64 / 300.0 + 0.5;
                assert!((value.unwrap() - middle).abs() <= 0.5, "step {step} at {begin}: {value:?}");
            }
        }
        let mut chart = Chart::default();
        chart.seed(&Series::new(at(0), Duration::from_mins(10), vec![1.0, 2.0]).unwrap());
        assert!(chart.series().is_none(), "ten minutes can't be told apart");
    }

    #[test]
    fn a_chart_never_holds_more_than_a_day() {
        let mut chart = Chart::default();
        (0..1_000).for_each(|i| chart.note(at(i * 300), 1.0));
        assert!(chart.series().unwrap().len() <= SLOTS + 1);
        chart.note(at(100_000_000), 1.0);
        assert_eq!(chart.series().unwrap().len(), 1);
    }
}
