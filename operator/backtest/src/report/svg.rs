//! Charts as SVG text, with colors left to the page's style. Numbers come in, markup goes out.

use std::fmt::Write;

/// A straight scale from values to pixels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    from: (f64, f64),
    to: (f64, f64),
}

impl Scale {
    pub(crate) fn new(from: (f64, f64), to: (f64, f64)) -> Self {
        let from = if from.1 > from.0 { from } else { (from.0, from.0 + 1.0) };
        Self { from, to }
    }

    pub(crate) fn at(&self, value: f64) -> f64 {
        let share = (value - self.from.0) / (self.from.1 - self.from.0);
        self.to.0 + (self.to.1 - self.to.0) * share
    }
}

/// The frame of a chart: its size and the room for axes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    pub(crate) width: f64,
    pub(crate) height: f64,
    pub(crate) left: f64,
    pub(crate) right: f64,
    pub(crate) top: f64,
    pub(crate) bottom: f64,
}

impl Frame {
    pub(crate) fn wide() -> Self {
        Self { width: 1120.0, height: 300.0, left: 48.0, right: 12.0, top: 12.0, bottom: 28.0 }
    }

    pub(crate) fn small() -> Self {
        Self { width: 540.0, height: 210.0, left: 44.0, right: 10.0, top: 10.0, bottom: 26.0 }
    }

    pub(crate) fn x(&self, from: f64, to: f64) -> Scale {
        Scale::new((from, to), (self.left, self.width - self.right))
    }

    pub(crate) fn y(&self, most: f64) -> Scale {
        Scale::new((0.0, most), (self.height - self.bottom, self.top))
    }

    pub(crate) fn y_between(&self, least: f64, most: f64) -> Scale {
        Scale::new((least, most), (self.height - self.bottom, self.top))
    }

    pub(crate) fn open(&self, out: &mut String, label: &str) {
        let _ = writeln!(
            out,
            "<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">",
            self.width,
            self.height,
            escape(label)
        );
    }

    /// Horizontal lines with their values.
    pub(crate) fn grid(&self, out: &mut String, y: &Scale, ticks: &[f64], name: impl Fn(f64) -> String) {
        for tick in ticks {
            let at = y.at(*tick);
            let _ = writeln!(
                out,
                "<line class=\"grid\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/><text class=\"axis\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                self.left,
                self.width - self.right,
                self.left - 6.0,
                at + 4.0,
                escape(&name(*tick))
            );
        }
    }

    /// Vertical ticks with their labels, below the chart.
    pub(crate) fn below(&self, out: &mut String, ticks: &[(f64, String)]) {
        let base = self.height - self.bottom;
        for (at, name) in ticks {
            let _ = writeln!(
                out,
                "<line class=\"grid\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{base:.1}\" y2=\"{:.1}\"/><text class=\"axis\" x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                base + 4.0,
                base + 17.0,
                escape(name)
            );
        }
    }
}

/// A line through points; a gap where a value isn't a number.
pub(crate) fn line(out: &mut String, class: &str, points: impl Iterator<Item = (f64, f64)>) {
    let mut d = String::new();
    let mut drawing = false;
    for (x, y) in points {
        if !y.is_finite() {
            drawing = false;
            continue;
        }
        let _ = write!(d, "{}{x:.1} {y:.1}", if drawing { 'L' } else { 'M' });
        drawing = true;
    }
    let _ = writeln!(out, "<path class=\"{class}\" d=\"{d}\"/>");
}

/// The area between points and the base line.
pub(crate) fn area(out: &mut String, class: &str, base: f64, points: &[(f64, f64)]) {
    let mut d = String::new();
    let mut last = None;
    for (x, y) in points {
        match (last, y.is_finite()) {
            (None, true) => {
                let _ = write!(d, "M{x:.1} {base:.1}L{x:.1} {y:.1}");
                last = Some(*x);
            }
            (Some(_), true) => {
                let _ = write!(d, "L{x:.1} {y:.1}");
                last = Some(*x);
            }
            (Some(x), false) => {
                let _ = write!(d, "L{x:.1} {base:.1}Z");
                last = None;
            }
            (None, false) => {}
        }
    }
    if let Some(x) = last {
        let _ = write!(d, "L{x:.1} {base:.1}Z");
    }
    let _ = writeln!(out, "<path class=\"{class}\" d=\"{d}\"/>");
}

