//! The way to one broker.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::{
    LeaderAndIsrResponse, RequestHeader, ResponseHeader, StopReplicaResponse, UpdateMetadataResponse,
};
use kafka_protocol::protocol::{Decodable, Encodable as _, HeaderVersion, Request};
use metadata_core::id::NodeId;
use migration::propagate::{self, BrokerRequest, Receiver};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::queue::Queue;
use super::requests::{leader_and_isr, stop_replica, update_metadata};
use crate::convert::text;
use crate::error::KafkaError;
use crate::wire::{Guarded, framed};

/// A broker accepts a connection within this time.
const CONNECTED_WITHIN: Duration = Duration::from_secs(10);

/// A broker answers within this time, or is asked again (Kafka: `controller.socket.timeout.ms`).
const ANSWERED_WITHIN: Duration = Duration::from_secs(30);

/// Between two attempts, as in Kafka.
const PAUSE: Duration = Duration::from_millis(100);

/// A longer answer is none of those that are expected.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// What a listener without any security is called by number.
const PLAINTEXT: i16 = 0;

/// Delivers what is in the queue, one request at a time, each until it is answered. Never returns.
pub(super) async fn deliver(receiver: Receiver, queue: Arc<Queue>) {
    let mut stream: Option<TcpStream> = None;
    let mut correlation_id = 0;
    let mut said = String::new();
    loop {
        let request = queue.first().await;
        correlation_id += 1;
        match attempt(&receiver, &mut stream, &request, correlation_id).await {
            Ok(()) => {
                said.clear();
                queue.done(&request);
            }
            Err(reason) => {
                stream = None;
                if reason != said {
                    tracing::warn!(broker = %receiver.id, reason, "a broker in ZooKeeper mode is not told; it is tried again");
                    said = reason;
                }
                sleep(PAUSE).await;
            }
        }
    }
}

async fn attempt(
    receiver: &Receiver,
    stream: &mut Option<TcpStream>,
    request: &BrokerRequest,
    correlation_id: i32,
) -> Result<(), String> {
    let stream = match stream {
        Some(stream) => stream,
        None => stream.insert(connect(receiver).await?),
    };
    let frame = encoded(request, correlation_id)?;
    let asking = async {
        stream.write_all(&frame).await.map_err(|error| error.to_string())?;
        let length = stream.read_i32().await.map_err(|error| error.to_string())?;
        let length = usize::try_from(length).ok().filter(|length| *length <= ANSWER_BYTES_MAX);
        let mut bytes = vec![0; length.ok_or("it answers with more than any answer has")?];
        stream.read_exact(&mut bytes).await.map_err(|error| error.to_string())?;
        Ok::<_, String>(Bytes::from(bytes))
    };
    let bytes = timeout(ANSWERED_WITHIN, asking).await;
    let bytes = bytes.map_err(|_| format!("it does not answer within {} s", ANSWERED_WITHIN.as_secs()))??;
    for error in errors_in(request, bytes, correlation_id)? {
        // Nothing that is sent again would mend it; the next change is told all the same (Kafka logs it too).
        tracing::warn!(broker = %receiver.id, request = request_name(request), error, "a broker in ZooKeeper mode refuses what it is told");
    }
    Ok(())
}

async fn connect(receiver: &Receiver) -> Result<TcpStream, String> {
    let endpoint = receiver.endpoint.as_ref().ok_or("it is registered without the listener that it is reached at")?;
    if endpoint.security_protocol != PLAINTEXT {
        return Err(format!(
            "its listener at {}:{} is secured, and only plain ones are spoken with yet",
            endpoint.host, endpoint.port
        ));
    }
    let connecting = TcpStream::connect((endpoint.host.as_str(), endpoint.port));
    let at = || format!("{}:{}", endpoint.host, endpoint.port);
    let stream = match timeout(CONNECTED_WITHIN, connecting).await {
        Ok(connected) => connected.map_err(|error| format!("no connection with {}: {error}", at()))?,
        Err(_) => return Err(format!("no connection with {} within {} s", at(), CONNECTED_WITHIN.as_secs())),
    };
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    Ok(stream)
}

