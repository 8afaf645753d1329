//! Whether a ZooKeeper is that of a cluster which is stopped, and which nobody else is migrating.

use metadata_core::id::{NodeId, TimestampMs};
use store_zk::client::{NodeData, ReadOutcome, ZkCode, ZkConnector, ZkError, ZkRead, ZkSession};
use store_zk::znode::controller::ControllerZnode;
use store_zk::znode::marker::Marker;
use store_zk::znode::path;

use crate::cli::Failure;
use crate::controller::{Seen, look_first};

/// Of Kafka 2.3 and older tools: a reassignment that was asked for and not begun.
const REASSIGNMENTS: &str = "/admin/reassign_partitions";

/// A cluster as its ZooKeeper shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stopped {
    /// Its id and whereabouts.
    pub seen: Seen,
    /// When a broker last became the controller. The same for as long as nobody changes ZooKeeper: so it is the time of
    /// what is exported, and two exports are alike.
    pub time: TimestampMs,
    /// Why it must not be exported now.
    pub reasons: Vec<String>,
    /// What an operator should know.
    pub notes: Vec<String>,
}

/// Looks whether the cluster of a ZooKeeper is stopped. Nothing is written.
///
/// # Errors
/// As [`look_first`], and when ZooKeeper refuses a read.
pub async fn look(connector: &dyn ZkConnector) -> Result<Stopped, Failure> {
    let seen = look_first(connector).await?;
    let session = connector.connect().await?;
    let read = read(session.as_ref()).await;
    if let Err(error) = session.close().await {
        tracing::debug!("the session of a look was not closed: {error}");
    }
    let nodes = read.map_err(|error: ZkError| Failure::from(error).while_doing("can't look at ZooKeeper"))?;
    let (reasons, notes) = judge(&seen.alive, &nodes);
    let time = nodes.epoch.map_or(TimestampMs(0), |epoch| TimestampMs(epoch.stat.mtime_ms));
    Ok(Stopped { seen, time, reasons, notes })
}

/// The znodes that tell whether somebody is at work.
#[derive(Debug, Default)]
struct Nodes {
    controller: Option<NodeData>,
    marker: Option<NodeData>,
    epoch: Option<NodeData>,
    reassignments: Option<NodeData>,
}

async fn read(session: &dyn ZkSession) -> Result<Nodes, ZkError> {
    let paths = [path::CONTROLLER, path::MIGRATION, path::CONTROLLER_EPOCH, REASSIGNMENTS];
    let outcomes = session.multi_read(paths.iter().map(|path| ZkRead::Data((*path).to_owned())).collect()).await?;
    let mut found = Vec::new();
    for (path, outcome) in paths.iter().zip(outcomes) {
        found.push(match outcome {
            ReadOutcome::Data(node) => Some(node),
            ReadOutcome::Failed(code) if code != ZkCode::NoNode => return Err(ZkError::definite(code, *path)),
            ReadOutcome::Failed(_) | ReadOutcome::Children(_) => None,
        });
    }
    let mut found = found.into_iter();
    let mut next = || found.next().flatten();
    Ok(Nodes { controller: next(), marker: next(), epoch: next(), reassignments: next() })
}

/// Every reason against an export, and what is worth knowing.
fn judge(alive: &[String], nodes: &Nodes) -> (Vec<String>, Vec<String>) {
    let mut reasons: Vec<String> =
        alive.iter().map(|id| format!("broker {id} is alive in {}: stop it", path::BROKER_IDS)).collect();
    let mut notes = Vec::new();
    if let Some(node) = &nodes.controller {
        reasons.push(controller_reason(node));
    }
    match nodes.marker.as_ref().filter(|node| !node.data.is_empty()).map(|node| Marker::decode(Some(&node.data))) {
        // A node without data says nothing: ZooKeeper's tool for access lists makes one (KAFKA-19480).
        None => {}
        Some(Err(reason)) => reasons.push(format!(
            "{} can't be understood ({reason}), so nobody can tell whether ZooKeeper has everything",
            path::MIGRATION
        )),
        Some(Ok(marker)) if marker.copy_is_complete() => reasons.push(format!(
            "{} says that these metadata were copied to a KRaft log up to offset {}: since then that log decides, and \
             ZooKeeper may lack what it has. If that migration was rolled back, delete {0}",
            path::MIGRATION,
            marker.position.last().map_or(-1, |offset| offset.0)
        )),
        Some(Ok(_)) => {
            notes.push(format!("{} is there: a KRaft controller began a migration and copied nothing", path::MIGRATION))
        }
    }
    if nodes.epoch.is_none() {
        notes.push(format!(
            "{} is not there: no broker of this cluster ever was its controller",
            path::CONTROLLER_EPOCH
        ));
    }
    if nodes.reassignments.is_some() {
        notes.push(format!("{REASSIGNMENTS} asks for a reassignment that has not begun: it is not exported"));
    }
    (reasons, notes)
}

