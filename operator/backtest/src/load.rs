//! From recorded load to what arrives each second. A [`Series`] comes in; arrivals for the replayed span, their running
//! total, and which seconds were really recorded go out. Knows nothing of policies or pods.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use series::{Series, time};

use crate::random;

/// Gaps up to this long are bridged by a straight line; longer ones aren't scored.
const BRIDGED: Duration = Duration::from_secs(900);
/// How many requests a second one saturated replica serves. Only sets how grainy the arrivals are.
const EVENTS_PER_REPLICA: f64 = 100.0;
const ARRIVALS: u64 = 0xA881;
/// The same before the replay.
const EARLIER: u64 = 0xA882;
const MINUTE: u64 = 60;
/// The plant runs this long before scoring starts, so that no policy is judged by its starting point.
pub const RUN_IN: u64 = 3_600;

/// The load of one replay.
#[derive(Clone, Debug)]
pub struct Load {
    history: Series,
    earlier: Series,
    start: Timestamp,
    recorded: Vec<f32>,
    arrivals: Vec<f32>,
    total: Vec<f64>,
    masked: Vec<bool>,
    parts: Vec<Arc<Load>>,
}

/// How a recording becomes the load of a replay.
#[derive(Clone, Debug)]
pub struct Shape {
    /// The last part of the recording that is scored, at most.
    pub scored: Duration,
    /// The part before it that is known history, at most.
    pub warm_up: Duration,
    /// Scale the load so that its 99.9th percentile needs this many replicas; `None` leaves it as recorded.
    pub peak_replicas: Option<f64>,
    /// What one replica carries within its promise, in the unit of the load.
    pub per_replica: f64,
    /// Saturation load of one replica, in the unit of the load; sets the grain of arrivals.
    pub capacity: f64,
    /// Variance of a second's arrivals over their mean: 0 for none, 1 for Poisson, above for bursts.
    pub dispersion: f64,
    /// Seed of the arrivals.
    pub seed: u64,
}

/// Why a recording can't be replayed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// Less than a few hours.
    #[error("the recording is {hours} hours long; at least 8 are needed, and 28 days show most")]
    Short {
        /// Length of the recording in whole hours.
        hours: u64,
    },
    /// The recordings of several metrics that have no span in common.
    #[error("the recordings of the metrics have no time in common")]
    Apart,
    /// Nothing but zero and gaps.
    #[error("the recording holds no load at all")]
    Silent,
}

impl Load {
    /// Cuts the recording into history and scored span, scales it, and draws the arrivals. Where the recording is
    /// shorter than history and scored span together, history gets at most half.
    pub fn new(recording: &Series, shape: &Shape) -> Result<Self, LoadError> {
        let length = time::since(recording.end(), recording.start()).as_secs();
        if length < 8 * 3_600 {
            return Err(LoadError::Short { hours: length / 3_600 });
        }
        let scored = shape.scored.as_secs().min(length / 2);
        let warm_up = shape.warm_up.as_secs().min(length - scored);
        let from = time::before(recording.end(), Duration::from_secs(scored + RUN_IN));
        let begin = time::before(recording.end(), Duration::from_secs(scored + warm_up));
        let scale = scale_of(recording, from, shape).ok_or(LoadError::Silent)?;
        let bridged = bridge(recording, scale);
        let masked_slots = mask(recording);
        let seconds = (scored + RUN_IN) as usize;
        let (recorded, masked) = per_second(&bridged, &masked_slots, from, seconds);
        let arrivals = arrivals(&recorded, shape, ARRIVALS);
        let mut total = Vec::with_capacity(seconds + 1);
        let mut sum = 0.0;
        total.push(0.0);
        for a in &arrivals {
            sum += f64::from(*a);
            total.push(sum);
        }
        let history = scaled(recording, scale).between(begin, from);
        let known = time::since(from, history.start()).as_secs() / MINUTE * MINUTE;
        let begin = time::before(from, Duration::from_secs(known));
        let (rate, gaps) = per_second(&bridged, &masked_slots, begin, known as usize);
        let earlier = by_minute(begin, &self::arrivals(&rate, shape, EARLIER), &gaps);
        let earlier = earlier.unwrap_or_else(|| history.clone());
        Ok(Self { history, earlier, start: from, recorded, arrivals, total, masked, parts: Vec::new() })
    }

