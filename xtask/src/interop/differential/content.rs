//! ZooKeeper content that two controllers migrate, each on a copy of its own.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use store_zk::client::config::ZkClientConfig;
use store_zk::client::{ZkAcl, ZkCode, ZkOp};
use store_zk::testkit::server::{ServerOptions, ZkServer};
use tokio::time::{Instant, sleep};

use super::super::lab::{Lab, failed};
use super::super::populate::{PopulateOptions, leave_half_done, populate};
use super::super::{ClusterSpec, PASSWORD_ENCODER_SECRET, ZkModeCluster};
use super::odd::ODD;
use crate::cli::{Failure, start_zookeeper};
use crate::kafka::{Kafka, Properties};
use crate::own;

/// What a ZooKeeper server keeps its znodes in, below its folder.
const DATA: &str = "data";

/// The parent of all topics.
const TOPICS: &str = "/brokers/topics";

/// How long the ids of topics may take to be there.
const TOPIC_IDS_MAX: Duration = Duration::from_secs(60);

/// Znodes whose reads are on their way at the same time.
const READS_AT_ONCE: usize = 200;

/// Partitions from which on the content is a large one.
const LARGE: u64 = 5_000;

/// How the content comes about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seeded {
    /// How it is called.
    pub(super) name: &'static str,
    /// Ordinary topics.
    pub(super) topics: u32,
    /// Partitions of each.
    pub(super) partitions_per_topic: u32,
    /// Whether to add [`ODD`] znodes.
    pub(super) odd: bool,
    /// Znodes on top of all. Those that are there already are overwritten.
    pub(super) extra: &'static [Znode],
    /// Whether the controllers know the secret of the brokers' passwords.
    pub(super) secret: bool,
}

/// Path, data, and what it is good for.
pub(super) type Znode = (&'static str, &'static str, &'static str);

/// The data of a ZooKeeper that does not run any more.
#[derive(Debug)]
pub(super) struct Content {
    /// How it is called.
    pub(super) name: String,
    /// The folder of the server that had it.
    folder: PathBuf,
    /// Brokers that are part of the cluster.
    pub(super) brokers: Vec<i32>,
    /// What both controllers must be configured with: the brokers' own settings of secrets.
    pub(super) settings: Properties,
    /// How large it is.
    size: Size,
}

/// What servers need for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Size {
    Small,
    Large,
}

impl Size {
    fn of(partitions: u64) -> Self {
        if partitions < LARGE { Self::Small } else { Self::Large }
    }

    /// Java's largest heap.
    pub(super) fn heap(self) -> &'static str {
        match self {
            Self::Small => "512m",
            Self::Large => "1g",
        }
    }
}

impl Content {
    /// Makes a cluster up.
    pub(super) async fn seed(lab: &Lab, seeded: Seeded) -> Result<Self, Failure> {
        let Seeded { name, topics, partitions_per_topic, odd, extra, secret } = seeded;
        let folder = lab.folder(&format!("{name}-content"))?;
        let partitions = u64::from(topics) * u64::from(partitions_per_topic);
        let size = Size::of(partitions);
        let mut server = serve(lab, &folder, size).await?;
        let mut command = own::this_program("seed")?;
        command.args(["--zookeeper", &server.address(), "--topics", &topics.to_string()]);
        command.args(["--partitions-per-topic", &partitions_per_topic.to_string()]);
        command.arg("--manifest").arg(folder.join("manifest.json"));
        let object = own::finished("the seed", command).await?;
        let not_told = |what| Failure::failed(format!("the seed does not say {what}"));
        let brokers = object.pointer("/manifest/brokers").and_then(|brokers| brokers.as_array());
        let brokers = brokers.into_iter().flatten().filter_map(|id| i32::try_from(id.as_i64()?).ok());
        let brokers: Vec<i32> = brokers.collect();
        if brokers.is_empty() {
            return Err(not_told("which brokers there are"));
        }
        let mut settings = Properties::new();
        if secret {
            let secret = object.get("password_encoder_secret").and_then(|secret| secret.as_str());
            settings.set("password.encoder.secret", secret.ok_or_else(|| not_told("its secret"))?);
        }
        let odd = if odd { ODD } else { &[] };
        write(&server, odd.iter().chain(extra)).await?;
        server.kill();
        Ok(Self { name: name.to_owned(), folder, brokers, settings, size })
    }

    /// Has real brokers of a release make it, with every kind of metadata, a reassignment and a deletion under way. If
    /// `upgraded` is another release, the brokers are then started with that, but for the one that both wait for.
    pub(super) async fn real(lab: &Lab, name: &str, first: &Kafka, upgraded: &Kafka) -> Result<Self, Failure> {
        let mut cluster = ZkModeCluster::start(lab, &format!("{name}-cluster"), ClusterSpec::new(first, 3)).await?;
        populate(lab, &cluster, &PopulateOptions { absent_broker: false, ..PopulateOptions::default() }).await?;
        let half_done = leave_half_done(lab, &mut cluster).await?;
        cluster.stop_brokers().await?;
        if upgraded.release() != first.release() {
            lab.note(format_args!("upgrading the brokers to Kafka {}", upgraded.release()));
            for broker in &mut cluster.brokers {
                if broker.spec().properties.get("broker.id") != Some(&half_done.stopped.to_string()) {
                    broker.upgrade(upgraded);
                    broker.restart().await.map_err(failed("a broker does not start after its upgrade"))?;
                }
            }
            wait_for_topic_ids(&cluster.zookeeper, &half_done.doomed).await?;
            cluster.stop_brokers().await?;
        }
        cluster.zookeeper.kill();
        let folder = lab.folder(&format!("{name}-content"))?;
        copy_data(cluster.zookeeper.folder(), &folder).await?;
        let brokers =
            cluster.brokers.iter().filter_map(|broker| broker.spec().properties.get("broker.id")?.parse().ok());
        let settings = Properties::new().with("password.encoder.secret", PASSWORD_ENCODER_SECRET);
        Ok(Self { name: name.to_owned(), folder, brokers: brokers.collect(), settings, size: Size::Small })
    }

