//! Scores, tables and files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Serialize;

use crate::run::{Cost, LEVELS, MODELS, Outcome, Said, Spent};

/// The scores of one model on one series at one horizon.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    series: String,
    model: &'static str,
    horizon_seconds: u64,
    forecasts: usize,
    /// Sum of absolute errors of the .5 quantile over the sum of load.
    wape: f64,
    /// Mean absolute error over the mean absolute difference to the day before.
    mase: f64,
    /// Pinball loss over mean load, by level.
    pinball: [f64; LEVELS.len()],
    /// Share of values at or below the quantile, by level.
    coverage: [f64; LEVELS.len()],
    /// Mean absolute error over that of the seasonal naive forecast (day).
    versus_day: f64,
    /// Mean absolute error over that of the last value.
    versus_last: f64,
}

/// The scores of one model at one horizon over all series.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Total {
    model: &'static str,
    horizon_seconds: u64,
    series: usize,
    /// Geometric mean over series.
    versus_day: f64,
    wape_median: f64,
    wape_mean: f64,
    /// Geometric mean over series.
    mase: f64,
    /// Means over series.
    pinball: [f64; LEVELS.len()],
    coverage: [f64; LEVELS.len()],
    /// Lowest and highest coverage of a series.
    coverage_least: [f64; LEVELS.len()],
    coverage_most: [f64; LEVELS.len()],
    /// The worst series against the last value, and its name.
    worst_versus_last: f64,
    worst_series: String,
}

/// What it took, as medians.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Costs {
    fit_milliseconds: f64,
    update_microseconds: f64,
    predict_microseconds: f64,
}

/// Everything that is reported.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Summary {
    levels: [f64; LEVELS.len()],
    overall: Vec<Total>,
    series: Vec<Row>,
    /// Share of origins at which the forecast would have been refused, by series.
    refused: BTreeMap<String, f64>,
    /// Medians over all series.
    cost: Costs,
    cost_by_series: BTreeMap<String, Costs>,
    /// What was not evaluated, and why.
    left_out: BTreeMap<String, String>,
}

pub(crate) fn summarize(results: &[Outcome], left_out: BTreeMap<String, String>) -> Summary {
    let mut rows = Vec::new();
    let mut refused = BTreeMap::new();
    for outcome in results.iter().filter(|o| !o.said.is_empty()) {
        let scored: Vec<&Said> = outcome.said.iter().filter(|s| s.actual.is_finite()).collect();
        let mut horizons: Vec<_> = scored.iter().map(|s| s.ahead).collect();
        horizons.sort_unstable();
        horizons.dedup();
        for ahead in horizons {
            let said: Vec<&Said> = scored.iter().filter(|s| s.ahead == ahead).copied().collect();
            for model in 0..MODELS.len() {
                rows.push(row(outcome, &said, model, ahead.as_secs()));
            }
        }
        let share = outcome.said.iter().filter(|s| s.refused).count() as f64 / outcome.said.len() as f64;
        refused.insert(outcome.name.clone(), share);
    }
    let mut keys: Vec<(u64, &'static str)> = rows.iter().map(|r| (r.horizon_seconds, r.model)).collect();
    keys.sort_by_key(|(h, m)| (*h, MODELS.iter().position(|o| o == m)));
    keys.dedup();
    let overall = keys.into_iter().map(|(h, m)| total(&rows, h, m)).collect();
    Summary {
        levels: LEVELS,
        overall,
        refused,
        cost: costs(results.iter().map(|r| &r.cost)),
        cost_by_series: results.iter().map(|r| (r.name.clone(), costs(std::iter::once(&r.cost)))).collect(),
        left_out,
        series: rows,
    }
}

fn row(outcome: &Outcome, said: &[&Said], model: usize, horizon_seconds: u64) -> Row {
    let n = said.len().max(1) as f64;
    let error = |m: usize| said.iter().map(|s| (s.models[m][0] - s.actual).abs()).sum::<f64>() / n;
    let load = (said.iter().map(|s| s.actual.abs()).sum::<f64>() / n).max(1e-12);
    let mut pinball = [0.0; LEVELS.len()];
    let mut coverage = [0.0; LEVELS.len()];
    for (l, level) in LEVELS.iter().enumerate() {
        for s in said {
            let d = s.actual - s.models[model][l];
            pinball[l] += (level * d).max((level - 1.0) * d) / n / load;
            // Equal within the precision of a forecaster's history.
            coverage[l] += if d <= 1e-6 * s.actual.abs() + 1e-12 { 1.0 / n } else { 0.0 };
        }
    }
    let mae = error(model);
    Row {
        series: outcome.name.clone(),
        model: MODELS[model],
        horizon_seconds,
        forecasts: said.len(),
        wape: mae / load,
        mase: mae / outcome.scale.max(1e-12),
        pinball,
        coverage,
        versus_day: mae / error(2).max(1e-12),
        versus_last: mae / error(1).max(1e-12),
    }
}

fn geometric(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, n) = values.fold((0.0, 0.0), |(s, n), v| (s + v.max(1e-3).ln(), n + 1.0));
    if n > 0.0 { f64::exp(sum / n) } else { f64::NAN }
}

