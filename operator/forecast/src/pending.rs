//! A forecast that waits for its value.

use crate::blend::Mixed;
use crate::calibration::Band;

/// A forecast at one horizon that waits for its value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pending {
    pub(crate) mixed: Mixed,
    pub(crate) band: Band,
    /// What the challenger's regression says; NaN where there is no challenger.
    pub(crate) rival: f32,
}
