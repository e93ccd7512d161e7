//! What the API server's version lacks, and how an object is made to fit it.
//!
//! The product supports current versions and is not bent for old ones. Tests may run on an old stand-in: what
//! has to be stripped for it is decided here, by the version it reports.

use std::fmt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::process::run;

/// A Kubernetes version: 1.MINOR.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    minor: u32,
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "1.{}", self.minor)
    }
}

impl Version {
    /// The version `1.minor`.
    pub fn new(minor: u32) -> Self {
        Self { minor }
    }

    pub(super) fn of_binary(api_server: &Path) -> Result<Self> {
        let text = run(Command::new(api_server).arg("--version"))?;
        let minor =
            text.trim().strip_prefix("Kubernetes v1.").and_then(|rest| rest.split('.').next()?.parse().ok());
        Ok(Self { minor: minor.with_context(|| format!("not a version of Kubernetes 1: {text}"))? })
    }

    /// The number after `1.`.
    pub fn minor(self) -> u32 {
        self.minor
    }

    /// Whether rules in CEL are enforced, and kept in a CRD's schema.
    pub fn has_cel(self) -> bool {
        self.minor >= 25
    }

    /// Whether `autoscaling/v2` is served.
    pub fn has_autoscaling_v2(self) -> bool {
        self.minor >= 23
    }

    /// Whether a ReplicaSet goes by the deletion cost of its pods.
    pub fn has_deletion_cost(self) -> bool {
        self.minor >= 22
    }

    pub(super) fn opens_an_insecure_port(self) -> bool {
        self.minor < 23
    }

    /// The object as this version can take it; `None` when it has nothing like it.
    pub fn fit(self, mut object: Value) -> Option<Value> {
        let kind = object["kind"].as_str().unwrap_or_default().to_owned();
        let api_version = object["apiVersion"].as_str().unwrap_or_default().to_owned();
        match (api_version.as_str(), kind.as_str()) {
            ("apiextensions.k8s.io/v1", "CustomResourceDefinition") => self.fit_definition(&mut object),
            ("policy/v1", "PodDisruptionBudget") => {
                if self.minor < 26 {
                    remove(&mut object["spec"], "unhealthyPodEvictionPolicy");
                }
                if self.minor < 21 {
                    object["apiVersion"] = "policy/v1beta1".into();
                }
            }
            ("autoscaling/v2", _) if !self.has_autoscaling_v2() => {
                object["apiVersion"] = "autoscaling/v2beta2".into();
            }
            ("apps/v1", "Deployment" | "StatefulSet" | "DaemonSet") => {
                self.fit_pods(&mut object["spec"]["template"]);
            }
            (
                "admissionregistration.k8s.io/v1",
                "ValidatingAdmissionPolicy" | "ValidatingAdmissionPolicyBinding",
            ) if self.minor < 30 => {
                return None;
            }
            _ => {}
        }
        Some(object)
    }

    fn fit_definition(self, object: &mut Value) {
        let Some(versions) = object["spec"]["versions"].as_array_mut() else { return };
        for version in versions {
            if self.minor < 30 {
                remove(version, "selectableFields");
            }
            if !self.has_cel() {
                remove_everywhere(&mut version["schema"], "x-kubernetes-validations");
            }
        }
    }

    fn fit_pods(self, template: &mut Value) {
        if self.minor >= 25 {
            return;
        }
        let Some(constraints) = template["spec"]["topologySpreadConstraints"].as_array_mut() else { return };
        for constraint in constraints {
            for late in ["matchLabelKeys", "minDomains", "nodeAffinityPolicy", "nodeTaintsPolicy"] {
                remove(constraint, late);
            }
        }
    }
}

fn remove(object: &mut Value, field: &str) {
    if let Some(fields) = object.as_object_mut() {
        fields.shift_remove(field);
    }
}

fn remove_everywhere(value: &mut Value, field: &str) {
    match value {
        Value::Object(fields) => {
            fields.shift_remove(field);
            fields.values_mut().for_each(|inner| remove_everywhere(inner, field));
        }
        Value::Array(items) => items.iter_mut().for_each(|inner| remove_everywhere(inner, field)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rules_in_cel_are_stripped_only_for_servers_that_do_not_know_them() {
        let definition = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "spec": {"versions": [{"name": "v1", "selectableFields": [{"jsonPath": ".spec.mode"}],
                "schema": {"openAPIV3Schema": {"properties": {"spec": {"x-kubernetes-validations": [{"rule": "true"}]}}}}}]},
        });
        let old = Version::new(20).fit(definition.clone()).unwrap();
        assert_eq!(
            old["spec"]["versions"][0],
            json!({"name": "v1", "schema": {"openAPIV3Schema": {"properties": {"spec": {}}}}})
        );
        assert_eq!(Version::new(36).fit(definition.clone()), Some(definition));
    }

    #[test]
    fn a_disruption_budget_becomes_the_beta_one_on_an_old_server() {
        let budget = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
            "spec": {"maxUnavailable": 1, "unhealthyPodEvictionPolicy": "AlwaysAllow"}});
        let old = Version::new(20).fit(budget).unwrap();
        assert_eq!(old["apiVersion"], "policy/v1beta1");
        assert_eq!(old["spec"], json!({"maxUnavailable": 1}));
    }
}
