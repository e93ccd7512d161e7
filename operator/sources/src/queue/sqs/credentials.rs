//! Keys for AWS: given ones, those in the environment, or temporary ones for the service account (IAM roles for
//! service accounts, EKS Pod Identity). Temporary keys are kept until five minutes before they end.

use std::env;
use std::fmt;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use series::{Absence, AbsenceReason, time};
use tokio::sync::Mutex;

use crate::fingerprint::Fingerprint;
use crate::http::{body, failure};

const BEFORE_THE_END: Duration = Duration::from_mins(5);
const LARGEST_ANSWER: usize = 1 << 20;

/// Where keys come from.
#[derive(Clone, Debug)]
pub enum SignIn {
    /// These keys.
    Keys(Keys),
    /// What the process itself has: keys in the environment, a web identity token, or EKS Pod Identity.
    Ambient,
}

/// An access key. Never printed.
#[derive(Clone)]
pub struct Keys {
    /// Its id.
    pub id: SecretString,
    /// The key itself.
    pub secret: SecretString,
    /// The session token of temporary keys.
    pub token: Option<SecretString>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys")
    }
}

impl Keys {
    /// As the signer wants them.
    pub(super) fn identity<I: From<aws_credential_types::Credentials>>(&self) -> I {
        aws_credential_types::Credentials::new(
            self.id.expose_secret().trim(),
            self.secret.expose_secret().trim(),
            self.token.as_ref().map(|token| token.expose_secret().trim().to_owned()),
            None::<SystemTime>,
            "foresail",
        )
        .into()
    }
}

impl SignIn {
    pub(super) fn feed(&self, fingerprint: &mut Fingerprint) {
        match self {
            Self::Ambient => fingerprint.add("ambient"),
            Self::Keys(keys) => {
                fingerprint.add(keys.id.expose_secret());
                fingerprint.add(keys.secret.expose_secret());
                fingerprint.add(keys.token.as_ref().map_or("", |token| token.expose_secret()));
            }
        }
    }
}

/// Keys shared by all queues that sign in the same way.
pub(super) struct Credentials {
    sign_in: SignIn,
    client: reqwest::Client,
    region: String,
    current: Mutex<Option<(Keys, Option<Timestamp>)>>,
}

impl Credentials {
    pub(super) fn new(sign_in: SignIn, client: reqwest::Client, region: String) -> Self {
        Self { sign_in, client, region, current: Mutex::new(None) }
    }

    pub(super) async fn keys(&self, now: Timestamp) -> Result<Keys, Absence> {
        if let SignIn::Keys(keys) = &self.sign_in {
            return Ok(keys.clone());
        }
        let mut current = self.current.lock().await;
        if let Some((keys, end)) = current.as_ref()
            && end.is_none_or(|end| time::after(now, BEFORE_THE_END) < end)
        {
            return Ok(keys.clone());
        }
        let (keys, end) = self.fetch().await?;
        *current = Some((keys.clone(), end));
        Ok(keys)
    }

    /// After a refusal, so that renewed keys are picked up.
    pub(super) async fn forget(&self) {
        *self.current.lock().await = None;
    }

    async fn fetch(&self) -> Result<(Keys, Option<Timestamp>), Absence> {
        if let (Ok(id), Ok(secret)) = (env::var("AWS_ACCESS_KEY_ID"), env::var("AWS_SECRET_ACCESS_KEY")) {
            let token = env::var("AWS_SESSION_TOKEN").ok().map(Into::into);
            return Ok((Keys { id: id.into(), secret: secret.into(), token }, None));
        }
        if let (Ok(file), Ok(role)) = (env::var("AWS_WEB_IDENTITY_TOKEN_FILE"), env::var("AWS_ROLE_ARN")) {
            return self.web_identity(&file, &role).await;
        }
        if let Ok(address) = env::var("AWS_CONTAINER_CREDENTIALS_FULL_URI") {
            return self.container(&address).await;
        }
        Err(Absence::new(
            AbsenceReason::SecretMissing,
            "no AWS credentials: name keys in the policy, or give Foresail's service account a role",
        ))
    }

