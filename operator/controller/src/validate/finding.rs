//! What is wrong with a spec: collected over all checks, so that one look shows everything.

use api::units::UnitError;

/// One thing that is wrong: which field, what it says, what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("spec.{field} is {value}: {remedy}")]
pub struct Invalid {
    /// The path below `spec`.
    pub field: String,
    /// What it says now.
    pub value: String,
    /// What would be right.
    pub remedy: String,
}

/// Collects what is wrong, so that one look shows everything.
#[derive(Default)]
pub(super) struct Findings(pub(super) Vec<Invalid>);

impl Findings {
    pub(super) fn add(
        &mut self,
        field: impl Into<String>,
        value: impl std::fmt::Display,
        remedy: impl Into<String>,
    ) {
        self.0.push(Invalid { field: field.into(), value: value.to_string(), remedy: remedy.into() });
    }

    /// The value of a field that was parsed, or a note and the fallback, with which the check goes on.
    pub(super) fn take<T>(
        &mut self,
        field: &str,
        written: &str,
        parsed: Result<T, UnitError>,
        otherwise: T,
    ) -> T {
        parsed.unwrap_or_else(|error| {
            // The unit errors begin with the value, which the finding names already.
            let text = error.to_string();
            let remedy = text.split_once(" is ").map_or(text.as_str(), |(_, rest)| rest);
            self.add(field, format!("{written:?}"), remedy);
            otherwise
        })
    }
}
