//! What happens in the demo: two weeks of a shop's traffic, and a day with a flash sale, a metric outage and a release
//! that crash-loops. Everything is a function of a seed and of fixed constants.

use std::time::Duration;

use backtest::{Fault, FaultKind, RUN_IN};
use decide::CalendarWindow;
use jiff::Timestamp;
use series::{Series, SeriesError, time};

/// Days of traffic known before the demo's day.
const KNOWN_DAYS: u64 = 14;
/// Hours of the demo's day that are played.
pub(super) const HOURS: u64 = 17;
/// The hour of the day the demo begins at.
const FIRST_HOUR: f64 = 6.0;
const MINUTES_A_DAY: u64 = 1_440;

/// The script.
pub(super) struct Script {
    /// Requests a second, minute by minute.
    pub(super) recording: Series,
    /// What is wrong with the measurements, in seconds of the replay.
    pub(super) faults: Vec<Fault>,
    /// When created pods crash, in seconds of the replay.
    pub(super) crash_loops: Vec<std::ops::Range<usize>>,
    /// What a ScalingCalendar says of the day.
    pub(super) calendar: Vec<CalendarWindow>,
    scenes: Vec<Scene>,
}

/// Something that happens.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scene {
    /// Hours after midnight.
    pub(super) from: f64,
    /// Hours after midnight.
    pub(super) to: f64,
    /// What, as it begins.
    pub(super) begins: &'static str,
    /// What, as it ends.
    pub(super) ends: &'static str,
    /// What sort.
    pub(super) kind: SceneKind,
}

/// What sort of thing happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SceneKind {
    /// Everyday life.
    Ordinary,
    /// A sale that stands in the calendar.
    Announced,
    /// A flash sale.
    Sale,
    /// Prometheus is away.
    Outage,
    /// A release crash-loops.
    Crash,
}

impl SceneKind {
    /// Whether somebody could have known beforehand: the past shows it, or the calendar says it.
    pub(super) fn could_be_known(self) -> bool {
        matches!(self, Self::Ordinary | Self::Announced)
    }
}

/// When the sale of the calendar is, in hours of the day.
const ANNOUNCED: (f64, f64) = (14.0, 14.75);
/// When the one that nobody announced is.
const FLASH: (f64, f64) = (12.5, 13.25);
/// What the shop's people write into the calendar for theirs.
const ANNOUNCED_REPLICAS: u32 = 46;

const SCENES: [Scene; 7] = [
    Scene {
        from: 7.0,
        to: 11.0,
        begins: "The morning ramp, as every day",
        ends: "The morning ramp is over",
        kind: SceneKind::Ordinary,
    },
    Scene {
        from: 9.0,
        to: 9.75,
        begins: "The newsletter is out: more than double the load within three minutes, as every day",
        ends: "Everybody has read it",
        kind: SceneKind::Ordinary,
    },
    Scene {
        from: 17.0,
        to: 17.75,
        begins: "The evening's newsletter, as every day",
        ends: "Everybody has read that too",
        kind: SceneKind::Ordinary,
    },
    Scene {
        from: FLASH.0,
        to: FLASH.1,
        begins: "A flash sale nobody announced: twice the load in five minutes",
        ends: "The flash sale is over",
        kind: SceneKind::Sale,
    },
    Scene {
        from: ANNOUNCED.0,
        to: ANNOUNCED.1,
        begins: "The sale that stands in the calendar: twice the load in five minutes",
        ends: "That sale is over",
        kind: SceneKind::Announced,
    },
    Scene {
        from: 15.5,
        to: 16.25,
        begins: "Prometheus is gone: no metric for 45 minutes",
        ends: "Prometheus is back",
        kind: SceneKind::Outage,
    },
    Scene {
        from: 18.4,
        to: 18.85,
        begins: "A bad release: every new pod crash-loops for half an hour",
        ends: "The release is rolled back",
        kind: SceneKind::Crash,
    },
];

