//! Who leads, and what becomes of those who led.

use metadata_core::error::{ErrorKind, Outcome};
use metadata_core::id::{NodeId, Offset};
use metadata_core::log::MetadataLog as _;

use crate::quorum::*;

#[tokio::test(flavor = "multi_thread")]
async fn what_one_appends_all_have_byte_by_byte() {
    let mut quorum = Quorum::of_three().await;
    let (leader, epoch) = quorum.leader().await;
    let end = make_topics(&leader, epoch, 0..50).await;
    quorum.reaches(end).await;
    for (id, log) in quorum.logs() {
        assert!(log.image().same_metadata(&leader.image()), "{id}");
        assert!(has_topic(log, 49), "{id}");
    }
    quorum.stop_all().await;
    let bytes = quorum.bytes();
    let first = &bytes[&NodeId(3000)];
    assert!(first.len() > 50 * 60);
    for (id, bytes) in &bytes {
        assert!(bytes == first, "the log of {id} differs");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_takes_no_appends_and_knows_who_leads() {
    let quorum = Quorum::of_three().await;
    let (leader, epoch) = quorum.leader().await;
    let own = leader.options().node_id;
    for (id, log) in quorum.logs().filter(|(id, _)| *id != own) {
        let error = log.append(one_topic(log, epoch, 1)).await.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::ControllerFenced, Outcome::NotApplied), "{id}");
        let known = async {
            let mut now = log.leadership(None).await.unwrap();
            while now.leader != Some(own) {
                now = log.leadership(Some(now)).await.unwrap();
            }
        };
        tokio::time::timeout(PATIENCE, known).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_leader_stops_another_goes_on_and_it_comes_back_as_a_follower() {
    let mut quorum = Quorum::of_three().await;
    let mut made = 0;
    let mut last_epoch = None;
    for _ in 0..3 {
        let (leader, epoch) = quorum.leader().await;
        assert!(last_epoch.is_none_or(|last| last < epoch));
        last_epoch = Some(epoch);
        let end = make_topics(&leader, epoch, made..made + 5).await;
        made += 5;
        let id = leader.options().node_id;
        drop(leader);
        quorum.stop(id).await;
        let (next, epoch) = quorum.leader().await;
        assert!(has_topic(&next, made - 1), "what was acknowledged is there");
        let end_there = make_topics(&next, epoch, made..made + 5).await;
        assert!(end_there > end);
        made += 5;
        quorum.start(id).await;
        quorum.reaches(end_there).await;
    }
    quorum.stop_all().await;
    let bytes = quorum.bytes();
    assert!(bytes.values().all(|bytes| *bytes == bytes_of_longest(&quorum)[..bytes.len()]));
}

fn bytes_of_longest(quorum: &Quorum) -> Vec<u8> {
    quorum.bytes().into_values().max_by_key(Vec::len).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_cut_off_stops_acting_and_what_it_had_not_spread_is_gone() {
    let mut quorum = Quorum::of_three().await;
    let (old, epoch) = quorum.leader().await;
    let end = make_topics(&old, epoch, 0..3).await;
    quorum.reaches(end).await;
    let cut = old.options().node_id;
    quorum.isolate(cut);
    let lost = old.append(one_topic(&old, epoch, 100));

    let others: Vec<_> = quorum.logs().map(|(id, _)| id).filter(|id| *id != cut).collect();
    let (new, new_epoch) = quorum.leader_among(&others).await;
    assert!(new_epoch > epoch);
    let end = make_topics(&new, new_epoch, 3..6).await;

    // The old one hears nothing, but knows that it hears nothing.
    let error = tokio::time::timeout(PATIENCE, lost).await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unavailable, Outcome::Unknown), "{error}");
    let idle = async {
        let mut now = old.leadership(None).await.unwrap();
        while now.active {
            now = old.leadership(Some(now)).await.unwrap();
        }
        now
    };
    let now = tokio::time::timeout(PATIENCE, idle).await.unwrap();
    assert_eq!(now.leader, None);
    let refused = old.append(one_topic(&old, epoch, 101)).await.unwrap_err();
    assert_eq!(refused.outcome(), Outcome::NotApplied, "{refused}");
    // News of the others is kept for a while.
    until("it knows that it is alone", || !old.quorum().has_majority()).await;
    assert!(new.quorum().has_majority());

    quorum.join(cut);
    reaches(&old, end).await;
    assert!(has_topic(&old, 5) && !has_topic(&old, 100) && !has_topic(&old, 101));
    drop((old, new));
    quorum.stop_all().await;
    let longest = bytes_of_longest(&quorum);
    assert!(quorum.bytes().values().all(|bytes| *bytes == longest[..bytes.len()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_majority_writes_wait_and_go_on_once_it_is_back() {
    let mut quorum = Quorum::of_three().await;
    let (leader, epoch) = quorum.leader().await;
    let end = make_topics(&leader, epoch, 0..3).await;
    quorum.reaches(end).await;
    let own = leader.options().node_id;
    drop(leader);
    let others: Vec<_> = quorum.logs().map(|(id, _)| id).filter(|id| *id != own).collect();
    for id in &others {
        quorum.stop(*id).await;
    }
    let alone = quorum.log(own);
    until("it knows that it is alone", || alone.quorum().leader.is_none() && !alone.quorum().has_majority()).await;
    assert_eq!(alone.quorum().silent_voters(), others);
    assert_eq!(alone.extent().end_offset, end, "nothing was written");

    quorum.start(others[0]).await;
    let (leader, epoch) = quorum.leader().await;
    let end = make_topics(&leader, epoch, 3..6).await;
    drop(leader);
    quorum.start(others[1]).await;
    quorum.reaches(end).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_log_reaches_one_that_was_away_by_entries_or_by_a_snapshot() {
    for with_snapshots in [false, true] {
        let mut quorum = Quorum::of(&[3000, 3001, 3002], &[3000, 3001, 3002]).await;
        if with_snapshots {
            quorum.tune = |options| options.snapshot_every = 20_000;
        }
        quorum.start_all().await;
        let (leader, _) = quorum.leader().await;
        let away = quorum.logs().map(|(id, _)| id).find(|id| *id != leader.options().node_id).unwrap();
        drop(leader);
        quorum.stop(away).await;
        let (leader, epoch) = quorum.leader().await;
        let mut end = Offset(0);
        for round in 0..if with_snapshots { 6 } else { 3 } {
            let records = (round * 400..(round + 1) * 400).map(topic).collect();
            let expected = Some(leader.extent().end_offset);
            let append = metadata_core::log::Append { epoch, expected, txn: metadata_core::store::Txn::None, records };
            end = leader.append(append).await.unwrap().end_offset;
            if with_snapshots {
                leader.snapshot().await.unwrap();
            }
        }
        let image = leader.image();
        drop(leader);
        let back = quorum.start(away).await;
        reaches(&back, end).await;
        assert!(back.image().same_metadata(&image));
        let restarted = back.read(Offset(0), 1).await.is_err();
        assert_eq!(restarted, with_snapshots, "with a snapshot its log begins there");
        drop(back);
        quorum.stop_all().await;
        // Equal where offsets overlap: the shorter one is the end of the longer one.
        let longest = bytes_of_longest(&quorum);
        for (id, bytes) in quorum.bytes() {
            assert!(longest.ends_with(&bytes) || longest.starts_with(&bytes), "the log of {id} differs");
        }
    }
}
