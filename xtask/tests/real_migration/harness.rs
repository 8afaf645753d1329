//! A seeded cluster, and the binary on it.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use store_zk::client::config::{Credentials, Secret, ZkClientConfig};
use store_zk::client::{ZkConnector, ZkSession};
use store_zk::testkit::server::{ServerOptions, ZkServer};
use store_zk::testkit::{shared_server, unique_path};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};
use xtask::cli::{Interrupt, Progress};
use xtask::seed::{self, Blueprint, HeldBrokers, Manifest, PASSWORD_ENCODER_SECRET, SeedOptions};

/// How long anything may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// Credentials that a secured cluster is seeded with.
pub(crate) fn owner() -> Credentials {
    Credentials { user: "kafka".into(), password: Secret::new("kafkas-own") }
}

/// A path of the test's own in the shared ZooKeeper, with a cluster in it, and a folder for its files.
pub(crate) struct Cluster {
    pub(crate) place: String,
    pub(crate) manifest: Manifest,
    pub(crate) blueprint: Blueprint,
    folder: TempDir,
    client: ZkClientConfig,
}

/// How a run of the binary ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    /// The last line on stdout, if it is JSON.
    pub(crate) object: Value,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let (stdout, stderr) = (text(output.stdout), text(output.stderr));
        let object = stdout.lines().last().and_then(|line| serde_json::from_str(line).ok()).unwrap_or_default();
        Self { code: output.status.code(), object, stdout, stderr }
    }
}

/// A path in the shared ZooKeeper that nobody else uses, not made yet.
pub(crate) async fn place() -> String {
    format!("{}{}", shared_server().await.unwrap().address(), unique_path())
}

/// Runs `cargo xtask` to its end, away from the async runtime.
pub(crate) async fn xtask(arguments: &[&str]) -> Ended {
    let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    let run = move || Command::new(env!("CARGO_BIN_EXE_xtask")).args(arguments).output().unwrap();
    tokio::task::spawn_blocking(run).await.unwrap().into()
}

/// Runs `cargo xtask`, and kills it on the spot once something is so, unless it has ended by then.
pub(crate) async fn kill_when(arguments: &[&str], mut is_so: impl AsyncFnMut() -> bool) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    let mut child = command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().unwrap().is_none() && !is_so().await {
        assert!(Instant::now() < deadline, "{arguments:?} does not come to the point");
        sleep(Duration::from_millis(2)).await;
    }
    // It may have ended by itself.
    drop(child.kill());
    child.wait().unwrap();
}

impl Cluster {
    pub(crate) async fn seeded(number: u64) -> Self {
        Self::seeded_as(number, None).await
    }

    /// With credentials the znodes get the ACLs of `zookeeper.set.acl`.
    pub(crate) async fn seeded_as(number: u64, owner: Option<Credentials>) -> Self {
        Self::seeded_at(place().await, number, owner).await
    }

    /// In a server of its own, which the test may stop and start.
    pub(crate) async fn seeded_on_its_own(number: u64) -> (Self, ZkServer) {
        let server = ZkServer::start(ServerOptions::default()).await.unwrap();
        (Self::seeded_at(server.address(), number, None).await, server)
    }