impl Script {
    pub(super) fn new(seed: u64) -> Result<Self, SeriesError> {
        // A fixed Thursday: the demo shows the same day to everybody.
        let day = Timestamp::from_second(1_772_668_800).unwrap_or_default();
        let start = time::before(day, Duration::from_secs(KNOWN_DAYS * 86_400));
        let minutes = KNOWN_DAYS * MINUTES_A_DAY + ((FIRST_HOUR as u64) + HOURS) * 60;
        let values = (0..minutes).map(|minute| load(minute, seed)).collect();
        let recording = Series::new(start, Duration::from_secs(60), values)?;
        let spans = |kind: SceneKind| {
            SCENES.iter().filter(move |s| s.kind == kind).map(|s| second(s.from)..second(s.to))
        };
        let faults = spans(SceneKind::Outage)
            .map(|span| Fault { kind: FaultKind::Outage, from: span.start, to: span.end })
            .collect();
        let crash_loops = spans(SceneKind::Crash).collect();
        let clock = |hour: f64| time::after(day, Duration::from_secs_f64(hour * 3_600.0));
        let calendar = vec![CalendarWindow {
            name: "announced sale".to_owned(),
            from: clock(ANNOUNCED.0),
            to: clock(ANNOUNCED.1),
            min_replicas: Some(ANNOUNCED_REPLICAS),
            max_replicas: None,
        }];
        Ok(Self { recording, faults, crash_loops, calendar, scenes: SCENES.to_vec() })
    }

    /// What goes on at that second of the replay.
    pub(super) fn at(&self, elapsed: Duration) -> impl Iterator<Item = &Scene> {
        let now = elapsed.as_secs() as usize;
        self.scenes.iter().filter(move |s| (second(s.from)..second(s.to)).contains(&now))
    }

    /// What sort of thing a second of the replay belongs to: the extraordinary before the everyday, and still for a
    /// while after its end, when what it left behind is worked off.
    pub(super) fn kind_of(&self, second_of_replay: usize) -> SceneKind {
        const AFTERMATH: usize = 600;
        let over = |s: &&Scene| (second(s.from)..second(s.to) + AFTERMATH).contains(&second_of_replay);
        let rare = self.scenes.iter().filter(|s| s.kind != SceneKind::Ordinary);
        rare.filter(over).map(|s| s.kind).next_back().unwrap_or(SceneKind::Ordinary)
    }

    /// What began or ended in the last tick before `elapsed`.
    pub(super) fn news(&self, elapsed: Duration, tick: Duration) -> impl Iterator<Item = &'static str> {
        let now = elapsed.as_secs() as usize;
        let before = now.saturating_sub(tick.as_secs() as usize);
        let fresh = move |at: usize| before < at && at <= now;
        self.scenes.iter().flat_map(move |s| {
            let begins = fresh(second(s.from)).then_some(s.begins);
            let ends = fresh(second(s.to)).then_some(s.ends);
            begins.into_iter().chain(ends)
        })
    }
}

/// The second of the replay at an hour of the demo's day.
fn second(hour: f64) -> usize {
    // The replay runs in for a while before the first hour that is scored.
    ((hour - FIRST_HOUR) * 3_600.0) as usize + RUN_IN as usize
}

/// Requests a second in a minute of the recording: a shop's day with a morning ramp and an evening peak, quieter
/// weekends, noise, and two sales on the last day.
fn load(minute: u64, seed: u64) -> f64 {
    let (day, of_day) = (minute / MINUTES_A_DAY, (minute % MINUTES_A_DAY) as f64);
    let hour = of_day / 60.0;
    let bump = |middle: f64, width: f64| (-((hour - middle) / width).powi(2)).exp();
    let night = 320.0;
    let shape = 1_500.0 * bump(11.0, 2.6) + 1_150.0 * bump(15.5, 2.4) + 2_000.0 * bump(20.0, 1.3);
    // The recording begins on a Thursday.
    let weekend = matches!(day % 7, 2 | 3);
    let week = if weekend { 0.8 } else { 1.0 };
    let sale = if day == KNOWN_DAYS { surge(hour, FLASH) * surge(hour, ANNOUNCED) } else { 1.0 };
    (night + shape * week) * newsletter(hour) * sale * (1.0 + 0.03 * noise(minute, seed))
}

