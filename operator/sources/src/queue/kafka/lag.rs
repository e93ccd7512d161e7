//! From offsets to lag, partition by partition. Pure.

use std::collections::BTreeMap;

use crate::queue::{PartitionLag, Position};

/// Where a group begins on a partition for which it has no usable offset: `auto.offset.reset` of its consumers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OffsetReset {
    /// At the oldest message: everything in the partition waits.
    #[default]
    Earliest,
    /// At the end: nothing waits until the group has committed.
    Latest,
}

/// What a partition holds: offsets from `begin` up to, but without, `end`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) topic: String,
    pub(super) partition: i32,
    pub(super) begin: i64,
    pub(super) end: i64,
}

/// Committed offsets by topic and partition; what was never committed isn't in it.
pub(super) type Committed = BTreeMap<(String, i32), i64>;

/// The lag of each partition, in order of topic and partition.
pub(super) fn assemble(bounds: &[Bounds], committed: &Committed, reset: OffsetReset) -> Vec<PartitionLag> {
    let mut lags: Vec<_> = bounds
        .iter()
        .map(|partition| {
            let offset = committed.get(&(partition.topic.clone(), partition.partition)).copied();
            one(partition, offset, reset)
        })
        .collect();
    lags.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
    lags
}

/// | committed | first..end | position | lag (earliest) | lag (latest) |
/// |---|---|---|---|---|
/// | 40 | 0..90 | Committed | 50 | 50 |
/// | 90 | 0..90 | Committed | 0 | 0 |
/// | none | 10..90 | Uncommitted | 80 | 0 |
/// | 5 | 10..90 | `OutOfRange`: retention ran over it | 80 | 0 |
/// | 95 | 0..90 | `OutOfRange`: the topic was made anew | 90 | 0 |
fn one(bounds: &Bounds, committed: Option<i64>, reset: OffsetReset) -> PartitionLag {
    let (position, next) = match committed {
        Some(offset) if (bounds.begin..=bounds.end).contains(&offset) => {
            (Position::Committed(offset), offset)
        }
        other => {
            let position = other.map_or(Position::Uncommitted, Position::OutOfRange);
            let next = match reset {
                OffsetReset::Earliest => bounds.begin,
                OffsetReset::Latest => bounds.end,
            };
            (position, next)
        }
    };
    PartitionLag {
        topic: bounds.topic.clone(),
        partition: bounds.partition,
        lag: u64::try_from(bounds.end.saturating_sub(next)).unwrap_or(0),
        position,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lag(begin: i64, end: i64, committed: Option<i64>, reset: OffsetReset) -> (u64, Position) {
        let bounds = Bounds { topic: "t".into(), partition: 0, begin, end };
        let lag = one(&bounds, committed, reset);
        (lag.lag, lag.position)
    }

    #[test]
    fn the_table_holds() {
        use OffsetReset::{Earliest, Latest};
        assert_eq!(lag(0, 90, Some(40), Earliest), (50, Position::Committed(40)));
        assert_eq!(lag(0, 90, Some(90), Latest), (0, Position::Committed(90)));
        assert_eq!(lag(10, 90, None, Earliest), (80, Position::Uncommitted));
        assert_eq!(lag(10, 90, None, Latest), (0, Position::Uncommitted));
        assert_eq!(lag(10, 90, Some(5), Earliest), (80, Position::OutOfRange(5)));
        assert_eq!(lag(10, 90, Some(5), Latest), (0, Position::OutOfRange(5)));
        assert_eq!(lag(0, 90, Some(95), Earliest), (90, Position::OutOfRange(95)));
    }

    #[test]
    fn partitions_come_in_order_and_take_their_own_offsets() {
        let bounds = [("b", 0, 10), ("a", 1, 20), ("a", 0, 30)].map(|(topic, partition, end)| Bounds {
            topic: topic.into(),
            partition,
            begin: 0,
            end,
        });
        let committed = Committed::from([(("a".to_owned(), 0), 25), (("b".to_owned(), 0), 10)]);
        let lags: Vec<_> = assemble(&bounds, &committed, OffsetReset::Earliest)
            .into_iter()
            .map(|p| (p.topic, p.partition, p.lag))
            .collect();
        assert_eq!(lags, [("a".to_owned(), 0, 5), ("a".to_owned(), 1, 20), ("b".to_owned(), 0, 0)]);
    }
}
