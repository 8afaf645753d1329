//! A cluster in ZooKeeper mode that is filled, stopped and exported, and what of it was touched.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use metadata_core::id::NodeId;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use store_zk::client::config::ZkClientConfig;
use store_zk::client::{ReadOutcome, ZkRead, ZkSession};

use super::boot::{BootSpec, first_user, owners};
use super::lab::failed;
use super::view::{Asked, View, login};
use super::{ClusterSpec, Findings, Lab, PopulateOptions, Populated, ZkModeCluster, populate};
use crate::cli::Failure;
use crate::kafka::{Kafka, Release};
use crate::own::{finished, output, this_program};

/// The controller that takes over.
const NODE_ID: i32 = 3000;

/// Znodes read in one request.
const READS_PER_REQUEST: usize = 500;

/// What an export wrote.
pub(super) struct Exported {
    /// The controller's directory.
    pub(super) dir: PathBuf,
    /// What the verb said.
    pub(super) object: Value,
}

/// A cluster in ZooKeeper mode with everything in it, and how it was.
pub(super) struct Source {
    pub(super) cluster: ZkModeCluster,
    pub(super) made: Populated,
    pub(super) before: View,
    brokers: Vec<i32>,
}

impl Source {
    /// Starts a cluster, fills it, and looks at it with the tools of `judge`. Its first broker has two log directories.
    pub(super) async fn start(
        lab: &Lab,
        name: &str,
        kafka: &Kafka,
        judge: &Kafka,
        brokers: i32,
        partitions: i32,
    ) -> Result<Self, Failure> {
        let mut cluster = ZkModeCluster::start(lab, name, ClusterSpec::new(kafka, brokers)).await?;
        let dirs = [cluster.log_dir(0), cluster.folder().join("data-0-second")];
        let dirs = dirs.map(|dir| dir.display().to_string()).join(",");
        if let Some(first) = cluster.brokers.first_mut() {
            first.stop().await.map_err(failed("a broker does not stop"))?;
            first.properties_mut().set("log.dirs", dirs);
            first.restart().await.map_err(failed("a broker does not start"))?;
        }
        let options = PopulateOptions { partitions, ..PopulateOptions::default() };
        let made = populate(lab, &cluster, &options).await?;
        let (user, password) = first_user(&made)?;
        lab.note("looking at it");
        let asked = Asked {
            kafka: judge,
            bootstrap: cluster.bootstrap(),
            sasl_bootstrap: cluster.sasl_bootstrap(),
            login: login(cluster.folder(), "before", &user, &password, false)?,
            owners: owners(&made),
            is_old: kafka.release() == Release::V2_4,
        };
        let before = View::of(&asked).await?;
        if let Some(kind) = before.empty() {
            return Err(Failure::failed(format!("Kafka's tools show no {kind}, so nothing could be compared")));
        }
        Ok(Self { cluster, made, before, brokers: (0..brokers).collect() })
    }

    pub(super) async fn stop(&mut self) -> Result<(), Failure> {
        self.cluster.stop_brokers().await
    }

    /// The brokers' configuration files.
    fn configs(&self) -> Vec<PathBuf> {
        self.brokers.iter().map(|id| self.cluster.folder().join(format!("broker-{id}.properties"))).collect()
    }

    /// All log directories.
    fn log_dirs(&self) -> Vec<PathBuf> {
        let mut dirs: Vec<_> = self.brokers.iter().map(|id| self.cluster.log_dir(*id)).collect();
        dirs.push(self.cluster.folder().join("data-0-second"));
        dirs
    }

    /// The verb, with what it needs to know of this cluster.
    pub(super) fn command(&self, dir: &Path, more: &[&str]) -> Result<tokio::process::Command, Failure> {
        let mut command = this_program("export")?;
        let configs = self.configs();
        let first = configs.first().ok_or_else(|| Failure::failed("the cluster has no broker"))?;
        command.arg("--zookeeper-config").arg(first).arg("--data-dir").arg(dir);
        command.args(["--node-id", &NODE_ID.to_string()]).args(more);
        for config in &configs {
            command.arg("--broker-config").arg(config);
        }
        if self.cluster.kafka().release() == Release::V2_4 {
            command.arg("--make-topic-ids");
        }
        Ok(command)
    }

