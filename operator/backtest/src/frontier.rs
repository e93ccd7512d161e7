//! The HPA whose target was tuned in hindsight: one point per target, and the cheapest way along them to a given
//! violation time. Points come in, a cost goes out.

use serde::Serialize;

/// What one setting of a baseline cost and missed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Point {
    /// The name of the run, such as `HPA 70%`; empty where nobody asks.
    pub name: String,
    /// Share of time in which the promise was broken, 0 to 1.
    pub violation: f64,
    /// Replica-hours paid for.
    pub replica_hours: f64,
}

/// The points nothing else beats in both respects, by rising violation and falling cost.
pub fn pareto(points: &[Point]) -> Vec<Point> {
    let mut sorted: Vec<&Point> = points.iter().collect();
    sorted.sort_by(|a, b| {
        a.violation.total_cmp(&b.violation).then(a.replica_hours.total_cmp(&b.replica_hours))
    });
    let mut front: Vec<Point> = Vec::new();
    for point in sorted {
        if front.last().is_none_or(|best| point.replica_hours < best.replica_hours) {
            front.push(point.clone());
        }
    }
    front
}

/// The least replica-hours at which the points reach `violation`: between two neighbors of the frontier, cost is
/// linear in the logarithm of violation; `least` stands for "none was seen". Beyond the ends, the end. `None` without
/// points.
pub fn cost_at(points: &[Point], violation: f64, least: f64) -> Option<f64> {
    let front = pareto(points);
    let first = front.first()?;
    let v = violation.max(least);
    if v <= first.violation.max(least) {
        return Some(first.replica_hours);
    }
    for pair in front.windows(2) {
        let (a, b) = (pair[0].violation.max(least).ln(), pair[1].violation.max(least).ln());
        if v.ln() <= b {
            let share = if b > a { (v.ln() - a) / (b - a) } else { 1.0 };
            return Some(pair[0].replica_hours + (pair[1].replica_hours - pair[0].replica_hours) * share);
        }
    }
    front.last().map(|p| p.replica_hours)
}

/// The violation that the points reach at `replica_hours`: the logarithm of violation is linear in cost between two
/// neighbors of the frontier. Where the dearest point costs less, it's that point's; where the cheapest costs more, the
/// line of the last two goes on. `None` where there is no such line.
pub fn violation_at(points: &[Point], replica_hours: f64, least: f64) -> Option<f64> {
    let front = pareto(points);
    let dearest = front.first()?;
    if dearest.replica_hours <= replica_hours {
        return Some(dearest.violation.max(least));
    }
    let next = front.iter().position(|p| p.replica_hours <= replica_hours).unwrap_or(front.len() - 1);
    let (dear, cheap) = (front.get(next.checked_sub(1)?)?, front.get(next)?);
    let (a, b) = (dear.violation.max(least).ln(), cheap.violation.max(least).ln());
    let share = (dear.replica_hours - replica_hours) / (dear.replica_hours - cheap.replica_hours);
    Some((a + (b - a) * share).exp().clamp(least, 1.0))
}

/// The point that is at least as good in both respects and better by more than 1 % in cost, if there is one.
pub fn dominating(points: &[Point], violation: f64, replica_hours: f64) -> Option<&Point> {
    points
        .iter()
        .filter(|p| p.violation <= violation && p.replica_hours < replica_hours * 0.99)
        .min_by(|a, b| a.replica_hours.total_cmp(&b.replica_hours))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(values: &[(f64, f64)]) -> Vec<Point> {
        let point = |(i, (v, r)): (usize, &(f64, f64))| Point {
            name: format!("HPA-{i}"),
            violation: *v,
            replica_hours: *r,
        };
        values.iter().enumerate().map(point).collect()
    }

    #[test]
    fn only_undominated_points_are_on_the_frontier() {
        let front = pareto(&points(&[(0.01, 100.0), (0.001, 150.0), (0.005, 160.0), (0.1, 80.0)]));
        let names: Vec<_> = front.iter().map(|p| p.name.as_str()).collect();
        assert_eq!(names, ["HPA-1", "HPA-0", "HPA-3"]);
    }

    #[test]
    fn cost_is_linear_in_the_logarithm_of_violation() {
        let p = points(&[(0.0001, 200.0), (0.01, 100.0)]);
        let at = |v| cost_at(&p, v, 1e-6).unwrap();
        assert!((at(0.001) - 150.0).abs() < 1e-9);
        assert_eq!(at(0.5), 100.0);
        assert_eq!(at(0.0), 200.0);
        assert_eq!(cost_at(&[], 0.1, 1e-6), None);
    }

    #[test]
    fn violation_at_a_cost_is_the_same_line_read_the_other_way() {
        let p = points(&[(0.0001, 200.0), (0.01, 100.0)]);
        assert!((violation_at(&p, 150.0, 1e-6).unwrap() - 0.001).abs() < 1e-9);
        assert!((violation_at(&p, 50.0, 1e-6).unwrap() - 0.1).abs() < 1e-9, "beyond the end");
        assert_eq!(violation_at(&p, 300.0, 1e-6), Some(0.0001), "dearer than the dearest");
        assert_eq!(violation_at(&p[..1], 50.0, 1e-6), None);
    }

    #[test]
    fn a_point_with_less_of_both_dominates() {
        let p = points(&[(0.001, 150.0), (0.01, 100.0)]);
        assert_eq!(dominating(&p, 0.02, 120.0).map(|p| p.name.as_str()), Some("HPA-1"));
        assert_eq!(dominating(&p, 0.02, 100.5), None, "within one per cent");
        assert_eq!(dominating(&p, 0.0005, 300.0), None);
    }
}
