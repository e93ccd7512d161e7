//! The report as people see it, kept line by line. The numbers are those of policies that don't forecast, so that a
//! better model doesn't change this file; what forecasts do is scored elsewhere.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use backtest::report::{Paint, html, table};
use backtest::{Comparison, Contender, Setup, compare};
use decide::{ForecastUse, Policy};
use jiff::Timestamp;
use series::Series;

fn comparison() -> Comparison {
    let value = |i: u32| {
        let t = f64::from(i) / 288.0;
        1_500.0 - 1_200.0 * (std::f64::consts::TAU * t).cos() + if i % 288 == 150 { 700.0 } else { 0.0 }
    };
    let start = Timestamp::from_second(1_767_571_200).unwrap();
    let recording = Series::new(start, Duration::from_secs(300), (0..3 * 288).map(value).collect()).unwrap();
    let policy = Policy { forecast: ForecastUse::Off, ..Policy::simple(1, 200, 80.0) };
    let mut setup = Setup::new(policy, Duration::from_secs(60), 11);
    setup.scored = Duration::from_secs(86_400);
    setup.clairvoyant = true;
    setup.contenders = vec![
        Contender::Hpa(50),
        Contender::Hpa(70),
        Contender::Hpa(80),
        Contender::Keda(70),
        Contender::StaticPeak,
    ];
    let load = setup.load(&recording).unwrap();
    let issued = setup.forecasts(&load);
    compare(&setup, &load, &issued, &|_| {})
}

#[test]
fn the_table_reads_as_it_did() {
    insta::assert_snapshot!(table(&comparison(), Paint { color: false, price: Some(0.05) }));
}

#[test]
fn the_page_is_one_file_that_loads_nothing() {
    let page = html(&comparison(), "checkout <web>", Some(0.05));
    assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
    assert!(page.contains("checkout &lt;web&gt;") && !page.contains("checkout <web>"));
    for outside in ["http://", "https://", "src=", "@import", "url("] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
    assert!(page.contains("prefers-color-scheme: dark"));
}

#[test]
fn the_json_names_every_run_and_its_numbers() {
    let json = serde_json::to_value(comparison()).unwrap();
    let rows = json["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 6);
    for field in ["name", "kind", "violation_percent", "replica_hours", "over_oracle", "over_tuned_hpa"] {
        assert!(rows.iter().all(|r| r.get(field).is_some()), "{field}");
    }
}
