//! A filled series with its running sums: values as models read them, with no gaps left, and the mean over any span
//! in two look-ups.

/// A vector that is full grows by this many slots, not by as many as it has: with a slot a minute, doubling would cost
/// half a megabyte for each signal.
const ROOM: usize = 120;

/// Appends without doubling what is held.
pub(crate) fn append<T>(to: &mut Vec<T>, value: T) {
    if to.len() == to.capacity() {
        to.reserve_exact(ROOM);
    }
    to.push(value);
}

/// Values and their running sums. Index 0 is the oldest.
#[derive(Clone, Debug, Default)]
pub(crate) struct PrefixSums {
    v: Vec<f32>,
    sum: Vec<f64>,
}

impl PrefixSums {
    pub(crate) fn new(v: Vec<f32>) -> Self {
        let mut sum = Vec::with_capacity(v.len() + 1);
        let mut total = 0.0;
        sum.push(0.0);
        for x in &v {
            total += f64::from(*x);
            sum.push(total);
        }
        Self { v, sum }
    }

    pub(crate) fn push(&mut self, value: f32) {
        if self.sum.is_empty() {
            self.sum.push(0.0);
        }
        let total = self.sum[self.v.len()] + f64::from(value);
        append(&mut self.v, value);
        append(&mut self.sum, total);
    }

    pub(crate) fn len(&self) -> usize {
        self.v.len()
    }

    pub(crate) fn values(&self) -> &[f32] {
        &self.v
    }

    /// The mean of the `width` values that end at `end`, fewer where the series begins later; `end` is inside.
    pub(crate) fn mean(&self, end: usize, width: usize) -> f32 {
        let from = (end + 1).saturating_sub(width.max(1));
        ((self.sum[end + 1] - self.sum[from]) / (end + 1 - from) as f64) as f32
    }

    /// The value `back` slots before `from`, if it's inside.
    pub(crate) fn back(&self, from: usize, back: usize) -> Option<f32> {
        from.checked_sub(back).and_then(|i| self.v.get(i)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_more_doesnt_double_what_is_held() {
        let mut plane = PrefixSums::new(vec![1.0; 20_160]);
        for _ in 0..60 {
            plane.push(3.0);
        }
        assert!(plane.v.capacity() < 20_400 && plane.sum.capacity() < 20_400, "{}", plane.v.capacity());
        assert_eq!((plane.mean(20_219, 60), plane.mean(20_219, 120)), (3.0, 2.0));
    }
}
