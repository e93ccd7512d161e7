//! Who takes part in a comparison: every baseline with its name, made for a load in a world.

use std::time::Duration;

use serde::Serialize;

use crate::baseline::{Clairvoyant, Cron, Keda, KedaSpec, Kpa, LastValue, LastWeek, Phpa, Static};
use crate::hpa::{Behavior, Hpa, HpaSpec, Metric};
use crate::load::Load;
use crate::scaler::Scaler;
use crate::world::World;

/// The targets of the swept HPA, in percent of what a replica saturates at. The lowest ones are nobody's choice; without
/// them the HPA tuned in hindsight couldn't follow where a load trembles so much that 30 % breaks the promise for long.
pub const SWEEP: [u32; 16] = [10, 15, 20, 25, 30, 35, 40, 45, 50, 55, 60, 65, 70, 75, 80, 85];

/// What sort of policy a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// Foresail.
    Foresail,
    /// Foresail under other settings.
    Variant,
    /// An HPA on CPU, one of the sweep.
    Hpa,
    /// A KEDA trigger on the load, one of the sweep.
    Keda,
    /// The autoscaler that runs today.
    Existing,
    /// Another baseline.
    Baseline,
    /// One that knows the future.
    Clairvoyant,
}

/// A policy in a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contender {
    /// HPA on CPU at this percentage, without `behavior`.
    Hpa(u32),
    /// HPA on CPU at this percentage, with `behavior` at its defaults.
    HpaWithBehavior(u32),
    /// KEDA on the load at this percentage of saturation.
    Keda(u32),
    /// PredictiveHorizontalPodAutoscaler at this percentage.
    Phpa(u32),
    /// Knative at this percentage.
    Knative(u32),
    /// A cron schedule somebody keeps up to date.
    Cron,
    /// A cron schedule written once.
    CronOnce,
    /// Last week again.
    LastWeek,
    /// The last value.
    LastValue,
    /// The peak, all the time.
    StaticPeak,
    /// A perfect forecast and late pods.
    PerfectForecast,
}

impl Contender {
    /// Every baseline.
    pub fn all() -> Vec<Self> {
        let mut all: Vec<Self> = SWEEP.iter().map(|u| Self::Hpa(*u)).collect();
        all.push(Self::HpaWithBehavior(70));
        all.extend(SWEEP.iter().filter(|u| **u >= 30).map(|u| Self::Keda(*u)));
        all.extend([
            Self::Phpa(70),
            Self::Knative(70),
            Self::Cron,
            Self::CronOnce,
            Self::LastWeek,
            Self::LastValue,
            Self::StaticPeak,
            Self::PerfectForecast,
        ]);
        all
    }

    /// Those that a table of bars needs: the sweeps and the perfect forecast.
    pub fn swept() -> Vec<Self> {
        let mut all: Vec<Self> = SWEEP.iter().map(|u| Self::Hpa(*u)).collect();
        all.extend(SWEEP.iter().filter(|u| **u >= 30).map(|u| Self::Keda(*u)));
        all.push(Self::PerfectForecast);
        all
    }

    /// The name in tables and traces.
    pub fn name(self) -> String {
        match self {
            Self::Hpa(u) => format!("HPA {u}%"),
            Self::HpaWithBehavior(u) => format!("HPA {u}% with behavior"),
            Self::Keda(u) => format!("KEDA {u}%"),
            Self::Phpa(u) => format!("PHPA {u}%"),
            Self::Knative(u) => format!("Knative {u}%"),
            Self::Cron => "cron".to_owned(),
            Self::CronOnce => "cron, never renewed".to_owned(),
            Self::LastWeek => "last week".to_owned(),
            Self::LastValue => "last value".to_owned(),
            Self::StaticPeak => "static peak".to_owned(),
            Self::PerfectForecast => "perfect forecast".to_owned(),
        }
    }

    /// Whose row it is in a comparison: an HPA, KEDA, Foresail or another baseline.
    pub fn kind(self) -> Kind {
        match self {
            Self::Hpa(_) => Kind::Hpa,
            Self::Keda(_) => Kind::Keda,
            Self::StaticPeak | Self::PerfectForecast => Kind::Clairvoyant,
            _ => Kind::Baseline,
        }
    }

    /// The policy, ready to run.
    pub fn scaler(self, load: &Load, world: &World) -> Box<dyn Scaler> {
        let (min, max) = (world.min_replicas.max(1), world.max_replicas);
        let of_capacity = |u: u32| world.capacity * f64::from(u) / 100.0;
        let hpa = |u: u32| HpaSpec::on(Metric::Utilization(u), min, max);
        let lead = lead(world);
        match self {
            Self::Hpa(u) => Box::new(Hpa::new(hpa(u))),
            Self::HpaWithBehavior(u) => {
                Box::new(Hpa::new(HpaSpec { behavior: Some(Behavior::default()), ..hpa(u) }))
            }
            Self::Keda(u) => Box::new(Keda::new(KedaSpec::on(of_capacity(u), world.min_replicas, max))),
            Self::Phpa(u) => Box::new(Phpa::new(u, min, max)),
            Self::Knative(u) => Box::new(Kpa::new(of_capacity(u))),
            Self::Cron => Box::new(Cron::refreshed(load, world.per_replica())),
            Self::CronOnce => Box::new(Cron::written_once(load, world.per_replica())),
            Self::LastWeek => {
                Box::new(LastWeek::new(load, world.per_replica(), Duration::from_secs(lead as u64)))
            }
            Self::LastValue => Box::new(LastValue { per_replica: world.per_replica() }),
            Self::StaticPeak => Box::new(Static::peak(load, world)),
            Self::PerfectForecast => Box::new(Clairvoyant::new(load, world, lead, lead + 300)),
        }
    }
}

/// How long 95 % of pods take at most, and one decision more.
fn lead(world: &World) -> usize {
    let s = &world.startup;
    (s.median * (1.645 * s.sigma).exp() + s.node_share * s.node_wait) as usize + 16
}
