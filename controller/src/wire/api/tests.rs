use std::collections::BTreeSet;

use bytes::{BufMut as _, BytesMut};

use super::*;

/// Bodies as Kafka 3.9 writes them; see `testdata/README.md`.
const GOLDEN: &str = include_str!("../../../testdata/golden-rpcs.tsv");

fn hex(text: &str) -> Vec<u8> {
    text.as_bytes().chunks(2).map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap()).collect()
}

/// Name, version and body of each.
fn golden(suffix: &str) -> impl Iterator<Item = (&'static str, i16, Vec<u8>)> {
    let rows = GOLDEN.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let mut columns = line.split('\t');
        let mut next = || columns.next().unwrap();
        let (name, version) = (next(), next().parse().unwrap());
        (name, version, hex(next()))
    });
    rows.filter_map(move |(name, version, body)| Some((name.strip_suffix(suffix)?, version, body)))
}

fn api(name: &str) -> &'static Api {
    APIS.iter().find(|api| api.name == name).unwrap()
}

/// A whole request but for its length.
fn framed(api: &Api, version: i16, body: &[u8]) -> Bytes {
    let header = RequestHeader::default()
        .with_request_api_key(api.key)
        .with_request_api_version(version)
        .with_correlation_id(77)
        .with_client_id(Some(kafka_protocol::protocol::StrBytes::from_static_str("golden")));
    let mut frame = BytesMut::new();
    header.encode(&mut frame, header_version(api, version)).unwrap();
    frame.put_slice(body);
    frame.freeze()
}

#[test]
fn what_kafka_sends_is_read_in_every_version_that_is_served() {
    let mut seen = BTreeSet::new();
    for (name, version, body) in golden("RequestData") {
        let api = api(name);
        if !(api.min..=api.max).contains(&version) {
            let error = Request::read(framed(api, version, &body)).unwrap_err();
            assert!(matches!(error, NoRequest::Version { .. }), "{error}");
            continue;
        }
        let (envelope, request) = Request::read(framed(api, version, &body)).unwrap();
        assert_eq!((envelope.version, envelope.correlation_id, request.name()), (version, 77, name));
        seen.insert((api.key, version));
    }
    let served: BTreeSet<_> =
        APIS.iter().flat_map(|api| (api.min..=api.max).map(|version| (api.key, version))).collect();
    assert_eq!(seen, served);
}

#[test]
fn a_request_that_is_cut_or_goes_on_is_none_wherever_it_is_cut() {
    for (name, version, body) in golden("RequestData") {
        let api = api(name);
        if !(api.min..=api.max).contains(&version) {
            continue;
        }
        let frame = framed(api, version, &body);
        for cut in 0..frame.len() {
            Request::read(frame.slice(..cut)).unwrap_err();
        }
        let longer = [&frame[..], &[0]].concat();
        Request::read(longer.into()).unwrap_err();
    }
}

/// Whatever is made of a request, reading it ends and takes little memory.
#[test]
fn flipped_bytes_are_no_panic() {
    for (name, version, body) in golden("RequestData") {
        let api = api(name);
        let frame = framed(api, version, &body);
        for at in 0..frame.len() {
            for value in [0x00, 0x7f, 0x80, 0xff] {
                let mut flipped = frame.to_vec();
                flipped[at] = value;
                let _ = Request::read(flipped.into());
            }
        }
    }
}

#[test]
fn answers_are_kafkas_bytes() {
    for (name, version, body) in golden("ResponseData") {
        let api = api(name);
        if !(api.min..=api.max).contains(&version) {
            continue;
        }
        let mut bytes = Bytes::from(body.clone());
        let response = match name {
            "BrokerRegistration" => {
                Response::BrokerRegistration(BrokerRegistrationResponse::decode(&mut bytes, version).unwrap())
            }
            "BrokerHeartbeat" => {
                Response::BrokerHeartbeat(BrokerHeartbeatResponse::decode(&mut bytes, version).unwrap())
            }
            "Fetch" => Response::Fetch(FetchResponse::decode(&mut bytes, version).unwrap()),
            "AlterPartition" => Response::AlterPartition(AlterPartitionResponse::decode(&mut bytes, version).unwrap()),
            "ApiVersions" => Response::ApiVersions(ApiVersionsResponse::decode(&mut bytes, version).unwrap()),
            _ => continue,
        };
        let frame = response.frame(Envelope { version, correlation_id: 0x0102_0304 }).unwrap();
        assert_eq!(frame[..4], u32::try_from(frame.len() - 4).unwrap().to_be_bytes());
        assert_eq!(frame[4..8], [1, 2, 3, 4]);
        // The header of an answer to ApiVersions is always that of version 0 (KIP-511).
        let tagged = usize::from(name != "ApiVersions");
        assert!(frame[8..8 + tagged].iter().all(|byte| *byte == 0));
        assert_eq!(frame[8 + tagged..], body, "{name} {version}");
    }
}

#[test]
fn unknown_requests_and_versions_are_told_apart() {
    let read = |key: i16, version: i16| {
        let mut frame = BytesMut::new();
        frame.put_i16(key);
        frame.put_i16(version);
        frame.put_i32(9);
        Request::read(frame.freeze()).unwrap_err()
    };
    assert_eq!(read(0, 3), NoRequest::Unknown { key: 0 });
    assert_eq!(read(-1, 0), NoRequest::Unknown { key: -1 });
    assert_eq!(read(18, 5), NoRequest::ApiVersions { version: 5, correlation_id: 9 });
    assert_eq!(read(1, 11), NoRequest::Version { name: "Fetch", version: 11, min: 12, max: 17 });
}

#[test]
fn the_table_is_in_the_order_of_the_numbers_and_within_what_kafka_has() {
    assert!(APIS.is_sorted_by_key(|api| api.key));
    for told in advertised() {
        assert!(told.min_version >= 0 && told.min_version <= told.max_version);
    }
}
