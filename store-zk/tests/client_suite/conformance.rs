//! One suite over the in-memory ZooKeeper and a real one: what code sees through the client must be the same on both.

use std::sync::Arc;

use bytes::Bytes;
use metadata_core::id::ZkVersion;
use store_zk::client::config::{Credentials, Secret, ZkClientConfig};
use store_zk::client::real::ZooKeeperConnector;
use store_zk::client::{
    AclEntry, ConnectError, CreateMode, MULTI_FRAME_OVERHEAD, OpResult, Permissions, ReadOutcome, SessionState,
    UnknownCause, WatchEvent, ZkAcl, ZkCode, ZkConnector, ZkError, ZkOp, ZkRead, ZkSession,
};
use store_zk::testkit::fake::{self, FakeConnector, FakeZooKeeper};
use store_zk::testkit::proxy::{FaultProxy, ProxyFault, Requests};
use store_zk::testkit::unique_path;

use crate::{config, connect, node, session, shared_server};

/// One test's ZooKeeper: an empty chroot, and the ways to break the connection.
struct Fixture {
    chroot: String,
    backend: Backend,
}

enum Backend {
    Fake(FakeZooKeeper),
    Real(FaultProxy),
}

#[derive(Debug, Clone, Copy)]
enum Fault {
    DropRequest,
    LoseReply,
}

impl Fixture {
    async fn fake() -> Self {
        let zookeeper = FakeZooKeeper::new();
        let chroot = unique_path();
        zookeeper.foreign(vec![node(&chroot)]).unwrap();
        Self { chroot, backend: Backend::Fake(zookeeper) }
    }

    async fn real() -> Self {
        let server = shared_server().await;
        let chroot = unique_path();
        let root = session(&server.address()).await;
        root.multi(vec![node(&chroot)]).await.unwrap();
        root.close().await.unwrap();
        Self { chroot, backend: Backend::Real(FaultProxy::start(server.socket_address()).await.unwrap()) }
    }

    fn connector_at(&self, chroot: &str, digest: Option<(&str, &str)>) -> Arc<dyn ZkConnector> {
        match &self.backend {
            Backend::Fake(zookeeper) => {
                let open: FakeConnector = zookeeper.connector().with_chroot(chroot);
                Arc::new(match digest {
                    Some((user, password)) => open.with_digest(user, password),
                    None => open,
                })
            }
            Backend::Real(proxy) => Arc::new(ZooKeeperConnector::new(ZkClientConfig {
                digest: digest
                    .map(|(user, password)| Credentials { user: user.to_owned(), password: Secret::new(password) }),
                ..config(&format!("{}{chroot}", proxy.address()))
            })),
        }
    }

    fn connector(&self) -> Arc<dyn ZkConnector> {
        self.connector_at(&self.chroot, None)
    }

    async fn session(&self) -> Arc<dyn ZkSession> {
        connect(&*self.connector()).await
    }

    async fn session_as(&self, user: &str, password: &str) -> Arc<dyn ZkSession> {
        connect(&*self.connector_at(&self.chroot, Some((user, password)))).await
    }

    /// Cuts every connection.
    fn cut(&self) {
        match &self.backend {
            Backend::Fake(zookeeper) => {
                zookeeper.sessions().into_iter().for_each(|session| zookeeper.disconnect(session));
            }
            Backend::Real(proxy) => proxy.cut_all(),
        }
    }

    /// Breaks the multi after the next `skip` ones.
    fn fail_multi(&self, skip: u64, fault: Fault) {
        match (&self.backend, fault) {
            (Backend::Fake(zookeeper), Fault::DropRequest) => zookeeper.fail_multi(skip, fake::Fault::DropRequest),
            (Backend::Fake(zookeeper), Fault::LoseReply) => zookeeper.fail_multi(skip, fake::Fault::LoseReply),
            (Backend::Real(proxy), Fault::DropRequest) => proxy.fail(Requests::Multi, skip, ProxyFault::DropRequest),
            (Backend::Real(proxy), Fault::LoseReply) => proxy.fail(Requests::Multi, skip, ProxyFault::LoseReply),
        }
    }
}

/// A test per case and backend.
macro_rules! conformance {
    ($($case:ident),* $(,)?) => {
        mod on_the_fake {
            $(#[test]
            fn $case() {
                crate::run(async { super::cases::$case(super::Fixture::fake().await).await });
            })*
        }
        mod on_a_real_server {
            $(#[test]
            fn $case() {
                crate::run(async { super::cases::$case(super::Fixture::real().await).await });
            })*
        }
    };
}

