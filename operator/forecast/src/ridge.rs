//! Weighted ridge regression by normal equations and Cholesky, with one reweighting towards least absolute
//! deviations (Schlossmacher, "An iterative technique for absolute deviations curve fitting", 1973): load is judged
//! by absolute error, and a spike must not bend the fit.

use crate::features::{Row, WIDTH};

/// A fitted linear model over raw features.
#[derive(Clone, Debug)]
pub(crate) struct Ridge {
    coefficients: Vec<f32>,
    intercept: f32,
}

impl Ridge {
    pub(crate) fn predict(&self, row: &Row) -> f32 {
        let mut parts = [0.0_f32; 8];
        for (x, c) in row.chunks_exact(8).zip(self.coefficients.chunks_exact(8)) {
            for k in 0..8 {
                parts[k] += x[k] * c[k];
            }
        }
        self.intercept + parts.iter().sum::<f32>()
    }
}

/// What a fit needs besides the rows.
pub(crate) struct Problem<'a> {
    pub(crate) rows: &'a [Row],
    pub(crate) targets: &'a [f32],
    /// Weight of each row, 0 to leave it out.
    pub(crate) weights: &'a [f32],
    /// Penalty on the standardised coefficients, in rows.
    pub(crate) penalty: f32,
}

struct Moments {
    mean: [f32; WIDTH],
    spread: [f32; WIDTH],
    total: f32,
}

fn moments(p: &Problem<'_>, weights: &[f32]) -> Moments {
    let mut mean = [0.0_f32; WIDTH];
    let mut square = [0.0_f32; WIDTH];
    let mut total = 0.0;
    // Sums of squares around the first row: close enough to the mean that single precision is enough.
    let origin = p.rows[0];
    for (row, w) in p.rows.iter().zip(weights) {
        total += w;
        for k in 0..WIDTH {
            let d = row[k] - origin[k];
            mean[k] += w * d;
            square[k] += w * d * d;
        }
    }
    let mut spread = [0.0; WIDTH];
    for k in 0..WIDTH {
        let m = mean[k] / total;
        spread[k] = (square[k] / total - m * m).max(0.0).sqrt();
        mean[k] = origin[k] + m;
    }
    Moments { mean, spread, total }
}

/// Fits once with the given weights, and `reweighted` more times towards least absolute deviations. `None` where there
/// is nothing to learn from or the numbers degenerate.
pub(crate) fn fit(p: &Problem<'_>, before: Option<&Ridge>, reweighted: usize) -> Option<Ridge> {
    let mut model = match before {
        Some(model) => model.clone(),
        None => solve(p, p.weights)?,
    };
    for _ in 0..reweighted {
        let weights = absolute_weights(p, &model);
        model = solve(p, &weights)?;
    }
    Some(model)
}

fn absolute_weights(p: &Problem<'_>, model: &Ridge) -> Vec<f32> {
    let residuals: Vec<f32> =
        p.rows.iter().zip(p.targets).map(|(row, t)| (t - model.predict(row)).abs()).collect();
    let mean =
        residuals.iter().zip(p.weights).map(|(r, w)| r * w).sum::<f32>() / p.weights.iter().sum::<f32>();
    // Residuals below the floor count as equal, or a few lucky rows would decide the fit.
    let floor = (0.5 * mean).max(1e-9);
    residuals.iter().zip(p.weights).map(|(r, w)| w * floor / r.max(floor)).collect()
}

