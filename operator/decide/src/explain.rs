//! A recorded decision for people: a few plain sentences, then the table of candidates and limits. What comes in is a
//! [`Record`]; what goes out is text. Knows neither terminals nor files.

use std::fmt::Write;

use crate::history::History;
use crate::policy::Protection;
use crate::recommendation::{Candidate, LimitReason, Recommendation, Source};
use crate::record::Record;
use crate::strategy::StrategyReason;
use series::Forecast;

/// Marks for terminals; empty where the text goes elsewhere.
struct Marks {
    bold: &'static str,
    faint: &'static str,
    end: &'static str,
}

const PLAIN: Marks = Marks { bold: "", faint: "", end: "" };
const COLOR: Marks = Marks { bold: "\u{1b}[1m", faint: "\u{1b}[2m", end: "\u{1b}[0m" };

impl Record {
    /// The decision in plain sentences and as the table of its candidates and limits; `color` adds marks for a
    /// terminal.
    pub fn explain(&self, color: bool) -> String {
        let marks = if color { &COLOR } else { &PLAIN };
        let r = &self.recommendation;
        let mut text = String::new();
        // Writing to a String can't fail.
        let _ = writeln!(text, "{}{}  {}{}", marks.bold, self.now, change(r), marks.end);
        let _ = writeln!(text);
        for sentence in self.sentences() {
            let _ = writeln!(text, "{sentence}");
        }
        let _ = writeln!(text);
        text.push_str(&candidates(r, marks));
        text.push_str(&limits(r, marks));
        text
    }

    /// The decision in plain sentences.
    pub fn sentences(&self) -> Vec<String> {
        let r = &self.recommendation;
        let mut said = vec![winner(r)];
        said.extend(bent(r));
        said.push(trust(self));
        said.push(data(self));
        said.push(pods(self));
        said
    }
}

/// `3 -> 6 replicas`, or that nothing changes.
fn change(r: &Recommendation) -> String {
    if r.target == r.current {
        return format!("{} stay", replicas(r.current));
    }
    format!("{} -> {}", r.current, replicas(r.target))
}

fn replicas(n: u32) -> String {
    if n == 1 { "1 replica".to_owned() } else { format!("{n} replicas") }
}

fn winner(r: &Recommendation) -> String {
    let winner = r
        .candidates
        .iter()
        .find(|c| c.counts() && c.source == r.driver.source && c.metric == r.driver.metric);
    let Some(winner) = winner else {
        return format!("Nothing could be worked out, so {} count as wanted.", replicas(r.uncapped));
    };
    let asks = match winner.source {
        Source::Reactive | Source::Burst => "The load now asks for",
        Source::Panic => "A surge asks for",
        Source::Predictive => "The load to come asks for",
        Source::Keep => "The load to come keeps",
        Source::Backlog => "The queue asks for",
        Source::Calendar => "The calendar asks for",
        Source::Fallback => "The fallback of a missing metric asks for",
        Source::Current => "What runs now counts:",
    };
    format!("{asks} {}: {}.", replicas(r.uncapped), winner.message)
}

fn bent(r: &Recommendation) -> Vec<String> {
    if r.limits.is_empty() {
        return vec!["No limit was in the way.".to_owned()];
    }
    r.limits
        .iter()
        .map(|limit| {
            let verb = match limit.to.cmp(&limit.from) {
                std::cmp::Ordering::Greater => "keeps it up at",
                std::cmp::Ordering::Less => "keeps it down at",
                std::cmp::Ordering::Equal => "leaves it at",
            };
            format!("{} {verb} {}: {}.", limit.reason, limit.to, limit.message)
        })
        .collect()
}

fn trust(record: &Record) -> String {
    let r = &record.recommendation;
    let why = match r.strategy_reason {
        StrategyReason::ForecastOff => "forecasts are switched off",
        StrategyReason::InsufficientHistory => {
            "nobody knows yet whether it pays here, so what an HPA does is done"
        }
        StrategyReason::SelectedByReplay => match record.policy.protection {
            Protection::Share(_) => {
                "replayed on this workload's own history, nothing cheaper keeps the promise"
            }
            Protection::SameCost => {
                "replayed on this workload's own history, nothing is short less for what the usual HPA costs"
            }
        },
        StrategyReason::SafestOnReplay => {
            "replayed on this workload's own history, nothing comes closer to the promise"
        }
    };
    let headroom = if r.strategy.headroom > 1.0 {
        format!(", with {:.0} % headroom on the load now", (r.strategy.headroom - 1.0) * 100.0)
    } else {
        String::new()
    };
    match r.strategy.forecast {
        Some(params) => {
            let model =
                record.observation.metrics.iter().find_map(|m| m.forecast.as_ref().ok()).map(Forecast::model);
            format!(
                "The forecast{} is trusted at its {:.0} % quantile{headroom} ({}): {why}. Capacity is ordered {}s ahead.",
                model.map_or(String::new(), |m| format!(" ({m})")),
                params.quantile * 100.0,
                r.strategy_reason,
                r.lead.as_secs(),
            )
        }
        None => format!("The forecast is left out{headroom} ({}): {why}.", r.strategy_reason),
    }
}

