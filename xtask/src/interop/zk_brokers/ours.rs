//! Our controller beside the brokers: `migrate` as a child, and the verbs that talk to it.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use metadata_core::id::{BrokerEpoch, NodeId};
use metadata_core::image::BrokerRegistration;
use serde_json::Value;
use store_zk::client::ZkOp;
use store_zk::client::config::ZkClientConfig;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use super::super::{PASSWORD_ENCODER_SECRET, ZkModeCluster};
use crate::cli::Failure;
use crate::controller::LogOnDisk;
use crate::kafka::{Properties, tail};
use crate::own::{Counts, counted, end, finished, output, this_program, wait_for_dual_write};

/// How long a controller may take to end once it was rolled back.
const ENDS_WITHIN: Duration = Duration::from_secs(60);

/// How long the log may take to have a broker that has just started.
const REGISTERED_WITHIN: Duration = Duration::from_secs(60);

const PAUSE: Duration = Duration::from_millis(100);

/// Our controller, in dual write with the ZooKeeper of a cluster. Dropping it kills it.
pub(in crate::interop) struct Ours {
    zookeeper: String,
    config: PathBuf,
    data_dir: PathBuf,
    said: PathBuf,
    child: Child,
}

impl Ours {
    /// Takes the controllership from the cluster's brokers, copies, and goes on in dual write.
    pub(in crate::interop) async fn take_over(cluster: &ZkModeCluster) -> Result<Self, Failure> {
        Self::take_over_in(cluster, "ours").await
    }

    /// The same, with a data directory of this name.
    pub(in crate::interop) async fn take_over_in(cluster: &ZkModeCluster, name: &str) -> Result<Self, Failure> {
        Self::take_over_with(cluster, name, &["--unserved-brokers".to_owned()]).await
    }

    /// The same, as controller `id` that serves the brokers at this port.
    pub(in crate::interop) async fn serving(
        cluster: &ZkModeCluster,
        name: &str,
        id: i32,
        port: u16,
    ) -> Result<Self, Failure> {
        let listener = format!("localhost:{port}");
        let arguments = ["--node-id", &id.to_string(), "--broker-listener", &listener].map(str::to_owned);
        Self::take_over_with(cluster, name, &arguments).await
    }

    async fn take_over_with(cluster: &ZkModeCluster, name: &str, arguments: &[String]) -> Result<Self, Failure> {
        let place = |ending: &str| cluster.folder().join(format!("{name}{ending}"));
        let (config, data_dir, said) = (place(".properties"), place(""), place(".log"));
        let zookeeper = cluster.zookeeper_connect();
        let settings = Properties::new()
            .with("zookeeper.connect", &zookeeper)
            .with("zookeeper.session.timeout.ms", 30_000)
            .with("password.encoder.secret", PASSWORD_ENCODER_SECRET);
        let unwritten = |error| Failure::failed(format!("can't write {}", config.display())).because(&error);
        settings.write(&config).map_err(unwritten)?;
        let mut command = this_program("migrate")?;
        command.args(arguments).arg("--zookeeper-config").arg(&config).arg("--data-dir").arg(&data_dir);
        let log = OpenOptions::new().create(true).append(true).mode(0o600).open(&said);
        let log = log.map_err(|error| Failure::failed(format!("can't write {}", said.display())).because(&error))?;
        command.stdout(Stdio::null()).stderr(log);
        let child = command.spawn().map_err(|error| Failure::failed("can't start migrate").because(&error))?;
        let mut ours = Self { zookeeper, config, data_dir, said, child };
        let reached = wait_for_dual_write(&ours.data_dir, &mut ours.child).await;
        reached.map_err(|failure| failure.why(end_of(&ours.said)))?;
        Ok(ours)
    }

    fn command(&self, verb: &str) -> Result<Command, Failure> {
        let mut command = this_program(verb)?;
        command.arg("--data-dir").arg(&self.data_dir);
        Ok(command)
    }

