//! Amazon SQS: how many messages are visible and in flight, by SQS' own approximate count. Asks with
//! `GetQueueAttributes` over the JSON protocol; changes nothing. The age of the oldest message is known only to
//! CloudWatch and stays unknown here.

mod credentials;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use jiff::Timestamp;
use serde::Deserialize;
use series::{Absence, AbsenceReason};
use url::Url;

use super::{DEADLINE, QueueReading, QueueSource};
use crate::Tls;
use crate::fingerprint::Fingerprint;
use crate::http::{Pool, body, failure};
use credentials::Credentials;
pub use credentials::{Keys, SignIn};

const LARGEST_ANSWER: usize = 1 << 20;
const CONTENT_TYPE: &str = "application/x-amz-json-1.0";
const ACTION: &str = "AmazonSQS.GetQueueAttributes";

/// Which queue, and as whom.
#[derive(Clone, Debug)]
pub struct Config {
    /// The queue's URL.
    pub queue_url: String,
    /// The region, where the URL doesn't say it.
    pub region: Option<String>,
    /// Who is asking.
    pub sign_in: SignIn,
}

/// One queue; HTTP connections and credentials are shared by all queues of the same account.
pub struct Sqs {
    pool: Pool,
    client: reqwest::Client,
    credentials: Arc<Credentials>,
    server: String,
    endpoint: String,
    region: String,
    queue_url: String,
}

impl fmt::Debug for Sqs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sqs")
            .field("queue_url", &self.queue_url)
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}

impl Sqs {
    /// Makes the source; nothing is asked yet. Refused where the URL isn't one of a queue, or tells no region.
    pub fn new(pool: &Pool, config: Config) -> Result<Self, Absence> {
        let invalid = |message: String| Absence::new(AbsenceReason::InvalidQuery, message);
        let url =
            Url::parse(&config.queue_url).map_err(|e| invalid(format!("the queue URL isn't a URL: {e}")))?;
        let host = url.host_str().ok_or_else(|| invalid("the queue URL has no host".to_owned()))?;
        let region = config.region.or_else(|| region_of(host)).ok_or_else(|| {
            invalid(format!("{host} doesn't tell the region; set region, such as eu-central-1"))
        })?;
        let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
        let server = format!("{}://{host}{port}", url.scheme());
        let mut fingerprint = Fingerprint::new("aws");
        fingerprint.add(&region);
        config.sign_in.feed(&mut fingerprint);
        let client = pool.client(&Tls::default())?;
        let credentials = pool
            .shared(fingerprint.key(), || Credentials::new(config.sign_in, client.clone(), region.clone()));
        Ok(Self {
            pool: pool.clone(),
            client,
            credentials,
            endpoint: format!("{server}/"),
            server,
            region,
            queue_url: config.queue_url,
        })
    }

    async fn once(&self, now: Timestamp) -> Result<QueueReading, Absence> {
        let keys = self.credentials.keys(now).await?;
        let question = serde_json::json!({
            "QueueUrl": self.queue_url,
            "AttributeNames": [
                "ApproximateNumberOfMessages",
                "ApproximateNumberOfMessagesNotVisible",
            ],
        })
        .to_string();
        let request = self.signed(&keys, question, now)?;
        let response = self.client.execute(request).await.map_err(|e| failure(&self.server, &e))?;
        let status = response.status().as_u16();
        let bytes = body(&self.server, response, LARGEST_ANSWER).await?;
        let answer = parse(&self.server, &self.queue_url, status, &bytes, now);
        if answer.as_ref().is_err_and(|absence| absence.reason == AbsenceReason::Unauthorized) {
            self.credentials.forget().await;
        }
        answer
    }

    fn signed(&self, keys: &Keys, question: String, now: Timestamp) -> Result<reqwest::Request, Absence> {
        let invalid = |e: &dyn fmt::Display| {
            Absence::new(AbsenceReason::InvalidQuery, format!("the request can't be signed: {e}"))
        };
        let identity = keys.identity();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name("sqs")
            .time(now.into())
            .settings(SigningSettings::default())
            .build()
            .map_err(|e| invalid(&e))?
            .into();
        let headers = [("content-type", CONTENT_TYPE), ("x-amz-target", ACTION)];
        let signable = SignableRequest::new(
            "POST",
            &self.endpoint,
            headers.into_iter(),
            SignableBody::Bytes(question.as_bytes()),
        )
        .map_err(|e| invalid(&e))?;
        let (instructions, _) = sign(signable, &params).map_err(|e| invalid(&e))?.into_parts();
        let mut request = http::Request::post(&self.endpoint)
            .header("content-type", CONTENT_TYPE)
            .header("x-amz-target", ACTION)
            .body(question)
            .map_err(|e| invalid(&e))?;
        instructions.apply_to_request_http1x(&mut request);
        request.headers_mut().extend(self.pool.trace_headers());
        reqwest::Request::try_from(request).map_err(|e| invalid(&e))
    }
}

#[async_trait]
impl QueueSource for Sqs {
    async fn read(&self, now: Timestamp) -> Result<QueueReading, Absence> {
        self.pool.ask("sqs", &self.server, now, DEADLINE, || self.once(now)).await
    }
}

