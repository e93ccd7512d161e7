//! Rates from counters that only rise, but start again at zero when their process does.

use series::{Sample, time};

/// The rate per second between neighboring samples of a counter, each at the time of the later one. Where the counter
/// fell, its process was restarted: what happened in between isn't known, and there is no rate. Samples must be in
/// order of time; those that aren't are left out.
///
/// ```
/// use forecast::rates;
/// use series::Sample;
///
/// let at = |s| jiff::Timestamp::from_second(s).unwrap();
/// let samples: Vec<Sample> =
///     [(0, 100.0), (10, 150.0), (20, 5.0), (30, 25.0)].into_iter().filter_map(|(s, v)| Sample::new(at(s), v)).collect();
/// let rates: Vec<(i64, f64)> = rates(&samples).iter().map(|s| (s.time().as_second(), s.value())).collect();
/// assert_eq!(rates, [(10, 5.0), (30, 2.0)]); // none across the restart
/// ```
pub fn rates(counter: &[Sample]) -> Vec<Sample> {
    let pairs = counter.windows(2).filter(|w| w[1].time() > w[0].time() && w[1].value() >= w[0].value());
    pairs
        .filter_map(|w| {
            let seconds = time::since(w[1].time(), w[0].time()).as_secs_f64();
            Sample::new(w[1].time(), (w[1].value() - w[0].value()) / seconds)
        })
        .collect()
}
