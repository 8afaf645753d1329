//! Controllers that were deposed and don't know it, each a process with its own session, on a real ZooKeeper.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test, as the tests do")]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use metadata_core::id::{KRaftLeaderEpoch, NodeId};
use serde_json::Value;
use store_zk::client::config::ZkClientConfig;
use store_zk::client::{CreateMode, ZkAcl, ZkCode, ZkOp, ZkSession};
use store_zk::testkit::proxy::FaultProxy;
use tokio::time::{Instant, sleep};
use xtask::cli::{Interrupt, Progress};
use xtask::rivals::{Arena, Fight, FightOptions, Judgement};
use xtask::seed::SeedOptions;

/// The longest that the server grants: nobody's session expires while it is held back here.
const SESSION: Duration = Duration::from_secs(10);
/// How long anything may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(30);

async fn arena(seed: u64) -> Arena {
    let options = SeedOptions { topics: 20, partitions_per_topic: 3, seed, ..SeedOptions::default() };
    Arena::start(Path::new(env!("CARGO_BIN_EXE_xtask")), options, SESSION).await.unwrap()
}

async fn assert_in_step(arena: &Arena) {
    let report = arena.verify().await.unwrap();
    assert!(report.total.compared > 0 && report.total.divergent == 0, "{:#?}", report.lines());
}

fn judged(arena: &Arena) -> Judgement {
    let judgement = Judgement::of(&arena.history().unwrap(), arena.chroot());
    assert_eq!(judgement.broken, [""; 0]);
    judgement
}

/// Waits until ZooKeeper has refused a transaction of a deposed claimant.
async fn wait_for_a_bounce(arena: &Arena, node: NodeId) -> u64 {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(bounced) = judged(arena).bounced.get(&node) {
            return *bounced;
        }
        assert!(Instant::now() < deadline, "no write of node {node} ever came late");
        sleep(Duration::from_millis(20)).await;
    }
}

async fn controller(session: &dyn ZkSession) -> Value {
    serde_json::from_slice(&session.get_data("/controller").await.unwrap().data).unwrap()
}

/// Has the first rival hand writes to ZooKeeper that don't get there.
async fn writes_in_flight(arena: &mut Arena) {
    let end = arena.log.end().0;
    arena.rivals[0].proxy.set_frozen(true);
    arena.change(20).await.unwrap();
    arena.rivals[0].wait("writes are on their way", |seen| seen.submitted > end).await.unwrap();
}

/// Elects the second rival, which claims, and writes a change of its own epoch.
async fn the_other_takes_over(arena: &mut Arena) -> KRaftLeaderEpoch {
    let epoch = arena.elect(1).unwrap();
    arena.wait_until_written(1, epoch).await.unwrap();
    arena.change(5).await.unwrap();
    arena.wait_until_written(1, epoch).await.unwrap();
    epoch
}

#[tokio::test]
async fn late_writes_of_a_controller_that_fell_asleep_bounce_and_it_wakes_up_as_a_standby() {
    let mut arena = arena(301).await;
    let first = arena.begin().await.unwrap();
    let (sleeper, session) = (arena.rivals[0].node, arena.connector().connect().await.unwrap());
    writes_in_flight(&mut arena).await;
    arena.log.cut_off(sleeper);
    arena.rivals[0].pause().unwrap();

    let second = the_other_takes_over(&mut arena).await;
    assert!(second > first);
    assert_in_step(&arena).await;
    let marker = session.get_data("/migration").await.unwrap();

    // The writes arrive while their sender sleeps.
    arena.rivals[0].proxy.set_frozen(false);
    assert!(wait_for_a_bounce(&arena, sleeper).await > 0);
    assert_in_step(&arena).await;
    assert_eq!(session.get_data("/migration").await.unwrap().data, marker.data, "nothing of them has moved the marker");

    // It wakes up, believes that it leads, and learns from ZooKeeper that it does not.
    arena.rivals[0].wake().unwrap();
    let fenced = |seen: &xtask::rivals::Seen| seen.bounced > 0 && seen.blocked_by.is_some();
    let seen = arena.rivals[0].wait("it knows that its writes have bounced", fenced).await.unwrap();
    assert_eq!(seen.epoch, Some(first.0), "nobody has told it of the election");
    assert_ne!(seen.state, "DUAL_WRITE");
    assert_eq!(controller(session.as_ref()).await["brokerid"], 3001);

    arena.log.join(sleeper);
    arena.rivals[0].wait("it is a standby", |seen| seen.state == "INACTIVE").await.unwrap();
    assert_in_step(&arena).await;

    // Elected again it goes on where the other was, and reads nothing anew.
    let third = arena.elect(0).unwrap();
    arena.wait_until_written(0, third).await.unwrap();
    arena.change(5).await.unwrap();
    arena.wait_until_written(0, third).await.unwrap();
    assert_in_step(&arena).await;
    let seen = arena.rivals[0].seen();
    assert_eq!((seen.copies, seen.resumes, seen.full_syncs), (1, 1, 0));
    let mut judgement = judged(&arena);
    judgement.hold_against(&BTreeMap::from([(first, sleeper), (second, NodeId(3001)), (third, sleeper)]));
    assert_eq!(judgement.broken, [""; 0]);
}

