//! The health check: one probe of one component, when to believe it, and what the component depends on.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{SecretKeyRef, Tls};
use crate::units::{DURATION_PATTERN, Quantity};

/// How one component is probed. Exactly one of http, tcp, grpc, promql, workload, redis, postgres, rabbitmq, kafka
/// and nats.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "foresail.dev",
    version = "v1alpha1",
    kind = "HealthCheck",
    plural = "healthchecks",
    namespaced,
    status = "HealthCheckStatus",
    derive = "PartialEq",
    shortname = "hchk",
    category = "scaling",
    doc = "HealthCheck is one probe of one component of the system, and what that component depends on.",
    printcolumn(name = "Kind", type_ = "string", json_path = ".status.kind"),
    printcolumn(name = "Status", type_ = "string", json_path = ".status.status"),
    printcolumn(name = "Since", type_ = "date", json_path = ".status.since"),
    printcolumn(
        name = "Cause",
        type_ = "string",
        json_path = ".status.causes[0]",
        description = "The component where the trouble began, where it isn't this one"
    ),
    printcolumn(name = "Output", type_ = "string", json_path = ".status.output", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[has(self.http), has(self.tcp), has(self.grpc), has(self.promql), has(self.workload), has(self.redis), has(self.postgres), has(self.rabbitmq), has(self.kafka), has(self.nats)].filter(x, x).size() == 1")
        .message("set exactly one of http, tcp, grpc, promql, workload, redis, postgres, rabbitmq, kafka and nats")
)]
pub struct HealthCheckSpec {
    /// An HTTP request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpCheck>,
    /// A TCP connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<TcpCheck>,
    /// The gRPC health protocol (grpc.health.v1.Health/Check).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grpc: Option<GrpcCheck>,
    /// A Prometheus query with bounds: pool usage, cache hit rate, a backlog, anything that is measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promql: Option<PromqlCheck>,
    /// A workload in this namespace: are enough replicas available, does a container crash again and again, is a rollout
    /// stuck.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload: Option<WorkloadCheck>,
    /// Redis answers PING.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redis: Option<BrokerCheck>,
    /// PostgreSQL answers SELECT 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postgres: Option<PostgresCheck>,
    /// RabbitMQ lets us sign in and open the virtual host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rabbitmq: Option<RabbitmqCheck>,
    /// A Kafka broker answers, and every partition of the named topics has a leader.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kafka: Option<KafkaCheck>,
    /// NATS answers PING.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nats: Option<BrokerCheck>,
    /// From one probe to the next. Default: 5s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = DURATION_PATTERN))]
    pub interval: Option<String>,
    /// How long a probe may take. Default: 3s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = DURATION_PATTERN))]
    pub timeout: Option<String>,
    /// So many failures in a row make the component down. Default: 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub failure_threshold: Option<i32>,
    /// So many successes in a row make it well again. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub success_threshold: Option<i32>,
    /// Failures don't count for so long after the check was created, or until the first success. Default: 0s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = DURATION_PATTERN))]
    pub start_up_grace: Option<String>,
    /// Critical (default): its groups are down when it is down. Optional: they are degraded.
    #[serde(default)]
    pub criticality: Criticality,
    /// What this component needs. While one of these is down, this one's failure is a consequence and starts no alert.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub depends_on: Vec<DependencyRef>,
    /// Groups this component belongs to. Default: one, named like the namespace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 63)), extend("x-kubernetes-list-type" = "set"))]
    pub groups: Vec<String>,
}

/// How much a component matters to its groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Criticality {
    /// Its groups are down when it is down.
    #[default]
    Critical,
    /// Its groups are degraded when it is down.
    Optional,
}

/// Another component, by the name of its HealthCheck.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DependencyRef {
    /// The HealthCheck's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Its namespace. Default: this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
    /// The component works without it, but not as well.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
}

/// An HTTP request and what its answer must be.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpCheck {
    /// The address to ask, http or https.
    #[schemars(length(min = 1, max = 2048), regex(pattern = r"^https?://.+"))]
    pub url: String,
    /// GET (default), HEAD or POST.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^(GET|HEAD|POST)$"))]
    pub method: Option<String>,
    /// Headers to send.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub headers: Vec<super::Header>,
    /// Status codes that are well: single ones and ranges. Default: 200-399.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(regex(pattern = "^[1-5][0-9]{2}(-[1-5][0-9]{2})?$")))]
    pub statuses: Vec<String>,
    /// Text that the body must contain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub body_contains: Option<String>,
    /// A value in a JSON body that must be as said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json: Option<JsonExpectation>,
    /// Slower than this is degraded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[0-9]{1,6}(ms|s)$"))]
    pub warn_above: Option<String>,
    /// Slower than this is down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[0-9]{1,6}(ms|s)$"))]
    pub fail_above: Option<String>,
    /// A certificate that expires sooner than this is degraded. Default: 14d.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = DURATION_PATTERN))]
    pub certificate_warn_before: Option<String>,
    /// Certificates, where the server has its own authority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
}

