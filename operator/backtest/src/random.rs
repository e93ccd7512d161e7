//! Chance that is the same for every policy: each draw is a function of the seed and of what it's for, not of how many
//! draws came before. Two policies that create a pod in the same second get the same start-up time, so a difference
//! between their scores is a difference between the policies.

/// SplitMix64 (Steele, Lea, Flood 2014) over a seed and two coordinates.
pub(crate) fn bits(seed: u64, stream: u64, index: u64) -> u64 {
    let mut z = seed
        .wrapping_add(stream.wrapping_mul(0xD1B5_4A32_D192_ED03))
        .wrapping_add(index.wrapping_mul(0x9E37_79B9_7F4A_7C15))
        .wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A number in [0, 1).
pub(crate) fn uniform(seed: u64, stream: u64, index: u64) -> f64 {
    (bits(seed, stream, index) >> 11) as f64 / (1u64 << 53) as f64
}

/// A standard normal number (Box and Muller 1958).
pub(crate) fn normal(seed: u64, stream: u64, index: u64) -> f64 {
    let u = uniform(seed, stream, index).max(f64::MIN_POSITIVE);
    let v = uniform(seed ^ 0x5851_F42D_4C95_7F2D, stream, index);
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

/// A count with the given mean: Poisson by inversion below 30, its normal approximation above, where the two can't be
/// told apart by a score.
pub(crate) fn poisson(mean: f64, seed: u64, stream: u64, index: u64) -> f64 {
    if mean <= 0.0 {
        return 0.0;
    }
    if mean > 30.0 {
        return (mean + mean.sqrt() * normal(seed, stream, index)).round().max(0.0);
    }
    let u = uniform(seed, stream, index);
    let mut p = (-mean).exp();
    let mut cumulative = p;
    let mut k = 0.0;
    while u > cumulative && k < 200.0 {
        k += 1.0;
        p *= mean / k;
        cumulative += p;
    }
    k
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_the_mean_and_variance_they_are_asked_for() {
        for mean in [0.3, 4.0, 80.0] {
            let draws: Vec<f64> = (0..20_000).map(|i| poisson(mean, 7, 1, i)).collect();
            let m = draws.iter().sum::<f64>() / draws.len() as f64;
            let v = draws.iter().map(|d| (d - m).powi(2)).sum::<f64>() / draws.len() as f64;
            assert!((m / mean - 1.0).abs() < 0.03, "mean {m} for {mean}");
            assert!((v / mean - 1.0).abs() < 0.05, "variance {v} for {mean}");
        }
    }

    #[test]
    fn the_same_coordinates_give_the_same_draw() {
        assert_eq!(bits(1, 2, 3), bits(1, 2, 3));
        assert_ne!(bits(1, 2, 3), bits(1, 3, 2));
    }
}
