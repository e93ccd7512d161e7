//! The management API: `GET /api/queues/VHOST/NAME`. Parsing is pure.

use jiff::Timestamp;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{AUTHORIZATION, HeaderValue};
use serde::Deserialize;
use series::{Absence, AbsenceReason, time};
use url::Url;

use super::{Config, invalid};
use crate::http::{Pool, body, failure};
use crate::prometheus::Auth;
use crate::queue::{Count, DEADLINE, QueueReading};

const LARGEST_ANSWER: usize = 4 << 20;

pub(super) struct Management {
    pool: Pool,
    client: reqwest::Client,
    server: String,
    queue: String,
    url: Url,
    authorization: HeaderValue,
}

impl Management {
    pub(super) fn new(pool: &Pool, address: &Url, config: Config) -> Result<Self, Absence> {
        let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let base = address.as_str().trim_end_matches('/');
        let url = format!("{base}/api/queues/{}/{}", encode(&config.vhost), encode(&config.queue));
        let url = Url::parse(&url).map_err(|e| invalid(format!("no address for the queue: {e}")))?;
        let auth = Auth::Basic { username: config.username, password: config.password };
        let authorization =
            auth.header()?.ok_or_else(|| invalid("the management API needs a user".to_owned()))?;
        let host = address.host_str().unwrap_or_default();
        let port = address.port_or_known_default().unwrap_or(15672);
        Ok(Self {
            pool: pool.clone(),
            client: pool.client(&config.tls.unwrap_or_default())?,
            server: format!("{}://{host}:{port}", address.scheme()),
            queue: format!("{} in virtual host {}", config.queue, config.vhost),
            url,
            authorization,
        })
    }

    pub(super) fn names(&self) -> (&str, &str) {
        (&self.server, &self.queue)
    }

    pub(super) async fn read(&self, now: Timestamp) -> Result<QueueReading, Absence> {
        self.pool
            .ask("rabbitmq", &self.server, now, DEADLINE, || async {
                let response = self
                    .client
                    .get(self.url.clone())
                    .header(AUTHORIZATION, self.authorization.clone())
                    .headers(self.pool.trace_headers())
                    .send()
                    .await
                    .map_err(|e| failure(&self.server, &e))?;
                let status = response.status().as_u16();
                let bytes = body(&self.server, response, LARGEST_ANSWER).await?;
                parse(&self.server, &self.queue, status, &bytes, now)
            })
            .await
    }
}

#[derive(Deserialize)]
struct Answer {
    state: Option<String>,
    messages_ready: Option<u64>,
    messages_unacknowledged: Option<u64>,
    consumers: Option<u32>,
    head_message_timestamp: Option<i64>,
    #[serde(default)]
    message_stats: Stats,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Stats {
    publish: Option<u64>,
    ack: u64,
    deliver_no_ack: u64,
    get_no_ack: u64,
}

fn parse(
    server: &str,
    queue: &str,
    status: u16,
    body: &[u8],
    now: Timestamp,
) -> Result<QueueReading, Absence> {
    let absent = |reason, message: &str| Err(Absence::new(reason, format!("{server}: {message}")));
    match status {
        200 => {}
        401 | 403 => {
            return absent(
                AbsenceReason::Unauthorized,
                "user or password are wrong, or the user lacks the tag 'monitoring'",
            );
        }
        404 => {
            return absent(
                AbsenceReason::NotFound,
                &format!("there is no queue {queue}, or no such virtual host"),
            );
        }
        429 | 500..=599 => {
            return absent(
                AbsenceReason::ServerError,
                &format!("the management API failed with HTTP {status}"),
            );
        }
        _ => {
            return absent(
                AbsenceReason::InvalidAnswer,
                &format!("this isn't RabbitMQ's management API (HTTP {status}); check the address"),
            );
        }
    }
    let Ok(answer) = serde_json::from_slice::<Answer>(body) else {
        return absent(AbsenceReason::InvalidAnswer, "this isn't how RabbitMQ describes a queue");
    };
    if let Some(state) =
        answer.state.as_deref().filter(|state| !matches!(*state, "running" | "idle" | "flow"))
    {
        return absent(
            AbsenceReason::Partial,
            &format!("queue {queue} is {state}; its messages can't be counted"),
        );
    }
    // The counts follow a few seconds after the queue; until then there is no number.
    let (Some(ready), Some(unacknowledged)) = (answer.messages_ready, answer.messages_unacknowledged) else {
        return absent(AbsenceReason::Partial, &format!("the messages of queue {queue} aren't counted yet"));
    };
    let stats = answer.message_stats;
    let served = stats.ack + stats.deliver_no_ack + stats.get_no_ack;
    Ok(QueueReading {
        in_flight: Some(unacknowledged),
        arrivals: stats.publish.map(Count::Total),
        served: stats.publish.map(|_| Count::Total(served)),
        oldest_age: answer
            .head_message_timestamp
            .and_then(|second| Timestamp::from_second(second).ok())
            .map(|at| time::since(now, at)),
        consumers: answer.consumers,
        ..QueueReading::of_waiting(now, ready)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(status: u16, body: &str) -> Result<QueueReading, Absence> {
        parse("http://r:15672", "orders", status, body.as_bytes(), Timestamp::from_second(1_000).unwrap())
    }

    #[test]
    fn ready_unacknowledged_and_counters_are_read() {
        let reading = parsed(
            200,
            r#"{"state":"running","messages_ready":120,"messages_unacknowledged":7,"consumers":3,
                "head_message_timestamp":940,
                "message_stats":{"publish":1000,"ack":800,"deliver_no_ack":70,"get_no_ack":3}}"#,
        )
        .unwrap();
        assert_eq!((reading.waiting, reading.in_flight, reading.backlog()), (120, Some(7), 127));
        assert_eq!(reading.arrivals, Some(Count::Total(1_000)));
        assert_eq!(reading.served, Some(Count::Total(873)));
        assert_eq!(reading.oldest_age.unwrap().as_secs(), 60);
        assert_eq!(reading.consumers, Some(3));
    }

    #[test]
    fn a_queue_that_never_saw_a_message_has_no_counters() {
        let reading = parsed(200, r#"{"messages_ready":0,"messages_unacknowledged":0}"#).unwrap();
        assert_eq!((reading.backlog(), reading.arrivals, reading.served), (0, None, None));
    }

    #[test]
    fn each_failure_has_its_reason_and_none_is_zero() {
        let reason = |status, body| parsed(status, body).unwrap_err().reason;
        assert_eq!(reason(404, ""), AbsenceReason::NotFound);
        assert_eq!(reason(401, ""), AbsenceReason::Unauthorized);
        assert_eq!(reason(503, ""), AbsenceReason::ServerError);
        assert_eq!(reason(302, ""), AbsenceReason::InvalidAnswer);
        assert_eq!(reason(200, "<html>"), AbsenceReason::InvalidAnswer);
        assert_eq!(reason(200, r#"{"state":"down"}"#), AbsenceReason::Partial);
        assert_eq!(reason(200, r#"{"state":"running"}"#), AbsenceReason::Partial);
    }
}
