//! The rules for how fast replicas may go up and down, in the HPA's terms and with its defaults.

use std::time::Duration;

use api::v1alpha1::{Behavior, PolicyType, ScalingRules, SelectPolicy};

use super::finding::Findings;

pub(super) fn behavior(written: &Behavior, findings: &mut Findings) -> decide::Behavior {
    let rules =
        |written: Option<&ScalingRules>, name: &str, defaults: decide::ScalingRules, f: &mut Findings| {
            written.map_or(defaults.clone(), |w| scaling_rules(w, &format!("behavior.{name}"), defaults, f))
        };
    decide::Behavior {
        scale_up: rules(written.scale_up.as_ref(), "scaleUp", decide::ScalingRules::up(), findings),
        scale_down: rules(written.scale_down.as_ref(), "scaleDown", decide::ScalingRules::down(), findings),
    }
}

fn scaling_rules(
    written: &ScalingRules,
    path: &str,
    defaults: decide::ScalingRules,
    findings: &mut Findings,
) -> decide::ScalingRules {
    let stabilization_window = match written.stabilization_window_seconds {
        None => defaults.stabilization_window,
        Some(seconds @ 0..=3_600) => Duration::from_secs(seconds as u64),
        Some(seconds) => {
            findings.add(format!("{path}.stabilizationWindowSeconds"), seconds, "write 0 to 3600");
            defaults.stabilization_window
        }
    };
    let tolerance = written.tolerance.as_ref().map(|quantity| {
        findings.take(&format!("{path}.tolerance"), quantity.as_str(), quantity.value(), 0.1)
    });
    // The HPA takes an empty list for "not set".
    let policies =
        written.policies.as_ref().filter(|p| !p.is_empty()).map_or(defaults.policies, |policies| {
            policies
                .iter()
                .enumerate()
                .map(|(index, policy)| {
                    let path = format!("{path}.policies[{index}]");
                    if policy.value < 1 {
                        findings.add(format!("{path}.value"), policy.value, "write 1 or more");
                    }
                    if !(1..=1_800).contains(&policy.period_seconds) {
                        findings.add(
                            format!("{path}.periodSeconds"),
                            policy.period_seconds,
                            "write 1 to 1800",
                        );
                    }
                    decide::RatePolicy {
                        kind: match policy.type_ {
                            PolicyType::Pods => decide::RateKind::Pods,
                            PolicyType::Percent => decide::RateKind::Percent,
                        },
                        value: policy.value.max(0) as u32,
                        period: Duration::from_secs(policy.period_seconds.max(1) as u64),
                    }
                })
                .collect()
        });
    decide::ScalingRules {
        stabilization_window,
        select_policy: match written.select_policy.unwrap_or_default() {
            SelectPolicy::Max => decide::SelectPolicy::Max,
            SelectPolicy::Min => decide::SelectPolicy::Min,
            SelectPolicy::Disabled => decide::SelectPolicy::Disabled,
        },
        policies,
        tolerance,
    }
}
