//! The labels of the families. Every set of values is closed or bounded by the number of resources: names of policies,
//! metrics, components and receivers come from the cluster; everything else is a word from an enum or a constant.

use std::fmt::Write as _;
use std::sync::Arc;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};

/// Makes an enum whose variants are label values.
macro_rules! words {
    ($(#[$outer:meta])* $name:ident { $($(#[$inner:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$inner])* $variant),+ }

        impl $name {
            /// All of them, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word used as the label's value.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl EncodeLabelValue for $name {
            fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
                encoder.write_str(self.as_str())
            }
        }
    };
}

words! {
    /// A way of reckoning replicas.
    CandidateKind {
        /// From the value now, as the HPA does.
        Reactive = "reactive",
        /// From the forecast over the lead time.
        Predictive = "predictive",
        /// From a calendar.
        Calendar = "calendar",
        /// From a queue's backlog.
        Backlog = "backlog",
        /// What the policy says for blindness.
        Fallback = "fallback",
    }
}

words! {
    /// Which way replicas went.
    Direction {
        /// More.
        Up = "up",
        /// Fewer.
        Down = "down",
    }
}

words! {
    /// What came of a decision.
    DecisionOutcome {
        /// Nothing to change.
        Hold = "hold",
        /// Replicas were changed.
        Scale = "scale",
        /// A change was only suggested: the mode is Recommend, or scaling is paused.
        Suggest = "suggest",
        /// The API server refused the change.
        Refused = "refused",
    }
}

words! {
    /// Which line of a forecast.
    Bound {
        /// The median.
        Mid = "mid",
        /// The quantile that protection asks for.
        Upper = "upper",
    }
}

words! {
    /// The three truths of a condition.
    Truth {
        /// Holds.
        True = "True",
        /// Doesn't hold.
        False = "False",
        /// Can't be told.
        Unknown = "Unknown",
    }
}

words! {
    /// How an attempt ended.
    Outcome {
        /// As wanted.
        Success = "success",
        /// Not.
        Failure = "failure",
    }
}

words! {
    /// A step of one decision; each is a span of its trace as well.
    Step {
        /// Reading target, pods and conditions.
        Observe = "observe",
        /// Reading metrics and queues.
        Read = "read",
        /// Asking the forecast.
        Forecast = "forecast",
        /// From candidates to a plan.
        Decide = "decide",
        /// Writing the scale.
        Actuate = "actuate",
        /// Status, event, snapshot.
        Report = "report",
    }
}

words! {
    /// What telemetry is sent by OTLP.
    Signal {
        /// Spans.
        Traces = "traces",
        /// Metric points.
        Metrics = "metrics",
        /// Log records.
        Logs = "logs",
    }
}

/// A policy.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PolicyLabels {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub policy: Arc<str>,
}

macro_rules! policy_labels {
    ($($(#[$outer:meta])* $name:ident { $($field:ident: $type:ty),+ $(,)? })+) => {$(
        $(#[$outer])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
        #[allow(missing_docs, reason = "the fields are the labels, described in the generated reference")]
        pub struct $name { pub namespace: Arc<str>, pub policy: Arc<str>, $(pub $field: $type),+ }
    )+};
}

policy_labels! {
    /// A policy's constant facts.
    InfoLabels { mode: Arc<str>, target_kind: Arc<str>, target_name: Arc<str> }
    /// A condition of a policy and its truth.
    ConditionLabels { r#type: &'static str, status: Truth }
    /// A metric of a policy.
    MetricLabels { metric: Arc<str> }
    /// A metric of a policy and a way of reckoning.
    CandidateLabels { metric: Arc<str>, candidate: CandidateKind }
    /// A metric of a policy and a line of its forecast.
    BoundLabels { metric: Arc<str>, bound: Bound }
    /// A metric of a policy and why it is absent.
    AbsenceLabels { metric: Arc<str>, reason: &'static str }
    /// A policy and a word that says why.
    ReasonLabels { reason: &'static str }
    /// A policy and what came of a decision.
    OutcomeLabels { outcome: DecisionOutcome }
    /// A policy, a direction and what the change followed.
    ScaleLabels { direction: Direction, candidate: CandidateKind }
}

macro_rules! plain_labels {
    ($($(#[$outer:meta])* $name:ident { $($field:ident: $type:ty),+ $(,)? })+) => {$(
        $(#[$outer])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
        #[allow(missing_docs, reason = "the fields are the labels, described in the generated reference")]
        pub struct $name { $(pub $field: $type),+ }
    )+};
}

plain_labels! {
    /// The build.
    BuildLabels { version: Arc<str>, revision: Arc<str>, rustc: Arc<str> }
    /// A step of a decision.
    StepLabels { step: Step }
    /// A probed component.
    ComponentLabels { namespace: Arc<str>, component: Arc<str> }
    /// A probed component and its status.
    StatusLabels { namespace: Arc<str>, component: Arc<str>, status: &'static str }
    /// A probed component and the result of one probe.
    CheckLabels { namespace: Arc<str>, component: Arc<str>, result: Outcome }
    /// A kind of probe.
    KindLabels { kind: &'static str }
    /// An alert rule.
    AlertLabels { alert: &'static str, severity: &'static str }
    /// A receiver of alerts.
    ReceiverLabels { receiver: Arc<str>, r#type: &'static str }
    /// A receiver and why it didn't take a message.
    DeliveryFailureLabels { receiver: Arc<str>, r#type: &'static str, reason: &'static str }
    /// A call to the Kubernetes API.
    ApiLabels { verb: &'static str, resource: &'static str, code: &'static str }
    /// A verb of the Kubernetes API.
    VerbLabels { verb: &'static str }
    /// A source of metrics and how a call to it ended.
    SourceLabels { source: &'static str, result: &'static str }
    /// A source of metrics.
    SourceKindLabels { source: &'static str }
    /// A kind of resource and how its reconciliation ended.
    ReconcileLabels { kind: &'static str, result: Outcome }
    /// A kind of resource.
    ResourceLabels { kind: &'static str }
    /// A route of the web server and a class of answers, as `2xx`.
    RouteLabels { route: &'static str, code: &'static str }
    /// How an attempt ended.
    ResultLabels { result: Outcome }
    /// A kind of telemetry.
    SignalLabels { signal: Signal }
    /// A trace, as an exemplar.
    TraceLabels { trace_id: String }
}
