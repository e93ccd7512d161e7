//! Discord webhooks: one embed, no mentions that an error message might contain, `wait=true` so that errors are told.

use std::time::Duration;

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::{Format, color};
use crate::limit::Quota;
use crate::message::{Answer, FailureReason, Message, Request, Verdict};
use crate::template::{Markup, Renderer};
use crate::text;

const TITLE_MAX: usize = 256;
/// In characters; counted in bytes it is safely less.
const DESCRIPTION_MAX: usize = 4_000;

/// A webhook.
pub struct Discord {
    /// Its address.
    pub url: SecretString,
}

impl Format for Discord {
    fn name(&self) -> &'static str {
        "discord"
    }

    /// Discord asks not to rely on numbers and to read its headers; this only keeps bursts small.
    fn quota(&self) -> Quota {
        Quota::unlimited().and(5, Duration::from_secs(2))
    }

    fn requests(
        &self,
        message: &Message,
        words: &Renderer,
        _now: Timestamp,
    ) -> Result<Vec<Request>, Verdict> {
        let rendered = words.render(message, Markup::Markdown);
        let description =
            text::paginate(&rendered.items, "\n\n", DESCRIPTION_MAX, 1, |n| rendered.more(n)).join("");
        let body = json!({
            "embeds": [{
                "title": text::truncate_chars(&rendered.title, TITLE_MAX),
                "description": description,
                "color": color(message),
                "timestamp": message.at.to_string(),
            }],
            "allowed_mentions": {"parse": []},
        });
        let url = self.url.expose_secret();
        let join = if url.contains('?') { '&' } else { '?' };
        Ok(vec![Request::json(format!("{url}{join}wait=true"), &body)])
    }

    fn judge(&self, answer: &Answer) -> Verdict {
        match answer.status {
            404 => Verdict::refused(FailureReason::AuthError, "the webhook is gone (HTTP 404)"),
            429 => {
                let seconds = answer.json()["retry_after"].as_f64();
                let told = seconds.and_then(|s| Duration::try_from_secs_f64(s).ok());
                Verdict::retry(FailureReason::RateLimited, told.or(answer.retry_after), answer.excerpt())
            }
            _ => Verdict::of_status(answer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{answer, body, message};
    use super::*;
    use crate::message::Language;

    #[test]
    fn the_embed_stays_within_its_limits_and_mentions_nobody() {
        let hook = Discord { url: "https://discord.com/api/webhooks/1/x".into() };
        let request =
            &hook.requests(&message(500), &Renderer::plain(Language::En), Timestamp::UNIX_EPOCH).unwrap()[0];
        assert!(request.address().ends_with("/1/x?wait=true"));
        let body = body(request);
        assert!(body["embeds"][0]["description"].as_str().unwrap().chars().count() <= 4_096);
        assert_eq!(body["allowed_mentions"]["parse"], json!([]));
    }

    #[test]
    fn a_fraction_of_a_second_is_understood() {
        let hook = Discord { url: "https://discord.com/api/webhooks/1/x".into() };
        let verdict =
            hook.judge(&answer(429, r#"{"message":"You are being rate limited.","retry_after":0.65}"#));
        assert!(matches!(verdict, Verdict::Retry { after: Some(d), .. } if d == Duration::from_millis(650)));
        assert_eq!(hook.judge(&answer(200, "{}")), Verdict::Delivered);
        assert_eq!(hook.judge(&answer(204, "")), Verdict::Delivered);
    }
}
