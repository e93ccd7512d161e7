//! DingTalk group robots: Markdown, signed in the query, and an error code inside a 200. 20 messages a minute, and ten
//! minutes of silence for whoever sends more, so two of them are kept in reserve.

use std::time::Duration;

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::{Format, calls_people};
use crate::limit::Quota;
use crate::message::{Answer, FailureReason, Message, Request, Verdict};
use crate::sign;
use crate::template::{Markup, Renderer};
use crate::text;

/// The whole body may have 20,000 bytes; the text leaves room for the rest and for JSON's escapes.
const TEXT_MAX: usize = 15_000;
const TITLE_MAX: usize = 120;

/// A robot.
pub struct Dingtalk {
    /// The webhook's address.
    pub url: SecretString,
    /// The signing secret.
    pub secret: Option<SecretString>,
    /// Phone numbers to mention when critical, or `all`.
    pub mention: Vec<String>,
}

impl Format for Dingtalk {
    fn name(&self) -> &'static str {
        "dingtalk"
    }

    fn quota(&self) -> Quota {
        Quota::unlimited().and(18, Duration::from_secs(60))
    }

    fn requests(&self, message: &Message, words: &Renderer, now: Timestamp) -> Result<Vec<Request>, Verdict> {
        let rendered = words.render(message, Markup::Markdown);
        let title = text::truncate_chars(&rendered.title, TITLE_MAX);
        // A line break needs two spaces before it.
        let items: Vec<String> = rendered.items.iter().map(|i| i.replace('\n', "  \n")).collect();
        let pages = text::paginate(&items, "\n\n---\n\n", TEXT_MAX, 1, |n| rendered.more(n));
        let mut content = format!("### {title}\n\n{}", pages.join(""));
        let (all, mobiles): (Vec<&String>, Vec<&String>) =
            self.mention.iter().filter(|_| calls_people(message)).partition(|m| *m == "all");
        // A mention works only where the number stands in the text, too.
        for mobile in &mobiles {
            content.push_str(" @");
            content.push_str(mobile);
        }
        let body = json!({
            "msgtype": "markdown",
            "markdown": {"title": title, "text": content},
            "at": {"atMobiles": mobiles, "isAtAll": !all.is_empty()},
        });
        Ok(vec![Request::json(self.address(now), &body)])
    }

    fn judge(&self, answer: &Answer) -> Verdict {
        if answer.status != 200 {
            return Verdict::of_status(answer);
        }
        let body = answer.json();
        let message = format!("errcode {}: {}", body["errcode"], body["errmsg"].as_str().unwrap_or_default());
        match body["errcode"].as_i64() {
            Some(0) => Verdict::Delivered,
            Some(130_101) => {
                Verdict::retry(FailureReason::RateLimited, Some(Duration::from_secs(60)), message)
            }
            Some(-1) => Verdict::retry(FailureReason::ServerError, Some(Duration::from_secs(60)), message),
            Some(310_000) => Verdict::refused(FailureReason::AuthError, message),
            Some(90_030) => Verdict::refused(FailureReason::RateLimited, message),
            Some(_) => Verdict::refused(FailureReason::ClientError, message),
            None => Verdict::retry(
                FailureReason::ServerError,
                None,
                format!("not DingTalk's answer: {}", answer.excerpt()),
            ),
        }
    }
}

impl Dingtalk {
    /// The address with time and signature, made anew for each attempt from the address that was given.
    fn address(&self, now: Timestamp) -> String {
        let url = self.url.expose_secret();
        let Some(secret) = &self.secret else { return url.to_owned() };
        let ms = now.as_millisecond();
        let signature = sign::percent_encode(&sign::dingtalk(secret.expose_secret(), ms));
        let join = if url.contains('?') { '&' } else { '?' };
        format!("{url}{join}timestamp={ms}&sign={signature}")
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{answer, body, is_refused, is_retry, message};
    use super::*;
    use crate::message::Language;

    fn robot() -> Dingtalk {
        Dingtalk {
            url: "https://oapi.dingtalk.com/robot/send?access_token=t".into(),
            secret: Some(format!("SEC{}", "0".repeat(64)).into()),
            mention: vec!["13800000000".into(), "all".into()],
        }
    }

    #[test]
    fn the_signature_is_encoded_once() {
        let now = Timestamp::from_millisecond(1_700_000_000_000).unwrap();
        let request = &robot().requests(&message(1), &Renderer::plain(Language::Zh), now).unwrap()[0];
        assert!(
            request
                .address()
                .ends_with("&timestamp=1700000000000&sign=%2B8WOOUUcTkFRyfCevQaISh9EUbkxaatnd6MLtL7dAY8%3D")
        );
        let body = body(request);
        assert_eq!((&body["msgtype"], &body["at"]["isAtAll"]), (&json!("markdown"), &json!(true)));
        assert!(body["markdown"]["text"].as_str().unwrap().contains("@13800000000"));
    }

    #[test]
    fn the_body_stays_below_its_limit() {
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let request = &robot().requests(&message(2_000), &Renderer::plain(Language::Zh), now).unwrap()[0];
        assert!(request.body.len() <= 20_000, "{}", request.body.len());
        assert!(String::from_utf8_lossy(&request.body).contains("另有"));
    }

    #[test]
    fn an_error_in_a_200_is_an_error() {
        let judge = |status, text| robot().judge(&answer(status, text));
        assert_eq!(judge(200, r#"{"errcode":0,"errmsg":"ok"}"#), Verdict::Delivered);
        assert!(is_retry(
            &judge(200, r#"{"errcode":130101,"errmsg":"send too fast"}"#),
            FailureReason::RateLimited
        ));
        assert!(is_refused(
            &judge(200, r#"{"errcode":310000,"errmsg":"sign not match"}"#),
            FailureReason::AuthError
        ));
        assert!(is_refused(
            &judge(200, r#"{"errcode":460101,"errmsg":"message too long"}"#),
            FailureReason::ClientError
        ));
        assert!(is_retry(&judge(200, "<html>"), FailureReason::ServerError));
        assert!(is_retry(&judge(502, ""), FailureReason::ServerError));
    }
}
