//! A real control plane: etcd, kube-apiserver and kube-controller-manager on loopback.
//!
//! There are no nodes; [`crate::Kubelets`] stands in for them. The version is whatever binaries
//! [`crate::assets::kubernetes`] finds; [`Version`] says what has to be stripped from objects for it.

mod access;
pub mod apply;
mod version;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use kube::Client;
use tempfile::TempDir;

pub use access::Access;
pub use version::Version;

use crate::process::{Process, command, run};
use crate::{assets, net, wait};

/// How long a server may take to answer at first. They need 4 s on a quiet machine; a crowded one takes longer.
const PATIENCE: Duration = Duration::from_secs(90);

/// Controllers that tests rely on, by the names that old and new versions know.
const CONTROLLERS: &str = "deployment,replicaset,replicationcontroller,statefulset,serviceaccount,namespace,\
                           garbagecollector,horizontalpodautoscaling,clusterrole-aggregation";

/// Every request of every user, without bodies: what the least-privilege tests read.
const AUDIT_POLICY: &str = "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules:\n- level: None\n  users: [system:apiserver, system:kube-controller-manager]\n- level: Metadata\n";

/// A running control plane. Its servers end and its files go when it is dropped.
pub struct ControlPlane {
    // Dropped in this order: those who ask before those who answer.
    controller_manager: Option<Process>,
    api_server: Process,
    etcd: Process,
    client: Client,
    version: Version,
    url: String,
    certificate: Vec<u8>,
    dir: TempDir,
}

impl std::fmt::Debug for ControlPlane {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("ControlPlane")
            .field("url", &self.url)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

impl ControlPlane {
    /// Starts one and waits until it serves.
    ///
    /// # Errors
    /// Fails when the binaries are missing or do not come up, with the end of their log.
    pub async fn start() -> Result<Self> {
        crate::prepare();
        let binaries = assets::kubernetes()?;
        let dir = tempfile::Builder::new().prefix("foresail-control-plane-").tempdir()?;
        let version = Version::of_binary(&binaries.join("kube-apiserver"))?;
        let (mut etcd, etcd_url) = start_etcd(&binaries, dir.path())?;
        wait::http(&format!("{etcd_url}/health"), PATIENCE)
            .await
            .map_err(|error| explain(error, &mut etcd))?;

        let port = net::free_port()?;
        let mut api_server = start_api_server(&binaries, dir.path(), &etcd_url, port)?;
        let url = format!("https://127.0.0.1:{port}");
        let certificate_file = dir.path().join("certificates/apiserver.crt");
        // It listens only after its certificate is written, whole.
        wait::tcp(port, PATIENCE).await.map_err(|error| explain(error, &mut api_server))?;
        let certificate = std::fs::read(&certificate_file)?;
        let admin = Access::new(dir.path(), "admin", &url, &certificate, access::ADMIN_TOKEN)?;
        let client = admin.client()?;
        wait::until("the API server", PATIENCE, || ready(&client))
            .await
            .map_err(|error| explain(error, &mut api_server))?;
        tracing::info!(%version, url, "control plane serves");

        let mut plane =
            Self { controller_manager: None, api_server, etcd, client, version, url, certificate, dir };
        plane.controller_manager = plane.start_controller_manager(&binaries)?;
        Ok(plane)
    }

    fn start_controller_manager(&self, binaries: &Path) -> Result<Option<Process>> {
        let program = binaries.join("kube-controller-manager");
        if !program.exists() {
            tracing::warn!("no kube-controller-manager beside the API server: deployments make no pods");
            return Ok(None);
        }
        let token = access::CONTROLLER_MANAGER_TOKEN;
        let access = Access::new(self.dir.path(), "controller-manager", &self.url, &self.certificate, token)?;
        let mut command = command(program);
        command
            .arg(format!("--kubeconfig={}", access.kubeconfig().display()))
            .arg(format!("--controllers={CONTROLLERS}"))
            .args(["--leader-elect=false", "--bind-address=127.0.0.1"])
            .arg(format!("--secure-port={}", net::free_port()?))
            .arg(format!("--cert-dir={}", self.dir.path().join("controller-manager").display()))
            .args(["--horizontal-pod-autoscaler-sync-period=2s"])
            .args(["--kube-api-qps=200", "--kube-api-burst=400"]);
        if self.version.opens_an_insecure_port() {
            command.arg("--port=0");
        }
        Ok(Some(Process::start("kube-controller-manager", command, self.dir.path())?))
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
        Access::new(self.dir.path(), "admin", &self.url, &self.certificate, access::ADMIN_TOKEN)
    }