/// `sqs.REGION.amazonaws.com`, its dual-stack, FIPS, China and legacy forms.
fn region_of(host: &str) -> Option<String> {
    let parts: Vec<&str> = host.split('.').collect();
    match parts.as_slice() {
        ["queue", "amazonaws", "com"] => Some("us-east-1".to_owned()),
        ["sqs" | "sqs-fips", region, rest @ ..] if rest.contains(&"amazonaws") || rest.contains(&"api") => {
            Some((*region).to_owned())
        }
        [region, "queue", "amazonaws", ..] => Some((*region).to_owned()),
        _ => None,
    }
}

#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "Attributes")]
    attributes: Attributes,
}

#[derive(Deserialize)]
struct Attributes {
    #[serde(rename = "ApproximateNumberOfMessages")]
    visible: String,
    #[serde(rename = "ApproximateNumberOfMessagesNotVisible")]
    in_flight: String,
}

fn parse(
    server: &str,
    queue: &str,
    status: u16,
    body: &[u8],
    now: Timestamp,
) -> Result<QueueReading, Absence> {
    let absent = |reason, message: String| Absence::new(reason, format!("{server}: {message}"));
    if status == 200 {
        let odd = || absent(AbsenceReason::InvalidAnswer, "this isn't how SQS describes a queue".to_owned());
        let answer: Answer = serde_json::from_slice(body).map_err(|_| odd())?;
        let visible = answer.attributes.visible.parse().map_err(|_| odd())?;
        let in_flight = answer.attributes.in_flight.parse().map_err(|_| odd())?;
        return Ok(QueueReading { in_flight: Some(in_flight), ..QueueReading::of_waiting(now, visible) });
    }
    // Read loosely: some endpoints send a key twice, with and without a capital.
    let refusal: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let kind = refusal["__type"].as_str().and_then(|kind| kind.rsplit('#').next()).unwrap_or_default();
    let message = refusal["message"].as_str().or(refusal["Message"].as_str()).unwrap_or_default();
    let message: String = message.chars().take(200).collect();
    let reason = if kind.contains("NonExistentQueue") || kind.contains("QueueDoesNotExist") {
        return Err(absent(AbsenceReason::NotFound, format!("there is no queue {queue}")));
    } else if kind.contains("Throttl") || kind.contains("RequestLimit") || status == 429 || status >= 500 {
        AbsenceReason::ServerError
    } else if matches!(status, 401 | 403) || kind.contains("AccessDenied") || kind.contains("Token") {
        AbsenceReason::Unauthorized
    } else if kind.is_empty() {
        AbsenceReason::InvalidAnswer
    } else {
        AbsenceReason::InvalidQuery
    };
    Err(absent(reason, format!("HTTP {status} {kind}: {message}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(status: u16, body: &str) -> Result<QueueReading, Absence> {
        parse("https://sqs", "orders", status, body.as_bytes(), Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn visible_and_in_flight_are_read() {
        let reading = parsed(
            200,
            r#"{"Attributes":{"ApproximateNumberOfMessages":"42","ApproximateNumberOfMessagesNotVisible":"3"}}"#,
        )
        .unwrap();
        assert_eq!((reading.waiting, reading.in_flight, reading.oldest_age), (42, Some(3), None));
    }

    #[test]
    fn refusals_are_sorted_by_what_to_do_about_them() {
        let reason = |status, kind: &str| {
            parsed(status, &format!(r#"{{"__type":"com.amazonaws.sqs#{kind}","message":"m"}}"#))
                .unwrap_err()
                .reason
        };
        assert_eq!(reason(400, "QueueDoesNotExist"), AbsenceReason::NotFound);
        assert_eq!(reason(403, "AccessDeniedException"), AbsenceReason::Unauthorized);
        assert_eq!(reason(403, "InvalidClientTokenId"), AbsenceReason::Unauthorized);
        assert_eq!(reason(400, "ThrottlingException"), AbsenceReason::ServerError);
        assert_eq!(reason(503, "ServiceUnavailable"), AbsenceReason::ServerError);
        assert_eq!(reason(400, "InvalidAddress"), AbsenceReason::InvalidQuery);
        assert_eq!(parsed(404, "<html>").unwrap_err().reason, AbsenceReason::InvalidAnswer);
        assert_eq!(parsed(200, "{}").unwrap_err().reason, AbsenceReason::InvalidAnswer);
    }

    #[test]
    fn the_region_is_read_from_the_address() {
        assert_eq!(region_of("sqs.eu-central-1.amazonaws.com").as_deref(), Some("eu-central-1"));
        assert_eq!(region_of("sqs.cn-north-1.amazonaws.com.cn").as_deref(), Some("cn-north-1"));
        assert_eq!(region_of("sqs.eu-west-1.api.aws").as_deref(), Some("eu-west-1"));
        assert_eq!(region_of("eu-west-1.queue.amazonaws.com").as_deref(), Some("eu-west-1"));
        assert_eq!(region_of("queue.amazonaws.com").as_deref(), Some("us-east-1"));
        assert_eq!(region_of("localhost"), None);
    }
}
