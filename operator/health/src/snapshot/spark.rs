//! Small pictures of a load and what is expected of it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::MetricSnapshot;

/// A few dozen points for a small picture.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spark {
    /// Measured, oldest first.
    pub past: Vec<Option<u16>>,
    /// Expected, nearest first, on the same spacing.
    pub ahead: Vec<Option<u16>>,
}

/// How many points of the past a small picture has; a third as many lie ahead.
const SPARK_PAST: usize = 36;
/// A small picture shows at most this much of the past, in seconds, and a third as much ahead.
const SPARK_SECONDS: u64 = 24 * 3600;

pub(super) fn spark(metric: &MetricSnapshot, now: Timestamp) -> Spark {
    let Some(recent) = &metric.recent else { return Spark::default() };
    let slots = recent.len().min((SPARK_SECONDS / recent.step().as_secs().max(1)) as usize);
    let past = pick(&recent.raw()[recent.len() - slots..], SPARK_PAST);
    let spacing = recent.step().as_secs_f64() * slots as f64 / SPARK_PAST as f64;
    let expected = |i: usize| {
        let ahead = std::time::Duration::from_secs_f64(spacing * i as f64);
        metric.forecast.as_ref().and_then(|f| f.at(series::time::after(now, ahead), 0.5)).unwrap_or(f64::NAN)
    };
    let ahead: Vec<f64> = (1..=SPARK_PAST / 3).map(expected).collect();
    let top = past.iter().chain(&ahead).copied().filter(|v| v.is_finite()).fold(0.0, f64::max);
    let scale = |v: &f64| (v.is_finite() && top > 0.0).then(|| (v / top * 1000.0).clamp(0.0, 1000.0) as u16);
    Spark { past: past.iter().map(scale).collect(), ahead: ahead.iter().map(scale).collect() }
}

/// `count` values, each the mean of the finite slots of its share of `raw`; NaN where there are none.
fn pick(raw: &[f64], count: usize) -> Vec<f64> {
    if raw.is_empty() {
        return Vec::new();
    }
    (0..count)
        .map(|i| {
            let from = i * raw.len() / count;
            let to = ((i + 1) * raw.len() / count).max(from + 1).min(raw.len());
            let finite: Vec<f64> = raw[from..to].iter().copied().filter(|v| v.is_finite()).collect();
            finite.iter().sum::<f64>() / finite.len() as f64
        })
        .collect()
}
