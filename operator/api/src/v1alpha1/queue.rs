//! A queue to scale its consumers on: which broker, which queue, and how to sign in there.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{BasicAuth, SecretKeyRef, Tls};
use crate::units::Quantity;

/// A queue whose consumers are scaled so that what waits is worked off in time (see drainWithin). Set exactly one
/// broker. For a broker that isn't listed, let Prometheus scrape it and use queue.prometheus.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new(
        "[has(self.kafka), has(self.rabbitmq), has(self.redis), has(self.nats), has(self.sqs), has(self.prometheus)]\
         .filter(b, b).size() == 1"
    )
    .message("set exactly one of kafka, rabbitmq, redis, nats, sqs and prometheus")
)]
pub struct Queue {
    /// The lag of a Kafka consumer group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kafka: Option<KafkaQueue>,
    /// A RabbitMQ queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rabbitmq: Option<RabbitMqQueue>,
    /// A Redis list, or a consumer group of a Redis stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redis: Option<RedisQueue>,
    /// A consumer of a NATS JetStream stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nats: Option<NatsQueue>,
    /// An Amazon SQS queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sqs: Option<SqsQueue>,
    /// Any other queue, through queries of the policy's Prometheus.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prometheus: Option<PrometheusQueue>,
    /// A PromQL query for how many messages arrive per second, such as sum(rate(orders_published_total[2m])). With it
    /// arrivals are forecast from their history in the policy's Prometheus. Without it they are what the broker counts,
    /// and are forecast from what Foresail has seen since it started; a Redis list, SQS and AMQP count nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub arrivals: Option<String>,
    /// How many messages one replica works off in a second. Without it that is learned from what the broker counts as
    /// worked off; a Redis list and SQS count nothing, so set it there (or arrivals). A quantity: 20, 0.5 or 500m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throughput_per_replica: Option<Quantity>,
    /// From how many waiting messages on the first replica is started, where minReplicas is 0. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub activation_backlog: Option<i64>,
    /// Which consumers are busy, so that idle ones go first when there are fewer. For a Deployment or ReplicaSet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub busy: Option<BusyConsumers>,
}

/// Which consumers are busy. Before replicas are removed, their pods get the annotation
/// controller.kubernetes.io/pod-deletion-cost, and Kubernetes removes those with the least work first. Foresail must be
/// allowed to patch pods (chart value rbac.protectBusyPods).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BusyConsumers {
    /// A PromQL query with one value for each pod: how much work it would lose, such as
    /// sum by (pod) (worker_jobs_in_progress). 0, or no value, is idle.
    #[schemars(length(min = 1, max = 4096))]
    pub query: String,
    /// The label that names the pod. Default: pod
    #[serde(default = "pod")]
    #[schemars(length(min = 1, max = 128), regex(pattern = "^[a-zA-Z_][a-zA-Z0-9_]*$"))]
    pub pod_label: String,
}

impl Queue {
    /// Whether the broker counts what comes in, so that its arrivals have a past that can be learned from.
    pub fn counts_arrivals(&self) -> bool {
        let management = |queue: &RabbitMqQueue| queue.address.starts_with("http");
        self.kafka.is_some()
            || self.nats.is_some()
            || self.rabbitmq.as_ref().is_some_and(management)
            || self.redis.as_ref().is_some_and(|redis| redis.stream.is_some())
    }

    /// The queue in a few words, without anything secret: `kafka orders of shop`.
    pub fn describe(&self) -> String {
        if let Some(kafka) = &self.kafka {
            return format!("kafka {} of {}", kafka.topics.join(", "), kafka.consumer_group);
        }
        if let Some(rabbitmq) = &self.rabbitmq {
            return format!("rabbitmq {} in {}", rabbitmq.queue, rabbitmq.vhost);
        }
        if let Some(redis) = &self.redis {
            return match (&redis.list, &redis.stream) {
                (Some(list), _) => format!("redis list {list}"),
                (None, Some(stream)) => format!("redis stream {} of {}", stream.key, stream.group),
                (None, None) => "redis".to_owned(),
            };
        }
        if let Some(nats) = &self.nats {
            return format!("nats {} of {}", nats.stream, nats.consumer);
        }
        if let Some(sqs) = &self.sqs {
            return format!("sqs {}", sqs.queue_url);
        }
        self.prometheus.as_ref().map_or_else(String::new, |prometheus| prometheus.backlog.clone())
    }
}

/// The lag of a Kafka consumer group: messages written and not yet committed, summed over all partitions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KafkaQueue {
    /// Addresses to begin with, as host:port. All brokers must be reachable under the addresses they advertise.
    #[schemars(
        length(min = 1, max = 16),
        inner(length(min = 1, max = 259), regex(pattern = r"^[^:/]+:[0-9]{1,5}$|^\[.+\]:[0-9]{1,5}$"))
    )]
    pub bootstrap_servers: Vec<String>,
    /// The consumer group.
    #[schemars(length(min = 1, max = 255))]
    pub consumer_group: String,
    /// The topics whose lag counts.
    #[schemars(
        length(min = 1, max = 32),
        inner(length(min = 1, max = 249), regex(pattern = "^[a-zA-Z0-9._-]+$"))
    )]
    pub topics: Vec<String>,
    /// Where the group begins on a partition that it never committed: what its consumers have as auto.offset.reset.
    /// Earliest (default): everything in the partition waits. Latest: nothing of it does.
    #[serde(default)]
    pub offset_reset: OffsetReset,
    /// User and password. Without it no authentication is tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sasl: Option<Sasl>,
    /// Connect with TLS. An empty object will do where the certificate is signed by a public authority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
}

