//! Each trigger, with exactly what is sent for it.

use metadata_core::error::ErrorKind;
use metadata_core::id::{
    BrokerEpoch, LeaderEpoch, NodeId, PartitionEpoch, PartitionId, TopicId, ZkControllerEpoch, ZkVersion,
};
use metadata_core::image::MetadataImage;
use metadata_core::leadership::{Fence, KraftLeadership, Leadership, ZkClaim};
use metadata_core::record::{
    ConfigRecord, FenceBrokerRecord, MetadataRecord, NO_LEADER_CHANGE, PartitionChangeRecord, PartitionRecord,
    RegisterControllerRecord, RemoveTopicRecord, TopicRecord, UnfenceBrokerRecord, UnregisterBrokerRecord,
};
use metadata_core::uuid::Uuid;
use migration::propagate::{
    ActingController, BrokerRequest, Order, Propagator, RequestType, StopReplicaPartition, UpdateMetadataPartition,
};

use crate::cluster::Cluster;
use crate::random::{apply, controller, registration};

fn id(of: u64) -> TopicId {
    TopicId(Uuid::from_u64_pair(1, of))
}

fn topic(of: u64, name: &str) -> MetadataRecord {
    TopicRecord { name: name.to_owned(), topic_id: id(of), ..Default::default() }.into()
}

fn nodes(ids: &[i32]) -> Vec<NodeId> {
    ids.iter().copied().map(NodeId).collect()
}

fn partition(of: u64, number: i32, replicas: &[i32]) -> MetadataRecord {
    PartitionRecord {
        topic_id: id(of),
        partition_id: PartitionId(number),
        replicas: nodes(replicas),
        isr: nodes(replicas),
        leader: NodeId(replicas[0]),
        leader_epoch: LeaderEpoch(5),
        partition_epoch: PartitionEpoch(9),
        ..Default::default()
    }
    .into()
}

fn change(of: u64, number: i32, edit: impl FnOnce(&mut PartitionChangeRecord)) -> MetadataRecord {
    let mut change = PartitionChangeRecord {
        topic_id: id(of),
        partition_id: PartitionId(number),
        leader: NO_LEADER_CHANGE,
        ..Default::default()
    };
    edit(&mut change);
    change.into()
}

fn gone(of: u64) -> MetadataRecord {
    RemoveTopicRecord { topic_id: id(of), ..Default::default() }.into()
}

fn fence(of: i32) -> MetadataRecord {
    FenceBrokerRecord { id: NodeId(of), epoch: BrokerEpoch(i64::from(of)), ..Default::default() }.into()
}

/// Brokers 1 to 3 and 5 in ZooKeeper mode, 5 without replicas, 4 in KRaft mode, 6 fenced. Two topics.
fn start() -> MetadataImage {
    let records = [
        registration(1, 1, true, false),
        registration(2, 2, true, false),
        registration(3, 3, true, false),
        registration(4, 4, false, false),
        registration(5, 5, true, false),
        registration(6, 6, true, true),
        topic(1, "a"),
        partition(1, 0, &[1, 2]),
        partition(1, 1, &[3, 4]),
        topic(2, "b"),
        partition(2, 0, &[2, 6, 7]),
    ];
    apply(&MetadataImage::empty(), &records)
}

fn list(ids: impl IntoIterator<Item = NodeId>) -> String {
    ids.into_iter().map(|id| id.to_string()).collect::<Vec<_>>().join(",")
}

fn leader(leader: Option<NodeId>) -> String {
    leader.map_or("none".to_owned(), |id| id.to_string())
}

fn kind(request_type: RequestType) -> &'static str {
    match request_type {
        RequestType::Full => "FULL",
        RequestType::Incremental => "INCREMENTAL",
    }
}

