//! The metrics registry: every family Foresail exports, with typed labels.
//!
//! What comes in: events and figures, through [`Metrics`] and the handles it gives out for a policy, a component or a
//! receiver. What goes out: the text that `/metrics` serves. What this module refuses to know: what the figures mean
//! for anybody. A handle takes its series away when it is dropped, so a deleted policy leaves nothing behind.

mod catalog;
mod entry;
mod families;
mod handles;
mod labels;
mod process;

use std::sync::Arc;

use prometheus_client::registry::Registry;

pub use catalog::{PREFIX, reference};
pub use entry::{Entry, Kind};
pub use families::{Families, Histograms, Real};
pub use handles::{
    ComponentMetrics, ForecastFigures, PolicyMetrics, QueueFigures, ReceiverMetrics, ReplicaFigures,
};
pub use labels::*;

/// The content type of [`Metrics::text`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All families. Cloning is cheap and clones share the series.
#[derive(Clone)]
pub struct Metrics {
    families: Arc<Families>,
    registry: Arc<Registry>,
    entries: Arc<Vec<Entry>>,
    per_policy: bool,
}

impl Metrics {
    /// A fresh registry with every family in it.
    pub fn new() -> Self {
        let mut catalog = catalog::Catalog::new();
        let families = Arc::new(Families::register(&mut catalog));
        let (registry, entries) = catalog.finish();
        families.start_at_zero();
        Self { families, registry: Arc::new(registry), entries: Arc::new(entries), per_policy: true }
    }

    /// Whether series for single policies are exported; with many thousands of policies one may not want them.
    pub fn per_policy(mut self, wanted: bool) -> Self {
        self.per_policy = wanted;
        self
    }

    /// The handle for one policy; its series go when the handle does.
    pub fn policy(&self, namespace: impl Into<Arc<str>>, policy: impl Into<Arc<str>>) -> PolicyMetrics {
        let labels = PolicyLabels { namespace: namespace.into(), policy: policy.into() };
        PolicyMetrics::new(Arc::clone(&self.families), labels, self.per_policy)
    }

    /// The handle for one probed component; its series go when the handle does.
    pub fn component(&self, namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> ComponentMetrics {
        let labels = ComponentLabels { namespace: namespace.into(), component: name.into() };
        ComponentMetrics::new(Arc::clone(&self.families), labels)
    }

    /// The handle for one receiver of alerts; its series go when the handle does.
    pub fn receiver(&self, receiver: impl Into<Arc<str>>, r#type: &'static str) -> ReceiverMetrics {
        let labels = ReceiverLabels { receiver: receiver.into(), r#type };
        ReceiverMetrics::new(Arc::clone(&self.families), labels)
    }

    /// What was registered, in order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// All series in the OpenMetrics text format.
    pub fn text(&self) -> String {
        let mut text = String::with_capacity(16 * 1024);
        // Writing to a String can't fail; a family that can't be encoded would leave the rest out.
        if prometheus_client::encoding::text::encode(&mut text, &self.registry).is_err() {
            tracing::error!("a metric family couldn't be written");
        }
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl std::ops::Deref for Metrics {
    type Target = Families;

    fn deref(&self) -> &Families {
        &self.families
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").field("families", &self.entries.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_conventions_and_are_unique() {
        let metrics = Metrics::new();
        let mut names: Vec<&str> = metrics.entries().iter().map(|e| e.name.as_str()).collect();
        for entry in metrics.entries() {
            assert_eq!(entry.kind == Kind::Counter, entry.name.ends_with("_total"), "{}", entry.name);
            assert!(
                entry.name.starts_with("foresail_") || entry.name.starts_with("process_"),
                "{}",
                entry.name
            );
            assert!(entry.help.ends_with('.') && entry.help.len() > 10, "{}", entry.name);
            assert!(!entry.help.contains('|'), "{}: would break the table", entry.name);
        }
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(all, names.len());
    }

    #[test]
    fn a_policy_leaves_nothing_behind() {
        let metrics = Metrics::new();
        let before = metrics.text().lines().filter(|l| l.contains("policy=\"")).count();
        let policy = metrics.policy("shop", "web");
        policy.info("Auto", "Deployment", "web");
        policy.replicas(ReplicaFigures {
            current: 3,
            ready: 2,
            desired: 4,
            min: 1,
            max: 9,
            unlimited: Some(4.2),
        });
        policy.candidate("rps", CandidateKind::Predictive, Some(4.2));
        policy.limited("TooManyReplicas");
        policy.absent("rps", "Stale");
        policy.condition("Ready", Truth::True);
        policy.condition("Ready", Truth::False);
        let text = metrics.text();
        assert!(
            text.contains(r#"foresail_policy_current_replicas{namespace="shop",policy="web"} 3"#),
            "{text}"
        );
        assert!(text.contains(
            r#"foresail_policy_limits_total{namespace="shop",policy="web",reason="TooManyReplicas"} 1"#
        ));
        assert!(text.contains(r#"type="Ready",status="False"} 1"#), "{text}");
        assert!(!text.contains(r#"type="Ready",status="True"} 1"#), "one truth at a time: {text}");
        assert_eq!(before, 0);
        drop(policy);
        assert!(!metrics.text().contains("policy=\"web\""), "{}", metrics.text());
    }

    #[test]
    fn a_slow_decision_carries_its_trace() {
        let metrics = Metrics::new();
        let policy = metrics.policy("shop", "web");
        policy.decided(DecisionOutcome::Scale, 0.02, Some("0af7651916cd43dd8448eb211c80319c".into()));
        let text = metrics.text();
        assert!(text.contains(r#"# {trace_id="0af7651916cd43dd8448eb211c80319c"}"#), "{text}");
    }

    #[test]
    fn without_series_for_policies_the_sums_remain() {
        let metrics = Metrics::new().per_policy(false);
        let policy = metrics.policy("shop", "web");
        policy.decided(DecisionOutcome::Scale, 0.02, None);
        policy.replicas(ReplicaFigures::default());
        let text = metrics.text();
        assert!(!text.contains("policy=\"web\""));
        assert!(text.contains("foresail_decision_duration_seconds_count 1"), "{text}");
    }

    #[test]
    fn every_registered_name_is_what_the_text_shows() {
        let metrics = Metrics::new();
        let text = metrics.text();
        for entry in metrics.entries().iter().filter(|e| e.name.starts_with("process_")) {
            assert!(text.lines().any(|l| l.starts_with(&entry.name)), "{} isn't in {text}", entry.name);
        }
        assert!(text.ends_with("# EOF\n"));
    }
}
