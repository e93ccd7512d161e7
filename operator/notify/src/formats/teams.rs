//! Microsoft Teams through a workflow: an adaptive card. The workflow answers 202 before it runs, so "taken" here means
//! queued; the status says so.

use std::time::Duration;

use health::alert::Severity;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::Format;
use crate::limit::Quota;
use crate::message::{Answer, Message, Request, Verdict};
use crate::template::{Markup, Renderer};
use crate::text;

/// The message may have 28 KB.
const TEXT_MAX: usize = 20_000;

/// A workflow.
pub struct Teams {
    /// Its address.
    pub url: SecretString,
}

impl Format for Teams {
    fn name(&self) -> &'static str {
        "teams"
    }

    fn quota(&self) -> Quota {
        Quota::unlimited().and(4, Duration::from_secs(1))
    }

    fn requests(
        &self,
        message: &Message,
        words: &Renderer,
        _now: Timestamp,
    ) -> Result<Vec<Request>, Verdict> {
        let rendered = words.render(message, Markup::Markdown);
        let color = match (message.is_firing(), message.severity()) {
            (false, _) => "Good",
            (true, Severity::Critical) => "Attention",
            (true, Severity::Warning) => "Warning",
            (true, Severity::Info) => "Accent",
        };
        const BREAK: &str = "\u{1e}";
        let page = text::paginate(&rendered.items, BREAK, TEXT_MAX, 1, |n| rendered.more(n)).join("");
        let mut content: Vec<Value> = vec![json!({
            "type": "TextBlock", "size": "Large", "weight": "Bolder", "wrap": true, "color": color,
            "text": text::truncate_chars(&rendered.title, 300),
        })];
        content.extend(page.split(BREAK).map(|item| {
            // One line break is none in a card's Markdown.
            json!({"type": "TextBlock", "wrap": true, "separator": true, "text": item.replace('\n', "\n\n")})
        }));
        let body = json!({
            "type": "message",
            "attachments": [{
                "contentType": "application/vnd.microsoft.card.adaptive",
                "contentUrl": null,
                "content": {
                    "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                    "type": "AdaptiveCard",
                    "version": "1.2",
                    "body": content,
                    "msteams": {"width": "full"},
                },
            }],
        });
        Ok(vec![Request::json(self.url.expose_secret(), &body)])
    }

    fn judge(&self, answer: &Answer) -> Verdict {
        Verdict::of_status(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{answer, body, is_retry, message};
    use super::*;
    use crate::message::{FailureReason, Language};

    #[test]
    fn the_card_stays_below_its_limit() {
        let flow = Teams { url: "https://prod-1.westeurope.logic.azure.com/x".into() };
        let request = &flow
            .requests(&message(2_000), &Renderer::plain(Language::Zh), Timestamp::UNIX_EPOCH)
            .unwrap()[0];
        assert!(request.body.len() <= 28_000, "{}", request.body.len());
        let body = body(request);
        assert_eq!(body["attachments"][0]["content"]["type"], "AdaptiveCard");
        assert_eq!(flow.judge(&answer(202, "")), Verdict::Delivered);
        assert!(is_retry(&flow.judge(&answer(429, "")), FailureReason::RateLimited));
    }
}
