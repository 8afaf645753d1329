//! Kafka's requests over TCP, one at a time: as much of its protocol as we speak with real Kafka.

use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use kafka_protocol::messages::{RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable as _, Encodable as _, HeaderVersion as _, Request, StrBytes};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A server that takes longer for an answer is none.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// A longer answer is none of those that we ask for.
const ANSWER_SIZE_MAX: usize = 16 << 20;

/// How we call ourselves.
const CLIENT_ID: &str = "xtask-interop";

/// A connection to a broker or a controller.
pub(super) struct KafkaConnection {
    stream: TcpStream,
    correlation_id: i32,
}

impl KafkaConnection {
    /// Connects, without any security.
    pub(super) async fn open(address: &str) -> Result<Self, String> {
        let connecting = TcpStream::connect(address);
        let failed = |reason: String| format!("no connection with {address}: {reason}");
        let stream = match timeout(ANSWER_MAX, connecting).await {
            Ok(connected) => connected.map_err(|error| failed(error.to_string()))?,
            Err(_) => return Err(failed(format!("none within {} s", ANSWER_MAX.as_secs()))),
        };
        Ok(Self { stream, correlation_id: 0 })
    }

    /// Sends a request in the given version and waits for its answer, which has the same version.
    pub(super) async fn ask<R: Request>(&mut self, request: &R, version: i16) -> Result<R::Response, String> {
        self.correlation_id += 1;
        let frame = request_frame(request, version, self.correlation_id)?;
        let asking = async {
            self.stream.write_all(&frame).await?;
            let size = usize::try_from(self.stream.read_i32().await?).unwrap_or(usize::MAX);
            if size > ANSWER_SIZE_MAX {
                return Ok(Err(format!("an answer of {size} bytes")));
            }
            let mut answer = vec![0; size];
            self.stream.read_exact(&mut answer).await?;
            Ok::<_, std::io::Error>(Ok(Bytes::from(answer)))
        };
        let key = R::KEY;
        match timeout(ANSWER_MAX, asking).await {
            Ok(Ok(answer)) => response::<R>(answer?, version, self.correlation_id),
            Ok(Err(error)) => Err(format!("request {key}: {error}")),
            Err(_) => Err(format!("request {key}: no answer within {} s", ANSWER_MAX.as_secs())),
        }
    }
}

/// Length, header and body.
fn request_frame<R: Request>(request: &R, version: i16, correlation_id: i32) -> Result<Bytes, String> {
    let key = R::KEY;
    let failed =
        |error: &dyn std::fmt::Display| format!("request {key} can't be encoded in version {version}: {error}");
    let header = RequestHeader::default()
        .with_request_api_key(key)
        .with_request_api_version(version)
        .with_correlation_id(correlation_id)
        .with_client_id(Some(StrBytes::from_static_str(CLIENT_ID)));
    let mut content = BytesMut::new();
    header.encode(&mut content, R::header_version(version)).map_err(|error| failed(&error))?;
    request.encode(&mut content, version).map_err(|error| failed(&error))?;
    let mut frame = BytesMut::with_capacity(4 + content.len());
    frame.put_i32(i32::try_from(content.len()).map_err(|error| failed(&error))?);
    frame.put(content);
    Ok(frame.freeze())
}

fn response<R: Request>(mut answer: Bytes, version: i16, correlation_id: i32) -> Result<R::Response, String> {
    let key = R::KEY;
    let failed = |error: &dyn std::fmt::Display| format!("the answer to request {key} can't be read: {error}");
    let header = ResponseHeader::decode(&mut answer, R::Response::header_version(version));
    let header = header.map_err(|error| failed(&error))?;
    if header.correlation_id != correlation_id {
        return Err(failed(&format_args!("it is the answer to {}", header.correlation_id)));
    }
    let response = R::Response::decode(&mut answer, version).map_err(|error| failed(&error))?;
    match answer.remaining() {
        0 => Ok(response),
        rest => Err(failed(&format_args!("{rest} bytes too many"))),
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::BrokerRegistrationRequest;

    use super::*;

    /// An answer that Kafka 3.9.2 gave: broker epoch 18.
    const ANSWER: [u8; 20] = [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 18, 0];

    #[test]
    fn a_request_has_its_length_and_a_flexible_header() {
        let frame = request_frame(&BrokerRegistrationRequest::default(), 4, 7).unwrap();
        assert_eq!(frame.len(), 4 + usize::try_from(i32::from_be_bytes(frame[..4].try_into().unwrap())).unwrap());
        let header = [&[0, 62, 0, 4, 0, 0, 0, 7, 0, 13][..], CLIENT_ID.as_bytes(), &[0]].concat();
        assert_eq!(frame[4..4 + header.len()], header);
    }

    #[test]
    fn an_answer_is_read_whole_and_only_if_it_is_the_one_waited_for() {
        let read = |bytes: &[u8], id| response::<BrokerRegistrationRequest>(Bytes::copy_from_slice(bytes), 4, id);
        let answer = read(&ANSWER, 1).unwrap();
        assert_eq!((answer.error_code, answer.broker_epoch), (0, 18));
        assert!(read(&ANSWER, 2).unwrap_err().contains("it is the answer to 1"));
        assert!(read(&ANSWER[..19], 1).is_err());
        assert!(read(&[&ANSWER[..], &[0]].concat(), 1).unwrap_err().contains("1 bytes too many"));
        assert!(read(&[], 1).is_err());
    }
}
