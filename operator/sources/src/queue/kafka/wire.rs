//! One connection to one broker: frames, versions, signing in. Requests go in, responses come out; which to send is
//! the caller's.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{
    ApiVersionsRequest, ApiVersionsResponse, RequestHeader, ResponseHeader, SaslAuthenticateRequest,
    SaslHandshakeRequest,
};
use kafka_protocol::protocol::{
    Decodable, HeaderVersion, Request, StrBytes, encode_request_header_into_buffer,
};
use ring::rand::SecureRandom;
use rustls::ClientConfig;
use series::{Absence, AbsenceReason};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Mutex;

use super::sasl::{Mechanism, Sasl, Scram};
use crate::queue::dial::{Stream, dial};

/// Metadata of thousands of partitions fits; garbage that claims to be longer doesn't get the memory.
const LONGEST_FRAME: usize = 64 << 20;

/// A signed-in connection. Requests of several policies take turns on it.
pub(super) struct Connection {
    address: String,
    stream: Mutex<Box<dyn Stream>>,
    versions: BTreeMap<i16, RangeInclusive<i16>>,
    correlation: AtomicI32,
    /// Set while a frame is under way: a request that was given up in the middle leaves the stream unusable.
    broken: AtomicBool,
}

impl Connection {
    pub(super) async fn open(
        address: &str,
        tls: Option<&Arc<ClientConfig>>,
        sasl: Option<&Sasl>,
    ) -> Result<Self, Absence> {
        let mut connection = Self {
            address: address.to_owned(),
            stream: Mutex::new(dial(address, tls).await?),
            versions: BTreeMap::new(),
            correlation: AtomicI32::new(0),
            broken: AtomicBool::new(false),
        };
        connection.versions = connection.learn_versions().await?;
        if let Some(sasl) = sasl {
            connection.sign_in(sasl).await?;
        }
        Ok(connection)
    }

    pub(super) fn usable(&self) -> bool {
        !self.broken.load(Ordering::Acquire)
    }

    /// Whether the broker knows a request at all.
    pub(super) fn speaks<R: Request>(&self, ours: &RangeInclusive<i16>) -> bool {
        self.version::<R>(ours).is_some()
    }

    /// Sends a request in the newest version that both sides speak, and waits for the response.
    pub(super) async fn request<R: Request>(
        &self,
        ours: RangeInclusive<i16>,
        build: impl FnOnce(i16) -> R,
    ) -> Result<R::Response, Absence> {
        let version = self.version::<R>(&ours).ok_or_else(|| {
            self.absent(
                AbsenceReason::InvalidAnswer,
                format!("the broker speaks no version of request {} that we do ({ours:?})", R::KEY),
            )
        })?;
        self.exchange(version, &build(version)).await
    }

    fn version<R: Request>(&self, ours: &RangeInclusive<i16>) -> Option<i16> {
        let theirs = self.versions.get(&R::KEY)?;
        let newest = (*theirs.end()).min(*ours.end());
        (newest >= *theirs.start() && newest >= *ours.start()).then_some(newest)
    }

    async fn learn_versions(&self) -> Result<BTreeMap<i16, RangeInclusive<i16>>, Absence> {
        let name = || StrBytes::from_static_str("foresail");
        let question = ApiVersionsRequest::default()
            .with_client_software_name(name())
            .with_client_software_version(StrBytes::from_static_str(env!("CARGO_PKG_VERSION")));
        let body = self.exchange_raw(3, &question).await?;
        // A broker that doesn't know version 3 says so in a form of its own; all know version 0.
        let refused = body.len() < 6 || body.slice(4..6).get_i16() != 0;
        let answer: ApiVersionsResponse = if refused {
            self.exchange(0, &ApiVersionsRequest::default()).await?
        } else {
            self.decode(body, 3)?
        };
        Ok(answer.api_keys.iter().map(|api| (api.api_key, api.min_version..=api.max_version)).collect())
    }

