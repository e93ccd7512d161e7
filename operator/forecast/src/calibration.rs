//! Quantiles around the blend at one horizon: conformal prediction on scaled errors.
//!
//! The scale of an error to come is the geometric mean of five signs of it: the level of load, the errors of the last
//! half hour, of the last days, of this time of day, and how far the members disagree. Errors divided by their scale are
//! counted in a histogram whose counts decay, so the quantiles are those of exponentially weighted split conformal
//! prediction (Barber et al., "Conformal prediction beyond exchangeability", 2023) in constant time and space. On top,
//! each upper level moves a bounded step when it was exceeded or not (Gibbs & Candes, "Adaptive conformal inference
//! under distribution shift", 2021); bounded, because unbounded steps make the band swing.
//!
//! Where load comes in bursts, signs of an error to come say little, and errors as they are give the better band. So both
//! are kept, and quantiles are mixed by how each has done by pinball loss.

/// Bins of the histogram of scaled errors.
pub(crate) const BINS: usize = 160;
/// Quarter hours of the day.
pub(crate) const QUARTERS: usize = 96;
/// Upper levels that are tracked.
pub(crate) const TRACKED: [f32; 3] = [0.9, 0.95, 0.99];
const SIGNS: usize = 5;
/// Reach of the histogram on its asinh scale, in scaled errors: 20 times a hundred.
const REACH: f32 = 8.3;
const FINENESS: f32 = 20.0;
/// How far an upper level may move, in shares of what is left above it.
const BOUND: f32 = 0.5;
const STEP: f32 = 0.004;

/// Kinds of scale: by signs, and the usual error alone.
pub(crate) const KINDS: usize = 2;
/// Memory of the pinball losses per 5 minutes, and the power that makes weights of them.
const JUDGED: f32 = 0.9985;
const POWER: i32 = 16;

/// The scales and the tracked quantiles that went with a forecast.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Band {
    scales: [f32; KINDS],
    quarter: usize,
    each: [[f32; 3]; KINDS],
    pub(crate) upper: [f32; 3],
}

/// The error distribution at one horizon.
#[derive(Clone, Debug)]
pub(crate) struct Calibration {
    decay: f32,
    quick: f32,
    slow: f32,
    visit: f32,
    /// Mean absolute error: quick, slow, and of each quarter hour (below 0: not seen yet).
    pub(crate) recent: f32,
    pub(crate) usual: f32,
    pub(crate) quarters: Vec<f32>,
    /// Mean load.
    pub(crate) load: f32,
    pub(crate) counts: [Vec<f32>; KINDS],
    pub(crate) moved: [f32; 3],
    pub(crate) scored: f32,
    judged: f32,
    /// Decayed pinball losses of each kind at the tracked levels.
    pub(crate) losses: [[f32; 3]; KINDS],
}

fn bin(error: f32) -> usize {
    let x = ((error * FINENESS).asinh() / REACH).clamp(-1.0, 1.0);
    (((x + 1.0) * 0.5 * BINS as f32) as usize).min(BINS - 1)
}

fn edge(bin: f32) -> f32 {
    ((bin / BINS as f32 * 2.0 - 1.0) * REACH).sinh() / FINENESS
}

impl Calibration {
    pub(crate) fn new(step_seconds: f32) -> Self {
        let per = step_seconds / 300.0;
        // Until errors were seen: as many as a few hours would give, spread like a Laplace distribution.
        let mut counts = vec![0.0; BINS];
        for k in 0..200 {
            let p = (k as f32 + 0.5) / 200.0;
            let x = if p < 0.5 { (2.0 * p).ln() } else { -(2.0 * (1.0 - p)).ln() };
            counts[bin(x)] += 0.1;
        }
        Self {
            decay: 0.999_f32.powf(per),
            quick: 1.0 - 0.85_f32.powf(per.max(0.5)),
            slow: 1.0 - 0.997_f32.powf(per),
            visit: 1.0 - 0.75_f32.powf((per / 3.0).min(1.0)),
            recent: -1.0,
            usual: -1.0,
            quarters: vec![-1.0; QUARTERS],
            load: -1.0,
            counts: [counts.clone(), counts],
            moved: [0.0; 3],
            scored: 0.0,
            judged: JUDGED.powf(per),
            losses: [[1e-3; 3]; KINDS],
        }
    }

