//! Workloads and the load they have at any moment.

use std::time::Duration;

use series::{Forecast, Series};

use super::{at, noise};

pub(super) const STEP: i64 = 60;
pub(super) const PAST: i64 = 2 * 24 * 60;
pub(super) const AHEAD: i64 = 8 * 60;

/// One workload: name, namespace, kind, base and peak load, target per replica, hour of the peak, max replicas.
pub(super) struct Workload {
    pub(super) namespace: &'static str,
    pub(super) name: &'static str,
    pub(super) kind: &'static str,
    pub(super) unit: &'static str,
    pub(super) metric: &'static str,
    pub(super) base: f64,
    pub(super) peak: f64,
    pub(super) target: f64,
    pub(super) hour: f64,
    pub(super) max: u32,
    pub(super) noise: f64,
    pub(super) trait_: Trait,
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Trait {
    Plain,
    Learning,
    Recommend,
    Paused,
    Blind,
    AtMax,
    Queue,
}

const fn workload(
    namespace: &'static str,
    name: &'static str,
    load: (f64, f64, f64),
    hour: f64,
    max: u32,
    trait_: Trait,
) -> Workload {
    let queue = matches!(trait_, Trait::Queue);
    Workload {
        namespace,
        name,
        kind: "Deployment",
        unit: if queue { "messages" } else { "requests/s" },
        metric: if queue { "backlog" } else { "requests" },
        base: load.0,
        peak: load.1,
        target: load.2,
        hour,
        max,
        noise: 0.05,
        trait_,
    }
}

pub(super) const SHOP: &[Workload] = &[
    workload("shop", "checkout", (140.0, 1900.0, 90.0), 20.0, 40, Trait::Plain),
    workload("shop", "storefront", (420.0, 5200.0, 160.0), 20.5, 60, Trait::Plain),
    workload("shop", "search", (260.0, 2400.0, 120.0), 19.5, 18, Trait::AtMax),
    workload("shop", "cart", (90.0, 1100.0, 75.0), 20.0, 30, Trait::Plain),
    workload("shop", "recommendations", (150.0, 1300.0, 80.0), 21.0, 24, Trait::Recommend),
    workload("payments", "gateway", (60.0, 740.0, 50.0), 20.2, 24, Trait::Plain),
    workload("payments", "fraud-scoring", (50.0, 510.0, 30.0), 20.3, 24, Trait::Paused),
    workload("media", "thumbnails", (900.0, 16000.0, 1200.0), 14.0, 30, Trait::Queue),
    workload("media", "transcode", (300.0, 5200.0, 600.0), 13.0, 20, Trait::Queue),
    workload("platform", "auth", (300.0, 2600.0, 220.0), 10.5, 24, Trait::Plain),
    workload("platform", "notifications", (80.0, 1400.0, 110.0), 9.0, 20, Trait::Learning),
    workload("platform", "reports", (20.0, 260.0, 40.0), 8.5, 10, Trait::Blind),
];

impl Workload {
    pub(super) fn seed(&self) -> u64 {
        self.name.bytes().fold(17, |h, b| h.wrapping_mul(31).wrapping_add(u64::from(b)))
    }

    /// What the load would be without chance.
    pub(super) fn shape(&self, s: i64) -> f64 {
        let hour = s.rem_euclid(86_400) as f64 / 3600.0;
        let away = |peak: f64| {
            let d = (hour - peak).abs();
            d.min(24.0 - d)
        };
        let bump = |peak: f64, width: f64| (-(away(peak) / width).powi(2)).exp();
        let evening =
            bump(self.hour, 2.6) + 0.55 * bump(self.hour - 7.5, 2.2) + 0.12 * bump(self.hour - 11.0, 1.4);
        let weekday = (s.div_euclid(86_400) + 4).rem_euclid(7);
        let week = if weekday >= 5 { 1.12 } else { 1.0 };
        self.base + (self.peak - self.base) * evening * week / 1.12
    }

    pub(super) fn load(&self, s: i64) -> f64 {
        let slow = noise(self.seed(), s / 1800) * (1.0 - (s % 1800) as f64 / 1800.0)
            + noise(self.seed(), s / 1800 + 1) * ((s % 1800) as f64 / 1800.0);
        (self.shape(s) * (1.0 + self.noise * 1.3 * slow + self.noise * 0.6 * noise(self.seed() ^ 7, s)))
            .max(0.0)
    }

    /// Replicas that were wanted at `s`: enough for the most that is expected within ten minutes, a little slow to go
    /// down.
    pub(super) fn wanted(&self, s: i64) -> u32 {
        let need = |s: i64| (self.shape(s) * 1.12 / self.target).ceil();
        let most = (-10..=10).map(|m| need(s + m * 60)).fold(1.0, f64::max);
        (most as u32).clamp(2, self.max)
    }

    pub(super) fn grid(from: i64, value: impl Fn(i64) -> f64) -> Option<Series> {
        let values = (0..PAST).map(|i| value(from + i * STEP)).collect();
        Series::new(at(from), Duration::from_secs(STEP as u64), values).ok()
    }

    pub(super) fn forecast(&self, origin: i64) -> Option<Forecast> {
        let levels = vec![0.05, 0.25, 0.5, 0.75, 0.95, 0.99];
        let z = [-1.64, -0.67, 0.0, 0.67, 1.64, 2.33];
        let rows = (0..AHEAD)
            .map(|i| {
                let s = origin + i * STEP;
                let spread = self.noise * (0.7 + (i as f64 / 60.0).sqrt() * 0.75);
                z.iter().map(|z| self.shape(s) * (1.0 + spread * z)).collect()
            })
            .collect();
        Forecast::new(at(origin), Duration::from_secs(STEP as u64), levels, rows, "seasonal blend").ok()
    }
}
