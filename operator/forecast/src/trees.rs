//! Gradient-boosted regression trees on binned features for absolute error, in the manner of LightGBM (Ke et al.,
//! 2017): histograms of 32 bins, leaf-wise growth, leaves that hold the median of their residuals, a random share of
//! rows and features a tree. Small on purpose: a fit is a few milliseconds.

use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

use crate::features::{Row, WIDTH};

const BINS: usize = 32;

/// How a forest is grown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Growth {
    pub(crate) trees: usize,
    pub(crate) leaves: usize,
    pub(crate) rate: f32,
    pub(crate) least_rows: usize,
    pub(crate) row_share: f64,
    pub(crate) feature_share: f64,
    pub(crate) seed: u64,
}

#[derive(Clone, Debug)]
struct Node {
    /// Feature to look at, or `u8::MAX` for a leaf.
    feature: u8,
    /// Index of the right child; the left one follows the node.
    right: u8,
    /// Threshold of a split (at or below goes left), or the value of a leaf.
    value: f32,
}

/// A fitted forest.
#[derive(Clone, Debug, Default)]
pub(crate) struct Forest {
    start: f32,
    nodes: Vec<Node>,
    roots: Vec<u16>,
}

impl Forest {
    pub(crate) fn predict(&self, row: &Row) -> f32 {
        let mut sum = self.start;
        for root in &self.roots {
            let tree = &self.nodes[*root as usize..];
            let mut at = 0;
            while tree[at].feature != u8::MAX {
                at = if row[tree[at].feature as usize] <= tree[at].value {
                    at + 1
                } else {
                    tree[at].right as usize
                };
            }
            sum += tree[at].value;
        }
        sum
    }
}

struct Binned {
    /// Upper edges of the bins of each feature.
    edges: Vec<Vec<f32>>,
    /// Bins by feature, then row.
    bins: Vec<Vec<u8>>,
}

fn bin(rows: &[Row]) -> Binned {
    let mut edges = Vec::with_capacity(WIDTH);
    let mut bins = Vec::with_capacity(WIDTH);
    let stride = (rows.len() / 512).max(1);
    for k in 0..WIDTH {
        let mut sample: Vec<f32> = rows.iter().step_by(stride).map(|r| r[k]).collect();
        sample.sort_unstable_by(f32::total_cmp);
        let mut cut: Vec<f32> = (1..BINS).map(|b| sample[b * (sample.len() - 1) / BINS]).collect();
        cut.dedup();
        if cut.len() == 1 && sample.first() == sample.last() {
            cut.clear();
        }
        bins.push(if cut.is_empty() {
            Vec::new()
        } else {
            rows.iter().map(|r| cut.partition_point(|e| *e < r[k]) as u8).collect()
        });
        edges.push(cut);
    }
    Binned { edges, bins }
}

struct Leaf {
    node: usize,
    rows: Vec<u32>,
    histogram: Vec<[f32; 2]>,
    split: Option<Split>,
}

#[derive(Clone, Copy)]
struct Split {
    gain: f32,
    feature: usize,
    bin: usize,
}

struct Grower<'a> {
    binned: &'a Binned,
    features: Vec<usize>,
    gradient: &'a [f32],
    weight: &'a [f32],
    least: f32,
}

