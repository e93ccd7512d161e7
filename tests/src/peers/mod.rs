//! Programs that Foresail works beside, or that people come from: KEDA, Argo Rollouts, Karpenter. They are built by
//! `tests/setup/servers.sh --peers`, on demand.

mod karpenter;
mod keda;
mod rollouts;

pub use karpenter::Karpenter;
pub use keda::Keda;
pub use rollouts::Rollouts;

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::ControlPlane;
use crate::assets;

/// How long a peer may take to answer at first, on a crowded machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// Applies the custom resource definitions that came with a peer, and waits until they are served.
async fn install_definitions(plane: &ControlPlane, peer: &str) -> Result<()> {
    let folder = assets::programs().join(format!("{peer}.files"));
    let entries = std::fs::read_dir(&folder)
        .with_context(|| format!("no {}: run tests/setup/servers.sh --peers", folder.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        let yaml = std::fs::read_to_string(entry?.path())?;
        for object in plane.apply(&yaml).await? {
            names.extend(object.metadata.name);
        }
    }
    ensure!(!names.is_empty(), "no definitions in {}", folder.display());
    plane.wait_for_crds(&names).await
}