    /// The load of several metrics, each with what one replica carries of it: at any time the one that needs the most
    /// replicas counts, in the unit of the first. Where one of them has a gap, all have.
    pub fn of_metrics(recordings: &[(Series, f64)], shape: &Shape) -> Result<Self, LoadError> {
        if let [(recording, _)] = recordings {
            return Self::new(recording, shape);
        }
        let recordings = on_one_grid(recordings).ok_or(LoadError::Apart)?;
        let largest = most_demanding(&recordings, shape.per_replica).ok_or(LoadError::Apart)?;
        let mut load = Self::new(&largest, shape)?;
        let scale = scale_of(&largest, load.start, shape).ok_or(LoadError::Silent)?;
        for (recording, target) in &recordings {
            let (per_replica, capacity) = (*target, shape.capacity * target / shape.per_replica);
            let shape = Shape { peak_replicas: None, per_replica, capacity, ..shape.clone() };
            load.parts.push(Arc::new(Self::new(&scaled(recording, scale), &shape)?));
        }
        Ok(load)
    }

    /// The load of each metric, where there are several.
    pub fn parts(&self) -> &[Arc<Load>] {
        &self.parts
    }

    /// What was known before the replay began, on the recording's own grid and in the replay's scale.
    pub fn history(&self) -> &Series {
        &self.history
    }

    /// The same as it would have been measured, by the minute: with the grain of what arrives, without what falls into gaps.
    pub fn earlier(&self) -> &Series {
        &self.earlier
    }

    /// When the replay begins: [`RUN_IN`] seconds before the first scored second.
    pub fn start(&self) -> Timestamp {
        self.start
    }

    /// How many seconds are replayed, the run-in included.
    pub fn seconds(&self) -> usize {
        self.arrivals.len()
    }

    /// The time of a second of the replay.
    pub fn time_of(&self, second: usize) -> Timestamp {
        time::after(self.start, Duration::from_secs(second as u64))
    }

    /// Arrivals of each second, in units of load.
    pub fn arrivals(&self) -> &[f32] {
        &self.arrivals
    }

    /// The rate behind the arrivals: the recording itself, scaled, without the grain.
    pub fn recorded(&self) -> &[f32] {
        &self.recorded
    }

    /// Running total of arrivals: `total()[s]` is all that arrived before second `s`.
    pub fn total(&self) -> &[f64] {
        &self.total
    }

    /// Whether the recording had a gap at this second, too long to bridge. Such seconds are neither measured nor scored.
    pub fn masked(&self, second: usize) -> bool {
        self.masked.get(second).copied().unwrap_or(false)
    }
}

/// All of them on the coarsest of their steps, over the time that they have in common.
fn on_one_grid(recordings: &[(Series, f64)]) -> Option<Vec<(Series, f64)>> {
    let step = recordings.iter().map(|(series, _)| series.step()).max()?;
    let coarse = |(series, target): &(Series, f64)| {
        let factor = step.as_secs() / series.step().as_secs().max(1);
        (series.coarsen(usize::try_from(factor).unwrap_or(1)), *target)
    };
    let recordings: Vec<_> = recordings.iter().map(coarse).collect();
    let from = recordings.iter().map(|(series, _)| time::align(series.start(), step)).max()?;
    let to = recordings.iter().map(|(series, _)| series.end()).min()?;
    let slots = time::since(to, from).as_secs() / step.as_secs().max(1);
    let cut = |(series, target): &(Series, f64)| {
        let of = |slot: u64| {
            let middle = time::after(from, step * u32::try_from(slot).ok()? + step / 2);
            let index = time::since(middle, series.start()).as_secs() / series.step().as_secs().max(1);
            series.get(usize::try_from(index).ok()?).filter(|_| middle >= series.start())
        };
        let values = (0..slots).map(|slot| of(slot).unwrap_or(f64::NAN)).collect();
        Some((Series::new(from, step, values).ok()?, *target))
    };
    recordings.iter().map(cut).collect::<Option<Vec<_>>>().filter(|_| slots > 0)
}

