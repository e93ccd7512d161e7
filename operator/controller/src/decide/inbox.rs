//! Where what came of work in the background waits for the next look.

use std::sync::{Arc, Mutex, PoisonError};

use autoscaler::{Done, JobId};
use series::{Absence, Series};

/// A metric of a policy: its name, and what it is measured by. What comes back for a metric that is measured otherwise by
/// then is left out.
pub(crate) type MetricId = (String, String);

/// What came of work in the background.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// The history of a metric, and the last days of it by the minute.
    History(MetricId, Result<(Series, Option<Series>), Absence>),
    /// A job's result.
    Done(Box<Done>),
    /// A job was lost.
    Lost(JobId),
}

/// Where results wait for the next look.
pub(crate) type Inbox = Arc<Mutex<Vec<Arrival>>>;

/// Leaves a result for the next look.
pub(crate) fn put(inbox: &Inbox, arrival: Arrival) {
    inbox.lock().unwrap_or_else(PoisonError::into_inner).push(arrival);
}
