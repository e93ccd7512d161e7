//! One strategy and its simulated workload: scaled as the decision would scale it, with pods that start late, and charged
//! for its replicas and for the time in which they were too few.

use std::collections::VecDeque;
use std::time::Duration;

use series::time;

use super::Tick;
use crate::backlog::{Queue, at_work};
use crate::descend::WayDown;
use crate::history::ScaleEvent;
use crate::normalize;
use crate::peaks::Peaks;
use crate::policy::{BacklogPolicy, MetricKind, Policy};
use crate::predictive::{blind_cap, peak};
use crate::reactive::{Surge, need};
use crate::strategy::{Selected, Sizing, Strategy, StrategyReason};
use crate::tally::{TICK, Tally};

/// Ticks that a measurement lags behind: a rate over a minute is that of half a minute ago.
const LAG_TICKS: usize = 2;
/// A promise is kept or broken within seconds, and a measurement is the mean of a minute: the load counts as this much
/// higher when replicas are held against it.
const WITHIN_A_MINUTE: f64 = 0.01;
/// A change in the other direction within this time is a reversal.
const REVERSAL: u32 = 600;
/// The most replicas within this time are looked at for the floor of the way down.
const RECENT_PEAK: u32 = 1_800;

/// One strategy and its workload. Times are seconds since the first tick: there are hundreds of these.
#[derive(Debug)]
pub(super) struct Workload {
    strategy: Strategy,
    /// What is resolved of it, but for what is usual at the moment.
    sizing: Sizing,
    /// The places of its quantile and its share among those of all strategies.
    ahead: Option<(usize, usize)>,
    /// The way down while the load is where it was expected, and while it isn't.
    ways: [WayDown; 2],
    /// A load was known already.
    began: bool,
    spec: u32,
    ready: u32,
    /// Pods on their way: when they serve, and how many.
    starting: VecDeque<(u32, u32)>,
    /// The largest wish within the stabilization window of `behavior`, and within the strategy's own.
    highest: Highest,
    held: Highest,
    /// The smallest wish within that of the way up, negated.
    lowest: Option<Highest>,
    /// The most replicas within half an hour.
    recent: Highest,
    /// Changes that rules of `behavior` and the pace of a minute ask for.
    events: Vec<ScaleEvent>,
    /// Ready replicas of the last ticks, newest last.
    before: [u32; LAG_TICKS + 1],
    surge_until: u32,
    /// The last change: when, and whether up.
    changed: Option<(u32, bool)>,
    /// For each metric that is a queue: messages waiting, and seconds without anybody to work them off.
    queues: Vec<(f64, f64)>,
    /// For each metric: the replicas asked for when its load was gone, while it is.
    lost_at: Vec<Option<u32>>,
    tally: Tally,
}

/// What a workload wants.
#[derive(Default)]
struct Wish {
    replicas: u32,
    keep: u32,
    surge: bool,
    /// The surge asks for more than everything else.
    surge_drives: bool,
    urgent: bool,
    idle: bool,
}

impl Wish {
    fn raise(&mut self, to: u32, surge: bool) {
        if to > self.replicas {
            (self.replicas, self.surge_drives) = (to, surge);
        }
    }
}

impl Workload {
    pub(super) fn new(policy: &Policy, strategy: Strategy, ahead: Option<(usize, usize)>) -> Self {
        let selected = Selected { strategy, reason: StrategyReason::SelectedByReplay };
        let windows = normalize::windows(policy.behavior.as_ref());
        let ways = [true, false].map(|expected| WayDown::resolve(policy, &selected, expected));
        Self {
            held: Highest::within(ways[0].stabilization),
            ways,
            strategy,
            sizing: Sizing::resolve(policy, &selected, &Peaks::default()),
            ahead,
            began: false,
            spec: 0,
            ready: 0,
            starting: VecDeque::new(),
            highest: Highest::within(windows.down),
            lowest: (!windows.up.is_zero()).then(|| Highest::within(windows.up)),
            recent: Highest::within(Duration::from_secs(u64::from(RECENT_PEAK))),
            events: Vec::new(),
            before: [0; LAG_TICKS + 1],
            surge_until: 0,
            changed: None,
            queues: vec![(0.0, 0.0); policy.metrics.len()],
            lost_at: vec![None; policy.metrics.len()],
            tally: Tally::default(),
        }
    }

