//! Which policy claims which target, over all policies that are known: one look-up per evaluation instead of a walk.

use std::collections::{HashMap, HashSet};
use std::sync::{PoisonError, RwLock};

use crate::actuate::owners::{Claim, better_claim};
use crate::error::Refusal;
use crate::validate::Target;

/// Namespace, kind and name of a target.
type Key = (String, String, String);

/// The claims of all policies.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    all: RwLock<HashMap<Key, HashMap<String, Claim>>>,
}

impl Claims {
    /// Notes that the policy with `uid` claims `target`, and no other any more.
    pub(crate) fn note(&self, uid: &str, namespace: &str, target: &Target, claim: Claim) {
        let key = (namespace.to_owned(), target.kind.clone(), target.name.clone());
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        if all.get(&key).is_some_and(|claims| claims.get(uid) == Some(&claim)) {
            return;
        }
        forget(&mut all, uid);
        all.entry(key).or_default().insert(uid.to_owned(), claim);
    }

    /// Takes back the claims of all policies that aren't `alive`.
    pub(crate) fn retain(&self, alive: &HashSet<String>) {
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, claims| {
            claims.retain(|uid, _| alive.contains(uid));
            !claims.is_empty()
        });
    }

    /// The other policy that has the better claim to `target`, if there is one.
    pub(crate) fn better_than(&self, own: &Claim, namespace: &str, target: &Target) -> Option<Refusal> {
        let key = (namespace.to_owned(), target.kind.clone(), target.name.clone());
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        better_claim(own, target, all.get(&key)?.values())
    }
}

fn forget(all: &mut HashMap<Key, HashMap<String, Claim>>, uid: &str) {
    all.retain(|_, claims| {
        claims.remove(uid);
        !claims.is_empty()
    });
}
