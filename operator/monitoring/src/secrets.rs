//! Secrets by reference, in the namespace of the resource that names them and nowhere else, kept for half a minute.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use api::v1alpha1::{SecretKeyRef, Tls};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use secrecy::{ExposeSecret, SecretString};

const KEEP: Duration = Duration::from_secs(30);

type Values = BTreeMap<String, SecretString>;

/// Reads Secrets.
pub struct Secrets {
    client: Client,
    kept: Mutex<HashMap<(String, String), (Instant, Values)>>,
}

impl Secrets {
    /// Reads through `client`.
    pub fn new(client: Client) -> Self {
        Self { client, kept: Mutex::default() }
    }

    /// The value behind a reference; the error is a sentence with the remedy, and never holds a value.
    pub async fn value(&self, namespace: &str, reference: &SecretKeyRef) -> Result<SecretString, String> {
        let SecretKeyRef { name, key } = reference;
        let values = self.read(namespace, name).await?;
        let value = values
            .get(key)
            .ok_or_else(|| format!("Secret {name} in {namespace} has no key {key}; add it"))?;
        // Files made by hand end with a line break.
        Ok(value.expose_secret().trim().to_owned().into())
    }

    /// The value behind a reference, if there is a reference.
    pub async fn optional(
        &self,
        namespace: &str,
        reference: Option<&SecretKeyRef>,
    ) -> Result<Option<SecretString>, String> {
        match reference {
            Some(reference) => self.value(namespace, reference).await.map(Some),
            None => Ok(None),
        }
    }

    /// Certificates and keys behind a TLS set-up.
    pub async fn tls(&self, namespace: &str, tls: &Tls) -> Result<sources::Tls, String> {
        let text = |s: Option<SecretString>| s.map(|s| s.expose_secret().to_owned());
        let ca = text(self.optional(namespace, tls.ca_secret_ref.as_ref()).await?);
        let certificate = text(self.optional(namespace, tls.cert_secret_ref.as_ref()).await?);
        let key = self.optional(namespace, tls.key_secret_ref.as_ref()).await?;
        Ok(sources::Tls {
            ca,
            identity: certificate
                .zip(key)
                .map(|(certificate, key)| sources::tls::Identity { certificate, key }),
            server_name: tls.server_name.clone(),
            insecure_skip_verify: tls.insecure_skip_verify,
        })
    }

    async fn read(&self, namespace: &str, name: &str) -> Result<Values, String> {
        let key = (namespace.to_owned(), name.to_owned());
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some((at, values)) = kept
            && at.elapsed() < KEEP
        {
            return Ok(values);
        }
        let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let secret = match api.get_opt(name).await {
            Ok(Some(secret)) => secret,
            Ok(None) => {
                return Err(format!(
                    "there is no Secret {name} in {namespace}; create it, or correct the reference"
                ));
            }
            Err(kube::Error::Api(status)) => {
                return Err(format!("can't read Secret {name} in {namespace}: {}", status.message));
            }
            Err(error) => return Err(format!("can't read Secret {name} in {namespace}: {error}")),
        };
        let values: Values = secret
            .data
            .into_iter()
            .flatten()
            .filter_map(|(key, bytes)| Some((key, SecretString::from(String::from_utf8(bytes.0).ok()?))))
            .collect();
        let mut all = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, (at, _)| at.elapsed() < KEEP);
        all.insert(key, (Instant::now(), values.clone()));
        Ok(values)
    }
}