conformance!(
    versions_count_set_datas,
    a_wrong_version_is_definite_and_changes_nothing,
    a_multi_is_all_or_nothing_and_names_the_first_op_that_failed,
    ops_of_a_multi_see_those_before_them,
    the_servers_codes_come_in_its_order,
    requests_are_applied_in_the_order_of_calls_though_awaited_in_reverse,
    behind_a_failed_link_of_a_chain_nothing_is_applied,
    a_multi_of_checks_is_a_transaction,
    ephemerals_belong_to_their_session_and_go_with_it,
    a_dropped_session_ends_in_the_background,
    sequential_names_count_the_children_ever_created,
    a_failed_multi_uses_up_no_sequence_number,
    stats_count_children_and_their_changes,
    empty_data_is_empty,
    a_multi_read_survives_missing_nodes,
    a_data_watch_fires_once,
    a_child_watch_fires_once,
    an_exists_watch_sees_the_creation_and_the_deletion,
    no_watch_is_left_on_an_absent_node,
    a_watch_ends_with_its_connection,
    a_chroot_confines,
    a_missing_chroot_is_named,
    an_oversize_request_ends_the_connection_and_is_unknown,
    wire_size_is_what_the_server_counts,
    malformed_requests_are_refused_and_the_session_goes_on,
    sync_is_answered,
    lists_are_stored_and_the_creators_needs_an_identity,
    only_the_creator_may_use_a_creators_node,
    a_lost_reply_is_unknown_though_applied,
    a_dropped_request_is_unknown_and_not_applied,
    behind_a_lost_request_nothing_reaches_the_server,
    after_a_loss_requests_are_refused_until_the_session_is_resumed,
    a_resumed_session_keeps_its_id_and_its_ephemerals,
    two_owners_who_resume_get_the_same_successor,
    a_closed_session_refuses_and_cannot_be_resumed,
);

fn v(version: i32) -> ZkVersion {
    ZkVersion(version)
}

fn definite(code: ZkCode, op_index: usize, path: &str) -> ZkError {
    ZkError::definite_op(code, op_index, path)
}

async fn version(session: &dyn ZkSession, path: &str) -> i32 {
    session.get_data(path).await.unwrap().stat.version.0
}

fn ephemeral(path: &str) -> ZkOp {
    ZkOp::Create { path: path.to_owned(), data: Bytes::new(), acl: ZkAcl::world_all(), mode: CreateMode::Ephemeral }
}

fn sequential(path: &str) -> ZkOp {
    ZkOp::Create {
        path: path.to_owned(),
        data: Bytes::new(),
        acl: ZkAcl::world_all(),
        mode: CreateMode::PersistentSequential,
    }
}

async fn create_sequential(session: &dyn ZkSession, path: &str) -> String {
    match session.multi(vec![sequential(path)]).await.unwrap().remove(0) {
        OpResult::Create { path } => path,
        other => panic!("{other:?}"),
    }
}

mod cases {
    use super::*;

    pub(super) async fn versions_count_set_datas(f: Fixture) {
        let s = f.session().await;
        let created = s.multi(vec![ZkOp::create("/a", "one", ZkAcl::world_all())]).await.unwrap();
        assert_eq!(created, [OpResult::Create { path: "/a".to_owned() }]);
        let found = s.get_data("/a").await.unwrap();
        assert_eq!((&found.data[..], found.stat.version), (&b"one"[..], v(0)));
        assert_eq!(found.stat.czxid, found.stat.mzxid);

        for i in 0..3 {
            let set = s.multi(vec![ZkOp::set_data("/a", format!("set {i}"), v(i))]).await.unwrap();
            let [OpResult::SetData { stat }] = &set[..] else { panic!("{set:?}") };
            assert_eq!(stat.version, v(i + 1));
        }
        s.multi(vec![ZkOp::set_data("/a", "any", None)]).await.unwrap();
        let found = s.get_data("/a").await.unwrap();
        assert_eq!((&found.data[..], found.stat.version, found.stat.data_length), (&b"any"[..], v(4), 3));
        assert!(found.stat.mzxid > found.stat.czxid);
    }

    pub(super) async fn a_wrong_version_is_definite_and_changes_nothing(f: Fixture) {
        let s = f.session().await;
        s.multi(vec![ZkOp::create("/a", "x", ZkAcl::world_all())]).await.unwrap();
        for op in [
            ZkOp::check("/a", v(1)),
            ZkOp::set_data("/a", "y", v(1)),
            ZkOp::set_data("/a", "y", v(i32::MIN)),
            ZkOp::delete("/a", v(7)),
        ] {
            let error = s.multi(vec![op]).await.unwrap_err();
            assert_eq!(error, definite(ZkCode::BadVersion, 0, "/a"));
        }
        assert_eq!(s.get_data("/a").await.unwrap().data, "x");
        assert_eq!(*s.state().borrow(), SessionState::Connected);
    }