/// A value in a JSON body.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JsonExpectation {
    /// Where it is, as a JSON pointer (`/status`) or a dotted path (`$.checks[0].status`).
    #[schemars(length(min = 1, max = 256))]
    pub path: String,
    /// What it must be, written as text. Without, it must be there and neither false nor null.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub equals: Option<String>,
}

/// A TCP connection.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TcpCheck {
    /// Host and port.
    #[schemars(length(min = 3, max = 300), regex(pattern = ".+:[0-9]{1,5}$"))]
    pub address: String,
}

/// The gRPC health protocol.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GrpcCheck {
    /// Host and port.
    #[schemars(length(min = 3, max = 300), regex(pattern = ".+:[0-9]{1,5}$"))]
    pub address: String,
    /// The service to ask about. Default: the whole server.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 253))]
    pub service: String,
    /// Speak TLS; set to an empty object to use the public authorities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
}

/// A Prometheus query and its bounds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.warnAbove) || has(self.failAbove) || has(self.warnBelow) || has(self.failBelow)")
        .message("set at least one of warnAbove, failAbove, warnBelow and failBelow")
)]
pub struct PromqlCheck {
    /// A query that gives one number.
    #[schemars(length(min = 1, max = 8192))]
    pub query: String,
    /// The Prometheus to ask. Default: the one Foresail was started with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prometheus: Option<super::PrometheusServer>,
    /// Above this is degraded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warn_above: Option<Quantity>,
    /// Above this is down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fail_above: Option<Quantity>,
    /// Below this is degraded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warn_below: Option<Quantity>,
    /// Below this is down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fail_below: Option<Quantity>,
    /// The number's unit, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 32))]
    pub unit: String,
}

/// A workload in the check's namespace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadCheck {
    /// Deployment (default), StatefulSet or DaemonSet.
    #[serde(default = "deployment")]
    #[schemars(regex(pattern = "^(Deployment|StatefulSet|DaemonSet)$"))]
    pub kind: String,
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Fewer available than this share of the wanted replicas is down; fewer than all is degraded. Default: 50%.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[0-9]{1,3}(\.[0-9]+)?%$"))]
    pub min_available: Option<String>,
}

impl Default for WorkloadCheck {
    fn default() -> Self {
        Self { kind: deployment(), name: String::new(), min_available: None }
    }
}

fn deployment() -> String {
    "Deployment".into()
}

/// A server that answers a ping.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BrokerCheck {
    /// Host and port.
    #[schemars(length(min = 3, max = 300), regex(pattern = ".+:[0-9]{1,5}$"))]
    pub address: String,
    /// The user's name, where one is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub username: Option<String>,
    /// The Secret's key that holds the password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_secret_ref: Option<SecretKeyRef>,
    /// Speak TLS; set to an empty object to use the public authorities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
}

/// A PostgreSQL server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PostgresCheck {
    /// Host and port.
    #[schemars(length(min = 3, max = 300), regex(pattern = ".+:[0-9]{1,5}$"))]
    pub address: String,
    /// The database. Default: postgres.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub database: Option<String>,
    /// The user's name. Default: postgres.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub username: Option<String>,
    /// The Secret's key that holds the password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_secret_ref: Option<SecretKeyRef>,
    /// Speak TLS; set to an empty object to use the public authorities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
}

/// A RabbitMQ server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RabbitmqCheck {
    /// Host and port (AMQP 0-9-1).
    #[schemars(length(min = 3, max = 300), regex(pattern = ".+:[0-9]{1,5}$"))]
    pub address: String,
    /// The virtual host. Default: /.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub virtual_host: Option<String>,
    /// The user's name. Default: guest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub username: Option<String>,
    /// The Secret's key that holds the password. Default: the password guest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_secret_ref: Option<SecretKeyRef>,
    /// Speak TLS; set to an empty object to use the public authorities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
}

/// A Kafka broker and topics.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KafkaCheck {
    /// Host and port of a broker.
    #[schemars(length(min = 3, max = 300), regex(pattern = ".+:[0-9]{1,5}$"))]
    pub address: String,
    /// Topics whose partitions must all have a leader.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 249)))]
    pub topics: Vec<String>,
    /// Speak TLS; set to an empty object to use the public authorities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
}

/// How the component is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HealthCheckStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The kind of probe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// pass, warn, fail, unknown or maintenance: dependencies and the agreement of all probers included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// When the status last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// What the component says of itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own: Option<String>,
    /// It changed too often lately.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub flapping: bool,
    /// What the probe said when the status last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// The components where the trouble began, where it isn't this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    /// Components that are in trouble because of this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub consequences: Vec<String>,
    /// How many probers look, and how many of them see it down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub votes: Option<String>,
    /// Ready: the check is valid and runs. Healthy: the component is well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}