/// For each slot the load that needs the most replicas, in a unit of which one replica carries `unit`.
fn most_demanding(recordings: &[(Series, f64)], unit: f64) -> Option<Series> {
    let (first, _) = recordings.first()?;
    let largest = |slot: usize| {
        let mut needs = recordings.iter().map(|(series, target)| Some(series.get(slot)? / target * unit));
        needs.try_fold(0.0, |most: f64, need| Some(most.max(need?))).unwrap_or(f64::NAN)
    };
    Series::new(first.start(), first.step(), (0..first.len()).map(largest).collect()).ok()
}

fn scaled(series: &Series, scale: f64) -> Series {
    let values = series.raw().iter().map(|v| v * scale).collect();
    Series::new(series.start(), series.step(), values).unwrap_or_else(|_| series.clone())
}

fn scale_of(recording: &Series, from: Timestamp, shape: &Shape) -> Option<f64> {
    let mut values: Vec<f64> =
        recording.between(from, recording.end()).raw().iter().copied().filter(|v| !v.is_nan()).collect();
    values.sort_by(f64::total_cmp);
    let top = *values.get(((values.len() as f64 * 0.999) as usize).min(values.len().checked_sub(1)?))?;
    let top = if top > 0.0 { top } else { *values.last()? };
    if top <= 0.0 {
        return None;
    }
    Some(shape.peak_replicas.map_or(1.0, |n| n * shape.per_replica / top))
}

/// The scaled slots with every gap filled by the straight line between its ends.
fn bridge(recording: &Series, scale: f64) -> Series {
    let mut values: Vec<f64> = recording.raw().iter().map(|v| v * scale).collect();
    let mut last: Option<usize> = None;
    for i in 0..values.len() {
        if values[i].is_nan() {
            continue;
        }
        let (a, b) = (last.map_or(values[i], |l| values[l]), values[i]);
        let first = last.map_or(0, |l| l + 1);
        let width = (i - first + 1) as f64;
        for (k, value) in values[first..i].iter_mut().enumerate() {
            *value = a + (b - a) * (k + 1) as f64 / width;
        }
        last = Some(i);
    }
    if let Some(l) = last {
        let tail = values[l];
        values[l + 1..].fill(tail);
    }
    Series::new(recording.start(), recording.step(), values).unwrap_or_else(|_| recording.clone())
}

fn mask(recording: &Series) -> Vec<bool> {
    let mut masked = vec![false; recording.len()];
    let longest = (BRIDGED.as_secs() / recording.step().as_secs()).max(1) as usize;
    let mut run = 0;
    for i in 0..=recording.len() {
        if i < recording.len() && recording.get(i).is_none() {
            run += 1;
            continue;
        }
        if run > longest {
            masked[i - run..i].fill(true);
        }
        run = 0;
    }
    masked
}

