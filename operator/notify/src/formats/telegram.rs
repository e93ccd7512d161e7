//! Telegram bots: HTML, at most 4,096 characters, and never cut inside a tag, because such a message is refused.

use std::time::Duration;

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::Format;
use crate::limit::Quota;
use crate::message::{Answer, FailureReason, Message, Request, Verdict};
use crate::template::{Markup, Renderer};
use crate::text;

const TEXT_MAX: usize = 4_096;
const TITLE_MAX: usize = 200;
/// A single alert's text is cut before it is marked up; whole ones are left out rather than cut.
const ITEM_MAX: usize = 3_000;

/// A bot.
pub struct Telegram {
    /// The bot's token.
    pub token: SecretString,
    /// The chat.
    pub chat_id: String,
    /// The topic in the chat.
    pub thread_id: Option<i64>,
    /// Another server than api.telegram.org.
    pub api_url: Option<String>,
}

impl Format for Telegram {
    fn name(&self) -> &'static str {
        "telegram"
    }

    fn quota(&self) -> Quota {
        Quota::unlimited().and(1, Duration::from_secs(1)).and(20, Duration::from_secs(60))
    }

    fn requests(
        &self,
        message: &Message,
        words: &Renderer,
        _now: Timestamp,
    ) -> Result<Vec<Request>, Verdict> {
        let rendered = words.render(message, Markup::Html);
        let title = text::truncate_chars(&rendered.title, TITLE_MAX);
        let title = Markup::Html.bold(&Markup::Html.escape(&title));
        let plain = |item: &String| {
            if item.len() <= ITEM_MAX {
                return item.clone();
            }
            // Too long for marks: all of it as plain text.
            let stripped: String = strip_tags(item);
            Markup::Html.escape(&text::truncate_bytes(&stripped, ITEM_MAX / 2))
        };
        let items: Vec<String> = rendered.items.iter().map(plain).collect();
        let room = TEXT_MAX - title.len().min(TEXT_MAX / 2) - 2;
        let page = text::paginate(&items, "\n\n", room, 1, |n| rendered.more(n)).join("");
        let mut body = json!({
            "chat_id": self.chat_id,
            "text": format!("{title}\n\n{page}"),
            "parse_mode": "HTML",
            "link_preview_options": {"is_disabled": true},
        });
        if let Some(thread) = self.thread_id {
            body["message_thread_id"] = json!(thread);
        }
        let base = self.api_url.as_deref().unwrap_or("https://api.telegram.org").trim_end_matches('/');
        let url = format!("{base}/bot{}/sendMessage", self.token.expose_secret());
        Ok(vec![Request::json(url, &body)])
    }

    fn judge(&self, answer: &Answer) -> Verdict {
        let body = answer.json();
        if answer.status == 200 && body["ok"] == json!(true) {
            return Verdict::Delivered;
        }
        let message = format!("HTTP {}: {}", answer.status, body["description"].as_str().unwrap_or_default());
        match answer.status {
            429 => {
                let seconds = body["parameters"]["retry_after"].as_u64().map(Duration::from_secs);
                Verdict::retry(FailureReason::RateLimited, seconds.or(answer.retry_after), message)
            }
            401 | 403 | 404 => Verdict::refused(FailureReason::AuthError, message),
            200 => Verdict::refused(FailureReason::ClientError, message),
            _ => Verdict::of_status(answer),
        }
    }
}

fn strip_tags(html: &str) -> String {
    let mut inside = false;
    html.chars()
        .filter(|c| {
            let keep = !inside && *c != '<';
            inside = (inside || *c == '<') && *c != '>';
            keep
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{answer, body, is_refused, message};
    use super::*;
    use crate::message::Language;

    fn bot() -> Telegram {
        Telegram { token: "1:secret".into(), chat_id: "-100".into(), thread_id: Some(7), api_url: None }
    }

    #[test]
    fn tags_are_whole_whatever_the_length() {
        let mut long = message(30);
        long.groups[0].alerts[0].facts.insert("output".into(), "<x>".repeat(3_000));
        for message in [message(1), message(100), long] {
            let request =
                &bot().requests(&message, &Renderer::plain(Language::En), Timestamp::UNIX_EPOCH).unwrap()[0];
            let body = body(request);
            let text = body["text"].as_str().unwrap();
            assert!(text.chars().count() <= 4_096);
            assert_eq!(text.matches("<b>").count(), text.matches("</b>").count());
            assert_eq!(text.matches("<a ").count(), text.matches("</a>").count());
            assert_eq!(body["message_thread_id"], 7);
        }
    }

    #[test]
    fn only_ok_true_is_ok() {
        assert_eq!(bot().judge(&answer(200, r#"{"ok":true}"#)), Verdict::Delivered);
        assert!(is_refused(
            &bot().judge(&answer(400, r#"{"ok":false,"description":"can't parse"}"#)),
            FailureReason::ClientError
        ));
        let limited = bot().judge(&answer(429, r#"{"ok":false,"parameters":{"retry_after":12}}"#));
        assert!(matches!(limited, Verdict::Retry { after: Some(d), .. } if d == Duration::from_secs(12)));
    }
}
