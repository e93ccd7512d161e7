//! A small shop that never was: loads by the hour of the day, policies that follow them, components that fail now and
//! then. Everything is a function of time.

mod alert;
mod component;
mod policy;
mod workload;

use std::sync::Arc;

use health::snapshot::Snapshot;
use jiff::Timestamp;
use tokio::sync::watch;

use self::workload::SHOP;
use crate::share;

/// Noise in -1 to 1 that depends on nothing but its arguments.
fn noise(seed: u64, at: i64) -> f64 {
    let mut x = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (at as u64).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x ^= x >> 30;
    x = x.wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x ^= x >> 27;
    x = x.wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^= x >> 31;
    (x >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
}

fn second(at: Timestamp) -> i64 {
    at.as_second()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Puts a new moment into the snapshot. Components are probed only every few rounds.
pub(crate) fn tell(sender: &watch::Sender<Snapshot>, now: Timestamp, probe: bool) {
    let rotation = (second(now) % 3) as usize;
    sender.send_modify(|snapshot| {
        for (i, w) in SHOP.iter().enumerate() {
            // Not all at once, as in life.
            if snapshot.policies.len() < SHOP.len() || i % 3 == rotation {
                snapshot.put(policy::policy(w, now));
            }
        }
        if probe {
            snapshot.health = Arc::new(component::health(now));
            snapshot.alerts = share(&snapshot.alerts, alert::alerts(now));
            snapshot.calendar = share(&snapshot.calendar, alert::calendar(now));
        }
    });
}
