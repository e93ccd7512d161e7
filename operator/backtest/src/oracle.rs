//! What could have been done at best by somebody who knew the load beforehand, with the same start-up and the same bill.
//! The need of each scoring window comes in; replica-seconds go out. Needs are nested (who needs five pods needs four),
//! so every layer of one pod is a problem of its own, solved exactly (Lin, Wierman, Andrew, Thereska, INFOCOM 2011).

/// The load's needs, cut into layers of one pod each.
#[derive(Clone, Debug)]
pub struct Oracle {
    layers: Vec<Vec<Stretch>>,
    windows: usize,
    window: f64,
    restart: f64,
    base: f64,
}

/// A stretch of windows in which a layer is needed, and the idle gap before it.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    gap: u32,
    start: u32,
    length: u32,
}

/// A point of the clairvoyant frontier.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Best {
    /// Share of windows in which the promise is broken, 0 to 1.
    pub violation: f64,
    /// Pod-seconds paid for.
    pub pod_seconds: f64,
}

impl Oracle {
    /// `need` holds the fewest replicas for each window of `window` seconds, 0 where nothing is scored. Starting a pod
    /// again costs `restart` pod-seconds: the mean start-up, and the drain of the pod that was stopped before.
    pub fn new(need: &[u32], window: f64, restart: f64) -> Self {
        let scored: Vec<u32> = need.iter().copied().filter(|n| *n > 0).collect();
        let top = scored.iter().copied().max().unwrap_or(0) as usize;
        // The layers below the smallest need are always on: no choice, no list.
        let floor = scored.iter().copied().min().unwrap_or(0) as usize;
        let mut layers: Vec<Vec<Stretch>> = vec![Vec::new(); top - floor];
        let mut since = vec![0u32; top - floor];
        let mut off_since = vec![0u32; top - floor];
        let mut level = 0;
        for (i, n) in scored.iter().chain(std::iter::once(&(floor as u32))).enumerate() {
            let n = *n as usize - floor;
            let now = i as u32;
            since[level.min(n)..n].fill(now);
            for layer in n..level {
                let start = since[layer];
                layers[layer].push(Stretch { gap: start - off_since[layer], start, length: now - start });
                off_since[layer] = now;
            }
            level = n;
        }
        let base = floor as f64 * scored.len() as f64 * window;
        Self { layers, windows: scored.len(), window, restart, base }
    }

    /// How many windows are scored.
    pub fn windows(&self) -> usize {
        self.windows
    }

    /// The cheapest way to break the promise never.
    pub fn without_violation(&self) -> Best {
        let cost: f64 =
            self.layers.iter().flatten().map(|s| self.on(s) + self.gap(s).min(self.restart)).sum();
        Best { violation: 0.0, pod_seconds: self.base + cost }
    }

    /// The cheapest way found that breaks the promise in at most the share `budget` of windows: each layer leaves out
    /// what costs more than `price` a missing pod-second, and the price is searched for by halving.
    pub fn within(&self, budget: f64) -> Best {
        let mut best = self.without_violation();
        let (mut low, mut high) = (0.0f64, 1.0f64);
        // The price is mapped to (0, 1) as p / (1 - p): halving then covers cheap and dear alike.
        for _ in 0..22 {
            let middle = f64::midpoint(low, high);
            let found = self.at_price(middle / (1.0 - middle));
            if found.violation <= budget {
                if found.pod_seconds < best.pod_seconds {
                    best = found;
                }
                high = middle;
            } else {
                low = middle;
            }
        }
        best
    }

    fn on(&self, s: &Stretch) -> f64 {
        f64::from(s.length) * self.window
    }

    fn gap(&self, s: &Stretch) -> f64 {
        f64::from(s.gap) * self.window
    }

    /// Two states per layer, on and off, over its stretches (Viterbi), with `price` for a missing pod-second.
    fn at_price(&self, price: f64) -> Best {
        let mut broken = vec![false; self.windows];
        let mut pod_seconds = self.base;
        for layer in &self.layers {
            pod_seconds += self.walk(layer, price, &mut broken);
        }
        let violated = broken.iter().filter(|b| **b).count();
        Best { violation: violated as f64 / self.windows.max(1) as f64, pod_seconds }
    }

