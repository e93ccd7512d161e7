//! The page: one self-contained file with the charts, the table and the advice, in light and dark. It loads nothing.

use std::fmt::Write;
use std::time::Duration;

use jiff::Timestamp;
use series::time;

use crate::advice::duration;
use crate::baselines::Kind;
use crate::compare::Comparison;
use crate::curves::Curves;
use crate::report::pareto;
use crate::report::svg::{self, Frame, escape, whole_ticks};
use crate::report::table::number;
use crate::report::{shown, verdict};
use crate::row::FORESAIL;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
/// Points drawn over the width of the large chart.
const POINTS: usize = 1_060;

/// The comparison as a page. `title` is the name of the workload, `price` what a replica costs an hour.
pub fn html(comparison: &Comparison, title: &str, price: Option<f64>) -> String {
    let mut out = String::with_capacity(200_000);
    let _ = writeln!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light dark\">\n<link rel=\"icon\" href=\"data:,\">\n<title>Foresail backtest: {0}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{0}</h1>",
        escape(title)
    );
    let _ = writeln!(out, "<p class=\"verdict\">{}</p>", escape(&verdict(comparison, price)));
    facts(&mut out, comparison);
    advice(&mut out, comparison);
    overview(&mut out, comparison);
    differing(&mut out, comparison);
    pareto::chart(&mut out, comparison);
    rows(&mut out, comparison);
    let _ = writeln!(
        out,
        "<footer>Replayed by <code>foresail backtest</code>, seed {}: everybody meets the same arrivals and the same start-up times. The load is the recording from {} to {}; forecasts only ever saw what had been measured by then.</footer>\n</main>\n<script>\n{SCRIPT}</script>\n</body>\n</html>",
        comparison.seed,
        minute(comparison.from),
        minute(comparison.to)
    );
    out
}

fn facts(out: &mut String, c: &Comparison) {
    let (Some(ours), Some(hpa)) = (c.row(FORESAIL), c.row(&c.reference.row)) else { return };
    let tile = |out: &mut String, name: &str, value: &str, note: &str| {
        let _ = writeln!(
            out,
            "<div class=\"tile\"><span>{}</span><strong>{}</strong><small>{}</small></div>",
            escape(name),
            escape(value),
            escape(note)
        );
    };
    out.push_str("<section class=\"tiles\">\n");
    tile(
        out,
        "too few replicas",
        &duration(ours.score.violation_seconds),
        &format!("{}: {}", c.reference.words, duration(hpa.score.violation_seconds)),
    );
    tile(
        out,
        "replica-hours",
        &format!("{:.0}", ours.score.replica_hours),
        &format!("{}: {:.0}", c.reference.words, hpa.score.replica_hours),
    );
    let tuned = ours.over_tuned_hpa.map_or_else(String::new, |r| format!("{:+.0} %", (r - 1.0) * 100.0));
    tile(out, "against the HPA tuned in hindsight", &tuned, "at equal broken time");
    tile(out, "against the oracle", &format!("{:.2} ×", ours.score.over_oracle), "which knows the future");
    out.push_str("</section>\n");
}

fn advice(out: &mut String, c: &Comparison) {
    let Some(a) = &c.advice else { return };
    let _ = writeln!(
        out,
        "<section class=\"advice\"><h2>Recommended</h2><p><code>mode: {}</code> <code>protection: {}</code> <code>forecast: {}</code></p><ul>",
        a.mode,
        escape(&a.protection),
        if a.trust_forecast { "Auto" } else { "Off" }
    );
    for reason in &a.because {
        let _ = writeln!(out, "<li>{}</li>", escape(reason));
    }
    let _ = writeln!(out, "</ul><p class=\"note\">Forecast: {}</p></section>", escape(&c.forecast));
}