    pub(super) fn tick(&mut self, policy: &Policy, startup: Duration, tick: &Tick<'_>) {
        self.start(tick.second);
        self.work(policy, tick);
        if self.spec > 0 || self.began {
            self.notice_losses(tick);
        }
        let wish = self.wish(policy, tick);
        if self.spec == 0 && !self.began {
            let first = wish.replicas.clamp(policy.min_replicas, policy.max_replicas);
            (self.spec, self.ready) = (first, first);
            self.before.fill(first);
            self.notice_losses(tick);
        }
        self.charge(policy, tick);
        let to = self.next(policy, &wish, tick);
        if to != self.spec {
            self.scale(to, startup, tick);
        }
    }

    /// Keeps what was asked for when a load was gone.
    fn notice_losses(&mut self, tick: &Tick<'_>) {
        for (lost_at, load) in self.lost_at.iter_mut().zip(&tick.loads) {
            *lost_at = if load.is_some() { None } else { lost_at.or(Some(self.spec)) };
        }
    }

    /// Pods whose time has come serve.
    fn start(&mut self, second: u32) {
        while let Some((_, n)) = self.starting.pop_front_if(|(at, _)| *at <= second) {
            self.ready += n;
        }
        self.before.copy_within(1.., 0);
        self.before[LAG_TICKS] = self.ready;
    }

    /// Consumers work off what arrived.
    fn work(&mut self, policy: &Policy, tick: &Tick<'_>) {
        for (m, metric) in policy.metrics.iter().enumerate() {
            let (MetricKind::Backlog(_), Some((arrivals, _))) = (&metric.kind, tick.loads[m]) else {
                continue;
            };
            let seconds = TICK.as_secs_f64();
            let (waiting, alone) = &mut self.queues[m];
            *waiting = (*waiting + (arrivals - f64::from(self.ready) * tick.known[m].per_replica) * seconds)
                .max(0.0);
            *alone = if self.ready == 0 && *waiting > 0.0 { *alone + seconds } else { 0.0 };
        }
    }

    fn wish(&mut self, policy: &Policy, tick: &Tick<'_>) -> Wish {
        let mut wish = Wish { idle: true, ..Wish::default() };
        for (m, metric) in policy.metrics.iter().enumerate() {
            let sizing = Sizing { usual_peak: tick.usual_peaks[m], ..self.sizing };
            match &metric.kind {
                MetricKind::AverageValue => {
                    wish.idle = false;
                    self.wish_for_load(m, &sizing, tick, &mut wish);
                }
                MetricKind::Backlog(backlog) => {
                    self.wish_for_queue(m, backlog, &sizing, tick, &mut wish);
                }
                // What the value would be with other replicas, nobody knows.
                MetricKind::Value => wish.idle = false,
            }
        }
        // Without any metric to go by there is nothing better than what runs.
        if tick.loads.iter().all(Option::is_none) {
            wish.raise(self.spec, false);
        }
        wish
    }

    fn wish_for_load(&self, m: usize, sizing: &Sizing, tick: &Tick<'_>, wish: &mut Wish) {
        let per_replica = tick.known[m].per_replica;
        if let Some((load, climbed)) = tick.loads[m] {
            let present = sizing.present(load, climbed, per_replica);
            wish.raise(sizing.limited(present, self.spec, self.ready), false);
            let surge = Surge { load, mean: tick.means[m], per_replica, usual_peak: sizing.usual_peak };
            if let Some(replicas) = surge.replicas(self.ready).filter(|_| sizing.growth.is_none()) {
                wish.raise(replicas, true);
                wish.surge = true;
            }
        }
        if let Some(coming) = tick.coming(m, sizing, self.ahead) {
            let cap = self.lost_at[m].zip(tick.medians[m]);
            let cap = cap.map(|(lost_at, median)| blind_cap(lost_at, median, per_replica));
            let most = cap.unwrap_or(u32::MAX);
            wish.raise(need(coming.load, per_replica).min(most), false);
            wish.keep = wish.keep.max(need(coming.keep, per_replica).min(most));
        }
    }

