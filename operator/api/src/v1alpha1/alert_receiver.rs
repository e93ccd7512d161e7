//! The alert receiver: where alerts go, in which format, which of them, how often.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::SecretKeyRef;
use crate::units::DURATION_PATTERN;

/// Where alerts go. Exactly one of dingtalk, wecom, feishu, slack, teams, discord, telegram, pagerduty, alertmanager
/// and webhook. Every address that is a secret is given by reference.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "foresail.dev",
    version = "v1alpha1",
    kind = "AlertReceiver",
    plural = "alertreceivers",
    namespaced,
    status = "AlertReceiverStatus",
    derive = "PartialEq",
    shortname = "arcv",
    category = "scaling",
    doc = "AlertReceiver is one chat or service that is told of alerts.",
    printcolumn(name = "Format", type_ = "string", json_path = ".status.format"),
    printcolumn(
        name = "Delivering",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Delivering\")].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Delivering\")].reason"
    ),
    printcolumn(name = "Sent", type_ = "integer", json_path = ".status.delivered"),
    printcolumn(name = "Lost", type_ = "integer", json_path = ".status.deadLetters"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[has(self.dingtalk), has(self.wecom), has(self.feishu), has(self.slack), has(self.teams), has(self.discord), has(self.telegram), has(self.pagerduty), has(self.alertmanager), has(self.webhook)].filter(x, x).size() == 1")
        .message("set exactly one of dingtalk, wecom, feishu, slack, teams, discord, telegram, pagerduty, alertmanager and webhook")
)]
pub struct AlertReceiverSpec {
    /// A DingTalk group robot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dingtalk: Option<SignedRobot>,
    /// A WeCom group robot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wecom: Option<Hook>,
    /// A Feishu or Lark custom bot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feishu: Option<SignedRobot>,
    /// A Slack incoming webhook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slack: Option<Hook>,
    /// A Microsoft Teams workflow ("when a webhook request is received").
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teams: Option<Hook>,
    /// A Discord webhook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discord: Option<Hook>,
    /// A Telegram bot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub telegram: Option<Telegram>,
    /// PagerDuty, Events API v2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pagerduty: Option<Pagerduty>,
    /// Alertmanager, API v2. Name every member of the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alertmanager: Option<Alertmanager>,
    /// Any HTTP service, signed as Standard Webhooks says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Webhook>,
    /// The language of messages: en (default) or zh.
    #[serde(default)]
    pub language: Language,
    /// Severities, names and labels of the alerts to send; all where nothing is said.
    #[serde(default)]
    pub filter: AlertFilter,
    /// Which alerts are told together, and how often.
    #[serde(default)]
    pub group: AlertGrouping,
    /// Tell also when an alert is over. Default: true.
    #[serde(default = "yes")]
    pub send_resolved: bool,
    /// Templates (Jinja) of your own for the title and the text, instead of the built-in ones. Available: status, alerts
    /// (each with name, severity, labels, summary, facts, since, runbook_url), group, and firing and resolved counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<MessageTemplate>,
    /// Allow plain http and private addresses, for services inside the cluster.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_insecure: bool,
}

fn yes() -> bool {
    true
}

/// A robot whose requests can be signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SignedRobot {
    /// The Secret's key that holds the webhook's address.
    pub url_secret_ref: SecretKeyRef,
    /// The Secret's key that holds the signing secret, where the robot asks for signatures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signing_secret_ref: Option<SecretKeyRef>,
    /// Phone numbers (DingTalk) or open ids (Feishu) to mention in critical messages, or `all`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), inner(length(min = 1, max = 64)))]
    pub mention: Vec<String>,
}

/// A webhook whose address is its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Hook {
    /// The Secret's key that holds the webhook's address.
    pub url_secret_ref: SecretKeyRef,
}

