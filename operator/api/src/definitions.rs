//! The custom resource definitions as they are written to `crds/`.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::Value;

use crate::v1alpha1;

/// Every definition, in the order in which to apply them.
pub fn all() -> Vec<CustomResourceDefinition> {
    vec![
        v1alpha1::AutoscalePolicy::crd(),
        v1alpha1::ScalingCalendar::crd(),
        v1alpha1::HealthCheck::crd(),
        v1alpha1::AlertReceiver::crd(),
    ]
}

/// A definition as plain data.
pub fn render(definition: &CustomResourceDefinition) -> Result<Value, serde_json::Error> {
    let mut value = serde_json::to_value(definition)?;
    // `#[serde(default)]` on an option or a string says that nothing is its default; API servers take that for a value
    // of the wrong type, and nothing is what a missing field means anyway.
    strip(&mut value, &|key, value| key == "default" && (value.is_null() || value.as_str() == Some("")));
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
    fn nothing_is_nobodys_default() {
        for definition in all() {
            assert!(!render(&definition).unwrap().to_string().contains("\"default\":null"));
        }
    }

    #[test]
    fn the_policy_carries_its_rules_short_name_and_columns() {
        let full = render(&v1alpha1::AutoscalePolicy::crd()).unwrap();
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
            floats(&render(&definition).unwrap(), "", &mut found);
        }
        assert_eq!(found, Vec::<String>::new());
    }
}