    pub(super) async fn a_multi_is_all_or_nothing_and_names_the_first_op_that_failed(f: Fixture) {
        let s = f.session().await;
        s.multi(vec![node("/a"), node("/gone")]).await.unwrap();
        let error = s
            .multi(vec![
                ZkOp::set_data("/a", "new", v(0)),
                node("/b"),
                node("/b/c"),
                ZkOp::delete("/gone", None),
                ZkOp::set_data("/missing", "", None),
                ZkOp::check("/a", v(99)),
            ])
            .await
            .unwrap_err();
        assert_eq!(error, definite(ZkCode::NoNode, 4, "/missing"));
        assert_eq!(version(&*s, "/a").await, 0);
        assert_eq!(s.get_children("/").await.unwrap().names, ["a", "gone"]);
        assert_eq!(s.exists("/b").await.unwrap(), None);
    }

    pub(super) async fn ops_of_a_multi_see_those_before_them(f: Fixture) {
        let s = f.session().await;
        let results = s
            .multi(vec![
                node("/a"),
                node("/a/b"),
                ZkOp::set_data("/a/b", "x", v(0)),
                ZkOp::check("/a/b", v(1)),
                ZkOp::set_data("/a/b", "y", v(1)),
                ZkOp::delete("/a/b", v(2)),
                node("/a/b"),
            ])
            .await
            .unwrap();
        assert_eq!(results.len(), 7);
        assert!(matches!(&results[2], OpResult::SetData { stat } if stat.version == v(1)));
        assert_eq!((&results[3], &results[5]), (&OpResult::Check, &OpResult::Delete));
        assert_eq!(version(&*s, "/a/b").await, 0);
        let stats = (s.exists("/a").await.unwrap().unwrap(), s.exists("/a/b").await.unwrap().unwrap());
        assert_eq!(stats.0.czxid, stats.1.czxid, "one transaction");
    }

    pub(super) async fn the_servers_codes_come_in_its_order(f: Fixture) {
        let s = f.session().await;
        s.multi(vec![node("/a"), node("/a/b"), ephemeral("/e")]).await.unwrap();
        for (op, code) in [
            (node("/a"), ZkCode::NodeExists),
            (node("/"), ZkCode::NodeExists),
            (node("/x/y"), ZkCode::NoNode),
            (node("/e/child"), ZkCode::NoChildrenForEphemerals),
            (ZkOp::create("/x/y", "", ZkAcl::creator_all()), ZkCode::InvalidAcl),
            (ZkOp::set_data("/x", "", v(3)), ZkCode::NoNode),
            (ZkOp::delete("/x", v(3)), ZkCode::NoNode),
            (ZkOp::delete("/a", v(3)), ZkCode::BadVersion),
            (ZkOp::delete("/a", v(0)), ZkCode::NotEmpty),
            (ZkOp::delete("/a", None), ZkCode::NotEmpty),
            (ZkOp::check("/x", v(0)), ZkCode::NoNode),
        ] {
            let path = op.path().to_owned();
            let shown = format!("{op:?}");
            assert_eq!(s.multi(vec![op]).await.unwrap_err(), definite(code, 0, &path), "{shown}");
        }
        assert_eq!(s.get_data("/x").await.unwrap_err(), ZkError::definite(ZkCode::NoNode, "/x"));
        assert_eq!(s.get_children("/x").await.unwrap_err(), ZkError::definite(ZkCode::NoNode, "/x"));
        assert_eq!(s.get_acl("/x").await.unwrap_err(), ZkError::definite(ZkCode::NoNode, "/x"));
    }

    pub(super) async fn requests_are_applied_in_the_order_of_calls_though_awaited_in_reverse(f: Fixture) {
        let s = f.session().await;
        s.multi(vec![node("/a"), node("/q")]).await.unwrap();
        let mut requests = Vec::new();
        for i in 0..300 {
            requests.push(s.multi(vec![ZkOp::set_data("/a", i.to_string(), v(i)), sequential("/q/n-")]));
        }
        let last = s.get_data("/a");
        for (i, request) in requests.into_iter().enumerate().rev() {
            let results = request.await.unwrap();
            assert_eq!(results[1], OpResult::Create { path: format!("/q/n-{i:010}") });
        }
        assert_eq!(last.await.unwrap().data, "299");
    }

