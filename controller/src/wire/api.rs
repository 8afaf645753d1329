//! Which requests are served, in which versions, as one table.

use bytes::Bytes;
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Decodable as _, Encodable as _, HeaderVersion as _, Request as _};

use super::frame::framed;
use super::guard::Guarded;

/// A request that is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Api {
    /// Kafka's number.
    pub key: i16,
    /// Kafka's name.
    pub name: &'static str,
    /// Lowest version, inclusive. All of them are flexible (KIP-482), but for those of ApiVersions.
    pub min: i16,
    /// Highest version, inclusive.
    pub max: i16,
}

/// The envelope of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Envelope {
    pub(super) version: i16,
    pub(super) correlation_id: i32,
}

/// Why a frame is no request that can be answered.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoRequest {
    /// Kafka answers this one in version 0, so that the caller learns what there is (KIP-35).
    #[error("version {version} of ApiVersions is not known here")]
    ApiVersions { version: i16, correlation_id: i32 },
    /// Whoever asks for it has not listened to our answer to ApiVersions.
    #[error("request {key} is not served")]
    Unknown { key: i16 },
    #[error("{name} is not served in version {version}, but from {min} to {max}")]
    Version { name: &'static str, version: i16, min: i16, max: i16 },
    #[error("the header can't be read: {0}")]
    Header(String),
    #[error("{name} in version {version} can't be read: {reason}")]
    Body { name: &'static str, version: i16, reason: String },
}

/// Makes the enumerations and everything that goes by the request's kind.
macro_rules! apis {
    ($($name:ident($request:ident, $response:ident) $min:literal..=$max:literal;)+) => {
        /// All that are served, in the order of their numbers.
        pub const APIS: &[Api] = &[$(Api {
            key: $request::KEY,
            name: stringify!($name),
            min: $min,
            max: $max,
        }),+];

        /// A request, as it came.
        #[derive(Debug, Clone, PartialEq)]
        #[expect(missing_docs, reason = "the names are Kafka's")]
        pub enum Request {
            $($name($request)),+
        }

        /// The answer to a request.
        #[derive(Debug, Clone, PartialEq)]
        #[expect(missing_docs, reason = "the names are Kafka's")]
        pub enum Response {
            $($name($response)),+
        }

        impl Request {
            /// Kafka's name of the request.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$name(_) => stringify!($name)),+
                }
            }

            fn body(api: &Api, version: i16, bytes: &mut Guarded) -> Result<Self, String> {
                match api.key {
                    $($request::KEY => $request::decode(bytes, version).map(Self::$name),)+
                    _ => return Err("it is not served".to_owned()),
                }
                .map_err(|error| format!("{error:#}").trim().to_owned())
            }
        }

        impl Response {
            /// The frame that answers `envelope`.
            pub(super) fn frame(&self, envelope: Envelope) -> Result<Bytes, String> {
                let Envelope { version, correlation_id } = envelope;
                let header = ResponseHeader::default().with_correlation_id(correlation_id);
                framed(|frame| {
                    let encoded = match self {
                        $(Self::$name(response) => header
                            .encode(frame, $response::header_version(version))
                            .and_then(|()| response.encode(frame, version)),)+
                    };
                    encoded.map_err(|error| format!("{error:#}"))
                })
            }
        }

        fn header_version(api: &Api, version: i16) -> i16 {
            match api.key {
                $($request::KEY => $request::header_version(version),)+
                _ => 2,
            }
        }
    };
}

apis! {
    Fetch(FetchRequest, FetchResponse) 12..=17;
    ApiVersions(ApiVersionsRequest, ApiVersionsResponse) 0..=4;
    DescribeQuorum(DescribeQuorumRequest, DescribeQuorumResponse) 0..=2;
    AlterPartition(AlterPartitionRequest, AlterPartitionResponse) 2..=3;
    FetchSnapshot(FetchSnapshotRequest, FetchSnapshotResponse) 0..=1;
    BrokerRegistration(BrokerRegistrationRequest, BrokerRegistrationResponse) 0..=4;
    BrokerHeartbeat(BrokerHeartbeatRequest, BrokerHeartbeatResponse) 0..=1;
    UnregisterBroker(UnregisterBrokerRequest, UnregisterBrokerResponse) 0..=0;
    AllocateProducerIds(AllocateProducerIdsRequest, AllocateProducerIdsResponse) 0..=0;
    AssignReplicasToDirs(AssignReplicasToDirsRequest, AssignReplicasToDirsResponse) 0..=0;
}

/// What ApiVersions says of all that are served.
pub fn advertised() -> impl Iterator<Item = ApiVersion> {
    let told =
        |api: &Api| ApiVersion::default().with_api_key(api.key).with_min_version(api.min).with_max_version(api.max);
    APIS.iter().map(told)
}

impl Request {
    /// Reads a frame, without its length.
    pub(super) fn read(frame: Bytes) -> Result<(Envelope, Self), NoRequest> {
        // Every version of the header begins like this.
        let Some(start) = frame.first_chunk::<8>() else {
            return Err(NoRequest::Header(format!("it has {} bytes", frame.len())));
        };
        let [k0, k1, v0, v1, id @ ..] = *start;
        let (key, version) = (i16::from_be_bytes([k0, k1]), i16::from_be_bytes([v0, v1]));
        let envelope = Envelope { version, correlation_id: i32::from_be_bytes(id) };
        let api = APIS.iter().find(|api| api.key == key).ok_or(NoRequest::Unknown { key })?;
        if !(api.min..=api.max).contains(&version) {
            return Err(match key {
                ApiVersionsRequest::KEY => NoRequest::ApiVersions { version, correlation_id: envelope.correlation_id },
                _ => NoRequest::Version { name: api.name, version, min: api.min, max: api.max },
            });
        }
        let mut bytes = Guarded::new(frame);
        RequestHeader::decode(&mut bytes, header_version(api, version))
            .map_err(|error| NoRequest::Header(format!("{error:#}").trim().to_owned()))?;
        let unread = |reason| NoRequest::Body { name: api.name, version, reason };
        let request = Self::body(api, version, &mut bytes).map_err(unread)?;
        match bytes::Buf::remaining(&bytes) {
            0 => Ok((envelope, request)),
            rest => Err(unread(format!("{rest} bytes too many"))),
        }
    }
}

#[cfg(test)]
mod tests;
