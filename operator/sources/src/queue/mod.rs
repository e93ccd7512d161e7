//! Queues: how much work waits, how fast it comes and goes. One file per broker behind [`QueueSource`]; each turns its
//! broker's own words into a [`QueueReading`] or a reasoned absence, and never into a zero that nobody counted.

mod dial;
pub mod kafka;
mod link;
pub mod nats;
pub mod prometheus;
pub mod rabbitmq;
pub mod redis;
pub mod sqs;

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use series::Absence;

pub use series::Count;

/// The longest a reading may take, retries included.
const DEADLINE: Duration = Duration::from_secs(10);

/// A queue that can be looked at now.
#[async_trait]
pub trait QueueSource: Send + Sync {
    /// What the broker says at `now`.
    async fn read(&self, now: Timestamp) -> Result<QueueReading, Absence>;
}

/// One look at a queue.
#[derive(Clone, Debug, PartialEq)]
pub struct QueueReading {
    /// When the broker was asked.
    pub time: Timestamp,
    /// Messages nobody works on yet. For Kafka: everything not yet committed.
    pub waiting: u64,
    /// Messages handed to a consumer and not yet acknowledged, where the broker tells them apart.
    pub in_flight: Option<u64>,
    /// Messages that came in: a counter or a rate, as the broker tells; `None` where it tells neither.
    pub arrivals: Option<Count>,
    /// What has been worked off.
    pub served: Option<Count>,
    /// Age of the oldest message that isn't worked off.
    pub oldest_age: Option<Duration>,
    /// Lag of each partition; empty where the queue has none.
    pub partitions: Vec<PartitionLag>,
    /// Consumers that are connected.
    pub consumers: Option<u32>,
}

impl QueueReading {
    /// A reading that knows only how much waits.
    pub fn of_waiting(time: Timestamp, waiting: u64) -> Self {
        Self {
            time,
            waiting,
            in_flight: None,
            arrivals: None,
            served: None,
            oldest_age: None,
            partitions: Vec::new(),
            consumers: None,
        }
    }

    /// All work that isn't done: waiting and in flight.
    pub fn backlog(&self) -> u64 {
        self.waiting.saturating_add(self.in_flight.unwrap_or(0))
    }

    /// How many consumers can work at once: the number of partitions, where there are any.
    pub fn most_consumers(&self) -> Option<u32> {
        u32::try_from(self.partitions.len()).ok().filter(|n| *n > 0)
    }
}

/// How far a consumer group is behind on one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionLag {
    /// The topic.
    pub topic: String,
    /// The partition's number.
    pub partition: i32,
    /// Messages from where the group will read next to the end.
    pub lag: u64,
    /// What the group's position is based on.
    pub position: Position,
}

/// What is known of a consumer group's position on a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// It committed this offset, and the partition still has it.
    Committed(i64),
    /// It never committed here, or its commit has expired: it will begin where its reset policy says.
    Uncommitted,
    /// It committed an offset that the partition no longer or not yet has (retention ran over it, or the topic was
    /// made anew): it will begin where its reset policy says.
    OutOfRange(i64),
}
