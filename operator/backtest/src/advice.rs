//! What a comparison says one should do: in which mode to run, at which protection, whether to trust the forecast here,
//! and what it would save. Only numbers of the replay go in; caution wins where they are close.

use decide::Protection;
use serde::Serialize;

use crate::reference::Reference;
use crate::row::Row;

/// A recommendation with its reasons.
#[derive(Clone, Debug, Serialize)]
pub struct Advice {
    /// `Auto` or `Recommend`.
    pub mode: &'static str,
    /// The protection to ask for, such as `SameCost` or `99%`.
    pub protection: String,
    /// Whether the forecast should take part here.
    pub trust_forecast: bool,
    /// Replica-hours saved a month against the autoscaler that is compared with; below zero where Foresail takes more.
    pub saved_hours_a_month: f64,
    /// Seconds of broken promise spared a month against it.
    pub spared_seconds_a_month: f64,
    /// The reasons, one sentence each.
    pub because: Vec<String>,
}

const MONTH_DAYS: f64 = 30.4;

/// The advice for a comparison over so many `days`, whose policy has this protection. `variants` are runs at other
/// protections, and without forecasts.
pub(crate) fn advise(
    (rows, variants): (&[Row], &[Row]),
    days: f64,
    protection: Protection,
    reference: &Reference,
) -> Option<Advice> {
    let ours = rows.first()?;
    let hpa = rows.iter().find(|row| row.name == reference.row)?;
    let a_month = MONTH_DAYS / days.max(0.1);
    let saved = (hpa.score.replica_hours - ours.score.replica_hours) * a_month;
    let spared = (hpa.score.violation_seconds - ours.score.violation_seconds) * a_month;
    let mut because = Vec::new();
    // Without a promised share of the time, what counts is to be short no longer than the usual HPA.
    let allowed = match protection {
        Protection::Share(share) => (1.0 - share) * 100.0,
        Protection::SameCost => hpa.score.violation_percent,
    };
    let (trust_forecast, reason) = trust(variants, ours, allowed);
    because.push(reason);
    let (chosen, reason) = match protection {
        Protection::Share(share) => choose(variants, ours, share),
        Protection::SameCost => (protection, at_same_cost(ours, hpa, reference)),
    };
    because.push(reason);
    let kept = ours.score.violation_percent <= allowed;
    let safe = kept || spared >= 0.0;
    let better = safe && (saved >= 0.0 || spared > 0.0);
    let tuned = ours.over_tuned_hpa.unwrap_or(1.0);
    let mode = if better && tuned <= 1.0 && ours.dominated_by.is_none() { "Auto" } else { "Recommend" };
    because.push(match (&ours.dominated_by, mode) {
        (Some(name), _) => format!(
            "{name} breaks the promise no longer and costs less, so let Foresail recommend until it has more history"
        ),
        (None, "Auto") => format!(
            "an HPA tuned in hindsight to break the promise as long costs {:.0} % more",
            (tuned.recip() - 1.0).abs() * 100.0
        ),
        _ if !safe => format!("the promise was broken longer than it says, and longer than by {}", reference.words),
        _ if better => format!(
            "an HPA tuned in hindsight to break the promise as long costs {:.0} % less",
            (1.0 - tuned.recip()).abs() * 100.0
        ),
        _ => "it would neither save replicas nor spare broken time here".to_owned(),
    });
    Some(Advice {
        mode,
        protection: chosen.to_string(),
        trust_forecast,
        saved_hours_a_month: saved,
        spared_seconds_a_month: spared,
        because,
    })
}

fn at_same_cost(ours: &Row, hpa: &Row, reference: &Reference) -> String {
    let hours = ours.score.replica_hours / hpa.score.replica_hours - 1.0;
    format!(
        "for {:.1} % {} replica-hours than {} there were too few for {} instead of {}",
        hours.abs() * 100.0,
        if hours > 0.0 { "more" } else { "fewer" },
        reference.words,
        duration(ours.score.violation_seconds),
        duration(hpa.score.violation_seconds),
    )
}

/// The forecast is worth trusting where the run with it is better than the run without, at a price worth paying; and
/// where the promise can't be kept without it and is broken half as long with it, whatever the price.
fn trust(variants: &[Row], ours: &Row, allowed: f64) -> (bool, String) {
    let Some(without) = variants.iter().find(|v| v.name == "without forecast") else {
        return (true, "the run without forecasts wasn't made, so the gate decides".to_owned());
    };
    let hours = ours.score.replica_hours / without.score.replica_hours;
    let (with, less) = (ours.score.violation_seconds, without.score.violation_seconds);
    let needed = without.score.violation_percent > allowed && with * 2.0 <= less;
    let trusted = needed
        || match (ours.over_tuned_hpa, without.over_tuned_hpa) {
            (Some(a), Some(b)) => a < b * 0.995,
            _ => with <= less && hours <= 1.0,
        };
    let words = format!(
        "with the forecast there were too few replicas for {}, without it for {}, at {:.0} % {} replica-hours",
        duration(with),
        duration(less),
        (hours - 1.0).abs() * 100.0,
        if hours >= 1.0 { "more" } else { "fewer" }
    );
    (trusted, words)
}

/// The cheapest protection whose run kept what it says; the one asked for where none did.
fn choose(variants: &[Row], ours: &Row, protection: f64) -> (Protection, String) {
    let mut tried: Vec<(f64, &Row)> = variants
        .iter()
        .filter_map(|v| {
            Some((v.name.strip_prefix("protection ")?.strip_suffix('%')?.parse::<f64>().ok()? / 100.0, v))
        })
        .collect();
    tried.push((protection, ours));
    tried.sort_by(|a, b| a.0.total_cmp(&b.0));
    // A protection is worth having where the next lower one is at most 2 % cheaper: beyond that, replicas buy little.
    let mut best = (protection, ours);
    for (p, row) in &tried {
        let dearer = row.score.replica_hours > best.1.score.replica_hours * 1.02;
        let safer = row.score.violation_seconds < best.1.score.violation_seconds;
        if *p > best.0 && safer && !dearer {
            best = (*p, row);
        }
    }
    let reason = if best.0 > protection {
        format!(
            "at {} the promise is broken for {} instead of {}, for {:.1} % more replica-hours",
            Protection::Share(best.0),
            duration(best.1.score.violation_seconds),
            duration(ours.score.violation_seconds),
            (best.1.score.replica_hours / ours.score.replica_hours - 1.0) * 100.0
        )
    } else {
        format!(
            "at {} the promise was kept {:.3} % of the time",
            Protection::Share(protection),
            100.0 - ours.score.violation_percent
        )
    };
    (Protection::Share(best.0), reason)
}

/// Seconds for people.
pub(crate) fn duration(seconds: f64) -> String {
    let s = seconds.round() as u64;
    match s {
        0..=119 => format!("{s} s"),
        120..=7_199 => format!("{} min", (s + 30) / 60),
        7_200..=172_799 => format!("{:.1} h", seconds / 3_600.0),
        _ => format!("{:.1} d", seconds / 86_400.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        let words: Vec<String> =
            [0.0, 90.0, 600.0, 9_000.0, 200_000.0].iter().map(|s| duration(*s)).collect();
        assert_eq!(words, ["0 s", "90 s", "10 min", "2.5 h", "2.3 d"]);
    }
}
