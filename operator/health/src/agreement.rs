//! What several probers see, made into one status: a component is down only when most of those that looked lately say
//! so. It knows nothing of how views travel.
//!
//! | of the probers with a recent view | status | note |
//! |---|---|---|
//! | most see it down | fail | `agreed` |
//! | some, not most | warn | named as dissent: it may be their network |
//! | a prober sees most of everything down that others see up | its votes don't count | `isolated` |
//! | nobody has a recent view | unknown | |
//!
//! With two probers both must see it down; with one, that one decides.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{ComponentId, Status};

/// What one prober says, as far as it isn't `pass`: silence of a prober that is fresh means it is well there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProberView {
    /// The prober's name: its pod.
    pub prober: String,
    /// How many components it probes.
    pub probed: usize,
    /// What isn't well, as this prober sees it.
    pub troubles: BTreeMap<ComponentId, Status>,
}

/// What came of the votes on one component.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Agreement {
    /// How many probers' views counted.
    pub voters: usize,
    /// How many of them see it down.
    pub down: usize,
    /// The probers that see it down while most don't.
    pub dissent: Vec<String>,
}

/// A prober that sees most of everything down while the others don't has a broken network of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Isolated {
    /// Which prober.
    pub prober: String,
    /// How many components only it sees down.
    pub alone_with: usize,
}

/// Probers whose view of the world is theirs alone: with at least three probers, one that sees down at least three
/// components, and at least half of what it probes, that most others see up.
pub fn isolated(views: &[ProberView]) -> Vec<Isolated> {
    if views.len() < 3 {
        return Vec::new();
    }
    views
        .iter()
        .filter_map(|view| {
            let alone_with = view
                .troubles
                .iter()
                .filter(|(_, status)| **status == Status::Fail)
                .filter(|(id, _)| {
                    let others = views.iter().filter(|v| v.prober != view.prober);
                    let down = others.filter(|v| v.troubles.get(*id) == Some(&Status::Fail)).count();
                    2 * down < views.len() - 1
                })
                .count();
            let most = alone_with >= 3 && 2 * alone_with >= view.probed;
            most.then(|| Isolated { prober: view.prober.clone(), alone_with })
        })
        .collect()
}

/// The status of one component by the views of several probers; `views` are those heard of recently, without the
/// isolated ones.
pub fn agree(views: &[&ProberView], id: &ComponentId) -> (Status, Agreement) {
    let says = |v: &&&ProberView| v.troubles.get(id).copied().unwrap_or(Status::Pass);
    let known: Vec<&&ProberView> = views.iter().filter(|v| says(v) != Status::Unknown).collect();
    let down: Vec<&&&ProberView> = known.iter().filter(|v| says(v) == Status::Fail).collect();
    let quorum = known.len() / 2 + 1;
    let agreed = down.len() >= quorum;
    let status = if known.is_empty() {
        Status::Unknown
    } else if agreed {
        Status::Fail
    } else if !down.is_empty() || known.iter().filter(|v| says(v) >= Status::Warn).count() >= quorum {
        Status::Warn
    } else {
        Status::Pass
    };
    let dissent = if agreed { Vec::new() } else { down.iter().map(|v| v.prober.clone()).collect() };
    (status, Agreement { voters: known.len(), down: down.len(), dissent })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(n: usize) -> ComponentId {
        ComponentId::new("shop", &format!("c{n}"))
    }

    fn view(name: &str, probed: usize, down: &[usize]) -> ProberView {
        ProberView {
            prober: name.into(),
            probed,
            troubles: down.iter().map(|n| (id(*n), Status::Fail)).collect(),
        }
    }

    #[test]
    fn down_needs_most_of_the_probers() {
        let (a, b, c) = (view("a", 9, &[1]), view("b", 9, &[1]), view("c", 9, &[]));
        assert_eq!(agree(&[&a, &b, &c], &id(1)).0, Status::Fail);
        let (status, agreement) = agree(&[&a, &c], &id(1));
        assert_eq!((status, agreement.dissent), (Status::Warn, vec!["a".to_owned()]));
        assert_eq!(agree(&[&a], &id(1)).0, Status::Fail);
        assert_eq!(agree(&[], &id(1)).0, Status::Unknown);
    }

    #[test]
    fn a_prober_with_a_broken_network_is_found() {
        let all: Vec<usize> = (0..9).collect();
        let views = [view("a", 9, &all), view("b", 9, &[1]), view("c", 9, &[1])];
        assert_eq!(isolated(&views), [Isolated { prober: "a".into(), alone_with: 8 }]);
        assert!(isolated(&views[..2]).is_empty(), "with two, nobody can say whose network it is");
    }

    #[test]
    fn a_real_outage_isolates_nobody() {
        let all: Vec<usize> = (0..9).collect();
        let views = [view("a", 9, &all), view("b", 9, &all), view("c", 9, &all)];
        assert!(isolated(&views).is_empty());
    }

    proptest! {
        #[test]
        fn down_is_exactly_a_majority(votes in prop::collection::vec(any::<bool>(), 1..9)) {
            let views: Vec<ProberView> = votes.iter().enumerate()
                .map(|(i, down)| view(&i.to_string(), 9, if *down { &[1] } else { &[] })).collect();
            let refs: Vec<&ProberView> = views.iter().collect();
            let down = votes.iter().filter(|v| **v).count();
            let (status, agreement) = agree(&refs, &id(1));
            prop_assert_eq!(status == Status::Fail, 2 * down > votes.len());
            prop_assert_eq!(status == Status::Pass, down == 0);
            prop_assert_eq!(agreement.down, down);
        }
    }
}