fn total(rows: &[Row], horizon_seconds: u64, model: &'static str) -> Total {
    let rows: Vec<&Row> =
        rows.iter().filter(|r| r.horizon_seconds == horizon_seconds && r.model == model).collect();
    let n = rows.len().max(1) as f64;
    let mut wapes: Vec<f64> = rows.iter().map(|r| r.wape).collect();
    wapes.sort_by(f64::total_cmp);
    let at = |l: usize, pick: fn(&Row, usize) -> f64, fold: fn(f64, f64) -> f64, start: f64| {
        rows.iter().map(|r| pick(r, l)).fold(start, fold)
    };
    let mut out = Total {
        model,
        horizon_seconds,
        series: rows.len(),
        versus_day: geometric(rows.iter().map(|r| r.versus_day)),
        wape_median: f64::midpoint(wapes[(wapes.len() - 1) / 2], wapes[wapes.len() / 2]),
        wape_mean: wapes.iter().sum::<f64>() / n,
        mase: geometric(rows.iter().map(|r| r.mase)),
        pinball: [0.0; LEVELS.len()],
        coverage: [0.0; LEVELS.len()],
        coverage_least: [0.0; LEVELS.len()],
        coverage_most: [0.0; LEVELS.len()],
        worst_versus_last: 0.0,
        worst_series: String::new(),
    };
    for l in 0..LEVELS.len() {
        out.pinball[l] = at(l, |r, l| r.pinball[l], |a, b| a + b, 0.0) / n;
        out.coverage[l] = at(l, |r, l| r.coverage[l], |a, b| a + b, 0.0) / n;
        out.coverage_least[l] = at(l, |r, l| r.coverage[l], f64::min, 1.0);
        out.coverage_most[l] = at(l, |r, l| r.coverage[l], f64::max, 0.0);
    }
    if let Some(worst) = rows.iter().max_by(|a, b| a.versus_last.total_cmp(&b.versus_last)) {
        out.worst_versus_last = worst.versus_last;
        out.worst_series.clone_from(&worst.series);
    }
    out
}

fn costs<'a>(all: impl Iterator<Item = &'a Cost> + Clone) -> Costs {
    let median =
        |pick: fn(&Cost) -> &Spent| all.clone().map(pick).fold(Spent::default(), Spent::join).median();
    Costs {
        fit_milliseconds: 1e3 * median(|c| &c.fits),
        update_microseconds: 1e6 * median(|c| &c.updates),
        predict_microseconds: 1e6 * median(|c| &c.predictions),
    }
}

pub(crate) fn print(summary: &Summary) {
    println!(
        "{:24} {:>4} {:20} {:>5} {:>6} {:>6} {:>7} {:>7} {:>7} {:>7} {:>5} {:>5} {:>5} {:>6} {:>6}",
        "series",
        "min",
        "model",
        "n",
        "WAPE",
        "MASE",
        "pb.5",
        "pb.9",
        "pb.95",
        "pb.99",
        "c.9",
        "c.95",
        "c.99",
        "/day",
        "/last"
    );
    for r in &summary.series {
        println!(
            "{:24} {:>4} {:20} {:>5} {:>6.3} {:>6.3} {:>7.4} {:>7.4} {:>7.4} {:>7.4} {:>5.3} {:>5.3} {:>5.3} {:>6.3} {:>6.3}",
            r.series,
            r.horizon_seconds / 60,
            r.model,
            r.forecasts,
            r.wape,
            r.mase,
            r.pinball[0],
            r.pinball[1],
            r.pinball[2],
            r.pinball[3],
            r.coverage[1],
            r.coverage[2],
            r.coverage[3],
            r.versus_day,
            r.versus_last
        );
    }
    print_overall(summary);
    print_costs(summary);
}

