//! RabbitMQ: one queue, seen through the management API (counters, rates, what is in flight) or through AMQP itself
//! (only what waits, and who consumes).

mod amqp;
mod management;

use std::fmt;

use async_trait::async_trait;
use jiff::Timestamp;
use secrecy::SecretString;
use series::{Absence, AbsenceReason};

use super::{QueueReading, QueueSource};
use crate::Tls;
use crate::http::Pool;

/// Which queue on which server.
#[derive(Clone, Debug)]
pub struct Config {
    /// `http://host:15672` or `https://...` for the management API, `amqp://host:5672` or `amqps://host:5671`.
    pub address: String,
    /// The virtual host; `/` is the default one.
    pub vhost: String,
    /// The queue.
    pub queue: String,
    /// The user.
    pub username: String,
    /// The password.
    pub password: SecretString,
    /// Certificates, where the address is https or amqps.
    pub tls: Option<Tls>,
}

/// One queue; connections are shared by all queues of that server, virtual host and user.
pub struct RabbitMq {
    way: Way,
}

enum Way {
    Management(management::Management),
    Amqp(amqp::Amqp),
}

impl fmt::Debug for RabbitMq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (server, queue) = match &self.way {
            Way::Management(management) => management.names(),
            Way::Amqp(amqp) => amqp.names(),
        };
        f.debug_struct("RabbitMq").field("server", &server).field("queue", &queue).finish()
    }
}

impl RabbitMq {
    /// Makes the source; nothing is asked yet. Refused where the address is none, or a certificate can't be used.
    pub fn new(pool: &Pool, config: Config) -> Result<Self, Absence> {
        let url = url::Url::parse(&config.address).map_err(|e| {
            invalid(format!("the address isn't a URL ({e}); write it like http://rabbitmq:15672"))
        })?;
        let host = url.host_str().ok_or_else(|| invalid("the address has no host".to_owned()))?;
        let way = match url.scheme() {
            "http" | "https" => Way::Management(management::Management::new(pool, &url, config)?),
            "amqp" => Way::Amqp(amqp::Amqp::new(pool, host, url.port().unwrap_or(5672), false, &config)?),
            "amqps" => Way::Amqp(amqp::Amqp::new(pool, host, url.port().unwrap_or(5671), true, &config)?),
            other => {
                return Err(invalid(format!(
                    "the address begins with {other}; write http, https, amqp or amqps"
                )));
            }
        };
        Ok(Self { way })
    }
}

#[async_trait]
impl QueueSource for RabbitMq {
    async fn read(&self, now: Timestamp) -> Result<QueueReading, Absence> {
        match &self.way {
            Way::Management(management) => management.read(now).await,
            Way::Amqp(amqp) => amqp.read(now).await,
        }
    }
}

fn invalid(message: String) -> Absence {
    Absence::new(AbsenceReason::InvalidQuery, message)
}
