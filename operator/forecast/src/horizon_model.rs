//! Everything that is learned at one horizon.

use std::collections::VecDeque;

use crate::blend::Blend;
use crate::calibration::Calibration;
use crate::pending::Pending;
use crate::score::Score;

/// Everything that is learned at one horizon.
#[derive(Clone, Debug)]
pub(crate) struct HorizonModel {
    /// Steps ahead.
    pub(crate) ahead: usize,
    pub(crate) blend: Blend,
    pub(crate) calibration: Calibration,
    pub(crate) score: Score,
    pub(crate) pending: VecDeque<Pending>,
}

impl HorizonModel {
    pub(crate) fn new(ahead: usize, step_seconds: f32) -> Self {
        Self {
            ahead,
            blend: Blend::new(step_seconds),
            calibration: Calibration::new(step_seconds),
            score: Score::new(step_seconds),
            // As long as the horizon at last; a young forecaster needs less.
            pending: VecDeque::new(),
        }
    }
}