    fn wish_for_queue(
        &self,
        m: usize,
        backlog: &BacklogPolicy,
        sizing: &Sizing,
        tick: &Tick<'_>,
        wish: &mut Wish,
    ) {
        let span = tick.span;
        let Some((arrivals, _)) = tick.loads[m] else {
            wish.idle = false;
            return;
        };
        let (waiting, known) = (self.queues[m].0, tick.known[m]);
        let forecast = sizing.forecast.zip(known.forecast);
        let coming = forecast
            .and_then(|(_, f)| peak(f, tick.span.now, time::after(tick.span.now, span.lead), 0.5))
            .map_or(0.0, |rate| rate * span.lead.as_secs_f64());
        let asleep = self.spec == 0 && waiting <= backlog.activation;
        if coming < backlog.activation + 1.0 && (asleep || (waiting <= 0.0 && arrivals <= 0.0)) {
            return;
        }
        wish.idle = false;
        let sized = Queue {
            backlog: waiting,
            arrivals,
            coming: forecast.map(|(params, f)| (f, params.quantile)),
            per_consumer: known.per_replica,
            ready: self.ready,
            spec: self.spec,
            lead: span.lead,
            now: tick.span.now,
            most: tick.most,
            partitions: None,
        }
        .size(backlog);
        wish.urgent |= sized.urgent;
        wish.raise(sized.steady.max(sized.drain).max(1), false);
    }

    /// The decision's limits, in its order.
    fn next(&mut self, policy: &Policy, wish: &Wish, tick: &Tick<'_>) -> u32 {
        let (current, second) = (self.spec, tick.second);
        let highest = self.highest.note(second, wish.replicas);
        let held = self.held.note(second, wish.replicas);
        let lowest = self.lowest.as_mut().map(|low| u32::MAX - low.note(second, u32::MAX - wish.replicas));
        let recent = self.recent.note(second, current);
        if wish.surge {
            self.surge_until = second.saturating_add(seconds(policy.timing.panic));
        }
        // An HPA without `behavior` takes the highest wish of its window, above what runs too.
        let stable = match policy.behavior {
            Some(_) => current.max(lowest.unwrap_or(wish.replicas)).min(highest),
            None => highest,
        };
        let mut to = self.cool_down(policy, wish, stable, second);
        let tolerance = self.strategy.up_tolerance;
        if !wish.surge_drives && to > current && f64::from(to) <= f64::from(current) * (1.0 + tolerance) {
            to = current;
        }
        if to < current {
            to = to.max(held.min(current));
        }
        if to < current && (!tick.may_lower || second < self.surge_until) {
            to = current;
        }
        if to < current {
            let foresees = self.strategy.forecast.is_some();
            let expected = !wish.surge && (!foresees || tick.dropped.is_none());
            let hold = tick.drop_hold.filter(|_| foresees).unwrap_or(0);
            to = self.lower(
                to.max(hold.min(current)).max(wish.keep.min(current)),
                wish,
                expected,
                recent,
                tick,
            );
        }
        to = normalize::rated(policy.behavior.as_ref(), current, to, &self.events, tick.span.now);
        to.clamp(policy.min_replicas, policy.max_replicas)
    }

    fn lower(&self, to: u32, wish: &Wish, expected: bool, recent: u32, tick: &Tick<'_>) -> u32 {
        let current = self.spec;
        let way = self.ways[usize::from(!expected)];
        if wish.idle || to >= current {
            return to.min(current);
        }
        if way.is_small(current - to, current) {
            return current;
        }
        let removed = crate::descend::removed_within_a_minute(&self.events, tick.span.now);
        let floor = (f64::from(recent) * way.floor_of_recent_peak).ceil() as u32;
        to.max(way.floor(current, removed).0).max(floor.min(current))
    }

