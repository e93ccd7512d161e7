//! The chats as one server: it checks signatures, limits and schemas as the services do, answers with their error bodies,
//! keeps what it took, and fails as often as it is told to.

#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't be set up fails")]
#![allow(clippy::result_large_err, clippy::unnecessary_wraps, reason = "a refusal is a whole response, too")]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use ring::hmac;
use serde_json::{Value, json};

pub const SECRET: &str = "SECba5eba11ba5eba11";
pub const STANDARD_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
pub const TOKEN: &str = "t0ken-t0ken-t0ken";

#[derive(Default)]
pub struct Taken {
    /// Which service, and the body it took.
    pub all: Vec<(String, Value)>,
    /// How often each component was told in each state, by webhook.
    pub told: HashMap<(String, String), usize>,
}

#[derive(Clone, Default)]
pub struct Services {
    pub taken: Arc<Mutex<Taken>>,
    /// Of 100 requests, so many fail.
    pub failing: Arc<AtomicUsize>,
    pub asked: Arc<AtomicUsize>,
    pub failed: Arc<AtomicUsize>,
}

impl Services {
    pub async fn start() -> (Self, SocketAddr) {
        let services = Self::default();
        let router = Router::new().route("/{service}/{*rest}", post(serve)).with_state(services.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        (services, address)
    }

    pub fn bodies(&self, service: &str) -> Vec<Value> {
        let taken = self.taken.lock().unwrap();
        taken.all.iter().filter(|(s, _)| s == service).map(|(_, b)| b.clone()).collect()
    }

    /// A failure of the kind whose turn it is, spread evenly.
    fn fault(&self) -> Option<Response> {
        let n = self.asked.fetch_add(1, Ordering::SeqCst);
        let percent = self.failing.load(Ordering::SeqCst);
        if (n * 37) % 100 >= percent {
            return None;
        }
        let kind = self.failed.fetch_add(1, Ordering::SeqCst) % 3;
        Some(match kind {
            0 => (StatusCode::INTERNAL_SERVER_ERROR, "oops").into_response(),
            1 => (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "0.2")], "slow down").into_response(),
            _ => (StatusCode::BAD_GATEWAY, "<html>").into_response(),
        })
    }
}

async fn serve(
    State(services): State<Services>,
    Path((service, rest)): Path<(String, String)>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Some(fault) = services.fault() {
        return fault;
    }
    let Ok(json) = serde_json::from_slice::<Value>(&body) else {
        return (StatusCode::BAD_REQUEST, "not JSON").into_response();
    };
    let answer = match service.as_str() {
        "dingtalk" => dingtalk(&query, &json, body.len()),
        "wecom" => wecom(&query, &json),
        "feishu" => feishu(&json, body.len()),
        "slack" => slack(&json),
        "teams" => teams(&json, body.len()),
        "discord" => discord(&query, &json),
        "telegram" => telegram(&rest, &json),
        "pagerduty" => pagerduty(&json, body.len()),
        "alertmanager" => alertmanager(&headers, &json),
        "webhook" => webhook(&headers, &json, &body),
        _ => Err((StatusCode::NOT_FOUND, "no such service").into_response()),
    };
    match answer {
        Ok(response) => {
            let mut taken = services.taken.lock().unwrap();
            for alert in json["data"]["alerts"].as_array().into_iter().flatten() {
                let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
                *taken
                    .told
                    .entry((text(&alert["labels"]["component"]), text(&alert["status"])))
                    .or_insert(0) += 1;
            }
            taken.all.push((service, json));
            response
        }
        Err(response) => response,
    }
}

type Checked = Result<Response, Response>;

fn ok(body: Value) -> Checked {
    Ok(Json(body).into_response())
}

fn coded(code: i64, text: &str) -> Checked {
    Err(Json(json!({"errcode": code, "errmsg": text})).into_response())
}

fn sha256(key: &[u8], message: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message).as_ref().to_vec()
}

/// An hour either way, as DingTalk and Feishu have it.
fn recent(seconds: i64) -> bool {
    (Timestamp::now().as_second() - seconds).abs() < 3_600
}

fn dingtalk(query: &HashMap<String, String>, body: &Value, bytes: usize) -> Checked {
    if query.get("access_token").map(String::as_str) != Some(TOKEN) {
        return coded(300_001, "token is not exist");
    }
    let ms: i64 = query.get("timestamp").and_then(|t| t.parse().ok()).unwrap_or_default();
    let expected = STANDARD.encode(sha256(SECRET.as_bytes(), format!("{ms}\n{SECRET}").as_bytes()));
    // The query is decoded once by now: a signature that was encoded twice doesn't match.
    if query.get("sign") != Some(&expected) || !recent(ms / 1_000) {
        return coded(310_000, "sign not match");
    }
    if bytes > 20_000 {
        return coded(460_101, "message too long");
    }
    let markdown = body["msgtype"] == "markdown"
        && body["markdown"]["title"].is_string()
        && body["markdown"]["text"].is_string();
    let action = body["msgtype"] == "actionCard" && body["actionCard"]["text"].is_string();
    if !markdown && !action {
        return coded(40_035, "invalid parameter");
    }
    ok(json!({"errcode": 0, "errmsg": "ok"}))
}