    pub(super) async fn behind_a_failed_link_of_a_chain_nothing_is_applied(f: Fixture) {
        let s = f.session().await;
        s.multi(vec![node("/marker"), node("/5")]).await.unwrap();
        let links: Vec<_> =
            (0..12).map(|i| s.multi(vec![ZkOp::set_data("/marker", "", v(i)), node(&format!("/{i}"))])).collect();
        for (i, link) in links.into_iter().enumerate() {
            match i {
                0..5 => assert!(link.await.is_ok()),
                5 => assert_eq!(link.await.unwrap_err(), definite(ZkCode::NodeExists, 1, "/5")),
                _ => assert_eq!(link.await.unwrap_err(), definite(ZkCode::BadVersion, 0, "/marker")),
            }
        }
        assert_eq!(version(&*s, "/marker").await, 5);
        assert_eq!(s.get_children("/").await.unwrap().names, ["0", "1", "2", "3", "4", "5", "marker"]);
    }

    pub(super) async fn a_multi_of_checks_is_a_transaction(f: Fixture) {
        let s = f.session().await;
        s.multi(vec![node("/a")]).await.unwrap();
        let before = s.get_data("/a").await.unwrap().stat;
        assert_eq!(s.multi(vec![ZkOp::check("/a", v(0))]).await.unwrap(), [OpResult::Check]);
        s.multi(vec![node("/b")]).await.unwrap();
        assert_eq!(s.get_data("/a").await.unwrap().stat, before);
        let later = s.exists("/b").await.unwrap().unwrap();
        assert!(later.czxid > before.czxid + 1, "the check took a zxid of its own");
    }

    pub(super) async fn ephemerals_belong_to_their_session_and_go_with_it(f: Fixture) {
        let (s, other) = (f.session().await, f.session().await);
        assert_ne!(s.session_id(), other.session_id());
        s.multi(vec![ephemeral("/e"), node("/p")]).await.unwrap();
        let found = other.exists("/e").await.unwrap().unwrap();
        assert_eq!(found.ephemeral_owner, s.session_id().0);
        assert_eq!(other.exists("/p").await.unwrap().unwrap().ephemeral_owner, 0);

        s.close().await.unwrap();
        assert_eq!(*s.state().borrow(), SessionState::Closed);
        other.sync("/").await.unwrap();
        assert_eq!(other.get_children("/").await.unwrap().names, ["p"]);
    }

    pub(super) async fn a_dropped_session_ends_in_the_background(f: Fixture) {
        let (s, other) = (f.session().await, f.session().await);
        s.multi(vec![ephemeral("/e")]).await.unwrap();
        let (stat, watch) = other.watch_exists("/e").await.unwrap();
        assert!(stat.is_some());
        drop(s);
        assert_eq!(watch.await, WatchEvent::Deleted);
    }

    pub(super) async fn sequential_names_count_the_children_ever_created(f: Fixture) {
        let s = f.session().await;
        s.multi(vec![node("/q")]).await.unwrap();
        assert_eq!(create_sequential(&*s, "/q/n-").await, "/q/n-0000000000");
        s.multi(vec![node("/q/plain")]).await.unwrap();
        assert_eq!(create_sequential(&*s, "/q/n-").await, "/q/n-0000000002");
        s.multi(vec![ZkOp::delete("/q/n-0000000002", None)]).await.unwrap();
        assert_eq!(create_sequential(&*s, "/q/").await, "/q/0000000003");
    }

    pub(super) async fn a_failed_multi_uses_up_no_sequence_number(f: Fixture) {
        let s = f.session().await;
        s.multi(vec![node("/q")]).await.unwrap();
        s.multi(vec![sequential("/q/n-"), ZkOp::check("/q", v(9))]).await.unwrap_err();
        assert_eq!(create_sequential(&*s, "/q/n-").await, "/q/n-0000000000");
        assert_eq!(s.get_children("/q").await.unwrap().stat.cversion, 1);
    }

    pub(super) async fn stats_count_children_and_their_changes(f: Fixture) {
        let s = f.session().await;
        s.multi(vec![node("/a"), node("/a/z"), node("/a/y"), node("/a/x")]).await.unwrap();
        s.multi(vec![ZkOp::delete("/a/y", None)]).await.unwrap();
        s.multi(vec![ZkOp::set_data("/a/z", "no change of /a", None)]).await.unwrap();
        let children = s.get_children("/a").await.unwrap();
        assert_eq!(children.names, ["x", "z"]);
        assert_eq!((children.stat.num_children, children.stat.cversion, children.stat.version), (2, 4, v(0)));
    }

    pub(super) async fn empty_data_is_empty(f: Fixture) {
        let s = f.session().await;
        s.multi(vec![node("/a")]).await.unwrap();
        let found = s.get_data("/a").await.unwrap();
        assert_eq!((found.data.len(), found.stat.data_length), (0, 0));
        let read = s.multi_read(vec![ZkRead::Data("/a".to_owned())]).await.unwrap();
        assert_eq!(read, [ReadOutcome::Data(found)]);
    }

