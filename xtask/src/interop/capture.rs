//! Trees of znodes that real clusters have written, as files that tests of store-zk read.
//!
//! Which clusters there are, and in what state each is captured, is in [`SCENES`].

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use store_zk::client::{ZkCode, ZkError, ZkSession};
use store_zk::testkit::captured::{CapturedTree, CapturedZnode, Origin};
use store_zk::znode::path::{BROKER_IDS, Family, Place};

use super::lab::failed;
use super::populate::UNCLEAN_TOPIC;
use super::{ClusterSpec, Lab, PASSWORD_ENCODER_SECRET, PopulateOptions, ZkModeCluster, leave_half_done, populate};
use crate::cli::Failure;
use crate::kafka::Release;

/// How often a tree is read until it stands still, and how long it is left alone in between.
const READS_MAX: u32 = 60;
const READ_PAUSE: Duration = Duration::from_secs(2);

/// How often a cluster is looked at for what it must do by itself.
const POLLS_MAX: u32 = 60;

/// Brokers of a cluster that is captured.
const BROKERS: i32 = 3;

/// Below which path a captured cluster keeps its metadata.
const CHROOT: &str = "/kafka";

/// A cluster that is captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Scene {
    release: Release,
    /// Whether brokers log in to ZooKeeper and protect what they write.
    secure: bool,
    /// What comes after everything was made.
    acts: &'static [Act],
}

/// What is done to a cluster before it is captured, or captured again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    /// Nothing.
    Populated,
    /// A reassignment and a deletion are left under way.
    HalfDone,
    /// The broker that was stopped for it comes back, when all others are gone that were in sync.
    Unclean,
    /// Brokers are replaced by those of the last release that can migrate.
    Upgraded,
}

/// Every cluster that is captured.
const SCENES: [Scene; 3] = [
    Scene { release: Release::V3_9, secure: false, acts: &[Act::Populated, Act::HalfDone, Act::Unclean] },
    Scene { release: Release::V3_9, secure: true, acts: &[Act::Populated] },
    Scene { release: Release::V2_4, secure: false, acts: &[Act::HalfDone, Act::Upgraded] },
];

/// A file that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captured {
    /// The file.
    pub file: PathBuf,
    /// How many znodes of each family are in it.
    pub families: BTreeMap<Family, u64>,
    /// Its size.
    pub bytes: u64,
}

impl Captured {
    /// How many znodes are in it.
    pub fn znodes(&self) -> u64 {
        self.families.values().sum()
    }
}

impl Scene {
    fn name(self, act: Act) -> String {
        let release = self.release.version();
        let secure = if self.secure { "-secure" } else { "" };
        match act {
            Act::Populated => format!("kafka-{release}{secure}"),
            Act::HalfDone => format!("kafka-{release}{secure}-half-done"),
            Act::Unclean => format!("kafka-{release}{secure}-unclean"),
            Act::Upgraded => format!("kafka-{release}{secure}-upgraded-to-{}", Release::V3_9.version()),
        }
    }

    fn state(self, act: Act) -> &'static str {
        match (act, self.secure) {
            (Act::Populated, false) => "healthy",
            (Act::Populated, true) => "healthy, with zookeeper.set.acl",
            (Act::HalfDone, _) => "one broker of three stopped, a reassignment and a deletion under way",
            (Act::Unclean, _) => "the broker that was stopped is back, and the others are stopped",
            (Act::Upgraded, _) => "as it was under the old release, and then its brokers were upgraded",
        }
    }
}

/// Captures clusters of these releases into files in `out`. Files of the same name are replaced.
///
/// # Errors
/// A cluster does not start, one of Kafka's tools fails, or a file can't be written.
pub async fn capture(lab: &Lab, releases: &[Release], out: &Path) -> Result<Vec<Captured>, Failure> {
    fs::create_dir_all(out)
        .map_err(|error| Failure::failed(format!("can't make {}", out.display())).because(&error))?;
    let mut captured = Vec::new();
    for scene in SCENES.into_iter().filter(|scene| releases.contains(&scene.release)) {
        captured.extend(play(lab, scene, out).await?);
    }
    Ok(captured)
}

