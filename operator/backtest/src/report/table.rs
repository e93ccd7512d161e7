//! The table for the terminal: read in ten seconds, stable in its order, so that it can be compared line by line.

use std::fmt::Write;

use crate::advice::duration;
use crate::baselines::Kind;
use crate::compare::Comparison;
use crate::frontier::cost_at;
use crate::report::{shown, verdict};
use crate::row::Row;

/// How the table is drawn.
#[derive(Clone, Copy, Debug, Default)]
pub struct Paint {
    /// With colors and weights of a terminal.
    pub color: bool,
    /// What a replica costs an hour, if a column of money is wanted.
    pub price: Option<f64>,
}

const HEAD: [&str; 7] =
    ["", "too few replicas", "worst", "replica-hours", "against it", "oracle ×", "changes/day"];

/// The comparison as text.
pub fn table(comparison: &Comparison, paint: Paint) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{}", paint.bold(&verdict(comparison, paint.price)));
    let _ = writeln!(
        out,
        "{} to {} · pods start in {:.0} s (median) · one replica carries {} · seed {}\n",
        day(comparison.from),
        day(comparison.to),
        comparison.startup_seconds,
        number(comparison.per_replica),
        comparison.seed
    );
    let mut lines: Vec<Vec<String>> = vec![head(paint)];
    let usual = comparison.row(&comparison.reference.row).map(|r| r.score.replica_hours);
    for (label, row) in shown(comparison) {
        lines.push(cells(&label, row, usual, paint));
        if row.kind == Kind::Foresail {
            lines.extend(tuned(comparison, row, usual, paint));
        }
    }
    lines.push(oracle(comparison, usual, paint));
    draw(&mut out, &lines, paint);
    if !comparison.variants.is_empty() {
        let _ = writeln!(out, "\nForesail otherwise");
        let mut lines = vec![head(paint)];
        lines.extend(comparison.variants.iter().map(|row| cells(&row.name, row, usual, paint)));
        draw(&mut out, &lines, paint);
    }
    let _ = writeln!(out, "\nforecast: {}", comparison.forecast);
    advice(&mut out, comparison, paint);
    out
}

fn head(paint: Paint) -> Vec<String> {
    let mut head: Vec<String> = HEAD.iter().map(|h| (*h).to_owned()).collect();
    if paint.price.is_some() {
        head.insert(4, "cost".to_owned());
    }
    head
}

fn cells(label: &str, row: &Row, usual: Option<f64>, paint: Paint) -> Vec<String> {
    let s = &row.score;
    let mut cells = vec![
        label.to_owned(),
        format!("{} {}", duration(s.violation_seconds), share(s.violation_percent)),
        duration(s.worst_seconds),
        format!("{:.0}", s.replica_hours),
        against(s.replica_hours, usual),
        format!("{:.2}", s.over_oracle),
        format!("{:.0}", s.actions_per_day),
    ];
    money(&mut cells, s.replica_hours, paint);
    cells
}

/// The HPA that was tuned in hindsight to break the promise just as long as Foresail.
fn tuned(comparison: &Comparison, ours: &Row, usual: Option<f64>, paint: Paint) -> Option<Vec<String>> {
    let least = 10.0 / (comparison.days * 86_400.0);
    let hours = cost_at(&comparison.sweep(Kind::Hpa), ours.score.violation_percent / 100.0, least)?;
    let mut cells = vec![
        "HPA, tuned in hindsight".to_owned(),
        "no longer than that".to_owned(),
        String::new(),
        format!("{hours:.0}"),
        against(hours, usual),
        format!("{:.2}", hours / comparison.oracle_hours),
        String::new(),
    ];
    money(&mut cells, hours, paint);
    Some(cells)
}

fn oracle(comparison: &Comparison, usual: Option<f64>, paint: Paint) -> Vec<String> {
    let mut cells = vec![
        "oracle".to_owned(),
        "0 s".to_owned(),
        "0 s".to_owned(),
        format!("{:.0}", comparison.oracle_hours),
        against(comparison.oracle_hours, usual),
        "1.00".to_owned(),
        String::new(),
    ];
    money(&mut cells, comparison.oracle_hours, paint);
    cells
}

fn money(cells: &mut Vec<String>, hours: f64, paint: Paint) {
    if let Some(price) = paint.price {
        cells.insert(4, format!("{:.2}", hours * price));
    }
}

fn against(hours: f64, usual: Option<f64>) -> String {
    usual.map_or_else(String::new, |usual| format!("{:+.1} %", (hours / usual - 1.0) * 100.0))
}

fn share(percent: f64) -> String {
    match percent {
        p if p <= 0.0 => String::new(),
        p if p < 0.1 => format!("({p:.3} %)"),
        p if p < 10.0 => format!("({p:.2} %)"),
        p => format!("({p:.0} %)"),
    }
}

fn day(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M").to_string()
}

/// A number with as many digits as it deserves.
pub(crate) fn number(value: f64) -> String {
    let text = if value.abs() >= 100.0 { format!("{value:.0}") } else { format!("{value:.3}") };
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

fn draw(out: &mut String, lines: &[Vec<String>], paint: Paint) {
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width =
        |c: usize| lines.iter().filter_map(|l| l.get(c)).map(|s| s.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for (i, line) in lines.iter().enumerate() {
        let mut text = String::new();
        for (c, cell) in line.iter().enumerate() {
            let pad = " ".repeat(widths[c] - cell.chars().count());
            let _ = if c == 0 { write!(text, "{cell}{pad}") } else { write!(text, "   {pad}{cell}") };
        }
        let text = text.trim_end();
        let _ = writeln!(
            out,
            "{}",
            if i == 0 {
                paint.dim(text)
            } else if i == 1 {
                paint.bold(text)
            } else {
                text.to_owned()
            }
        );
    }
}

fn advice(out: &mut String, comparison: &Comparison, paint: Paint) {
    let Some(advice) = &comparison.advice else { return };
    let _ = writeln!(
        out,
        "\n{} mode {}, protection {}, forecast {}",
        paint.bold("Recommended:"),
        advice.mode,
        advice.protection,
        if advice.trust_forecast { "Auto" } else { "Off" }
    );
    for reason in &advice.because {
        let _ = writeln!(out, "  - {reason}");
    }
    let _ = writeln!(
        out,
        "  A month of this: {:.0} replica-hours {}, {} of shortage {} against {}.",
        advice.saved_hours_a_month.abs(),
        if advice.saved_hours_a_month >= 0.0 { "saved" } else { "more" },
        duration(advice.spared_seconds_a_month.abs()),
        if advice.spared_seconds_a_month >= 0.0 { "spared" } else { "more" },
        comparison.reference.words
    );
}

impl Paint {
    fn wrap(self, code: &str, text: &str) -> String {
        if self.color { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }
}
