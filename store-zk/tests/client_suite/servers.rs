//! The launcher of real servers, and the proxy in front of them.

use std::time::Duration;

use bytes::Bytes;
use metadata_core::id::ZkVersion;
use store_zk::client::{CreateMode, SessionState, ZkAcl, ZkOp, ZkRead};
use store_zk::client::{NodeData, ReadOutcome};
use store_zk::testkit::proxy::{FaultProxy, Requests};
use store_zk::testkit::server::{ServerOptions, ZkEnsemble, ZkServer};
use store_zk::testkit::unique_path;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::{node, own_server, run, session, shared_server};

#[test]
fn a_killed_server_comes_back_with_its_data_and_its_sessions() {
    run(async {
        let mut server = own_server(ServerOptions::default()).await;
        assert_eq!(server.mode().await.as_deref(), Some("standalone"));
        let s = session(&server.address()).await;
        let (path, data, acl) = ("/e".to_owned(), Bytes::new(), ZkAcl::world_all());
        s.multi(vec![ZkOp::Create { path, data, acl, mode: CreateMode::Ephemeral }]).await.unwrap();
        let (pid, address) = (server.pid().unwrap(), server.address());

        server.kill();
        assert_eq!((server.pid(), server.mode().await), (None, None));
        server.restart().await.unwrap();
        assert_ne!(server.pid().unwrap(), pid);
        assert_eq!(server.address(), address);
        assert!(s.resume().await.unwrap().exists("/e").await.unwrap().is_some());
    });
}

#[test]
fn a_paused_server_is_silent_and_its_client_notices() {
    run(async {
        let server = own_server(ServerOptions::default()).await;
        let s = session(&server.address()).await;
        server.pause().unwrap();
        let request = s.multi(vec![node("/a")]);
        assert!(!request.await.unwrap_err().is_definite(), "by the crate's own heartbeat");
        assert_eq!(*s.state().borrow(), SessionState::Lost);
        server.unpause().unwrap();
        let s = s.resume().await.unwrap();
        // The first request lay in the buffer of a connection that the server closes when the session comes back: it may
        // have read it before or not, which is why the answer above is no definite one.
        s.multi(vec![node("/b")]).await.unwrap();
        assert!(s.exists("/b").await.unwrap().is_some());
    });
}

#[test]
fn a_dropped_server_is_gone_and_so_are_its_files() {
    run(async {
        let server = own_server(ServerOptions::default()).await;
        let (pid, folder) = (server.pid().unwrap(), server.folder().to_path_buf());
        assert!(folder.join("data").exists());
        drop(server);
        assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists() && !folder.exists());
    });
}

#[test]
fn a_server_that_cannot_start_shows_the_end_of_its_log() {
    run(async {
        let options = ServerOptions { extra: vec!["maxSessionTimeout=many".to_owned()], ..ServerOptions::default() };
        shared_server().await;
        let error = ZkServer::start(options).await.map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("ZooKeeper ended at once") && error.contains("many"), "{error}");
    });
}

#[test]
fn a_larger_buffer_takes_larger_requests() {
    run(async {
        let server = own_server(ServerOptions { max_buffer: Some(4 << 20), ..ServerOptions::default() }).await;
        let s = session(&server.address()).await;
        s.multi(vec![ZkOp::create("/big", vec![b'x'; 3 << 20], ZkAcl::world_all())]).await.unwrap();
        assert_eq!(s.get_data("/big").await.unwrap().data.len(), 3 << 20);
    });
}

