//! The decide step: a workload's autoscaler is set up, what came of work in the background is taken over, the decision is
//! made, and what has become due is started. Everything that a decision depends on is in the crate `autoscaler`; here is
//! what it refuses to know: threads, sources that keep a history, and files.

pub(crate) mod fits;
pub(crate) mod inbox;
pub(crate) mod profiles;
pub(crate) mod recordings;
mod workers;

use api::condition::reason;
use autoscaler::{Inputs, Recorded, Saved, Setup};
use jiff::Timestamp;

use crate::context::Context;
use crate::error::Refusal;
use crate::memory::PolicyMemory;
use crate::validate::Intent;
use fits::FitPool;
use inbox::Inbox;

/// The autoscaler of this policy: as it was, changed where the spec has, or restored from what was learned before.
pub(crate) fn set_up(context: &Context, memory: &mut PolicyMemory, intent: &Intent, generation: Option<i64>) {
    let place = autoscaler::place(&memory.uid);
    let setup = || Setup {
        policy: intent.policy.clone(),
        pause: intent.pause.clone(),
        signals: intent.signals.iter().map(|signal| signal.spec(intent)).collect(),
        place,
    };
    let key = memory.key.clone();
    let sink = || context.settings.recordings.as_ref()?.sink(&key);
    let learned = context.memory.take_learned(&memory.uid);
    if let Some(autoscaler) = &mut memory.autoscaler {
        // Another instance led meanwhile: what it left counts.
        if let Some(saved) = learned.and_then(Saved::read) {
            autoscaler.adopt(saved);
        }
        if memory.set_up_for != generation || generation.is_none() {
            autoscaler.change(setup());
        }
    } else {
        let saved = learned.and_then(Saved::read).unwrap_or_default();
        memory.autoscaler = Some(Recorded::restore(setup(), saved, sink()));
    }
    memory.set_up_for = generation;
    // A full recording ends, and the next begins as after a restart.
    if let Some(full) = memory.autoscaler.take_if(|a| a.is_full()) {
        let saved = serde_json::to_value(full.saved()).ok().and_then(Saved::read).unwrap_or_default();
        memory.inbox = Inbox::default();
        memory.reading.clear();
        memory.autoscaler = Some(Recorded::restore(setup(), saved, sink()));
    }
}

/// Takes over what came of work in the background, decides, and starts what is due.
pub(crate) fn decide(
    context: &Context,
    memory: &mut PolicyMemory,
    inputs: &Inputs,
    now: Timestamp,
) -> Result<autoscaler::Decided, Refusal> {
    let Some(autoscaler) = &mut memory.autoscaler else {
        return Err(Refusal::transient(reason::INVALID_SPEC, "nothing is set up to decide"));
    };
    let histories = FitPool::take_over(autoscaler, &memory.inbox, &mut memory.reading, now);
    for (metric, history) in histories {
        // The past of a queue is that of its arrivals; what it held then isn't known.
        let policy = autoscaler.setup().policy.metrics.get(metric);
        if let Some(policy) = policy.filter(|m| !matches!(m.kind, decide::MetricKind::Backlog(_))) {
            memory.recent.seed(&policy.name, &history);
        }
    }
    let decided = tracing::info_span!("decide").in_scope(|| autoscaler.step(inputs, now));
    context.fits.tend(memory, now);
    context.profiles.tend(memory, now);
    Ok(decided)
}
