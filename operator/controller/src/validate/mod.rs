//! The validate step: from the raw spec to an [`Intent`] in plain types, or to everything that is wrong with it.
//!
//! What comes in: an `AutoscalePolicySpec`, and nothing else. What goes out: what the other steps work with; none of
//! them looks at the raw spec again. The API server checks the same rules (its schema, CEL); objects that are older
//! than a rule were never held against it, so everything is checked here too. What this step refuses to know: clients and the clock.

mod behavior;
mod finding;
mod forecast;
mod metric;
mod prometheus;
mod unknown;

use std::time::Duration;

use api::v1alpha1::{AutoscalePolicySpec, Mode, PrometheusServer, Queue, Switch};
use autoscaler::SignalSpec;
use jiff::Timestamp;

use self::finding::Findings;
pub use self::finding::Invalid;
pub use self::unknown::unknown_fields;

/// What the user wants, checked and in plain types.
#[derive(Clone, Debug)]
pub struct Intent {
    /// What is scaled.
    pub target: Target,
    /// The decision's part. For a HorizontalPodAutoscaler without `maxReplicas` of its own the maximum is
    /// [`NO_MAXIMUM`] until the HPA is read; calendars are put in when they are read.
    pub policy: decide::Policy,
    /// Scaling rests, with an end and a reason.
    pub pause: Option<decide::Pause>,
    /// Where each metric of the policy is measured, in the same order.
    pub signals: Vec<Signal>,
    /// How to forecast; shared by the signals.
    pub forecast: ::forecast::Settings,
    /// The Prometheus named in the policy; `None` for the one Foresail was started with.
    pub prometheus: Option<PrometheusServer>,
    /// ScalingCalendars by name.
    pub calendars: Vec<String>,
    /// HealthChecks by name that must pass before replicas go down.
    pub checks: Vec<String>,
    /// Groups of HealthChecks by name that must pass before replicas go down.
    pub groups: Vec<String>,
}

/// The maximum of a policy that leaves it to its HorizontalPodAutoscaler.
pub const NO_MAXIMUM: u32 = i32::MAX as u32;

/// The kind whose `minReplicas` is driven instead of a scale.
pub const HPA: &str = "HorizontalPodAutoscaler";

/// What is scaled, as written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// The API version, where it was written.
    pub api_version: Option<String>,
    /// The kind.
    pub kind: String,
    /// The name, in the policy's namespace.
    pub name: String,
}

