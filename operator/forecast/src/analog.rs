//! What followed the most similar moments of earlier days: nearest neighbours among the origins around the same time
//! of day, compared over the last two hours (Lorenz, "Atmospheric predictability as revealed by naturally occurring
//! analogues", 1969).

use crate::past::Past;

const NEIGHBOURS: usize = 6;

/// The nearest earlier origins with their weights.
pub(crate) fn neighbours(past: &Past) -> Vec<(usize, f32)> {
    let (i, day) = (past.newest(), past.day());
    let v = past.lin.values();
    let hour = (day / 24).max(2);
    let length = (2 * hour).min(36);
    let stride = (2 * hour / length).max(1);
    let reach = hour;
    let span = length * stride;
    let mut found: Vec<(f32, usize)> = Vec::new();
    for k in 1..=13 {
        let back = past.calendar.days_back(past.first + i as i64, k);
        let Some(centre) = i.checked_sub(back).filter(|c| *c >= span + reach) else { break };
        for j in (centre - reach..=(centre + reach).min(i - hour)).step_by((hour / 6).max(1)) {
            let mut distance = 0.0;
            for l in 0..length {
                let d = v[i - l * stride] - v[j - l * stride];
                distance += d * d / (1.0 + l as f32 / 4.0);
            }
            if found.len() < NEIGHBOURS || distance < found[found.len() - 1].0 {
                let at = found.partition_point(|f| f.0 < distance);
                found.insert(at, (distance, j));
                found.truncate(NEIGHBOURS);
            }
        }
    }
    let nearest = found.first().map_or(0.0, |f| f.0) + 1e-9;
    found.into_iter().map(|(d, j)| (j, nearest / (d + 1e-9))).collect()
}

/// The forecast `h` steps ahead: the change that followed, added to the present level.
pub(crate) fn predict(past: &Past, neighbours: &[(usize, f32)], h: usize) -> Option<f32> {
    let v = past.lin.values();
    let i = past.newest();
    let now = 0.7 * v[i] + 0.3 * v[i.saturating_sub(1)];
    let (mut sum, mut total) = (0.0, 0.0);
    for (j, w) in neighbours {
        if let Some(later) = v.get(j + h).filter(|_| j + h <= i) {
            let then = 0.7 * v[*j] + 0.3 * v[j.saturating_sub(1)];
            sum += w * (later - then);
            total += w;
        }
    }
    (total > 0.0).then(|| now + sum / total)
}
