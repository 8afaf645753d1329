//! Whoever breaks a rule is told by Kafka's code or cut off, and nobody else notices.

use kafka_protocol::messages::{ApiVersionsRequest, BrokerRegistrationRequest, FetchRequest, ProduceRequest};
use kafka_protocol::protocol::StrBytes;
use metadata_core::log::MetadataLog as _;
use tokio::io::AsyncWriteExt as _;

use crate::brokers::{fetch, registration};
use crate::client::Client;
use crate::served::Served;

async fn is_served(served: &Served) {
    let versions = served.client().await.ask(&ApiVersionsRequest::default(), 3).await;
    assert_eq!(versions.error_code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_request_ends_its_connection_alone() {
    let served = Served::start().await;
    let mut bystander = served.client().await;
    let long = u32::MAX.to_be_bytes().to_vec();
    let half = [0, 0, 1, 0, 7].to_vec();
    for bytes in [long, half, b"GET / HTTP/1.1\r\n\r\n".to_vec(), vec![0, 0, 0, 0]] {
        let mut client = served.client().await;
        client.stream.write_all(&bytes).await.unwrap();
        client.stream.shutdown().await.unwrap();
        assert!(client.is_closed().await, "{bytes:?}");
    }
    let mut client = served.client().await;
    client.raw(&[0xff; 64]).await;
    assert!(client.is_closed().await);
    // A request of an array that claims more than there is.
    let mut client = served.client().await;
    client
        .raw(&[
            0, 56, 0, 3, 0, 0, 0, 1, 0xff, 0xff, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f,
        ])
        .await;
    assert!(client.is_closed().await);
    // One that controllers do not serve.
    let mut client = served.client().await;
    client.send(&ProduceRequest::default(), 9).await;
    assert!(client.is_closed().await);
    let versions = bystander.ask(&ApiVersionsRequest::default(), 3).await;
    assert_eq!(versions.error_code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_client_learns_which_versions_there_are() {
    let served = Served::start().await;
    let mut client = served.client().await;
    // ApiVersions in version 9, of which nobody knows the body.
    client.raw(&[0, 18, 0, 9, 0, 0, 0, 5, 0xff, 0xff, 1, 2, 3]).await;
    let answer = client.frame().await.unwrap();
    // Correlation id, UNSUPPORTED_VERSION, one entry: ApiVersions from 0 to 4.
    assert_eq!(answer, [0, 0, 0, 5, 0, 35, 0, 0, 0, 1, 0, 18, 0, 0, 0, 4][..]);
    let versions = client.ask(&ApiVersionsRequest::default(), 3).await;
    assert_eq!(versions.error_code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_fit_is_told_by_kafkas_code() {
    let served = Served::start().await;
    let mut client = served.client().await;
    let elsewhere = registration(1, 1).with_cluster_id(StrBytes::from_static_str("another"));
    assert_eq!(client.ask(&elsewhere, 4).await.error_code, 104);
    let ours = registration(1, 1);
    assert_eq!(client.ask(&ours, 4).await.error_code, 0);
    // Its twin, while it lives; and one of an older metadata version.
    assert_eq!(client.ask(&registration(1, 2), 4).await.error_code, 101);
    let mut old: BrokerRegistrationRequest = registration(2, 1);
    old.features[0].max_supported_version = 20;
    assert_eq!(client.ask(&old, 4).await.error_code, 35);
    let migrating = registration(3, 1).with_is_migrating_zk_broker(true);
    assert_eq!(client.ask(&migrating, 4).await.error_code, 102, "there is no migration here");

    let epoch = served.log.leadership(None).await.unwrap().epoch.0;
    let code = async |client: &mut Client, request: FetchRequest| {
        client.ask(&request, 17).await.responses[0].partitions[0].error_code
    };
    assert_eq!(code(&mut client, fetch(1, epoch - 1, 0, 0)).await, 74);
    assert_eq!(code(&mut client, fetch(1, epoch + 1, 0, 0)).await, 75);
    let other = fetch(1, epoch, 0, 0).with_cluster_id(Some(StrBytes::from_static_str("another")));
    assert_eq!(client.ask(&other, 17).await.error_code, 104);
    let mut two = fetch(1, epoch, 0, 0);
    two.topics.push(two.topics[0].clone());
    assert_eq!(client.ask(&two, 17).await.error_code, 3);
    // A log that parts from ours is told where.
    let parted = client.ask(&fetch(1, epoch, 1_000, epoch), 17).await;
    let diverging = &parted.responses[0].partitions[0].diverging_epoch;
    assert_eq!(diverging.epoch, epoch);
    assert_eq!(diverging.end_offset, served.log.extent().end_offset.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_connections_is_bounded_and_ends_with_them() {
    let served = Served::start().await;
    let mut flood = Vec::new();
    for _ in 0..200 {
        flood.push(served.client().await);
    }
    // All of them are taken in before the next one.
    for client in &mut flood {
        client.ask(&ApiVersionsRequest::default(), 3).await;
    }
    assert!(served.client().await.is_closed().await);
    drop(flood);
    let served_again = async {
        loop {
            let mut client = served.client().await;
            client.send(&ApiVersionsRequest::default(), 3).await;
            if client.frame().await.is_some() {
                return;
            }
        }
    };
    tokio::time::timeout(crate::client::PATIENCE, served_again).await.unwrap();
    is_served(&served).await;
}
