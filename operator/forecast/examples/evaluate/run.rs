//! One series: walk over it slot by slot, ask at the origins, keep what was said and what came.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use forecast::{Forecaster, Settings};
use indicatif::ProgressBar;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use series::Series;

use crate::Args;
use crate::data::{Input, Origins};

/// Quantile levels that are scored.
pub(crate) const LEVELS: [f64; 4] = [0.5, 0.9, 0.95, 0.99];
/// The models, in the order of [`Said::models`].
pub(crate) const MODELS: [&str; 4] = ["foresail", "last-value", "seasonal-naive-day", "seasonal-naive-week"];

/// What was said at one origin of one horizon, and what came.
pub(crate) struct Said {
    pub(crate) origin: Timestamp,
    pub(crate) ahead: Duration,
    /// NaN where nothing was measured then.
    pub(crate) actual: f64,
    /// Quantiles of each model.
    pub(crate) models: Vec<[f64; LEVELS.len()]>,
    /// Whether the forecast would have been refused at this origin.
    pub(crate) refused: bool,
}

/// Everything about one series.
pub(crate) struct Outcome {
    pub(crate) name: String,
    pub(crate) said: Vec<Said>,
    /// Mean absolute difference to the day before, over the whole series.
    pub(crate) scale: f64,
    pub(crate) cost: Cost,
    /// What was asked for and couldn't be done.
    pub(crate) notes: Vec<String>,
}

/// What it took.
#[derive(Default)]
pub(crate) struct Cost {
    pub(crate) fits: Spent,
    pub(crate) updates: Spent,
    pub(crate) predictions: Spent,
}

/// How long something took, each time.
#[derive(Default, Clone)]
pub(crate) struct Spent(Vec<Duration>);

impl Spent {
    pub(crate) fn add(&mut self, since: Instant) {
        self.0.push(since.elapsed());
    }

    pub(crate) fn join(mut self, other: &Self) -> Self {
        self.0.extend(&other.0);
        self
    }

    /// The median in seconds: what else runs on the machine shows in the mean.
    pub(crate) fn median(mut self) -> f64 {
        if self.0.is_empty() {
            return 0.0;
        }
        let middle = self.0.len() / 2;
        self.0.select_nth_unstable(middle).1.as_secs_f64()
    }
}

/// Evaluates one series.
pub(crate) fn series(
    input: &Input,
    wanted: Option<&Origins>,
    args: &Args,
    zone: &TimeZone,
    bar: &ProgressBar,
) -> Outcome {
    let series = &input.series;
    let step = series.step();
    let horizon = args.horizons.iter().copied().max().unwrap_or(step).max(step);
    let settings =
        Settings { step, horizon, levels: LEVELS.to_vec(), time_zone: zone.clone(), ..Settings::default() };
    let mut notes = Vec::new();
    let steps = horizons(args, step, &mut notes);
    let chosen = match wanted {
        Some(wanted) => find(input, wanted, &mut notes),
        None => choose(series, &steps, args.count as usize),
    };
    let day = (86_400 / step.as_secs()).max(1) as usize;
    let refit = (args.refit.as_secs() / step.as_secs()).max(1) as usize;
    let mut forecaster = Forecaster::new(settings);
    for member in &args.leave_out {
        if !forecaster.leave_out(member) {
            notes.push(format!("there is no member {member} to leave out"));
        }
    }
    let mut naive: Vec<Naive> = steps.iter().map(|h| Naive::new(*h, day)).collect();
    let mut cost = Cost::default();
    let mut said = Vec::new();
    for i in 0..series.len() {
        let begin = series.time_of(i);
        let started = Instant::now();
        forecaster.observe_slot(begin, series.get(i));
        cost.updates.add(started);
        for baseline in &mut naive {
            baseline.observe(series, i);
        }
        if ((i + 1) % refit == 0 || forecaster.refit_is_due()) && i + 1 >= day {
            let started = Instant::now();
            forecaster.refit();
            cost.fits.add(started);
        }
        if let Some(origin) = chosen.get(&i) {
            let place = Place { series, i, origin: *origin };
            ask(&forecaster, &place, &steps, &naive, &mut cost, &mut said);
        }
        bar.inc(1);
    }
    let differences: Vec<f64> =
        (day..series.len()).filter_map(|i| Some((series.get(i)? - series.get(i - day)?).abs())).collect();
    let scale = differences.iter().sum::<f64>() / differences.len().max(1) as f64;
    Outcome { name: input.name.clone(), said, scale, cost, notes }
}

/// The horizons in steps, rising; those that aren't a number of whole steps are left out.
fn horizons(args: &Args, step: Duration, notes: &mut Vec<String>) -> Vec<usize> {
    let whole = |h: &Duration| h.as_secs().is_multiple_of(step.as_secs());
    for odd in args.horizons.iter().filter(|h| !whole(h)) {
        notes.push(format!(
            "no forecasts {} s ahead: its rows are {} s apart",
            odd.as_secs(),
            step.as_secs()
        ));
    }
    let mut steps: Vec<usize> =
        args.horizons.iter().filter(|h| whole(h)).map(|h| (h.as_secs() / step.as_secs()) as usize).collect();
    steps.sort_unstable();
    steps.dedup();
    steps
}