/// A request in a line. An id is shown where a name may have two.
fn line(request: &BrokerRequest) -> String {
    let short = |id: TopicId| id.0.as_u64_pair().1;
    match request {
        BrokerRequest::UpdateMetadata(request) => {
            let mut text = format!(
                "update {} live {}",
                kind(request.request_type),
                list(request.live_brokers.iter().map(|b| b.id))
            );
            for topic in request.topics.iter() {
                for partition in &topic.partitions {
                    text.push_str(&format!("; {}#{}-{}", topic.name, short(topic.id), partition.partition()));
                    match partition {
                        UpdateMetadataPartition::Present { registration: r, offline_replicas, .. } => {
                            text.push_str(&format!(" leader {} epoch {}", leader(r.leader), r.leader_epoch));
                            if !offline_replicas.is_empty() {
                                text.push_str(&format!(" offline {}", list(offline_replicas.iter().copied())));
                            }
                        }
                        UpdateMetadataPartition::Deleted { replicas, offline_replicas, .. } => {
                            text.push_str(&format!(" gone from {}", list(replicas.iter().copied())));
                            if !offline_replicas.is_empty() {
                                text.push_str(&format!(" offline {}", list(offline_replicas.iter().copied())));
                            }
                        }
                    }
                }
            }
            text
        }
        BrokerRequest::LeaderAndIsr(request) => {
            let leaders = request.live_leaders.iter().map(|l| format!("{}={}:{}", l.id, l.host, l.port));
            let mut text = format!("lead {} at {}", kind(request.request_type), leaders.collect::<Vec<_>>().join(","));
            for topic in &request.topics {
                for partition in &topic.partitions {
                    let r = &partition.registration;
                    let new = if partition.is_new { " new" } else { "" };
                    text.push_str(&format!(
                        "; {}#{}-{} leader {} epoch {}.{} isr {}{new}",
                        topic.name,
                        short(topic.id),
                        partition.partition,
                        leader(r.leader),
                        r.leader_epoch,
                        r.partition_epoch,
                        list(r.isr.iter().copied())
                    ));
                }
            }
            text
        }
        BrokerRequest::StopReplica(request) => {
            let mut text = "stop".to_owned();
            for topic in &request.topics {
                for partition in &topic.partitions {
                    text.push_str(&format!(
                        "; {}-{} epoch {}",
                        topic.name,
                        partition.partition,
                        partition.leader_epoch_code()
                    ));
                }
            }
            text
        }
    }
}

fn lines(orders: &[Order]) -> Vec<String> {
    let mut lines = Vec::new();
    for order in orders {
        match order {
            Order::Open(receiver) => lines.push(format!("{}: open", receiver.id)),
            Order::Close(id) => lines.push(format!("{id}: close")),
            Order::Send(id, requests) => {
                lines.extend(requests.iter().map(|request| format!("{id}: {}", line(request))))
            }
        }
    }
    lines
}

fn plan(propagator: &mut Propagator, image: &MetadataImage) -> Vec<Order> {
    let orders = propagator.plan(image);
    for order in &orders {
        match order {
            Order::Send(id, _) | Order::Close(id) => propagator.delivered(*id),
            Order::Open(_) => {}
        }
    }
    orders
}

/// What follows from a change on top of [`start`], by broker.
fn after(records: &[MetadataRecord]) -> Vec<String> {
    let before = start();
    let mut propagator = Propagator::new(controller(7), "PLAINTEXT");
    plan(&mut propagator, &before);
    lines(&plan(&mut propagator, &apply(&before, records)))
}

const ALL: &str = "a#1-0 leader 1 epoch 5; a#1-1 leader 3 epoch 5; b#2-0 leader 2 epoch 5 offline 7";