    /// How large it is.
    pub(super) fn size(&self) -> Size {
        self.size
    }

    /// A server on a copy of it: the same znodes with the same versions.
    pub(super) async fn thaw(&self, lab: &Lab, copy: &str) -> Result<ZkServer, Failure> {
        let folder = lab.folder(&format!("{}-{copy}-zookeeper", self.name))?;
        copy_data(&self.folder, &folder).await?;
        let server = serve(lab, &folder, self.size).await?;
        warm_up(&server).await?;
        Ok(server)
    }
}

/// Copies the data of a server that does not run to the folder of another one.
async fn copy_data(from: &Path, to: &Path) -> Result<(), Failure> {
    let (from, to) = (from.join(DATA), to.join(DATA));
    let copied = tokio::task::spawn_blocking(move || copy_folder(&from, &to)).await;
    let failed = || Failure::failed("can't copy the data of a ZooKeeper");
    copied.map_err(|error| failed().because(&error))?.map_err(|error| failed().because(&error))
}

/// The first controller of 2.8 or later gives an id to each topic that has none, but for those that are being deleted.
async fn wait_for_topic_ids(server: &ZkServer, doomed: &str) -> Result<(), Failure> {
    let session = client(server)?.connector()?.connect().await?;
    let deadline = Instant::now() + TOPIC_IDS_MAX;
    loop {
        let mut without = Vec::new();
        for topic in session.get_children(TOPICS).await?.names {
            let znode = session.get_data(&format!("{TOPICS}/{topic}")).await?;
            let json: Value = serde_json::from_slice(&znode.data).unwrap_or_default();
            if topic != doomed && json.get("topic_id").is_none() {
                without.push(topic);
            }
        }
        if without.is_empty() {
            break;
        }
        if Instant::now() > deadline {
            return Err(Failure::failed("topics got no ids after the upgrade").why(without.join(", ")));
        }
        sleep(Duration::from_millis(500)).await;
    }
    if let Err(error) = session.close().await {
        tracing::debug!("the session was not closed: {error}");
    }
    Ok(())
}

/// Reads every znode once: Java is slow at first, and both migrations are measured on a server that is not.
async fn warm_up(server: &ZkServer) -> Result<(), Failure> {
    let session = client(server)?.connector()?.connect().await?;
    let mut found = vec![String::new()];
    while !found.is_empty() {
        let mut next = Vec::new();
        for some in found.chunks(READS_AT_ONCE) {
            let read = some.iter().map(|path| {
                let path = if path.is_empty() { "/" } else { path };
                async { tokio::try_join!(session.get_children(path), session.get_data(path)) }
            });
            for (path, (children, _)) in some.iter().zip(futures::future::try_join_all(read).await?) {
                next.extend(children.names.iter().map(|name| format!("{path}/{name}")));
            }
        }
        found = next;
    }
    if let Err(error) = session.close().await {
        tracing::debug!("the session was not closed: {error}");
    }
    Ok(())
}

async fn serve(lab: &Lab, folder: &Path, size: Size) -> Result<ZkServer, Failure> {
    let options = ServerOptions {
        folder: Some(folder.to_owned()),
        heap: size.heap().to_owned(),
        // Sessions must outlive a busy machine: up to 60 s.
        tick: Duration::from_secs(3),
        // Both controllers are measured on it, in the same way.
        quick_start: size == Size::Small,
        ..ServerOptions::default()
    };
    start_zookeeper(options, lab.shell()).await
}

async fn write(server: &ZkServer, znodes: impl Iterator<Item = &Znode>) -> Result<(), Failure> {
    let session = client(server)?.connector()?.connect().await?;
    for &(path, data, _) in znodes {
        let create = session.multi(vec![ZkOp::create(path, data, ZkAcl::world_all())]).await;
        let written = match create {
            Err(error) if error.code() == Some(ZkCode::NodeExists) => {
                session.multi(vec![ZkOp::set_data(path, data, None)]).await
            }
            written => written,
        };
        written.map_err(|error| Failure::from(error).while_doing(format!("can't write {path}")))?;
    }
    if let Err(error) = session.close().await {
        tracing::debug!("the session was not closed: {error}");
    }
    Ok(())
}

/// The configuration of a client of this server.
pub(super) fn client(server: &ZkServer) -> Result<ZkClientConfig, Failure> {
    let mut config = ZkClientConfig::from_connect_string(&server.address())?;
    config.session_timeout = Duration::from_secs(60);
    Ok(config)
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_copied_with_what_is_below_it() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        std::fs::create_dir_all(from.join("version-2")).unwrap();
        std::fs::write(from.join("version-2/log.1"), "znodes").unwrap();
        std::fs::write(from.join("myid"), "1").unwrap();
        copy_folder(&from, &to).unwrap();
        assert_eq!(std::fs::read_to_string(to.join("version-2/log.1")).unwrap(), "znodes");
        assert_eq!(std::fs::read_to_string(to.join("myid")).unwrap(), "1");
    }
}
