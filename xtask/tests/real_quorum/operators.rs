//! What operators do with a quorum: flags that differ, voters that come and go.

use std::time::Duration;

use metadata_core::id::NodeId;
use xtask::controller::RollbackOrder;

use super::trio::{IDS, PATIENCE, Trio};

#[tokio::test(flavor = "multi_thread")]
async fn the_migration_begins_when_all_voters_have_the_flag_and_the_same_zookeeper() {
    let mut trio = Trio::formed(431).await;
    let mut without = trio.options(IDS[1]);
    without.settings.migration_enable = Some(false);
    let mut elsewhere = trio.options(IDS[2]);
    elsewhere.settings.secure_acls = true;
    trio.start(IDS[0]).await;
    trio.start_with(IDS[1], without).await;
    trio.start_with(IDS[2], elsewhere).await;
    // Whoever leads waits, and says for whom. It may be any of them.
    let waits = async {
        loop {
            for id in IDS {
                let status = trio.of(id).status().await;
                if status.decision.as_deref() == Some("WAIT_FOR_CONTROLLERS") && status.reason.is_some() {
                    return (id, status);
                }
            }
            tokio::task::yield_now().await;
        }
    };
    let (id, status) = tokio::time::timeout(PATIENCE, waits).await.unwrap();
    let reason = status.reason.unwrap();
    assert!(IDS.iter().any(|other| *other != id && reason.contains(&other.to_string())), "{reason}");
    for id in IDS {
        let status = trio.of(id).status().await;
        assert!(["NONE", "PRE_MIGRATION"].contains(&status.migration_state.as_str()), "nothing is copied");
    }
    for id in IDS {
        trio.stop(id).await;
    }
    for id in IDS {
        trio.start(id).await;
    }
    trio.leader().await;
    trio.settles().await;
    trio.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voter_is_taken_out_and_the_rest_goes_on() {
    let mut trio = Trio::dual_writing(432).await;
    let leader = trio.leader().await;
    let gone = IDS.into_iter().find(|id| *id != leader).unwrap();
    let quorum = trio.of(leader).remove_voter(gone).await.unwrap();
    assert_eq!(quorum.members.len(), 2);
    trio.of(leader).remove_voter(NodeId(9)).await.unwrap_err();
    trio.stop(gone).await;
    trio.make(leader, "afterwards").await.unwrap();
    trio.settles().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_rollback_no_controller_of_the_quorum_claims_again() {
    let trio = Trio::dual_writing(433).await;
    let leader = trio.leader().await;
    trio.make(leader, "before").await.unwrap();
    let follower = IDS.into_iter().find(|id| *id != leader).unwrap();
    let order = RollbackOrder { dry_run: false, election_max: Duration::from_secs(1) };
    let error = trio.of(follower).rollback(order).await.unwrap_err();
    assert!(error.to_string().contains("does not lead"), "{error}");
    let report = trio.of(leader).rollback(order).await.unwrap();
    assert!(report.rolled_back && report.wrote, "{report:#?}");
    // The others hear of it, and end as it does.
    for id in IDS {
        tokio::time::timeout(PATIENCE, trio.of(id).over()).await.unwrap().unwrap();
    }
    let session = trio.session().await;
    for path in ["/migration", "/controller"] {
        assert!(session.exists(path).await.unwrap().is_none(), "{path}");
    }
    let epoch = session.get_data("/controller_epoch").await.unwrap().stat.version;
    let trio = trio.stopped().await;
    for id in IDS {
        let refused = trio.refused(id).await;
        assert_eq!(refused.exit().code(), 3, "{refused}");
        assert!(refused.to_string().contains("no controller may start"), "{refused}");
    }
    assert_eq!(session.get_data("/controller_epoch").await.unwrap().stat.version, epoch, "nobody claimed");
}
