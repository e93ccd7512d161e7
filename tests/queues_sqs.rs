//! A queue of moto's SQS over the JSON protocol. moto doesn't check signatures; that the signature is made as AWS
//! wants it is the signing library's business.

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use serde_json::{Value, json};
use series::AbsenceReason;
use sources::queue::sqs::{Config, Keys, SignIn, Sqs};
use sources::{Pool, QueueSource};
use testbed::{prepare, servers};

async fn call(server: &servers::Sqs, action: &str, body: Value) -> Result<Value> {
    let answer = reqwest::Client::new()
        .post(server.url())
        .header("x-amz-target", format!("AmazonSQS.{action}"))
        .header("content-type", "application/x-amz-json-1.0")
        .header(
            "authorization",
            "AWS4-HMAC-SHA256 Credential=testing/20260101/eu-central-1/sqs/aws4_request, SignedHeaders=host, Signature=0",
        )
        .body(body.to_string())
        .send()
        .await?
        .error_for_status()?;
    let text = answer.text().await?;
    Ok(if text.is_empty() { Value::Null } else { serde_json::from_str(&text)? })
}

fn source(pool: &Pool, queue_url: &str) -> Result<Sqs> {
    let keys = Keys { id: "testing".to_owned().into(), secret: "testing".to_owned().into(), token: None };
    let config = Config {
        queue_url: queue_url.to_owned(),
        region: Some("eu-central-1".into()),
        sign_in: SignIn::Keys(keys),
    };
    Ok(Sqs::new(pool, config)?)
}

#[tokio::test]
async fn visible_and_in_flight_are_what_the_queue_says() -> Result<()> {
    prepare();
    let server = servers::Sqs::start().await?;
    let created = call(&server, "CreateQueue", json!({"QueueName": "orders"})).await?;
    let url = created["QueueUrl"].as_str().context("a queue URL")?.to_owned();
    for _ in 0..12 {
        call(&server, "SendMessage", json!({"QueueUrl": url, "MessageBody": "order"})).await?;
    }
    let received =
        call(&server, "ReceiveMessage", json!({"QueueUrl": url, "MaxNumberOfMessages": 5})).await?;
    let received = received["Messages"].as_array().context("messages")?;
    let handle = &received[0]["ReceiptHandle"];
    call(&server, "DeleteMessage", json!({"QueueUrl": url, "ReceiptHandle": handle})).await?;

    let pool = Pool::default();
    let reading = source(&pool, &url)?.read(Timestamp::now()).await?;
    ensure!((reading.waiting, reading.in_flight) == (7, Some(4)), "{reading:?}");
    ensure!(reading.oldest_age.is_none(), "only CloudWatch knows it");

    let told = json!({"QueueUrl": url, "AttributeNames": ["ApproximateNumberOfMessages"]});
    let told = call(&server, "GetQueueAttributes", told).await?;
    ensure!(told["Attributes"]["ApproximateNumberOfMessages"] == "7", "{told}");

    call(&server, "DeleteQueue", json!({"QueueUrl": url})).await?;
    let absence = source(&pool, &url)?.read(Timestamp::now()).await.err().context("a deleted queue")?;
    ensure!(absence.reason == AbsenceReason::NotFound, "{absence}");
    Ok(())
}

#[tokio::test]
async fn unknown_keys_are_unauthorized_and_a_stopped_endpoint_is_unreachable() -> Result<()> {
    prepare();
    let mut server = servers::Sqs::start().await?;
    let url = format!("{}/123456789012/orders", server.url());
    let sqs = source(&Pool::default(), &url)?;
    let missing = sqs.read(Timestamp::now()).await.err().context("a queue nobody made")?;
    ensure!(missing.reason == AbsenceReason::NotFound, "{missing}");
    // From now on moto wants keys that IAM knows.
    let strict = format!("{}/moto-api/reset-auth", server.url());
    reqwest::Client::new().post(strict).body("0").send().await?.error_for_status()?;
    let refused = sqs.read(Timestamp::now()).await.err().context("unknown keys let in")?;
    ensure!(refused.reason == AbsenceReason::Unauthorized, "{refused}");
    server.stop();
    let gone = sqs.read(Timestamp::now()).await.err().context("a reading from nowhere")?;
    ensure!(gone.reason == AbsenceReason::Unreachable, "{gone}");
    Ok(())
}
