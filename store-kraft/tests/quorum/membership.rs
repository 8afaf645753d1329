//! Voters come and go while the quorum runs.

use fencing::Quorum as _;
use metadata_core::controllers::Controllers as _;
use metadata_core::error::{ErrorKind, Outcome};
use metadata_core::id::NodeId;

use crate::quorum::*;

const NEW: NodeId = NodeId(3003);

#[tokio::test(flavor = "multi_thread")]
async fn a_voter_is_added_and_counts_and_another_is_removed() {
    let mut quorum = Quorum::of(&[3000, 3001, 3002, 3003], &[3000, 3001, 3002]).await;
    quorum.start_all().await;
    let (leader, epoch) = quorum.leader().await;
    make_topics(&leader, epoch, 0..20).await;

    let added = quorum.start(NEW).await;
    assert!(added.voters().is_empty(), "it waits");
    leader.add_voter(NEW, &quorum.port_of(NEW).to_string()).await.unwrap();
    assert_eq!(leader.voters(), ids(&[3000, 3001, 3002, 3003]).into_iter().collect());
    let end = make_topics(&leader, epoch, 20..25).await;
    reaches(&added, end).await;
    until("it knows that it votes", || added.quorum().is_voter()).await;
    let error = leader.add_voter(NEW, &quorum.port_of(NEW).to_string()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");

    let gone = quorum.logs().map(|(id, _)| id).find(|id| *id != NEW && *id != leader.options().node_id).unwrap();
    let error = added.remove_voter(gone).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::ControllerFenced, Outcome::NotApplied), "{error}");
    leader.remove_voter(gone).await.unwrap();
    assert!(!leader.voters().contains(&gone) && leader.voters().len() == 3);
    let end = make_topics(&leader, epoch, 25..30).await;
    reaches(&added, end).await;

    // Two of the three that are left decide, one of which is new.
    quorum.stop(gone).await;
    let third = quorum.logs().map(|(id, _)| id).find(|id| *id != NEW && *id != leader.options().node_id).unwrap();
    quorum.stop(third).await;
    let end = make_topics(&leader, epoch, 30..35).await;
    reaches(&added, end).await;
    drop((leader, added));
    quorum.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quorum_of_one_grows_while_it_runs() {
    let mut quorum = Quorum::of(&[3000, 3001, 3002], &[3000]).await;
    let first = quorum.start(NodeId(3000)).await;
    let (_, epoch) = quorum.leader().await;
    make_topics(&first, epoch, 0..5).await;
    for id in ids(&[3001, 3002]) {
        quorum.start(id).await;
        first.add_voter(id, &quorum.port_of(id).to_string()).await.unwrap();
    }
    let end = make_topics(&first, epoch, 5..10).await;
    quorum.reaches(end).await;
    drop(first);
    quorum.stop(NodeId(3000)).await;
    let (next, epoch) = quorum.leader().await;
    make_topics(&next, epoch, 10..12).await;
    drop(next);

    // What the others voted for is in its log, so it can't go on alone.
    let mut alone = quorum.options(NodeId(3000));
    alone.peers = None;
    let error = store_kraft::KraftLog::open(alone).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("3000, 3001, 3002"), "{error}");
    quorum.start(NodeId(3000)).await;
    let (leader, _) = quorum.leader().await;
    quorum.reaches(leader_end(&leader)).await;
}

