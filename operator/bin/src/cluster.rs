//! The API server as kubectl would find it: `--kubeconfig`, `--context`, the environment, or the pod's own account.

use std::path::PathBuf;

use anyhow::Context as _;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

/// Which cluster to talk to.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Cluster {
    /// Kubeconfig file. Default: $KUBECONFIG, ~/.kube/config, or the pod's service account
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig. Default: its current one
    #[arg(long, value_name = "NAME", global = true)]
    pub(crate) context: Option<String>,
}

impl Cluster {
    /// How to reach the cluster.
    pub(crate) async fn config(&self) -> anyhow::Result<Config> {
        let options = KubeConfigOptions { context: self.context.clone(), ..KubeConfigOptions::default() };
        if let Some(path) = &self.kubeconfig {
            let kubeconfig =
                Kubeconfig::read_from(path).with_context(|| format!("can't read {}", path.display()))?;
            return Ok(Config::from_custom_kubeconfig(kubeconfig, &options).await?);
        }
        if self.context.is_some() {
            return Ok(Config::from_kubeconfig(&options).await?);
        }
        Config::infer().await.context("no cluster found; name one with --kubeconfig, or set KUBECONFIG")
    }

    /// A client for the cluster, and the namespace that the context names.
    pub(crate) async fn client(&self) -> anyhow::Result<(Client, String)> {
        let config = self.config().await?;
        let namespace = config.default_namespace.clone();
        Ok((Client::try_from(config)?, namespace))
    }
}
