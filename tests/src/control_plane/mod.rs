//! A real control plane: etcd, kube-apiserver and kube-controller-manager on loopback, as `tests/setup/servers.sh` set
//! them up. Pods go nowhere until there are [`crate::Nodes`].

mod access;
pub mod apply;
pub mod extension;

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use kube::Client;
use tempfile::TempDir;

pub use access::Access;

use crate::certificates::Authority;
use crate::process::{Process, command};
use crate::{assets, net};

/// How long a server may take to answer at first. They need 4 s on a quiet machine; a crowded one takes longer.
const PATIENCE: Duration = Duration::from_secs(90);

/// Controllers that tests rely on.
const CONTROLLERS: [&str; 15] = [
    "clusterrole-aggregation-controller",
    "daemonset-controller",
    "deployment-controller",
    "disruption-controller",
    "garbage-collector-controller",
    "horizontal-pod-autoscaler-controller",
    "namespace-controller",
    "node-lifecycle-controller",
    "pod-garbage-collector-controller",
    "replicaset-controller",
    "replicationcontroller-controller",
    "serviceaccount-controller",
    "statefulset-controller",
    "taint-eviction-controller",
    "ttl-after-finished-controller",
];

/// Every request of every user, without bodies: what the least-privilege tests read.
const AUDIT_POLICY: &str = "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules:\n\
                            - level: None\n  users: [system:apiserver, system:kube-controller-manager, \
                            system:kube-scheduler, kwok]\n- level: Metadata\n";

/// The name by which the API server knows extension servers' front.
const FRONT_PROXY: &str = "front-proxy";

/// A running control plane. Its servers end and its files go when it is dropped.
pub struct ControlPlane {
    // Dropped in this order: those who ask before those who answer.
    controller_manager: Process,
    api_server: Process,
    etcd: Process,
    client: Client,
    port: u16,
    authority: Authority,
    dir: TempDir,
}

impl std::fmt::Debug for ControlPlane {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ControlPlane").field("url", &self.url()).finish_non_exhaustive()
    }
}

impl ControlPlane {
    /// Starts one and waits until it serves.
    ///
    /// # Errors
    /// Fails when the programs are missing or do not come up, with the end of their log.
    pub async fn start() -> Result<Self> {
        crate::prepare();
        let dir = tempfile::Builder::new().prefix("foresail-control-plane-").tempdir()?;
        let authority = Authority::new("ca", &dir.path().join("certificates"))?;
        let (etcd_command, etcd_url) = etcd(&dir)?;
        let mut etcd = Process::start("etcd", etcd_command)?;
        let port = net::free_port()?;
        let api_server = api_server(&dir, &authority, &etcd_url, port)?;
        etcd.answers_http(&format!("{etcd_url}/health"), PATIENCE).await?;
        let mut api_server = Process::start("kube-apiserver", api_server)?;
        let access = |user, token| Access::new(dir.path(), user, &url(port), authority.pem(), token);
        let client = access("admin", access::ADMIN_TOKEN)?.client()?;
        api_server.answers(PATIENCE, || ready(&client)).await?;
        let manager = access("controller-manager", access::CONTROLLER_MANAGER_TOKEN)?;
        let controller_manager =
            Process::start("kube-controller-manager", controller_manager(&dir, &manager)?)?;
        tracing::info!(port, "control plane serves");
        Ok(Self { controller_manager, api_server, etcd, client, port, authority, dir })
    }

    /// A client with all rights.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Access with all rights.
    ///
    /// # Errors
    /// Fails when the kubeconfig cannot be written.
    pub fn admin(&self) -> Result<Access> {
        self.access("admin", access::ADMIN_TOKEN)
    }

    /// Access of the scheduler.
    pub(crate) fn scheduler(&self) -> Result<Access> {
        self.access("scheduler", access::SCHEDULER_TOKEN)
    }

    /// Access of those who play nodes.
    pub(crate) fn kubelets(&self) -> Result<Access> {
        self.access("kwok", access::KUBELETS_TOKEN)
    }

    /// Access with exactly the rights of a service account, which must exist.
    ///
    /// # Errors
    /// Fails when the API server issues no token for it.
    pub async fn service_account(&self, namespace: &str, name: &str) -> Result<Access> {
        let token = access::request_token(&self.client, namespace, name).await?;
        self.access(&format!("{namespace}-{name}"), &token)
    }

    fn access(&self, user: &str, token: &str) -> Result<Access> {
        Access::new(self.dir.path(), user, &self.url(), self.authority.pem(), token)
    }

    /// Where the API server listens.
    pub fn url(&self) -> String {
        url(self.port)
    }

    /// Who signs the certificates of this cluster, its extension servers and its nodes.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The version that the API server says it is, as `v1.37.2`.
    ///
    /// # Errors
    /// Fails when it does not answer.
    pub async fn version(&self) -> Result<String> {
        Ok(self.client.apiserver_version().await?.git_version)
    }

