//! Numbers as text, small: single precision in base64, 16-bit logarithms, and histories with as many bits for a value as
//! a budget allows.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::{Deserialize, Serialize};

/// Single precision.
pub(crate) fn pack(values: impl Iterator<Item = f32>) -> String {
    STANDARD_NO_PAD.encode(values.flat_map(f32::to_le_bytes).collect::<Vec<u8>>())
}

/// The values of [`pack`]; none where the text isn't one of its.
pub(crate) fn unpack(text: &str) -> Vec<f32> {
    let bytes = STANDARD_NO_PAD.decode(text).unwrap_or_default();
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

/// Exponents of two that codes reach over at most.
const REACH: f32 = 24.0;

/// Codes of logarithms between `low` and `high` in `bits` bits: 0 is zero, the highest a gap.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Scale {
    bits: u8,
    low: f32,
    high: f32,
}

impl Scale {
    const WIDE: Self = Self { bits: 16, low: -REACH, high: REACH };

    /// The narrowest that holds all values.
    fn of(values: &[f32], bits: u8) -> Self {
        let logs = values.iter().filter(|v| **v >= (-REACH).exp2()).map(|v| v.log2().min(REACH));
        let (low, high) = logs.fold((REACH, -REACH), |(low, high), log| (log.min(low), log.max(high)));
        if low <= high { Self { bits, low, high } } else { Self { bits, low: 0.0, high: 1.0 } }
    }

    fn gap(self) -> u32 {
        (1 << self.bits) - 1
    }

    fn steps(self) -> f32 {
        (self.gap() - 2) as f32
    }

    fn code(self, value: f32) -> u32 {
        if value.is_nan() {
            return self.gap();
        }
        if value < (-REACH).exp2() {
            return 0;
        }
        let part = (value.log2() - self.low) / (self.high - self.low).max(1e-6);
        (part * self.steps()).round().clamp(0.0, self.steps()) as u32 + 1
    }

    fn value(self, code: u32) -> f32 {
        if code == 0 {
            return 0.0;
        }
        if code >= self.gap() {
            return f32::NAN;
        }
        ((code - 1) as f32 / self.steps() * (self.high - self.low) + self.low).exp2()
    }

    fn write(self, values: impl Iterator<Item = f32>) -> String {
        let mut bytes = Vec::new();
        let (mut held, mut bits) = (0_u64, 0);
        for value in values {
            held |= u64::from(self.code(value)) << bits;
            bits += u32::from(self.bits);
            while bits >= 8 {
                bytes.push(held as u8);
                held >>= 8;
                bits -= 8;
            }
        }
        if bits > 0 {
            bytes.push(held as u8);
        }
        STANDARD_NO_PAD.encode(bytes)
    }

    fn read(self, text: &str) -> Vec<f32> {
        let bytes = STANDARD_NO_PAD.decode(text).unwrap_or_default();
        let width = u32::from(self.bits.clamp(2, 16));
        let (mut held, mut bits) = (0_u64, 0);
        let mut out = Vec::with_capacity(bytes.len() * 8 / width as usize);
        for byte in bytes {
            held |= u64::from(byte) << bits;
            bits += 8;
            while bits >= width {
                out.push(self.value((held & ((1 << width) - 1)) as u32));
                held >>= width;
                bits -= width;
            }
        }
        out
    }
}

/// 16-bit logarithms; below zero stands for not seen yet, as a gap does in a history.
pub(crate) fn pack_coarse<'a>(values: impl Iterator<Item = &'a f32>) -> String {
    Scale::WIDE.write(values.map(|v| if *v < 0.0 { f32::NAN } else { *v }))
}

/// The values of [`pack_coarse`], NaN for not seen yet.
pub(crate) fn unpack_coarse(text: &str) -> Vec<f32> {
    Scale::WIDE.read(text)
}

/// A stretch of history in a bounded number of bytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Stretch {
    slots: usize,
    /// How many slots share a value.
    every: usize,
    scale: Scale,
    codes: String,
}