    async fn seeded_at(place: String, number: u64, owner: Option<Credentials>) -> Self {
        let options = SeedOptions { topics: 20, partitions_per_topic: 3, seed: number, ..SeedOptions::default() };
        let blueprint = Blueprint::new(options).unwrap();
        let secure = owner.is_some();
        let client = ZkClientConfig { digest: owner, ..ZkClientConfig::from_connect_string(&place).unwrap() };
        seed::ensure_chroot(&client, secure).await.unwrap();
        let session = client.connector().unwrap().connect().await.unwrap();
        let (hidden, never) = (Progress::hidden(), Interrupt::never());
        let manifest = seed::write(session.as_ref(), &blueprint, secure, &hidden, &never).await.unwrap();
        session.close().await.unwrap();
        let cluster = Self { place, manifest, blueprint, folder: tempfile::tempdir().unwrap(), client };
        let properties =
            format!("zookeeper.connect={}\npassword.encoder.secret={PASSWORD_ENCODER_SECRET}\n", cluster.place);
        fs::write(cluster.file("kafka.properties"), properties).unwrap();
        cluster
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.file(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn data_dir(&self) -> String {
        self.path("data")
    }

    pub(crate) async fn connector(&self) -> Arc<dyn ZkConnector> {
        self.client.connector().unwrap()
    }

    pub(crate) async fn session(&self) -> Arc<dyn ZkSession> {
        self.connector().await.connect().await.unwrap()
    }

    pub(crate) async fn hold_brokers(&self) -> HeldBrokers {
        HeldBrokers::register(self.connector().await.as_ref(), self.blueprint.brokers().collect(), false).await.unwrap()
    }

    /// The flags of `migrate` for this cluster and its data directory, then `more`.
    pub(crate) fn migrate_flags(&self, more: &[&str]) -> Vec<String> {
        let own = [
            "migrate".to_owned(),
            "--json".to_owned(),
            "--zookeeper-config".to_owned(),
            self.path("kafka.properties"),
            "--data-dir".to_owned(),
            self.data_dir(),
        ];
        own.into_iter().chain(more.iter().map(|flag| (*flag).to_owned())).collect()
    }

    /// Runs `migrate` to its end.
    pub(crate) async fn migrate(&self, more: &[&str]) -> Ended {
        let flags = self.migrate_flags(more);
        xtask(&flags.iter().map(String::as_str).collect::<Vec<_>>()).await
    }

    /// Runs a verb on the data directory, with `--json`.
    pub(crate) async fn ask(&self, verb: &str, more: &[&str]) -> Ended {
        let data_dir = self.data_dir();
        let flags = [verb, "--json"].into_iter().chain(more.iter().copied()).chain(["--data-dir", &data_dir]);
        xtask(&flags.collect::<Vec<_>>()).await
    }

    /// Like [`Self::ask`], and it must end well.
    pub(crate) async fn get(&self, verb: &str, more: &[&str]) -> Value {
        let ended = self.ask(verb, more).await;
        assert_eq!(ended.code, Some(0), "{verb} {more:?}: {ended:#?}");
        ended.object
    }
}

/// A `migrate` in the background. Dropping it kills it, so that a failed test leaves nothing behind.
pub(crate) struct Running<'a> {
    cluster: &'a Cluster,
    child: Child,
}

impl<'a> Running<'a> {
    /// Starts it, and waits until it is in DUAL_WRITE.
    pub(crate) async fn start(cluster: &'a Cluster) -> Self {
        Self::start_until(cluster, |status| status["driver_state"] == "DUAL_WRITE").await
    }

    /// Starts one whose migration is finalized, and waits until it leads.
    pub(crate) async fn start_finalized(cluster: &'a Cluster) -> Self {
        Self::start_until(cluster, |status| status["decision"] == "FINALIZED").await
    }

    async fn start_until(cluster: &'a Cluster, reached: impl Fn(&Value) -> bool) -> Self {
        let log = fs::File::options().create(true).append(true).open(cluster.file("migrate.log")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_xtask"))
            .args(cluster.migrate_flags(&["--unserved-brokers"]))
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut running = Self { cluster, child };
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = cluster.ask("status", &[]).await;
            if reached(&status.object) {
                return running;
            }
            let log = || fs::read_to_string(cluster.file("migrate.log")).unwrap_or_default();
            assert!(running.child.try_wait().unwrap().is_none(), "migrate has ended: {}", log());
            assert!(Instant::now() < deadline, "{:#?}\n{}", status.object, log());
            sleep(Duration::from_millis(50)).await;
        }
    }

    fn signal(&self, signal: &str) {
        assert!(Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap().success());
    }

    /// Kills it on the spot.
    pub(crate) async fn kill(mut self) {
        self.signal("-KILL");
        self.child.wait().unwrap();
    }

    /// Asks it to stop, and returns its last words.
    pub(crate) async fn stop(self) -> Ended {
        self.signal("-TERM");
        self.ends().await
    }

    /// Waits for its end, which something else has brought about, and returns its last words.
    pub(crate) async fn ends(mut self) -> Ended {
        let child = std::mem::replace(&mut self.child, Command::new("true").spawn().unwrap());
        let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
        let mut ended = Ended::from(output);
        ended.stderr = fs::read_to_string(self.cluster.file("migrate.log")).unwrap();
        ended
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        // Both fail only when it is gone already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
