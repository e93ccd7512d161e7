//! One TLS set-up for every source: roots, client certificate, the name to verify. Values come in as PEM text that
//! somebody else read from a Secret; a rustls configuration on ring goes out.

use std::fmt;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use secrecy::{ExposeSecret, SecretString};
use series::{Absence, AbsenceReason};

/// How to trust a server and how to show who we are. The default trusts the roots of the system and shows nothing.
#[derive(Clone, Default)]
pub struct Tls {
    /// PEM certificates to trust instead of the system's.
    pub ca: Option<String>,
    /// Certificate chain and key to show (mutual TLS).
    pub identity: Option<Identity>,
    /// The name the server's certificate must carry, where it isn't the host of the address.
    pub server_name: Option<String>,
    /// Accept any certificate. For test set-ups only.
    pub insecure_skip_verify: bool,
}

/// A client certificate.
#[derive(Clone)]
pub struct Identity {
    /// PEM certificate chain, leaf first.
    pub certificate: String,
    /// PEM private key (PKCS#8, PKCS#1 or SEC1).
    pub key: SecretString,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("ca", &self.ca.is_some())
            .field("identity", &self.identity.is_some())
            .field("server_name", &self.server_name)
            .field("insecure_skip_verify", &self.insecure_skip_verify)
            .finish()
    }
}

impl Tls {
    /// The rustls configuration. Refused with a sentence where a PEM text doesn't hold what it should.
    pub fn client_config(&self) -> Result<ClientConfig, Absence> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|e| bad(format!("no TLS version can be used: {e}")))?;
        let verifier = self.verifier(&provider)?;
        let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
        match &self.identity {
            None => Ok(builder.with_no_client_auth()),
            Some(identity) => {
                let chain = certificates(&identity.certificate, "client certificate")?;
                let key = PrivateKeyDer::from_pem_slice(identity.key.expose_secret().as_bytes())
                    .map_err(|_| bad("the client key isn't a PEM private key".to_owned()))?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|e| bad(format!("client certificate and key don't fit: {e}")))
            }
        }
    }

    /// A digest of everything in here, to share one client between equal set-ups.
    pub(crate) fn feed(&self, digest: &mut crate::fingerprint::Fingerprint) {
        digest.add(self.ca.as_deref().unwrap_or_default());
        if let Some(identity) = &self.identity {
            digest.add(&identity.certificate);
            digest.add(identity.key.expose_secret());
        }
        digest.add(self.server_name.as_deref().unwrap_or_default());
        digest.add(if self.insecure_skip_verify { "insecure" } else { "" });
    }

    fn verifier(&self, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, Absence> {
        if self.insecure_skip_verify {
            return Ok(Arc::new(AcceptAny { provider: Arc::clone(provider) }));
        }
        let inner: Arc<dyn ServerCertVerifier> = match &self.ca {
            None => Arc::new(
                rustls_platform_verifier::Verifier::new(Arc::clone(provider))
                    .map_err(|e| bad(format!("the system's certificate roots can't be used: {e}")))?,
            ),
            Some(ca) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(ca, "CA")? {
                    roots.add(certificate).map_err(|e| bad(format!("a CA certificate isn't valid: {e}")))?;
                }
                WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
                    .build()
                    .map_err(|e| bad(format!("the CA certificates can't be used: {e}")))?
            }
        };
        match &self.server_name {
            None => Ok(inner),
            Some(name) => {
                let name = ServerName::try_from(name.clone())
                    .map_err(|_| bad(format!("serverName '{name}' is no host name")))?;
                Ok(Arc::new(FixedName { inner, name }))
            }
        }
    }
}

fn certificates(pem: &str, what: &str) -> Result<Vec<CertificateDer<'static>>, Absence> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|e| bad(format!("the {what} isn't PEM: {e}")))?;
    if found.is_empty() {
        return Err(bad(format!("the {what} holds no PEM certificate")));
    }
    Ok(found)
}

fn bad(message: String) -> Absence {
    Absence::new(AbsenceReason::SecretMissing, message)
}

/// Verifies against one name, whatever host was dialled.
#[derive(Debug)]
struct FixedName {
    inner: Arc<dyn ServerCertVerifier>,
    name: ServerName<'static>,
}

impl ServerCertVerifier for FixedName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.inner.verify_server_cert(end_entity, intermediates, &self.name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// `insecureSkipVerify`: any certificate will do, but the handshake must still be signed by it.
#[derive(Debug)]
struct AcceptAny {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AcceptAny {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ca_that_is_no_certificate_is_refused_with_a_sentence() {
        let tls = Tls { ca: Some("hello".into()), ..Tls::default() };
        let absence = tls.client_config().unwrap_err();
        assert_eq!(absence.reason, AbsenceReason::SecretMissing);
        assert!(absence.message.contains("holds no PEM certificate"), "{absence}");
    }

    #[test]
    fn debug_output_shows_no_key() {
        let tls = Tls {
            identity: Some(Identity { certificate: "c".into(), key: "hunter2".to_owned().into() }),
            ..Tls::default()
        };
        assert!(!format!("{tls:?}").contains("hunter2"));
    }
}
