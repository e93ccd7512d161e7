//! Load that repeats: a piecewise linear rate over a period, with its exact integral for counters.

use jiff::{SignedDuration, Timestamp};

/// Requests per second as a periodic, piecewise linear function of time.
///
/// ```
/// use jiff::{SignedDuration, Timestamp};
/// use testbed::Shape;
///
/// let noon = Timestamp::from_second(1_700_000_000).unwrap();
/// let shape = Shape::daily(noon, &[(0, 100.0), (60, 500.0), (600, 500.0), (660, 100.0)]);
/// assert_eq!(shape.rate(noon + SignedDuration::from_secs(30)), 300.0);
/// assert_eq!(shape.rate(noon - SignedDuration::from_hours(24)), 100.0);
/// ```
#[derive(Debug, Clone)]
pub struct Shape {
    anchor: Timestamp,
    period: f64,
    /// Seconds after the anchor, rate: sorted, all within one period.
    knots: Vec<(f64, f64)>,
    /// Area under the curve from the anchor to each knot, and of the whole period at the end.
    areas: Vec<f64>,
}

impl Shape {
    /// A shape that repeats each `period` after `anchor`, through `knots` of (seconds after the anchor, rate).
    /// The last knot is joined to the first of the next period.
    ///
    /// # Panics
    /// Panics when there is no knot, or they are not in order within one period.
    pub fn new(anchor: Timestamp, period: SignedDuration, knots: &[(i64, f64)]) -> Self {
        let period = period.as_secs_f64();
        let mut knots: Vec<(f64, f64)> = knots.iter().map(|&(at, rate)| (at as f64, rate)).collect();
        assert!(!knots.is_empty(), "a shape needs a knot");
        assert!(knots.windows(2).all(|pair| pair[0].0 < pair[1].0), "knots are in order");
        assert!(knots[0].0 >= 0.0 && knots[knots.len() - 1].0 < period, "knots are within one period");
        if knots[0].0 > 0.0 {
            let (first, last) = (knots[0], knots[knots.len() - 1]);
            let share = (period - last.0) / (period - last.0 + first.0);
            knots.insert(0, (0.0, last.1 + share * (first.1 - last.1)));
        }
        let mut areas = vec![0.0];
        for index in 0..knots.len() {
            let (from, rate) = knots[index];
            let (to, next) = knots.get(index + 1).copied().unwrap_or((period, knots[0].1));
            areas.push(areas[index] + (to - from) * (rate + next) / 2.0);
        }
        Self { anchor, period, knots, areas }
    }

    /// A shape that repeats every 24 hours.
    pub fn daily(anchor: Timestamp, knots: &[(i64, f64)]) -> Self {
        Self::new(anchor, SignedDuration::from_hours(24), knots)
    }

    /// The same rate at all times.
    pub fn constant(rate: f64) -> Self {
        Self::new(Timestamp::UNIX_EPOCH, SignedDuration::from_hours(24), &[(0, rate)])
    }

    fn segment(&self, at: Timestamp) -> (f64, usize, f64) {
        let seconds = at.duration_since(self.anchor).as_secs_f64();
        let phase = seconds.rem_euclid(self.period);
        let index = self.knots.partition_point(|knot| knot.0 <= phase).saturating_sub(1);
        ((seconds / self.period).floor(), index, phase)
    }

    fn rate_in(&self, index: usize, phase: f64) -> f64 {
        let (from, rate) = self.knots[index];
        let (to, next) = self.knots.get(index + 1).copied().unwrap_or((self.period, self.knots[0].1));
        rate + (next - rate) * (phase - from) / (to - from)
    }

    /// The rate at a time.
    pub fn rate(&self, at: Timestamp) -> f64 {
        let (_, index, phase) = self.segment(at);
        self.rate_in(index, phase)
    }

    fn area(&self, at: Timestamp) -> f64 {
        let (periods, index, phase) = self.segment(at);
        let (from, rate) = self.knots[index];
        let whole = self.areas[self.areas.len() - 1];
        let within = (phase - from) * (rate + self.rate_in(index, phase)) / 2.0;
        periods * whole + self.areas[index] + within
    }

    /// How much a counter grows between two times.
    pub fn total(&self, from: Timestamp, to: Timestamp) -> f64 {
        self.area(to) - self.area(from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counter_grows_by_the_area_under_the_rate() {
        let anchor = Timestamp::from_second(1_700_000_000).unwrap();
        let shape = Shape::daily(anchor, &[(3600, 10.0), (7200, 110.0), (10_800, 10.0)]);
        let (from, to) = (anchor - SignedDuration::from_hours(30), anchor + SignedDuration::from_hours(20));
        let mut sum = 0.0;
        let mut at = from;
        while at < to {
            sum += shape.rate(at + SignedDuration::from_millis(5000)) * 10.0;
            at += SignedDuration::from_secs(10);
        }
        let total = shape.total(from, to);
        assert!((total - sum).abs() < 1e-6 * total, "{total} {sum}");
    }

    #[test]
    fn a_day_later_the_rate_is_the_same() {
        let anchor = Timestamp::from_second(1_700_000_000).unwrap();
        let shape = Shape::daily(anchor, &[(60, 10.0), (120, 20.0)]);
        let at = anchor + SignedDuration::from_secs(90);
        assert_eq!(shape.rate(at), 15.0);
        assert_eq!(shape.rate(at + SignedDuration::from_hours(24 * 5)), 15.0);
        assert_eq!(shape.rate(at - SignedDuration::from_hours(24 * 5)), 15.0);
    }
}