    pub(super) async fn a_multi_read_survives_missing_nodes(f: Fixture) {
        let s = f.session().await;
        s.multi(vec![ZkOp::create("/a", "x", ZkAcl::world_all()), node("/a/c"), node("/a/b")]).await.unwrap();
        let data = |path: &str| ZkRead::Data(path.to_owned());
        let children = |path: &str| ZkRead::Children(path.to_owned());
        let outcomes =
            s.multi_read(vec![data("/gone"), data("/a"), children("/gone"), children("/a"), children("/a/b")]);
        assert_eq!(
            outcomes.await.unwrap(),
            [
                ReadOutcome::Failed(ZkCode::NoNode),
                ReadOutcome::Data(s.get_data("/a").await.unwrap()),
                ReadOutcome::Failed(ZkCode::NoNode),
                ReadOutcome::Children(vec!["b".to_owned(), "c".to_owned()]),
                ReadOutcome::Children(vec![]),
            ]
        );
        assert_eq!(s.multi_read(vec![]).await.unwrap(), []);
    }

    pub(super) async fn a_data_watch_fires_once(f: Fixture) {
        let (s, other) = (f.session().await, f.session().await);
        s.multi(vec![ZkOp::create("/a", "0", ZkAcl::world_all())]).await.unwrap();
        let (found, watch) = s.watch_data("/a").await.unwrap();
        assert_eq!(found.data, "0");
        let (_, dropped) = s.watch_data("/a").await.unwrap();
        drop(dropped);
        other.multi(vec![node("/a/child")]).await.unwrap();
        other.multi(vec![ZkOp::set_data("/a", "1", None)]).await.unwrap();
        other.multi(vec![ZkOp::delete("/a/child", None), ZkOp::delete("/a", None)]).await.unwrap();
        assert_eq!(watch.await, WatchEvent::DataChanged, "the first change, not the child's and not the deletion");
    }

    pub(super) async fn a_child_watch_fires_once(f: Fixture) {
        let (s, other) = (f.session().await, f.session().await);
        s.multi(vec![node("/a"), node("/a/b")]).await.unwrap();
        let (children, watch) = s.watch_children("/a").await.unwrap();
        assert_eq!(children.names, ["b"]);
        other.multi(vec![ZkOp::set_data("/a", "x", None)]).await.unwrap();
        other.multi(vec![node("/a/b/grandchild")]).await.unwrap();
        other.multi(vec![node("/a/c")]).await.unwrap();
        assert_eq!(watch.await, WatchEvent::ChildrenChanged);
        let (children, watch) = s.watch_children("/a/c").await.unwrap();
        assert_eq!(children.names, Vec::<String>::new());
        other.multi(vec![ZkOp::delete("/a/c", None)]).await.unwrap();
        assert_eq!(watch.await, WatchEvent::Deleted);
    }

    pub(super) async fn an_exists_watch_sees_the_creation_and_the_deletion(f: Fixture) {
        let (s, other) = (f.session().await, f.session().await);
        let (stat, watch) = s.watch_exists("/a").await.unwrap();
        assert_eq!(stat, None);
        other.multi(vec![node("/a")]).await.unwrap();
        assert_eq!(watch.await, WatchEvent::Created);
        let (stat, watch) = s.watch_exists("/a").await.unwrap();
        assert!(stat.is_some());
        other.multi(vec![ZkOp::delete("/a", None)]).await.unwrap();
        assert_eq!(watch.await, WatchEvent::Deleted);
    }

    pub(super) async fn no_watch_is_left_on_an_absent_node(f: Fixture) {
        let s = f.session().await;
        let absent = ZkError::definite(ZkCode::NoNode, "/a");
        assert_eq!(s.watch_data("/a").await.map(|_| ()).unwrap_err(), absent);
        assert_eq!(s.watch_children("/a").await.map(|_| ()).unwrap_err(), absent);
    }

    pub(super) async fn a_watch_ends_with_its_connection(f: Fixture) {
        let s = f.session().await;
        s.multi(vec![node("/a")]).await.unwrap();
        let (_, on_data) = s.watch_data("/a").await.unwrap();
        let (_, on_children) = s.watch_children("/a").await.unwrap();
        let (_, on_absent) = s.watch_exists("/b").await.unwrap();
        f.cut();
        assert_eq!(
            (on_data.await, on_children.await, on_absent.await),
            (WatchEvent::Ended, WatchEvent::Ended, WatchEvent::Ended)
        );
        s.state().wait_for(|state| *state != SessionState::Connected).await.unwrap();
        assert_eq!(*s.state().borrow(), SessionState::Lost);
    }

