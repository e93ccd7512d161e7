//! The number on its way through the limits, and the reasons it collects.

use crate::recommendation::{Limit, LimitReason};

/// The number on its way through the limits.
pub(crate) struct LimitChain {
    replicas: u32,
    limits: Vec<Limit>,
}

impl LimitChain {
    pub(crate) fn new(replicas: u32) -> Self {
        Self { replicas, limits: Vec::new() }
    }

    pub(crate) fn replicas(&self) -> u32 {
        self.replicas
    }

    /// Moves the number to `to`; where that is a change, with its reason.
    pub(crate) fn apply(&mut self, to: u32, reason: LimitReason, message: impl FnOnce() -> String) {
        if to != self.replicas {
            self.limits.push(Limit { reason, message: message(), from: self.replicas, to });
            self.replicas = to;
        }
    }

    /// Stops at `to`, and says so even where the number was there already.
    pub(crate) fn stop(&mut self, to: u32, reason: LimitReason, message: String) {
        self.limits.push(Limit { reason, message, from: self.replicas, to });
        self.replicas = to;
    }

    pub(crate) fn at_least(&mut self, floor: u32, reason: LimitReason, message: impl FnOnce() -> String) {
        if self.replicas < floor {
            self.apply(floor, reason, message);
        }
    }

    pub(crate) fn at_most(&mut self, ceiling: u32, reason: LimitReason, message: impl FnOnce() -> String) {
        if self.replicas > ceiling {
            self.apply(ceiling, reason, message);
        }
    }

    pub(crate) fn finish(self) -> (u32, Vec<Limit>) {
        (self.replicas, self.limits)
    }
}
