//! Stories of load that jumps, vanishes or climbs as it does each morning.

use std::fmt::Write as _;
use std::time::Duration;

use decide::Observation;
use jiff::Timestamp;
use series::{Forecast, time};

use crate::stage::{Scene, flat_forecast, trusted, web};

#[test]
fn netflix_an_unexplained_drop_keeps_the_replicas() {
    let mut s = Scene::open(
        "Traffic that an outage keeps away",
        "Netflix on Scryer: an outage in front drops traffic, reactive scaling removes capacity, and everybody's retries
         meet what is left. Here a load far below everything foreseen holds the forecast's median for an hour.",
        web(),
        30,
    );
    let foreseen = |s: &Scene, value: f64| {
        let mut metric = s.load(value);
        metric.forecast = Ok(flat_forecast(s.now, 2_400.0, 2_700.0, 3_000.0));
        Observation { selected: trusted(), ..s.seen(vec![metric]) }
    };
    s.watch(12, |s| foreseen(s, 2_700.0));
    s.say("A load balancer in front fails: a tenth of the traffic arrives");
    s.watch(30, |s| foreseen(s, 270.0));
    assert!(s.spec >= 27, "{}", s.text);
    s.say("It is repaired, and everybody comes back at once");
    s.watch(2, |s| foreseen(s, 3_000.0));
    assert!(s.spec >= 30);
    s.close("unexplained-drop");
}

#[test]
fn a_flash_crowd_panics_and_the_way_down_waits() {
    let mut s = Scene::open(
        "A flash crowd",
        "Nobody forecasts a link on television. The load now is more than twice that of five minutes: half as much again
         is ordered on top, and nothing is removed for ten minutes after the last surge.",
        web(),
        5,
    );
    s.steady(6, 400.0);
    s.say("Three times the load within half a minute");
    s.steady(2, 1_200.0);
    assert!(s.spec >= 18, "{}", s.text);
    s.say("It is over");
    s.steady(25, 400.0);
    assert!(s.spec < 12, "{}", s.text);
    s.close("flash-crowd");
}

#[test]
fn a_trusted_forecast_orders_before_the_ramp_and_the_decision_explains_itself() {
    let mut s = Scene::open(
        "The morning ramp",
        "The forecast has beaten the last value and yesterday's on this workload. The load doubles at 09:10; capacity is
         ordered one lead time (start-up, delays, an interval) before.",
        web(),
        10,
    );
    let ramp: Timestamp = "2026-03-02T09:10:00Z".parse().unwrap();
    let look = |s: &Scene| {
        let step = Duration::from_secs(60);
        let start = time::align(s.now, step);
        let rows = (0..60)
            .map(|i| {
                let at = time::after(start, step * i);
                let load = if at < ramp { 900.0 } else { 1_800.0 };
                vec![load * 0.9, load, load * 1.1]
            })
            .collect();
        let mut metric = s.load(if s.now < ramp { 900.0 } else { 1_800.0 });
        metric.forecast = Ok(Forecast::new(start, step, vec![0.05, 0.5, 0.99], rows, "seasonal").unwrap());
        Observation { selected: trusted(), ..s.seen(vec![metric]) }
    };
    s.watch(12, look);
    let ordered = s.records.iter().find(|r| r.recommendation.target >= 18).unwrap();
    let ahead = time::since(ramp, ordered.now);
    assert!(ahead >= Duration::from_secs(60), "{}", s.text);
    let explained = ordered.explain(false);
    writeln!(s.text, "\n-- foresail explain, of the decision that ordered it\n").unwrap();
    s.text.push_str(&explained);
    s.close("morning-ramp");
}