/// Straight lines between the middles of slots, then each slot brought back to its own mean so that no load is lost.
fn per_second(slots: &Series, masked: &[bool], from: Timestamp, seconds: usize) -> (Vec<f32>, Vec<bool>) {
    let step = slots.step().as_secs() as usize;
    let raw = slots.raw();
    let offset = time::since(from, slots.start()).as_secs() as usize;
    let line = |second: usize| {
        let at = (offset + second) as f64 / step as f64 - 0.5;
        let left = at.floor();
        let (a, b) = (clamped(raw, left as isize), clamped(raw, left as isize + 1));
        a + (b - a) * (at - left)
    };
    let mut rate: Vec<f32> = (0..seconds).map(|s| line(s) as f32).collect();
    let mut second = 0;
    while second < seconds {
        let slot = (offset + second) / step;
        let end = ((slot + 1) * step - offset).min(seconds);
        let mean = rate[second..end].iter().map(|v| f64::from(*v)).sum::<f64>() / (end - second) as f64;
        // A slot that the span cuts in two has no mean of its own to keep.
        if end - second == step && mean > 0.0 {
            let factor = (clamped(raw, slot as isize) / mean) as f32;
            rate[second..end].iter_mut().for_each(|v| *v *= factor);
        }
        second = end;
    }
    let gaps = (0..seconds).map(|s| masked.get((offset + s) / step).copied().unwrap_or(false)).collect();
    (rate, gaps)
}

fn clamped(raw: &[f64], index: isize) -> f64 {
    raw[index.clamp(0, raw.len() as isize - 1) as usize]
}

/// The mean of each minute; none where a part of it is in a gap.
fn by_minute(from: Timestamp, arrivals: &[f32], gaps: &[bool]) -> Option<Series> {
    let minutes = arrivals.chunks(MINUTE as usize).zip(gaps.chunks(MINUTE as usize));
    let mean = |(arrived, gaps): (&[f32], &[bool])| {
        let sum: f64 = arrived.iter().map(|a| f64::from(*a)).sum();
        if gaps.contains(&true) { f64::NAN } else { sum / arrived.len() as f64 }
    };
    Series::new(from, Duration::from_secs(MINUTE), minutes.map(mean).collect()).ok()
}

