//! A Kafka broker answers a metadata request, knows at least one broker, and every partition of the named topics has a
//! leader. Metadata v1 is understood by every broker since 0.10 but those of 4.0, which want v4 at least: both
//! differ from each other only in two fields, so the request says v4 and the answer is read as v4.

use async_trait::async_trait;
use health::Reason;
use health::check::Outcome;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::net::{Endpoint, Failure};
use crate::probe::{Probe, timed};

const METADATA: i16 = 3;
const VERSION: i16 = 4;
const ANSWER_MAX: u32 = 4 * 1024 * 1024;
const CORRELATION: i32 = 0x666f_7265;

/// A Kafka probe.
#[derive(Clone, Debug)]
pub struct Kafka {
    /// Where a broker is.
    pub endpoint: Endpoint,
    /// Topics whose partitions must all have a leader.
    pub topics: Vec<String>,
}

#[async_trait]
impl Probe for Kafka {
    fn kind(&self) -> &'static str {
        "kafka"
    }

    fn host(&self) -> &str {
        self.endpoint.address()
    }

    async fn probe(&self) -> Outcome {
        timed(self.ask()).await
    }
}

impl Kafka {
    async fn ask(&self) -> Result<(), Failure> {
        let mut stream = self.endpoint.connect().await?;
        stream.write_all(&request(&self.topics)).await?;
        let size = stream.read_u32().await?;
        if !(8..=ANSWER_MAX).contains(&size) {
            return Err(Failure::invalid("Kafka"));
        }
        let mut answer = vec![0; size as usize];
        stream.read_exact(&mut answer).await?;
        judge(&answer)
    }
}

fn request(topics: &[String]) -> Vec<u8> {
    let text = |buffer: &mut Vec<u8>, text: &str| {
        buffer.extend(i16::try_from(text.len()).unwrap_or(0).to_be_bytes());
        buffer.extend(text.as_bytes());
    };
    let mut body = Vec::new();
    body.extend(METADATA.to_be_bytes());
    body.extend(VERSION.to_be_bytes());
    body.extend(CORRELATION.to_be_bytes());
    text(&mut body, "foresail-probe");
    body.extend(i32::try_from(topics.len()).unwrap_or(0).to_be_bytes());
    for topic in topics {
        text(&mut body, topic);
    }
    body.push(0); // don't create topics
    let mut framed = u32::try_from(body.len()).unwrap_or(0).to_be_bytes().to_vec();
    framed.extend(body);
    framed
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn bytes(&mut self, n: usize) -> Result<&[u8], Failure> {
        if self.0.len() < n {
            return Err(Failure::invalid("Kafka"));
        }
        let (taken, rest) = self.0.split_at(n);
        self.0 = rest;
        Ok(taken)
    }

    fn i8(&mut self) -> Result<i8, Failure> {
        Ok(self.bytes(1)?[0].cast_signed())
    }

    fn i16(&mut self) -> Result<i16, Failure> {
        self.bytes(2).map(|b| i16::from_be_bytes([b[0], b[1]]))
    }

    fn i32(&mut self) -> Result<i32, Failure> {
        self.bytes(4).map(|b| i32::from_be_bytes([b[0], b[1], b[2], b[3]]))
    }

    fn text(&mut self) -> Result<String, Failure> {
        let length = usize::try_from(self.i16()?).unwrap_or(0);
        self.bytes(length).map(|b| String::from_utf8_lossy(b).into_owned())
    }
}

fn judge(answer: &[u8]) -> Result<(), Failure> {
    let mut r = Reader(answer);
    if r.i32()? != CORRELATION {
        return Err(Failure::invalid("Kafka"));
    }
    let _throttle = r.i32()?;
    let brokers = r.i32()?;
    for _ in 0..brokers {
        let _id = r.i32()?;
        let _host = r.text()?;
        let _port = r.i32()?;
        let _rack = r.text()?;
    }
    let _cluster = r.text()?;
    let _controller = r.i32()?;
    if brokers <= 0 {
        return Err(Failure::new(Reason::NotServing, "the cluster has no broker"));
    }
    let topics = r.i32()?;
    for _ in 0..topics {
        let error = r.i16()?;
        let name = r.text()?;
        let _internal = r.i8()?;
        match error {
            0 | 5 => {}
            3 => return Err(Failure::new(Reason::NotFound, format!("topic {name} doesn't exist"))),
            29 => return Err(Failure::new(Reason::Unauthorized, format!("topic {name} may not be read"))),
            code => return Err(Failure::new(Reason::NotServing, format!("topic {name}: error {code}"))),
        }
        let partitions = r.i32()?;
        let mut without = 0;
        for _ in 0..partitions {
            let error = r.i16()?;
            let _partition = r.i32()?;
            let leader = r.i32()?;
            for _ in 0..2 {
                for _ in 0..r.i32()? {
                    r.i32()?;
                }
            }
            without += i32::from(leader < 0 || error == 5);
        }
        if without > 0 {
            return Err(Failure::new(
                Reason::Unavailable,
                format!("{without} of {partitions} partitions of {name} have no leader"),
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(leader: i32) -> Vec<u8> {
        let mut a = CORRELATION.to_be_bytes().to_vec();
        a.extend(0_i32.to_be_bytes());
        a.extend(1_i32.to_be_bytes());
        a.extend(7_i32.to_be_bytes());
        a.extend([0, 1, b'h']);
        a.extend(9_092_i32.to_be_bytes());
        a.extend((-1_i16).to_be_bytes());
        a.extend([0, 1, b'c']);
        a.extend(7_i32.to_be_bytes());
        a.extend(1_i32.to_be_bytes());
        a.extend([0, 0, 0, 2, b'o', b'k', 0]);
        a.extend(1_i32.to_be_bytes());
        a.extend(0_i16.to_be_bytes());
        a.extend(0_i32.to_be_bytes());
        a.extend(leader.to_be_bytes());
        for _ in 0..2 {
            a.extend(1_i32.to_be_bytes());
            a.extend(7_i32.to_be_bytes());
        }
        a
    }

    #[test]
    fn a_partition_without_a_leader_is_told() {
        assert!(judge(&answer(7)).is_ok());
        let failure = judge(&answer(-1)).unwrap_err();
        assert_eq!(failure.reason, Reason::Unavailable);
        assert!(failure.message.contains("1 of 1 partitions of ok"));
    }

    #[test]
    fn an_answer_that_breaks_off_is_no_answer() {
        let whole = answer(7);
        for n in 0..whole.len() {
            assert_eq!(judge(&whole[..n]).unwrap_err().reason, Reason::InvalidAnswer);
        }
    }
}
