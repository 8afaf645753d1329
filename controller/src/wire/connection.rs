//! One connection, from its first request to its end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};
use kafka_protocol::protocol::Request as _;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use super::api::{Envelope, NoRequest, Request, Response, advertised};
use super::frame::next_frame;
use crate::error::KafkaError;

/// An answer is taken within this time.
const ANSWER_TAKEN_WITHIN: Duration = Duration::from_secs(30);

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Where from.
    pub address: SocketAddr,
}

/// Whoever answers requests. It is asked from many connections at once.
#[async_trait]
pub trait Service: Send + Sync + 'static {
    /// The answer to a request that came in `version`, of the request's own kind: anything else ends the connection.
    async fn answer(&self, caller: &Caller, request: Request, version: i16) -> Response;
}

/// Answers requests until the connection ends or breaks a rule. Returns what ended it, if it was no orderly end.
pub(super) async fn converse(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    caller: &Caller,
    service: &Arc<dyn Service>,
    idle_max: Duration,
) -> Result<(), String> {
    loop {
        let frame = match next_frame(&mut stream, idle_max).await {
            Ok(Some(frame)) => frame,
            Ok(None) => return Ok(()),
            Err(error) => return Err(error.to_string()),
        };
        let (envelope, answer) = match Request::read(frame) {
            Ok((envelope, request)) => {
                let answer = service.answer(caller, request, envelope.version).await;
                (envelope, answer)
            }
            Err(NoRequest::ApiVersions { correlation_id, .. }) => {
                let envelope = Envelope { version: 0, correlation_id };
                (envelope, Response::ApiVersions(unsupported()))
            }
            Err(error) => return Err(error.to_string()),
        };
        let frame = answer.frame(envelope).map_err(|reason| format!("an answer can't be encoded: {reason}"))?;
        match timeout(ANSWER_TAKEN_WITHIN, stream.write_all(&frame)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(error.to_string()),
            Err(_) => return Err(format!("an answer was not taken within {} s", ANSWER_TAKEN_WITHIN.as_secs())),
        }
    }
}

/// What Kafka answers to a version of ApiVersions that it does not know: the versions of that request alone, in version 0.
fn unsupported() -> ApiVersionsResponse {
    ApiVersionsResponse::default()
        .with_error_code(KafkaError::UnsupportedVersion.code())
        .with_api_keys(advertised().filter(|api| api.api_key == ApiVersionsRequest::KEY).collect())
}
