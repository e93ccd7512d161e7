//! WeCom group robots: a Markdown of its own, no signature, an error code inside a 200, and a limit of 4,096 *bytes*:
//! a third as many Chinese characters. Long messages become several.

use std::time::Duration;

use health::alert::Severity;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::Format;
use crate::limit::Quota;
use crate::message::{Answer, FailureReason, Message, Request, Verdict};
use crate::template::{Markup, Renderer};
use crate::text;

const CONTENT_MAX: usize = 4_096;
const TITLE_MAX: usize = 300;
const PAGES_MAX: usize = 3;

/// A robot.
pub struct Wecom {
    /// The webhook's address.
    pub url: SecretString,
}

impl Format for Wecom {
    fn name(&self) -> &'static str {
        "wecom"
    }

    fn quota(&self) -> Quota {
        Quota::unlimited().and(18, Duration::from_secs(60))
    }

    fn requests(
        &self,
        message: &Message,
        words: &Renderer,
        _now: Timestamp,
    ) -> Result<Vec<Request>, Verdict> {
        let rendered = words.render(message, Markup::Markdown);
        let color = match (message.is_firing(), message.severity()) {
            (false, _) => "info",
            (true, Severity::Info) => "comment",
            (true, _) => "warning",
        };
        let title = text::truncate_bytes(&rendered.title, TITLE_MAX);
        let heading = format!("**<font color=\"{color}\">{title}</font>**\n");
        let room = CONTENT_MAX - heading.len();
        let items: Vec<String> =
            rendered.items.iter().map(|i| format!("> {}", i.replace('\n', "\n> "))).collect();
        let pages = text::paginate(&items, "\n\n", room, PAGES_MAX, |n| rendered.more(n));
        Ok(pages
            .iter()
            .map(|page| {
                let body =
                    json!({"msgtype": "markdown", "markdown": {"content": format!("{heading}{page}")}});
                Request::json(self.url.expose_secret(), &body)
            })
            .collect())
    }

    fn judge(&self, answer: &Answer) -> Verdict {
        if answer.status != 200 {
            return Verdict::of_status(answer);
        }
        let body = answer.json();
        let message = format!("errcode {}: {}", body["errcode"], body["errmsg"].as_str().unwrap_or_default());
        match body["errcode"].as_i64() {
            Some(0) => Verdict::Delivered,
            Some(45_009) => {
                Verdict::retry(FailureReason::RateLimited, Some(Duration::from_secs(60)), message)
            }
            Some(-1) => Verdict::retry(FailureReason::ServerError, Some(Duration::from_secs(5)), message),
            Some(93_000) => Verdict::refused(FailureReason::AuthError, message),
            Some(_) => Verdict::refused(FailureReason::ClientError, message),
            None => Verdict::retry(
                FailureReason::ServerError,
                None,
                format!("not WeCom's answer: {}", answer.excerpt()),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{answer, body, is_refused, is_retry, message};
    use super::*;
    use crate::message::Language;

    #[test]
    fn bytes_are_counted_and_long_messages_split() {
        let robot = Wecom { url: "https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=k".into() };
        let requests =
            robot.requests(&message(60), &Renderer::plain(Language::Zh), Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(requests.len(), 3);
        for request in &requests {
            let body = body(request);
            let content = body["markdown"]["content"].as_str().unwrap();
            assert!(content.len() <= 4_096, "{}", content.len());
            assert!(content.starts_with("**<font color=\"warning\">"));
        }
        assert!(String::from_utf8_lossy(&requests[2].body).contains("另有"));
    }

    #[test]
    fn an_error_in_a_200_is_an_error() {
        let robot = Wecom { url: "https://example.com".into() };
        assert_eq!(robot.judge(&answer(200, r#"{"errcode":0,"errmsg":"ok"}"#)), Verdict::Delivered);
        let fast = robot.judge(&answer(200, r#"{"errcode":45009,"errmsg":"api freq out of limit"}"#));
        assert!(is_retry(&fast, FailureReason::RateLimited));
        assert!(is_refused(&robot.judge(&answer(200, r#"{"errcode":93000}"#)), FailureReason::AuthError));
        assert!(is_refused(&robot.judge(&answer(200, r#"{"errcode":40058}"#)), FailureReason::ClientError));
    }
}