/// Twice a day, a newsletter: more than double within three minutes, then back over half an hour.
fn newsletter(hour: f64) -> f64 {
    let read_at = if hour < 17.0 { 9.0 } else { 17.0 };
    let minutes = (hour - read_at) * 60.0;
    if minutes < 0.0 {
        return 1.0;
    }
    1.0 + 1.2 * (minutes / 3.0).min(1.0) * (-(minutes - 3.0).max(0.0) / 12.0).exp()
}

/// Up to double within five minutes, then slowly back.
fn surge(hour: f64, (from, to): (f64, f64)) -> f64 {
    let rise = ((hour - from) * 12.0).clamp(0.0, 1.0);
    let fall = ((to - hour) * 4.0).clamp(0.0, 1.0);
    1.0 + rise.min(fall)
}

/// Smooth noise, about -1 to 1: the mean of a few hashed neighbors.
fn noise(minute: u64, seed: u64) -> f64 {
    let hash = |n: u64| {
        let mut x = n.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ seed.wrapping_mul(0xD1B5_4A32_D192_ED03);
        x ^= x >> 31;
        x = x.wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x ^= x >> 29;
        (x >> 11) as f64 / (1_u64 << 53) as f64 * 2.0 - 1.0
    };
    (0..3).map(|i| hash(minute + i)).sum::<f64>() / 1.5
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sales_double_the_load_of_their_day_only() {
        let at = |day: u64, hour: u64, minute: u64| load((day * 24 + hour) * 60 + minute, 1);
        for (hour, minute) in [(12, 45), (14, 15)] {
            let ratio = at(KNOWN_DAYS, hour, minute) / at(KNOWN_DAYS - 7, hour, minute);
            assert!((1.8..2.2).contains(&ratio), "{hour}:{minute}: {ratio}");
        }
        let before = at(KNOWN_DAYS, 12, 20) / at(KNOWN_DAYS - 7, 12, 20);
        assert!((0.9..1.1).contains(&before), "{before}");
    }

    #[test]
    fn what_the_calendar_says_is_enough_for_what_comes() {
        let script = Script::new(1).unwrap();
        let window = &script.calendar[0];
        let most = script.recording.between(window.from, window.to);
        let peak = most.iter().filter_map(|(_, v)| v).fold(0.0, f64::max);
        let need = (peak / 80.0).ceil() as u32; // The target of policy.yaml.
        assert!(
            (need..need + need / 4).contains(&window.min_replicas.unwrap()),
            "{need} replicas at the peak"
        );
    }

    #[test]
    fn seconds_belong_to_what_is_extraordinary_and_to_its_aftermath() {
        let script = Script::new(1).unwrap();
        assert_eq!(script.kind_of(second(9.1)), SceneKind::Ordinary);
        assert_eq!(script.kind_of(second(12.6)), SceneKind::Sale);
        assert_eq!(script.kind_of(second(13.3)), SceneKind::Sale);
        assert_eq!(script.kind_of(second(13.5)), SceneKind::Ordinary);
        assert_eq!(script.kind_of(second(14.1)), SceneKind::Announced);
        assert!(SceneKind::Announced.could_be_known() && !SceneKind::Crash.could_be_known());
    }

    #[test]
    fn every_scene_is_told_when_it_begins_and_when_it_ends() {
        let script = Script::new(1).unwrap();
        let tick = Duration::from_secs(15);
        let told: Vec<&str> = (0..HOURS * 240 + 300)
            .flat_map(|i| script.news(tick * i as u32, tick).collect::<Vec<_>>())
            .collect();
        assert_eq!(told.len(), SCENES.len() * 2);
    }
}
