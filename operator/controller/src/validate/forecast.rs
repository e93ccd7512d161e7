//! How far ahead to look, how surely, and from which past.

use std::time::Duration;

use api::units;
use api::v1alpha1::{AutoscalePolicySpec, SAME_COST};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::finding::Findings;

/// The part `forecast` of a spec.
pub(super) struct Forecast {
    pub(super) lead_time: decide::LeadTime,
    pub(super) protection: decide::Protection,
    pub(super) settings: forecast::Settings,
}

pub(super) fn forecast(spec: &AutoscalePolicySpec, findings: &mut Findings) -> Forecast {
    let written = &spec.forecast;
    let lead_time = if written.lead_time == "Auto" {
        decide::LeadTime::Measured { until_known: Duration::from_mins(2) }
    } else {
        let parsed = units::duration(&written.lead_time);
        let lead = findings.take("forecast.leadTime", &written.lead_time, parsed, Duration::from_mins(2));
        if !(15..=21_600).contains(&lead.as_secs()) {
            findings.add("forecast.leadTime", &written.lead_time, "write Auto, or a duration from 15s to 6h");
        }
        decide::LeadTime::Fixed(lead)
    };
    let two_weeks = Duration::from_hours(14 * 24);
    let history =
        findings.take("forecast.history", &written.history, units::duration(&written.history), two_weeks);
    // Two seasons of a day at least, and no more than a forecaster keeps.
    if !(2 * 86_400..=35 * 86_400).contains(&history.as_secs()) {
        findings.add("forecast.history", &written.history, "write a duration from 2d to 35d");
    }
    let step =
        findings.take("forecast.step", &written.step, units::duration(&written.step), Duration::from_mins(1));
    if !(60..=300).contains(&step.as_secs()) {
        findings.add("forecast.step", &written.step, "write a duration from 1m to 5m");
    }
    let protection = protection(&written.protection, findings);
    let time_zone = TimeZone::get(&written.time_zone).unwrap_or_else(|_| {
        findings.add(
            "forecast.timeZone",
            format!("{:?}", written.time_zone),
            "write a name of the IANA time zone database, such as Europe/Berlin",
        );
        TimeZone::UTC
    });
    let excluded = exclusions(spec, findings);
    let settings = forecast::Settings {
        step,
        time_zone,
        history,
        excluded,
        ..autoscaler::forecast_settings(lead_time, &[protection])
    };
    Forecast { lead_time, protection, settings: settings.in_range() }
}

fn protection(written: &str, findings: &mut Findings) -> decide::Protection {
    if written == SAME_COST {
        return decide::Protection::SameCost;
    }
    match units::percent(written) {
        Ok(share) if (0.5..=0.9999).contains(&share) => decide::Protection::Share(share),
        _ => {
            findings.add(
                "forecast.protection",
                written,
                "write SameCost, or a percentage from 50% to 99.99%",
            );
            decide::Protection::SameCost
        }
    }
}

fn exclusions(spec: &AutoscalePolicySpec, findings: &mut Findings) -> Vec<forecast::Window> {
    let mut windows = Vec::new();
    for (index, window) in spec.forecast.exclude.iter().enumerate() {
        let mut moment = |name: &str, written: &str| {
            written.parse::<Timestamp>().ok().or_else(|| {
                let field = format!("forecast.exclude[{index}].{name}");
                findings.add(field, format!("{written:?}"), "write a moment such as 2027-01-31T18:00:00Z");
                None
            })
        };
        if let (Some(from), Some(to)) = (moment("from", &window.from), moment("to", &window.to)) {
            windows.push(forecast::Window { from, to });
            if from >= to {
                let field = format!("forecast.exclude[{index}].to");
                findings.add(field, &window.to, format!("write a moment after {}", window.from));
            }
        }
    }
    windows
}