    async fn sign_in(&self, sasl: &Sasl) -> Result<(), Absence> {
        let mechanism = sasl.mechanism.as_str();
        let handshake = self
            .request(1..=1, |_| {
                SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str(mechanism))
            })
            .await?;
        if handshake.error_code != 0 {
            let offered: Vec<&str> = handshake.mechanisms.iter().map(StrBytes::as_str).collect();
            return Err(self.absent(
                AbsenceReason::Unauthorized,
                format!("the broker doesn't offer {mechanism}, only {}", offered.join(", ")),
            ));
        }
        if sasl.mechanism == Mechanism::Plain {
            return self.authenticate(sasl.plain()).await.map(drop);
        }
        let mut nonce = [0; 24];
        ring::rand::SystemRandom::new()
            .fill(&mut nonce)
            .map_err(|_| self.absent(AbsenceReason::ServerError, "no randomness for a nonce".to_owned()))?;
        let refused = |what: &str| self.absent(AbsenceReason::Unauthorized, format!("SCRAM: {what}"));
        let scram = Scram::new(sasl, nonce);
        let challenge = self.authenticate(scram.first().into_bytes()).await?;
        let challenge = std::str::from_utf8(&challenge).map_err(|_| refused("the challenge is no text"))?;
        let last = scram.answer(challenge).map_err(refused)?;
        let proof = self.authenticate(last.message.clone().into_bytes()).await?;
        if std::str::from_utf8(&proof).is_ok_and(|proof| last.proves(proof)) {
            return Ok(());
        }
        Err(refused("the broker couldn't prove that it knows the password"))
    }

    async fn authenticate(&self, message: Vec<u8>) -> Result<Bytes, Absence> {
        let message = Bytes::from(message);
        let answer =
            self.request(0..=2, |_| SaslAuthenticateRequest::default().with_auth_bytes(message)).await?;
        if answer.error_code == 0 {
            return Ok(answer.auth_bytes);
        }
        let said = answer.error_message.map_or_else(String::new, |message| format!(": {}", message.as_str()));
        Err(self.absent(AbsenceReason::Unauthorized, format!("user or password were refused{said}")))
    }

    async fn exchange<R: Request>(&self, version: i16, request: &R) -> Result<R::Response, Absence> {
        let body = self.exchange_raw(version, request).await?;
        self.decode(body, version)
    }

    fn decode<T: Decodable + HeaderVersion>(&self, mut body: Bytes, version: i16) -> Result<T, Absence> {
        let header = ResponseHeader::decode(&mut body, T::header_version(version));
        header.and_then(|_| T::decode(&mut body, version)).map_err(|e| {
            self.absent(AbsenceReason::InvalidAnswer, format!("the broker's answer can't be read: {e}"))
        })
    }

    /// One frame there and one back. The response still has its header.
    async fn exchange_raw<R: Request>(&self, version: i16, request: &R) -> Result<Bytes, Absence> {
        let correlation = self.correlation.fetch_add(1, Ordering::Relaxed);
        let frame = self.frame(version, correlation, request)?;
        let mut stream = self.stream.lock().await;
        if self.broken.swap(true, Ordering::AcqRel) {
            return Err(self.absent(AbsenceReason::Unreachable, "the connection broke before".to_owned()));
        }
        let lost =
            |e: std::io::Error| self.absent(AbsenceReason::Unreachable, format!("the connection broke: {e}"));
        stream.write_all(&frame).await.map_err(lost)?;
        stream.flush().await.map_err(lost)?;
        let length = stream.read_i32().await.map_err(lost)?;
        let length =
            usize::try_from(length).ok().filter(|l| (4..=LONGEST_FRAME).contains(l)).ok_or_else(|| {
                self.absent(
                    AbsenceReason::InvalidAnswer,
                    "this doesn't speak Kafka; check the port".to_owned(),
                )
            })?;
        let mut body = BytesMut::zeroed(length);
        stream.read_exact(&mut body).await.map_err(lost)?;
        let body = body.freeze();
        if body.slice(..4).get_i32() != correlation {
            return Err(self.absent(AbsenceReason::InvalidAnswer, "answers are out of step".to_owned()));
        }
        self.broken.store(false, Ordering::Release);
        Ok(body)
    }

    fn frame<R: Request>(&self, version: i16, correlation: i32, request: &R) -> Result<Bytes, Absence> {
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(correlation)
            .with_client_id(Some(StrBytes::from_static_str("foresail")));
        let mut frame = BytesMut::zeroed(4);
        encode_request_header_into_buffer(&mut frame, &header)
            .and_then(|()| request.encode(&mut frame, version))
            .map_err(|e| {
                self.absent(AbsenceReason::InvalidQuery, format!("the request can't be made: {e}"))
            })?;
        let length = (frame.len() - 4) as i32;
        frame[..4].copy_from_slice(&length.to_be_bytes());
        Ok(frame.freeze())
    }

    fn absent(&self, reason: AbsenceReason, message: String) -> Absence {
        Absence::new(reason, format!("kafka://{}: {message}", self.address))
    }
}

/// What an error code means for a reading.
pub(super) fn reason(code: i16) -> AbsenceReason {
    use ResponseError as E;
    match ResponseError::try_from_code(code) {
        Some(
            E::UnknownTopicOrPartition | E::UnknownTopicId | E::InvalidTopicException | E::GroupIdNotFound,
        ) => AbsenceReason::NotFound,
        Some(
            E::TopicAuthorizationFailed
            | E::GroupAuthorizationFailed
            | E::ClusterAuthorizationFailed
            | E::SaslAuthenticationFailed,
        ) => AbsenceReason::Unauthorized,
        Some(
            E::LeaderNotAvailable | E::NotLeaderOrFollower | E::ReplicaNotAvailable | E::OffsetNotAvailable,
        ) => AbsenceReason::Partial,
        Some(E::InvalidGroupId | E::InvalidRequest) => AbsenceReason::InvalidQuery,
        _ => AbsenceReason::ServerError,
    }
}

/// The name of an error code, as Kafka's documentation has it.
pub(super) fn error_name(code: i16) -> String {
    ResponseError::try_from_code(code).map_or_else(|| format!("error {code}"), |error| format!("{error:?}"))
}