#[test]
fn after_a_claim_everybody_in_zookeeper_mode_is_told_everything() {
    let mut propagator = Propagator::new(controller(7), "PLAINTEXT");
    let told = lines(&plan(&mut propagator, &start()));
    let update = format!("update FULL live 1,2,3,4,5,6; {ALL}");
    let everything = [
        "1: open".to_owned(),
        format!("1: {update}"),
        "1: lead FULL at 1=host1:9092; a#1-0 leader 1 epoch 5.9 isr 1,2".to_owned(),
        "2: open".to_owned(),
        format!("2: {update}"),
        "2: lead FULL at 1=host1:9092,2=host2:9092; a#1-0 leader 1 epoch 5.9 isr 1,2; b#2-0 leader 2 epoch 5.9 isr 2,6,7"
            .to_owned(),
        "3: open".to_owned(),
        format!("3: {update}"),
        "3: lead FULL at 3=host3:9092; a#1-1 leader 3 epoch 5.9 isr 3,4".to_owned(),
        "5: open".to_owned(),
        format!("5: {update}"),
        // Without replicas, and told so (G12): whatever it has is a stray.
        "5: lead FULL at ".to_owned(),
    ];
    assert_eq!(told, everything);
    // Nobody is told twice, and after the next claim everybody is told all of it again.
    assert_eq!(lines(&plan(&mut propagator, &start())), [""; 0]);
    propagator.claimed(controller(8));
    assert_eq!(lines(&plan(&mut propagator, &start())), everything);
}

#[test]
fn a_changed_partition_is_told_to_all_and_led_by_its_replicas() {
    let told = after(&[change(1, 0, |c| {
        c.leader = NodeId(2);
        c.isr = Some(nodes(&[2]));
    })]);
    let update = "update INCREMENTAL live 1,2,3,4,5,6; a#1-0 leader 2 epoch 6";
    let lead = "lead INCREMENTAL at 2=host2:9092; a#1-0 leader 2 epoch 6.10 isr 2";
    assert_eq!(
        told,
        [
            format!("1: {lead}"),
            format!("1: {update}"),
            format!("2: {lead}"),
            format!("2: {update}"),
            format!("3: {update}"),
            format!("5: {update}"),
        ]
    );
}

#[test]
fn a_replica_that_leaves_is_deleted_and_one_that_joins_is_new() {
    let told = after(&[change(1, 0, |c| {
        c.replicas = Some(nodes(&[1, 5]));
        c.isr = Some(nodes(&[1]));
    })]);
    let update = "update INCREMENTAL live 1,2,3,4,5,6; a#1-0 leader 1 epoch 5";
    let lead = "lead INCREMENTAL at 1=host1:9092; a#1-0 leader 1 epoch 5.10 isr 1";
    assert_eq!(
        told,
        [
            format!("1: {lead}"),
            format!("1: {update}"),
            "2: stop; a-0 epoch 5".to_owned(),
            format!("2: {update}"),
            format!("3: {update}"),
            format!("5: {lead} new"),
            format!("5: {update}"),
        ]
    );
}

#[test]
fn a_deleted_topic_has_leader_minus_two_and_its_replicas_go() {
    let told = after(&[RemoveTopicRecord { topic_id: id(2), ..Default::default() }.into()]);
    // Of its replicas, 7 is on no registered broker; 6 is fenced, hence neither offline nor told.
    let update = "update INCREMENTAL live 1,2,3,4,5,6; b#2-0 gone from 2,6,7 offline 7";
    assert_eq!(
        told,
        [
            format!("1: {update}"),
            format!("2: {update}"),
            "2: stop; b-0 epoch -2".to_owned(),
            format!("3: {update}"),
            format!("5: {update}"),
        ]
    );
}

#[test]
fn a_topic_made_anew_under_its_name_is_gone_before_it_comes() {
    let gone = RemoveTopicRecord { topic_id: id(2), ..Default::default() };
    let told = after(&[gone.into(), topic(3, "b"), partition(3, 0, &[2, 3])]);
    let gone = "update INCREMENTAL live 1,2,3,4,5,6; b#2-0 gone from 2,6,7 offline 7";
    let comes = "update INCREMENTAL live 1,2,3,4,5,6; b#3-0 leader 2 epoch 5";
    let lead = "lead INCREMENTAL at 2=host2:9092; b#3-0 leader 2 epoch 5.9 isr 2,3 new";
    assert_eq!(
        told,
        [
            format!("1: {gone}"),
            format!("1: {comes}"),
            format!("2: {gone}"),
            "2: stop; b-0 epoch -2".to_owned(),
            format!("2: {lead}"),
            format!("2: {comes}"),
            format!("3: {gone}"),
            format!("3: {lead}"),
            format!("3: {comes}"),
            format!("5: {gone}"),
            format!("5: {comes}"),
        ]
    );
}

