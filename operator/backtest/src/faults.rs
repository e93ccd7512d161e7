//! The fault menu: what can be wrong with a measurement, and what a reader of it sees. Each fault was behind a real
//! incident; none of them may remove a pod.

use serde::{Deserialize, Serialize};

/// One fault, over a span of seconds of the replay.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// What goes wrong.
    pub kind: FaultKind,
    /// First second of the replay it's there.
    pub from: usize,
    /// First second it's gone.
    pub to: usize,
}

/// The kinds of fault.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum FaultKind {
    /// The server doesn't answer.
    Outage,
    /// The query matches nothing.
    Empty,
    /// The answer is NaN.
    NotANumber,
    /// The newest sample grows old.
    Stale,
    /// This share of targets is missing from the sum, 0 to 1.
    Partial {
        /// The share that is missing.
        missing: f64,
    },
    /// All counters restart from zero at the beginning of the span.
    CounterReset,
    /// Samples are dated two minutes ahead.
    Future,
    /// Values are this many times too high.
    Glitch {
        /// The factor.
        factor: f64,
    },
    /// Nothing is scraped during the span, and afterwards the window fills only slowly.
    HalfEmpty,
}

impl FaultKind {
    /// A short name for tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Outage => "outage",
            Self::Empty => "empty",
            Self::NotANumber => "not-a-number",
            Self::Stale => "stale",
            Self::Partial { .. } => "partial",
            Self::CounterReset => "counter-reset",
            Self::Future => "future",
            Self::Glitch { .. } => "glitch",
            Self::HalfEmpty => "half-empty",
        }
    }
}

impl Fault {
    /// Whether the measurement at `second` is missing or wrong, the seconds included in which a window still holds
    /// what the fault left behind.
    pub fn taints(&self, second: usize, window: usize) -> bool {
        let tail = match self.kind {
            FaultKind::HalfEmpty | FaultKind::CounterReset => window,
            _ => 0,
        };
        let to = if self.kind == FaultKind::CounterReset { self.from } else { self.to };
        second >= self.from && second < to + tail
    }

    /// Whether it's in force.
    pub(crate) fn active(&self, second: usize) -> bool {
        second >= self.from && second < self.to
    }
}

/// The whole menu, one fault at a time, each at its own place of the replay: outages of 1, 10 and 60 minutes, then one
/// of every other kind for 10 minutes. `begin` is the first second, `every` the distance between two.
pub fn menu(begin: usize, every: usize) -> Vec<Fault> {
    let minutes = |kind, m: usize| (kind, m * 60);
    [
        minutes(FaultKind::Outage, 1),
        minutes(FaultKind::Outage, 10),
        minutes(FaultKind::Outage, 60),
        minutes(FaultKind::Empty, 10),
        minutes(FaultKind::NotANumber, 10),
        minutes(FaultKind::Stale, 10),
        minutes(FaultKind::Partial { missing: 0.1 }, 10),
        minutes(FaultKind::Partial { missing: 0.5 }, 10),
        minutes(FaultKind::CounterReset, 10),
        minutes(FaultKind::Future, 10),
        (FaultKind::Glitch { factor: 10.0 }, 15),
        minutes(FaultKind::HalfEmpty, 10),
    ]
    .into_iter()
    .enumerate()
    .map(|(i, (kind, length))| Fault { kind, from: begin + i * every, to: begin + i * every + length })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_half_empty_window_taints_beyond_its_end() {
        let fault = Fault { kind: FaultKind::HalfEmpty, from: 100, to: 200 };
        assert!(fault.taints(259, 60) && !fault.taints(260, 60));
        assert!(fault.active(199) && !fault.active(200));
    }

    #[test]
    fn the_menu_holds_every_kind_once_and_the_outage_thrice() {
        let menu = menu(0, 7_200);
        let outages = menu.iter().filter(|f| f.kind == FaultKind::Outage).count();
        assert_eq!((menu.len(), outages), (12, 3));
    }
}
