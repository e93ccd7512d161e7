//! A comparison for people: a table for the terminal, a page for the browser. JSON is the comparison itself.

mod html;
mod pareto;
mod svg;
mod table;

pub use html::html;
pub use table::{Paint, table};

use crate::baselines::Contender;
use crate::compare::Comparison;
use crate::row::{FORESAIL, Row};

/// The rows a person is shown, with the names a person understands.
pub(crate) fn shown(comparison: &Comparison) -> Vec<(String, &Row)> {
    let reference = &comparison.reference;
    let usual = Contender::Hpa(70).name();
    // The HPA at 70 % has a line of its own.
    let own = (reference.row != usual).then(|| (reference.row.clone(), reference.words.clone()));
    let others = [
        (Contender::Keda(80).name(), "HPA, same target".to_owned()),
        (usual, "HPA, CPU at 70 %".to_owned()),
        (Contender::Keda(70).name(), "KEDA, target at 70 %".to_owned()),
        (Contender::Phpa(70).name(), "PHPA, CPU at 70 %".to_owned()),
        (Contender::Knative(70).name(), "Knative, target at 70 %".to_owned()),
        (Contender::Cron.name(), "cron, kept up to date".to_owned()),
        (Contender::CronOnce.name(), "cron, written once".to_owned()),
        (Contender::LastWeek.name(), "last week again".to_owned()),
        (Contender::LastValue.name(), "last value".to_owned()),
        (Contender::StaticPeak.name(), "always the peak".to_owned()),
        (Contender::PerfectForecast.name(), "perfect forecast".to_owned()),
    ];
    let named = std::iter::once((FORESAIL.to_owned(), "Foresail".to_owned())).chain(own).chain(others);
    named.filter_map(|(name, label)| Some((label, comparison.row(&name)?))).collect()
}

/// One sentence that says it all: replica-hours, or with a `price` money, and broken time against the
/// [reference](Comparison::reference), and how sure that is.
pub(crate) fn verdict(comparison: &Comparison, price: Option<f64>) -> String {
    use crate::advice::duration;
    let reference = comparison.row(&comparison.reference.row);
    let (Some(ours), Some(hpa)) = (comparison.rows.first(), reference) else { return String::new() };
    let change = (ours.score.replica_hours / hpa.score.replica_hours - 1.0) * 100.0;
    let (a, b) = (ours.score.violation_seconds, hpa.score.violation_seconds);
    let hours = if change.abs() < 0.5 {
        "as many replica-hours as".to_owned()
    } else {
        format!("{:.0} % {} replica-hours than", change.abs(), if change < 0.0 { "fewer" } else { "more" })
    };
    let money = price.map_or_else(String::new, |price| {
        format!(
            " ({:.2} instead of {:.2})",
            ours.score.replica_hours * price,
            hpa.score.replica_hours * price
        )
    });
    let sure = comparison.certainty.map_or_else(String::new, |sure| {
        format!(
            " Days like these would bring, in nine cases of ten, {} to {} replica-hours and {} to {} of shortage a day.",
            change_of(sure.replicas.low),
            change_of(sure.replicas.high),
            shortage(sure.seconds_a_day.low),
            shortage(sure.seconds_a_day.high)
        )
    });
    format!(
        "In {:.1} days Foresail would have taken {hours} {}{money}, with too few replicas for {} instead of {}.{sure}",
        comparison.days,
        comparison.reference.words,
        duration(a),
        duration(b)
    )
}

/// A change of replica-hours in words: `3.1 % fewer`.
fn change_of(share: f64) -> String {
    format!("{:.1} % {}", share.abs() * 100.0, if share > 0.0 { "more" } else { "fewer" })
}

/// A change of shortage in words: `12 min less`.
fn shortage(seconds: f64) -> String {
    format!("{} {}", crate::advice::duration(seconds.abs()), if seconds > 0.0 { "more" } else { "less" })
}
