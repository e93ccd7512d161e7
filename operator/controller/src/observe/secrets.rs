//! Secrets by reference, in the namespace of the policy and nowhere else. Values are kept for half a minute, wrapped so
//! that nothing prints them; what is missing is an absence that names the Secret and the key.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use api::v1alpha1::SecretKeyRef;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use secrecy::SecretString;
use series::{Absence, AbsenceReason};

use crate::error::{is_forbidden, say};

/// A rotated password is in use after this time.
const KEEP: Duration = Duration::from_secs(30);

/// One Secret as it was read: its version, and its values as text.
#[derive(Clone)]
struct Read {
    at: Instant,
    version: String,
    values: Arc<HashMap<String, SecretString>>,
}

/// Reads Secrets.
pub struct Secrets {
    client: Client,
    read: Mutex<HashMap<(String, String), Read>>,
}

impl Secrets {
    /// Reads through `client`.
    pub fn new(client: Client) -> Self {
        Self { client, read: Mutex::default() }
    }

    /// The value behind a reference, and the version of the Secret it came from.
    pub async fn value(
        &self,
        namespace: &str,
        reference: &SecretKeyRef,
    ) -> Result<(SecretString, String), Absence> {
        let SecretKeyRef { name, key } = reference;
        let read = self.read(namespace, name).await?;
        let value = read.values.get(key).cloned().ok_or_else(|| {
            missing(format!("Secret {name} in {namespace} has no key {key} with text in it; add it"))
        })?;
        Ok((value, read.version))
    }

    async fn read(&self, namespace: &str, name: &str) -> Result<Read, Absence> {
        let key = (namespace.to_owned(), name.to_owned());
        let kept = self.read.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some(read) = kept.filter(|r| r.at.elapsed() < KEEP) {
            return Ok(read);
        }
        let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let secret = match api.get_opt(name).await {
            Ok(Some(secret)) => secret,
            Ok(None) => {
                return Err(missing(format!(
                    "there is no Secret {name} in {namespace}; create it, or correct the reference"
                )));
            }
            Err(error) => {
                let advice = if is_forbidden(&error) { "; let Foresail's role get it" } else { "" };
                return Err(missing(format!(
                    "can't read Secret {name} in {namespace}: {}{advice}",
                    say(&error)
                )));
            }
        };
        let values = secret
            .data
            .into_iter()
            .flatten()
            .filter_map(|(key, bytes)| Some((key, SecretString::from(String::from_utf8(bytes.0).ok()?))))
            .collect();
        let version = secret.metadata.resource_version.unwrap_or_default();
        let read = Read { at: Instant::now(), version, values: Arc::new(values) };
        let mut all = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, r| r.at.elapsed() < KEEP);
        all.insert(key, read.clone());
        Ok(read)
    }
}

fn missing(message: String) -> Absence {
    Absence::new(AbsenceReason::SecretMissing, message)
}
/// Looks up the Secrets of one policy and notes their versions, so that a change of any of them is seen.
pub(crate) struct Resolver<'a> {
    secrets: &'a Secrets,
    namespace: &'a str,
    versions: &'a mut String,
}

impl<'a> Resolver<'a> {
    /// Looks in `namespace`, and adds to `versions`.
    pub(crate) fn new(secrets: &'a Secrets, namespace: &'a str, versions: &'a mut String) -> Self {
        Self { secrets, namespace, versions }
    }

    /// The value behind a reference.
    pub(crate) async fn value(&mut self, reference: &SecretKeyRef) -> Result<SecretString, Absence> {
        let (value, version) = self.secrets.value(self.namespace, reference).await?;
        for part in [&reference.name, "/", &reference.key, "@", &version, ";"] {
            self.versions.push_str(part);
        }
        Ok(value)
    }
}
