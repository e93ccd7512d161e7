//! Signing in to a broker of our own over a real socket: PLAIN and SCRAM, right and wrong.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod broker;

use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use broker::{answer, api, frame};
use bytes::Bytes;
use jiff::Timestamp;
use kafka_protocol::messages::{
    ApiKey, ApiVersionsResponse, SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest,
    SaslHandshakeResponse,
};
use kafka_protocol::protocol::{Decodable, StrBytes};
use ring::{digest, hmac, pbkdf2};
use series::AbsenceReason;
use sources::queue::kafka::{Config, Kafka, Mechanism, OffsetReset, Sasl};
use sources::{Pool, QueueSource};
use tokio::net::{TcpListener, TcpStream};

const USER: &str = "foresail";
const PASSWORD: &str = "right-one";

/// The server's side of SCRAM-SHA-256: its challenge, and its judgement of the proof.
fn challenge(first: &str) -> String {
    let nonce = first.split("r=").nth(1).unwrap();
    format!("r={nonce}server,s={},i=4096", STANDARD.encode(b"salt"))
}

fn judge(first: &str, challenge: &str, last: &str) -> Option<String> {
    let mut salted = [0; 32];
    let rounds = NonZeroU32::new(4_096).unwrap();
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, b"salt", PASSWORD.as_bytes(), &mut salted);
    let sign =
        |key: &[u8], text: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref().to_vec();
    let (without_proof, proof) = last.split_once(",p=").unwrap();
    let signed = format!("{},{challenge},{without_proof}", first.strip_prefix("n,,").unwrap());
    let client_key = sign(&salted, b"Client Key");
    let stored = digest::digest(&digest::SHA256, &client_key);
    let signature = sign(stored.as_ref(), signed.as_bytes());
    let proof = STANDARD.decode(proof).unwrap();
    let shown: Vec<u8> = proof.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
    let server_key = sign(&salted, b"Server Key");
    (shown == client_key).then(|| format!("v={}", STANDARD.encode(sign(&server_key, signed.as_bytes()))))
}

async fn converse(mut stream: TcpStream) {
    let mut mechanism = String::new();
    let mut said: Vec<String> = Vec::new();
    while let Some((header, mut body)) = frame(&mut stream).await {
        let version = header.request_api_version;
        match ApiKey::try_from(header.request_api_key).unwrap() {
            ApiKey::ApiVersions => {
                let keys = vec![api::<SaslHandshakeRequest>(1), api::<SaslAuthenticateRequest>(2)];
                answer(&mut stream, &header, &ApiVersionsResponse::default().with_api_keys(keys)).await;
            }
            ApiKey::SaslHandshake => {
                mechanism = SaslHandshakeRequest::decode(&mut body, version).unwrap().mechanism.to_string();
                let offered = ["PLAIN", "SCRAM-SHA-256"];
                let code = if offered.contains(&mechanism.as_str()) { 0 } else { 33 };
                let offered = offered.map(StrBytes::from_static_str).to_vec();
                let response =
                    SaslHandshakeResponse::default().with_error_code(code).with_mechanisms(offered);
                answer(&mut stream, &header, &response).await;
            }
            ApiKey::SaslAuthenticate => {
                let request = SaslAuthenticateRequest::decode(&mut body, version).unwrap();
                said.push(String::from_utf8(request.auth_bytes.to_vec()).unwrap());
                let reply = match (mechanism.as_str(), said.as_slice()) {
                    ("PLAIN", [only]) => (*only == format!("\0{USER}\0{PASSWORD}")).then(String::new),
                    (_, [first]) => Some(challenge(first)),
                    (_, [first, last]) => judge(first, &challenge(first), last),
                    _ => None,
                };
                let response = match reply {
                    Some(text) => SaslAuthenticateResponse::default().with_auth_bytes(Bytes::from(text)),
                    None => SaslAuthenticateResponse::default().with_error_code(58),
                };
                answer(&mut stream, &header, &response).await;
            }
            other => panic!("nobody asks {other:?} of a broker that doesn't offer it"),
        }
    }
}

async fn outcome(mechanism: Mechanism, password: &str) -> series::Absence {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(converse(stream));
        }
    });
    let config = Config {
        bootstrap_servers: vec![address],
        group: "shop".into(),
        topics: vec!["orders".into()],
        offset_reset: OffsetReset::Earliest,
        sasl: Some(Sasl { mechanism, username: USER.into(), password: password.to_owned().into() }),
        tls: None,
    };
    Kafka::new(&Pool::default(), config).unwrap().read(Timestamp::now()).await.unwrap_err()
}

/// Who got past signing in finds a broker that offers nothing else.
fn signed_in(absence: &series::Absence) -> bool {
    absence.reason == AbsenceReason::InvalidAnswer && absence.message.contains("no version of request 3")
}

#[tokio::test]
async fn the_right_password_signs_in() {
    for mechanism in [Mechanism::Plain, Mechanism::ScramSha256] {
        let absence = outcome(mechanism, PASSWORD).await;
        assert!(signed_in(&absence), "{mechanism:?}: {absence}");
    }
}

#[tokio::test]
async fn the_wrong_password_is_unauthorized_and_not_shown() {
    for mechanism in [Mechanism::Plain, Mechanism::ScramSha256] {
        let absence = outcome(mechanism, "wrong-one").await;
        assert_eq!(absence.reason, AbsenceReason::Unauthorized, "{mechanism:?}: {absence}");
        assert!(!absence.message.contains("wrong-one"), "{absence}");
    }
}

#[tokio::test]
async fn a_mechanism_that_is_not_offered_is_unauthorized_and_names_those_that_are() {
    let absence = outcome(Mechanism::ScramSha512, PASSWORD).await;
    assert_eq!(absence.reason, AbsenceReason::Unauthorized);
    assert!(absence.message.contains("PLAIN, SCRAM-SHA-256"), "{absence}");
}
