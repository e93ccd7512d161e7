//! One TLS set-up against a server that shows a certificate for `broker.test` and demands one from its clients.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::sync::Arc;

use jiff::Timestamp;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use series::AbsenceReason;
use sources::prometheus::{Config, Prometheus};
use sources::tls::Identity;
use sources::{Pool, Source, Tls};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

const CA: &str = include_str!("tls/ca.pem");
const SERVER: (&str, &str) = (include_str!("tls/server.pem"), include_str!("tls/server.key"));
const CLIENT: (&str, &str) = (include_str!("tls/client.pem"), include_str!("tls/client.key"));
const ANSWER: &str = r#"{"status":"success","data":{"resultType":"scalar","result":[1,"7"]}}"#;

fn server_config() -> ServerConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(CA.as_bytes()).unwrap()).unwrap();
    let clients =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().unwrap();
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients)
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(SERVER.0.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(SERVER.1.as_bytes()).unwrap(),
        )
        .unwrap()
}

/// Answers every request over TLS with the number 7.
async fn serve() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("https://{}", listener.local_addr().unwrap());
    let acceptor = TlsAcceptor::from(Arc::new(server_config()));
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(tcp).await else { return };
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let head = format!(
                    "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                    ANSWER.len()
                );
                let _ = stream.write_all(format!("{head}{ANSWER}").as_bytes()).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    address
}

async fn read(address: &str, tls: Tls) -> Result<f64, AbsenceReason> {
    read_from(&Pool::default(), address, tls).await
}

async fn read_from(pool: &Pool, address: &str, tls: Tls) -> Result<f64, AbsenceReason> {
    let mut config = Config::new(address, "vector(7)");
    config.tls = tls;
    config.freshness.max_age = std::time::Duration::MAX;
    let source = Prometheus::new(pool, config).map_err(|a| a.reason)?;
    source.read(Timestamp::from_second(1).unwrap()).await.map(|s| s.value()).map_err(|a| a.reason)
}

fn trusting() -> Tls {
    Tls {
        ca: Some(CA.to_owned()),
        identity: Some(Identity { certificate: CLIENT.0.to_owned(), key: CLIENT.1.to_owned().into() }),
        server_name: Some("broker.test".to_owned()),
        insecure_skip_verify: false,
    }
}

#[tokio::test]
async fn an_own_authority_a_client_certificate_and_another_name_are_used() {
    let address = serve().await;
    assert_eq!(read(&address, trusting()).await, Ok(7.0));
    let unchecked = Tls { ca: None, server_name: None, insecure_skip_verify: true, ..trusting() };
    assert_eq!(read(&address, unchecked).await, Ok(7.0));
}

#[tokio::test]
async fn a_certificate_that_does_not_fit_is_refused() {
    let address = serve().await;
    let refused = Err(AbsenceReason::Unauthorized);
    assert_eq!(read(&address, Tls { ca: None, ..trusting() }).await, refused, "an unknown authority");
    assert_eq!(
        read(&address, Tls { server_name: None, ..trusting() }).await,
        refused,
        "127.0.0.1 isn't in it"
    );
    let other = Some("elsewhere.test".to_owned());
    assert_eq!(read(&address, Tls { server_name: other, ..trusting() }).await, refused, "another name");
    assert_eq!(read(&address, Tls { identity: None, ..trusting() }).await, refused, "no client certificate");
}

#[tokio::test]
async fn policies_with_wrong_certificates_do_not_keep_others_from_their_server() {
    let (address, pool) = (serve().await, Pool::default());
    for _ in 0..20 {
        for wrong in [Tls { ca: None, ..trusting() }, Tls { identity: None, ..trusting() }] {
            assert_eq!(read_from(&pool, &address, wrong).await, Err(AbsenceReason::Unauthorized));
        }
    }
    assert_eq!(read_from(&pool, &address, trusting()).await, Ok(7.0));
}