#[test]
fn a_broker_that_registers_is_told_everything_and_the_others_where_it_is() {
    let told = after(&[registration(7, 70, true, false)]);
    // It has a replica, which was offline until now.
    let others =
        ["update INCREMENTAL live 1,2,3,4,5,6,7", "update INCREMENTAL live 1,2,3,4,5,6,7; b#2-0 leader 2 epoch 5"];
    let mut expected: Vec<_> =
        ["1", "2", "3", "5"].iter().flat_map(|id| others.iter().map(move |line| format!("{id}: {line}"))).collect();
    expected.extend([
        "7: open".to_owned(),
        format!("7: update FULL live 1,2,3,4,5,6,7; {}", ALL.replace(" offline 7", "")),
        "7: lead FULL at 2=host2:9092; b#2-0 leader 2 epoch 5.9 isr 2,6,7".to_owned(),
    ]);
    assert_eq!(told, expected);
}

#[test]
fn who_is_unfenced_is_told_everything_and_who_is_fenced_nothing_more() {
    let unfence = UnfenceBrokerRecord { id: NodeId(6), epoch: BrokerEpoch(6), ..Default::default() };
    assert_eq!(
        after(&[unfence.into()]),
        [
            "6: open".to_owned(),
            format!("6: update FULL live 1,2,3,4,5,6; {ALL}"),
            "6: lead FULL at 2=host2:9092; b#2-0 leader 2 epoch 5.9 isr 2,6,7".to_owned(),
        ]
    );
    assert_eq!(after(&[fence(5)]), ["5: close"]);
}

#[test]
fn a_broker_that_restarts_is_told_everything_with_its_new_epoch() {
    let before = start();
    let mut propagator = Propagator::new(controller(7), "PLAINTEXT");
    plan(&mut propagator, &before);
    let orders = plan(&mut propagator, &apply(&before, &[registration(5, 500, true, false)]));
    assert_eq!(lines(&orders).len(), 3, "{:?}", lines(&orders));
    let Order::Send(_, requests) = &orders[1] else { panic!("{orders:?}") };
    assert!(requests.iter().all(|request| request.stamp().broker_epoch == Some(BrokerEpoch(500))));
}

#[test]
fn a_broker_that_comes_back_in_kraft_mode_is_told_nothing_any_more_and_the_others_go_on() {
    assert_eq!(after(&[registration(5, 50, false, false)]), ["5: close"]);
    // Back in ZooKeeper mode it gets everything (T133), however often that happens.
    let mut image = start();
    let mut propagator = Propagator::new(controller(7), "PLAINTEXT");
    plan(&mut propagator, &image);
    for turn in 0..3 {
        image = apply(&image, &[registration(5, 50 + turn, false, false)]);
        assert_eq!(lines(&plan(&mut propagator, &image)), ["5: close"]);
        image = apply(&image, &[registration(5, 60 + turn, true, false)]);
        assert_eq!(lines(&plan(&mut propagator, &image))[0], "5: open");
    }
}

#[test]
fn a_broker_that_is_unregistered_is_gone_from_the_list_and_its_replicas_are_offline() {
    let gone = UnregisterBrokerRecord { broker_id: NodeId(3), broker_epoch: BrokerEpoch(3), ..Default::default() };
    let told = after(&[gone.into()]);
    let lines =
        ["update INCREMENTAL live 1,2,4,5,6", "update INCREMENTAL live 1,2,4,5,6; a#1-1 leader 3 epoch 5 offline 3"];
    let mut expected = vec!["3: close".to_owned()];
    expected.extend(["1", "2", "5"].iter().flat_map(|id| lines.iter().map(move |line| format!("{id}: {line}"))));
    assert_eq!(told, expected);
}