/// Foresail, HPA and need over the whole span.
fn overview(out: &mut String, c: &Comparison) {
    let curves = &c.curves;
    if curves.need.is_empty() {
        return;
    }
    out.push_str("<section><h2>Load and replicas</h2>\n");
    legend(out, &c.reference.words);
    out.push_str("<div class=\"chart\" id=\"overview\">\n");
    let frame = Frame::wide();
    let per = curves.need.len().div_ceil(POINTS).max(1);
    let shown: Vec<Shown> = (0..curves.need.len()).step_by(per).map(|i| Shown::of(curves, i, per)).collect();
    let label = format!("Replicas needed, of Foresail and of {}", c.reference.words);
    draw(out, &frame, curves, &shown, &label);
    out.push_str("<div class=\"tip\" hidden></div></div>\n");
    data(out, c, &shown, &frame);
    out.push_str("</section>\n");
}

/// One point of a chart, from several of a curve.
struct Shown {
    at: Timestamp,
    need: f64,
    ours: f64,
    hpa: f64,
    ours_broken: bool,
    hpa_broken: bool,
}

impl Shown {
    fn of(c: &Curves, from: usize, per: usize) -> Self {
        let to = (from + per).min(c.need.len());
        let mean = |v: &[f32]| v.iter().map(|x| f64::from(*x)).sum::<f64>() / v.len() as f64;
        let need = c.need[from..to].iter().copied().fold(0.0, f32::max);
        Self {
            at: time::after(c.from, Duration::from_secs(c.step * from as u64)),
            need: if need > 0.0 { f64::from(need) } else { f64::NAN },
            ours: mean(&c.ours[from..to]),
            hpa: mean(&c.hpa[from..to]),
            ours_broken: c.broken[from..to].iter().any(|b| b.0),
            hpa_broken: c.broken[from..to].iter().any(|b| b.1),
        }
    }
}

fn draw(out: &mut String, frame: &Frame, curves: &Curves, shown: &[Shown], label: &str) {
    let (Some(first), Some(last)) = (shown.first(), shown.last()) else { return };
    let seconds = |at: Timestamp| at.as_second() as f64;
    let x = frame.x(seconds(first.at), seconds(last.at) + curves.step as f64);
    let most =
        shown.iter().flat_map(|s| [s.need, s.ours, s.hpa]).filter(|v| v.is_finite()).fold(1.0, f64::max);
    let y = frame.y(most * 1.05);
    frame.open(out, label);
    frame.grid(out, &y, &whole_ticks(most * 1.05, 5.0), |v| format!("{v:.0}"));
    frame.below(out, &time_ticks(first.at, last.at, &x));
    let points: Vec<(f64, f64)> = shown.iter().map(|s| (x.at(seconds(s.at)), y.at(s.need))).collect();
    svg::area(out, "need", frame.height - frame.bottom, &points);
    svg::line(out, "hpa", shown.iter().map(|s| (x.at(seconds(s.at)), y.at(s.hpa))));
    svg::line(out, "ours", shown.iter().map(|s| (x.at(seconds(s.at)), y.at(s.ours))));
    let base = frame.height - frame.bottom;
    for s in shown.iter().filter(|s| s.ours_broken || s.hpa_broken) {
        let at = x.at(seconds(s.at));
        for (broken, class, top) in
            [(s.hpa_broken, "hpa-broken", base - 5.0), (s.ours_broken, "ours-broken", base - 11.0)]
        {
            if broken {
                let _ = writeln!(
                    out,
                    "<rect class=\"{class}\" x=\"{:.1}\" y=\"{top:.1}\" width=\"2.4\" height=\"5\"/>",
                    at - 1.2
                );
            }
        }
    }
    out.push_str("</svg>\n");
}

fn legend(out: &mut String, reference: &str) {
    let reference = escape(reference);
    let _ = writeln!(
        out,
        "<p class=\"legend\"><span class=\"k need\"></span>needed <span class=\"k ours\"></span>Foresail <span class=\"k hpa\"></span>{reference} <span class=\"k ours-broken\"></span>too few: Foresail <span class=\"k hpa-broken\"></span>too few: {reference}</p>"
    );
}

