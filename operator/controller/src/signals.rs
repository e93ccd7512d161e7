//! From a policy's signals to sources that can be asked: addresses, credentials and certificates put together, made
//! once and made again when the spec or a Secret changes.

use std::sync::Arc;
use std::time::Duration;

use api::v1alpha1::PrometheusServer;
use secrecy::{ExposeSecret, SecretString};
use series::{Absence, AbsenceReason};
use sources::prometheus::{Auth, Config, Prometheus};
use sources::tls::Identity;
use sources::{Pool, Source, Tls};

use crate::secrets::Secrets;
use crate::validate::{Intent, Signal, SignalSource};

/// The sources of one policy, in the order of its signals, each or why it can't be asked.
#[derive(Clone)]
pub(crate) struct Sources {
    /// What they were made from: the spec's generation and the versions of the Secrets.
    made_from: (Option<i64>, String),
    /// One for each signal.
    pub(crate) all: Vec<Result<Arc<dyn Source>, Absence>>,
}

/// Where a policy's queries go, with every secret resolved.
#[derive(Clone)]
struct Server {
    address: String,
    auth: Auth,
    tls: Tls,
    headers: Vec<(String, SecretString)>,
}

/// What is needed to make sources.
pub(crate) struct Maker<'a> {
    pub(crate) pool: &'a Pool,
    pub(crate) secrets: &'a Secrets,
    /// The Prometheus that Foresail was started with.
    pub(crate) default_address: Option<&'a str>,
    /// The longest a reading may take.
    pub(crate) deadline: Duration,
}

impl Maker<'_> {
    /// The sources for `intent`: those of before, where nothing they were made from has changed.
    pub(crate) async fn make(
        &self,
        namespace: &str,
        intent: &Intent,
        generation: Option<i64>,
        before: Option<Sources>,
    ) -> Sources {
        let mut versions = String::new();
        let server = self.server(namespace, intent, &mut versions).await;
        let made_from = (generation, versions);
        if let Some(before) = before.filter(|b| b.made_from == made_from && server.is_ok()) {
            return before;
        }
        let all = intent.signals.iter().map(|signal| self.source(signal, server.clone())).collect();
        Sources { made_from, all }
    }

    fn source(&self, signal: &Signal, server: Result<Server, Absence>) -> Result<Arc<dyn Source>, Absence> {
        match &signal.source {
            SignalSource::Prometheus { query } => {
                let Server { address, auth, tls, headers } = server?;
                let config =
                    Config { auth, tls, headers, deadline: self.deadline, ..Config::new(address, query.clone()) };
                Ok(Arc::new(Prometheus::new(self.pool, config)?))
            }
        }
    }

    async fn server(
        &self,
        namespace: &str,
        intent: &Intent,
        versions: &mut String,
    ) -> Result<Server, Absence> {
        match &intent.prometheus {
            Some(written) => self.resolve(namespace, written, versions).await,
            None => {
                let address = self.default_address.ok_or_else(|| {
                    Absence::new(
                        AbsenceReason::Unreachable,
                        "no Prometheus is named; write spec.prometheus.address, or start Foresail with --prometheus-url",
                    )
                })?;
                Ok(Server {
                    address: address.to_owned(),
                    auth: Auth::None,
                    tls: Tls::default(),
                    headers: Vec::new(),
                })
            }
        }
    }

    async fn resolve(
        &self,
        namespace: &str,
        written: &PrometheusServer,
        versions: &mut String,
    ) -> Result<Server, Absence> {
        let mut secret = async |reference: &api::v1alpha1::SecretKeyRef| {
            let (value, version) = self.secrets.value(namespace, reference).await?;
            versions.push_str(&format!("{}/{}@{version};", reference.name, reference.key));
            Ok::<SecretString, Absence>(value)
        };
        let auth = match (&written.bearer_token_secret_ref, &written.basic_auth) {
            (Some(token), _) => Auth::Bearer(secret(token).await?),
            (None, Some(basic)) => Auth::Basic {
                username: basic.username.clone(),
                password: secret(&basic.password_secret_ref).await?,
            },
            (None, None) => Auth::None,
        };
        let mut tls = Tls::default();
        if let Some(written) = &written.tls {
            if let Some(reference) = &written.ca_secret_ref {
                tls.ca = Some(secret(reference).await?.expose_secret().to_owned());
            }
            if let (Some(certificate), Some(key)) = (&written.cert_secret_ref, &written.key_secret_ref) {
                let certificate = secret(certificate).await?.expose_secret().to_owned();
                tls.identity = Some(Identity { certificate, key: secret(key).await? });
            }
            tls.server_name.clone_from(&written.server_name);
            tls.insecure_skip_verify = written.insecure_skip_verify;
        }
        let mut headers = Vec::new();
        for header in &written.headers {
            let value = match (&header.value, &header.value_secret_ref) {
                (_, Some(reference)) => secret(reference).await?,
                (value, None) => SecretString::from(value.clone().unwrap_or_default()),
            };
            headers.push((header.name.clone(), value));
        }
        Ok(Server { address: written.address.clone(), auth, tls, headers })
    }
}
