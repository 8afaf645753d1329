//! What only the in-memory ZooKeeper can do: requests that stay in the server's queue, and sessions that linger.

use std::sync::Arc;

use bytes::Bytes;
use metadata_core::id::ZkVersion;
use store_zk::client::{
    ConnectError, CreateMode, SessionState, UnknownCause, WatchEvent, ZkAcl, ZkCode, ZkConnector, ZkError, ZkOp,
    ZkSession,
};
use store_zk::testkit::fake::{FakeZooKeeper, Fault};

use crate::{connect, node, run};

async fn open(zookeeper: &FakeZooKeeper) -> Arc<dyn ZkSession> {
    connect(&zookeeper.connector()).await
}

fn ephemeral(path: &str) -> ZkOp {
    let (path, data, acl) = (path.to_owned(), Bytes::new(), ZkAcl::world_all());
    ZkOp::Create { path, data, acl, mode: CreateMode::Ephemeral }
}

fn names(zookeeper: &FakeZooKeeper) -> Vec<String> {
    zookeeper.dump().into_keys().collect()
}

#[test]
fn held_requests_are_applied_in_order_when_they_are_released() {
    run(async {
        let zookeeper = FakeZooKeeper::new();
        let s = open(&zookeeper).await;
        zookeeper.hold(s.session_id());
        let held: Vec<_> = ["/a", "/a/b", "/a/c"].map(|path| s.multi(vec![node(path)])).into();
        assert_eq!((zookeeper.held(s.session_id()), names(&zookeeper)), (3, vec![]));

        zookeeper.release_some(s.session_id(), 2);
        assert_eq!((zookeeper.held(s.session_id()), names(&zookeeper)), (1, vec!["/a".to_owned(), "/a/b".to_owned()]));
        zookeeper.release(s.session_id());
        for request in held {
            request.await.unwrap();
        }
        s.multi(vec![node("/d")]).await.unwrap();
    });
}

#[test]
fn late_multis_of_a_session_that_its_client_gave_up_are_applied_after_a_new_sessions_reads() {
    run(async {
        let zookeeper = FakeZooKeeper::new();
        let old = open(&zookeeper).await;
        old.multi(vec![node("/marker"), ephemeral("/old")]).await.unwrap();
        zookeeper.hold(old.session_id());
        let late = old.multi(vec![ZkOp::set_data("/marker", "late", ZkVersion(0))]);
        let later = old.multi(vec![ZkOp::set_data("/marker", "later", ZkVersion(1))]);
        zookeeper.linger(old.session_id());
        assert_eq!(late.await.unwrap_err().cause(), Some(UnknownCause::ConnectionLost));
        assert_eq!(later.await.unwrap_err().cause(), Some(UnknownCause::ConnectionLost));
        assert_eq!(old.resume().await.map(|_| ()).unwrap_err().cause(), Some(UnknownCause::SessionExpired));

        let new = open(&zookeeper).await;
        let read = new.get_data("/marker").await.unwrap();
        assert_eq!(read.stat.version, ZkVersion(0));
        zookeeper.release_some(old.session_id(), 1);
        // What was read is no longer so: the new session's guarded write fails, as it must.
        let claim = ZkOp::set_data("/marker", "claim", read.stat.version);
        let error = new.multi(vec![claim]).await.unwrap_err();
        assert_eq!(error, ZkError::definite_op(ZkCode::BadVersion, 0, "/marker"));

        assert!(new.exists("/old").await.unwrap().is_some(), "the server still has the old session");
        zookeeper.expire(old.session_id());
        assert_eq!(new.exists("/old").await.unwrap(), None);
        assert_eq!(new.get_data("/marker").await.unwrap().data, "late", "what was held at the end never happened");
    });
}

#[test]
fn only_what_the_server_had_received_happens_after_a_disconnect() {
    run(async {
        let zookeeper = FakeZooKeeper::new();
        let s = open(&zookeeper).await;
        zookeeper.hold(s.session_id());
        let requests: Vec<_> = (0..5).map(|i| s.multi(vec![node(&format!("/{i}"))])).collect();
        zookeeper.disconnect_after(s.session_id(), 2);
        for request in requests {
            assert!(!request.await.unwrap_err().is_definite());
        }
        let resumed = s.resume().await.unwrap();
        // Behind what is held, as one session's requests are.
        let barrier = resumed.multi(vec![ZkOp::check("/", ZkVersion(0))]);
        let read = resumed.get_children("/");
        zookeeper.release(s.session_id());
        barrier.await.unwrap();
        assert_eq!(read.await.unwrap().names, ["0", "1", "zookeeper"]);
    });
}

#[test]
fn an_expired_session_loses_its_ephemerals_and_cannot_be_resumed() {
    run(async {
        let zookeeper = FakeZooKeeper::new();
        let (s, other) = (open(&zookeeper).await, open(&zookeeper).await);
        s.multi(vec![ephemeral("/e")]).await.unwrap();
        let (_, watch) = other.watch_exists("/e").await.unwrap();
        zookeeper.expire(s.session_id());
        assert_eq!(watch.await, WatchEvent::Deleted);
        assert_eq!(*s.state().borrow(), SessionState::Lost, "the client finds out when it resumes");
        assert_eq!(s.resume().await.map(|_| ()).unwrap_err().cause(), Some(UnknownCause::SessionExpired));
        assert_eq!(zookeeper.sessions(), [other.session_id()]);
    });
}