    /// The scale of the error of a forecast for quarter hour `quarter` of the day, given the blend's `center` and the
    /// members' mean distance from it.
    fn scale(&self, center: f32, spread: f32, quarter: usize) -> f32 {
        let floor = 0.01 * self.load.max(1e-6);
        if self.usual < 0.0 {
            return spread.max(0.1 * center).max(floor);
        }
        let load = 0.1 * self.load;
        let level = self.usual * (center + load) / (self.load + load).max(1e-9);
        let near =
            [quarter + QUARTERS - 1, quarter, quarter + 1, quarter + 2].map(|q| self.quarters[q % QUARTERS]);
        let (sum, n) = near.iter().filter(|q| **q >= 0.0).fold((0.0, 0.0), |(s, n), q| (s + q, n + 1.0));
        let here = if n > 0.0 { sum / n } else { self.usual };
        let signs: [f32; SIGNS] = [level, self.recent, self.usual, here, spread];
        let least = (0.02 * self.usual).max(1e-7);
        (signs.iter().map(|s| s.max(least).ln()).sum::<f32>() / SIGNS as f32).exp()
    }

    /// The mean absolute error to expect of a forecast: the usual one, or that of its time of day where that is larger.
    pub(crate) fn expected(&self, band: &Band) -> f32 {
        self.usual.max(self.quarters[band.quarter % QUARTERS])
    }

    /// The band around `center`: its scales, and the tracked quantiles.
    pub(crate) fn band(&self, center: f32, spread: f32, quarter: usize) -> Band {
        let signs = self.scale(center, spread, quarter);
        let plain = if self.usual < 0.0 { signs } else { self.usual.max(1e-3 * self.load.max(1e-6)) };
        let mut band = Band { scales: [signs, plain], quarter, ..Band::default() };
        let levels = TRACKED.map(|l| self.shifted(l));
        for kind in 0..KINDS {
            self.offsets(kind, &levels, &mut band.each[kind]);
            band.each[kind].iter_mut().for_each(|o| *o = (center + *o * band.scales[kind]).max(0.0));
        }
        for (t, upper) in band.upper.iter_mut().enumerate() {
            let share = self.share(t);
            *upper = share * band.each[0][t] + (1.0 - share) * band.each[1][t];
        }
        band
    }

    /// The share of the scale by signs at tracked level `t`.
    fn share(&self, t: usize) -> f32 {
        let [signs, plain] = [self.losses[0][t].max(1e-12), self.losses[1][t].max(1e-12)];
        1.0 / (1.0 + (signs / plain).powi(POWER))
    }

    /// The values at `levels`, that rise.
    pub(crate) fn quantiles(&self, center: f32, band: &Band, levels: &[f64], out: &mut Vec<f32>) {
        let shifted: Vec<f32> = levels.iter().map(|l| self.shifted(*l as f32)).collect();
        let mut offsets = [vec![0.0; levels.len()], vec![0.0; levels.len()]];
        for (kind, offsets) in offsets.iter_mut().enumerate() {
            self.offsets(kind, &shifted, offsets);
        }
        let shares = [self.share(0), self.share(1), self.share(2)];
        for (l, level) in levels.iter().enumerate() {
            let level = *level as f32;
            let t = TRACKED.partition_point(|known| *known < level - 1e-4).min(2);
            let before = t.saturating_sub(1);
            let width = (TRACKED[t] - TRACKED[before]).max(1e-6);
            let part = ((level - TRACKED[before]) / width).clamp(0.0, 1.0);
            let share =
                if t == before { shares[t] } else { shares[before] * (1.0 - part) + shares[t] * part };
            let value =
                share * offsets[0][l] * band.scales[0] + (1.0 - share) * offsets[1][l] * band.scales[1];
            out.push((center + value).max(0.0));
        }
    }