fn solve(p: &Problem<'_>, weights: &[f32]) -> Option<Ridge> {
    if p.rows.is_empty() {
        return None;
    }
    let m = moments(p, weights);
    if !(m.total.is_finite() && m.total > 0.0) {
        return None;
    }
    let center = p.targets.iter().zip(weights).map(|(t, w)| t * w).sum::<f32>() / m.total;
    let mut scale = [0.0; WIDTH];
    for (scale, (spread, mean)) in scale.iter_mut().zip(m.spread.iter().zip(m.mean)) {
        *scale = if *spread > 1e-6 * (1.0 + mean.abs()) { 1.0 / spread } else { 0.0 };
    }
    let mut gram = vec![[0.0_f32; WIDTH]; WIDTH];
    let mut moment = [0.0_f32; WIDTH];
    accumulate(p, weights, &m.mean, &scale, center, &mut gram, &mut moment);
    let count = weights.iter().filter(|w| **w > 0.0).count() as f32;
    let penalty = p.penalty * m.total / count.max(1.0);
    let solution = cholesky(&gram, &moment, penalty)?;
    let mut coefficients = vec![0.0; WIDTH];
    let mut intercept = center;
    for k in 0..WIDTH {
        coefficients[k] = solution[k] as f32 * scale[k];
        intercept -= coefficients[k] * m.mean[k];
    }
    (intercept.is_finite() && coefficients.iter().all(|c| c.is_finite()))
        .then_some(Ridge { coefficients, intercept })
}

/// Adds up the weighted products of standardised rows, four rows at a time so that each cell of the matrix is
/// touched once for four rows.
fn accumulate(
    p: &Problem<'_>,
    weights: &[f32],
    mean: &[f32; WIDTH],
    scale: &[f32; WIDTH],
    center: f32,
    gram: &mut [[f32; WIDTH]],
    moment: &mut [f32; WIDTH],
) {
    let standard = |i: usize| -> Row {
        let mut out = [0.0; WIDTH];
        if i < p.rows.len() {
            let w = weights[i].sqrt();
            for k in 0..WIDTH {
                out[k] = (p.rows[i][k] - mean[k]) * scale[k] * w;
            }
        }
        out
    };
    let target = |i: usize| if i < p.rows.len() { (p.targets[i] - center) * weights[i].sqrt() } else { 0.0 };
    for block in (0..p.rows.len()).step_by(4) {
        let r = [standard(block), standard(block + 1), standard(block + 2), standard(block + 3)];
        let t = [target(block), target(block + 1), target(block + 2), target(block + 3)];
        for k in 0..WIDTH {
            moment[k] += r[0][k] * t[0] + r[1][k] * t[1] + r[2][k] * t[2] + r[3][k] * t[3];
        }
        for j in 0..WIDTH {
            let a = [r[0][j], r[1][j], r[2][j], r[3][j]];
            let from = j / 8 * 8;
            let cells = &mut gram[j][from..];
            for (k, cell) in cells.iter_mut().enumerate() {
                let c = from + k;
                *cell += a[0] * r[0][c] + a[1] * r[1][c] + a[2] * r[2][c] + a[3] * r[3][c];
            }
        }
    }
}

/// Solves `(gram + penalty * I) x = moment` in double precision. The upper half of `gram` is read.
fn cholesky(gram: &[[f32; WIDTH]], moment: &[f32; WIDTH], penalty: f32) -> Option<[f64; WIDTH]> {
    let mut l = vec![[0.0_f64; WIDTH]; WIDTH];
    for i in 0..WIDTH {
        for j in 0..=i {
            let mut sum = f64::from(gram[j][i]);
            if i == j {
                sum += f64::from(penalty.max(1e-6));
            }
            sum -= l[i].iter().zip(&l[j]).take(j).map(|(a, b)| a * b).sum::<f64>();
            if i == j {
                if sum <= 0.0 {
                    return None;
                }
                l[i][i] = sum.sqrt();
            } else {
                l[i][j] = sum / l[j][j];
            }
        }
    }
    let mut x = [0.0; WIDTH];
    for i in 0..WIDTH {
        let mut sum = f64::from(moment[i]);
        for k in 0..i {
            sum -= l[i][k] * x[k];
        }
        x[i] = sum / l[i][i];
    }
    for i in (0..WIDTH).rev() {
        let known: f64 = l.iter().zip(x).skip(i + 1).map(|(row, x)| row[i] * x).sum();
        x[i] = (x[i] - known) / l[i][i];
    }
    Some(x)
}
