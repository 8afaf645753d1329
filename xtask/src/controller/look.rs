//! The first look at a ZooKeeper, before anything is written anywhere.

use std::collections::BTreeSet;

use metadata_core::id::NodeId;
use store_zk::client::{ConnectError, ReadOutcome, ZkCode, ZkConnector, ZkError, ZkRead, ZkSession};
use store_zk::znode::cluster::decode_cluster_id;
use store_zk::znode::path;

use crate::cli::Failure;

/// How many nodes of the root are tried as chroots, for the hint in an error.
const CHROOTS_TRIED_MAX: usize = 200;

/// What the first look saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The connect string.
    pub place: String,
    /// The id in `/cluster/id`.
    pub cluster_id: String,
    /// How many topics there are, those that are being deleted included.
    pub topics: u64,
    /// Names in `/brokers/ids`; Kafka's are numbers.
    pub alive: Vec<String>,
}

impl Seen {
    /// The brokers in `/brokers/ids` by id.
    pub fn alive_ids(&self) -> BTreeSet<NodeId> {
        self.alive.iter().filter_map(|name| name.parse().ok()).map(NodeId).collect()
    }
}

/// Opens a session, sees whose ZooKeeper it is, and closes it. Nothing is written.
///
/// # Errors
/// No session within the connection timeout, no such chroot, credentials that are refused, no Kafka cluster there.
pub async fn look_first(connector: &dyn ZkConnector) -> Result<Seen, Failure> {
    let session = connector.connect().await.map_err(|error| {
        let step = match &error {
            ConnectError::NoChroot { .. } => {
                Some("check the chroot of --zookeeper: it is that of the brokers' zookeeper.connect")
            }
            ConnectError::AuthFailed { .. } => {
                Some("check the credentials in --zookeeper-config: they must be the brokers'")
            }
            ConnectError::Config(_) => Some("correct the configuration"),
            _ => None,
        };
        step.into_iter().fold(Failure::from(error), Failure::next)
    })?;
    let seen = look(session.as_ref(), connector.describe()).await;
    if let Err(error) = session.close().await {
        tracing::debug!("the session of the first look was not closed: {error}");
    }
    seen
}

async fn look(session: &dyn ZkSession, place: String) -> Result<Seen, Failure> {
    let doing = |error: ZkError| Failure::from(error).while_doing(format!("can't look at ZooKeeper at {place}"));
    // What is read may be older than what a broker has just written, unless the server catches up first.
    session.sync("/").await.map_err(doing)?;
    let reads = vec![
        ZkRead::Data(path::CLUSTER_ID.to_owned()),
        ZkRead::Data(path::TOPICS.to_owned()),
        ZkRead::Children(path::BROKER_IDS.to_owned()),
    ];
    let mut outcomes = session.multi_read(reads).await.map_err(doing)?.into_iter();
    let mut next = |path: &str| match outcomes.next() {
        Some(ReadOutcome::Failed(ZkCode::NoNode)) | None => Ok(None),
        Some(ReadOutcome::Failed(code)) => Err(doing(ZkError::definite(code, path))),
        Some(outcome) => Ok(Some(outcome)),
    };
    let (cluster, topics, alive) = (next(path::CLUSTER_ID)?, next(path::TOPICS)?, next(path::BROKER_IDS)?);
    let Some(ReadOutcome::Data(cluster)) = cluster else { return Err(no_cluster(session, &place).await) };
    let cluster_id = decode_cluster_id(&cluster.data).map_err(|error| {
        Failure::failed(format!("{} of ZooKeeper at {place} is not what Kafka writes", path::CLUSTER_ID))
            .because(&error)
            .next("repair the znode, or check that --zookeeper names the brokers' ZooKeeper")
    })?;
    match (topics, alive) {
        (Some(ReadOutcome::Data(topics)), Some(ReadOutcome::Children(alive))) => {
            let topics = u64::try_from(topics.stat.num_children).unwrap_or_default();
            Ok(Seen { place, cluster_id, topics, alive })
        }
        (topics, _) => {
            let missing = if topics.is_none() { path::TOPICS } else { path::BROKER_IDS };
            Err(Failure::failed(format!("the Kafka cluster in ZooKeeper at {place} is not whole"))
                .why(format!("{missing} does not exist, and every broker makes it when it starts"))
                .next("check that --zookeeper names the brokers' ZooKeeper; if it does, restore it from a backup"))
        }
    }
}

