//! The HPA that `foresail backtest` replays against the real one, on real metrics: `testbed hpa` plays an hour of it.

#![allow(clippy::expect_used, clippy::panic, reason = "all of this file is test code")]

use std::time::Duration;

use anyhow::{Result, ensure};
use jiff::{SignedDuration, Timestamp};
use testbed::Shape;
use testbed::hpa_agreement::{Scene, play};

#[tokio::test]
async fn the_hpa_that_is_replayed_asks_for_what_the_real_one_asks_for() -> Result<()> {
    testbed::prepare();
    // Up in two steps, one of them beyond what two pods can show of it, and down again.
    let knots = [(0, 60.0), (60, 60.0), (62, 180.0), (100, 180.0), (102, 600.0), (150, 600.0), (152, 80.0)];
    let scene = Scene {
        load: Shape::new(Timestamp::now(), SignedDuration::from_mins(5), &knots),
        span: Duration::from_secs(180),
        target: 70,
        window: Some(20),
        startup: Duration::from_secs(5),
    };
    let agreement = play(&scene).await?;
    let (ticks, differing) = (agreement.ticks.len(), agreement.differing.len());
    ensure!(agreement.changes() >= 3, "the real one hardly moved: {:?}", agreement.ticks.last());
    // On a machine that is busy a metric may change between our look and the controller's.
    ensure!(differing * 50 <= ticks, "{differing} of {ticks} ticks differ: {:#?}", agreement.differing);
    Ok(())
}