/// Ticks at days, hours or minutes, whichever fits.
fn time_ticks(from: Timestamp, to: Timestamp, x: &svg::Scale) -> Vec<(f64, String)> {
    let span = time::since(to, from).as_secs();
    let step = [300, 600, 900, 1_800, 3_600, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800]
        .into_iter()
        .find(|s| span / s <= 9)
        .unwrap_or(604_800);
    let mut at = time::align(time::after(from, Duration::from_secs(step - 1)), Duration::from_secs(step));
    let mut ticks = Vec::new();
    while at <= to {
        let name = if step >= 86_400 { at.strftime("%b %d") } else { at.strftime("%H:%M") };
        ticks.push((x.at(at.as_second() as f64), name.to_string()));
        at = time::after(at, Duration::from_secs(step));
    }
    ticks
}

/// The values behind the large chart, for the pointer.
fn data(out: &mut String, c: &Comparison, shown: &[Shown], frame: &Frame) {
    let _ = write!(
        out,
        "<script type=\"application/json\" id=\"points\">{{\"left\":{},\"right\":{},\"width\":{},\"perReplica\":{},\"points\":[",
        frame.left,
        frame.right,
        frame.width,
        number(c.per_replica)
    );
    for (i, s) in shown.iter().enumerate() {
        let n = |v: f64| if v.is_finite() { format!("{:.0}", v.ceil()) } else { "null".to_owned() };
        let _ = write!(
            out,
            "{}[{},{},{},{}]",
            if i > 0 { "," } else { "" },
            s.at.as_second(),
            n(s.need),
            n(s.ours),
            n(s.hpa)
        );
    }
    out.push_str("]}</script>\n");
}

/// Small charts of the moments that differ.
fn differing(out: &mut String, c: &Comparison) {
    if c.moments.is_empty() {
        return;
    }
    out.push_str("<section><h2>The moments that differ</h2>\n<div class=\"moments\">\n");
    for moment in c.moments.iter().take(6) {
        let pad = Duration::from_secs(2_700);
        let index = |at: Timestamp| (time::since(at, c.curves.from).as_secs() / c.curves.step) as usize;
        let from = index(time::before(moment.from, pad));
        let to = (index(time::after(moment.to, pad)) + 1).min(c.curves.need.len());
        if from >= to {
            continue;
        }
        let per = (to - from).div_ceil(480).max(1);
        let shown: Vec<Shown> = (from..to).step_by(per).map(|i| Shown::of(&c.curves, i, per)).collect();
        let _ = writeln!(
            out,
            "<figure><figcaption><b>{}</b> {} had too few replicas for {}, {} missing at worst</figcaption>",
            minute(moment.from),
            escape(&moment.broken_by),
            duration(moment.seconds),
            moment.shortfall
        );
        draw(out, &Frame::small(), &c.curves, &shown, "Replicas around this moment");
        out.push_str("</figure>\n");
    }
    out.push_str("</div></section>\n");
}

fn rows(out: &mut String, c: &Comparison) {
    out.push_str("<section><h2>Everybody</h2>\n<div class=\"scroll\"><table><thead><tr><th></th><th>too few replicas</th><th>share</th><th>worst stretch</th><th>replica-hours</th><th>oracle ×</th><th>changes a day</th><th>reversals a day</th></tr></thead><tbody>\n");
    let variants = c.variants.iter().map(|row| (format!("Foresail, {}", row.name), row));
    for (label, row) in shown(c).into_iter().chain(variants) {
        let s = &row.score;
        let _ = writeln!(
            out,
            "<tr{}><th>{}</th><td>{}</td><td>{:.3} %</td><td>{}</td><td>{:.0}</td><td>{:.2}</td><td>{:.0}</td><td>{:.1}</td></tr>",
            if row.kind == Kind::Foresail { " class=\"us\"" } else { "" },
            escape(&label),
            duration(s.violation_seconds),
            s.violation_percent,
            duration(s.worst_seconds),
            s.replica_hours,
            s.over_oracle,
            s.actions_per_day,
            s.reversals_per_day
        );
    }
    out.push_str("</tbody></table></div></section>\n");
}

fn minute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}
