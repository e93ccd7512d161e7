//! How to reach a Prometheus, with every secret by reference.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A Prometheus, or anything that speaks its query API (Thanos, Mimir, VictoriaMetrics), and how to sign in there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!(has(self.bearerTokenSecretRef) && has(self.basicAuth))")
        .message("set at most one of bearerTokenSecretRef and basicAuth")
)]
pub struct PrometheusServer {
    /// Base address, such as http://prometheus.monitoring:9090 or https://mimir.example.com/prometheus.
    #[schemars(length(min = 1, max = 2048), regex(pattern = r"^https?://.+"))]
    pub address: String,
    /// A Secret's key with a token, sent as `Authorization: Bearer`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bearer_token_secret_ref: Option<SecretKeyRef>,
    /// User name and password for basic authentication.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basic_auth: Option<BasicAuth>,
    /// Certificates, where the server has its own authority or wants one from us.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// Further headers, such as a tenant: `X-Scope-OrgID`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub headers: Vec<Header>,
}

/// One key of a Secret in the namespace of the resource that names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyRef {
    /// The Secret's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key inside the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// User name and password.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BasicAuth {
    /// The user's name.
    #[schemars(length(min = 1, max = 253))]
    pub username: String,
    /// The Secret's key that holds the password.
    pub password_secret_ref: SecretKeyRef,
}

/// Certificates for a TLS connection.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.certSecretRef) == has(self.keySecretRef)")
        .message("set certSecretRef and keySecretRef together")
)]
pub struct Tls {
    /// Certificates (PEM) of the authority that signed the server's certificate. Default: those built in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<SecretKeyRef>,
    /// Our certificate (PEM), where the server wants one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert_secret_ref: Option<SecretKeyRef>,
    /// The key (PEM) to our certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_secret_ref: Option<SecretKeyRef>,
    /// The name that the server's certificate must carry, where it isn't the host of the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub server_name: Option<String>,
    /// Don't check the server's certificate. Only for trying things out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub insecure_skip_verify: bool,
}

/// One HTTP header, with its value in plain sight or in a Secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.value) != has(self.valueSecretRef)")
        .message("set exactly one of value and valueSecretRef")
)]
pub struct Header {
    /// The header's name.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z0-9-]+$"))]
    pub name: String,
    /// The value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub value: Option<String>,
    /// The Secret's key that holds the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_secret_ref: Option<SecretKeyRef>,
}