async fn play(lab: &Lab, scene: Scene, out: &Path) -> Result<Vec<Captured>, Failure> {
    let kafka = lab.kafka(scene.release).await?;
    let mut spec = ClusterSpec::new(&kafka, BROKERS);
    CHROOT.clone_into(&mut spec.chroot);
    spec.secure = scene.secure;
    let name = if scene.secure { format!("secure-{}", scene.release) } else { scene.release.to_string() };
    let mut cluster = ZkModeCluster::start(lab, &name, spec).await?;
    // Without a login the tool can't write to ZooKeeper about a broker that is not there.
    populate(lab, &cluster, &PopulateOptions { absent_broker: !scene.secure, ..PopulateOptions::default() }).await?;
    let mut captured = Vec::new();
    for &act in scene.acts {
        match act {
            Act::Populated => {}
            Act::HalfDone => drop(leave_half_done(lab, &mut cluster).await?),
            Act::Unclean => elect_uncleanly(&mut cluster).await?,
            Act::Upgraded => upgrade(lab, &mut cluster).await?,
        }
        let tree = CapturedTree {
            origin: Origin::new(scene.release.version(), scene.state(act), PASSWORD_ENCODER_SECRET),
            znodes: still_tree(&cluster).await?,
        };
        captured.push(write(&tree, &out.join(format!("{}.jsonl", scene.name(act))))?);
    }
    Ok(captured)
}

/// Restarts the brokers that run, as brokers of the last release that can migrate, and waits until every topic has an id.
async fn upgrade(lab: &Lab, cluster: &mut ZkModeCluster) -> Result<(), Failure> {
    let kafka = lab.kafka(Release::V3_9).await?;
    lab.note(format_args!("upgrading its brokers to Kafka {}", kafka.release()));
    let running: Vec<usize> = (0..cluster.brokers.len())
        .filter(|&index| cluster.brokers.get(index).is_some_and(|broker| broker.pid().is_some()))
        .collect();
    // All at once: the protocol between brokers changes with the release.
    for &index in &running {
        if let Some(broker) = cluster.brokers.get_mut(index) {
            broker.stop().await.map_err(failed("a broker does not stop"))?;
        }
    }
    for &index in &running {
        if let Some(broker) = cluster.brokers.get_mut(index) {
            broker.upgrade(&kafka);
            broker.restart().await.map_err(failed("a broker does not start after its upgrade"))?;
        }
    }
    until_all(cluster, |place| matches!(place, Place::Topic(_)), "topic_id").await
}

/// Stops the brokers that run and starts the one that was stopped: a topic that allows it gets a leader that was not in
/// sync, which its state says.
async fn elect_uncleanly(cluster: &mut ZkModeCluster) -> Result<(), Failure> {
    let Some((last, others)) = cluster.brokers.split_last_mut() else { return Ok(()) };
    for broker in others {
        broker.stop().await.map_err(failed("a broker does not stop"))?;
    }
    last.restart().await.map_err(failed("a broker does not start again"))?;
    let unclean = |place: &Place<'_>| matches!(place, Place::PartitionState(topic, _) if *topic == UNCLEAN_TOPIC);
    until_all(cluster, unclean, "leader_recovery_state").await
}

