use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use kafka_protocol::messages::{RequestHeader, ResponseHeader, UpdateMetadataRequest, UpdateMetadataResponse};
use kafka_protocol::protocol::{Decodable as _, Encodable as _};
use metadata_core::id::{BrokerEpoch, IncarnationId, KRaftLeaderEpoch, ZkControllerEpoch};
use metadata_core::image::Endpoint;
use metadata_core::uuid::Uuid;
use migration::propagate::{ActingController, RequestType, Stamp, UpdateMetadataRequest as Planned};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// A request that is told from others by its epoch.
fn request(epoch: i64) -> BrokerRequest {
    let controller =
        ActingController { id: NodeId(3000), zk_epoch: ZkControllerEpoch(5), kraft_epoch: KRaftLeaderEpoch(7) };
    let stamp = Stamp { controller, broker_epoch: Some(BrokerEpoch(epoch)) };
    BrokerRequest::UpdateMetadata(Planned {
        stamp,
        request_type: RequestType::Incremental,
        topics: Vec::new().into(),
        live_brokers: Vec::new().into(),
    })
}

fn receiver(port: u16) -> Receiver {
    Receiver {
        id: NodeId(1),
        epoch: Some(BrokerEpoch(1)),
        incarnation_id: IncarnationId(Uuid::from_u64_pair(1, 1)),
        endpoint: Some(Endpoint { host: "127.0.0.1".into(), port, security_protocol: 0 }),
    }
}

/// Reads a request: its correlation id and the epoch that tells it from others. `None` at the end of the connection.
async fn asked(stream: &mut TcpStream) -> Option<(i32, i64)> {
    let length = stream.read_i32().await.ok()?;
    let mut bytes = vec![0; usize::try_from(length).unwrap()];
    stream.read_exact(&mut bytes).await.ok()?;
    let mut bytes = Bytes::from(bytes);
    let header = RequestHeader::decode(&mut bytes, 2).unwrap();
    assert_eq!((header.request_api_key, header.request_api_version), (6, 8));
    assert_eq!(header.client_id.as_deref(), Some("3000"));
    let request = UpdateMetadataRequest::decode(&mut bytes, 8).unwrap();
    assert_eq!(bytes.remaining(), 0);
    Some((header.correlation_id, request.broker_epoch))
}

async fn answer(stream: &mut TcpStream, correlation_id: i32, error_code: i16) {
    let mut frame = BytesMut::new();
    frame.put_i32(0);
    ResponseHeader::default().with_correlation_id(correlation_id).encode(&mut frame, 1).unwrap();
    UpdateMetadataResponse::default().with_error_code(error_code).encode(&mut frame, 8).unwrap();
    let length = u32::try_from(frame.len() - 4).unwrap();
    frame[..4].copy_from_slice(&length.to_be_bytes());
    stream.write_all(&frame).await.unwrap();
}

async fn broker() -> (TcpListener, TcpBrokerChannel) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let channel = TcpBrokerChannel::new();
    channel.open(&receiver(listener.local_addr().unwrap().port())).await.unwrap();
    (listener, channel)
}

#[tokio::test]
async fn requests_come_in_order_one_at_a_time_and_errors_stop_nothing() {
    let (listener, channel) = broker().await;
    channel.send(NodeId(1), vec![request(1), request(2)]).await.unwrap();
    channel.send(NodeId(1), vec![request(3)]).await.unwrap();
    let (mut stream, _) = listener.accept().await.unwrap();
    for epoch in 1..=3 {
        let (id, found) = asked(&mut stream).await.unwrap();
        assert_eq!(found, epoch);
        let early = tokio::time::timeout(Duration::from_millis(50), stream.read_u8()).await;
        assert!(early.is_err(), "the next one comes once this one is answered");
        answer(&mut stream, id, if epoch == 2 { 77 } else { 0 }).await;
    }
}

#[tokio::test]
async fn what_was_not_answered_comes_again_on_a_new_connection() {
    let (listener, channel) = broker().await;
    channel.send(NodeId(1), vec![request(1), request(2)]).await.unwrap();
    let (mut first, _) = listener.accept().await.unwrap();
    assert_eq!(asked(&mut first).await.unwrap().1, 1);
    drop(first);
    let (mut second, _) = listener.accept().await.unwrap();
    let (id, epoch) = asked(&mut second).await.unwrap();
    assert_eq!(epoch, 1);
    // An answer to something else is no answer.
    answer(&mut second, id + 1, 0).await;
    let (mut third, _) = listener.accept().await.unwrap();
    for epoch in 1..=2 {
        let (id, found) = asked(&mut third).await.unwrap();
        assert_eq!(found, epoch);
        answer(&mut third, id, 0).await;
    }
}

#[tokio::test]
async fn a_full_queue_is_emptied_and_takes_everything_anew() {
    let (_listener, channel) = broker().await;
    let mut overflowed = 0;
    for epoch in 0..=QUEUE_MAX as i64 {
        overflowed += i32::from(channel.send(NodeId(1), vec![request(epoch)]).await.unwrap() == Enqueued::Overflowed);
    }
    assert_eq!(overflowed, 1);
    let all = (0..QUEUE_MAX as i64).map(request).collect();
    assert_eq!(channel.send(NodeId(1), all).await.unwrap(), Enqueued::Queued);
    assert_eq!(channel.send(NodeId(1), vec![request(1), request(2)]).await.unwrap(), Enqueued::Overflowed);
}

#[tokio::test]
async fn a_queue_that_is_opened_anew_holds_nothing_of_before() {
    let (listener, channel) = broker().await;
    let port = listener.local_addr().unwrap().port();
    channel.send(NodeId(1), vec![request(1), request(2)]).await.unwrap();
    let (mut old, _) = listener.accept().await.unwrap();
    assert_eq!(asked(&mut old).await.unwrap().1, 1);
    channel.open(&receiver(port)).await.unwrap();
    assert_eq!(asked(&mut old).await, None, "its connection is closed");
    channel.send(NodeId(1), vec![request(9)]).await.unwrap();
    let (mut new, _) = listener.accept().await.unwrap();
    assert_eq!(asked(&mut new).await.unwrap().1, 9);
    channel.close(NodeId(1)).await.unwrap();
    channel.close(NodeId(1)).await.unwrap();
    let refused = channel.send(NodeId(1), vec![request(1)]).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
}

/// S32: nobody waits for a broker that does not answer.
#[tokio::test]
async fn a_dead_broker_holds_up_nobody() {
    let (listener, channel) = broker().await;
    let mut dead = receiver(listener.local_addr().unwrap().port());
    (dead.id, dead.endpoint) = (NodeId(2), None);
    channel.open(&dead).await.unwrap();
    channel.send(NodeId(2), vec![request(1)]).await.unwrap();
    channel.send(NodeId(1), vec![request(1)]).await.unwrap();
    let (mut stream, _) = listener.accept().await.unwrap();
    assert_eq!(asked(&mut stream).await.unwrap().1, 1);
}
