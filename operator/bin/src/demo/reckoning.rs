//! What broke the promise, by what happened meanwhile: a day's failures are not all of one kind. What comes in: the
//! outcomes of two runs and the script. What goes out: seconds by kind of scene, and what may be said of the promise.

use std::fmt::Write as _;

use backtest::{Outcome, RUN_IN, WINDOW};

use super::script::{SceneKind, Script};

/// Every kind, with how a reader knows it.
const KINDS: [(SceneKind, &str); 5] = [
    (SceneKind::Ordinary, "everyday load, newsletters included"),
    (SceneKind::Announced, "the sale in the calendar"),
    (SceneKind::Sale, "the flash sale nobody announced"),
    (SceneKind::Outage, "Prometheus gone"),
    (SceneKind::Crash, "the release that crash-looped"),
];

/// Seconds of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Share {
    scored: usize,
    ours: usize,
    hpa: usize,
}

/// The day, taken apart.
pub(super) struct Reckoning {
    shares: [Share; KINDS.len()],
}

impl Reckoning {
    /// Takes two runs of the same day apart.
    pub(super) fn new(script: &Script, ours: &Outcome, hpa: &Outcome) -> Self {
        let mut shares = [Share::default(); KINDS.len()];
        for (window, (by_us, by_hpa)) in ours.violated.iter().zip(&hpa.violated).enumerate() {
            let kind = script.kind_of(RUN_IN as usize + window * WINDOW);
            let Some(at) = KINDS.iter().position(|(k, _)| *k == kind) else { continue };
            shares[at].scored += WINDOW;
            shares[at].ours += if *by_us { WINDOW } else { 0 };
            shares[at].hpa += if *by_hpa { WINDOW } else { 0 };
        }
        Self { shares }
    }

    /// The share of time in which Foresail kept the promise, among the kinds that `among` names.
    fn kept(&self, among: impl Fn(SceneKind) -> bool) -> f64 {
        let chosen = || KINDS.iter().zip(&self.shares).filter(|((kind, _), _)| among(*kind));
        let scored: usize = chosen().map(|(_, share)| share.scored).sum();
        let broken: usize = chosen().map(|(_, share)| share.ours).sum();
        1.0 - broken as f64 / scored.max(1) as f64
    }

    /// For people: the table and what it means against `promise`.
    pub(super) fn text(&self, promise: f64) -> String {
        let mut text = "Too few replicas, by what happened meanwhile:\n\n".to_owned();
        // Writing to a String can't fail.
        let _ = writeln!(text, "{:38}{:>10}{:>14}", "", "Foresail", "HPA at 70 %");
        for ((_, name), share) in KINDS.iter().zip(&self.shares) {
            let _ = writeln!(text, "{name:38}{:>10}{:>14}", lasting(share.ours), lasting(share.hpa));
        }
        let known = self.kept(SceneKind::could_be_known);
        let verdict = if known >= promise { "kept" } else { "missed" };
        let _ = write!(
            text,
            "\nThe promise, {}, was {verdict} where the past or the calendar could tell: {} of that time.\n\
             Over the whole day it was {}: a sale nobody announced is met as it comes, one start-up time late, and\n\
             nobody can add pods that crash.\n",
            percent(promise),
            percent(known),
            percent(self.kept(|_| true)),
        );
        text
    }
}

fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}

fn lasting(seconds: usize) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        _ => format!("{:.0} min", seconds as f64 / 60.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_time_is_told_by_what_happened_and_the_unforeseeable_apart() {
        let script = Script::new(1).unwrap();
        let windows = 17 * 360;
        let broken = |kind| {
            let violated =
                (0..windows).map(|w| script.kind_of(RUN_IN as usize + w * WINDOW) == kind).collect();
            Outcome { violated, ..Outcome::default() }
        };
        let reckoning = Reckoning::new(&script, &broken(SceneKind::Sale), &broken(SceneKind::Announced));
        let text = reckoning.text(0.995);
        let line = |name: &str| text.lines().find(|l| l.starts_with(name)).unwrap().to_owned();
        assert!(line("the flash sale nobody announced").ends_with("55 min           0 s"), "{text}");
        assert!(line("the sale in the calendar").ends_with("0 s        55 min"), "{text}");
        assert!(text.contains("was kept where") && text.contains("100.00 % of that time"), "{text}");
        assert!(text.contains("94.61 %"), "{text}");
    }
}
