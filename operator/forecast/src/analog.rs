//! What followed the most similar moments of earlier days: nearest neighbors among the origins around the same time
//! of day, compared over the last two hours (Lorenz, "Atmospheric predictability as revealed by naturally occurring
//! analogues", 1969).

use crate::clean_history::CleanHistory;

const NEIGHBOURS: usize = 6;

/// Values compared, at most, and the weight of each, newest first.
const LENGTH: usize = 24;

/// The nearest earlier origins with their weights.
pub(crate) fn neighbors(past: &CleanHistory) -> Vec<(usize, f32)> {
    let (i, day) = (past.newest(), past.day());
    let v = past.lin.values();
    let hour = (day / 24).max(2);
    let stride = (2 * hour / LENGTH).max(1);
    let length = (2 * hour / stride).min(LENGTH);
    let span = length * stride;
    if i < span {
        return Vec::new();
    }
    let mut recent = [0.0; LENGTH];
    let mut weight = [0.0; LENGTH];
    for l in 0..length {
        recent[l] = v[i - l * stride];
        weight[l] = 1.0 / (1.0 + l as f32 / 4.0);
    }
    let mut found: Vec<(f32, usize)> = Vec::with_capacity(NEIGHBOURS + 1);
    for k in 1..=13 {
        let back = past.calendar.days_back(past.first + i as i64, k);
        let Some(center) = i.checked_sub(back).filter(|c| *c >= span + hour) else { break };
        for j in (center - hour..=(center + hour).min(i - hour)).step_by((hour / 6).max(1)) {
            let farthest = if found.len() < NEIGHBOURS { f32::INFINITY } else { found[NEIGHBOURS - 1].0 };
            let Some(distance) = distance(&v[..=j], stride, &recent[..length], &weight, farthest) else {
                continue;
            };
            let at = found.partition_point(|f| f.0 < distance);
            found.insert(at, (distance, j));
            found.truncate(NEIGHBOURS);
        }
    }
    let nearest = found.first().map_or(0.0, |f| f.0) + 1e-9;
    found.into_iter().map(|(d, j)| (j, nearest / (d + 1e-9))).collect()
}

/// The weighted squared distance of `recent` from the values that `v` ends with; `None` as soon as it's `farthest`.
fn distance(v: &[f32], stride: usize, recent: &[f32], weight: &[f32], farthest: f32) -> Option<f32> {
    let mut sum = 0.0;
    let mut then = v.iter().rev().step_by(stride);
    for (recent, weight) in recent.chunks(6).zip(weight.chunks(6)) {
        for ((r, w), t) in recent.iter().zip(weight).zip(&mut then) {
            sum += w * (r - t) * (r - t);
        }
        if sum >= farthest {
            return None;
        }
    }
    Some(sum)
}

/// The forecast `h` steps ahead: the change that followed, added to the present level.
pub(crate) fn predict(past: &CleanHistory, neighbors: &[(usize, f32)], h: usize) -> Option<f32> {
    let v = past.lin.values();
    let i = past.newest();
    let now = 0.7 * v[i] + 0.3 * v[i.saturating_sub(1)];
    let (mut sum, mut total) = (0.0, 0.0);
    for (j, w) in neighbors {
        if let Some(later) = v.get(j + h).filter(|_| j + h <= i) {
            let then = 0.7 * v[*j] + 0.3 * v[j.saturating_sub(1)];
            sum += w * (later - then);
            total += w;
        }
    }
    (total > 0.0).then(|| now + sum / total)
}