fn controller_reason(node: &NodeData) -> String {
    let controller = ControllerZnode::decode(&node.data);
    let id = controller.as_ref().map_or(NodeId::NONE, |controller| controller.id);
    let place = path::CONTROLLER;
    if controller.is_ok_and(|controller| controller.is_kraft()) {
        return format!(
            "KRaft controller {id} has the controller role ({place}): a migration is under way; finish it, or roll it back"
        );
    }
    if node.stat.ephemeral_owner == 0 {
        return format!(
            "{place} names {id} and belongs to no session, so no broker made it: find out who did, and delete it"
        );
    }
    format!("broker {id} is the controller ({place}): stop it, or wait until its session has ended if it was killed")
}

#[cfg(test)]
mod tests {
    use store_zk::client::{ZkAcl, ZkOp};
    use store_zk::testkit::fake::FakeZooKeeper;

    use super::*;

    fn cluster() -> FakeZooKeeper {
        let zookeeper = FakeZooKeeper::new();
        let nodes = [
            ("/cluster", ""),
            ("/cluster/id", r#"{"version":"1","id":"c"}"#),
            ("/brokers", ""),
            ("/brokers/topics", ""),
            ("/brokers/ids", ""),
            ("/controller_epoch", "7"),
            ("/admin", ""),
        ];
        make(&zookeeper, &nodes);
        zookeeper
    }

    fn make(zookeeper: &FakeZooKeeper, nodes: &[(&str, &str)]) {
        let made = nodes.iter().map(|(path, data)| ZkOp::create(*path, (*data).to_owned(), ZkAcl::world_all()));
        zookeeper.foreign(made.collect()).unwrap();
    }

    #[tokio::test]
    async fn a_stopped_cluster_has_nothing_against_it() {
        let zookeeper = cluster();
        let stopped = look(&zookeeper.connector()).await.unwrap();
        assert_eq!((stopped.reasons, stopped.notes), (Vec::new(), Vec::new()));
        assert_eq!(stopped.time, look(&zookeeper.connector()).await.unwrap().time);
    }

    /// Each by itself, and all at once.
    #[tokio::test]
    async fn every_reason_and_every_note_is_told() {
        let marker = |offset: i64| {
            format!(
                r#"{{"version":0,"kraft_controller_id":3000,"kraft_controller_epoch":2,"kraft_metadata_offset":{offset},"kraft_metadata_epoch":2}}"#
            )
        };
        let (copied, begun) = (marker(900), marker(-1));
        let broker = r#"{"version":2,"brokerid":1,"timestamp":"1","kraftControllerEpoch":-1}"#;
        let kraft = r#"{"version":2,"brokerid":3000,"timestamp":"1","kraftControllerEpoch":4}"#;
        let rows: [(&str, &str, Option<&str>, Option<&str>); 8] = [
            ("/brokers/ids/1", "{}", Some("broker 1 is alive"), None),
            ("/brokers/ids/odd", "{}", Some("broker odd is alive"), None),
            ("/controller", broker, Some("belongs to no session"), None),
            ("/controller", kraft, Some("a migration is under way"), None),
            ("/migration", &copied, Some("up to offset 900"), None),
            ("/migration", "{}", Some("can't be understood"), None),
            ("/migration", &begun, None, Some("copied nothing")),
            ("/admin/reassign_partitions", "{}", None, Some("has not begun")),
        ];
        for (path, data, reason, note) in rows {
            let zookeeper = cluster();
            make(&zookeeper, &[(path, data)]);
            let stopped = look(&zookeeper.connector()).await.unwrap();
            for (found, expected) in [(&stopped.reasons, reason), (&stopped.notes, note)] {
                assert_eq!(found.len(), usize::from(expected.is_some()), "{path} {found:?}");
                assert!(expected.is_none_or(|part| found[0].contains(part)), "{path} {found:?}");
            }
        }
        let zookeeper = cluster();
        make(&zookeeper, &[("/brokers/ids/1", "{}"), ("/controller", broker), ("/migration", &copied)]);
        assert_eq!(look(&zookeeper.connector()).await.unwrap().reasons.len(), 3);
    }

    #[test]
    fn an_empty_marker_says_nothing_and_a_live_controller_is_named() {
        let node = |data: &str, ephemeral_owner| {
            let stat = store_zk::client::Stat {
                czxid: 1,
                mzxid: 1,
                ctime_ms: 1,
                mtime_ms: 1,
                version: metadata_core::id::ZkVersion(0),
                cversion: 0,
                ephemeral_owner,
                data_length: 0,
                num_children: 0,
            };
            Some(NodeData { data: data.to_owned().into(), stat })
        };
        let nodes = Nodes { marker: node("", 0), epoch: node("7", 0), ..Nodes::default() };
        assert_eq!(judge(&[], &nodes), (Vec::new(), Vec::new()));
        let nodes =
            Nodes { controller: node(r#"{"version":1,"brokerid":4}"#, 77), epoch: node("7", 0), ..Nodes::default() };
        let (reasons, _) = judge(&[], &nodes);
        assert!(reasons[0].contains("broker 4 is the controller"), "{reasons:?}");
    }
}