/// Bits of a value, from what is wanted to the fewest. With ten, a load that varies a thousandfold is right to .3 %.
const BITS: [u8; 4] = [16, 14, 12, 10];
/// Slots of a stretch at most: more is no text of ours.
const MOST: usize = 1_000_000;

impl Stretch {
    /// Packs `values` into at most `budget` bytes (before base64): first with fewer bits, then with slots averaged.
    pub(crate) fn of(values: &[f32], budget: usize) -> Self {
        let bytes = |bits: u8, every: usize| values.len().div_ceil(every) * usize::from(bits) / 8 + 1;
        let fewest = BITS[BITS.len() - 1];
        let bits = BITS.into_iter().find(|bits| bytes(*bits, 1) <= budget).unwrap_or(fewest);
        let every = bytes(bits, 1).div_ceil(budget.max(1)).max(1);
        let mean = |chunk: &[f32]| {
            let known = chunk.iter().filter(|v| v.is_finite());
            let (sum, n) = known.fold((0.0, 0.0), |(sum, n), v| (sum + v, n + 1.0));
            if n > 0.0 { sum / n } else { f32::NAN }
        };
        let means: Vec<f32> = values.chunks(every).map(mean).collect();
        let scale = Scale::of(&means, bits);
        Self { slots: values.len(), every, scale, codes: scale.write(means.into_iter()) }
    }

    /// The values, NaN where the text was damaged.
    pub(crate) fn values(&self) -> Vec<f32> {
        let slots = self.slots.min(MOST);
        let read = self.scale.read(&self.codes).into_iter();
        let mut out: Vec<f32> =
            read.flat_map(|v| std::iter::repeat_n(v, self.every.clamp(1, MOST))).take(slots).collect();
        out.resize(slots, f32::NAN);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn singles_come_back_as_they_were() {
        let values = [0.0, 1.5, -3.25, f32::MAX];
        assert_eq!(unpack(&pack(values.into_iter())), values);
        assert!(unpack("no base64!").is_empty());
    }

    #[test]
    fn a_stretch_keeps_values_gaps_and_zeros_within_its_budget() {
        let mut values: Vec<f32> = (0..5000).map(|t| 1.0 + 0.9 * (t as f32 / 40.0).sin()).collect();
        values[7] = f32::NAN;
        values[8] = 0.0;
        for (budget, off) in [(20_000, 1e-4), (6300, 0.01)] {
            let stretch = Stretch::of(&values, budget);
            assert!(stretch.codes.len() * 3 / 4 <= budget, "{budget}: {}", stretch.codes.len());
            let back = stretch.values();
            assert_eq!(back.len(), values.len());
            assert!(back[7].is_nan() && back[8] == 0.0);
            for (a, b) in values.iter().zip(&back).skip(9) {
                assert!((a - b).abs() <= off * a, "{budget}: {a} {b}");
            }
        }
    }

    #[test]
    fn a_stretch_that_is_too_long_is_averaged() {
        let values: Vec<f32> = (0..10_001).map(|t| 100.0 + (t % 2) as f32).collect();
        let back = Stretch::of(&values, 2000).values();
        assert_eq!(back.len(), values.len());
        assert!(back[..10_000].iter().all(|v| (v - 100.5).abs() < 0.5), "{:?}", &back[..8]);
    }

    #[test]
    fn constants_nothing_and_damage_are_survived() {
        assert_eq!(Stretch::of(&[3.0; 20], 100).values(), [3.0; 20]);
        assert!(Stretch::of(&[], 100).values().is_empty());
        assert!(Stretch::of(&[f32::NAN; 4], 100).values().iter().all(|v| v.is_nan()));
        let damaged = Stretch { slots: usize::MAX, every: 0, ..Stretch::of(&[1.0; 20], 100) };
        assert_eq!(damaged.values().len(), MOST);
        let bits = Scale { bits: 0, ..Scale::WIDE };
        let _ = Stretch { scale: bits, ..Stretch::of(&[1.0; 20], 100) }.values();
    }
}
