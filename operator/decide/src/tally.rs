//! What a simulated strategy cost and missed, day by day.

use std::iter::Sum;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::strategy::Strategy;

/// Time between two ticks of a simulation.
pub const TICK: Duration = Duration::from_secs(15);
const SECONDS_PER_DAY: f64 = 86_400.0;

/// What a strategy cost and missed over some ticks of a simulation, in sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Ticks in which a load was known.
    pub ticks: u32,
    /// Those with too few ready replicas.
    pub short: u32,
    /// The replicas of all ticks, added up.
    pub replicas: u64,
    /// Changes of replicas.
    pub changes: u32,
    /// Changes in the other direction within ten minutes.
    pub reversals: u32,
}

/// What a strategy cost and missed when it was simulated on the workload's own past.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Score {
    /// The strategy that was simulated.
    pub strategy: Strategy,
    /// Share of time with too few ready replicas, 0 to 1.
    pub violation: f64,
    /// Mean replicas paid for.
    pub replicas: f64,
    /// Days simulated.
    pub days: f64,
    /// Changes of replicas a day.
    pub changes: f64,
    /// Changes in the other direction within ten minutes, a day.
    pub reversals: f64,
}

impl Tally {
    /// The same as shares and means; `None` where no load was known.
    pub fn score(&self, strategy: Strategy) -> Option<Score> {
        let ticks = f64::from(self.ticks);
        let days = ticks * TICK.as_secs_f64() / SECONDS_PER_DAY;
        (self.ticks > 0).then(|| Score {
            strategy,
            violation: f64::from(self.short) / ticks,
            replicas: self.replicas as f64 / ticks,
            days,
            changes: f64::from(self.changes) / days,
            reversals: f64::from(self.reversals) / days,
        })
    }
}

impl<'a> Sum<&'a Self> for Tally {
    fn sum<I: Iterator<Item = &'a Self>>(all: I) -> Self {
        all.fold(Self::default(), |a, b| Self {
            ticks: a.ticks + b.ticks,
            short: a.short + b.short,
            replicas: a.replicas + b.replicas,
            changes: a.changes + b.changes,
            reversals: a.reversals + b.reversals,
        })
    }
}

/// A strategy that was simulated, and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Simulated {
    /// The strategy.
    pub strategy: Strategy,
    /// One for each day, oldest first; the first may have taken between a half and one and a half.
    pub days: Vec<Tally>,
}

impl Simulated {
    /// All days together; `None` where no load was known.
    pub fn score(&self) -> Option<Score> {
        self.days.iter().sum::<Tally>().score(self.strategy)
    }
}