fn arrivals(rate: &[f32], shape: &Shape, stream: u64) -> Vec<f32> {
    if shape.dispersion <= 0.0 {
        return rate.to_vec();
    }
    // One event is worth this much load; with a dispersion above 1 events come in clumps of that size.
    let grain = shape.capacity / EVENTS_PER_REPLICA * shape.dispersion;
    rate.iter()
        .enumerate()
        .map(|(s, r)| (random::poisson(f64::from(*r) / grain, shape.seed, stream, s as u64) * grain) as f32)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recording(values: Vec<f64>) -> Series {
        Series::new(Timestamp::from_second(0).unwrap(), Duration::from_secs(300), values).unwrap()
    }

    fn shape() -> Shape {
        Shape {
            scored: Duration::from_secs(6 * 3_600),
            warm_up: Duration::from_secs(6 * 3_600),
            peak_replicas: None,
            per_replica: 80.0,
            capacity: 100.0,
            dispersion: 0.0,
            seed: 1,
        }
    }

    #[test]
    fn the_time_before_is_known_by_the_minute_as_it_would_have_been_measured() {
        let mut values: Vec<f64> = (0..144).map(|i| 500.0 + f64::from(i)).collect();
        values[20..30].fill(f64::NAN);
        let grained = |dispersion: f64| {
            let load = Load::new(&recording(values.clone()), &Shape { dispersion, ..shape() }).unwrap();
            assert_eq!(load.earlier().end(), load.start());
            load.earlier().clone()
        };
        let (plain, grained) = (grained(0.0), grained(1.0));
        let minutes = |earlier: &Series, slot: usize| -> Vec<Option<f64>> {
            let first = earlier.len() - (60 - slot) * 5;
            (first..first + 5).map(|minute| earlier.get(minute)).collect()
        };
        assert_eq!(minutes(&plain, 25), vec![None; 5]);
        let mean = minutes(&plain, 40).iter().flatten().sum::<f64>() / 5.0;
        assert!((mean - 540.0).abs() < 0.1, "{mean}");
        let differ = |m: usize| plain.get(m).zip(grained.get(m)).is_some_and(|(a, b)| (a - b).abs() > 0.1);
        assert!((0..plain.len()).filter(|m| differ(*m)).count() > plain.len() / 2);
    }

    #[test]
    fn no_load_is_lost_between_slots_and_seconds() {
        let values: Vec<f64> = (0..144).map(|i| if i % 12 == 0 { 900.0 } else { f64::from(i) }).collect();
        let load = Load::new(&recording(values.clone()), &shape()).unwrap();
        let first = 144 - load.seconds() / 300;
        for slot in 1..load.seconds() / 300 - 1 {
            let mean =
                load.arrivals()[slot * 300..(slot + 1) * 300].iter().map(|v| f64::from(*v)).sum::<f64>()
                    / 300.0;
            assert!(
                (mean - values[first + slot]).abs() < 0.01 * values[first + slot].max(1.0),
                "slot {slot}: {mean}"
            );
        }
    }

    #[test]
    fn the_peak_is_scaled_to_the_wanted_replicas() {
        let values: Vec<f64> = (0..144).map(|i| 5.0 + f64::from(i % 7)).collect();
        let load = Load::new(&recording(values), &Shape { peak_replicas: Some(50.0), ..shape() }).unwrap();
        let top = load.history().raw().iter().copied().fold(0.0, f64::max);
        assert!((top - 4_000.0).abs() < 1.0, "{top}");
    }

    #[test]
    fn long_gaps_are_masked_and_short_ones_bridged() {
        let mut values = vec![100.0; 144];
        values[120] = f64::NAN;
        values[130..138].fill(f64::NAN);
        let load = Load::new(&recording(values), &shape()).unwrap();
        let second = |slot: usize| slot * 300 - (144 * 300 - load.seconds());
        assert!(!load.masked(second(120)));
        assert!(load.masked(second(132)));
        assert!((load.arrivals()[second(120) + 150] - 100.0).abs() < 1e-3);
    }

    #[test]
    fn arrivals_are_the_same_for_the_same_seed_and_grainy() {
        let make = |seed| {
            Load::new(&recording(vec![400.0; 144]), &Shape { dispersion: 1.0, seed, ..shape() })
                .unwrap()
                .arrivals()
                .to_vec()
        };
        assert_eq!(make(3), make(3));
        assert_ne!(make(3), make(4));
    }

    #[test]
    fn of_several_metrics_the_most_demanding_counts() {
        let rising: Vec<f64> = (0..144).map(|i| 80.0 + f64::from(i)).collect();
        // Of the second a replica carries a tenth; it is a slot late, and needs more until the first has risen.
        let level: Vec<f64> = (0..143).map(|i| if i == 140 { f64::NAN } else { 16.0 }).collect();
        let later =
            Series::new(Timestamp::from_second(300).unwrap(), Duration::from_secs(300), level).unwrap();
        let load = Load::of_metrics(&[(recording(rising), 80.0), (later, 8.0)], &shape()).unwrap();
        let known = load.history();
        assert_eq!(known.get(0), Some(160.0), "two replicas for the second");
        assert_eq!(load.parts()[1].history().get(0), Some(16.0));
        let last = load.recorded()[load.seconds() - 200];
        assert!((f64::from(last) - 223.0).abs() < 1.5, "{last}: the first needs more now");
        let shared = Load::of_metrics(&[(recording(vec![1.0; 144]), 80.0)], &shape()).unwrap();
        assert!(shared.parts().is_empty());
        let far =
            Series::new(Timestamp::from_second(1 << 30).unwrap(), Duration::from_secs(300), vec![1.0; 144]);
        let apart = Load::of_metrics(&[(recording(vec![1.0; 144]), 80.0), (far.unwrap(), 8.0)], &shape());
        assert_eq!(apart.unwrap_err(), LoadError::Apart);
    }

    #[test]
    fn silence_and_snippets_are_refused() {
        assert_eq!(Load::new(&recording(vec![0.0; 144]), &shape()).unwrap_err(), LoadError::Silent);
        assert_eq!(
            Load::new(&recording(vec![1.0; 24]), &shape()).unwrap_err(),
            LoadError::Short { hours: 2 }
        );
    }
}
