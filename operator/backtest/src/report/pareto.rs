//! Broken time against replica-hours: the swept HPA as a line, and Foresail as a point on it or, better, below.

use std::fmt::Write;

use crate::advice::duration;
use crate::baselines::Kind;
use crate::compare::Comparison;
use crate::frontier::Point;
use crate::report::svg::{self, Frame, Labels, Scale, escape, round_ticks};
use crate::report::table::number;
use crate::row::FORESAIL;

const NOTE: &str = "Each HPA point is one CPU target; further down and further left is better. The scale of broken time is logarithmic.";

/// From shares of time and replica-hours to places on the chart.
struct Axes {
    frame: Frame,
    x: Scale,
    y: Scale,
    /// What stands for "never": one window of the scored time.
    least: f64,
    /// The right end, a share of time.
    most: f64,
    /// Least and most replica-hours.
    hours: (f64, f64),
}

impl Axes {
    fn new(c: &Comparison, swept: &[&Point]) -> Self {
        let frame = Frame { height: 380.0, bottom: 44.0, left: 60.0, right: 34.0, ..Frame::wide() };
        let least = 10.0 / (c.days * 86_400.0);
        let worst = swept.iter().map(|p| p.violation).fold(least, f64::max);
        // The decade above the worst, and two at least.
        let most = 10f64.powf(worst.log10().ceil()).clamp((least * 100.0).min(1.0), 1.0);
        let hours = swept.iter().map(|p| p.replica_hours).chain([c.oracle_hours]);
        let (low, high) = hours.fold((f64::INFINITY, 0.0f64), |(l, h), v| (l.min(v), h.max(v)));
        let x = frame.x(least.log10(), most.log10());
        Self { frame, x, y: frame.y_between(low * 0.92, high * 1.02), least, most, hours: (low, high) }
    }

    fn at(&self, violation: f64, replica_hours: f64) -> (f64, f64) {
        (self.x.at(violation.max(self.least).log10()), self.y.at(replica_hours))
    }

    fn draw(&self, out: &mut String) {
        let (low, high) = self.hours;
        let ticks: Vec<f64> = round_ticks(high, 12.0).into_iter().filter(|t| *t >= low * 0.92).collect();
        self.frame.grid(out, &self.y, &ticks, |v| format!("{v:.0} h"));
        let names: Vec<(f64, String)> = [0.00001, 0.0001, 0.001, 0.01, 0.1, 1.0]
            .into_iter()
            // Beside "never" there is room for no other name.
            .filter(|s| *s > self.least * 2.0 && *s <= self.most)
            .map(|s| (self.at(s, low).0, format!("{} %", number(s * 100.0))))
            .chain([(self.at(0.0, low).0, "never".to_owned())])
            .collect();
        self.frame.below(out, &names);
    }
}

/// The chart, if anything was swept.
pub(crate) fn chart(out: &mut String, c: &Comparison) {
    let (Some(ours), hpas) = (c.row(FORESAIL), c.sweep(Kind::Hpa)) else { return };
    if hpas.is_empty() {
        return;
    }
    let kedas = c.sweep(Kind::Keda);
    let swept: Vec<&Point> = hpas.iter().chain(&kedas).collect();
    let axes = Axes::new(c, &swept);
    let _ = writeln!(
        out,
        "<section><h2>Replica-hours against broken time</h2><p class=\"note\">{NOTE}</p>\n<div class=\"chart\">"
    );
    axes.frame.open(out, "Pareto frontier of the swept HPA with Foresail");
    axes.draw(out);
    // Whoever comes first gets the place: names of points that lie together would cover each other.
    let mut labels = Labels::default();
    let mut marks =
        vec![("Foresail", "ours-dot", ours.score.violation_percent / 100.0, ours.score.replica_hours)];
    marks.push(("oracle", "oracle-dot", 0.0, c.oracle_hours));
    if let Some(p) = c.row("perfect forecast") {
        marks.push((
            "perfect forecast",
            "oracle-dot",
            p.score.violation_percent / 100.0,
            p.score.replica_hours,
        ));
    }
    let mut over = String::new();
    for (name, class, violation, hours) in marks {
        let (x, y) = axes.at(violation, hours);
        let _ = writeln!(over, "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"6\"/>");
        labels.put(&mut over, "mark", name, (x + 10.0, y + 14.0), true);
    }
    dots(out, &axes, &kedas, "keda", None);
    dots(out, &axes, &hpas, "hpa", Some(&mut labels));
    out.push_str(&over);
    out.push_str("</svg></div>\n<p class=\"legend\"><span class=\"k ours\"></span>Foresail <span class=\"k hpa\"></span>HPA by target <span class=\"k keda\"></span>KEDA by target</p></section>\n");
}

/// A line through `points` and a dot on each, with its name where there is room.
fn dots(out: &mut String, axes: &Axes, points: &[Point], class: &str, mut labels: Option<&mut Labels>) {
    svg::line(out, class, points.iter().map(|p| axes.at(p.violation, p.replica_hours)));
    for p in points {
        let (x, y) = axes.at(p.violation, p.replica_hours);
        let of_day = duration(p.violation * 86_400.0);
        let _ = writeln!(
            out,
            "<circle class=\"{class}-dot\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\"><title>{}: {of_day} of a day broken, {:.0} replica-hours</title></circle>",
            escape(&p.name),
            p.replica_hours
        );
        if let Some(labels) = &mut labels {
            labels.put(out, "axis", p.name.trim_start_matches("HPA "), (x + 7.0, y - 5.0), false);
        }
    }
}