    /// Waits until our log has a live broker as one in ZooKeeper mode, in a registration after `earlier`. Returns its epoch.
    pub(in crate::interop) async fn registered(
        &self,
        id: NodeId,
        earlier: Option<BrokerEpoch>,
    ) -> Result<BrokerEpoch, Failure> {
        let deadline = Instant::now() + REGISTERED_WITHIN;
        loop {
            let found = LogOnDisk::read(&self.data_dir, None)?.image.cluster().broker(id).cloned();
            let is_new = |it: &BrokerRegistration| earlier.is_none_or(|earlier| it.epoch > earlier);
            if let Some(it) = found.as_ref().filter(|it| it.is_migrating_zk_broker && !it.fenced && is_new(it)) {
                return Ok(it.epoch);
            }
            if Instant::now() > deadline {
                return Err(Failure::failed(format!("broker {id} runs, and is not registered in our log"))
                    .why(format!("the log has {found:?}, its registration before was {earlier:?}"))
                    .why(end_of(&self.said)));
            }
            sleep(PAUSE).await;
        }
    }

    /// Sees that a broker which is too old for a migration is not in our log, and that `status` says why.
    pub(in crate::interop) async fn kept_out(&self, id: NodeId) -> Result<(), Failure> {
        let status = finished("status", self.command("status")?).await?;
        let unready = status.get("unready").and_then(Value::as_array);
        let said = unready.into_iter().flatten().find(|it| it.get("id").and_then(Value::as_i64) == Some(id.0.into()));
        // A reason, or a warning where the operator has said that brokers may be left behind.
        let reasons = said.map(Value::to_string).unwrap_or_default();
        let registered = LogOnDisk::read(&self.data_dir, None)?.image.cluster().broker(id).is_some();
        if reasons.contains("has inter.broker.protocol.version") && !registered {
            return Ok(());
        }
        Err(Failure::failed(format!("broker {id} is too old, and is not kept out of our log by name"))
            .why(format!("in our log: {registered}; `status` says {status}")))
    }

    /// Makes a change, given as it is typed behind `change`.
    pub(in crate::interop) async fn change(&self, words: &[String]) -> Result<(), Failure> {
        let mut command = self.command("change")?;
        command.args(words);
        finished(&format!("change {}", words.join(" ")), command).await.map(drop)
    }

    /// Compares every znode. The counts, and the object as it was printed if they are not those of equal sides.
    pub(in crate::interop) async fn verify(&self) -> Result<(Counts, Option<Value>), Failure> {
        let mut command = self.command("verify")?;
        command.arg("--zookeeper-config").arg(&self.config);
        let (status, object) = output(command).await?;
        let counts = counted(&object);
        match counts {
            Some(counts) if status.success() && counts.compared > 0 && counts.divergent == 0 => Ok((counts, None)),
            Some(counts) => Ok((counts, Some(object))),
            None => Err(Failure::failed(format!("verify counted nothing ({status})")).why(object.to_string())),
        }
    }

    /// Finalizes the migration.
    pub(in crate::interop) async fn finalize(&self) -> Result<(), Failure> {
        let mut command = self.command("finalize")?;
        command.arg("--zookeeper-config").arg(&self.config);
        finished("finalize", command).await.map(drop)
    }

    /// Rolls back: the controller that runs does it, or the verb by itself after the controller was killed. Returns the
    /// verb's object, once the controller has ended, and well if it was not killed.
    pub(in crate::interop) async fn roll_back(mut self, killed_first: bool) -> Result<Value, Failure> {
        if killed_first {
            end(&mut self.child).await;
        }
        let mut command = self.command("rollback")?;
        command.arg("--zookeeper-config").arg(&self.config).args(["--election-seconds", "120"]);
        let object = finished("rollback", command).await?;
        if !killed_first {
            let ended = tokio::time::timeout(ENDS_WITHIN, self.child.wait()).await;
            let ended = ended.map_err(|_| Failure::failed("the controller that was rolled back does not end"))?;
            let status = ended.map_err(|error| Failure::failed("can't watch migrate").because(&error))?;
            if !status.success() {
                return Err(Failure::failed(format!("the controller that was rolled back ended with {status}"))
                    .why(end_of(&self.said)));
            }
        }
        Ok(object)
    }

    /// Ends our controller and takes its claim out of ZooKeeper, as an operator does who goes back: a broker becomes the
    /// controller again, with what ZooKeeper holds.
    pub(in crate::interop) async fn go_back(mut self) -> Result<(), Failure> {
        end(&mut self.child).await;
        let session = ZkClientConfig::from_connect_string(&self.zookeeper)?.connector()?.connect().await?;
        session.multi(vec![ZkOp::delete("/controller", None)]).await?;
        // It goes by itself, too.
        drop(session.close().await);
        Ok(())
    }
}

/// The end of what a program said.
fn end_of(file: &Path) -> String {
    tail(&fs::read_to_string(file).unwrap_or_default(), 8)
}