    pub(super) async fn a_chroot_confines(f: Fixture) {
        let s = f.session().await;
        assert_eq!(s.chroot(), f.chroot);
        s.multi(vec![node("/in"), sequential("/in/n-")]).await.unwrap();
        s.multi(vec![ZkOp::set_data("/", "the chroot itself", v(0))]).await.unwrap();
        let nested = connect(&*f.connector_at(&format!("{}/in", f.chroot), None)).await;
        assert_eq!(nested.get_children("/").await.unwrap().names, ["n-0000000000"]);
        let error = nested.multi(vec![node("/n-0000000000")]).await.unwrap_err();
        assert_eq!(error, definite(ZkCode::NodeExists, 0, "/n-0000000000"), "paths come back as they were given");

        let root = connect(&*f.connector_at("", None)).await;
        assert_eq!(root.chroot(), "");
        assert_eq!(root.get_data(&f.chroot).await.unwrap().data, "the chroot itself");
        assert!(root.get_children("/").await.unwrap().names.contains(&"zookeeper".to_owned()));
    }

    pub(super) async fn a_missing_chroot_is_named(f: Fixture) {
        let missing = format!("{}/gone", f.chroot);
        match f.connector_at(&missing, None).connect().await {
            Err(ConnectError::NoChroot { chroot, .. }) => assert_eq!(chroot, missing),
            other => panic!("{:?}", other.map(|_| ())),
        }
    }

    pub(super) async fn an_oversize_request_ends_the_connection_and_is_unknown(f: Fixture) {
        let s = f.session().await;
        let before = s.multi(vec![node("/before")]);
        let oversize = s.multi(vec![ZkOp::create("/big", vec![b'x'; 1 << 20], ZkAcl::world_all())]);
        let after = s.multi(vec![node("/after")]);
        // It was received whole, so it is carried out; its answer may be lost with the connection.
        let before = before.await;
        assert!(before.as_ref().map_or_else(|error| !error.is_definite(), |_| true), "{before:?}");
        assert_eq!(oversize.await.unwrap_err().cause(), Some(UnknownCause::ConnectionLost));
        assert_eq!(after.await.unwrap_err().cause(), Some(UnknownCause::ConnectionLost));

        let s = s.resume().await.unwrap();
        s.multi(vec![node("/barrier")]).await.unwrap();
        assert_eq!(s.get_children("/").await.unwrap().names, ["barrier", "before"]);
    }

    /// The largest multi that passes is as large as our count says, to the byte.
    pub(super) async fn wire_size_is_what_the_server_counts(f: Fixture) {
        let s = f.session().await;
        let frame = |filler: usize| {
            vec![
                node("/a"),
                ZkOp::set_data("/a", "x", v(0)),
                ZkOp::check("/a", v(1)),
                ZkOp::delete("/a", v(1)),
                ZkOp::create("/big", vec![b'x'; filler], ZkAcl::world_all()),
            ]
        };
        let size =
            |ops: &[ZkOp]| MULTI_FRAME_OVERHEAD + ops.iter().map(|op| op.wire_size(s.chroot().len())).sum::<usize>();
        let largest = fake::REQUEST_SIZE_LIMIT - size(&frame(0));
        assert_eq!(size(&frame(largest)), 1_048_575);
        s.multi(frame(largest)).await.unwrap();
        s.multi(vec![ZkOp::delete("/big", None)]).await.unwrap();
        assert_eq!(s.multi(frame(largest + 1)).await.unwrap_err().cause(), Some(UnknownCause::ConnectionLost));
    }

    pub(super) async fn malformed_requests_are_refused_and_the_session_goes_on(f: Fixture) {
        let s = f.session().await;
        assert_eq!(s.multi(vec![]).await.unwrap_err().code(), Some(ZkCode::BadArguments));
        for path in ["", "a", "/a/", "/a//b", "/..", "/a\0"] {
            let bad = ZkError::definite(ZkCode::BadArguments, path);
            assert_eq!(s.get_data(path).await.unwrap_err(), bad);
            assert_eq!(s.exists(path).await.unwrap_err(), bad);
            assert_eq!(s.sync(path).await.unwrap_err(), bad);
            assert_eq!(s.multi_read(vec![ZkRead::Data(path.to_owned())]).await.unwrap_err(), bad);
            let error = s.multi(vec![node("/fine"), node(path)]).await.unwrap_err();
            assert_eq!(error, definite(ZkCode::BadArguments, 1, path));
        }
        for (op, code) in [
            (ZkOp::set_data("/", "", v(-1)), ZkCode::BadArguments),
            (ZkOp::delete("/", None), ZkCode::BadArguments),
            (ZkOp::create("/a", "", ZkAcl::new(vec![])), ZkCode::InvalidAcl),
        ] {
            let path = op.path().to_owned();
            assert_eq!(s.multi(vec![op]).await.unwrap_err(), definite(code, 0, &path));
        }
        assert_eq!(s.get_children("/").await.unwrap().names, Vec::<String>::new());
    }

