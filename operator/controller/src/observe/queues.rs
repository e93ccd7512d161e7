//! From a queue as the policy writes it to a source that can be asked. Secrets are resolved by the caller's
//! resolver; which connections are shared is the sources' business.

use std::sync::Arc;

use api::v1alpha1::{
    KafkaQueue, NatsQueue, OffsetReset, Queue, RabbitMqQueue, RedisQueue, SaslMechanism, SecretKeyRef,
    SqsQueue,
};
use secrecy::{ExposeSecret, SecretString};
use series::{Absence, AbsenceReason};
use sources::prometheus::Config as Prometheus;
use sources::queue::{kafka, nats, prometheus, rabbitmq, redis, sqs};
use sources::tls::Identity;
use sources::{Pool, QueueSource, Tls};

use crate::observe::secrets::Resolver;

/// A queue with every secret resolved; nothing is connected yet.
pub(crate) enum Plan {
    Kafka(kafka::Config),
    RabbitMq(rabbitmq::Config),
    Redis(redis::Config),
    Nats(nats::Config),
    Sqs(sqs::Config),
    Prometheus { backlog: Prometheus, oldest_age: Option<String> },
}

/// Resolves what `queue` refers to. `prometheus` is the policy's server with the query asked of it.
pub(crate) async fn plan(
    queue: &Queue,
    secrets: &mut Resolver<'_>,
    prometheus: impl FnOnce(String) -> Result<Prometheus, Absence>,
) -> Result<Plan, Absence> {
    if let Some(queue) = &queue.kafka {
        return plan_kafka(queue, secrets).await;
    }
    if let Some(queue) = &queue.rabbitmq {
        return plan_rabbitmq(queue, secrets).await;
    }
    if let Some(queue) = &queue.redis {
        return plan_redis(queue, secrets).await;
    }
    if let Some(queue) = &queue.nats {
        return plan_nats(queue, secrets).await;
    }
    if let Some(queue) = &queue.sqs {
        return plan_sqs(queue, secrets).await;
    }
    if let Some(queue) = &queue.prometheus {
        let backlog = prometheus(queue.backlog.clone())?;
        return Ok(Plan::Prometheus { backlog, oldest_age: queue.oldest_age.clone() });
    }
    Err(Absence::new(AbsenceReason::InvalidQuery, "the queue names no broker"))
}

impl Plan {
    /// The source itself.
    pub(crate) fn source(self, pool: &Pool) -> Result<Arc<dyn QueueSource>, Absence> {
        Ok(match self {
            Self::Kafka(config) => Arc::new(kafka::Kafka::new(pool, config)?),
            Self::RabbitMq(config) => Arc::new(rabbitmq::RabbitMq::new(pool, config)?),
            Self::Redis(config) => Arc::new(redis::Redis::new(pool, config)?),
            Self::Nats(config) => Arc::new(nats::Nats::new(pool, config)?),
            Self::Sqs(config) => Arc::new(sqs::Sqs::new(pool, config)?),
            Self::Prometheus { backlog, oldest_age } => {
                Arc::new(prometheus::Queries::new(pool, backlog, oldest_age)?)
            }
        })
    }
}

async fn plan_kafka(queue: &KafkaQueue, secrets: &mut Resolver<'_>) -> Result<Plan, Absence> {
    let sasl = match &queue.sasl {
        None => None,
        Some(sasl) => Some(kafka::Sasl {
            mechanism: match sasl.mechanism {
                SaslMechanism::Plain => kafka::Mechanism::Plain,
                SaslMechanism::ScramSha256 => kafka::Mechanism::ScramSha256,
                SaslMechanism::ScramSha512 => kafka::Mechanism::ScramSha512,
            },
            username: sasl.username.clone(),
            password: secrets.value(&sasl.password_secret_ref).await?,
        }),
    };
    Ok(Plan::Kafka(kafka::Config {
        bootstrap_servers: queue.bootstrap_servers.clone(),
        group: queue.consumer_group.clone(),
        topics: queue.topics.clone(),
        offset_reset: match queue.offset_reset {
            OffsetReset::Earliest => kafka::OffsetReset::Earliest,
            OffsetReset::Latest => kafka::OffsetReset::Latest,
        },
        sasl,
        tls: optional_tls(queue.tls.as_ref(), secrets).await?,
    }))
}

