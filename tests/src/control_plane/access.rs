//! Who may do what: tokens, and the kubeconfig files that carry them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use base64::Engine as _;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::PostParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};

pub(super) const ADMIN_TOKEN: &str = "testbed-admin";
pub(super) const CONTROLLER_MANAGER_TOKEN: &str = "testbed-controller-manager";
pub(super) const SCHEDULER_TOKEN: &str = "testbed-scheduler";
pub(super) const KUBELETS_TOKEN: &str = "testbed-kubelets";

/// The users that the API server knows by token alone: TOKEN,USER,UID,GROUPS.
pub(super) fn token_file() -> String {
    format!(
        "{ADMIN_TOKEN},admin,admin,system:masters\n\
         {CONTROLLER_MANAGER_TOKEN},system:kube-controller-manager,controller-manager,system:masters\n\
         {SCHEDULER_TOKEN},system:kube-scheduler,scheduler,system:masters\n\
         {KUBELETS_TOKEN},kwok,kwok,system:masters\n"
    )
}

/// One user's way to the API server: a kubeconfig file.
#[derive(Debug, Clone)]
pub struct Access {
    kubeconfig: PathBuf,
    parsed: Kubeconfig,
    token: String,
}

impl Access {
    pub(super) fn new(dir: &Path, user: &str, url: &str, authority: &str, token: &str) -> Result<Self> {
        let certificate = base64::engine::general_purpose::STANDARD.encode(authority);
        let document = serde_json::json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "testbed", "preferences": {},
            "clusters": [{"name": "testbed", "cluster": {"server": url, "certificate-authority-data": certificate}}],
            "users": [{"name": user, "user": {"token": token}}],
            "contexts": [{"name": "testbed", "context": {"cluster": "testbed", "user": user, "namespace": "default"}}],
        });
        let kubeconfig = dir.join(format!("{user}.kubeconfig"));
        // JSON is YAML.
        std::fs::write(&kubeconfig, serde_json::to_vec_pretty(&document)?)?;
        let parsed = serde_json::from_value(document)?;
        Ok(Self { kubeconfig, parsed, token: token.to_owned() })
    }

    /// The file to name in `KUBECONFIG`.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The bearer token.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// A client of this user.
    ///
    /// # Errors
    /// Fails when the kubeconfig is not usable.
    pub fn client(&self) -> Result<Client> {
        let parsed = self.parsed.clone();
        // The loader of kube is asynchronous for programs that fetch tokens; here nothing waits.
        let config = futures::executor::block_on(Config::from_custom_kubeconfig(
            parsed,
            &KubeConfigOptions::default(),
        ))?;
        Ok(Client::try_from(config)?)
    }
}

pub(super) async fn request_token(client: &Client, namespace: &str, name: &str) -> Result<String> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let spec = TokenRequestSpec {
        audiences: vec!["https://kubernetes.default.svc".to_owned()],
        expiration_seconds: Some(24 * 3600),
        bound_object_ref: None,
    };
    let request = TokenRequest { spec, ..TokenRequest::default() };
    let issued = accounts
        .create_token_request(name, &PostParams::default(), &request)
        .await
        .with_context(|| format!("asking for a token of service account {namespace}/{name}"))?;
    Ok(issued.status.context("the token request came back without a status")?.token)
}