    /// Consumers of a queue change seldom, unless its promise is about to break.
    fn cool_down(&self, policy: &Policy, wish: &Wish, to: u32, second: u32) -> u32 {
        let dwell = policy.metrics.iter().filter_map(|m| match &m.kind {
            MetricKind::Backlog(backlog) => Some(backlog.cooldown(to > self.spec)),
            MetricKind::AverageValue | MetricKind::Value => None,
        });
        let Some(dwell) = dwell.max() else { return to };
        let waits = to < self.spec || !wish.urgent;
        let soon = self.changed.is_some_and(|(at, _)| second.saturating_sub(at) < seconds(dwell));
        if waits && soon && self.spec > 0 && to > 0 { self.spec } else { to }
    }

    fn scale(&mut self, to: u32, startup: Duration, tick: &Tick<'_>) {
        let up = to > self.spec;
        if up {
            let serves = tick.second.saturating_add(seconds(startup));
            self.starting.push_back((serves, to - self.spec));
        } else {
            self.remove(self.spec - to);
        }
        let cutoff = time::before(tick.span.now, crate::history::LONGEST_WINDOW);
        self.events.retain(|event| event.at > cutoff);
        self.events.push(ScaleEvent { at: tick.span.now, change: i64::from(to) - i64::from(self.spec) });
        self.spec = to;
        let reversed =
            self.changed.is_some_and(|(at, was)| was != up && tick.second.saturating_sub(at) <= REVERSAL);
        self.changed = Some((tick.second, up));
        self.tally.changes += 1;
        self.tally.reversals += u32::from(reversed);
    }

    /// Those that don't serve yet go first.
    fn remove(&mut self, mut left: u32) {
        while left > 0
            && let Some((_, n)) = self.starting.back_mut()
        {
            let cut = left.min(*n);
            *n -= cut;
            left -= cut;
            if *n == 0 {
                self.starting.pop_back();
            }
        }
        self.ready -= left.min(self.ready);
    }

    /// Charges for the tick: replicas, and shortage where a load was more than the replicas of then carry.
    fn charge(&mut self, policy: &Policy, tick: &Tick<'_>) {
        if tick.loads.iter().all(Option::is_none) {
            return;
        }
        self.began = true;
        self.tally.ticks += 1;
        self.tally.replicas += u64::from(self.spec);
        let short = policy.metrics.iter().enumerate().any(|(m, metric)| {
            let (Some((load, _)), each) = (tick.loads[m], tick.known[m].per_replica) else { return false };
            match &metric.kind {
                MetricKind::AverageValue => load * (1.0 + WITHIN_A_MINUTE) > f64::from(self.before[0]) * each,
                MetricKind::Backlog(backlog) => {
                    let promise = backlog.drain_within.as_secs_f64();
                    let (waiting, alone) = self.queues[m];
                    let work = at_work(self.ready, None) * each;
                    alone > promise || (work > 0.0 && waiting / work > promise)
                }
                MetricKind::Value => false,
            }
        });
        self.tally.short += u32::from(short);
    }

    /// Replicas that it asks for now.
    pub(super) fn replicas(&self) -> u32 {
        self.spec
    }

    /// What it cost and missed since the last time.
    pub(super) fn take_tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }
}

/// Whole seconds; more than a century is a century.
fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}

/// The largest of what was noted within a time: a falling sequence of (until when, value).
#[derive(Debug)]
struct Highest {
    within: u32,
    seen: VecDeque<(u32, u32)>,
}

impl Highest {
    fn within(within: Duration) -> Self {
        Self { within: seconds(within), seen: VecDeque::new() }
    }

    fn note(&mut self, now: u32, value: u32) -> u32 {
        while self.seen.back().is_some_and(|h| h.1 <= value) {
            self.seen.pop_back();
        }
        self.seen.push_back((now.saturating_add(self.within), value));
        while self.seen.front().is_some_and(|h| h.0 <= now) {
            self.seen.pop_front();
        }
        self.seen.front().map_or(value, |h| h.1)
    }
}