impl Target {
    /// Whether the policy drives an HPA's floor.
    pub fn is_hpa(&self) -> bool {
        self.kind == HPA
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

/// Where a metric is measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Signal {
    /// The metric's name.
    pub name: String,
    /// How to measure it.
    pub source: SignalSource,
}

impl Signal {
    /// What the autoscaler is told of the signal. Another query, queue or server is another series.
    pub(crate) fn spec(&self, intent: &Intent) -> SignalSpec {
        let keeps_history = match &self.source {
            SignalSource::Prometheus { .. } => true,
            SignalSource::Queue { queue } => queue.arrivals.is_some(),
        };
        let server = intent.prometheus.as_ref().map(|p| p.address.as_str()).unwrap_or_default();
        let written = match &self.source {
            // How busy replicas are is asked beside: another way to ask that is no other load.
            SignalSource::Prometheus { query, .. } => format!("{query:?} of {server:?}"),
            SignalSource::Queue { queue } => format!("{queue:?} of {server:?}"),
        };
        SignalSpec {
            identity: autoscaler::identity(&written),
            settings: intent.forecast.clone(),
            keeps_history,
            prepared: None,
        }
    }
}

/// How a metric is measured.
#[derive(Clone, Debug, PartialEq)]
pub enum SignalSource {
    /// A PromQL query.
    Prometheus {
        /// The query.
        query: String,
        /// How busy the replicas are, where their capacity is learned.
        utilization: Option<String>,
    },
    /// A queue of a broker.
    Queue {
        /// Which one, as written.
        queue: Box<Queue>,
    },
}

/// Checks a spec. `interval` is the time between two decisions. Everything that is wrong is named at once.
pub fn validate(spec: &AutoscalePolicySpec, interval: Duration) -> Result<Intent, Vec<Invalid>> {
    let mut findings = Findings::default();
    let target = target(spec, &mut findings);
    let bounds = bounds(spec, &target, &mut findings);
    let metrics = metric::metrics(spec, bounds.1, &mut findings);
    metric::sleep(spec, bounds.0, &mut findings);
    let ahead = forecast::forecast(spec, &mut findings);
    let behavior = spec.behavior.as_ref().map(|b| behavior::behavior(b, &mut findings));
    let pause = pause(spec, &mut findings);
    if let Some(server) = &spec.prometheus {
        prometheus::prometheus(server, &mut findings);
    }
    let (signals, metrics) = metrics.into_iter().unzip();
    let policy = decide::Policy {
        mode: match spec.mode {
            Mode::Auto => decide::Mode::Auto,
            Mode::Recommend => decide::Mode::Recommend,
        },
        min_replicas: bounds.0,
        max_replicas: bounds.1,
        metrics,
        behavior,
        tolerance: 0.1,
        lead_time: ahead.lead_time,
        protection: ahead.protection,
        forecast: match spec.forecast.mode {
            Switch::Auto => decide::ForecastUse::Auto,
            Switch::Off => decide::ForecastUse::Off,
        },
        calendar: Vec::new(),
        health_gate: true,
        steps: decide::StepLimits::default(),
        timing: decide::Timing { interval, ..decide::Timing::default() },
    };
    if findings.0.is_empty()
        && let Err(error) = policy.check()
    {
        findings.add("metrics", "not possible", error.to_string());
    }
    if !findings.0.is_empty() {
        return Err(findings.0);
    }
    let gate = spec.health_gate.clone().unwrap_or_default();
    Ok(Intent {
        target,
        policy,
        pause,
        signals,
        forecast: ahead.settings,
        prometheus: spec.prometheus.clone(),
        calendars: spec.calendar_refs.iter().map(|c| c.name.clone()).collect(),
        checks: gate.checks,
        groups: gate.groups,
    })
}

fn target(spec: &AutoscalePolicySpec, findings: &mut Findings) -> Target {
    let written = &spec.scale_target_ref;
    if written.name.is_empty() {
        findings.add("scaleTargetRef.name", "empty", "write the name of the workload");
    }
    if written.kind.is_empty() {
        findings.add("scaleTargetRef.kind", "empty", "write the kind, such as Deployment, or leave it out");
    }
    Target {
        api_version: written.api_version.clone().filter(|v| !v.is_empty()),
        kind: written.kind.clone(),
        name: written.name.clone(),
    }
}

fn bounds(spec: &AutoscalePolicySpec, target: &Target, findings: &mut Findings) -> (u32, u32) {
    let min = u32::try_from(spec.min_replicas).unwrap_or_else(|_| {
        findings.add("minReplicas", spec.min_replicas, "write 0 or more");
        0
    });
    let max = match spec.max_replicas {
        Some(max) if max >= 1 => max as u32,
        Some(max) => {
            findings.add("maxReplicas", max, "write 1 or more");
            return (min, NO_MAXIMUM);
        }
        None if target.is_hpa() => NO_MAXIMUM,
        None => {
            findings.add("maxReplicas", "missing", "write the most replicas there may be");
            return (min, NO_MAXIMUM);
        }
    };
    if min > max {
        findings.add("maxReplicas", max, format!("write at least minReplicas, which is {min}"));
    }
    (min, max)
}

fn pause(spec: &AutoscalePolicySpec, findings: &mut Findings) -> Option<decide::Pause> {
    let paused = spec.paused.as_ref()?;
    if let Ok(until) = paused.until.parse::<Timestamp>() {
        return Some(decide::Pause { until: Some(until), reason: paused.reason.clone() });
    }
    findings.add(
        "paused.until",
        format!("{:?}", paused.until),
        "write a moment such as 2027-01-31T18:00:00Z, or use `foresail pause`",
    );
    None
}

#[cfg(test)]
mod tests;
