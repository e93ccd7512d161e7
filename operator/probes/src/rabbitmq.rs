//! RabbitMQ lets us sign in and open the virtual host: the first eight frames of AMQP 0-9-1, and a polite end.

use async_trait::async_trait;
use health::Reason;
use health::check::Outcome;
use secrecy::ExposeSecret;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::net::{Credentials, Endpoint, Failure, Stream};
use crate::probe::{Probe, timed};

const FRAME_END: u8 = 0xCE;
const FRAME_MAX: u32 = 131_072;
const CONNECTION: u16 = 10;
const START: u16 = 10;
const START_OK: u16 = 11;
const TUNE: u16 = 30;
const TUNE_OK: u16 = 31;
const OPEN: u16 = 40;
const OPEN_OK: u16 = 41;
const CLOSE: u16 = 50;

/// A RabbitMQ probe.
#[derive(Clone, Debug)]
pub struct Rabbitmq {
    /// Host and port of the server, and whether over TLS.
    pub endpoint: Endpoint,
    /// As whom.
    pub credentials: Credentials,
    /// The virtual host.
    pub virtual_host: String,
}

#[async_trait]
impl Probe for Rabbitmq {
    fn kind(&self) -> &'static str {
        "rabbitmq"
    }

    fn host(&self) -> &str {
        self.endpoint.address()
    }

    async fn probe(&self) -> Outcome {
        timed(self.open()).await
    }
}

impl Rabbitmq {
    async fn open(&self) -> Result<(), Failure> {
        let mut stream = self.endpoint.connect().await?;
        let stream = &mut *stream;
        stream.write_all(b"AMQP\x00\x00\x09\x01").await?;
        expect(stream, START).await?;

        let mut start_ok = Vec::new();
        start_ok.extend(0_u32.to_be_bytes()); // no client properties
        short(&mut start_ok, "PLAIN");
        let response =
            format!("\0{}\0{}", self.credentials.username, self.credentials.password.expose_secret());
        start_ok.extend(u32::try_from(response.len()).unwrap_or(0).to_be_bytes());
        start_ok.extend(response.as_bytes());
        short(&mut start_ok, "en_US");
        send(stream, START_OK, &start_ok).await?;
        // A refused sign-in is a closed connection, or a close with a reason.
        let tune = expect(stream, TUNE).await.map_err(|f| match f.reason {
            Reason::ConnectionLost => Failure::new(Reason::Unauthorized, "the sign-in was refused"),
            _ => f,
        })?;

        let channel_max = tune.get(..2).map_or([0, 0], |b| [b[0], b[1]]);
        let mut tune_ok = channel_max.to_vec();
        tune_ok.extend(FRAME_MAX.to_be_bytes());
        tune_ok.extend(0_u16.to_be_bytes()); // no heartbeats
        send(stream, TUNE_OK, &tune_ok).await?;

        let mut open = Vec::new();
        short(&mut open, &self.virtual_host);
        open.extend([0, 0]);
        send(stream, OPEN, &open).await?;
        expect(stream, OPEN_OK).await?;

        let mut close = 200_u16.to_be_bytes().to_vec();
        short(&mut close, "bye");
        close.extend([0, 0, 0, 0]);
        send(stream, CLOSE, &close).await
    }
}

fn short(buffer: &mut Vec<u8>, text: &str) {
    let bytes = &text.as_bytes()[..text.len().min(255)];
    buffer.push(u8::try_from(bytes.len()).unwrap_or(0));
    buffer.extend(bytes);
}

async fn send(stream: &mut dyn Stream, method: u16, arguments: &[u8]) -> Result<(), Failure> {
    let mut frame = vec![1, 0, 0];
    frame.extend(u32::try_from(arguments.len() + 4).unwrap_or(4).to_be_bytes());
    frame.extend(CONNECTION.to_be_bytes());
    frame.extend(method.to_be_bytes());
    frame.extend(arguments);
    frame.push(FRAME_END);
    Ok(stream.write_all(&frame).await?)
}

/// Reads the next method of the connection; gives its arguments where it is `wanted`, and what the server says where it
/// closes instead.
async fn expect(stream: &mut dyn Stream, wanted: u16) -> Result<Vec<u8>, Failure> {
    let kind = stream.read_u8().await?;
    if kind == b'A' {
        return Err(Failure::new(Reason::InvalidAnswer, "the server speaks another version of AMQP"));
    }
    let _channel = stream.read_u16().await?;
    let size = stream.read_u32().await?;
    if kind != 1 || !(4..=FRAME_MAX).contains(&size) {
        return Err(Failure::invalid("RabbitMQ"));
    }
    let mut payload = vec![0; size as usize + 1];
    stream.read_exact(&mut payload).await?;
    let class = u16::from_be_bytes([payload[0], payload[1]]);
    let method = u16::from_be_bytes([payload[2], payload[3]]);
    payload.pop();
    let arguments = payload.split_off(4);
    match (class, method) {
        (CONNECTION, m) if m == wanted => Ok(arguments),
        (CONNECTION, CLOSE) => {
            let code = arguments.get(..2).map_or(0, |b| u16::from_be_bytes([b[0], b[1]]));
            let text = arguments.get(3..).map(String::from_utf8_lossy).unwrap_or_default();
            let said: String = text.chars().take_while(|c| !c.is_control()).collect();
            let reason = if code == 403 { Reason::Unauthorized } else { Reason::NotServing };
            Err(Failure::new(reason, format!("{code} {said}")))
        }
        _ => Err(Failure::invalid("RabbitMQ")),
    }
}
