//! Controllers as processes: one that is paused and wakes up, and ones that are killed.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use metadata_core::id::NodeId;
use xtask::control::{ChangesMade, Request, ask};
use xtask::controller::{RollbackReport, StatusReport, VerifyReport};
use xtask::fleet::{Fleet, FleetSpec, FleetView, leader_dir, logs_agree, members_in};
use xtask::seed::PASSWORD_ENCODER_SECRET;

use super::trio::{IDS, PATIENCE, seeded, topic_named};

fn started(folder: &Path, zookeeper: &str) -> Fleet {
    started_as(PathBuf::from(env!("CARGO_BIN_EXE_xtask")), folder, zookeeper)
}

fn started_as(program: PathBuf, folder: &Path, zookeeper: &str) -> Fleet {
    let config = folder.join("zookeeper.properties");
    let text = format!("zookeeper.connect={zookeeper}\npassword.encoder.secret={PASSWORD_ENCODER_SECRET}\n");
    std::fs::write(&config, text).unwrap();
    let arguments = ["--unserved-brokers", "--zookeeper-config", config.to_str().unwrap()];
    Fleet::start(FleetSpec {
        program,
        folder: folder.join("controllers"),
        ids: IDS.into(),
        arguments: arguments.map(str::to_owned).into(),
    })
    .unwrap()
}

async fn asked<T: serde::de::DeserializeOwned>(data_dir: &Path, request: &Request) -> T {
    ask(data_dir, request, |_| {}).await.unwrap().unwrap()
}

async fn make(fleet: &Fleet, id: NodeId, topic: &str) {
    let made: ChangesMade = asked(&fleet.data_dir(id), &Request::Change { change: topic_named(topic) }).await;
    assert_eq!(made.changes, 1);
}

async fn dual_writer(fleet: &Fleet, but: Option<NodeId>) -> NodeId {
    let fits = |view: &FleetView| view.dual_writer().is_some_and(|(id, _)| Some(id) != but);
    fleet.wait("a leader dual-writes", PATIENCE, fits).await.unwrap().dual_writer().unwrap().0
}