    /// The level to read off the histogram so that `level` is kept.
    fn shifted(&self, level: f32) -> f32 {
        let left = 1.0 - level;
        let share = if level < 0.8 {
            0.0
        } else if level <= 0.9 {
            self.moved[0] * (level - 0.8) / 0.1
        } else if level <= 0.95 {
            let t = (level - 0.9) / 0.05;
            self.moved[0] * (1.0 - t) + self.moved[1] * t
        } else {
            let t = ((level - 0.95) / 0.04).min(1.0);
            self.moved[1] * (1.0 - t) + self.moved[2] * t
        };
        level + share * left
    }

    /// The scaled errors at rising `levels`.
    fn offsets(&self, kind: usize, levels: &[f32], out: &mut [f32]) {
        let counts = &self.counts[kind];
        let total: f32 = counts.iter().sum();
        let mut below = 0.0;
        let mut b = 0;
        for (level, offset) in levels.iter().zip(out) {
            let wanted = level * total;
            while b + 1 < BINS && below + counts[b] < wanted {
                below += counts[b];
                b += 1;
            }
            let inside = if counts[b] > 0.0 { ((wanted - below) / counts[b]).clamp(0.0, 1.0) } else { 0.5 };
            *offset = edge(b as f32 + inside);
        }
    }

    /// Learns from a forecast whose value is now known.
    pub(crate) fn score(&mut self, center: f32, band: &Band, value: f32) {
        let error = value - center;
        let size = error.abs();
        let follow = |state: &mut f32, value: f32, share: f32| {
            *state = if *state < 0.0 { value } else { *state + share * (value - *state) };
        };
        follow(&mut self.recent, size, self.quick);
        // A mean over the first errors, then exponential: the very first one must not stay for days.
        self.scored += 1.0;
        let share = self.slow.max(1.0 / self.scored);
        follow(&mut self.usual, size, share);
        follow(&mut self.load, value.abs(), share);
        follow(&mut self.quarters[band.quarter % QUARTERS], size, self.visit);
        for kind in 0..KINDS {
            self.counts[kind].iter_mut().for_each(|c| *c *= self.decay);
            self.counts[kind][bin(error / band.scales[kind].max(1e-9))] += 1.0;
            for (t, level) in TRACKED.iter().enumerate() {
                let over = value - band.each[kind][t];
                let loss = (level * over).max((level - 1.0) * over);
                self.losses[kind][t] = self.judged * self.losses[kind][t] + loss;
            }
        }
        for ((moved, level), upper) in self.moved.iter_mut().zip(TRACKED).zip(band.upper) {
            let exceeded = if value > upper { 1.0 } else { 0.0 };
            *moved = (*moved + STEP * (exceeded / (1.0 - level) - 1.0)).clamp(-BOUND, BOUND);
        }
    }

    /// Follows a change of the unit of load by `factor`.
    pub(crate) fn rescale(&mut self, factor: f32) {
        for state in [&mut self.recent, &mut self.usual, &mut self.load].into_iter().chain(&mut self.quarters)
        {
            if *state > 0.0 {
                *state *= factor;
            }
        }
        self.losses.iter_mut().flatten().for_each(|l| *l *= factor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_and_edges_are_inverse() {
        for b in 0..BINS {
            assert_eq!(bin(edge(b as f32 + 0.5)), b);
        }
        assert_eq!(bin(f32::MAX), BINS - 1);
        assert_eq!(bin(-1e30), 0);
    }

    #[test]
    fn quantiles_of_a_uniform_error_are_found() {
        let mut c = Calibration::new(300.0);
        for k in 0..6000 {
            let band = c.band(10.0, 1.0, k % QUARTERS);
            let error = ((k * 7919) % 1000) as f32 / 500.0 - 1.0; // uniform in [-1, 1)
            c.score(10.0, &band, 10.0 + error);
        }
        let band = c.band(10.0, 1.0, 0);
        assert!((band.upper[0] - 10.8).abs() < 0.15, "{band:?}");
        let mut out = Vec::new();
        c.quantiles(10.0, &band, &[0.1, 0.5, 0.9], &mut out);
        assert!(
            (out[0] - 9.2).abs() < 0.2 && (out[1] - 10.0).abs() < 0.15 && (out[2] - 10.8).abs() < 0.2,
            "{out:?}"
        );
    }
}