fn data(record: &Record) -> String {
    if record.recommendation.data_fresh {
        return "Every metric is fresh and fully measured.".to_owned();
    }
    // A missing metric is named by the limit where it held something; here is the list.
    let gone: Vec<String> = record
        .policy
        .metrics
        .iter()
        .filter_map(|policy| match record.observation.metric(&policy.name) {
            None => Some(format!("{} hasn't been read", policy.name)),
            Some(seen) => match seen.reading.absence() {
                Some(absence) => Some(format!("{}: {absence}", policy.name)),
                None if seen.coverage < 0.9 => Some(format!(
                    "{}: {:.0} % of its window was measured",
                    policy.name,
                    seen.coverage * 100.0
                )),
                None => None,
            },
        })
        .collect();
    if gone.is_empty() {
        return "A metric isn't plausible, so nothing is removed.".to_owned();
    }
    format!("Not everything could be measured ({}), so nothing is removed.", gone.join("; "))
}

fn pods(record: &Record) -> String {
    let p = record.observation.replicas;
    let mut said = format!("Of {}, {} are ready", replicas(p.spec), p.ready);
    for (n, what) in
        [(p.pending, "on their way"), (p.unschedulable, "without a node"), (p.crash_looping, "crash-looping")]
    {
        if n > 0 {
            let _ = write!(said, ", {n} {what}");
        }
    }
    if record.observation.rollout {
        said.push_str(", during a rollout");
    }
    said.push('.');
    said
}

fn candidates(r: &Recommendation, marks: &Marks) -> String {
    let name = |c: &Candidate| match &c.metric {
        Some(metric) => format!("{} {metric}", c.source),
        None => c.source.to_string(),
    };
    let width = r.candidates.iter().map(|c| name(c).chars().count()).max().unwrap_or(0).max(10);
    let words = r.candidates.iter().map(|c| c.reason.as_str().len()).max().unwrap_or(0).max(6);
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{}  {:width$}  replicas  {:words$}  how{}",
        marks.bold, "candidate", "reason", marks.end
    );
    for c in &r.candidates {
        let wins = c.counts() && c.source == r.driver.source && c.metric == r.driver.metric;
        let (mark, open) =
            if wins { ('>', marks.bold) } else { (' ', if c.counts() { "" } else { marks.faint }) };
        let close = if open.is_empty() { "" } else { marks.end };
        let number = c.replicas.map_or_else(|| "-".to_owned(), |n| n.to_string());
        let shown = if c.counts() || c.replicas.is_none() { number } else { format!("({number})") };
        let _ = writeln!(
            text,
            "{open}{mark} {:width$}  {shown:>8}  {:words$}  {}{close}",
            name(c),
            c.reason.as_str(),
            c.message
        );
    }
    text
}

fn limits(r: &Recommendation, marks: &Marks) -> String {
    if r.limits.is_empty() {
        return String::new();
    }
    let words = r.limits.iter().map(|l| l.reason.as_str().len()).max().unwrap_or(0).max(5);
    let mut text = String::new();
    let _ = writeln!(text, "\n{}  {:words$}  from -> to  why{}", marks.bold, "limit", marks.end);
    for l in &r.limits {
        let _ = writeln!(text, "  {:words$}  {:>4} -> {:<2}  {}", l.reason.as_str(), l.from, l.to, l.message);
    }
    text
}

/// One line about a decision, for transcripts and lists.
pub fn line(record: &Record) -> String {
    let r = &record.recommendation;
    let driver = match &r.driver.metric {
        Some(metric) => format!("{} {metric}", r.driver.source),
        None => r.driver.source.to_string(),
    };
    let bent: Vec<&str> = r.limits.iter().map(|l| LimitReason::as_str(l.reason)).collect();
    let bent = if bent.is_empty() { String::new() } else { format!(", {}", bent.join(", ")) };
    format!("{} ({driver} wants {}{bent})", change(r), r.uncapped)
}

impl History {
    /// What is remembered that matters to a reader: holds and freezes in force, one sentence each.
    pub fn memories(&self, now: jiff::Timestamp) -> Vec<String> {
        let mut said = Vec::new();
        if let Some(until) = self.panic_until.filter(|until| now < *until) {
            said.push(format!("A surge forbids scaling down until {until}."));
        }
        if let Some(hold) = self.drop_hold.filter(|hold| now < hold.until) {
            said.push(format!("An unexplained drop holds {} until {}.", replicas(hold.floor), hold.until));
        }
        for (name, metric) in &self.metrics {
            if let Some(freeze) = metric.no_benefit.filter(|freeze| now < freeze.until) {
                said.push(format!(
                    "{name}: more than {} didn't help; no more are added until {}.",
                    replicas(freeze.replicas),
                    freeze.until
                ));
            }
        }
        said
    }
}