/// Compares every znode, stops all, and compares their logs byte by byte.
async fn ends_well(mut fleet: Fleet, leader: NodeId, folder: &Path) {
    let verified: VerifyReport =
        asked(&fleet.data_dir(leader), &Request::Verify { differences_max: 10, show_secrets: false }).await;
    assert_eq!(verified.total.divergent, 0, "{verified:#?}");
    fleet.stop().await;
    assert!(logs_agree(&members_in(&folder.join("controllers"))).unwrap().batches > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_sleeps_is_replaced_and_wakes_up_as_a_follower() {
    let folder = tempfile::tempdir().unwrap();
    let (server, _) = seeded(421).await;
    let fleet = started(folder.path(), &server.address());
    let mut last = None;
    for round in 0..3 {
        let old = dual_writer(&fleet, None).await;
        make(&fleet, old, &format!("before-{round}")).await;
        fleet.signal(old, "STOP").unwrap();
        let new = dual_writer(&fleet, Some(old)).await;
        make(&fleet, new, &format!("meanwhile-{round}")).await;
        fleet.signal(old, "CONT").unwrap();
        let follows = |view: &FleetView| {
            view.answering().any(|(id, status)| {
                id == old
                    && status.driver_state == "INACTIVE"
                    && status.quorum.as_ref().is_some_and(|it| it.leader == Some(new.0))
            })
        };
        fleet.wait("it woke up as a follower", PATIENCE, follows).await.unwrap();
        last = Some(new);
    }
    let leader = dual_writer(&fleet, None).await;
    assert_eq!(Some(leader), last, "the sleeper disturbed nobody when it woke up");
    ends_well(fleet, leader, folder.path()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_are_killed_at_once_and_go_on_where_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let (server, _) = seeded(422).await;
    let mut fleet = started(folder.path(), &server.address());
    let leader = dual_writer(&fleet, None).await;
    make(&fleet, leader, "before").await;
    let before: StatusReport = asked(&fleet.data_dir(leader), &Request::Status).await;
    for id in IDS {
        fleet.kill(id);
    }
    for id in IDS {
        fleet.start_member(id).unwrap();
    }
    let leader = dual_writer(&fleet, None).await;
    let after: StatusReport = asked(&fleet.data_dir(leader), &Request::Status).await;
    assert!(after.log_end_offset >= before.log_end_offset && after.sync.is_none(), "{after:#?}");
    assert_eq!(after.topics, before.topics);
    // Verbs find the leader in the folder.
    assert_eq!(leader_dir(&folder.path().join("controllers")).await.unwrap(), fleet.data_dir(leader));
    fleet.stop().await;
    let stopped = fleet.look().await;
    assert_eq!(stopped.answering().count(), 0);
    tokio::time::timeout(Duration::from_secs(5), leader_dir(&folder.path().join("controllers")))
        .await
        .unwrap()
        .unwrap();
}

/// A program that dies at a moment as long as `fate` stands beside it.
fn mortal(folder: &Path) -> PathBuf {
    let path = folder.join("mortal");
    let text = format!(
        "#!/bin/sh\nif [ -f {0}/fate ]; then XTASK_DIE_AT=$(cat {0}/fate); export XTASK_DIE_AT; fi\nexec {1} \"$@\"\n",
        folder.display(),
        env!("CARGO_BIN_EXE_xtask")
    );
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
    path
}

/// From the claim on the brokers have no controller but ours: whoever is left goes on, although it never heard of the one
/// that made the claim.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_dies_while_it_copies_and_stays_dead_keeps_nobody_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let (server, _) = seeded(423).await;
    std::fs::write(folder.path().join("fate"), "copy-read:before").unwrap();
    let mut fleet = started_as(mortal(folder.path()), folder.path(), &server.address());
    let dies = async {
        loop {
            let dead = IDS.into_iter().find(|id| fleet.members()[id].ended().is_some());
            match dead {
                Some(id) => return id,
                None => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    let dead = tokio::time::timeout(PATIENCE, dies).await.unwrap();
    std::fs::remove_file(folder.path().join("fate")).unwrap();
    IDS.into_iter().for_each(|id| fleet.kill(id));
    for id in IDS.into_iter().filter(|id| *id != dead) {
        fleet.start_member(id).unwrap();
    }
    let leader = dual_writer(&fleet, Some(dead)).await;
    let status: StatusReport = asked(&fleet.data_dir(leader), &Request::Status).await;
    assert_eq!(status.decision.as_deref(), Some("DUAL_WRITE_DISAGREED"), "{status:#?}");
    assert!(
        status.warnings.iter().any(|it| it.contains(&format!("controller {dead} has told nothing"))),
        "{status:#?}"
    );

    fleet.start_member(dead).unwrap();
    let agree =
        |view: &FleetView| view.dual_writer().is_some_and(|(_, it)| it.decision.as_deref() == Some("DUAL_WRITE"));
    fleet.wait("all agree again", PATIENCE, agree).await.unwrap();
    ends_well(fleet, leader, folder.path()).await;
}

/// The quorum knows that a rollback was begun, and its leader dies before ZooKeeper does. All start again, that one too.
#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_whose_leader_died_is_finished_by_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    let (server, settings) = seeded(424).await;
    std::fs::write(folder.path().join("fate"), "rollback-give-back:before").unwrap();
    let mut fleet = started_as(mortal(folder.path()), folder.path(), &server.address());
    let leader = dual_writer(&fleet, None).await;
    let order = Request::Rollback { dry_run: false, election_seconds: 0 };
    ask::<RollbackReport>(&fleet.data_dir(leader), &order, |_| {}).await.unwrap_err();
    std::fs::remove_file(folder.path().join("fate")).unwrap();
    IDS.into_iter().for_each(|id| fleet.kill(id));
    for id in IDS {
        fleet.start_member(id).unwrap();
    }
    let elected = |view: &FleetView| {
        view.answering().any(|(id, status)| status.quorum.as_ref().is_some_and(|it| it.leader == Some(id.0)))
    };
    let view = fleet.wait("one of them leads", PATIENCE, elected).await.unwrap();
    assert!(view.dual_writer().is_none(), "nobody acts in the midst of a rollback");
    // Whoever leads now does the rest.
    let finished = async {
        loop {
            for id in IDS {
                if let Ok(Some(report)) = ask::<RollbackReport>(&fleet.data_dir(id), &order, |_| {}).await {
                    return report;
                }
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let report = tokio::time::timeout(PATIENCE, finished).await.unwrap();
    assert!(report.rolled_back && report.wrote, "{report:#?}");
    let session = settings.client.connector().unwrap().connect().await.unwrap();
    for path in ["/migration", "/controller"] {
        assert!(session.exists(path).await.unwrap().is_none(), "{path}");
    }
    let ended = async {
        while IDS.into_iter().any(|id| fleet.members()[&id].ended().is_none()) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.unwrap();
    for id in IDS {
        let seal = std::fs::read_to_string(fleet.data_dir(id).join("rollback.json")).unwrap();
        assert!(!seal.contains("\"done_ms\": null"), "{id}: {seal}");
    }
}