fn leader_end(log: &store_kraft::KraftLog) -> metadata_core::id::Offset {
    metadata_core::log::MetadataLog::extent(log).end_offset
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_not_there_is_not_added() {
    let quorum = Quorum::of_three().await;
    let (leader, _) = quorum.leader().await;
    for (id, address, kind, part) in [
        (NEW, "127.0.0.1:1", ErrorKind::Unavailable, "can't connect"),
        (leader.options().node_id, "127.0.0.1:1", ErrorKind::Invalid, "itself"),
    ] {
        let error = leader.add_voter(id, address).await.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (kind, Outcome::NotApplied), "{error}");
        assert!(error.to_string().contains(part), "{error}");
    }
    // Another controller listens there.
    let elsewhere = quorum.port_of(leader.options().node_id).to_string();
    let error = leader.add_voter(NEW, &elsewhere).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unavailable, Outcome::NotApplied), "{error}");
    assert_eq!(leader.voters().len(), 3);
    let error = leader.remove_voter(NEW).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_was_made_anew_is_refused_until_it_is_removed_and_added() {
    let mut quorum = Quorum::of_three().await;
    let (leader, epoch) = quorum.leader().await;
    let end = make_topics(&leader, epoch, 0..5).await;
    quorum.reaches(end).await;
    let wiped = quorum.logs().map(|(id, _)| id).find(|id| *id != leader.options().node_id).unwrap();
    quorum.stop(wiped).await;
    std::fs::remove_dir_all(quorum.dir_of(wiped)).unwrap();
    quorum.format(wiped);
    let again = quorum.start(wiped).await;
    make_topics(&leader, epoch, 5..8).await;
    // It forgot how it voted, so nobody speaks with it.
    until("it is silent", || leader.quorum().silent_voters() == [wiped]).await;
    assert_eq!(metadata_core::log::MetadataLog::extent(again.as_ref()).end_offset.0, 0);
    drop(again);
    quorum.stop(wiped).await;
    std::fs::remove_dir_all(quorum.dir_of(wiped)).unwrap();
    quorum.format(wiped);

    leader.remove_voter(wiped).await.unwrap();
    quorum.joins = Some(wiped);
    let again = quorum.start(wiped).await;
    leader.add_voter(wiped, &quorum.port_of(wiped).to_string()).await.unwrap();
    let end = make_topics(&leader, epoch, 8..10).await;
    reaches(&again, end).await;
    drop((leader, again));
    quorum.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_all_voters_announce_is_known_and_one_that_is_silent_announces_nothing() {
    let mut quorum = Quorum::of_three().await;
    let (leader, _) = quorum.leader().await;
    let mut controllers = leader.controllers();
    let all = async {
        loop {
            let now = controllers.next().await.unwrap();
            if now.len() == 3 && now.values().all(|it| it.as_ref().is_some_and(|it| it.migration_enabled)) {
                break;
            }
        }
    };
    tokio::time::timeout(PATIENCE, all).await.unwrap();

    let other = quorum.logs().map(|(id, _)| id).find(|id| *id != leader.options().node_id).unwrap();
    quorum.stop(other).await;
    let silent = async { while controllers.next().await.unwrap()[&other].is_some() {} };
    tokio::time::timeout(PATIENCE, silent).await.unwrap();

    quorum.tune = |options| options.announcement.migration_enabled = false;
    quorum.start(other).await;
    let back = async {
        loop {
            if let Some(Some(announced)) = controllers.next().await.unwrap().remove(&other) {
                break announced;
            }
        }
    };
    assert!(!tokio::time::timeout(PATIENCE, back).await.unwrap().migration_enabled);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_leader_holds_all_hold() {
    use metadata_core::id::Offset;
    use metadata_core::log::MetadataLog as _;

    let mut quorum = Quorum::of(&[3000, 3001, 3002], &[3000, 3001, 3002]).await;
    quorum.tune = |options| {
        options.snapshot_every = u64::MAX;
        options.retention_bytes = 0;
    };
    quorum.start_all().await;
    let (leader, epoch) = quorum.leader().await;
    let held = make_topics(&leader, epoch, 0..3).await;
    leader.hold(held);
    let end = make_topics(&leader, epoch, 3..6).await;
    quorum.reaches(end).await;
    for (_, log) in quorum.logs() {
        until("it is told", || log.held() == Some(held)).await;
    }
    for (id, log) in quorum.logs() {
        for _ in 0..2 {
            log.snapshot().await.unwrap();
        }
        assert!(log.read(held, 1).await.is_ok(), "{id} kept it");
        assert!(log.image_at_most(held).await.unwrap().is_some(), "{id} can replay up to it");
        assert!(!log.hold_given_up(), "{id}");
    }
    assert!(held > Offset(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_sealed_log_whoever_acts_goes_on_and_no_later_leader_begins() {
    use metadata_core::log::MetadataLog as _;
    use store_kraft::QuorumSeal;

    let mut quorum = Quorum::of_three().await;
    let (leader, epoch) = quorum.leader().await;
    leader.set_seal(Some(QuorumSeal::RollbackBegun)).await.unwrap();
    make_topics(&leader, epoch, 0..3).await;
    for (id, log) in quorum.logs() {
        until("it is known to all", || log.seal() == Some(QuorumSeal::RollbackBegun)).await;
        assert_eq!(log.set_seal(None).await.is_ok(), id == leader.options().node_id, "only the leader opens it");
        leader.set_seal(Some(QuorumSeal::RollbackBegun)).await.unwrap();
    }
    let own = leader.options().node_id;
    drop(leader);
    quorum.stop(own).await;
    let others: Vec<_> = quorum.logs().map(|(id, _)| id).collect();
    let next = || {
        let leads = |id: &&NodeId| quorum.log(**id).quorum().leader == Some(**id);
        others.iter().find(leads).copied()
    };
    until("another leads", || next().is_some()).await;
    let log = quorum.log(next().unwrap());
    let now = log.leadership(None).await.unwrap();
    assert!(!now.active && log.seal() == Some(QuorumSeal::RollbackBegun));
    let error = log.append(one_topic(log, now.epoch, 9)).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotApplied, "{error}");

    log.set_seal(None).await.unwrap();
    let (leader, epoch) = quorum.leader().await;
    make_topics(&leader, epoch, 3..5).await;
    assert!(has_topic(&leader, 2));
}
