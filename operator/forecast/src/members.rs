//! The members of the blend: their places among all, and their names.

use crate::simple::{self, LAST, PROFILE, YESTERDAY};

/// How many members there are.
pub(crate) const MEMBERS: usize = simple::COUNT + 3;

pub(crate) const FOURIER: usize = simple::COUNT;
pub(crate) const ANALOG: usize = FOURIER + 1;
pub(crate) const LOG_RIDGE: usize = FOURIER + 2;

/// The members that stand for doing nothing clever, for scores.
pub(crate) const NAIVE: [usize; 2] = [LAST, YESTERDAY];
/// The member whose shape fills in between the horizons that are learned for.
pub(crate) const SHAPE: usize = PROFILE;

/// The name of a member.
pub(crate) fn name(member: usize) -> &'static str {
    const OTHERS: [&str; 3] = ["fourier", "analog", "log-ridge"];
    simple::NAMES.get(member).or_else(|| OTHERS.get(member - simple::COUNT)).copied().unwrap_or("?")
}

/// The member of this name.
pub(crate) fn named(wanted: &str) -> Option<usize> {
    (0..MEMBERS).find(|member| name(*member) == wanted)
}
