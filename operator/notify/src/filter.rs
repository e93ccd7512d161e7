//! Which alerts a receiver is told of.

use std::collections::BTreeMap;

use health::alert::{Alert, Severity};

/// Every part that is given must fit.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter {
    /// The mildest severity that is told.
    pub min_severity: Severity,
    /// The alert's `namespace` label must be one of these; `*` is any. An alert without one (about Foresail itself) fits
    /// `*` and empty only.
    pub namespaces: Vec<String>,
    /// Names that fit; a `*` at the end stands for anything; empty is all.
    pub alerts: Vec<String>,
    /// Names that don't.
    pub exclude: Vec<String>,
    /// Labels that must be carried.
    pub labels: BTreeMap<String, String>,
}

impl Default for Filter {
    fn default() -> Self {
        Self {
            min_severity: Severity::Info,
            namespaces: Vec::new(),
            alerts: Vec::new(),
            exclude: Vec::new(),
            labels: BTreeMap::new(),
        }
    }
}

impl Filter {
    /// Whether the alert is told.
    pub fn wants(&self, alert: &Alert) -> bool {
        let named = |names: &[String]| names.iter().any(|n| fits(n, &alert.name));
        let namespace = alert.labels.get("namespace").map_or("", String::as_str);
        alert.severity >= self.min_severity
            && (self.namespaces.is_empty() || self.namespaces.iter().any(|n| n == "*" || n == namespace))
            && (self.alerts.is_empty() || named(&self.alerts))
            && !named(&self.exclude)
            && self.labels.iter().all(|(k, v)| alert.labels.get(k) == Some(v))
    }
}

fn fits(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::tests::alert;

    #[test]
    fn every_part_must_fit() {
        let down = alert("ComponentDown", "shop", "db");
        assert!(Filter::default().wants(&down));
        let with = |change: fn(&mut Filter)| {
            let mut filter = Filter::default();
            change(&mut filter);
            filter.wants(&down)
        };
        assert!(with(|f| f.namespaces = vec!["*".into()]));
        assert!(!with(|f| f.namespaces = vec!["data".into()]));
        assert!(with(|f| f.alerts = vec!["Component*".into()]));
        assert!(!with(|f| f.exclude = vec!["ComponentDown".into()]));
        assert!(!with(|f| f.labels = BTreeMap::from([("team".into(), "x".into())])));
        assert!(with(|f| f.min_severity = Severity::Critical));
    }
}