async fn plan_rabbitmq(queue: &RabbitMqQueue, secrets: &mut Resolver<'_>) -> Result<Plan, Absence> {
    Ok(Plan::RabbitMq(rabbitmq::Config {
        address: queue.address.clone(),
        vhost: queue.vhost.clone(),
        queue: queue.queue.clone(),
        username: queue.auth.username.clone(),
        password: secrets.value(&queue.auth.password_secret_ref).await?,
        tls: optional_tls(queue.tls.as_ref(), secrets).await?,
    }))
}

async fn plan_redis(queue: &RedisQueue, secrets: &mut Resolver<'_>) -> Result<Plan, Absence> {
    let which = match (&queue.list, &queue.stream) {
        (Some(list), _) => redis::Queue::List(list.clone()),
        (None, Some(stream)) => redis::Queue::Stream { key: stream.key.clone(), group: stream.group.clone() },
        (None, None) => {
            return Err(Absence::new(
                AbsenceReason::InvalidQuery,
                "queue.redis names neither list nor stream",
            ));
        }
    };
    Ok(Plan::Redis(redis::Config {
        address: queue.address.clone(),
        database: i64::from(queue.database),
        username: queue.username.clone(),
        password: optional(queue.password_secret_ref.as_ref(), secrets).await?,
        tls: optional_tls(queue.tls.as_ref(), secrets).await?,
        queue: which,
    }))
}

async fn plan_nats(queue: &NatsQueue, secrets: &mut Resolver<'_>) -> Result<Plan, Absence> {
    let auth = match (&queue.auth, &queue.token_secret_ref, &queue.credentials_secret_ref) {
        (Some(basic), ..) => nats::Auth::User {
            username: basic.username.clone(),
            password: secrets.value(&basic.password_secret_ref).await?,
        },
        (None, Some(token), _) => nats::Auth::Token(secrets.value(token).await?),
        (None, None, Some(file)) => nats::Auth::Credentials(secrets.value(file).await?),
        (None, None, None) => nats::Auth::None,
    };
    Ok(Plan::Nats(nats::Config {
        address: queue.address.clone(),
        stream: queue.stream.clone(),
        consumer: queue.consumer.clone(),
        domain: queue.domain.clone(),
        auth,
        tls: optional_tls(queue.tls.as_ref(), secrets).await?,
    }))
}

async fn plan_sqs(queue: &SqsQueue, secrets: &mut Resolver<'_>) -> Result<Plan, Absence> {
    let sign_in = match (&queue.access_key_id_secret_ref, &queue.secret_access_key_secret_ref) {
        (Some(id), Some(key)) => sqs::SignIn::Keys(sqs::Keys {
            id: secrets.value(id).await?,
            secret: secrets.value(key).await?,
            token: optional(queue.session_token_secret_ref.as_ref(), secrets).await?,
        }),
        _ => sqs::SignIn::Ambient,
    };
    Ok(Plan::Sqs(sqs::Config { queue_url: queue.queue_url.clone(), region: queue.region.clone(), sign_in }))
}

async fn optional(
    reference: Option<&SecretKeyRef>,
    secrets: &mut Resolver<'_>,
) -> Result<Option<SecretString>, Absence> {
    match reference {
        Some(reference) => secrets.value(reference).await.map(Some),
        None => Ok(None),
    }
}

async fn optional_tls(
    written: Option<&api::v1alpha1::Tls>,
    secrets: &mut Resolver<'_>,
) -> Result<Option<Tls>, Absence> {
    match written {
        Some(written) => tls(written, secrets).await.map(Some),
        None => Ok(None),
    }
}

/// Certificates as the sources want them.
pub(crate) async fn tls(written: &api::v1alpha1::Tls, secrets: &mut Resolver<'_>) -> Result<Tls, Absence> {
    let ca = optional(written.ca_secret_ref.as_ref(), secrets).await?;
    let identity = match (&written.cert_secret_ref, &written.key_secret_ref) {
        (Some(certificate), Some(key)) => Some(Identity {
            certificate: secrets.value(certificate).await?.expose_secret().to_owned(),
            key: secrets.value(key).await?,
        }),
        _ => None,
    };
    Ok(Tls {
        ca: ca.map(|ca| ca.expose_secret().to_owned()),
        identity,
        server_name: written.server_name.clone(),
        insecure_skip_verify: written.insecure_skip_verify,
    })
}