/// Where a consumer group begins that has no committed offset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OffsetReset {
    /// At the oldest message.
    #[default]
    Earliest,
    /// At the end.
    Latest,
}

/// How to sign in to Kafka.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Sasl {
    /// PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.
    pub mechanism: SaslMechanism,
    /// The user's name.
    #[schemars(length(min = 1, max = 253))]
    pub username: String,
    /// The Secret's key that holds the password.
    pub password_secret_ref: SecretKeyRef,
}

/// The mechanisms of SASL that are spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SaslMechanism {
    /// Password in the clear: only together with TLS.
    #[serde(rename = "PLAIN")]
    Plain,
    /// Challenge and response with SHA-256.
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// Challenge and response with SHA-512.
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
}

/// A RabbitMQ queue: messages ready and delivered but not yet acknowledged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RabbitMqQueue {
    /// The management API (http://rabbitmq:15672, the better choice: it knows rates and unacknowledged messages) or
    /// AMQP itself (amqp://rabbitmq:5672, amqps://rabbitmq:5671).
    #[schemars(length(min = 1, max = 2048), regex(pattern = "^(https?|amqps?)://[^@]+$"))]
    pub address: String,
    /// The virtual host. Default: /
    #[serde(default = "slash")]
    #[schemars(length(min = 1, max = 255))]
    pub vhost: String,
    /// The queue's name.
    #[schemars(length(min = 1, max = 255))]
    pub queue: String,
    /// User and password.
    pub auth: BasicAuth,
    /// Certificates, where the address is https or amqps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
}

/// A Redis list, or a consumer group of a stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.list) != has(self.stream)").message("set exactly one of list and stream")
)]
pub struct RedisQueue {
    /// The server, as host:port.
    #[schemars(length(min = 1, max = 259), regex(pattern = r"^[^:/]+:[0-9]{1,5}$|^\[.+\]:[0-9]{1,5}$"))]
    pub address: String,
    /// The number of the database. Default: 0.
    #[serde(default)]
    #[schemars(range(min = 0, max = 16384))]
    pub database: i32,
    /// The key of a list. Its length is the backlog; an absent key is an empty list, as Redis itself has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub list: Option<String>,
    /// A consumer group of a stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<RedisStream>,
    /// The user's name. Without it the password is that of the default user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub username: Option<String>,
    /// The Secret's key that holds the password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_secret_ref: Option<SecretKeyRef>,
    /// Connect with TLS. An empty object will do where the certificate is signed by a public authority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
}

/// A consumer group of a Redis stream: entries not yet delivered, and delivered but not yet acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RedisStream {
    /// The key of the stream.
    #[schemars(length(min = 1, max = 1024))]
    pub key: String,
    /// The consumer group.
    #[schemars(length(min = 1, max = 1024))]
    pub group: String,
}

/// A durable consumer of a JetStream stream: messages not yet delivered, and delivered but not yet acknowledged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[has(self.auth), has(self.tokenSecretRef), has(self.credentialsSecretRef)].filter(a, a).size() <= 1")
        .message("set at most one of auth, tokenSecretRef and credentialsSecretRef")
)]
pub struct NatsQueue {
    /// The server: nats://nats:4222 or tls://nats:4222.
    #[schemars(length(min = 1, max = 2048), regex(pattern = "^(nats|tls)://[^@]+$"))]
    pub address: String,
    /// The stream.
    #[schemars(length(min = 1, max = 255))]
    pub stream: String,
    /// The durable consumer.
    #[schemars(length(min = 1, max = 255))]
    pub consumer: String,
    /// The JetStream domain, where the stream lives behind a leaf node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub domain: Option<String>,
    /// User and password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<BasicAuth>,
    /// The Secret's key that holds a token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_secret_ref: Option<SecretKeyRef>,
    /// The Secret's key that holds a credentials file (JWT and NKey seed).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_secret_ref: Option<SecretKeyRef>,
    /// Certificates, where the server wants TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
}

/// An Amazon SQS queue: visible messages, and those in flight. SQS counts approximately.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.accessKeyIdSecretRef) == has(self.secretAccessKeySecretRef)")
        .message("set accessKeyIdSecretRef and secretAccessKeySecretRef together"),
    validation = Rule::new("!has(self.sessionTokenSecretRef) || has(self.accessKeyIdSecretRef)")
        .message("sessionTokenSecretRef needs accessKeyIdSecretRef")
)]
pub struct SqsQueue {
    /// The queue's URL, such as https://sqs.eu-central-1.amazonaws.com/123456789012/orders.
    #[schemars(length(min = 1, max = 2048), regex(pattern = "^https?://[^@]+/.+$"))]
    pub queue_url: String,
    /// The region. Default: what the URL says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[a-z0-9-]+$"))]
    pub region: Option<String>,
    /// The Secret's key that holds an access key's id. Without it Foresail signs in as its own service account (IAM
    /// roles for service accounts) or with the keys in its environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_key_id_secret_ref: Option<SecretKeyRef>,
    /// The Secret's key that holds the access key itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_access_key_secret_ref: Option<SecretKeyRef>,
    /// The Secret's key that holds a session token, for temporary keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_token_secret_ref: Option<SecretKeyRef>,
}

/// A queue that Prometheus knows: one query each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PrometheusQueue {
    /// How many messages wait.
    #[schemars(length(min = 1, max = 4096))]
    pub backlog: String,
    /// How old the oldest waiting message is, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub oldest_age: Option<String>,
}

fn pod() -> String {
    "pod".to_owned()
}

fn slash() -> String {
    "/".to_owned()
}
