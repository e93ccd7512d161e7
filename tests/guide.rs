//! Every resource shown in the documentation is one that the resource types read, with no field that they don't know.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use testbed::assets;

fn pages(folder: &Path, into: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            pages(&path, into)?;
        } else if path.extension().is_some_and(|extension| extension == "md") {
            into.push(path);
        }
    }
    Ok(())
}

/// The documents of all blocks that are marked as YAML.
fn documents(page: &str) -> Result<Vec<Value>> {
    let mut found = Vec::new();
    for block in page.split("```yaml\n").skip(1) {
        let block = block.split("```").next().unwrap_or_default();
        for document in block.split("\n---\n") {
            found.push(serde_saphyr::from_str(document).with_context(|| document.to_owned())?);
        }
    }
    Ok(found)
}

/// Fields of `written` that `read` doesn't have: the type doesn't know them.
fn lost(written: &Value, read: &Value, path: &str, into: &mut Vec<String>) {
    match (written, read) {
        (Value::Object(written), Value::Object(read)) => {
            for (key, value) in written {
                let path = format!("{path}.{key}");
                match read.get(key) {
                    Some(read) => lost(value, read, &path, into),
                    None if *value == Value::Bool(false) => {}
                    None => into.push(path),
                }
            }
        }
        (Value::Array(written), Value::Array(read)) => {
            for (index, (written, read)) in written.iter().zip(read).enumerate() {
                lost(written, read, &format!("{path}[{index}]"), into);
            }
        }
        _ => {}
    }
}

fn check<T: DeserializeOwned + Serialize>(document: &Value) -> Result<()> {
    let typed: T = serde_json::from_value(document.clone())?;
    let mut unknown = Vec::new();
    lost(&document["spec"], &serde_json::to_value(&typed)?["spec"], "spec", &mut unknown);
    ensure!(unknown.is_empty(), "unknown: {}", unknown.join(", "));
    Ok(())
}

fn check_kind(document: &Value) -> Result<bool> {
    if document["apiVersion"] != "foresail.dev/v1alpha1" {
        return Ok(false);
    }
    match document["kind"].as_str().unwrap_or_default() {
        "AutoscalePolicy" => check::<api::v1alpha1::AutoscalePolicy>(document)?,
        "ScalingCalendar" => check::<api::v1alpha1::ScalingCalendar>(document)?,
        "HealthCheck" => check::<api::v1alpha1::HealthCheck>(document)?,
        "AlertReceiver" => check::<api::v1alpha1::AlertReceiver>(document)?,
        other => bail!("no such kind: {other}"),
    }
    Ok(true)
}

#[test]
fn every_resource_in_the_documentation_is_understood() -> Result<()> {
    let mut all = vec![assets::repository().join("README.md")];
    pages(&assets::repository().join("docs"), &mut all)?;
    let mut seen = 0;
    for page in all {
        for document in
            documents(&std::fs::read_to_string(&page)?).with_context(|| page.display().to_string())?
        {
            let known = check_kind(&document).with_context(|| format!("{}: {document:#}", page.display()))?;
            seen += usize::from(known);
        }
    }
    println!("{seen} resources");
    ensure!(seen >= 10, "only {seen} resources found");
    Ok(())
}
