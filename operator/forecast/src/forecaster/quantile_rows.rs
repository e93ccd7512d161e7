//! From what is learned at a few horizons to one row of quantiles for each step ahead.

use jiff::Timestamp;
use series::{Forecast, time};

use super::Forecaster;
use crate::clean_history::CleanHistory;
use crate::horizon_model::HorizonModel;
use crate::members::SHAPE;
use crate::{NoForecast, NoForecastReason};

/// Quantiles at one learned horizon.
struct Knot {
    ahead: f32,
    center: f32,
    quantiles: Vec<f32>,
}

/// The forecast from `origin` on. Where slots between the newest measurement and `origin` are missing, the horizons
/// are that much longer.
pub(super) fn forecast(f: &Forecaster, origin: Timestamp) -> Result<Forecast, NoForecast> {
    let nothing = || NoForecast::new(NoForecastReason::NoData, "nothing was measured yet");
    let past =
        f.past.as_ref().filter(|_| f.history.values.iter().any(|v| v.is_finite())).ok_or_else(nothing)?;
    let settings = &f.settings;
    let origin = time::align(origin, settings.step);
    let newest = past.first + past.newest() as i64;
    let late = origin.as_second().div_euclid(f.history.step) - newest;
    let knots: Vec<Knot> = f.tracks.iter().filter_map(|t| knot(t, &settings.levels)).collect();
    if knots.is_empty() {
        return Err(nothing());
    }
    let shape = Shape::new(f, past, late, settings.rows());
    let mut rows = Vec::with_capacity(settings.rows());
    for r in 0..settings.rows() {
        let ahead = (late + r as i64).max(1) as f32;
        let at = time::after(origin, settings.step * r as u32);
        let stated = multiplier(settings, at);
        let row = between(&knots, ahead, &shape);
        rows.push(
            row.into_iter().map(|v| (f64::from(v) * f.history.unit.max(0.0) * stated).min(1e300)).collect(),
        );
    }
    Forecast::new(origin, settings.step, settings.levels.clone(), rows, blend_name(f))
        .map_err(|e| NoForecast::new(NoForecastReason::NoData, e.to_string()))
}

fn knot(track: &HorizonModel, levels: &[f64]) -> Option<Knot> {
    let pending = track.pending.back()?;
    let center = pending.mixed.center;
    let mut quantiles = Vec::with_capacity(levels.len());
    track.calibration.quantiles(center, &pending.band, levels, &mut quantiles);
    Some(Knot { ahead: track.ahead as f32, center, quantiles })
}

/// The stated multipliers of the events at `at`.
fn multiplier(settings: &crate::Settings, at: Timestamp) -> f64 {
    let stated = settings.events.iter().filter(|e| e.window.contains(at)).filter_map(|e| e.multiplier);
    stated.filter(|m| m.is_finite() && *m > 0.0).product()
}

/// The usual course of load over the coming steps, as far as it's worth something.
struct Shape {
    /// Usual load by steps ahead, beginning at 0.
    usual: Vec<f32>,
    /// How much of it to follow, 0 to 1.
    trust: f32,
}

impl Shape {
    fn new(f: &Forecaster, past: &CleanHistory, late: i64, rows: usize) -> Self {
        let nothing = Self { usual: Vec::new(), trust: 0.0 };
        let (Some(first), Some(last)) = (f.decided().first(), f.decided().last()) else { return nothing };
        if last.ahead <= first.ahead + 1 || last.blend.count < 1.0 {
            return nothing;
        }
        let error = |m: usize| last.blend.error[m].max(1e-9);
        let trust = (1.0 - error(SHAPE) / error(0)).clamp(0.0, 1.0);
        let furthest = f.tracks.last().map_or(0, |t| t.ahead + 1);
        let reach = (late.max(0) as usize + rows).min(furthest);
        if trust <= 0.05 {
            return nothing;
        }
        let newest = past.newest();
        Self { usual: (0..=reach).map_while(|h| past.usual(newest + h, h)).collect(), trust }
    }

    fn at(&self, ahead: f32) -> Option<f32> {
        self.usual.get(ahead as usize).map(|v| v * self.trust)
    }

    /// How far the usual course at `ahead` lies above the line from `a` to `b`, a share `t` of the way.
    fn bend(&self, (a, ahead, b): (f32, f32, f32), t: f32) -> Option<f32> {
        let (a, usual, b) = (self.at(a)?, self.at(ahead)?, self.at(b)?);
        Some(usual - (a + (b - a) * t))
    }
}

/// The row at `ahead` steps: between two learned horizons, the distance to the usual course is interpolated.
fn between(knots: &[Knot], ahead: f32, shape: &Shape) -> Vec<f32> {
    let above = knots.partition_point(|k| k.ahead < ahead);
    if above == knots.len() {
        return knots[above - 1].quantiles.clone();
    }
    if above == 0 || knots[above].ahead == ahead {
        return knots[above].quantiles.clone();
    }
    let (a, b) = (&knots[above - 1], &knots[above]);
    let t = (ahead - a.ahead) / (b.ahead - a.ahead);
    let straight = a.center + (b.center - a.center) * t;
    let bend = shape.bend((a.ahead, ahead, b.ahead), t).unwrap_or(0.0);
    let center = (straight + bend).max(0.0);
    a.quantiles
        .iter()
        .zip(&b.quantiles)
        .map(|(qa, qb)| (center + (qa - a.center) * (1.0 - t) + (qb - b.center) * t).max(0.0))
        .collect()
}

/// The heaviest members at the decision horizon, with their weights.
pub(super) fn blend_name(f: &Forecaster) -> String {
    let Some(track) = f.decided().last() else { return String::new() };
    let weights = track.blend.weights();
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by(|a, b| weights[*b].total_cmp(&weights[*a]));
    let parts: Vec<String> = order
        .iter()
        .take(4)
        .filter(|m| weights[**m] >= 0.05)
        .map(|m| format!("{} {:.0}%", crate::members::name(*m), 100.0 * weights[*m]))
        .collect();
    format!("blend of {}", if parts.is_empty() { "all members".to_owned() } else { parts.join(", ") })
}