fn wecom(query: &HashMap<String, String>, body: &Value) -> Checked {
    if query.get("key").map(String::as_str) != Some(TOKEN) {
        return coded(93_000, "invalid webhook url");
    }
    let Some(content) = body["markdown"]["content"].as_str().filter(|_| body["msgtype"] == "markdown") else {
        return coded(40_008, "invalid message type");
    };
    if content.len() > 4_096 {
        return coded(40_058, "markdown.content exceed max length 4096");
    }
    ok(json!({"errcode": 0, "errmsg": "ok"}))
}

fn feishu(body: &Value, bytes: usize) -> Checked {
    let refuse = |code: i64, text: &str| Err(Json(json!({"code": code, "msg": text})).into_response());
    // A string of seconds, and the signature in the body.
    let Some(seconds) = body["timestamp"].as_str() else { return refuse(19_021, "sign match fail") };
    let expected = STANDARD.encode(sha256(format!("{seconds}\n{SECRET}").as_bytes(), b""));
    if body["sign"].as_str() != Some(&expected) || !recent(seconds.parse().unwrap_or_default()) {
        return refuse(19_021, "sign match fail or timestamp is not within one hour from current time");
    }
    if bytes > 20_480 {
        return refuse(9_499, "Bad Request");
    }
    let card = &body["card"];
    let good = body["msg_type"] == "interactive"
        && card["header"]["title"]["tag"] == "plain_text"
        && card["elements"].as_array().is_some_and(|e| !e.is_empty())
        && card["elements"]
            .as_array()
            .unwrap()
            .iter()
            .all(|e| e["tag"] == "hr" || e["text"]["tag"] == "lark_md");
    if good { ok(json!({"code": 0, "msg": "success", "data": {}})) } else { refuse(9_499, "Bad Request") }
}

fn slack(body: &Value) -> Checked {
    let refuse = |text: &'static str| Err((StatusCode::BAD_REQUEST, text).into_response());
    let Some(blocks) = body["blocks"].as_array() else { return refuse("no_text") };
    let total: usize = blocks.iter().filter_map(|b| b["text"]["text"].as_str()).map(str::len).sum();
    if blocks.len() > 50 {
        return refuse("invalid_blocks");
    }
    if total > 13_000 {
        return refuse("msg_blocks_too_long");
    }
    for block in blocks {
        let length = block["text"]["text"].as_str().map_or(0, |t| t.chars().count());
        let good = match block["type"].as_str() {
            Some("header") => length <= 150 && block["text"]["type"] == "plain_text",
            Some("section") => (1..=3_000).contains(&length) && block["text"]["type"] == "mrkdwn",
            Some("divider") => true,
            Some("context") => block["elements"].as_array().is_some_and(|e| (1..=10).contains(&e.len())),
            _ => false,
        };
        if !good {
            return refuse("invalid_blocks");
        }
    }
    Ok("ok".into_response())
}