    /// Access with exactly the rights of a service account, which must exist.
    ///
    /// # Errors
    /// Fails when the API server issues no token for it.
    pub async fn service_account(&self, namespace: &str, name: &str) -> Result<Access> {
        let token = access::request_token(&self.client, namespace, name).await?;
        let file = format!("{namespace}-{name}");
        Access::new(self.dir.path(), &file, &self.url, &self.certificate, &token)
    }

    /// Where the API server listens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What version the API server says it is.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The API server's audit log so far: one JSON object per line and request.
    pub fn audit_log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("audit.log")).unwrap_or_default()
    }

    /// Where the servers keep their files and logs.
    pub fn directory(&self) -> PathBuf {
        self.dir.path().to_path_buf()
    }

    /// Stops the API server's process (SIGSTOP is not used: connections are refused, as in an outage).
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
        self.controller_manager.as_mut().map_or(Ok(()), Process::check)
    }
}

async fn ready(client: &Client) -> Result<()> {
    let request = http::Request::get("/readyz").body(Vec::new())?;
    client.request_text(request).await.context("asking /readyz")?;
    // Bootstrapped roles and the default namespace come a moment after.
    let namespaces: kube::Api<k8s_openapi::api::core::v1::Namespace> = kube::Api::all(client.clone());
    namespaces.get("default").await.context("reading namespace default")?;
    Ok(())
}

fn explain(error: anyhow::Error, process: &mut Process) -> anyhow::Error {
    let state = if process.is_running() { "still running" } else { "ended" };
    error.context(format!("{state}; its log ends with:\n{}", process.log_tail(20)))
}

fn start_etcd(binaries: &Path, dir: &Path) -> Result<(Process, String)> {
    let url = format!("http://127.0.0.1:{}", net::free_port()?);
    let peers = format!("http://127.0.0.1:{}", net::free_port()?);
    let mut command = command(binaries.join("etcd"));
    command
        .arg(format!("--data-dir={}", dir.join("etcd").display()))
        .arg(format!("--listen-client-urls={url}"))
        .arg(format!("--advertise-client-urls={url}"))
        .arg(format!("--listen-peer-urls={peers}"))
        .arg(format!("--initial-advertise-peer-urls={peers}"))
        .arg(format!("--initial-cluster=default={peers}"))
        .arg("--unsafe-no-fsync");
    Ok((Process::start("etcd", command, dir)?, url))
}

fn start_api_server(binaries: &Path, dir: &Path, etcd: &str, port: u16) -> Result<Process> {
    let key = dir.join("service-accounts.key");
    run(Command::new("openssl").args(["genrsa", "-out"]).arg(&key).arg("2048"))?;
    let tokens = dir.join("tokens.csv");
    std::fs::write(&tokens, access::token_file())?;
    let audit_policy = dir.join("audit-policy.yaml");
    std::fs::write(&audit_policy, AUDIT_POLICY)?;
    let mut command = command(binaries.join("kube-apiserver"));
    command
        .arg(format!("--etcd-servers={etcd}"))
        .arg(format!("--secure-port={port}"))
        .args(["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1"])
        .arg(format!("--cert-dir={}", dir.join("certificates").display()))
        .arg(format!("--token-auth-file={}", tokens.display()))
        .arg("--authorization-mode=RBAC")
        .arg(format!("--service-account-key-file={}", key.display()))
        .arg(format!("--service-account-signing-key-file={}", key.display()))
        .args([
            "--service-account-issuer=https://kubernetes.default.svc",
            "--api-audiences=https://kubernetes.default.svc",
        ])
        .args(["--service-cluster-ip-range=10.0.0.0/24", "--disable-admission-plugins=ServiceAccount"])
        .arg(format!("--audit-policy-file={}", audit_policy.display()))
        .arg(format!("--audit-log-path={}", dir.join("audit.log").display()))
        .arg("--audit-log-maxsize=1000")
        .arg("--shutdown-delay-duration=0s");
    Process::start("kube-apiserver", command, dir)
}