/// Round values for an axis up to `most`, about `count` of them.
pub(crate) fn round_ticks(most: f64, count: f64) -> Vec<f64> {
    let raw = (most / count).max(f64::MIN_POSITIVE);
    let power = 10f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].iter().map(|m| m * power).find(|s| *s >= raw).unwrap_or(raw);
    (0..100).map(|i| f64::from(i) * step).take_while(|v| *v <= most * 1.0001).collect()
}

/// As [`round_ticks`], but whole: replicas aren't halved.
pub(crate) fn whole_ticks(most: f64, count: f64) -> Vec<f64> {
    round_ticks(most, count.min(most).max(1.0)).into_iter().filter(|v| v.fract() == 0.0).collect()
}

/// The places of a chart that names have taken.
#[derive(Debug, Default)]
pub(crate) struct Labels {
    /// Left, baseline and width of each, pixels.
    taken: Vec<(f64, f64, f64)>,
}

impl Labels {
    /// Writes `name` with its left end and baseline at a place that is still free. Where it isn't, a name that matters
    /// moves down to the next free line, and any other is left out.
    pub(crate) fn put(
        &mut self,
        out: &mut String,
        class: &str,
        name: &str,
        (x, y): (f64, f64),
        matters: bool,
    ) {
        const LINE: f64 = 15.0;
        const LETTER: f64 = 7.5;
        let width = name.chars().count() as f64 * LETTER;
        let free = |y: f64| {
            self.taken.iter().all(|(a, b, w)| x + width < *a || a + w < x || (y - b).abs() >= LINE - 1.0)
        };
        let lines = if matters { 4 } else { 1 };
        let Some(y) = (0..lines).map(|i| y + f64::from(i) * LINE).find(|y| free(*y)) else { return };
        self.taken.push((x, y, width));
        let _ = writeln!(out, "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>", escape(name));
    }
}

/// Text that is safe between and inside of tags.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_within_range() {
        assert_eq!(round_ticks(47.0, 5.0), [0.0, 10.0, 20.0, 30.0, 40.0]);
        assert_eq!(round_ticks(3.0, 5.0), [0.0, 1.0, 2.0, 3.0]);
    }

    #[test]
    fn replicas_are_counted_in_whole_ones() {
        assert_eq!(whole_ticks(2.1, 5.0), [0.0, 1.0, 2.0]);
        assert_eq!(whole_ticks(47.0, 5.0), [0.0, 10.0, 20.0, 30.0, 40.0]);
        assert_eq!(whole_ticks(1.05, 5.0), [0.0, 1.0]);
    }

    #[test]
    fn names_never_cover_each_other() {
        let (mut labels, mut out) = (Labels::default(), String::new());
        labels.put(&mut out, "mark", "oracle", (10.0, 100.0), true);
        labels.put(&mut out, "mark", "perfect", (12.0, 101.0), true);
        labels.put(&mut out, "axis", "70%", (15.0, 99.0), false);
        assert!(out.contains(">oracle<") && out.contains("y=\"116.0\">perfect<") && !out.contains("70%"));
    }

    #[test]
    fn a_gap_breaks_the_line_and_closes_the_area() {
        let mut out = String::new();
        line(&mut out, "x", [(0.0, 1.0), (1.0, f64::NAN), (2.0, 3.0)].into_iter());
        assert!(out.contains("M0.0 1.0M2.0 3.0"));
        let mut out = String::new();
        area(&mut out, "x", 9.0, &[(0.0, 1.0), (1.0, f64::NAN), (2.0, 3.0)]);
        assert_eq!(out.matches('Z').count(), 2);
    }

    #[test]
    fn markup_in_names_stays_text() {
        assert_eq!(escape("<a & \"b\">"), "&lt;a &amp; &quot;b&quot;&gt;");
    }
}