fn teams(body: &Value, bytes: usize) -> Checked {
    if bytes > 28 * 1_024 {
        return Err((StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge").into_response());
    }
    let attachment = &body["attachments"][0];
    let good = body["type"] == "message"
        && attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
        && attachment["content"]["type"] == "AdaptiveCard"
        && attachment["content"]["body"]
            .as_array()
            .is_some_and(|b| b.iter().all(|e| e["type"] == "TextBlock"));
    if good {
        Ok(StatusCode::ACCEPTED.into_response())
    } else {
        Err((StatusCode::BAD_REQUEST, "TriggerInputSchemaMismatch").into_response())
    }
}

fn discord(query: &HashMap<String, String>, body: &Value) -> Checked {
    let refuse = |text: &str| {
        Err((StatusCode::BAD_REQUEST, Json(json!({"message": text, "code": 50_035}))).into_response())
    };
    let length = |v: &Value| v.as_str().map_or(0, |t| t.chars().count());
    let Some(embeds) = body["embeds"].as_array().filter(|e| (1..=10).contains(&e.len())) else {
        return refuse("Invalid Form Body");
    };
    let total: usize = embeds.iter().map(|e| length(&e["title"]) + length(&e["description"])).sum();
    let good = embeds.iter().all(|e| {
        length(&e["title"]) <= 256
            && length(&e["description"]) <= 4_096
            && e["color"].as_u64().is_some_and(|c| c <= 0xFF_FFFF)
    });
    if !good || total > 6_000 || body["allowed_mentions"]["parse"] != json!([]) {
        return refuse("Invalid Form Body");
    }
    match query.get("wait").map(String::as_str) {
        Some("true") => ok(json!({"id": "1"})),
        _ => Ok(StatusCode::NO_CONTENT.into_response()),
    }
}

fn telegram(path: &str, body: &Value) -> Checked {
    let refuse = |status: StatusCode, text: &str| {
        Err((status, Json(json!({"ok": false, "error_code": status.as_u16(), "description": text})))
            .into_response())
    };
    if path != format!("bot{TOKEN}/sendMessage") {
        return refuse(StatusCode::UNAUTHORIZED, "Unauthorized");
    }
    let text = body["text"].as_str().unwrap_or_default();
    if text.is_empty() || text.chars().count() > 4_096 {
        return refuse(StatusCode::BAD_REQUEST, "Bad Request: message is too long");
    }
    let balanced = ["b", "a"]
        .iter()
        .all(|tag| text.matches(&format!("<{tag}")).count() == text.matches(&format!("</{tag}>")).count());
    let left = text
        .replace("<b>", "")
        .replace("</b>", "")
        .replace("<a href=\"", "")
        .replace("\">", "")
        .replace("</a>", "");
    if !balanced || left.contains('<') {
        return refuse(StatusCode::BAD_REQUEST, "Bad Request: can't parse entities");
    }
    ok(json!({"ok": true, "result": {"message_id": 1}}))
}

fn pagerduty(body: &Value, bytes: usize) -> Checked {
    let refuse = |text: &str| {
        Err((StatusCode::BAD_REQUEST, Json(json!({"status": "invalid event", "errors": [text]})))
            .into_response())
    };
    if bytes > 512 * 1_024 || body["routing_key"].as_str().map(str::len) != Some(32) {
        return refuse("routing_key");
    }
    let key = body["dedup_key"].as_str().unwrap_or_default();
    if key.is_empty() || key.len() > 255 {
        return refuse("dedup_key");
    }
    if body["event_action"] == "trigger" {
        let payload = &body["payload"];
        let severity =
            matches!(payload["severity"].as_str(), Some("critical" | "error" | "warning" | "info"));
        let summary = payload["summary"].as_str().map_or(0, |s| s.chars().count());
        if !severity
            || !(1..=1_024).contains(&summary)
            || payload["source"].as_str().is_none_or(str::is_empty)
        {
            return refuse("payload");
        }
    } else if body["event_action"] != "resolve" {
        return refuse("event_action");
    }
    Ok((StatusCode::ACCEPTED, Json(json!({"status": "success", "dedup_key": key}))).into_response())
}

fn alertmanager(headers: &HeaderMap, body: &Value) -> Checked {
    let bearer = headers.get("authorization").and_then(|v| v.to_str().ok());
    if bearer != Some(&format!("Bearer {TOKEN}")) {
        return Err(StatusCode::UNAUTHORIZED.into_response());
    }
    let good = body.as_array().is_some_and(|alerts| {
        !alerts.is_empty()
            && alerts.iter().all(|a| {
                a["labels"]["alertname"].is_string()
                    && a["labels"].as_object().unwrap().iter().all(|(k, v)| {
                        v.is_string() && k.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
                    })
                    && a["startsAt"].as_str().is_some_and(|t| t.parse::<Timestamp>().is_ok())
            })
    });
    if good { Ok(StatusCode::OK.into_response()) } else { Err(StatusCode::BAD_REQUEST.into_response()) }
}

fn webhook(headers: &HeaderMap, body: &Value, bytes: &Bytes) -> Checked {
    let header = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let (id, seconds) = (header("webhook-id"), header("webhook-timestamp"));
    let key = STANDARD.decode(STANDARD_SECRET.trim_start_matches("whsec_")).unwrap();
    let mut signed = format!("{id}.{seconds}.").into_bytes();
    signed.extend_from_slice(bytes);
    let expected = format!("v1,{}", STANDARD.encode(sha256(&key, &signed)));
    let fresh = (Timestamp::now().as_second() - seconds.parse::<i64>().unwrap_or_default()).abs() < 300;
    if !header("webhook-signature").split(' ').any(|s| s == expected) || !fresh {
        return Err(StatusCode::UNAUTHORIZED.into_response());
    }
    if bytes.len() > 20_000 || !body["type"].is_string() || !body["data"]["alerts"].is_array() {
        return Err(StatusCode::BAD_REQUEST.into_response());
    }
    Ok(StatusCode::OK.into_response())
}