#[test]
fn what_touches_neither_topics_nor_brokers_is_told_to_nobody() {
    let config = ConfigRecord {
        resource_type: 4,
        resource_name: "1".to_owned(),
        name: "log.cleaner.threads".to_owned(),
        value: Some("2".to_owned()),
        ..Default::default()
    };
    let controller = RegisterControllerRecord { controller_id: NodeId(3001), ..Default::default() };
    assert_eq!(after(&[config.into(), controller.into()]), [""; 0]);
}

#[test]
fn every_request_says_who_speaks_and_to_which_registration() {
    let claim = ZkClaim { epoch: ZkControllerEpoch(42), epoch_zk_version: ZkVersion(43) };
    let kraft = KraftLeadership { id: NodeId(3000), epoch: metadata_core::id::KRaftLeaderEpoch(6) };
    let leadership = Leadership { kraft, fence: Fence::ZooKeeper(claim) };
    let speaker = ActingController::of(&leadership).expect("it holds a claim");
    assert_eq!((speaker.id, speaker.zk_epoch.0, speaker.kraft_epoch.0), (NodeId(3000), 42, 6));
    assert_eq!(ActingController::of(&Leadership { fence: Fence::KraftEpoch, ..leadership }), None);

    let mut propagator = Propagator::new(speaker, "PLAINTEXT");
    for order in plan(&mut propagator, &start()) {
        if let Order::Send(id, requests) = order {
            for request in requests {
                assert_eq!(request.stamp().controller, speaker);
                assert_eq!(request.stamp().broker_epoch, Some(BrokerEpoch(i64::from(id.0))));
            }
        }
    }
    // A registration that says no epoch: Kafka's -1, which no broker checks.
    let unknown = apply(&MetadataImage::empty(), &[registration(1, -1, true, false)]);
    let orders = plan(&mut Propagator::new(speaker, "PLAINTEXT"), &unknown);
    assert!(matches!(&orders[..], [Order::Open(receiver), Order::Send(..)] if receiver.epoch.is_none()));
}

#[test]
fn a_leader_without_the_brokers_listener_is_told_without_an_address() {
    let mut propagator = Propagator::new(controller(7), "INTERNAL");
    let told = plan(&mut propagator, &start());
    let leads: Vec<_> = lines(&told).into_iter().filter(|line| line.contains("lead FULL")).collect();
    assert!(leads.iter().all(|line| line.contains("lead FULL at ;") || line.ends_with("at ")), "{leads:?}");
    assert!(matches!(&told[0], Order::Open(receiver) if receiver.endpoint.is_none()));
}

#[test]
fn the_deleted_topics_numbers_are_kafkas() {
    let gone = StopReplicaPartition { partition: PartitionId(0), leader_epoch: None };
    assert_eq!((gone.leader_epoch_code(), UpdateMetadataPartition::LEADER_DURING_DELETE), (-2, -2));
    assert_eq!((RequestType::Incremental.code(), RequestType::Full.code()), (1, 2));
}

#[tokio::test]
async fn strays_go_with_the_full_request_even_where_no_replica_is_left() {
    let cluster = Cluster::with_room(2);
    let image = start();
    cluster.becomes(&image);
    // Left behind by a topic that was deleted while the broker was away, and by an earlier topic of the same name.
    let registration = image.topics().partition(id(1), PartitionId(0)).expect("it is there").clone();
    for (broker, name) in [(5, "forgotten"), (2, "b")] {
        cluster.broker(broker, |broker| {
            broker.logs.insert((name.to_owned(), PartitionId(0)), (id(99), registration.clone()));
            broker.cache.ids.insert("forgotten".to_owned(), id(99));
            broker.cache.partitions.entry("forgotten".to_owned()).or_default();
        });
    }
    let mut propagator = Propagator::new(controller(7), "PLAINTEXT");
    let done = propagator.propagate(&cluster, &image).await.expect("nothing fails");
    assert_eq!((done.receivers, done.told_everything, done.requests, done.overflowed), (4, 4, 8, 0));
    cluster.deliver_all();
    cluster.assert_equals(&image);
}

