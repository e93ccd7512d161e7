//! Feishu and Lark bots: an interactive card, signed in the body by a signature that isn't DingTalk's, and an error code
//! inside a 200. Its own advice is to stay away from full and half hours.

use std::time::Duration;

use health::alert::Severity;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::{Format, calls_people};
use crate::limit::Quota;
use crate::message::{Answer, FailureReason, Message, Request, Verdict};
use crate::sign;
use crate::template::{Markup, Renderer};
use crate::text;

/// The body may have 20 KB; the rest is for the card around the text.
const TEXT_MAX: usize = 14_000;
const TITLE_MAX: usize = 120;

/// A bot.
pub struct Feishu {
    /// The webhook's address.
    pub url: SecretString,
    /// The signing secret.
    pub secret: Option<SecretString>,
    /// Open ids to mention when critical, or `all`.
    pub mention: Vec<String>,
}

impl Format for Feishu {
    fn name(&self) -> &'static str {
        "feishu"
    }

    fn quota(&self) -> Quota {
        Quota::unlimited().and(5, Duration::from_secs(1)).and(100, Duration::from_secs(60))
    }

    fn rush_jitter(&self) -> Duration {
        Duration::from_secs(20)
    }

    fn requests(&self, message: &Message, words: &Renderer, now: Timestamp) -> Result<Vec<Request>, Verdict> {
        let rendered = words.render(message, Markup::Markdown);
        let template = match (message.is_firing(), message.severity()) {
            (false, _) => "green",
            (true, Severity::Critical) => "red",
            (true, Severity::Warning) => "orange",
            (true, Severity::Info) => "blue",
        };
        const BREAK: &str = "\u{1e}";
        let page = text::paginate(&rendered.items, BREAK, TEXT_MAX, 1, |n| rendered.more(n)).join("");
        let mut elements: Vec<Value> = Vec::new();
        for item in page.split(BREAK) {
            if !elements.is_empty() {
                elements.push(json!({"tag": "hr"}));
            }
            elements.push(json!({"tag": "div", "text": {"tag": "lark_md", "content": item}}));
        }
        if calls_people(message) && !self.mention.is_empty() {
            let at: Vec<String> = self.mention.iter().map(|id| format!("<at id={id}></at>")).collect();
            elements.push(json!({"tag": "div", "text": {"tag": "lark_md", "content": at.join(" ")}}));
        }
        let mut body = json!({
            "msg_type": "interactive",
            "card": {
                "config": {"wide_screen_mode": true},
                "header": {
                    "title": {"tag": "plain_text", "content": text::truncate_chars(&rendered.title, TITLE_MAX)},
                    "template": template,
                },
                "elements": elements,
            },
        });
        if let Some(secret) = &self.secret {
            let seconds = now.as_second();
            body["timestamp"] = json!(seconds.to_string());
            body["sign"] = json!(sign::feishu(secret.expose_secret(), seconds));
        }
        Ok(vec![Request::json(self.url.expose_secret(), &body)])
    }

    fn judge(&self, answer: &Answer) -> Verdict {
        let body = answer.json();
        // Older bots answer with StatusCode, and errors of both come with a 400 now and then.
        let Some(code) = body["code"].as_i64().or_else(|| body["StatusCode"].as_i64()) else {
            return match answer.status {
                200..=299 => {
                    let message = format!("not Feishu's answer: {}", answer.excerpt());
                    Verdict::retry(FailureReason::ServerError, None, message)
                }
                _ => Verdict::of_status(answer),
            };
        };
        let text = body["msg"].as_str().or_else(|| body["StatusMessage"].as_str()).unwrap_or_default();
        let message = format!("code {code}: {text}");
        match code {
            0 => Verdict::Delivered,
            11_232 | 9_991_400 => {
                Verdict::retry(FailureReason::RateLimited, Some(Duration::from_secs(10)), message)
            }
            19_021 | 19_022 | 19_024 => Verdict::refused(FailureReason::AuthError, message),
            _ if answer.status >= 500 => Verdict::retry(FailureReason::ServerError, None, message),
            _ => Verdict::refused(FailureReason::ClientError, message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{answer, body, is_refused, is_retry, message};
    use super::*;
    use crate::message::Language;

    fn bot() -> Feishu {
        Feishu {
            url: "https://open.feishu.cn/open-apis/bot/v2/hook/x".into(),
            secret: Some("feishu-demo-secret".into()),
            mention: vec!["all".into()],
        }
    }

    #[test]
    fn the_signature_is_in_the_body_and_time_is_a_string_of_seconds() {
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let body = body(&bot().requests(&message(2), &Renderer::plain(Language::Zh), now).unwrap()[0]);
        assert_eq!(body["timestamp"], "1700000000");
        assert_eq!(body["sign"], "LJ3PlcwviZMXQxiZQ4Jou4SlI9YJEmjE2SI9xcS1EG0=");
        assert_eq!(body["card"]["header"]["template"], "red");
        let elements = body["card"]["elements"].as_array().unwrap();
        assert_eq!(elements.len(), 4, "two alerts, a rule between them, and the mention");
    }

    #[test]
    fn the_body_stays_below_its_limit() {
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let request = &bot().requests(&message(2_000), &Renderer::plain(Language::Zh), now).unwrap()[0];
        assert!(request.body.len() <= 20_000, "{}", request.body.len());
    }

    #[test]
    fn an_error_in_a_200_is_an_error() {
        let judge = |status, text| bot().judge(&answer(status, text));
        assert_eq!(judge(200, r#"{"code":0,"msg":"success"}"#), Verdict::Delivered);
        assert_eq!(judge(200, r#"{"StatusCode":0,"StatusMessage":"success"}"#), Verdict::Delivered);
        assert!(is_retry(
            &judge(200, r#"{"code":11232,"msg":"frequency limited"}"#),
            FailureReason::RateLimited
        ));
        assert!(is_refused(
            &judge(200, r#"{"code":19021,"msg":"sign match fail"}"#),
            FailureReason::AuthError
        ));
        assert!(is_refused(&judge(400, r#"{"code":9499,"msg":"Bad Request"}"#), FailureReason::ClientError));
    }
}