    pub(super) async fn sync_is_answered(f: Fixture) {
        let (s, other) = (f.session().await, f.session().await);
        other.multi(vec![node("/a")]).await.unwrap();
        let (synced, read) = (s.sync("/"), s.get_data("/a"));
        synced.await.unwrap();
        read.await.unwrap();
        s.sync("/absent").await.unwrap();
    }

    pub(super) async fn lists_are_stored_and_the_creators_needs_an_identity(f: Fixture) {
        let s = f.session().await;
        s.multi(vec![node("/open")]).await.unwrap();
        assert_eq!(s.get_acl("/open").await.unwrap().0, ZkAcl::world_all());
        let own = ZkAcl::new(vec![
            AclEntry { permissions: Permissions::ALL, scheme: "world".into(), id: "anyone".into() },
            AclEntry { permissions: Permissions::READ, scheme: "digest".into(), id: "user:aGFzaA==".into() },
        ]);
        s.multi(vec![ZkOp::create("/own", "", own.clone())]).await.unwrap();
        let (stored, stat) = s.get_acl("/own").await.unwrap();
        assert_eq!((stored, stat.version), (own, v(0)));
        for list in [ZkAcl::creator_all(), ZkAcl::creator_all_world_read()] {
            let error = s.multi(vec![ZkOp::create("/mine", "", list)]).await.unwrap_err();
            assert_eq!(error, definite(ZkCode::InvalidAcl, 0, "/mine"));
        }
        let nonsense = AclEntry { permissions: Permissions::ALL, scheme: "nonsense".into(), id: "x".into() };
        let error = s.multi(vec![ZkOp::create("/mine", "", ZkAcl::new(vec![nonsense]))]).await.unwrap_err();
        assert_eq!(error, definite(ZkCode::InvalidAcl, 0, "/mine"));
    }

    pub(super) async fn only_the_creator_may_use_a_creators_node(f: Fixture) {
        let owner = f.session_as("kafka", "secret").await;
        owner
            .multi(vec![
                ZkOp::create("/secret", "x", ZkAcl::creator_all()),
                ZkOp::create("/readable", "x", ZkAcl::creator_all_world_read()),
            ])
            .await
            .unwrap();
        let stored = owner.get_acl("/secret").await.unwrap().0;
        let [entry] = stored.entries() else { panic!("{stored:?}") };
        assert_eq!((entry.permissions, entry.scheme.as_ref()), (Permissions::ALL, "digest"));
        // base64(sha1("kafka:secret")), as ZooKeeper's DigestAuthenticationProvider makes it.
        assert_eq!(entry.id, "kafka:cHI0nVZW0ogIqS6kVPfrpKU0GoU=");

        for stranger in [f.session().await, f.session_as("kafka", "wrong").await] {
            let refused = |path: &str| ZkError::definite(ZkCode::NoAuth, path);
            assert_eq!(stranger.get_data("/secret").await.unwrap_err(), refused("/secret"));
            assert_eq!(stranger.get_children("/secret").await.unwrap_err(), refused("/secret"));
            assert_eq!(stranger.get_data("/readable").await.unwrap().data, "x");
            let read = |path: &str| ZkRead::Data(path.to_owned());
            let outcomes = stranger.multi_read(vec![read("/secret"), read("/readable")]).await.unwrap();
            assert_eq!(outcomes[0], ReadOutcome::Failed(ZkCode::NoAuth));
            assert!(matches!(&outcomes[1], ReadOutcome::Data(_)));
            for (op, path) in [
                (ZkOp::set_data("/readable", "y", v(9)), "/readable"),
                (ZkOp::check("/secret", v(9)), "/secret"),
                (node("/readable/child"), "/readable/child"),
            ] {
                let error = stranger.multi(vec![ZkOp::check("/", v(0)), op]).await.unwrap_err();
                assert_eq!(error, definite(ZkCode::NoAuth, 1, path));
            }
            assert_eq!(*stranger.state().borrow(), SessionState::Connected, "a refusal ends nothing");
        }
        let owner_again = f.session_as("kafka", "secret").await;
        owner_again.multi(vec![ZkOp::set_data("/secret", "y", v(0))]).await.unwrap();
    }

    pub(super) async fn a_lost_reply_is_unknown_though_applied(f: Fixture) {
        let s = f.session().await;
        f.fail_multi(1, Fault::LoseReply);
        s.multi(vec![node("/answered")]).await.unwrap();
        let error = s.multi(vec![node("/lost")]).await.unwrap_err();
        assert_eq!(error.cause(), Some(UnknownCause::ConnectionLost));
        assert_eq!(*s.state().borrow(), SessionState::Lost);
        let s = s.resume().await.unwrap();
        assert_eq!(s.get_children("/").await.unwrap().names, ["answered", "lost"]);
    }

