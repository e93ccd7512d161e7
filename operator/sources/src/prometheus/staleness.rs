//! How much of what a query counts was really measured. The selectors of the user's query go in and become queries
//! about themselves; their answers come back as ages, holes and lost series. Pure, and knows nothing of loads.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use prometheus_http_query::response::Data;
use promql_parser::parser::{self, Expr, VectorSelector};
use series::{Absence, AbsenceReason, Reading, Sample};

use super::response;
use crate::Freshness;

/// A window of which less than this share was measured says nothing. From here on its coverage goes with the value, and
/// the decision knows what to do with less than all of it.
const LEAST_COVERAGE: f64 = 0.5;
/// Fewer series than this share of the most there were in the window: looked into.
const VANISHED_SHARE: f64 = 0.5;
/// Where the value fell below this share together with the series, measurement was lost. Where it stayed, the
/// workload was scaled down.
pub(super) const FALLEN_WITH_SERIES: f64 = 0.75;
/// Two measurements further apart than this many usual distances leave a hole.
const HOLE: f64 = 2.5;
/// Queries with more selectors than this are judged by their first ones.
const MOST_SELECTORS: usize = 4;
/// The label that tells the parts of one query apart.
const PART: &str = "foresail_part";

/// The selectors whose samples decide how old and how complete a query's answer is.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SelectorProbe {
    selectors: Vec<ProbedSelector>,
}

#[derive(Clone, Debug, PartialEq)]
struct ProbedSelector {
    /// The selector without range and offset, as PromQL.
    text: String,
    /// How far back the query looks at it; zero for an instant selector.
    window: Duration,
}

/// The newest measurement of one selector.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Newest {
    selector: usize,
    at: Timestamp,
}

/// What a look at the window found, where nothing is missing.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Findings {
    /// The usual distance of measurements, per selector; `None` where too few were seen.
    pub(super) spacings: Vec<Option<Duration>>,
    /// Far fewer series than there were.
    pub(super) vanished: Option<Vanished>,
    /// The share of the window that was measured, of the selector with the least.
    pub(super) coverage: f64,
}

impl Default for Findings {
    fn default() -> Self {
        Self { spacings: Vec::new(), vanished: None, coverage: 1.0 }
    }
}

/// A fall in the number of series.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Vanished {
    pub(super) peak_at: Timestamp,
    selector: String,
    before: f64,
    now: f64,
}

impl Vanished {
    pub(super) fn absence(&self) -> Absence {
        Absence::new(
            AbsenceReason::SeriesVanished,
            format!(
                "{} of {} series of {} are left since {}, and the value fell with them; are all pods scraped?",
                self.now, self.before, self.selector, self.peak_at
            ),
        )
    }
}

impl SelectorProbe {
    /// The selectors of a query. `None` where it has none that tell about now (only constants, offsets, `absent()`)
    /// or where it isn't plain PromQL; the server has the last word on that.
    pub(super) fn over(query: &str) -> Option<Self> {
        let mut selectors = Vec::new();
        collect(&parser::parse(query).ok()?, Duration::ZERO, &mut selectors);
        selectors.dedup();
        selectors.truncate(MOST_SELECTORS);
        let probe = Self { selectors };
        let sound = !probe.selectors.is_empty() && parser::parse(&probe.coverage_query()).is_ok();
        sound.then_some(probe)
    }

    /// The newest measurement of each selector, as one instant query.
    pub(super) fn newest_query(&self) -> String {
        let parts: Vec<_> = self.selectors.iter().enumerate().map(|(i, w)| newest_part(i, w)).collect();
        parts.join(" or ")
    }