fn request_name(request: &BrokerRequest) -> &'static str {
    match request {
        BrokerRequest::LeaderAndIsr(_) => "LeaderAndIsr",
        BrokerRequest::UpdateMetadata(_) => "UpdateMetadata",
        BrokerRequest::StopReplica(_) => "StopReplica",
    }
}

/// Length, header and body.
fn encoded(request: &BrokerRequest, correlation_id: i32) -> Result<Bytes, String> {
    match request {
        BrokerRequest::LeaderAndIsr(it) => {
            let version = propagate::LeaderAndIsrRequest::VERSION;
            frame(&leader_and_isr(it), version, correlation_id, it.stamp.controller.id)
        }
        BrokerRequest::UpdateMetadata(it) => {
            let version = propagate::UpdateMetadataRequest::VERSION;
            frame(&update_metadata(it), version, correlation_id, it.stamp.controller.id)
        }
        BrokerRequest::StopReplica(it) => {
            let version = propagate::StopReplicaRequest::VERSION;
            frame(&stop_replica(it), version, correlation_id, it.stamp.controller.id)
        }
    }
}

/// The client id is the controller's node id, as Kafka's is.
fn frame<R: Request>(request: &R, version: i16, correlation_id: i32, own: NodeId) -> Result<Bytes, String> {
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_correlation_id(correlation_id)
        .with_client_id(Some(text(&own.to_string())));
    framed(|frame| {
        let written = header.encode(frame, R::header_version(version));
        written.and_then(|()| request.encode(frame, version)).map_err(|error| error.to_string())
    })
}

/// The errors in the answer to a request.
fn errors_in(request: &BrokerRequest, bytes: Bytes, correlation_id: i32) -> Result<Vec<String>, String> {
    let codes: Vec<i16> = match request {
        BrokerRequest::LeaderAndIsr(_) => {
            let version = propagate::LeaderAndIsrRequest::VERSION;
            let answer: LeaderAndIsrResponse = answered(bytes, version, correlation_id)?;
            let partitions = answer.topics.iter().flat_map(|topic| &topic.partition_errors);
            std::iter::once(answer.error_code).chain(partitions.map(|it| it.error_code)).collect()
        }
        BrokerRequest::UpdateMetadata(_) => {
            let version = propagate::UpdateMetadataRequest::VERSION;
            vec![answered::<UpdateMetadataResponse>(bytes, version, correlation_id)?.error_code]
        }
        BrokerRequest::StopReplica(_) => {
            let version = propagate::StopReplicaRequest::VERSION;
            let answer: StopReplicaResponse = answered(bytes, version, correlation_id)?;
            std::iter::once(answer.error_code).chain(answer.partition_errors.iter().map(|it| it.error_code)).collect()
        }
    };
    let mut counted: BTreeMap<i16, usize> = BTreeMap::new();
    codes.into_iter().filter(|code| *code != 0).for_each(|code| *counted.entry(code).or_default() += 1);
    let told = |(code, count): (i16, usize)| {
        let name = KafkaError::of_code(code).map_or_else(|| format!("error {code}"), |error| error.to_string());
        if count > 1 { format!("{name}, {count} times") } else { name }
    };
    Ok(counted.into_iter().map(told).collect())
}

fn answered<R: Decodable + HeaderVersion>(mut bytes: Bytes, version: i16, correlation_id: i32) -> Result<R, String> {
    let unread = |reason: String| format!("its answer can't be read: {reason}");
    let header = ResponseHeader::decode(&mut bytes, R::header_version(version));
    let header = header.map_err(|error| unread(error.to_string()))?;
    if header.correlation_id != correlation_id {
        return Err(unread(format!("it answers {}, not {correlation_id}", header.correlation_id)));
    }
    // Nobody but a broker answers here; it is read with the same suspicion as a request.
    R::decode(&mut Guarded::new(bytes), version).map_err(|error| unread(error.to_string()))
}