/// S32: what a broker took and did nothing with is made up for by the next controller, or by moving the controller.
#[tokio::test]
async fn moving_the_controller_heals_a_broker_that_missed_requests() {
    let cluster = Cluster::with_room(10);
    let mut image = start();
    let mut propagator = Propagator::new(controller(7), "PLAINTEXT");
    cluster.becomes(&image);
    propagator.propagate(&cluster, &image).await.expect("nothing fails");
    cluster.deliver_all();
    // Changes come to all but broker 2, which answered each request and forgot it.
    let (asleep, healthy) = (cluster.copy_of(NodeId(2)), cluster.copy_of(NodeId(1)));
    let moved = change(1, 0, |c| c.leader = NodeId(2));
    for records in [vec![moved], vec![topic(4, "new"), partition(4, 0, &[2, 1])], vec![gone(2)]] {
        image = apply(&image, &records);
        cluster.becomes(&image);
        propagator.propagate(&cluster, &image).await.expect("nothing fails");
        cluster.deliver_all();
    }
    cluster.broker(2, |broker| *broker = asleep);
    assert_ne!(cluster.copy_of(NodeId(2)).cache, cluster.copy_of(NodeId(1)).cache);
    assert_ne!(cluster.copy_of(NodeId(1)).cache, healthy.cache);
    assert!(propagator.plan(&image).is_empty(), "nobody knows that it missed anything");

    propagator.claimed(controller(8));
    propagator.propagate(&cluster, &image).await.expect("nothing fails");
    cluster.deliver_all();
    cluster.assert_equals(&image);
}

#[tokio::test]
async fn a_full_queue_becomes_a_full_send() {
    let cluster = Cluster::with_room(3);
    let mut image = start();
    let mut propagator = Propagator::new(controller(7), "PLAINTEXT");
    cluster.becomes(&image);
    propagator.propagate(&cluster, &image).await.expect("nothing fails");
    // Broker 1 takes nothing, the others all.
    for turn in 0..10 {
        nodes(&[2, 3, 5]).into_iter().for_each(|id| cluster.deliver(id, usize::MAX));
        image = apply(&image, &[change(1, 0, |c| c.leader = NodeId(1 + turn % 2))]);
        cluster.becomes(&image);
        let done = propagator.propagate(&cluster, &image).await.expect("a slow broker is no failure");
        assert!(done.told_everything <= 1, "the others are told the change alone: {done:?}");
        assert!(cluster.queued()[&NodeId(1)].len() <= 3);
    }
    cluster.deliver_all();
    cluster.assert_equals(&image);
}

#[tokio::test]
async fn what_a_stopped_channel_did_not_take_is_made_up_for() {
    let cluster = Cluster::with_room(10);
    let image = start();
    let mut propagator = Propagator::new(controller(7), "PLAINTEXT");
    cluster.becomes(&image);
    cluster.stop(true);
    let error = propagator.propagate(&cluster, &image).await.expect_err("it is stopped");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    cluster.stop(false);
    assert_eq!(propagator.propagate(&cluster, &image).await.expect("it works").told_everything, 4);
    // Closing a queue is made up for as well.
    let fenced = apply(&image, &[fence(5)]);
    cluster.becomes(&fenced);
    cluster.stop(true);
    propagator.propagate(&cluster, &fenced).await.expect_err("it is stopped");
    cluster.stop(false);
    propagator.propagate(&cluster, &fenced).await.expect("it works");
    assert!(propagator.plan(&fenced).is_empty());
}

#[tokio::test]
async fn a_call_that_is_dropped_half_way_loses_nothing() {
    let image = start();
    // Opening and sending for four brokers: eight calls of the channel.
    for calls in 0..8 {
        let cluster = Cluster::with_room(10);
        let mut propagator = Propagator::new(controller(7), "PLAINTEXT");
        cluster.becomes(&image);
        cluster.stall_after(calls);
        let stalled = futures::poll!(std::pin::pin!(propagator.propagate(&cluster, &image)));
        assert!(stalled.is_pending(), "after {calls} calls");
        propagator.propagate(&cluster, &image).await.expect("it works");
        cluster.deliver_all();
        cluster.assert_equals(&image);
    }
}