    /// The pod-seconds of one layer; marks the windows it leaves out.
    fn walk(&self, layer: &[Stretch], price: f64, broken: &mut [bool]) -> f64 {
        // For both states after a stretch: total cost with and without the price, and how the state was reached.
        let mut states = [(0.0, 0.0), (0.0, 0.0)];
        let mut from: Vec<[u8; 2]> = Vec::with_capacity(layer.len());
        for s in layer {
            let [off, on] = states;
            let length = self.on(s);
            let idle_off = if on.0 < off.0 { (on, 1) } else { (off, 0) };
            let keep = (on.0 + self.gap(s), on.1 + self.gap(s));
            let start = (idle_off.0.0 + self.restart, idle_off.0.1 + self.restart);
            let begun = if keep.0 <= start.0 { (keep, 1) } else { (start, idle_off.1) };
            let next_on = (begun.0.0 + length, begun.0.1 + length);
            let next_off = (idle_off.0.0 + price * length, idle_off.0.1);
            from.push([idle_off.1, begun.1]);
            states = [next_off, next_on];
        }
        let mut state = usize::from(states[1].0 <= states[0].0);
        let paid = states[state].1;
        for (s, from) in layer.iter().zip(&from).rev() {
            if state == 0 {
                broken[s.start as usize..(s.start + s.length) as usize].fill(true);
            }
            state = usize::from(from[state]);
        }
        paid
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The cheapest plan without a violation, by trying every plan: replicas per window, `restart` for each pod that
    /// starts; the pods of the first window, and any wished for before, start for nothing.
    fn brute(need: &[u32], restart: f64) -> f64 {
        let top = need.iter().copied().max().unwrap_or(0);
        let mut costs: Vec<f64> = vec![0.0; top as usize + 1];
        for n in need {
            let mut next = vec![f64::INFINITY; top as usize + 1];
            for (before, cost) in costs.iter().enumerate() {
                for replicas in *n..=top {
                    let starts = (replicas as usize).saturating_sub(before) as f64;
                    let total = cost + starts * restart + f64::from(replicas);
                    next[replicas as usize] = next[replicas as usize].min(total);
                }
            }
            costs = next;
        }
        costs.iter().copied().fold(f64::INFINITY, f64::min)
    }

    /// The cheapest plan in which a missing pod in a window costs `price`.
    fn brute_priced(need: &[u32], restart: f64, price: f64) -> f64 {
        let top = need.iter().copied().max().unwrap_or(0);
        let mut costs: Vec<f64> = vec![0.0; top as usize + 1];
        for n in need {
            let mut next = vec![f64::INFINITY; top as usize + 1];
            for (before, cost) in costs.iter().enumerate() {
                for replicas in 0..=top {
                    let starts = (replicas as usize).saturating_sub(before) as f64;
                    let missing = f64::from(n.saturating_sub(replicas));
                    let total = cost + starts * restart + f64::from(replicas) + missing * price;
                    next[replicas as usize] = next[replicas as usize].min(total);
                }
            }
            costs = next;
        }
        costs.iter().copied().fold(f64::INFINITY, f64::min)
    }

    proptest! {
        #[test]
        fn no_plan_without_a_violation_is_cheaper(
            need in proptest::collection::vec(1u32..6, 1..14),
            restart in 0u32..8,
        ) {
            let best = Oracle::new(&need, 1.0, f64::from(restart)).without_violation();
            let brute = brute(&need, f64::from(restart));
            prop_assert!((best.pod_seconds - brute).abs() < 1e-9, "{} against {brute}", best.pod_seconds);
        }

        #[test]
        fn at_any_price_of_a_missing_pod_no_plan_is_cheaper(
            need in proptest::collection::vec(1u32..6, 1..14),
            restart in 0u32..8,
            price in 0u32..40,
        ) {
            let (restart, price) = (f64::from(restart), f64::from(price) / 10.0 + 0.05);
            let oracle = Oracle::new(&need, 1.0, restart);
            let floor = *need.iter().min().unwrap();
            let missing_free = oracle.at_price(price);
            // The always-needed floor is outside of the choice, so the brute force may not leave it out either.
            let above: Vec<u32> = need.iter().map(|n| n - floor).collect();
            let brute = brute_priced(&above, restart, price);
            prop_assert!(missing_free.pod_seconds - oracle.base <= brute + 1e-9);
        }

        #[test]
        fn a_larger_budget_never_costs_more(need in proptest::collection::vec(1u32..9, 20..80)) {
            let oracle = Oracle::new(&need, 10.0, 60.0);
            let mut last = oracle.without_violation().pod_seconds;
            for budget in [0.0, 0.05, 0.1, 0.3] {
                let found = oracle.within(budget);
                prop_assert!(found.violation <= budget + 1e-12);
                prop_assert!(found.pod_seconds <= last + 1e-9);
                last = found.pod_seconds;
            }
        }
    }

    #[test]
    fn a_gap_shorter_than_a_restart_is_kept_through() {
        let best = |gap: usize| {
            let mut need = vec![2; 5];
            need.extend(vec![1; gap]);
            need.extend(vec![2; 5]);
            Oracle::new(&need, 10.0, 60.0).without_violation().pod_seconds
        };
        assert_eq!(best(3), (10.0 * 2.0 + 3.0 * 2.0) * 10.0);
        assert_eq!(best(20), (10.0 * 2.0 + 20.0) * 10.0 + 60.0);
    }

    #[test]
    fn unscored_windows_cost_nothing() {
        let with = Oracle::new(&[3, 0, 0, 3], 10.0, 60.0).without_violation();
        assert_eq!(with.pod_seconds, 60.0);
    }
}