    /// IAM roles for service accounts: the pod's token against keys of the role.
    async fn web_identity(&self, file: &str, role: &str) -> Result<(Keys, Option<Timestamp>), Absence> {
        let token = read(file).await?;
        let address = env::var("AWS_ENDPOINT_URL_STS")
            .unwrap_or_else(|_| format!("https://sts.{}.amazonaws.com/", self.region));
        let form = [
            ("Action", "AssumeRoleWithWebIdentity"),
            ("Version", "2011-06-15"),
            ("RoleArn", role),
            ("RoleSessionName", "foresail"),
            ("WebIdentityToken", token.trim()),
        ];
        let request = self.client.post(&address).form(&form).header("accept", "application/json");
        let bytes = answer("AWS STS", request).await?;
        let assumed: AssumeRole = serde_json::from_slice(&bytes).map_err(|_| odd("AWS STS"))?;
        let given = assumed.response.result.credentials;
        let end = Timestamp::from_millisecond((given.expiration * 1_000.0) as i64).ok();
        Ok((keys(given.id, given.secret, given.token), end))
    }

    /// EKS Pod Identity and ECS: an agent on the node hands out keys.
    async fn container(&self, address: &str) -> Result<(Keys, Option<Timestamp>), Absence> {
        let mut request = self.client.get(address);
        if let Ok(file) = env::var("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
            request = request.header("authorization", read(&file).await?.trim());
        }
        let bytes = answer("the AWS credentials agent", request).await?;
        let given: Container =
            serde_json::from_slice(&bytes).map_err(|_| odd("the AWS credentials agent"))?;
        Ok((keys(given.id, given.secret, given.token), given.expiration))
    }
}

#[derive(Deserialize)]
struct AssumeRole {
    #[serde(rename = "AssumeRoleWithWebIdentityResponse")]
    response: AssumeRoleResponse,
}

#[derive(Deserialize)]
struct AssumeRoleResponse {
    #[serde(rename = "AssumeRoleWithWebIdentityResult")]
    result: AssumeRoleResult,
}

#[derive(Deserialize)]
struct AssumeRoleResult {
    #[serde(rename = "Credentials")]
    credentials: Assumed,
}

#[derive(Deserialize)]
struct Assumed {
    #[serde(rename = "AccessKeyId")]
    id: String,
    #[serde(rename = "SecretAccessKey")]
    secret: String,
    #[serde(rename = "SessionToken")]
    token: String,
    #[serde(rename = "Expiration")]
    expiration: f64,
}

#[derive(Deserialize)]
struct Container {
    #[serde(rename = "AccessKeyId")]
    id: String,
    #[serde(rename = "SecretAccessKey")]
    secret: String,
    #[serde(rename = "Token")]
    token: String,
    #[serde(rename = "Expiration")]
    expiration: Option<Timestamp>,
}

fn keys(id: String, secret: String, token: String) -> Keys {
    Keys { id: id.into(), secret: secret.into(), token: Some(token.into()) }
}

async fn read(file: &str) -> Result<String, Absence> {
    tokio::fs::read_to_string(file).await.map_err(|e| {
        Absence::new(AbsenceReason::SecretMissing, format!("the AWS token file {file} can't be read: {e}"))
    })
}

async fn answer(who: &str, request: reqwest::RequestBuilder) -> Result<Vec<u8>, Absence> {
    let response = request.send().await.map_err(|e| failure(who, &e))?;
    let status = response.status();
    if status.is_success() {
        return body(who, response, LARGEST_ANSWER).await;
    }
    let reason =
        if status.is_client_error() { AbsenceReason::Unauthorized } else { AbsenceReason::ServerError };
    Err(Absence::new(reason, format!("{who} gave no keys (HTTP {})", status.as_u16())))
}

fn odd(who: &str) -> Absence {
    Absence::new(AbsenceReason::InvalidAnswer, format!("{who} answered with something that holds no keys"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_do_not_show_in_debug_output() {
        let keys = keys("AKIA1".into(), "hunter2".into(), "hunter3".into());
        assert_eq!(format!("{:?}", SignIn::Keys(keys)), "Keys(Keys)");
    }

    #[test]
    fn the_answer_of_sts_is_understood() {
        let text = r#"{"AssumeRoleWithWebIdentityResponse":{"AssumeRoleWithWebIdentityResult":{"Credentials":
            {"AccessKeyId":"a","SecretAccessKey":"b","SessionToken":"c","Expiration":1.7e9}}}}"#;
        let answer: AssumeRole = serde_json::from_str(text).unwrap();
        assert_eq!(answer.response.result.credentials.id, "a");
    }
}