    /// The API server's audit log so far: one JSON object per line and request.
    pub fn audit_log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("audit.log")).unwrap_or_default()
    }

    /// Where the servers keep their files.
    pub fn directory(&self) -> PathBuf {
        self.dir.path().to_path_buf()
    }

    /// Kills the API server: connections are refused, as in an outage.
    pub fn stop_api_server(&mut self) {
        self.api_server.kill();
    }

    /// Fails when one of the servers has ended.
    ///
    /// # Errors
    /// Fails with the end of the log of the one that ended.
    pub fn check(&mut self) -> Result<()> {
        self.etcd.check()?;
        self.api_server.check()?;
        self.controller_manager.check()
    }
}

fn url(port: u16) -> String {
    format!("https://127.0.0.1:{port}")
}

async fn ready(client: &Client) -> Result<()> {
    let request = http::Request::get("/readyz").body(Vec::new())?;
    client.request_text(request).await.context("asking /readyz")?;
    // Bootstrapped roles and the default namespace come a moment after.
    let namespaces: kube::Api<k8s_openapi::api::core::v1::Namespace> = kube::Api::all(client.clone());
    namespaces.get("default").await.context("reading namespace default")?;
    Ok(())
}

fn etcd(dir: &TempDir) -> Result<(Command, String)> {
    let url = format!("http://127.0.0.1:{}", net::free_port()?);
    let peers = format!("http://127.0.0.1:{}", net::free_port()?);
    let mut command = command(assets::program("etcd")?);
    command
        .arg(format!("--data-dir={}", dir.path().join("etcd").display()))
        .arg(format!("--listen-client-urls={url}"))
        .arg(format!("--advertise-client-urls={url}"))
        .arg(format!("--listen-peer-urls={peers}"))
        .arg(format!("--initial-advertise-peer-urls={peers}"))
        .arg(format!("--initial-cluster=default={peers}"))
        .arg("--unsafe-no-fsync");
    Ok((command, url))
}

fn api_server(dir: &TempDir, authority: &Authority, etcd: &str, port: u16) -> Result<Command> {
    let certificates = dir.path().join("certificates");
    let serving = authority.issue(
        "kube-apiserver",
        None,
        &["127.0.0.1", "localhost", "kubernetes", "kubernetes.default.svc"],
    )?;
    // Extension servers believe the front proxy who a user is, so it has an authority of its own.
    let front = Authority::new("front-proxy-ca", &certificates)?.issue(FRONT_PROXY, None, &[])?;
    let kubelet = authority.issue("kube-apiserver-kubelet-client", Some("system:masters"), &[])?;
    let service_accounts = authority.issue("service-accounts", None, &[])?;
    let file = |name: &str, text: &str| -> Result<PathBuf> {
        let path = dir.path().join(name);
        std::fs::write(&path, text)?;
        Ok(path)
    };
    let mut command = command(assets::program("kube-apiserver")?);
    let mut flag = |name: &str, value: &std::path::Path| {
        command.arg(format!("--{name}={}", value.display()));
    };
    flag("tls-cert-file", &serving.certificate);
    flag("tls-private-key-file", &serving.key);
    flag("client-ca-file", &certificates.join("ca.crt"));
    flag("requestheader-client-ca-file", &certificates.join("front-proxy-ca.crt"));
    flag("proxy-client-cert-file", &front.certificate);
    flag("proxy-client-key-file", &front.key);
    flag("kubelet-certificate-authority", &certificates.join("ca.crt"));
    flag("kubelet-client-certificate", &kubelet.certificate);
    flag("kubelet-client-key", &kubelet.key);
    flag("service-account-key-file", &service_accounts.certificate);
    flag("service-account-signing-key-file", &service_accounts.key);
    flag("token-auth-file", &file("tokens.csv", &access::token_file())?);
    flag("audit-policy-file", &file("audit-policy.yaml", AUDIT_POLICY)?);
    flag("audit-log-path", &dir.path().join("audit.log"));
    command
        .arg(format!("--etcd-servers={etcd}"))
        .arg(format!("--secure-port={port}"))
        .arg(format!("--requestheader-allowed-names={FRONT_PROXY}"))
        .args([
            "--bind-address=127.0.0.1",
            // Nobody asks for the endpoints of the kubernetes Service, and 127.0.0.1 may not be one.
            "--endpoint-reconciler-type=none",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            "--authorization-mode=RBAC",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--api-audiences=https://kubernetes.default.svc",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--disable-admission-plugins=ServiceAccount",
            // A node that is gone loses its pods in seconds instead of minutes.
            "--default-not-ready-toleration-seconds=5",
            "--default-unreachable-toleration-seconds=5",
            "--audit-log-maxsize=1000",
            "--shutdown-delay-duration=0s",
        ]);
    Ok(command)
}

fn controller_manager(dir: &TempDir, access: &Access) -> Result<Command> {
    let mut command = command(assets::program("kube-controller-manager")?);
    command
        .arg(format!("--kubeconfig={}", access.kubeconfig().display()))
        .arg(format!("--controllers={}", CONTROLLERS.join(",")))
        .arg(format!("--secure-port={}", net::free_port()?))
        .arg(format!("--cert-dir={}", dir.path().join("controller-manager").display()))
        .args([
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
            "--horizontal-pod-autoscaler-sync-period=2s",
            "--node-monitor-period=1s",
            "--node-monitor-grace-period=16s",
            "--kube-api-qps=200",
            "--kube-api-burst=400",
        ]);
    Ok(command)
}
