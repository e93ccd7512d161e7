//! The last day as charts show it: means over five minutes, bounded.

use std::time::Duration;

use jiff::Timestamp;
use series::{Series, time};

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
        let factor = (STEP.as_secs() / history.step().as_secs().max(1)).max(1);
        let mut seeded = history.coarsen(factor as usize);
        if seeded.step() != STEP {
            return;
        }
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
    fn a_chart_never_holds_more_than_a_day() {
        let mut chart = Chart::default();
        (0..1_000).for_each(|i| chart.note(at(i * 300), 1.0));
        assert!(chart.series().unwrap().len() <= SLOTS + 1);
        chart.note(at(100_000_000), 1.0);
        assert_eq!(chart.series().unwrap().len(), 1);
    }
}
