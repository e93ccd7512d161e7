//! From an AlertReceiver and its Secrets to the settings of a receiver.

use std::time::Duration;

use api::units;
use api::v1alpha1::{AlertReceiverSpec, Language, MinSeverity, SecretKeyRef};
use health::alert::Severity;
use notify::template::Custom;
use notify::{Filter, Grouping, Settings, Target};
use secrecy::SecretString;

use crate::secrets::Secrets;

/// Why a receiver can't be made, as a condition's reason and a sentence. Never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiverError {
    /// One word.
    pub reason: &'static str,
    /// What to do.
    pub message: String,
}

impl std::fmt::Display for ReceiverError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.reason, self.message)
    }
}

impl std::error::Error for ReceiverError {}

fn invalid(message: impl ToString) -> ReceiverError {
    ReceiverError { reason: "InvalidSpec", message: message.to_string() }
}

/// The settings of the receiver `namespace/name`.
pub async fn settings(
    secrets: &Secrets,
    namespace: &str,
    name: &str,
    spec: &AlertReceiverSpec,
) -> Result<Settings, ReceiverError> {
    let target = target(secrets, namespace, spec).await?;
    let defaults = Grouping::default();
    let duration = |text: &Option<String>, default: Duration| match text {
        Some(text) => units::duration(text).map_err(invalid),
        None => Ok(default),
    };
    let namespaces = if spec.filter.namespaces.is_empty() {
        vec![namespace.to_owned()]
    } else {
        spec.filter.namespaces.clone()
    };
    Ok(Settings {
        name: format!("{namespace}/{name}"),
        target,
        language: match spec.language {
            Language::En => notify::Language::En,
            Language::Zh => notify::Language::Zh,
        },
        custom: spec
            .template
            .as_ref()
            .map(|t| Custom { title: t.title.clone(), text: t.text.clone() })
            .unwrap_or_default(),
        filter: Filter {
            min_severity: match spec.filter.min_severity {
                MinSeverity::Info => Severity::Info,
                MinSeverity::Warning => Severity::Warning,
                MinSeverity::Critical => Severity::Critical,
            },
            namespaces,
            alerts: spec.filter.alerts.clone(),
            exclude: spec.filter.exclude.clone(),
            labels: spec.filter.labels.clone(),
        },
        grouping: Grouping {
            by: if spec.group.by.is_empty() { defaults.by } else { spec.group.by.clone() },
            wait: duration(&spec.group.wait, defaults.wait)?,
            interval: duration(&spec.group.interval, defaults.interval)?,
            repeat: duration(&spec.group.repeat, defaults.repeat)?,
            keep_resolved: defaults.keep_resolved,
        },
        send_resolved: spec.send_resolved,
    })
}

async fn target(
    secrets: &Secrets,
    namespace: &str,
    spec: &AlertReceiverSpec,
) -> Result<Target, ReceiverError> {
    let value = async |reference: &SecretKeyRef| -> Result<SecretString, ReceiverError> {
        let read = secrets.value(namespace, reference).await;
        read.map_err(|message| ReceiverError { reason: "SecretMissing", message })
    };
    let optional = async |reference: &Option<SecretKeyRef>| -> Result<Option<SecretString>, ReceiverError> {
        match reference {
            Some(reference) => value(reference).await.map(Some),
            None => Ok(None),
        }
    };
    let mut targets = Vec::new();
    if let Some(robot) = &spec.dingtalk {
        let (url, secret) = (value(&robot.url_secret_ref).await?, optional(&robot.signing_secret_ref).await?);
        targets.push(Target::Dingtalk { url, secret, mention: robot.mention.clone() });
    }
    if let Some(hook) = &spec.wecom {
        targets.push(Target::Wecom { url: value(&hook.url_secret_ref).await? });
    }
    if let Some(robot) = &spec.feishu {
        let (url, secret) = (value(&robot.url_secret_ref).await?, optional(&robot.signing_secret_ref).await?);
        targets.push(Target::Feishu { url, secret, mention: robot.mention.clone() });
    }
    if let Some(hook) = &spec.slack {
        targets.push(Target::Slack { url: value(&hook.url_secret_ref).await? });
    }
    if let Some(hook) = &spec.teams {
        targets.push(Target::Teams { url: value(&hook.url_secret_ref).await? });
    }
    if let Some(hook) = &spec.discord {
        targets.push(Target::Discord { url: value(&hook.url_secret_ref).await? });
    }
    if let Some(bot) = &spec.telegram {
        targets.push(Target::Telegram {
            token: value(&bot.token_secret_ref).await?,
            chat_id: bot.chat_id.clone(),
            thread_id: bot.thread_id,
            api_url: bot.api_url.clone(),
        });
    }
    if let Some(service) = &spec.pagerduty {
        let routing_key = value(&service.routing_key_secret_ref).await?;
        targets.push(Target::Pagerduty { routing_key, api_url: service.api_url.clone() });
    }
    if let Some(cluster) = &spec.alertmanager {
        let token = optional(&cluster.bearer_token_secret_ref).await?;
        targets.push(Target::Alertmanager { urls: cluster.urls.clone(), token });
    }
    if let Some(service) = &spec.webhook {
        let (url, secret) =
            (value(&service.url_secret_ref).await?, optional(&service.signing_secret_ref).await?);
        targets.push(Target::Webhook { url, secret });
    }
    match (targets.pop(), targets.is_empty()) {
        (Some(target), true) => Ok(target),
        _ => Err(invalid(
            "set exactly one of dingtalk, wecom, feishu, slack, teams, discord, telegram, pagerduty, alertmanager and webhook",
        )),
    }
}
