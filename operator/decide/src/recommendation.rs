//! What a decision says: the number, who asked for it, and everything that bent it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::seconds;
use crate::strategy::{Strategy, StrategyReason};
use crate::words::words;

/// The answer to "how many replicas, and why".
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Recommendation {
    /// Replicas to run now.
    pub target: u32,
    /// Replicas asked for at present.
    pub current: u32,
    /// The largest candidate, before any limit.
    pub uncapped: u32,
    /// The bounds in force, calendars included.
    pub effective_min: u32,
    /// The bounds in force, calendars included.
    pub effective_max: u32,
    /// Whose answer won.
    pub driver: Driver,
    /// Every answer there was, largest first as far as possible.
    pub candidates: Vec<Candidate>,
    /// Everything that moved the number between `uncapped` and `target`, in order.
    pub limits: Vec<Limit>,
    /// How far ahead capacity is ordered.
    #[serde(with = "seconds")]
    pub lead: Duration,
    /// The strategy taken.
    pub strategy: Strategy,
    /// Why the strategy was taken, as a word for programs.
    pub strategy_reason: StrategyReason,
    /// All metrics are fresh and fully measured.
    pub data_fresh: bool,
}

/// Whose answer won.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Driver {
    /// Which step of the decision.
    pub source: Source,
    /// Which metric, where it was one.
    pub metric: Option<String>,
}

/// One answer to "how many replicas".
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Candidate {
    /// Which step of the decision.
    pub source: Source,
    /// Which metric, where it is one.
    pub metric: Option<String>,
    /// The answer; `None` where the step couldn't give one.
    pub replicas: Option<u32>,
    /// How the step came to its answer, as a word for programs.
    pub reason: CandidateReason,
    /// The sentence, with the numbers it was made of.
    pub message: String,
}

/// Something that moved the number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Limit {
    /// What limited the replicas, as a word for programs.
    pub reason: LimitReason,
    /// The same as a sentence, with its numbers.
    pub message: String,
    /// Replicas before.
    pub from: u32,
    /// Replicas after.
    pub to: u32,
}

words! {
    /// The steps that can ask for replicas.
    Source {
        /// What an HPA with the same target answers to the load now.
        Reactive,
        /// The load now with headroom for bursts.
        Burst,
        /// A sudden surge.
        Panic,
        /// The load to come within the lead time.
        Predictive,
        /// The load to come soon after, which keeps replicas that are there.
        Keep,
        /// A queue that must drain in time.
        Backlog,
        /// A calendar entry.
        Calendar,
        /// A metric's fallback while it's gone.
        Fallback,
        /// Nothing: the replicas there are.
        Current,
    }
}

words! {
    /// Why a candidate is what it is.
    CandidateReason {
        /// Computed from fresh data.
        FromLoad,
        /// The load is close enough to the target.
        WithinTolerance,
        /// Computed from the forecast.
        FromForecast,
        /// Computed from the forecast, and capped: the metric is away, and the further from the last measurement, the less the
        /// upper quantile says.
        CappedWhileAbsent,
        /// There is no forecast.
        NoForecast,
        /// The forecast is too old.
        ForecastExpired,
        /// The forecast hasn't earned trust here; shown, and left out.
        NotTrusted,
        /// Forecasts are switched off for this policy or metric.
        ForecastOff,
        /// The metric isn't fresh.
        NoData,
        /// The metric isn't fresh and its last value counts for the way up only.
        StaleData,
        /// The load surges.
        Surge,
        /// A calendar window is open, or opens within the lead time.
        WindowOpen,
        /// The fallback of a metric that has been gone for a while.
        MetricGone,
        /// Messages wait and must drain in time.
        MustDrain,
        /// Arrivals need so many consumers steadily.
        SteadyArrivals,
        /// Nothing waits and nothing arrives.
        QueueIdle,
        /// Nothing is known of the consumers' throughput yet.
        LearningThroughput,
        /// Replicas as they are.
        AsIs,
    }
}

words! {
    /// What can move the number. The HPA's words where it has one.
    LimitReason {
        /// Above the maximum.
        TooManyReplicas,
        /// Below the minimum.
        TooFewReplicas,
        /// A calendar's ceiling is below what is wanted.
        CalendarCeiling,
        /// The scale-up rate is limited.
        ScaleUpLimit,
        /// The scale-down rate is limited.
        ScaleDownLimit,
        /// A larger recommendation lies within the scale-down stabilization window.
        ScaleDownStabilized,
        /// A smaller recommendation lies within the scale-up stabilization window.
        ScaleUpStabilized,
        /// A metric is missing, so nothing is removed.
        MetricMissing,
        /// Data came back a short while ago, so nothing is removed yet.
        DataJustReturned,
        /// The system is unhealthy, so nothing is removed.
        Unhealthy,
        /// The system has been healthy for a short while only.
        HealthyTooShortly,
        /// A rollout is under way.
        RolloutInProgress,
        /// A surge was seen a short while ago.
        PanicHold,
        /// Load dropped far below everything foreseen.
        UnexplainedDrop,
        /// The forecast wants these replicas again soon.
        NeededSoon,
        /// The change isn't worth making.
        DeadBand,
        /// Only so many per minute.
        ScaleDownStep,
        /// Not below so much of the last hour's peak.
        RecentPeak,
        /// Added pods don't start: pending or crash-looping.
        PodsNotStarting,
        /// The fleet's budget of new pods is used up.
        PodBudget,
        /// More consumers didn't raise throughput.
        NoBenefit,
        /// More consumers than partitions would only wait.
        PartitionsReached,
        /// The number of consumers changed a short while ago.
        ConsumerCooldown,
        /// The target was scaled to 0 by hand; it isn't touched.
        ScalingDisabled,
        /// Another writer changed the replicas.
        ForeignWriter,
    }
}

impl Recommendation {
    /// The limit that had the last word, if any did.
    pub fn last_limit(&self) -> Option<&Limit> {
        self.limits.iter().rev().find(|limit| limit.from != limit.to)
    }

    /// Whether the bounds of the policy or a calendar are in the way, as the HPA's `ScalingLimited` means it.
    pub fn is_limited(&self) -> bool {
        self.limits.iter().any(|limit| {
            matches!(
                limit.reason,
                LimitReason::TooManyReplicas
                    | LimitReason::TooFewReplicas
                    | LimitReason::CalendarCeiling
                    | LimitReason::ScaleUpLimit
                    | LimitReason::ScaleDownLimit
            )
        })
    }

    /// Whether a forecast may raise this workload.
    pub fn is_forecast_active(&self) -> bool {
        self.strategy.forecast.is_some()
    }
}