#[test]
fn an_ensemble_elects_another_leader_when_one_is_killed() {
    run(async {
        let started = ZkEnsemble::start(3, ServerOptions::default()).await;
        let mut ensemble = started.unwrap_or_else(|error| panic!("this test needs a real ZooKeeper: {error}"));
        let first = ensemble.leader().await.unwrap();
        ensemble.servers_mut()[first].kill();
        let second = loop {
            match ensemble.leader().await {
                Some(leader) => break leader,
                None => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        };
        assert_ne!(first, second);
        ensemble.restart(first).await.unwrap();
        assert_eq!(ensemble.servers()[first].mode().await.as_deref(), Some("follower"));
    });
}

#[test]
fn four_letter_commands_pass_the_proxy_and_are_no_requests() {
    run(async {
        let server = shared_server().await;
        assert!(server.four_letter("mntr").await.unwrap().contains("zk_znode_count"));
        let proxy = FaultProxy::start(server.socket_address()).await.unwrap();
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        stream.write_all(b"ruok").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert_eq!((answer.as_str(), proxy.seen(Requests::Any)), ("imok", 0));
    });
}

#[test]
fn the_proxy_counts_requests_and_delays_keep_their_order() {
    run(async {
        let server = shared_server().await;
        let path = unique_path();
        let proxy = FaultProxy::start(server.socket_address()).await.unwrap();
        let s = session(&proxy.address()).await;
        proxy.set_delay(Duration::from_millis(20));
        let created = s.multi(vec![node(&path)]);
        let sets: Vec<_> = (0..50).map(|i| s.multi(vec![ZkOp::set_data(path.clone(), "", ZkVersion(i))])).collect();
        let read = s.get_data(&path);
        created.await.unwrap();
        for set in sets {
            set.await.unwrap();
        }
        assert_eq!(read.await.unwrap().stat.version, ZkVersion(50));
        assert_eq!((proxy.seen(Requests::Multi), proxy.seen(Requests::Any)), (51, 52));
    });
}

/// Kafka's parents have null data. The client can't write it, so this speaks ZooKeeper's protocol by hand.
#[test]
fn null_data_reads_as_empty() {
    run(async {
        let server = shared_server().await;
        let path = unique_path();
        create_with_null_data(server, &path).await;
        let s = session(&server.address()).await;
        let NodeData { data, stat } = s.get_data(&path).await.unwrap();
        assert_eq!((data.len(), stat.data_length, stat.version), (0, 0, ZkVersion(0)));
        let read = s.multi_read(vec![ZkRead::Data(path.clone())]).await.unwrap();
        assert_eq!(read, [ReadOutcome::Data(NodeData { data: Bytes::new(), stat })]);
        s.multi(vec![ZkOp::set_data(path, "x", ZkVersion(0))]).await.unwrap();
    });
}

async fn create_with_null_data(server: &ZkServer, path: &str) {
    fn string(text: &str) -> Vec<u8> {
        [&i32::try_from(text.len()).unwrap().to_be_bytes()[..], text.as_bytes()].concat()
    }
    async fn exchange(stream: &mut TcpStream, body: Vec<u8>) -> Vec<u8> {
        let length = u32::try_from(body.len()).unwrap();
        stream.write_all(&[&length.to_be_bytes()[..], &body].concat()).await.unwrap();
        let length = stream.read_u32().await.unwrap();
        let mut answer = vec![0; length as usize];
        stream.read_exact(&mut answer).await.unwrap();
        answer
    }
    let mut stream = TcpStream::connect(server.socket_address()).await.unwrap();
    // Protocol version, last zxid, timeout, session id, password.
    let connect = [&[0; 12][..], &4_000_i32.to_be_bytes(), &[0; 8], &16_i32.to_be_bytes(), &[0; 16]].concat();
    exchange(&mut stream, connect).await;
    // xid 1, create (1), path, null, one ACL entry (all, world, anyone), persistent.
    let create = [
        &1_i32.to_be_bytes()[..],
        &1_i32.to_be_bytes(),
        &string(path),
        &(-1_i32).to_be_bytes(),
        &1_i32.to_be_bytes(),
        &31_i32.to_be_bytes(),
        &string("world"),
        &string("anyone"),
        &0_i32.to_be_bytes(),
    ]
    .concat();
    let answer = exchange(&mut stream, create).await;
    assert_eq!(&answer[12..16], [0; 4], "the server's error code");
}