    pub(super) fn boot<'a>(&'a self, kafka: &'a Kafka, exported: &'a Exported) -> BootSpec<'a> {
        BootSpec {
            kafka,
            folder: self.cluster.folder(),
            controller_dir: &exported.dir,
            node_id: NodeId(NODE_ID),
            configs: self.configs(),
            is_old: self.cluster.kafka().release() == Release::V2_4,
        }
    }

    /// What is to be seen afterwards: what was seen before, without the configs that the export says are gone.
    pub(super) fn expected(&self, object: &Value) -> View {
        let changes = object["config_changes"].as_array().cloned().unwrap_or_default();
        let changed: Vec<String> = changes
            .iter()
            .filter_map(|change| {
                let topic = change["resource"].as_str()?.strip_prefix("topic ")?;
                Some(format!("{topic} config {}=", change["config"].as_str()?))
            })
            .collect();
        let mut expected = self.before.clone();
        expected.forget(|kind, line| kind == "topics" && changed.iter().any(|start| line.starts_with(start)));
        expected
    }

    /// Exports it as an operator would: tries, looks, then does it, and sees that nothing else was touched.
    pub(super) async fn export(&self, lab: &Lab, findings: &mut Findings) -> Result<Exported, Failure> {
        let dir = self.cluster.folder().join("controller");
        let (znodes, files) = (self.znodes().await?, self.files()?);
        lab.note("export --dry-run");
        let tried = finished("the dry run", self.command(&dir, &["--dry-run", "--convert-brokers"])?).await?;
        if dir.exists() || self.files()? != files {
            findings.broken("a dry run wrote something");
        }
        let aside = self.cluster.folder().join("aside");
        finished("the export alone", self.command(&aside, &[])?).await?;
        if self.files()? != files {
            findings
                .broken("an export that was not told to convert the brokers' directories changed something in them");
        }
        lab.note("export");
        let object = finished("the export", self.command(&dir, &["--convert-brokers"])?).await?;
        for field in ["records", "by_type", "files"] {
            if tried[field] != object[field] {
                findings
                    .broken(format!("{field} of the dry run are {}, and {} were written", tried[field], object[field]));
            }
        }
        for file in object["files"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !Path::new(file).is_file() {
                findings.broken(format!("{file} was to be written, and is not there"));
            }
        }
        self.untouched(&files, &object, findings)?;
        if self.znodes().await? != znodes {
            findings.broken("the ZooKeeper is not as it was");
        }
        let (status, again) = output(self.command(&dir, &["--convert-brokers"])?).await?;
        if status.code() != Some(3) || !again["error"].as_str().is_some_and(|error| error.contains("formatted already"))
        {
            findings.broken(format!("a second export into the same directory was not refused: {again}"));
        }
        Ok(Exported { dir, object })
    }

    /// Every file that the export did not name is what it was, and each backup is what `meta.properties` was.
    fn untouched(&self, before: &Files, object: &Value, findings: &mut Findings) -> Result<(), Failure> {
        let named: Vec<&str> = object["files"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let after = self.files()?;
        for (path, hash) in before {
            let name = path.display().to_string();
            let is_lock = path.file_name().is_some_and(|name| name == ".lock");
            if after.get(path) != Some(hash) && !is_lock && !named.contains(&name.as_str()) {
                findings.broken(format!("{name} was changed, which nobody asked for"));
            }
        }
        for dir in self.log_dirs() {
            let original = before.get(&dir.join("meta.properties"));
            if original.is_none() || after.get(&dir.join(store_kraft::log::BACKUP)) != original {
                findings.broken(format!("{} has no true copy of meta.properties", dir.display()));
            }
        }
        Ok(())
    }

    /// A digest of each file in the log directories.
    fn files(&self) -> Result<Files, Failure> {
        let mut files = Files::new();
        let mut folders = self.log_dirs();
        let unreadable = |error: std::io::Error| Failure::failed("can't read a log directory").because(&error);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).map_err(unreadable)? {
                let path = entry.map_err(unreadable)?.path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let digest = Sha256::digest(fs::read(&path).map_err(unreadable)?);
                    files.insert(path, digest.to_vec());
                }
            }
        }
        Ok(files)
    }

    /// Data and versions of every znode.
    async fn znodes(&self) -> Result<BTreeMap<String, (Vec<u8>, i64)>, Failure> {
        let client = ZkClientConfig::from_connect_string(&self.cluster.zookeeper_connect())?;
        let session = client.connector()?.connect().await?;
        let tree = tree(session.as_ref()).await;
        session.close().await?;
        tree
    }
}

/// Digests of files.
type Files = BTreeMap<PathBuf, Vec<u8>>;

async fn tree(session: &dyn ZkSession) -> Result<BTreeMap<String, (Vec<u8>, i64)>, Failure> {
    let mut tree = BTreeMap::new();
    let mut paths = vec!["/".to_owned()];
    while !paths.is_empty() {
        let mut below = Vec::new();
        for chunk in paths.chunks(READS_PER_REQUEST) {
            let reads = chunk.iter().flat_map(|path| [ZkRead::Data(path.clone()), ZkRead::Children(path.clone())]);
            let mut outcomes = session.multi_read(reads.collect()).await?.into_iter();
            for path in chunk {
                if let Some(ReadOutcome::Data(node)) = outcomes.next() {
                    tree.insert(path.clone(), (node.data.to_vec(), node.stat.mzxid));
                }
                if let Some(ReadOutcome::Children(names)) = outcomes.next() {
                    let parent = path.trim_end_matches('/');
                    below.extend(names.iter().map(|name| format!("{parent}/{name}")));
                }
            }
        }
        // ZooKeeper's own.
        below.retain(|path| path != "/zookeeper");
        paths = below;
    }
    Ok(tree)
}
