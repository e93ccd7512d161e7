//! How sure a comparison is: what its days say of as many days to come.

use decide::{Range, cost_to_come, violations_apart};
use serde::Serialize;

use crate::replay::{Outcome, WINDOW};

/// Windows in a day.
const DAY: usize = 86_400 / WINDOW;

/// What is to be expected of as many days again, in nine cases of ten.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Certainty {
    /// Serving replicas over the reference's, less one: -0.03 is 3 % fewer.
    pub replicas: Range,
    /// Seconds a day with too few replicas, less the reference's.
    pub seconds_a_day: Range,
}

/// The certainty of a comparison of two runs, day by day; `None` for less than two days.
pub(crate) fn certainty(ours: &Outcome, hpa: &Outcome) -> Option<Certainty> {
    let days: Vec<(f64, f64)> =
        (0..ours.need.len().div_ceil(DAY)).filter_map(|d| day(ours, hpa, d)).collect();
    let coming = days.len() as f64;
    let of = |part: fn(&(f64, f64)) -> f64| days.iter().map(part).collect::<Vec<_>>();
    let replicas = cost_to_come(&of(|day| day.0), coming)?;
    let Range { low, high } = violations_apart(&of(|day| day.1), coming)?;
    let seconds_a_day = Range { low: low * 86_400.0, high: high * 86_400.0 };
    Some(Certainty { replicas, seconds_a_day })
}

/// The two differences on one day, of replicas and of the share of time with too few; `None` where less than half of it was recorded.
fn day(ours: &Outcome, hpa: &Outcome, day: usize) -> Option<(f64, f64)> {
    let windows: Vec<usize> =
        (day * DAY..((day + 1) * DAY).min(ours.need.len())).filter(|w| ours.need[*w] > 0).collect();
    if windows.len() * 2 < DAY {
        return None;
    }
    let replicas = |run: &Outcome| windows.iter().map(|w| f64::from(run.supply[*w])).sum::<f64>();
    let short = |run: &Outcome| windows.iter().filter(|w| run.violated[**w]).count() as f64;
    Some((replicas(ours) / replicas(hpa) - 1.0, (short(ours) - short(hpa)) / windows.len() as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run of so many days with these replicas and this share of broken windows, day by day.
    fn run(days: &[(f32, usize)]) -> Outcome {
        let each = |of: &dyn Fn(usize, (f32, usize)) -> bool| {
            days.iter().flat_map(|day| (0..DAY).map(move |w| (w, *day))).map(|(w, day)| of(w, day)).collect()
        };
        Outcome {
            violated: each(&|w, day| w < day.1),
            supply: days.iter().flat_map(|day| vec![day.0; DAY]).collect(),
            need: vec![1; days.len() * DAY],
            ..Outcome::default()
        }
    }

    #[test]
    fn days_that_differ_leave_doubt() {
        let hpa = run(&[(10.0, 60); 4]);
        let sure = certainty(&run(&[(9.0, 30); 4]), &hpa).unwrap();
        assert!(sure.replicas.low < -0.11 && (-0.09..0.0).contains(&sure.replicas.high), "{sure:?}");
        assert!(
            sure.seconds_a_day.low < -400.0 && (-250.0..0.0).contains(&sure.seconds_a_day.high),
            "{sure:?}"
        );
        let unsure = certainty(&run(&[(8.0, 0), (11.0, 0), (8.5, 200), (9.5, 0)]), &hpa).unwrap();
        assert!(unsure.replicas.low < -0.2 && unsure.replicas.high > 0.05, "{unsure:?}");
        assert!(unsure.seconds_a_day.high > 1_000.0, "{unsure:?}");
    }

    #[test]
    fn one_day_says_nothing_and_gaps_are_left_out() {
        assert_eq!(certainty(&run(&[(9.0, 0)]), &run(&[(10.0, 0)])), None);
        let mut ours = run(&[(9.0, 0), (9.0, 0), (90.0, 0)]);
        ours.need[2 * DAY..].fill(0);
        let sure = certainty(&ours, &run(&[(10.0, 0); 3])).unwrap();
        assert!((sure.replicas.low + sure.replicas.high + 0.2).abs() < 1e-6, "{sure:?}");
    }
}