/// Waits until all znodes of a kind have this key.
async fn until_all(cluster: &ZkModeCluster, kind: impl Fn(&Place<'_>) -> bool, key: &str) -> Result<(), Failure> {
    for _ in 0..POLLS_MAX {
        let tree = still_tree(cluster).await?;
        let mut found = tree.iter().filter(|(path, _)| kind(&Place::of(path)));
        if found.all(|(_, znode)| String::from_utf8_lossy(&znode.data).contains(&format!("\"{key}\""))) {
            return Ok(());
        }
    }
    Err(Failure::failed(format!("the cluster did not write {key} where it must")))
}

/// The whole tree, once it was the same twice.
async fn still_tree(cluster: &ZkModeCluster) -> Result<BTreeMap<String, CapturedZnode>, Failure> {
    let session = cluster.zookeeper_client()?.connector()?.connect().await?;
    let mut last = tree(&*session).await?;
    for _ in 0..READS_MAX {
        tokio::time::sleep(READ_PAUSE).await;
        let present = tree(&*session).await?;
        if present == last {
            // A session that is left behind ends by itself.
            drop(session.close().await);
            return Ok(present);
        }
        last = present;
    }
    Err(Failure::failed("the tree of znodes does not come to rest"))
}

/// Every znode. What goes while it is read is left out.
async fn tree(session: &dyn ZkSession) -> Result<BTreeMap<String, CapturedZnode>, Failure> {
    let mut found = BTreeMap::new();
    let mut unread = vec!["/".to_owned()];
    while let Some(path) = unread.pop() {
        match znode(session, &path).await {
            Ok((znode, children)) => {
                let parent = if path == "/" { "" } else { path.as_str() };
                unread.extend(children.into_iter().map(|name| format!("{parent}/{name}")));
                if path != "/" {
                    found.insert(path, znode);
                }
            }
            Err(ZkError::Definite { code: ZkCode::NoNode, .. }) => {}
            Err(error) => return Err(Failure::failed(format!("can't read {path}")).because(&error)),
        }
    }
    Ok(found)
}

async fn znode(session: &dyn ZkSession, path: &str) -> Result<(CapturedZnode, Vec<String>), ZkError> {
    let node = session.get_data(path).await?;
    let (acl, _) = session.get_acl(path).await?;
    let children = if node.stat.num_children > 0 { session.get_children(path).await?.names } else { Vec::new() };
    let is_broker = path.strip_prefix(BROKER_IDS).is_some_and(|rest| rest.len() > 1);
    let znode = CapturedZnode {
        data: node.data,
        version: node.stat.version.0,
        cversion: node.stat.cversion,
        czxid: is_broker.then_some(node.stat.czxid),
        ephemeral: node.stat.ephemeral_owner != 0,
        acl,
    };
    Ok((znode, children))
}

fn write(tree: &CapturedTree, file: &Path) -> Result<Captured, Failure> {
    let text = tree.to_text();
    fs::write(file, &text)
        .map_err(|error| Failure::failed(format!("can't write {}", file.display())).because(&error))?;
    let mut families = BTreeMap::new();
    for path in tree.znodes.keys() {
        *families.entry(Place::of(path).family()).or_default() += 1;
    }
    Ok(Captured { file: file.to_owned(), families, bytes: text.len() as u64 })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use store_zk::client::ZkAcl;

    use super::*;

    #[test]
    fn each_state_of_each_cluster_has_a_file_of_its_own() {
        let names: Vec<String> =
            SCENES.iter().flat_map(|scene| scene.acts.iter().map(|&act| scene.name(act))).collect();
        assert_eq!(
            names,
            [
                "kafka-3.9.2",
                "kafka-3.9.2-half-done",
                "kafka-3.9.2-unclean",
                "kafka-3.9.2-secure",
                "kafka-2.4.1-half-done",
                "kafka-2.4.1-upgraded-to-3.9.2"
            ]
        );
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    }

    #[test]
    fn a_file_is_counted_by_family() {
        let folder = tempfile::tempdir().unwrap();
        let data = "{}".into();
        let znode =
            CapturedZnode { data, version: 0, cversion: 0, czxid: None, ephemeral: false, acl: ZkAcl::world_all() };
        let paths = ["/brokers/topics/a", "/brokers/topics/b", "/config/users/u", "/stranger"];
        let znodes = paths.iter().map(|path| ((*path).to_owned(), znode.clone())).collect();
        let tree = CapturedTree { origin: Origin::new("x", "y", "z"), znodes };
        let file = folder.path().join("x.jsonl");
        let captured = write(&tree, &file).unwrap();
        assert_eq!(captured.znodes(), 4);
        assert_eq!(captured.families[&Place::of("/brokers/topics/a").family()], 2);
        assert_eq!(captured.families[&Family::Unknown], 1);
        assert_eq!(CapturedTree::parse(&fs::read_to_string(&file).unwrap()).unwrap(), tree);
    }
}