    /// Newest measurement and number of series of each selector, to be asked over [`SelectorProbe::span`].
    pub(super) fn coverage_query(&self) -> String {
        let parts: Vec<_> = self
            .selectors
            .iter()
            .enumerate()
            .map(|(i, w)| {
                let count = format!(r#"label_replace(count({}), "{PART}", "count-{i}", "", "")"#, w.text);
                format!("{} or {count}", newest_part(i, w))
            })
            .collect();
        parts.join(" or ")
    }

    /// How far back to look: twice the longest window, 10 minutes to 2 hours.
    pub(super) fn span(&self) -> Duration {
        let longest = self.selectors.iter().map(|w| w.window).max().unwrap_or_default();
        (longest * 2).clamp(Duration::from_mins(10), Duration::from_hours(2))
    }

    /// The step to look with: fine enough to see single scrapes, at most 120 points.
    pub(super) fn resolution(&self) -> Duration {
        Duration::from_secs((self.span().as_secs() / 120).max(5))
    }
}

fn newest_part(index: usize, selector: &ProbedSelector) -> String {
    format!(r#"label_replace(max(timestamp({})), "{PART}", "newest-{index}", "", "")"#, selector.text)
}

fn collect(expr: &Expr, window: Duration, into: &mut Vec<ProbedSelector>) {
    match expr {
        Expr::VectorSelector(selector) => keep(selector, window, into),
        Expr::MatrixSelector(matrix) => keep(&matrix.vs, window + matrix.range, into),
        Expr::Subquery(subquery) if subquery.offset.is_none() && subquery.at.is_none() => {
            collect(&subquery.expr, window + subquery.range, into);
        }
        // `absent` and its kin are about series that aren't there.
        Expr::Call(call) if call.func.name.starts_with("absent") => {}
        Expr::Call(call) => call.args.args.iter().for_each(|arg| collect(arg, window, into)),
        Expr::Aggregate(aggregate) => collect(&aggregate.expr, window, into),
        Expr::Binary(binary) => {
            collect(&binary.lhs, window, into);
            collect(&binary.rhs, window, into);
        }
        Expr::Unary(unary) => collect(&unary.expr, window, into),
        Expr::Paren(paren) => collect(&paren.expr, window, into),
        _ => {}
    }
}

/// Selectors with an offset or `@` look at another time on purpose.
fn keep(selector: &VectorSelector, window: Duration, into: &mut Vec<ProbedSelector>) {
    if selector.offset.is_none() && selector.at.is_none() {
        into.push(ProbedSelector { text: selector.to_string(), window });
    }
}

/// Reads the answer to [`SelectorProbe::newest_query`].
pub(super) fn newest(probe: &SelectorProbe, data: Data) -> Result<Vec<Newest>, Absence> {
    let Data::Vector(vector) = data else {
        return Err(Absence::new(
            AbsenceReason::InvalidAnswer,
            "an instant query wasn't answered with a vector",
        ));
    };
    let found = vector.iter().filter_map(|series| {
        let part = series.metric().get(PART)?.strip_prefix("newest-")?;
        let selector = part.parse::<usize>().ok().filter(|i| *i < probe.selectors.len())?;
        Some(Newest { selector, at: response::timestamp(series.sample().value())? })
    });
    Ok(found.collect())
}

/// Reads the answer to [`SelectorProbe::coverage_query`]: refuses windows with too little in them, finds the usual distance
/// of measurements and any fall in the number of series.
pub(super) fn judge(probe: &SelectorProbe, data: Data, now: Timestamp) -> Result<Findings, Absence> {
    let mut rows: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
    for series in response::matrix(data)? {
        let (metric, samples) = series.into_inner();
        if let Some(part) = metric.get(PART) {
            rows.insert(part.clone(), samples.iter().map(|s| (s.timestamp(), s.value())).collect());
        }
    }
    let mut findings = Findings::default();
    for (i, selector) in probe.selectors.iter().enumerate() {
        let newest = rows.get(&format!("newest-{i}")).map_or(&[][..], Vec::as_slice);
        let measured = distinct(newest);
        let spacing = usual_distance(&measured);
        findings.coverage = findings.coverage.min(coverage(selector, &measured, spacing, now)?);
        findings.spacings.push(spacing.map(Duration::from_secs_f64));
        let counts = rows.get(&format!("count-{i}")).map_or(&[][..], Vec::as_slice);
        findings.vanished = findings.vanished.or_else(|| fallen(selector, counts));
    }
    Ok(findings)
}

/// Gives the value its true time and sorts it into fresh, stale or absent. `value` carries the time of asking, by
/// the server's clock.
pub(super) fn date(
    value: Sample,
    newest: &[Newest],
    spacings: &[Option<Duration>],
    now: Timestamp,
    freshness: Freshness,
) -> Reading {
    if let Reading::Absent(absence) = Reading::judge(value, now, Duration::MAX, freshness.max_skew) {
        return Reading::Absent(absence);
    }
    let mut measured: Option<Timestamp> = None;
    for newest in newest {
        let spacing = spacings.get(newest.selector).copied().flatten().unwrap_or_default();
        let allowed = freshness.max_age.max(spacing.mul_f64(HOLE));
        let sample = Sample::new(newest.at, value.value()).unwrap_or(value);
        match Reading::judge(sample, now, allowed, freshness.max_skew) {
            Reading::Fresh(_) => measured = measured.max(Some(newest.at)),
            other => return other,
        }
    }
    match measured.and_then(|at| Sample::new(at, value.value())) {
        Some(sample) => Reading::Fresh(sample),
        None => Reading::judge(value, now, freshness.max_age, freshness.max_skew),
    }
}

/// The times something was measured at: `timestamp()` repeats until the next scrape.
fn distinct(newest: &[(f64, f64)]) -> Vec<f64> {
    let mut times: Vec<f64> = newest.iter().map(|(_, measured)| *measured).collect();
    times.dedup();
    times
}

/// The median distance of neighbors, where there are enough of them to tell.
fn usual_distance(times: &[f64]) -> Option<f64> {
    let mut distances: Vec<f64> = times.windows(2).map(|w| w[1] - w[0]).filter(|d| *d > 0.0).collect();
    if distances.len() < 3 {
        return None;
    }
    distances.sort_by(f64::total_cmp);
    Some(distances[distances.len() / 2])
}

/// The share of a selector's window that was measured; refused where that is so little that the value says nothing.
fn coverage(
    selector: &ProbedSelector,
    measured: &[f64],
    spacing: Option<f64>,
    now: Timestamp,
) -> Result<f64, Absence> {
    if selector.window.is_zero() {
        return Ok(1.0);
    }
    let now = now.as_millisecond() as f64 / 1_000.0;
    let window = selector.window.as_secs_f64();
    let coverage = 1.0 - missing(measured, spacing, now, window) / window;
    if coverage >= LEAST_COVERAGE {
        return Ok(coverage);
    }
    Err(Absence::new(
        AbsenceReason::HalfFilled,
        format!(
            "only {:.0}% of the last {window}s of {} were measured, so the value is too low; it fills up by itself",
            coverage.max(0.0) * 100.0,
            selector.text
        ),
    ))
}

/// How many seconds of the window before `now` weren't measured.
fn missing(measured: &[f64], spacing: Option<f64>, now: f64, window: f64) -> f64 {
    let begin = now - window;
    let Some(spacing) = spacing else {
        // Too few measurements to tell their distance: what lies before the first of them wasn't measured.
        return measured.first().map_or(window, |first| first - begin).clamp(0.0, window);
    };
    let mut missing = 0.0;
    let mut previous = f64::NEG_INFINITY;
    for next in measured.iter().copied().chain([now]) {
        // Of a hole, all but one usual distance is missing; what lies before the window doesn't count.
        if next - previous > HOLE * spacing {
            missing += (next - (previous + spacing).max(begin)).max(0.0);
        }
        previous = next;
    }
    missing
}

fn fallen(selector: &ProbedSelector, counts: &[(f64, f64)]) -> Option<Vanished> {
    let (_, now) = *counts.last()?;
    // The earliest of equal peaks: series that end without a marker linger for Prometheus' look-back of five minutes.
    let (peak_at, before) = *counts.iter().rev().max_by(|a, b| a.1.total_cmp(&b.1))?;
    (now < before * VANISHED_SHARE).then_some(())?;
    Some(Vanished { peak_at: response::timestamp(peak_at)?, selector: selector.text.clone(), before, now })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 100_000;

    fn now() -> Timestamp {
        Timestamp::from_second(NOW).unwrap()
    }

    fn probe(query: &str) -> SelectorProbe {
        SelectorProbe::over(query).unwrap()
    }

    fn matrix(parts: &[(&str, Vec<(i64, f64)>)]) -> Data {
        let series: Vec<_> = parts
            .iter()
            .map(|(part, points)| {
                let values: Vec<_> =
                    points.iter().map(|(t, v)| serde_json::json!([t, v.to_string()])).collect();
                serde_json::json!({"metric": {PART: part}, "values": values})
            })
            .collect();
        let result = serde_json::json!({"resultType": "matrix", "result": series});
        serde_json::from_value::<prometheus_http_query::response::PromqlResult>(result)
            .unwrap()
            .into_inner()
            .0
    }

    /// `timestamp()` as a range query sees it, every 5 s, when scraped every 15 s at the given times.
    fn scraped(times: &[i64]) -> Vec<(i64, f64)> {
        (NOW - 600..=NOW)
            .step_by(5)
            .filter_map(|t| {
                let newest = times.iter().filter(|s| **s <= t && **s > t - 300).max()?;
                Some((t, *newest as f64))
            })
            .collect()
    }

    fn every(spacing: usize, from: i64, to: i64) -> Vec<i64> {
        (NOW + from..=NOW + to).step_by(spacing).collect()
    }

    #[test]
    fn selectors_are_found_with_their_windows_and_offsets_left_out() {
        let found = probe(
            r#"sum(rate(http_requests_total{app="web",code=~"5.."}[2m])) / avg_over_time(sum(up)[10m:30s])
               + sum(rate(http_requests_total[5m] offset 1w)) or vector(0)"#,
        );
        let selectors: Vec<_> =
            found.selectors.iter().map(|w| (w.text.as_str(), w.window.as_secs())).collect();
        assert_eq!(selectors, [(r#"http_requests_total{app="web",code=~"5.."}"#, 120), ("up", 600)]);
        assert_eq!(found.span(), Duration::from_mins(20));
    }

    #[test]
    fn queries_without_selectors_are_not_probed() {
        assert_eq!(SelectorProbe::over("vector(1)"), None);
        assert_eq!(SelectorProbe::over("absent(up)"), None);
        assert_eq!(SelectorProbe::over("not promql ("), None);
        assert_eq!(SelectorProbe::over("sum(rate(x[5m] offset 1d))"), None);
    }

    #[test]
    fn label_values_with_quotes_and_backslashes_stay_promql() {
        for query in [r#"sum(x{path="a\"b"})"#, r#"sum(x{path=~"a\\.b"})"#] {
            if let Some(probe) = SelectorProbe::over(query) {
                assert!(parser::parse(&probe.coverage_query()).is_ok(), "{}", probe.coverage_query());
            }
        }
    }

    #[test]
    fn a_steady_window_is_complete_and_its_spacing_known() {
        let probe = probe("sum(rate(x[2m]))");
        let data = matrix(&[("newest-0", scraped(&every(15, -600, 0)))]);
        let findings = judge(&probe, data, now()).unwrap();
        assert_eq!(findings.spacings, [Some(Duration::from_secs(15))]);
        assert_eq!(findings.vanished, None);
    }

    #[test]
    fn a_window_that_is_half_empty_after_an_outage_is_absent() {
        let probe = probe("sum(rate(x[5m]))");
        let mut times = every(15, -600, -420);
        times.extend(every(15, -60, 0));
        let absence = judge(&probe, matrix(&[("newest-0", scraped(&times))]), now()).unwrap_err();
        assert_eq!(absence.reason, AbsenceReason::HalfFilled);
        assert!(absence.message.contains('%'), "{absence}");
    }

    #[test]
    fn a_series_that_began_a_moment_ago_is_half_filled_and_one_missed_scrape_is_not() {
        let probe = probe("sum(rate(x[2m]))");
        let young = matrix(&[("newest-0", scraped(&every(15, -50, 0)))]);
        assert_eq!(judge(&probe, young, now()).unwrap_err().reason, AbsenceReason::HalfFilled);
        let mut times = every(15, -600, 0);
        times.retain(|t| *t != NOW - 60);
        let one_missed = judge(&probe, matrix(&[("newest-0", scraped(&times))]), now()).unwrap();
        assert_eq!(one_missed.coverage, 1.0);
        times.retain(|t| !(NOW - 100..NOW - 50).contains(t));
        let hole = judge(&probe, matrix(&[("newest-0", scraped(&times))]), now()).unwrap();
        assert!((0.5..0.7).contains(&hole.coverage), "{}", hole.coverage);
    }

    #[test]
    fn two_scrapes_of_a_young_target_do_not_fill_a_window() {
        let probe = probe("sum(rate(x[2m]))");
        let young = matrix(&[("newest-0", scraped(&every(15, -15, 0)))]);
        assert_eq!(judge(&probe, young, now()).unwrap_err().reason, AbsenceReason::HalfFilled);
        let slow = matrix(&[("newest-0", scraped(&[NOW - 500, NOW - 200]))]);
        assert!(judge(&probe, slow, now()).is_ok());
    }

    #[test]
    fn an_instant_selector_has_no_window_to_fill() {
        let probe = probe("sum(queue_depth)");
        let data = matrix(&[("newest-0", scraped(&every(15, -50, 0)))]);
        assert!(judge(&probe, data, now()).is_ok());
    }

    #[test]
    fn a_fall_in_the_number_of_series_is_reported_with_its_peak() {
        let probe = probe("sum(queue_depth)");
        let counts = vec![(NOW - 600, 8.0), (NOW - 300, 10.0), (NOW, 4.0)];
        let data = matrix(&[("newest-0", scraped(&every(15, -600, 0))), ("count-0", counts)]);
        let vanished = judge(&probe, data, now()).unwrap().vanished.unwrap();
        assert_eq!(vanished.peak_at, Timestamp::from_second(NOW - 300).unwrap());
        assert_eq!(vanished.absence().reason, AbsenceReason::SeriesVanished);
        let half = matrix(&[("count-0", vec![(NOW - 300, 10.0), (NOW, 5.0)])]);
        assert_eq!(judge(&probe, half, now()).unwrap().vanished, None);
    }

    fn sample(second: i64) -> Sample {
        Sample::new(Timestamp::from_second(second).unwrap(), 7.0).unwrap()
    }

    fn newest_at(second: i64) -> Newest {
        Newest { selector: 0, at: Timestamp::from_second(second).unwrap() }
    }

    #[test]
    fn a_value_takes_the_time_of_its_newest_measurement() {
        let reading = date(sample(NOW), &[newest_at(NOW - 20)], &[None], now(), Freshness::default());
        assert_eq!(reading, Reading::Fresh(sample(NOW - 20)));
    }

    #[test]
    fn a_series_that_is_no_longer_measured_is_stale_though_the_query_still_answers() {
        let reading = date(sample(NOW), &[newest_at(NOW - 200)], &[None], now(), Freshness::default());
        assert!(matches!(reading, Reading::Stale { age, .. } if age.as_secs() == 200));
    }

    #[test]
    fn a_slow_scrape_is_allowed_its_own_pace() {
        let pace = [Some(Duration::from_mins(2))];
        let reading = date(sample(NOW), &[newest_at(NOW - 200)], &pace, now(), Freshness::default());
        assert_eq!(reading, Reading::Fresh(sample(NOW - 200)));
    }

    #[test]
    fn a_server_whose_clock_is_ahead_is_not_believed() {
        let reading = date(sample(NOW + 31), &[], &[], now(), Freshness::default());
        assert_eq!(reading.absence().unwrap().reason, AbsenceReason::Future);
    }

    #[test]
    fn a_server_whose_clock_is_behind_gives_stale_values() {
        let reading = date(sample(NOW - 600), &[newest_at(NOW - 610)], &[None], now(), Freshness::default());
        assert!(matches!(reading, Reading::Stale { .. }));
    }
}
