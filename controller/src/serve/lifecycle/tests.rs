use kafka_protocol::messages::broker_registration_request::{Feature, Listener};
use metadata_core::record::{BrokerRegistrationChangeRecord, MetadataRecord, ZkMigrationState};

use super::*;
use crate::decide::testkit::{broker, image, partition, then};

fn state(fenced: bool, shuts_down: bool, leads: bool, heartbeat: Heartbeat) -> BrokerState {
    let registered = MetadataRecord::from(broker(7));
    let leader = if leads { 7 } else { 8 };
    let image = image(ZkMigrationState::None, [registered, partition(0, &[7, 8], &[7, 8], leader).into()]);
    let change = BrokerRegistrationChangeRecord {
        broker_id: NodeId(7),
        broker_epoch: BrokerEpoch(7),
        fenced: i8::from(fenced),
        in_controlled_shutdown: i8::from(shuts_down),
        ..Default::default()
    };
    let image = then(&image, &[change.into()]);
    let registered = image.cluster().broker(NodeId(7)).unwrap().as_ref().clone();
    BrokerState::of(&image, NodeId(7), &registered, &heartbeat)
}

fn heartbeat(metadata_offset: i64, want_shutdown: bool) -> Heartbeat {
    Heartbeat { epoch: BrokerEpoch(7), metadata_offset: Offset(metadata_offset), want_fence: false, want_shutdown }
}

#[test]
fn a_broker_is_told_how_it_stands() {
    // fenced, shutting down, leads, offset, wants to shut down: caught up, fenced, may shut down
    let table = [
        (false, false, true, 9, false, (true, false, false)),
        (false, false, true, 6, false, (false, false, false)),
        (true, false, false, 7, false, (true, true, false)),
        (false, false, true, 9, true, (true, false, false)),
        (false, true, true, 9, true, (true, false, false)),
        (false, true, false, 9, true, (true, false, true)),
        // It is not told to go before the log says that it goes.
        (false, false, false, 9, true, (true, false, false)),
        (true, false, false, 9, true, (true, true, true)),
        (false, true, false, 9, false, (true, false, false)),
    ];
    for (fenced, shuts_down, leads, offset, wants, (caught_up, is_fenced, goes)) in table {
        let got = state(fenced, shuts_down, leads, heartbeat(offset, wants));
        let expected = BrokerState { caught_up, fenced: is_fenced, shuts_down: goes };
        assert_eq!(got, expected, "{fenced} {shuts_down} {leads} {offset} {wants}");
    }
}

#[test]
fn a_listener_or_a_feature_that_is_named_twice_is_no_registration() {
    let listener = |name: &str| Listener::default().with_name(text(name)).with_host(text("h")).with_port(9092);
    let feature = |name: &str| Feature::default().with_name(text(name)).with_max_supported_version(21);
    let request = BrokerRegistrationRequest::default()
        .with_broker_id(kafka_protocol::messages::BrokerId(3))
        .with_listeners(vec![listener("A"), listener("B")])
        .with_features(vec![feature("metadata.version")]);
    let asked_for = asked(request.clone()).unwrap();
    assert_eq!((asked_for.id, asked_for.listeners.len()), (NodeId(3), 2));
    let twice = request.clone().with_listeners(vec![listener("A"), listener("A")]);
    assert_eq!(asked(twice).unwrap_err(), KafkaError::InvalidRegistration);
    let twice = request.with_features(vec![feature("f"), feature("f")]);
    assert_eq!(asked(twice).unwrap_err(), KafkaError::InvalidRegistration);
}