/// Says what is missing, and where a cluster is instead, if one level further down there is one.
async fn no_cluster(session: &dyn ZkSession, place: &str) -> Failure {
    let failure = Failure::failed(format!("there is no Kafka cluster in ZooKeeper at {place}"))
        .why(format!("{} does not exist", path::CLUSTER_ID));
    match chroots_below(session).await.unwrap_or_default() {
        found if found.is_empty() => {
            failure.next("check the address and the chroot of --zookeeper: they are the brokers' zookeeper.connect")
        }
        found => failure.next(format!(
            "a cluster is below it: add the chroot, as in {place}{}",
            found.join(&format!(" or {place}"))
        )),
    }
}

async fn chroots_below(session: &dyn ZkSession) -> Result<Vec<String>, ZkError> {
    let names: Vec<_> = session.get_children("/").await?.names.into_iter().take(CHROOTS_TRIED_MAX).collect();
    let reads = names.iter().map(|name| ZkRead::Data(format!("/{name}{}", path::CLUSTER_ID))).collect();
    let outcomes = session.multi_read(reads).await?;
    let there =
        |(name, outcome): (String, ReadOutcome)| matches!(outcome, ReadOutcome::Data(_)).then(|| format!("/{name}"));
    Ok(names.into_iter().zip(outcomes).filter_map(there).collect())
}

/// Every reason for which a controller `node_id` must not take over what was seen; none if it may.
pub fn blockers(seen: &Seen, node_id: NodeId, unserved_brokers: bool) -> Vec<String> {
    let mut reasons = Vec::new();
    if seen.alive_ids().contains(&node_id) {
        reasons.push(format!(
            "node id {node_id} is that of a broker in {}: controllers and brokers share one number space",
            path::BROKER_IDS
        ));
    }
    if !unserved_brokers {
        reasons.extend(seen.alive.iter().map(|id| {
            format!(
                "broker {id} is alive in {} and would be left without a controller: nobody serves it",
                path::BROKER_IDS
            )
        }));
    }
    reasons
}

#[cfg(test)]
mod tests {
    use store_zk::client::{ZkAcl, ZkOp};
    use store_zk::testkit::fake::FakeZooKeeper;

    use super::*;

    /// What is taken for an empty cluster would be migrated as one.
    #[tokio::test]
    async fn a_cluster_that_lost_its_brokers_or_topics_is_not_taken_for_an_empty_one() {
        let id = r#"{"version":"1","id":"c"}"#;
        for lost in ["/brokers/topics", "/brokers/ids", ""] {
            let zookeeper = FakeZooKeeper::new();
            let nodes = ["/cluster", "/cluster/id", "/brokers", "/brokers/topics", "/brokers/ids"];
            let make = nodes.into_iter().filter(|node| *node != lost);
            let data = |node: &str| if node == "/cluster/id" { id } else { "" };
            zookeeper.foreign(make.map(|node| ZkOp::create(node, data(node), ZkAcl::world_all())).collect()).unwrap();
            match look_first(&zookeeper.connector()).await {
                Ok(seen) => assert_eq!((lost, seen.topics), ("", 0)),
                Err(failure) => assert!(!lost.is_empty() && failure.lines().join("\n").contains(lost), "{failure}"),
            }
        }
    }

    fn seen(alive: &[&str]) -> Seen {
        let alive = alive.iter().map(|name| (*name).to_owned()).collect();
        Seen { place: "zk:2181".into(), cluster_id: "c".into(), topics: 1, alive }
    }

    #[test]
    fn live_brokers_block_unless_the_operator_knows() {
        assert_eq!(blockers(&seen(&[]), NodeId(3000), false), Vec::<String>::new());
        let blocked = blockers(&seen(&["1", "2", "odd"]), NodeId(3000), false);
        assert_eq!(blocked.len(), 3, "each is named: {blocked:?}");
        assert!(blocked[2].contains("broker odd"));
        assert_eq!(blockers(&seen(&["1", "2"]), NodeId(3000), true), Vec::<String>::new());
    }

    #[test]
    fn a_node_id_that_is_a_brokers_blocks_always() {
        for known in [false, true] {
            let blocked = blockers(&seen(&["3000"]), NodeId(3000), known);
            assert!(blocked[0].contains("node id 3000 is that of a broker"), "{blocked:?}");
        }
    }
}
