//! `cargo xtask zookeeper`, by the binary as people run it.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test, as the tests do")]

use std::io::{BufRead, BufReader, Read as _};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;
use store_zk::client::config::ZkClientConfig;
use store_zk::client::{ZkAcl, ZkOp};

/// A running `cargo xtask zookeeper`. Dropping it kills it, so that a failed test leaves nothing behind.
struct Foreground {
    child: Child,
    stdout: BufReader<ChildStdout>,
    ready: Value,
}

impl Foreground {
    /// Starts it and waits for the object that says that it is ready.
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_xtask"))
            .args(["zookeeper", "--json", "--heap", "256m"])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let ready = serde_json::from_str(&line).unwrap();
        Self { child, stdout, ready }
    }

    fn connect(&self) -> String {
        self.ready["connect"].as_str().unwrap().to_owned()
    }

    /// Asks it to stop. Returns its exit code and what else it printed on stdout.
    fn stop(mut self, signal: &str) -> (Option<i32>, String) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        let code = self.child.wait().unwrap().code();
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        (code, rest)
    }

    fn server_pids(&self) -> Vec<u64> {
        self.ready["servers"].as_array().unwrap().iter().map(|server| server["pid"].as_u64().unwrap()).collect()
    }
}

impl Drop for Foreground {
    fn drop(&mut self) {
        // Both fail only when it is gone already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn runs(pid: u64) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}

async fn create(connect: &str, path: &str) {
    let connector = ZkClientConfig::from_connect_string(connect).unwrap().connector().unwrap();
    let session = connector.connect().await.unwrap();
    session.multi(vec![ZkOp::create(path, "", ZkAcl::world_all())]).await.unwrap();
    session.close().await.unwrap();
}

async fn children(connect: &str) -> Vec<String> {
    let connector = ZkClientConfig::from_connect_string(connect).unwrap().connector().unwrap();
    let session = connector.connect().await.unwrap();
    let names = session.get_children("/").await.unwrap().names;
    session.close().await.unwrap();
    names
}

#[tokio::test]
async fn data_are_kept_where_asked_and_one_process_holds_them() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let data = data.to_str().unwrap();
    let first = Foreground::start(&["--data-dir", data]);
    assert_eq!(first.ready["ok"], true);
    create(&first.connect(), "/kept").await;

    let second = Command::new(env!("CARGO_BIN_EXE_xtask")).args(["zookeeper", "--data-dir", data]).output().unwrap();
    assert_eq!(second.status.code(), Some(3), "{}", String::from_utf8_lossy(&second.stderr));

    let pids = first.server_pids();
    assert!(pids.iter().all(|pid| runs(*pid)));
    assert_eq!(first.stop("-TERM"), (Some(0), String::new()));
    assert!(!pids.iter().any(|pid| runs(*pid)));
    let third = Foreground::start(&["--data-dir", data]);
    assert_eq!(children(&third.connect()).await, ["kept", "zookeeper"]);
    assert_eq!(third.stop("-INT"), (Some(0), String::new()));
}

#[tokio::test]
async fn a_given_port_is_the_one_that_answers() {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port().to_string();
    let zookeeper = Foreground::start(&["--port", &port]);
    assert_eq!(zookeeper.connect(), format!("127.0.0.1:{port}"));
    assert_eq!(children(&zookeeper.connect()).await, ["zookeeper"]);
    let taken = Command::new(env!("CARGO_BIN_EXE_xtask")).args(["zookeeper", "--port", &port]).output().unwrap();
    assert_eq!(taken.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&taken.stderr).contains("name another --port"));
    assert_eq!(zookeeper.stop("-TERM"), (Some(0), String::new()));
}

#[tokio::test]
async fn a_server_that_ends_by_itself_is_a_failure() {
    let mut zookeeper = Foreground::start(&[]);
    for pid in zookeeper.server_pids() {
        assert!(Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap().success());
    }
    assert_eq!(zookeeper.child.wait().unwrap().code(), Some(1));
    let mut last = String::new();
    zookeeper.stdout.read_to_string(&mut last).unwrap();
    let failure: Value = serde_json::from_str(&last).unwrap();
    assert_eq!(failure["ok"], false);
}

mod on_an_ensemble {
    use super::*;

    #[tokio::test]
    async fn it_survives_the_loss_of_one_server_of_three() {
        let zookeeper = Foreground::start(&["--ensemble", "3"]);
        let pids = zookeeper.server_pids();
        assert_eq!(pids.len(), 3);
        create(&zookeeper.connect(), "/before").await;
        assert!(Command::new("kill").args(["-KILL", &pids[0].to_string()]).status().unwrap().success());
        assert_eq!(children(&zookeeper.connect()).await, ["before", "zookeeper"]);
        assert_eq!(zookeeper.stop("-TERM"), (Some(0), String::new()));
    }
}
