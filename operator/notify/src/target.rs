//! Which service a receiver speaks to, with its secrets as values. Whoever makes one has read the Secrets.

use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};

use crate::formats::{
    Format, alertmanager, dingtalk, discord, feishu, pagerduty, slack, teams, telegram, webhook, wecom,
};

/// A service and how to sign in there.
#[derive(Clone, Debug)]
pub enum Target {
    /// A DingTalk group robot.
    Dingtalk {
        /// The webhook's address.
        url: SecretString,
        /// The signing secret.
        secret: Option<SecretString>,
        /// Phone numbers to mention when critical, or `all`.
        mention: Vec<String>,
    },
    /// A WeCom group robot.
    Wecom {
        /// The webhook's address.
        url: SecretString,
    },
    /// A Feishu or Lark bot.
    Feishu {
        /// The webhook's address.
        url: SecretString,
        /// The signing secret.
        secret: Option<SecretString>,
        /// Open ids to mention when critical, or `all`.
        mention: Vec<String>,
    },
    /// A Slack incoming webhook.
    Slack {
        /// The webhook's address.
        url: SecretString,
    },
    /// A Teams workflow.
    Teams {
        /// The workflow's address.
        url: SecretString,
    },
    /// A Discord webhook.
    Discord {
        /// The webhook's address.
        url: SecretString,
    },
    /// A Telegram bot.
    Telegram {
        /// The bot's token.
        token: SecretString,
        /// The chat.
        chat_id: String,
        /// The topic in the chat.
        thread_id: Option<i64>,
        /// Another server than api.telegram.org.
        api_url: Option<String>,
    },
    /// PagerDuty.
    Pagerduty {
        /// The integration's routing key.
        routing_key: SecretString,
        /// Another server than events.pagerduty.com.
        api_url: Option<String>,
    },
    /// Alertmanager.
    Alertmanager {
        /// Every member of the cluster.
        urls: Vec<String>,
        /// A bearer token.
        token: Option<SecretString>,
    },
    /// Any HTTP service.
    Webhook {
        /// Its address.
        url: SecretString,
        /// Signing secrets, separated by spaces.
        secret: Option<SecretString>,
    },
}

impl Target {
    /// The format's name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Dingtalk { .. } => "dingtalk",
            Self::Wecom { .. } => "wecom",
            Self::Feishu { .. } => "feishu",
            Self::Slack { .. } => "slack",
            Self::Teams { .. } => "teams",
            Self::Discord { .. } => "discord",
            Self::Telegram { .. } => "telegram",
            Self::Pagerduty { .. } => "pagerduty",
            Self::Alertmanager { .. } => "alertmanager",
            Self::Webhook { .. } => "webhook",
        }
    }

    /// The format that writes its requests.
    pub fn format(&self) -> Arc<dyn Format> {
        match self.clone() {
            Self::Dingtalk { url, secret, mention } => Arc::new(dingtalk::Dingtalk { url, secret, mention }),
            Self::Wecom { url } => Arc::new(wecom::Wecom { url }),
            Self::Feishu { url, secret, mention } => Arc::new(feishu::Feishu { url, secret, mention }),
            Self::Slack { url } => Arc::new(slack::Slack { url }),
            Self::Teams { url } => Arc::new(teams::Teams { url }),
            Self::Discord { url } => Arc::new(discord::Discord { url }),
            Self::Telegram { token, chat_id, thread_id, api_url } => {
                Arc::new(telegram::Telegram { token, chat_id, thread_id, api_url })
            }
            Self::Pagerduty { routing_key, api_url } => {
                Arc::new(pagerduty::Pagerduty { routing_key, api_url })
            }
            Self::Alertmanager { urls, token } => Arc::new(alertmanager::Alertmanager { urls, token }),
            Self::Webhook { url, secret } => Arc::new(webhook::Webhook { url, secret }),
        }
    }

    /// Changes when a secret does; a hash, so that it may be kept and compared.
    pub fn fingerprint(&self) -> String {
        let all: Vec<String> = self.secrets().iter().map(|s| s.expose_secret().to_owned()).collect();
        crate::sign::hash(&format!("{} {}", self.name(), all.join("\n")))
    }

    /// Takes every secret of this target out of a text that a service or a library wrote.
    pub fn redact(&self, text: &str) -> String {
        let mut clean = text.to_owned();
        for secret in self.secrets() {
            for part in fragments(secret.expose_secret()) {
                clean = clean.replace(&part, "***");
            }
        }
        clean
    }

    fn secrets(&self) -> Vec<SecretString> {
        match self {
            Self::Dingtalk { url, secret, .. }
            | Self::Feishu { url, secret, .. }
            | Self::Webhook { url, secret } => std::iter::once(url.clone()).chain(secret.clone()).collect(),
            Self::Wecom { url } | Self::Slack { url } | Self::Teams { url } | Self::Discord { url } => {
                vec![url.clone()]
            }
            Self::Telegram { token, .. } => vec![token.clone()],
            Self::Pagerduty { routing_key, .. } => vec![routing_key.clone()],
            Self::Alertmanager { token, .. } => token.iter().cloned().collect(),
        }
    }
}

/// The secret itself, and of an address the parts behind the host, each long enough not to be an everyday word.
fn fragments(secret: &str) -> Vec<String> {
    let mut parts = vec![secret.to_owned()];
    parts.extend(secret.split_whitespace().map(str::to_owned));
    if let Ok(url) = url::Url::parse(secret) {
        parts.push(url.path().to_owned());
        parts.extend(url.query().map(str::to_owned));
        parts.extend(url.path_segments().into_iter().flatten().map(str::to_owned));
        parts.extend(url.query_pairs().map(|(_, value)| value.into_owned()));
        parts.extend(url.password().map(str::to_owned));
    }
    parts.retain(|p| p.len() >= 8);
    parts.sort_by_key(|p| std::cmp::Reverse(p.len()));
    parts.dedup();
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_part_of_a_secret_survives() {
        let target = Target::Dingtalk {
            url: "https://oapi.dingtalk.com/robot/send?access_token=abcdef0123456789".into(),
            secret: Some("SECtopsecret0001".into()),
            mention: vec![],
        };
        let text = "bad token abcdef0123456789 for https://oapi.dingtalk.com/robot/send?access_token=abcdef0123456789, key SECtopsecret0001";
        let clean = target.redact(text);
        assert!(!clean.contains("abcdef") && !clean.contains("topsecret"), "{clean}");
        assert!(!format!("{target:?}").contains("abcdef"));
        let slack =
            Target::Slack { url: "https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXX".into() };
        assert_eq!(slack.redact("no_service: XXXXXXXXXXXX of T00000000"), "no_service: *** of ***");
    }
}
