//! Signatures as each service wants them. Secrets and times come in, text goes out; the vectors in the tests were
//! computed independently, two of them are the services' own.

use std::fmt::Write as _;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, hmac};

fn sha256(key: &[u8], message: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message).as_ref().to_vec()
}

/// DingTalk: the secret is the key, time in milliseconds and secret are the message. Not yet percent-encoded.
pub fn dingtalk(secret: &str, milliseconds: i64) -> String {
    STANDARD.encode(sha256(secret.as_bytes(), format!("{milliseconds}\n{secret}").as_bytes()))
}

/// Feishu: time in seconds and secret are the *key*, and the message is empty.
pub fn feishu(secret: &str, seconds: i64) -> String {
    STANDARD.encode(sha256(format!("{seconds}\n{secret}").as_bytes(), b""))
}

/// Why a Standard Webhooks secret can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a signing secret is whsec_ and base64 of 24 to 64 bytes")]
pub struct BadSecret;

/// Standard Webhooks 1.0: `v1,` and base64 of the HMAC over `id.timestamp.body`, one for each of `secrets` (separated by
/// spaces, for rotation), separated by spaces.
pub fn standard_webhook(secrets: &str, id: &str, seconds: i64, body: &[u8]) -> Result<String, BadSecret> {
    let mut signed = format!("{id}.{seconds}.").into_bytes();
    signed.extend_from_slice(body);
    let mut all = Vec::new();
    for secret in secrets.split_whitespace() {
        let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap_or(secret)).map_err(|_| BadSecret)?;
        if !(24..=64).contains(&key.len()) {
            return Err(BadSecret);
        }
        all.push(format!("v1,{}", STANDARD.encode(sha256(&key, &signed))));
    }
    if all.is_empty() { Err(BadSecret) } else { Ok(all.join(" ")) }
}

/// SHA-256 in hexadecimal.
pub fn hash(text: &str) -> String {
    let digest = digest::digest(&digest::SHA256, text.as_bytes());
    digest.as_ref().iter().fold(String::with_capacity(64), |mut text, b| {
        // Writing to a String can't fail.
        let _ = write!(text, "{b:02x}");
        text
    })
}

/// Percent-encoding of everything but unreserved characters (RFC 3986), once.
pub fn percent_encode(text: &str) -> String {
    text.bytes()
        .map(|b| match b {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(b).to_string(),
            _ => format!("%{b:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dingtalk_vector() {
        let signature = dingtalk(&format!("SEC{}", "0".repeat(64)), 1_700_000_000_000);
        assert_eq!(signature, "+8WOOUUcTkFRyfCevQaISh9EUbkxaatnd6MLtL7dAY8=");
        assert_eq!(percent_encode(&signature), "%2B8WOOUUcTkFRyfCevQaISh9EUbkxaatnd6MLtL7dAY8%3D");
    }

    #[test]
    fn feishu_vector() {
        assert_eq!(
            feishu("feishu-demo-secret", 1_700_000_000),
            "LJ3PlcwviZMXQxiZQ4Jou4SlI9YJEmjE2SI9xcS1EG0="
        );
    }

    #[test]
    fn standard_webhooks_vector() {
        let signed = standard_webhook(
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(signed.as_deref(), Ok("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="));
    }

    #[test]
    fn rotation_signs_with_both_and_a_bad_secret_is_refused() {
        let both = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        assert_eq!(standard_webhook(both, "a", 1, b"{}").unwrap().split(' ').count(), 2);
        assert_eq!(standard_webhook("whsec_c2hvcnQ=", "a", 1, b"{}"), Err(BadSecret));
        assert_eq!(standard_webhook("", "a", 1, b"{}"), Err(BadSecret));
    }

    #[test]
    fn hash_vector() {
        assert_eq!(hash("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
