//! The custom resource definitions as they are written to `crds/`, in two renderings: one for current API servers, one
//! for those before 1.25, which refuse what they don't know about validation rules.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::Value;

use crate::v1alpha1;

/// Which API servers a definition is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rendering {
    /// Kubernetes 1.25 and later: with CEL rules and selectable fields.
    Full,
    /// Before 1.25: without `x-kubernetes-validations` and `selectableFields`. The controller checks the same rules
    /// and reports what breaks them on the resource.
    Legacy,
}

/// Every definition, in the order in which to apply them.
pub fn all() -> Vec<CustomResourceDefinition> {
    vec![
        v1alpha1::AutoscalePolicy::crd(),
        v1alpha1::ScalingCalendar::crd(),
        v1alpha1::HealthCheck::crd(),
        v1alpha1::AlertReceiver::crd(),
    ]
}

/// A definition as plain data in the given rendering.
pub fn render(
    definition: &CustomResourceDefinition,
    rendering: Rendering,
) -> Result<Value, serde_json::Error> {
    let mut value = serde_json::to_value(definition)?;
    // `#[serde(default)]` on an option or a string says that nothing is its default; API servers take that for a value
    // of the wrong type (old ones also the empty string), and nothing is what a missing field means anyway.
    strip(&mut value, &|key, value| key == "default" && (value.is_null() || value.as_str() == Some("")));
    if rendering == Rendering::Legacy {
        strip(&mut value, &|key, _| matches!(key, "x-kubernetes-validations" | "selectableFields"));
    }
    Ok(value)
}

/// Takes out, at any depth, what is `unwanted`. Inside `properties` a key is a field's name and stays.
fn strip(value: &mut Value, unwanted: &dyn Fn(&str, &Value) -> bool) {
    match value {
        Value::Object(map) => {
            map.retain(|key, child| !unwanted(key, child));
            for (key, child) in map.iter_mut() {
                match child {
                    Value::Object(fields) if key == "properties" => {
                        fields.values_mut().for_each(|field| strip(field, unwanted));
                    }
                    child => strip(child, unwanted),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| strip(item, unwanted)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_legacy_rendering_has_no_rules_and_no_selectable_fields() {
        for definition in all() {
            let legacy = render(&definition, Rendering::Legacy).unwrap().to_string();
            assert!(!legacy.contains("x-kubernetes-validations"));
            assert!(!legacy.contains("selectableFields"));
            assert!(!legacy.contains("\"default\":null"));
        }
    }

    #[test]
    fn the_policy_carries_its_rules_short_name_and_columns() {
        let full = render(&v1alpha1::AutoscalePolicy::crd(), Rendering::Full).unwrap();
        assert!(full.to_string().contains("minReplicas must not exceed maxReplicas"));
        assert_eq!(full["spec"]["names"]["shortNames"], serde_json::json!(["asp"]));
        assert_eq!(full["spec"]["names"]["categories"], serde_json::json!(["scaling"]));
        assert_eq!(full["spec"]["names"]["plural"], "autoscalepolicies");
        let columns = full["spec"]["versions"][0]["additionalPrinterColumns"].as_array().unwrap();
        assert!(columns.iter().any(|c| c["name"] == "Driver"));
    }

    #[test]
    fn no_field_is_a_float() {
        fn floats(value: &Value, path: &str, found: &mut Vec<String>) {
            match value {
                Value::Object(map) => {
                    if map.get("type") == Some(&Value::from("number")) {
                        found.push(path.to_owned());
                    }
                    map.iter().for_each(|(k, v)| floats(v, &format!("{path}.{k}"), found));
                }
                Value::Array(items) => items.iter().for_each(|v| floats(v, path, found)),
                _ => {}
            }
        }
        let mut found = Vec::new();
        for definition in all() {
            floats(&render(&definition, Rendering::Full).unwrap(), "", &mut found);
        }
        assert_eq!(found, Vec::<String>::new());
    }
}
