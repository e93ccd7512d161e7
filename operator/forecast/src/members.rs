//! The members of the blend: their places among all, and their names.

use crate::simple::{self, LAST, PROFILE, YESTERDAY};

/// How many members there are.
pub(crate) const MEMBERS: usize = simple::COUNT + 8;

pub(crate) const DAMPED: usize = simple::COUNT;
pub(crate) const WINTERS: usize = DAMPED + 1;
pub(crate) const MSTL: usize = DAMPED + 2;
pub(crate) const FOURIER: usize = DAMPED + 3;
pub(crate) const ANALOG: usize = DAMPED + 4;
/// The regressions' members, from here on.
pub(crate) const LOG_RIDGE: usize = DAMPED + 5;
pub(crate) const TREES: usize = DAMPED + 6;
pub(crate) const TREES_REST: usize = DAMPED + 7;
/// How many regressions there are, from [`LOG_RIDGE`] on.
pub(crate) const REGRESSIONS: usize = MEMBERS - LOG_RIDGE;

/// The members that stand for doing nothing clever, for scores.
pub(crate) const NAIVE: [usize; 2] = [LAST, YESTERDAY];
/// The member whose shape fills in between the horizons that are learned for.
pub(crate) const SHAPE: usize = PROFILE;

/// What each regression of a set says at one horizon; NaN for nothing.
pub(crate) type Rival = [f32; REGRESSIONS];

/// The name of a member.
pub(crate) fn name(member: usize) -> &'static str {
    const OTHERS: [&str; 8] =
        ["profile-damped", "holt-winters", "mstl", "fourier", "analog", "log-ridge", "trees", "ridge-trees"];
    simple::NAMES.get(member).or_else(|| OTHERS.get(member - simple::COUNT)).copied().unwrap_or("?")
}

/// The member of this name.
pub(crate) fn named(wanted: &str) -> Option<usize> {
    (0..MEMBERS).find(|member| name(*member) == wanted)
}