fn print_overall(summary: &Summary) {
    println!(
        "\nOver all series: /day is the error over that of the seasonal naive (day), geometric mean; WAPE is the median and the \
         mean; pb is pinball loss over mean load, c is coverage, by quantile"
    );
    println!(
        "{:>4} {:20} {:>6} {:>6} {:>6} {:>6} {:>7} {:>7} {:>7} {:>7} {:>5} {:>5} {:>5} {:>11} {:>11} worst against last value",
        "min",
        "model",
        "/day",
        "WAPEmd",
        "WAPEmn",
        "MASE",
        "pb.5",
        "pb.9",
        "pb.95",
        "pb.99",
        "c.9",
        "c.95",
        "c.99",
        "c.9 range",
        "c.95 range"
    );
    for t in &summary.overall {
        println!(
            "{:>4} {:20} {:>6.3} {:>6.3} {:>6.3} {:>6.3} {:>7.4} {:>7.4} {:>7.4} {:>7.4} {:>5.3} {:>5.3} {:>5.3} {:>5.3}-{:>5.3} {:>5.3}-{:>5.3} {:.3} {}",
            t.horizon_seconds / 60,
            t.model,
            t.versus_day,
            t.wape_median,
            t.wape_mean,
            t.mase,
            t.pinball[0],
            t.pinball[1],
            t.pinball[2],
            t.pinball[3],
            t.coverage[1],
            t.coverage[2],
            t.coverage[3],
            t.coverage_least[1],
            t.coverage_most[1],
            t.coverage_least[2],
            t.coverage_most[2],
            t.worst_versus_last,
            t.worst_series
        );
    }
}

fn print_costs(summary: &Summary) {
    let refused: Vec<String> = summary
        .refused
        .iter()
        .filter(|(_, share)| **share > 0.005)
        .map(|(name, share)| format!("{name} {:.0} %", 100.0 * share))
        .collect();
    println!(
        "\nWould have been refused: {}",
        if refused.is_empty() { "none".to_owned() } else { refused.join(", ") }
    );
    let c = &summary.cost;
    println!(
        "Median cost: fit {:.1} ms; update {:.1} us; predict {:.1} us",
        c.fit_milliseconds, c.update_microseconds, c.predict_microseconds
    );
}

/// A file for every forecast: `series,origin,horizon_seconds,model,quantile,value`.
pub(crate) struct Predictions {
    out: csv::Writer<std::fs::File>,
    path: PathBuf,
}

impl Predictions {
    pub(crate) fn create(path: &Path) -> anyhow::Result<Self> {
        let out = csv::Writer::from_path(path)
            .with_context(|| format!("--predictions: can't write {}", path.display()))?;
        Ok(Self { out, path: path.to_owned() })
    }

    pub(crate) fn write(mut self, results: &[Outcome]) -> anyhow::Result<()> {
        self.rows(results).with_context(|| format!("--predictions: can't write {}", self.path.display()))
    }

    fn rows(&mut self, results: &[Outcome]) -> anyhow::Result<()> {
        self.out.write_record(["series", "origin", "horizon_seconds", "model", "quantile", "value"])?;
        for outcome in results {
            for s in &outcome.said {
                for (model, quantiles) in MODELS.iter().zip(&s.models) {
                    for (level, value) in LEVELS.iter().zip(quantiles) {
                        self.out.write_record([
                            &outcome.name,
                            &s.origin.to_string(),
                            &s.ahead.as_secs().to_string(),
                            *model,
                            &level.to_string(),
                            &value.to_string(),
                        ])?;
                    }
                }
            }
        }
        Ok(self.out.flush()?)
    }
}
