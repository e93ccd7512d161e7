//! One run of a comparison, and the names of those that are looked for.

use serde::Serialize;

use crate::baselines::Kind;
use crate::score::Score;

/// What most people run, and what the demo and the bars of a suite are held against: the HPA at 70 % CPU.
pub const USUAL_HPA: &str = "HPA 70%";
/// The name of Foresail's own run.
pub const FORESAIL: &str = "Foresail";

/// One run of a comparison.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The policy's name.
    pub name: String,
    /// Whose row it is: an HPA, KEDA, Foresail or another baseline.
    pub kind: Kind,
    /// Its numbers.
    #[serde(flatten)]
    pub score: Score,
    /// Replica-hours over those of the HPA whose target was tuned in hindsight to the same violation time.
    pub over_tuned_hpa: Option<f64>,
    /// A swept HPA or KEDA that is better in both respects.
    pub dominated_by: Option<String>,
}