impl Grower<'_> {
    fn histogram(&self, rows: &[u32]) -> Vec<[f32; 2]> {
        let mut out = vec![[0.0_f32; 2]; self.features.len() * BINS];
        // What is added is gathered once, then read in order for each feature.
        let added: Vec<[f32; 2]> =
            rows.iter().map(|r| [self.gradient[*r as usize], self.weight[*r as usize]]).collect();
        for (f, cells) in self.features.iter().zip(out.chunks_exact_mut(BINS)) {
            let bins = &self.binned.bins[*f];
            let Ok(cells) = <&mut [[f32; 2]; BINS]>::try_from(cells) else { continue };
            for (r, add) in rows.iter().zip(&added) {
                let cell = &mut cells[bins[*r as usize] as usize & (BINS - 1)];
                cell[0] += add[0];
                cell[1] += add[1];
            }
        }
        out
    }

    fn best(&self, histogram: &[[f32; 2]]) -> Option<Split> {
        let mut best: Option<Split> = None;
        for (f, cells) in self.features.iter().zip(histogram.chunks_exact(BINS)) {
            let (g, w) = cells.iter().fold((0.0, 0.0), |(g, w), c| (g + c[0], w + c[1]));
            let whole = g * g / (w + 1.0);
            let (mut gl, mut wl) = (0.0, 0.0);
            for (b, cell) in cells[..BINS - 1].iter().enumerate() {
                gl += cell[0];
                wl += cell[1];
                if wl < self.least {
                    continue;
                }
                if w - wl < self.least {
                    break;
                }
                let gain = gl * gl / (wl + 1.0) + (g - gl) * (g - gl) / (w - wl + 1.0) - whole;
                if gain > best.map_or(1e-6, |s| s.gain) {
                    best = Some(Split { gain, feature: *f, bin: b });
                }
            }
        }
        best
    }
}

/// Grows a forest for `targets`. `None` with too few rows to split.
pub(crate) fn grow(rows: &[Row], targets: &[f32], weights: &[f32], how: &Growth) -> Option<Forest> {
    if rows.len() < 4 * how.least_rows {
        return None;
    }
    let mut rng = SmallRng::seed_from_u64(how.seed);
    let binned = bin(rows);
    let usable: Vec<usize> = (0..WIDTH).filter(|f| !binned.bins[*f].is_empty()).collect();
    if usable.is_empty() {
        return None;
    }
    let start = weighted_median(&mut targets.iter().zip(weights).map(|(t, w)| (*t, *w)).collect::<Vec<_>>());
    let mut residuals: Vec<f32> = targets.iter().map(|t| t - start).collect();
    let mut forest = Forest { start, ..Forest::default() };
    let mut gradient = vec![0.0; rows.len()];
    for _ in 0..how.trees {
        for ((g, r), w) in gradient.iter_mut().zip(&residuals).zip(weights) {
            *g = if *r > 0.0 {
                *w
            } else if *r < 0.0 {
                -*w
            } else {
                0.0
            };
        }
        let chosen: Vec<u32> = (0..rows.len() as u32)
            .filter(|r| weights[*r as usize] > 0.0 && rng.random_bool(how.row_share))
            .collect();
        let mut features = usable.clone();
        features.shuffle(&mut rng);
        features.truncate(((usable.len() as f64 * how.feature_share).ceil() as usize).max(1));
        let grower = Grower {
            binned: &binned,
            features,
            gradient: &gradient,
            weight: weights,
            least: how.least_rows as f32,
        };
        plant(&grower, chosen, &mut residuals, how, &mut forest);
    }
    Some(forest)
}

/// A node of a tree that is being grown.
struct Draft {
    /// Feature, bin, and the nodes left and right; `None` for a leaf.
    split: Option<(usize, usize, usize, usize)>,
    value: f32,
}

