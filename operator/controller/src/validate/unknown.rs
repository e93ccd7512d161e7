//! Fields that were written and that the resource doesn't have.

use api::v1alpha1::AutoscalePolicySpec;

/// Fields of a spec as it was applied that the resource doesn't have, such as a misspelt `maxReplica`. API servers
/// drop them silently unless asked to be strict; `kubectl apply` leaves what was written in an annotation.
pub fn unknown_fields(last_applied: &str) -> Vec<String> {
    let Ok(written) = serde_json::from_str::<serde_json::Value>(last_applied) else { return Vec::new() };
    let Some(spec) = written.get("spec") else { return Vec::new() };
    let Ok(known) = serde_json::from_value::<AutoscalePolicySpec>(spec.clone()) else { return Vec::new() };
    let Ok(known) = serde_json::to_value(known) else { return Vec::new() };
    let mut unknown = Vec::new();
    missing(spec, &known, "spec", &mut unknown);
    unknown
}

/// Paths in `written` that aren't in `known`. What is empty or null may be left out when written again.
fn missing(written: &serde_json::Value, known: &serde_json::Value, path: &str, found: &mut Vec<String>) {
    use serde_json::Value;
    let empty = |value: &Value| match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    };
    match (written, known) {
        (Value::Object(written), Value::Object(known)) => {
            for (key, value) in written {
                let path = format!("{path}.{key}");
                match known.get(key) {
                    Some(known) => missing(value, known, &path, found),
                    None if !empty(value) => found.push(path),
                    None => {}
                }
            }
        }
        (Value::Array(written), Value::Array(known)) => {
            for (index, (written, known)) in written.iter().zip(known).enumerate() {
                missing(written, known, &format!("{path}[{index}]"), found);
            }
        }
        _ => {}
    }
}
