//! A broker's connection to the controller.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use kafka_protocol::messages::{RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable as _, Encodable as _, HeaderVersion as _, Request, StrBytes};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Nothing takes longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    correlation_id: i32,
}

impl Client {
    pub(crate) async fn connect(to: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(to).await.unwrap(), correlation_id: 0 }
    }

    pub(crate) async fn ask<R: Request>(&mut self, request: &R, version: i16) -> R::Response {
        self.correlation_id += 1;
        self.send(request, version).await;
        let mut answer = timeout(PATIENCE, self.frame()).await.unwrap().expect("an answer");
        let header = ResponseHeader::decode(&mut answer, R::Response::header_version(version)).unwrap();
        assert_eq!(header.correlation_id, self.correlation_id);
        let response = R::Response::decode(&mut answer, version).unwrap();
        assert_eq!(answer.remaining(), 0);
        response
    }

    pub(crate) async fn send<R: Request>(&mut self, request: &R, version: i16) {
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(self.correlation_id)
            .with_client_id(Some(StrBytes::from_static_str("test")));
        let mut frame = BytesMut::new();
        header.encode(&mut frame, R::header_version(version)).unwrap();
        request.encode(&mut frame, version).unwrap();
        self.raw(&frame).await;
    }

    /// A frame with these bytes.
    pub(crate) async fn raw(&mut self, bytes: &[u8]) {
        let mut frame = BytesMut::new();
        frame.put_u32(u32::try_from(bytes.len()).unwrap());
        frame.put_slice(bytes);
        self.stream.write_all(&frame).await.unwrap();
    }

    /// The next frame, or `None` when the connection was closed.
    pub(crate) async fn frame(&mut self) -> Option<Bytes> {
        let length = self.stream.read_u32().await.ok()?;
        let mut bytes = vec![0; usize::try_from(length).unwrap()];
        self.stream.read_exact(&mut bytes).await.ok()?;
        Some(bytes.into())
    }

    pub(crate) async fn is_closed(&mut self) -> bool {
        timeout(PATIENCE, self.frame()).await.unwrap().is_none()
    }
}