#[tokio::test]
async fn while_two_believe_that_they_lead_only_the_elected_one_writes() {
    let mut arena = arena(302).await;
    let first = arena.begin().await.unwrap();
    let believer = arena.rivals[0].node;
    writes_in_flight(&mut arena).await;
    arena.log.cut_off(believer);
    let second = the_other_takes_over(&mut arena).await;

    arena.rivals[0].proxy.set_frozen(false);
    let seen = arena.rivals[0].wait("its writes bounce", |seen| seen.bounced > 0).await.unwrap();
    assert_eq!(seen.epoch, Some(first.0));
    assert_in_step(&arena).await;
    // It can't claim again: without the log nobody confirms that it leads.
    let refused = |seen: &xtask::rivals::Seen| seen.blocked_by.as_deref() == Some("Unavailable");
    arena.rivals[0].wait("it waits for the log", refused).await.unwrap();
    let claims = judged(&arena).claims;
    assert_eq!(claims.iter().map(|claim| claim.epoch).collect::<Vec<_>>(), [first, second]);

    arena.log.join(believer);
    arena.rivals[0].wait("it is a standby", |seen| seen.state == "INACTIVE").await.unwrap();
    assert_in_step(&arena).await;
}

#[tokio::test]
async fn late_writes_of_the_deposed_zookeeper_controller_bounce() {
    let mut arena = arena(303).await;
    let (direct, chroot) = (arena.connector().connect().await.unwrap(), arena.chroot());
    let proxy = FaultProxy::start(arena.server().socket_address()).await.unwrap();
    let place = format!("{}{chroot}", proxy.address());
    let client = ZkClientConfig { session_timeout: SESSION, ..ZkClientConfig::from_connect_string(&place).unwrap() };
    let broker = client.connector().unwrap().connect().await.unwrap();

    // A broker is elected as brokers do it, and writes as the controller: each write checks its epoch's version.
    let epoch = broker.get_data("/controller_epoch").await.unwrap();
    let json = br#"{"version":2,"brokerid":1,"timestamp":"1729500000123","kraftControllerEpoch":-1}"#;
    let number: i32 = std::str::from_utf8(&epoch.data).unwrap().parse().unwrap();
    let raised = ZkOp::set_data("/controller_epoch", (number + 1).to_string(), epoch.stat.version);
    let create = ZkOp::Create {
        path: "/controller".into(),
        data: json.to_vec().into(),
        acl: ZkAcl::world_all(),
        mode: CreateMode::Ephemeral,
    };
    broker.multi(vec![create, raised]).await.unwrap();
    let version = broker.exists("/controller_epoch").await.unwrap().unwrap().version;
    let topic = broker.get_children("/brokers/topics").await.unwrap().names.remove(0);
    let state = format!("/brokers/topics/{topic}/partitions/0/state");
    let before = broker.get_data(&state).await.unwrap();
    let write = |data: &[u8]| {
        let set = ZkOp::set_data(&state, data.to_vec(), None);
        broker.multi(vec![ZkOp::check("/controller_epoch", version), set])
    };
    write(&before.data).await.unwrap();

    // Its next write is on its way when the quorum's controller claims.
    proxy.set_frozen(true);
    let late = write(b"{}");
    arena.begin().await.unwrap();
    assert_in_step(&arena).await;
    assert_eq!(controller(direct.as_ref()).await["brokerid"], 3000);
    proxy.set_frozen(false);
    let refused = late.await.unwrap_err();
    assert_eq!(refused.code(), Some(ZkCode::BadVersion), "{refused}");
    let again = write(b"{}").await.unwrap_err();
    assert_eq!(again.code(), Some(ZkCode::BadVersion), "{again}");

    // Neither its writes nor the end of its session, with the ephemeral that it had, have changed anything.
    broker.close().await.unwrap();
    assert_in_step(&arena).await;
    assert_eq!(controller(direct.as_ref()).await["brokerid"], 3000);
    judged(&arena);
}

#[tokio::test]
async fn a_short_fight_has_one_writer_in_each_epoch() {
    let mut arena = arena(304).await;
    let first = arena.begin().await.unwrap();
    let options = FightOptions { epochs: 40, seed: 5, session_timeout: SESSION };
    let (hidden, never) = (Progress::hidden(), Interrupt::never());
    let fight = Fight::out(&mut arena, first, options, &hidden, &never).await.unwrap();
    assert_eq!(fight.judgement.broken, [""; 0]);
    assert_eq!((fight.judgement.epochs_written(), fight.verified.total.divergent), (40, 0));
    assert!(fight.judgement.bounces() > 0 && fight.counts.turns.len() >= 5, "{:?}", fight.counts);
}
