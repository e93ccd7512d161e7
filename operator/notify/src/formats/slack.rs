//! Slack incoming webhooks: blocks, `ok` as the answer, one message a second.

use std::time::Duration;

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::Format;
use crate::limit::Quota;
use crate::message::{Answer, FailureReason, Message, Request, Verdict};
use crate::template::{Markup, Renderer};
use crate::text;

const HEADER_MAX: usize = 150;
const SECTION_MAX: usize = 2_900;
/// All blocks together; more is `msg_blocks_too_long`.
const BLOCKS_BYTES_MAX: usize = 12_000;
/// Of 50, less the header, dividers and the context.
const SECTIONS_MAX: usize = 23;

/// A webhook.
pub struct Slack {
    /// Its address.
    pub url: SecretString,
}

impl Format for Slack {
    fn name(&self) -> &'static str {
        "slack"
    }

    fn quota(&self) -> Quota {
        Quota::unlimited().and(1, Duration::from_secs(1))
    }

    fn requests(
        &self,
        message: &Message,
        words: &Renderer,
        _now: Timestamp,
    ) -> Result<Vec<Request>, Verdict> {
        let rendered = words.render(message, Markup::Slack);
        let title = text::truncate_chars(&rendered.title, HEADER_MAX);
        let mut blocks: Vec<Value> =
            vec![json!({"type": "header", "text": {"type": "plain_text", "text": title, "emoji": true}})];
        let (mut bytes, mut taken) = (0, 0);
        for item in &rendered.items {
            let item = text::truncate_chars(item, SECTION_MAX);
            if taken == SECTIONS_MAX || bytes + item.len() > BLOCKS_BYTES_MAX && taken > 0 {
                break;
            }
            bytes += item.len();
            taken += 1;
            blocks.push(json!({"type": "section", "text": {"type": "mrkdwn", "text": item}}));
            blocks.push(json!({"type": "divider"}));
        }
        let left = rendered.items.len() - taken;
        let note =
            if left > 0 { format!("{} · Foresail", rendered.more(left)) } else { "Foresail".to_owned() };
        blocks.push(json!({"type": "context", "elements": [{"type": "mrkdwn", "text": note}]}));
        let body = json!({"text": Markup::Slack.escape(&title), "blocks": blocks});
        Ok(vec![Request::json(self.url.expose_secret(), &body)])
    }

    fn judge(&self, answer: &Answer) -> Verdict {
        match (answer.status, String::from_utf8_lossy(&answer.body).trim()) {
            (200, "ok") => Verdict::Delivered,
            (200, other) => Verdict::refused(FailureReason::ClientError, text::truncate_chars(other, 200)),
            (404 | 410, _) => Verdict::refused(
                FailureReason::AuthError,
                format!("the webhook is gone: {}", answer.excerpt()),
            ),
            _ => Verdict::of_status(answer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{answer, body, is_refused, is_retry, message};
    use super::*;
    use crate::message::Language;

    #[test]
    fn blocks_stay_within_their_limits() {
        let hook = Slack { url: "https://hooks.slack.com/services/T/B/x".into() };
        for n in [1, 10, 500] {
            let body = body(
                &hook.requests(&message(n), &Renderer::plain(Language::Zh), Timestamp::UNIX_EPOCH).unwrap()
                    [0],
            );
            let blocks = body["blocks"].as_array().unwrap();
            assert!(blocks.len() <= 50);
            assert!(blocks[0]["text"]["text"].as_str().unwrap().chars().count() <= 150);
            let total: usize = blocks.iter().filter_map(|b| b["text"]["text"].as_str()).map(str::len).sum();
            assert!(total <= 13_000, "{total}");
        }
    }

    #[test]
    fn only_ok_is_ok() {
        let hook = Slack { url: "https://hooks.slack.com/services/T/B/x".into() };
        assert_eq!(hook.judge(&answer(200, "ok")), Verdict::Delivered);
        assert!(is_refused(&hook.judge(&answer(400, "invalid_payload")), FailureReason::ClientError));
        assert!(is_refused(&hook.judge(&answer(404, "no_service")), FailureReason::AuthError));
        let limited = Answer { retry_after: Some(Duration::from_secs(7)), ..answer(429, "") };
        assert!(is_retry(&hook.judge(&limited), FailureReason::RateLimited));
    }
}
