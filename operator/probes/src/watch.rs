//! The loop: outcomes, definitions, other probers' views and calendars come in as they change; an overview, events and
//! our own view go out, at most ten times a second however many outcomes arrive.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use health::agreement::ProberView;
use health::calendar::Calendar;
use health::event::Event;
use health::maintenance::Announcement;
use health::{ComponentId, Overview, System};
use jiff::Timestamp;
use telemetry::metrics::{ComponentMetrics, Metrics};
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::schedule::{Definition, Found, Limits, Schedule};

/// Changes are rolled up together for so long.
const SETTLE: Duration = Duration::from_millis(100);
/// Rolled up at least so often: uptime and latencies move on without a change of status.
const REFRESH: Duration = Duration::from_secs(1);
/// How long what is planned for a component is believed before the calendars are asked again.
const PLANNED_FOR: Duration = Duration::from_secs(10);
/// Windows are announced so long before they begin.
const ANNOUNCE_AHEAD: Duration = Duration::from_secs(24 * 3_600);
const EVENTS_KEPT: usize = 4_096;

/// What the loop is fed with.
#[derive(Clone)]
pub struct Inputs {
    /// The checks.
    pub definitions: watch::Receiver<Arc<Vec<Definition>>>,
    /// What other probers see, as far as it was heard lately.
    pub others: watch::Receiver<Arc<Vec<ProberView>>>,
    /// The calendars.
    pub calendars: watch::Receiver<Arc<Vec<Calendar>>>,
    /// This prober's name: its pod.
    pub prober: String,
    /// How much may happen at once.
    pub limits: Limits,
}

/// What comes out.
#[derive(Clone)]
pub struct Outputs {
    /// The system as it is.
    pub overview: watch::Receiver<Arc<Overview>>,
    /// What this prober sees, for the others; changes only when it does.
    pub own: watch::Receiver<Arc<ProberView>>,
    /// What changed, for streams.
    pub events: broadcast::Sender<Event>,
}

/// The loop at work. Dropping it stops all probing.
pub struct Watch {
    task: JoinHandle<()>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Watch {
    /// Starts probing.
    pub fn start(inputs: Inputs, metrics: Metrics) -> (Self, Outputs) {
        let now = Timestamp::now();
        let (overview_sender, overview) = watch::channel(Arc::new(Overview::empty(now)));
        let own = ProberView { prober: inputs.prober.clone(), ..ProberView::default() };
        let (own_sender, own) = watch::channel(Arc::new(own));
        let (events, _) = broadcast::channel(EVENTS_KEPT);
        let (found_sender, found) = mpsc::channel(4_096);
        let schedule = Schedule::new(inputs.limits, found_sender, metrics.clone());
        let state = State {
            system: System::new(),
            schedule,
            planned: HashMap::new(),
            planned_at: None,
            handles: HashMap::new(),
            metrics,
            overview: overview_sender,
            own: own_sender,
            events: events.clone(),
            inputs,
        };
        let task = tokio::spawn(state.run(found));
        (Self { task }, Outputs { overview, own, events })
    }
}

struct State {
    system: System,
    schedule: Schedule,
    planned: HashMap<ComponentId, Announcement>,
    planned_at: Option<Instant>,
    handles: HashMap<ComponentId, ComponentMetrics>,
    metrics: Metrics,
    overview: watch::Sender<Arc<Overview>>,
    own: watch::Sender<Arc<ProberView>>,
    events: broadcast::Sender<Event>,
    inputs: Inputs,
}

impl State {
    async fn run(mut self, mut found: mpsc::Receiver<Found>) {
        self.define();
        let mut refresh = interval(REFRESH);
        refresh.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut due: Option<Instant> = None;
        let mut batch = Vec::new();
        loop {
            let settled = async move {
                match due {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let mut changed = false;
            tokio::select! {
                n = found.recv_many(&mut batch, 256) => {
                    if n == 0 {
                        return;
                    }
                    changed = self.take(&mut batch);
                }
                Ok(()) = self.inputs.definitions.changed() => {
                    self.define();
                    changed = true;
                }
                Ok(()) = self.inputs.others.changed() => {
                    self.inputs.others.mark_unchanged();
                    changed = true;
                }
                Ok(()) = self.inputs.calendars.changed() => {
                    self.inputs.calendars.mark_unchanged();
                    self.planned_at = None;
                    changed = true;
                }
                () = settled => {
                    due = None;
                    self.roll_up();
                }
                _ = refresh.tick(), if due.is_none() => self.roll_up(),
            }
            if changed && due.is_none() {
                due = Some(Instant::now() + SETTLE);
            }
        }
    }

    fn define(&mut self) {
        let definitions = self.inputs.definitions.borrow_and_update().clone();
        self.system.define(definitions.iter().map(|d| d.component.clone()), Timestamp::now());
        self.schedule.set(&definitions);
        self.handles.retain(|id, _| definitions.iter().any(|d| d.component.id == *id));
        for definition in definitions.iter() {
            let id = &definition.component.id;
            self.handles
                .entry(id.clone())
                .or_insert_with(|| self.metrics.component(id.namespace(), id.name()));
        }
        self.planned_at = None;
    }

    fn take(&mut self, batch: &mut Vec<Found>) -> bool {
        let mut changed = false;
        for Found { id, at, outcome } in batch.drain(..) {
            let maintenance = self.planned.get(&id).is_some_and(|a| a.begun(at));
            changed |= self.system.observe(&id, outcome, at, maintenance);
        }
        changed
    }

    fn roll_up(&mut self) {
        let now = Timestamp::now();
        self.plan(now);
        let others = self.inputs.others.borrow().clone();
        let planned = &self.planned;
        let (overview, events) =
            self.system.overview(&self.inputs.prober, &others, |c| planned.get(&c.id).cloned(), now);
        for event in &events {
            self.note(event, &overview);
        }
        let own = self.system.own_view(&self.inputs.prober);
        self.own.send_if_modified(|last| {
            let changed = **last != own;
            if changed {
                *last = Arc::new(own);
            }
            changed
        });
        // The overview before its events: whoever hears of a change can look it up.
        self.overview.send_replace(Arc::new(overview));
        for event in events {
            self.events.send(event).ok();
        }
    }

    fn plan(&mut self, now: Timestamp) {
        if self.planned_at.is_some_and(|at| at.elapsed() < PLANNED_FOR) {
            return;
        }
        self.planned_at = Some(Instant::now());
        let calendars = self.inputs.calendars.borrow().clone();
        let definitions = self.inputs.definitions.borrow().clone();
        self.planned = definitions
            .iter()
            .filter_map(|d| {
                let c = &d.component;
                let announced = calendars
                    .iter()
                    .filter_map(|k| k.announcement(c.id.as_str(), &c.groups, now, ANNOUNCE_AHEAD))
                    .min_by_key(|a| a.shutdown_time)?;
                Some((c.id.clone(), announced))
            })
            .collect();
    }

    fn note(&self, event: &Event, overview: &Overview) {
        let (Event::Transition { id, .. } | Event::Flapping { id, .. }) = event;
        let (Some(view), Some(handle)) = (overview.component(id), self.handles.get(id)) else { return };
        let changed_at =
            matches!(event, Event::Transition { .. }).then(|| view.since.as_millisecond() as f64 / 1_000.0);
        handle.status(view.status.as_str(), view.view.flapping, changed_at);
        if let Event::Transition { from, to, output, causes, .. } = event {
            let cause = causes.first().map(|c| c.id.to_string());
            tracing::info!(component = %id, %from, %to, output, cause, "health changed");
        }
    }
}