#[test]
fn a_goodbye_waits_its_turn_and_is_unconfirmed_when_the_connection_is_cut() {
    run(async {
        let zookeeper = FakeZooKeeper::new();
        let s = open(&zookeeper).await;
        zookeeper.hold(s.session_id());
        let last = s.multi(vec![node("/last")]);
        let closed = s.close();
        zookeeper.disconnect(s.session_id());
        assert!(!last.await.unwrap_err().is_definite());
        assert!(!closed.await.unwrap_err().is_definite());
        assert_eq!(zookeeper.sessions().len(), 1);
        zookeeper.release(s.session_id());
        assert_eq!((zookeeper.sessions(), names(&zookeeper)), (vec![], vec!["/last".to_owned()]));
    });
}

#[test]
fn an_unreachable_server_refuses_sessions_old_and_new() {
    run(async {
        let zookeeper = FakeZooKeeper::new();
        let s = open(&zookeeper).await;
        zookeeper.disconnect(s.session_id());
        zookeeper.set_reachable(false);
        assert_eq!(s.resume().await.map(|_| ()).unwrap_err().cause(), Some(UnknownCause::ConnectionLost));
        let refused = zookeeper.connector().connect().await.map(|_| ());
        assert!(matches!(refused, Err(ConnectError::Unreachable { .. })));
        zookeeper.set_reachable(true);
        s.resume().await.unwrap();
    });
}

#[test]
fn faults_hit_the_request_that_was_counted() {
    run(async {
        let zookeeper = FakeZooKeeper::new();
        zookeeper.fail_multi(2, Fault::LoseReply);
        let mut s = open(&zookeeper).await;
        for i in 0..4 {
            // Reads are no multis.
            s.exists("/").await.unwrap();
            let answer = s.multi(vec![node(&format!("/{i}"))]).await;
            assert_eq!(answer.is_err(), i == 2, "{i}");
            s = s.resume().await.unwrap();
        }
        zookeeper.drop_next_request();
        assert!(!s.exists("/").await.unwrap_err().is_definite());
        assert_eq!((zookeeper.request_count(), zookeeper.multi_count()), (9, 4));
    });
}

#[test]
fn the_history_tells_who_wrote_what_and_a_foreign_writer_is_nobody() {
    run(async {
        let zookeeper = FakeZooKeeper::new();
        zookeeper.set_time_ms(1_000);
        zookeeper.foreign(vec![node("/root")]).unwrap();
        let s = connect(&zookeeper.connector().with_chroot("/root")).await;
        zookeeper.set_time_ms(2_000);
        s.multi(vec![ZkOp::create("/a", "x", ZkAcl::world_all())]).await.unwrap();
        s.multi(vec![node("/b"), node("/a")]).await.unwrap_err();

        let history = zookeeper.history();
        assert_eq!(
            history.iter().map(|multi| multi.session).collect::<Vec<_>>(),
            [None, Some(s.session_id()), Some(s.session_id())]
        );
        assert_eq!(history[1].ops[0].path(), "/root/a");
        assert_eq!(history[2].outcome, Err(ZkError::definite_op(ZkCode::NodeExists, 1, "/root/a")));
        let dump = zookeeper.dump();
        assert_eq!(dump.keys().collect::<Vec<_>>(), ["/root", "/root/a"]);
        let a = &dump["/root/a"];
        assert_eq!(
            (&a.data[..], a.stat.version, a.stat.ctime_ms, &a.acl),
            (&b"x"[..], ZkVersion(0), 2_000, &ZkAcl::world_all())
        );
    });
}

#[test]
fn no_list_stops_a_foreign_writer() {
    run(async {
        let zookeeper = FakeZooKeeper::new();
        let s = connect(&zookeeper.connector().with_digest("kafka", "secret")).await;
        s.multi(vec![ZkOp::create("/a", "", ZkAcl::creator_all())]).await.unwrap();
        zookeeper.foreign(vec![ZkOp::set_data("/a", "x", None), node("/a/b")]).unwrap();
        assert_eq!(s.get_data("/a").await.unwrap().stat.version, ZkVersion(1));
    });
}

#[test]
fn a_smaller_limit_is_the_servers() {
    run(async {
        let zookeeper = FakeZooKeeper::new();
        zookeeper.set_request_size_limit(1_000);
        let s = open(&zookeeper).await;
        s.multi(vec![ZkOp::create("/a", vec![0; 900], ZkAcl::world_all())]).await.unwrap();
        let error = s.multi(vec![ZkOp::create("/b", vec![0; 1_000], ZkAcl::world_all())]).await.unwrap_err();
        assert!(!error.is_definite());
        assert_eq!(names(&zookeeper), ["/a"]);
    });
}