/// The rows of the wanted origins, with the origin as it was given.
fn find(input: &Input, wanted: &Origins, notes: &mut Vec<String>) -> BTreeMap<usize, Timestamp> {
    let mut found = BTreeMap::new();
    let (mut outside, mut between) = (Vec::new(), Vec::new());
    for origin in wanted {
        match input.series.index_of(*origin) {
            None => outside.push(origin),
            // A row that is averaged over what came after the origin would tell what is to be forecast.
            Some(i) if *origin != input.series.time_of(i) && input.newest[i] > origin.as_second() => {
                between.push(origin);
            }
            Some(i) => {
                found.insert(i, *origin);
            }
        }
    }
    if let Some(first) = outside.first() {
        notes.push(format!("{} origins aren't within its rows, such as {first}", outside.len()));
    }
    if let Some(first) = between.first() {
        let step = input.series.step().as_secs();
        notes.push(format!(
            "{} origins lie inside a step of {step} s, such as {first}: give the time at which a step begins",
            between.len()
        ));
    }
    found
}

/// Evenly spaced rows after a week or 60 % of the series.
fn choose(series: &Series, steps: &[usize], count: usize) -> BTreeMap<usize, Timestamp> {
    let n = series.len();
    let day = (86_400 / series.step().as_secs()).max(1) as usize;
    let from = (7 * day).min(n * 6 / 10);
    let to = n.saturating_sub(steps.iter().copied().max().unwrap_or(1) + 1);
    let span = to.saturating_sub(from) as f64;
    (0..count)
        .map(|k| from + (span * k as f64 / (count - 1) as f64) as usize)
        .filter(|i| *i < n && (i.saturating_sub(6)..=*i).filter(|j| series.get(*j).is_some()).count() >= 4)
        .map(|i| (i, series.time_of(i)))
        .collect()
}

/// Where a forecast is asked for.
struct Place<'a> {
    series: &'a Series,
    /// The newest row that may be seen, and its time as given.
    i: usize,
    origin: Timestamp,
}

fn ask(
    forecaster: &Forecaster,
    place: &Place<'_>,
    steps: &[usize],
    naive: &[Naive],
    cost: &mut Cost,
    said: &mut Vec<Said>,
) {
    let Place { series, i, origin } = *place;
    let next = series.time_of(i + 1);
    let started = Instant::now();
    let forecast = forecaster.estimate(next);
    cost.predictions.add(started);
    let Ok(forecast) = forecast else { return };
    let refused = forecaster.predict(next).is_err();
    for (h, naive) in steps.iter().zip(naive) {
        let actual = series.get(i + h).unwrap_or(f64::NAN);
        let mut models = vec![LEVELS.map(|l| forecast.quantile(h - 1, l).unwrap_or(f64::NAN))];
        models.extend(naive.quantiles(series, i));
        said.push(Said { origin, ahead: series.step() * *h as u32, actual, models, refused });
    }
}

/// The naive baselines at one horizon, with quantiles from their own errors of the last two weeks.
struct Naive {
    ahead: usize,
    day: usize,
    /// Errors in order of time and in order of size, of each baseline.
    errors: [(VecDeque<f64>, Vec<f64>); 3],
}

impl Naive {
    fn new(ahead: usize, day: usize) -> Self {
        Self { ahead, day, errors: Default::default() }
    }

    /// Last value, and the same time of the latest known day and week.
    fn centers(&self, series: &Series, i: usize) -> [f64; 3] {
        let last = (0..=i).rev().take(2 * self.day).find_map(|j| series.get(j)).unwrap_or(0.0);
        let back = |season: usize| {
            let season = season * self.ahead.div_ceil(season);
            (i + self.ahead).checked_sub(season).and_then(|j| series.get(j))
        };
        let day = back(self.day).unwrap_or(last);
        [last, day, back(7 * self.day).unwrap_or(day)]
    }

    fn observe(&mut self, series: &Series, i: usize) {
        let (Some(actual), Some(then)) = (series.get(i), i.checked_sub(self.ahead)) else { return };
        let centers = self.centers(series, then);
        for ((order, sorted), center) in self.errors.iter_mut().zip(centers) {
            let error = actual - center;
            sorted.insert(sorted.partition_point(|e| *e < error), error);
            order.push_back(error);
            if order.len() > 14 * self.day
                && let Some(old) = order.pop_front()
            {
                sorted.remove(sorted.partition_point(|e| *e < old));
            }
        }
    }

    fn quantiles(&self, series: &Series, i: usize) -> Vec<[f64; LEVELS.len()]> {
        let centers = self.centers(series, i);
        self.errors
            .iter()
            .zip(centers)
            .map(|((_, sorted), center)| {
                LEVELS.map(|l| {
                    // The median is the naive forecast itself.
                    if l == 0.5 || sorted.is_empty() {
                        return center;
                    }
                    let at = ((sorted.len() as f64 * l).ceil() as usize).clamp(1, sorted.len()) - 1;
                    (center + sorted[at]).max(0.0)
                })
            })
            .collect()
    }
}