/// Grows one tree, appends it and takes its values off all residuals.
fn plant(grower: &Grower<'_>, rows: Vec<u32>, residuals: &mut [f32], how: &Growth, forest: &mut Forest) {
    let histogram = grower.histogram(&rows);
    let split = grower.best(&histogram);
    let mut drafts = vec![Draft { split: None, value: 0.0 }];
    let mut leaves = vec![Leaf { node: 0, rows, histogram, split }];
    while leaves.len() < how.leaves {
        let Some(which) = (0..leaves.len())
            .filter(|l| leaves[*l].split.is_some())
            .max_by(|a, b| gain(&leaves[*a]).total_cmp(&gain(&leaves[*b])))
        else {
            break;
        };
        let parent = leaves.swap_remove(which);
        let Some(split) = parent.split else { break };
        let bins = &grower.binned.bins[split.feature];
        let (left, right): (Vec<u32>, Vec<u32>) =
            parent.rows.iter().partition(|r| bins[**r as usize] as usize <= split.bin);
        let (small, large, small_is_left) =
            if left.len() <= right.len() { (left, right, true) } else { (right, left, false) };
        let small_histogram = grower.histogram(&small);
        let mut large_histogram = parent.histogram;
        for (a, b) in large_histogram.iter_mut().zip(&small_histogram) {
            a[0] -= b[0];
            a[1] -= b[1];
        }
        let (l, r) = (drafts.len(), drafts.len() + 1);
        drafts.push(Draft { split: None, value: 0.0 });
        drafts.push(Draft { split: None, value: 0.0 });
        drafts[parent.node].split = Some((split.feature, split.bin, l, r));
        let (small_node, large_node) = if small_is_left { (l, r) } else { (r, l) };
        for (node, rows, histogram) in
            [(small_node, small, small_histogram), (large_node, large, large_histogram)]
        {
            let split = grower.best(&histogram);
            leaves.push(Leaf { node, rows, histogram, split });
        }
    }
    let mut moved = vec![false; residuals.len()];
    for leaf in &leaves {
        let mut pairs: Vec<(f32, f32)> =
            leaf.rows.iter().map(|r| (residuals[*r as usize], grower.weight[*r as usize])).collect();
        let value = how.rate * weighted_median(&mut pairs);
        drafts[leaf.node].value = value;
        for r in &leaf.rows {
            residuals[*r as usize] -= value;
            moved[*r as usize] = true;
        }
    }
    // Rows outside the tree's share move along too, so every residual is that of the whole forest.
    for (r, residual) in residuals.iter_mut().enumerate().filter(|(r, _)| !moved[*r]) {
        let mut at = 0;
        while let Some((feature, bin, left, right)) = drafts[at].split {
            at = if grower.binned.bins[feature][r] as usize <= bin { left } else { right };
        }
        *residual -= drafts[at].value;
    }
    append(&drafts, grower.binned, how, forest);
}

/// Appends a tree to the forest, each left child right after its parent.
fn append(drafts: &[Draft], binned: &Binned, how: &Growth, forest: &mut Forest) {
    let root = forest.nodes.len();
    if root > usize::from(u16::MAX) - 2 * how.leaves {
        return;
    }
    forest.roots.push(root as u16);
    let mut stack = vec![(0_usize, None::<usize>)];
    while let Some((draft, parent)) = stack.pop() {
        let at = forest.nodes.len() - root;
        if let Some(parent) = parent {
            forest.nodes[root + parent].right = at as u8;
        }
        match drafts[draft].split {
            None => forest.nodes.push(Node { feature: u8::MAX, right: 0, value: drafts[draft].value }),
            Some((feature, bin, left, right)) => {
                let threshold = binned.edges[feature].get(bin).copied().unwrap_or(f32::INFINITY);
                forest.nodes.push(Node { feature: feature as u8, right: 0, value: threshold });
                stack.push((right, Some(at)));
                stack.push((left, None));
            }
        }
    }
}

fn gain(leaf: &Leaf) -> f32 {
    leaf.split.map_or(0.0, |s| s.gain)
}

/// The median of values with weights; 0 for none. Sorts what it's given.
fn weighted_median(pairs: &mut [(f32, f32)]) -> f32 {
    // Ordered by the bits of the value, which for floats of one sign is the order of the values.
    pairs.sort_unstable_by_key(|p| {
        let bits = p.0.to_bits() as i32;
        bits ^ (((bits >> 31) as u32) >> 1) as i32
    });
    let half = pairs.iter().map(|p| p.1).sum::<f32>() / 2.0;
    let mut sum = 0.0;
    for (value, weight) in pairs.iter() {
        sum += weight;
        if sum >= half {
            return *value;
        }
    }
    pairs.last().map_or(0.0, |p| p.0)
}
