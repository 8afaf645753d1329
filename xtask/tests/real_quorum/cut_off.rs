//! A controller that is cut off: who takes over, and what the other one can still do.

use metadata_core::id::NodeId;

use super::trio::{From, IDS, Trio};

fn others(id: NodeId) -> Vec<NodeId> {
    IDS.into_iter().filter(|other| *other != id).collect()
}

/// The leader is cut off from something, another takes over, and the old one comes back.
async fn leader_cut_off(number: u64, from: From) {
    let trio = Trio::dual_writing(number).await;
    let old = trio.leader().await;
    trio.make(old, "before").await.unwrap();
    trio.cut(old, from);
    let new = trio.leader_among(&others(old)).await;
    trio.make(new, "meanwhile").await.unwrap();
    trio.leader_among(&[new]).await;

    // It knows that it is not the one.
    trio.until(old, "it acts no more", |status| status.driver_state == "INACTIVE").await;
    trio.make(old, "by-the-old-one").await.unwrap_err();

    trio.mend(old, from);
    let leader = trio.leader().await;
    trio.make(leader, "afterwards").await.unwrap();
    trio.settles().await;
    let topics = trio.of(trio.leader().await).status().await.topics;
    trio.until(old, "it follows", |status| status.topics == topics).await;
    trio.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_cut_off_from_the_others_is_replaced_and_can_do_nothing() {
    leader_cut_off(401, From::Peers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_cut_off_from_zookeeper_makes_room_for_one_that_is_not() {
    leader_cut_off(402, From::ZooKeeper).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_cut_off_from_everything_is_replaced() {
    leader_cut_off(403, From::Both).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_is_cut_off_keeps_nobody_waiting_and_catches_up() {
    for (number, from) in [(404, From::Peers), (405, From::ZooKeeper), (406, From::Both)] {
        let trio = Trio::dual_writing(number).await;
        let leader = trio.leader().await;
        let follower = others(leader)[0];
        trio.cut(follower, from);
        for topic in ["one", "two", "three"] {
            trio.make(leader, topic).await.unwrap();
        }
        assert_eq!(trio.leader_among(&others(follower)).await, leader, "{from:?}: nobody else leads");
        trio.mend(follower, from);
        trio.settles().await;
        trio.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_nobody_reaches_zookeeper_nobody_resigns_and_it_gets_everything_afterwards() {
    let trio = Trio::dual_writing(407).await;
    let leader = trio.leader().await;
    let epoch = trio.of(leader).status().await.quorum.unwrap().epoch;
    for id in IDS {
        trio.cut(id, From::ZooKeeper);
    }
    trio.until(leader, "it has noticed", |status| status.driver_state != "DUAL_WRITE").await;
    // Longer than a leader is patient.
    trio.until(leader, "it has waited", |status| status.waiting_ms > Some(8_000)).await;
    let quorum = trio.of(leader).status().await.quorum.unwrap();
    assert_eq!((quorum.leader, quorum.epoch), (Some(leader.0), epoch), "another would be no better");
    for id in IDS {
        trio.mend(id, From::ZooKeeper);
    }
    trio.make(trio.leader().await, "afterwards").await.unwrap();
    trio.settles().await;
    trio.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_majority_nothing_is_written_and_the_reason_is_told() {
    let mut trio = Trio::dual_writing(408).await;
    let leader = trio.leader().await;
    trio.make(leader, "before").await.unwrap();
    let end = trio.of(leader).status().await.log_end_offset;
    for id in others(leader) {
        trio.stop(id).await;
    }
    let reason = |status: &xtask::controller::StatusReport| {
        status.reason.as_ref().is_some_and(|reason| others(leader).iter().all(|id| reason.contains(&id.to_string())))
    };
    let status = trio.until(leader, "it says of whom nothing is heard", reason).await;
    assert_eq!(status.quorum.map(|quorum| (quorum.leader, quorum.majority)), Some((None, false)));
    let waiting = trio.make(leader, "waits");
    let back = async {
        // The change is waiting by now, or soon.
        tokio::task::yield_now().await;
        assert!(trio.of(leader).status().await.log_end_offset == end, "nothing was written");
    };
    let (made, ()) = tokio::join!(waiting, back);
    let error = made.unwrap_err();
    assert_eq!(error.exit().code(), 3, "{error}");
    assert!(error.reasons().iter().any(|reason| reason.contains("no majority")), "{error}");
    let first = others(leader)[0];
    trio.start(first).await;
    let leader = trio.leader().await;
    trio.make(leader, "afterwards").await.unwrap();
    trio.start(others(first).into_iter().find(|id| *id != leader && *id != first).unwrap_or(IDS[2])).await;
    trio.settles().await;
    trio.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_way_that_is_cut_in_one_direction_alone_stops_nobody_for_long() {
    let trio = Trio::dual_writing(409).await;
    let leader = trio.leader().await;
    let follower = others(leader)[0];
    // It hears nothing of the leader, and is heard by all.
    trio.way(leader, follower).cut();
    for topic in ["one", "two"] {
        let now = trio.leader().await;
        trio.make(now, topic).await.unwrap();
    }
    trio.way(leader, follower).mend();
    trio.settles().await;
    trio.end().await;
}
