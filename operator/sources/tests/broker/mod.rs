//! The frames of Kafka's protocol, from the broker's side.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::{RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Encodable, HeaderVersion, Request, decode_request_header_from_buffer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The next request: its header, and the rest still encoded.
pub(crate) async fn frame(stream: &mut TcpStream) -> Option<(RequestHeader, Bytes)> {
    let length = stream.read_i32().await.ok()?;
    let mut body = BytesMut::zeroed(usize::try_from(length).unwrap());
    stream.read_exact(&mut body).await.ok()?;
    let mut body = body.freeze();
    let header = decode_request_header_from_buffer(&mut body).unwrap();
    Some((header, body))
}

/// Answers a request in the version it was asked in.
pub(crate) async fn answer<T: Encodable + HeaderVersion>(
    stream: &mut TcpStream,
    to: &RequestHeader,
    body: &T,
) {
    let version = to.request_api_version;
    let mut frame = BytesMut::new();
    let header = ResponseHeader::default().with_correlation_id(to.correlation_id);
    header.encode(&mut frame, T::header_version(version)).unwrap();
    body.encode(&mut frame, version).unwrap();
    let mut whole = BytesMut::new();
    whole.put_i32(frame.len() as i32);
    whole.extend_from_slice(&frame);
    let _ = stream.write_all(&whole).await;
}

/// A request that the broker offers, up to a version.
pub(crate) fn api<R: Request>(max: i16) -> ApiVersion {
    ApiVersion::default().with_api_key(R::KEY).with_min_version(0).with_max_version(max)
}