    pub(super) async fn a_dropped_request_is_unknown_and_not_applied(f: Fixture) {
        let s = f.session().await;
        f.fail_multi(0, Fault::DropRequest);
        let error = s.multi(vec![node("/lost")]).await.unwrap_err();
        assert_eq!(error.cause(), Some(UnknownCause::ConnectionLost));
        let s = s.resume().await.unwrap();
        s.multi(vec![node("/barrier")]).await.unwrap();
        assert_eq!(s.get_children("/").await.unwrap().names, ["barrier"]);
    }

    /// The hole that the crate leaves open, and the reason for one object per connection.
    pub(super) async fn behind_a_lost_request_nothing_reaches_the_server(f: Fixture) {
        for (fault, expected) in [(Fault::DropRequest, 3), (Fault::LoseReply, 4)] {
            let s = f.session().await;
            f.fail_multi(3, fault);
            let requests: Vec<_> = (0..50).map(|i| s.multi(vec![node(&format!("/{i:02}"))])).collect();
            for (i, request) in requests.into_iter().enumerate() {
                assert_eq!(request.await.is_ok(), i < 3, "request {i}, {fault:?}");
            }
            let s = s.resume().await.unwrap();
            let barrier = s.multi(vec![ZkOp::check("/", v(0))]);
            let children = s.get_children("/");
            barrier.await.unwrap();
            let names = children.await.unwrap().names;
            assert_eq!(names.len(), expected, "{fault:?}");
            let clean = names.iter().map(|name| ZkOp::delete(format!("/{name}"), None)).collect();
            s.multi(clean).await.unwrap();
        }
    }

    pub(super) async fn after_a_loss_requests_are_refused_until_the_session_is_resumed(f: Fixture) {
        let s = f.session().await;
        f.cut();
        s.state().wait_for(|state| *state == SessionState::Lost).await.unwrap();
        assert_eq!(s.multi(vec![node("/a")]).await.unwrap_err().cause(), Some(UnknownCause::ConnectionLost));
        assert_eq!(s.exists("/").await.unwrap_err().cause(), Some(UnknownCause::ConnectionLost));
        let resumed = s.resume().await.unwrap();
        resumed.multi(vec![node("/b")]).await.unwrap();
        // The old object stays what it is.
        assert_eq!(s.multi(vec![node("/c")]).await.unwrap_err().cause(), Some(UnknownCause::ConnectionLost));
        assert_eq!(resumed.get_children("/").await.unwrap().names, ["b"]);
    }

    pub(super) async fn a_resumed_session_keeps_its_id_and_its_ephemerals(f: Fixture) {
        let mut s = f.session().await;
        s.multi(vec![ephemeral("/e")]).await.unwrap();
        let id = s.session_id();
        for _ in 0..3 {
            f.cut();
            s.state().wait_for(|state| *state == SessionState::Lost).await.unwrap();
            s = s.resume().await.unwrap();
            assert_eq!(s.session_id(), id);
            assert_eq!(s.exists("/e").await.unwrap().unwrap().ephemeral_owner, id.0);
        }
    }

    pub(super) async fn two_owners_who_resume_get_the_same_successor(f: Fixture) {
        let s = f.session().await;
        let same = s.resume().await.unwrap();
        assert!(Arc::ptr_eq(&s, &same), "it is connected: nothing to resume");
        f.cut();
        s.state().wait_for(|state| *state == SessionState::Lost).await.unwrap();
        let (a, b) = tokio::join!(s.resume(), s.resume());
        let (a, b) = (a.unwrap(), b.unwrap());
        assert!(Arc::ptr_eq(&a, &b) && !Arc::ptr_eq(&a, &s));
        assert!(Arc::ptr_eq(&a, &s.resume().await.unwrap()));
    }

    pub(super) async fn a_closed_session_refuses_and_cannot_be_resumed(f: Fixture) {
        let s = f.session().await;
        let last = s.multi(vec![node("/last")]);
        let closed = s.close();
        let late = s.multi(vec![node("/late")]);
        last.await.unwrap();
        closed.await.unwrap();
        assert_eq!(late.await.unwrap_err().cause(), Some(UnknownCause::Closed));
        assert_eq!(s.resume().await.map(|_| ()).unwrap_err().cause(), Some(UnknownCause::Closed));
        assert!(!s.close().await.is_err_and(|error| error.is_definite()));
        assert_eq!(f.session().await.get_children("/").await.unwrap().names, ["last"]);
    }
}