/// A Telegram bot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Telegram {
    /// The Secret's key that holds the bot's token.
    pub token_secret_ref: SecretKeyRef,
    /// The chat: a number as text, or @channel.
    #[schemars(length(min = 1, max = 64))]
    pub chat_id: String,
    /// The topic inside the chat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread_id: Option<i64>,
    /// Another server that speaks the Bot API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048), regex(pattern = r"^https?://.+"))]
    pub api_url: Option<String>,
}

/// PagerDuty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Pagerduty {
    /// The Secret's key that holds the integration's routing key.
    pub routing_key_secret_ref: SecretKeyRef,
    /// Another server: https://events.eu.pagerduty.com for the EU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048), regex(pattern = r"^https?://.+"))]
    pub api_url: Option<String>,
}

/// Alertmanager.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Alertmanager {
    /// Base addresses of every member of the cluster, such as http://alertmanager-0.alertmanager:9093.
    #[schemars(
        length(min = 1, max = 9),
        inner(length(min = 1, max = 2048), regex(pattern = r"^https?://.+"))
    )]
    pub urls: Vec<String>,
    /// A Secret's key with a token, sent as `Authorization: Bearer`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bearer_token_secret_ref: Option<SecretKeyRef>,
}

/// A service that takes Standard Webhooks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Webhook {
    /// The Secret's key that holds the address.
    pub url_secret_ref: SecretKeyRef,
    /// The Secret's key that holds the signing secret (`whsec_...`). Several, separated by spaces, sign several times,
    /// for rotation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signing_secret_ref: Option<SecretKeyRef>,
}

/// The language of messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// English.
    #[default]
    En,
    /// Chinese.
    Zh,
}

/// Which alerts a receiver is told of. Every part that is given must fit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AlertFilter {
    /// Info (default), Warning or Critical, and everything worse.
    #[serde(default)]
    pub min_severity: MinSeverity,
    /// Alerts about these namespaces. Default: the receiver's own; `*` is all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 63)))]
    pub namespaces: Vec<String>,
    /// Only these alerts, by name; a `*` at the end stands for anything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 100)))]
    pub alerts: Vec<String>,
    /// Not these alerts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 100)))]
    pub exclude: Vec<String>,
    /// Labels that an alert must carry.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub labels: std::collections::BTreeMap<String, String>,
}

/// The mildest alert that is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum MinSeverity {
    /// Everything.
    #[default]
    Info,
    /// What somebody should look at today.
    Warning,
    /// What somebody should look at now.
    Critical,
}

/// Which alerts are told together, and how often. Names and defaults are Alertmanager's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AlertGrouping {
    /// Alerts with the same values of these labels are told together; `alertname` is the alert's name. Default:
    /// alertname and namespace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 63)))]
    pub by: Vec<String>,
    /// How long to wait for more before the first message of a group. Default: 30s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = DURATION_PATTERN))]
    pub wait: Option<String>,
    /// How long to wait before telling of changes in a group that was told. Default: 5m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = DURATION_PATTERN))]
    pub interval: Option<String>,
    /// How long until a group that hasn't changed is told again. Default: 4h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = DURATION_PATTERN))]
    pub repeat: Option<String>,
}

/// Templates instead of the built-in ones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageTemplate {
    /// The title, one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub title: Option<String>,
    /// The text, in the Markdown that the service understands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16384))]
    pub text: Option<String>,
}

/// What came of telling.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AlertReceiverStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The format.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// How many messages the service took.
    #[serde(default)]
    pub delivered: i64,
    /// How many attempts failed, those that were tried again with success included.
    #[serde(default)]
    pub failed_attempts: i64,
    /// How many messages were given up.
    #[serde(default)]
    pub dead_letters: i64,
    /// How many messages wait.
    #[serde(default)]
    pub waiting: i64,
    /// When the service last took one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_delivery: Option<Time>,
    /// What the service last said, without secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_answer: Option<String>,
    /// Ready: the receiver is valid and its Secrets are there. Delivering: the last message was taken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}
