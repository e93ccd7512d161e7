//! A policy out of a file, read and checked as the operator would.

use std::time::Duration;

use anyhow::{Context, anyhow};
use api::v1alpha1::AutoscalePolicy;
use controller::validate::{self, Intent};

/// How often a replay decides, as the operator does unless told otherwise.
const INTERVAL: Duration = Duration::from_secs(15);

/// The policy in `text`, and what it asks for; `name` says in errors where it is from.
pub(crate) fn read(name: &str, text: &str) -> anyhow::Result<(AutoscalePolicy, Intent)> {
    let policy: AutoscalePolicy =
        serde_saphyr::from_str(text).with_context(|| format!("{name} isn't an AutoscalePolicy"))?;
    let intent = validate::validate(&policy.spec, INTERVAL).map_err(|found| {
        let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
        anyhow!("{name} can't be replayed:\n  {}", lines.join("\n  "))
    })?;
    Ok((policy, intent))
}
