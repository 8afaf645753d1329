//! Finalization: the migration's last step, after which nothing leads back (KIP-866). Kafka's is one election of a
//! controller without the flag, with no check at all; here it is guarded.
//!
//! | guard | refused while |
//! | --- | --- |
//! | brokers | one is alive in `/brokers/ids`, is registered as a ZooKeeper-mode broker, or has replicas and is not registered as a KRaft broker |
//! | controllers | another voter has `zookeeper.metadata.migration.enable`, or has not told |
//! | divergence | a znode differs from what the log says |
//! | lag | ZooKeeper lacks a record: POST_MIGRATION is appended at exactly the offset that ZooKeeper confirmed |

use std::collections::BTreeMap;
use std::fmt;

use metadata_core::brokers::BrokerPresence;
use metadata_core::error::{Error, ErrorKind};
use metadata_core::id::{NodeId, Position};
use metadata_core::image::MetadataImage;
use metadata_core::projection::Comparison;

use crate::driver::{PeerFlags, Peers};

/// Znodes that a refusal names; all are counted.
pub(crate) const DIFFERENCES_NAMED: usize = 10;

/// Something that forbids finalization.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Blocker {
    /// A ZooKeeper-mode broker is alive: it would get no metadata any more (KAFKA-20960).
    AliveInZooKeeper(NodeId),
    /// A broker is registered as a ZooKeeper-mode broker.
    RegisteredInZooKeeperMode {
        /// Which.
        id: NodeId,
        /// Whether it is fenced, as one that is gone is.
        fenced: bool,
    },
    /// A broker has replicas and is not registered as a KRaft broker.
    NotMigrated {
        /// Which.
        id: NodeId,
        /// How many replicas.
        replicas: u64,
    },
    /// Who is in `/brokers/ids` can't be told now.
    BrokersUnknown,
    /// Another controller has the flag, or has not told: in words.
    Controller(String),
    /// Znodes differ from what the log says.
    Divergent {
        /// How many.
        znodes: u64,
        /// The first of them, by path.
        first: Vec<String>,
    },
    /// The log grew again each time ZooKeeper had caught up.
    LogKeepsGrowing {
        /// How often it was tried.
        attempts: u32,
    },
}

impl fmt::Display for Blocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AliveInZooKeeper(id) => {
                write!(f, "broker {id} is alive in /brokers/ids: restart it in KRaft mode first")
            }
            Self::RegisteredInZooKeeperMode { id, fenced } => write!(
                f,
                "broker {id} is registered in ZooKeeper mode{}: restart it in KRaft mode, or unregister it if it is gone for good",
                if *fenced { " and fenced" } else { "" }
            ),
            Self::NotMigrated { id, replicas } => write!(
                f,
                "broker {id} has {replicas} replicas and is not registered in KRaft mode: start it in KRaft mode, or move \
                 its replicas away"
            ),
            Self::BrokersUnknown => f.write_str("who is in /brokers/ids can't be told now: try again"),
            Self::Controller(text) => write!(f, "{text}: restart it without the flag first"),
            Self::Divergent { znodes, first } => write!(
                f,
                "{znodes} znodes differ from the metadata log ({}{}): `verify` shows them; a new election makes them equal",
                first.join(", "),
                if *znodes > first.len() as u64 { ", and more" } else { "" }
            ),
            Self::LogKeepsGrowing { attempts } => {
                write!(
                    f,
                    "the log grew in each of {attempts} attempts to end dual writing: try again at a quieter time"
                )
            }
        }
    }
}

/// What came of a request to finalize.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finalization {
    /// The log says POST_MIGRATION, up to here (exclusive end). ZooKeeper is written no more, and may be switched off.
    Done(Position),
    /// Nothing was written, for these reasons; never empty. Dual writing goes on.
    Refused(Vec<Blocker>),
}

/// How to finalize.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FinalizeOptions {
    /// The operator knows that brokers are left behind, and that they will get no metadata any more. Right for a rehearsal
    /// on a copy of a ZooKeeper, wrong for a cluster that somebody uses.
    pub despite_brokers: bool,
}

/// The guards that need no look at ZooKeeper. `present` is who is in `/brokers/ids`, if that can be told.
pub(crate) fn blockers(
    image: &MetadataImage,
    present: Option<&BTreeMap<NodeId, BrokerPresence>>,
    peers: &Peers,
    options: FinalizeOptions,
) -> Vec<Blocker> {
    let mut blockers = Vec::new();
    match present {
        _ if options.despite_brokers => {}
        Some(present) => brokers_left(image, present, &mut blockers),
        None => blockers.push(Blocker::BrokersUnknown),
    }
    if peers.flags != PeerFlags::Nowhere {
        blockers.extend(peers.disagreeing.iter().cloned().map(Blocker::Controller));
    }
    blockers
}

fn brokers_left(image: &MetadataImage, present: &BTreeMap<NodeId, BrokerPresence>, blockers: &mut Vec<Blocker>) {
    let mut replicas: BTreeMap<NodeId, u64> = BTreeMap::new();
    for (_, partition) in image.topics().all_partitions() {
        for id in &partition.replicas {
            *replicas.entry(*id).or_default() += 1;
        }
    }
    let registered = |id: &NodeId| image.cluster().broker(*id);
    blockers.extend(present.keys().copied().map(Blocker::AliveInZooKeeper));
    let in_zookeeper_mode =
        image.cluster().brokers().filter(|(id, broker)| broker.is_migrating_zk_broker && !present.contains_key(id));
    blockers
        .extend(in_zookeeper_mode.map(|(id, broker)| Blocker::RegisteredInZooKeeperMode { id, fenced: broker.fenced }));
    // Nothing keeps a list of all brokers: the assignments serve as one (KIP-866, S48).
    let missing = replicas.into_iter().filter(|(id, _)| !present.contains_key(id) && registered(id).is_none());
    blockers.extend(missing.map(|(id, replicas)| Blocker::NotMigrated { id, replicas }));
}

/// The guard on content.
pub(crate) fn divergence(comparison: &Comparison) -> Option<Blocker> {
    let znodes = comparison.total().divergent;
    let first = comparison.differences.iter().take(DIFFERENCES_NAMED).map(|difference| difference.entity.clone());
    (znodes > 0).then(|| Blocker::Divergent { znodes, first: first.collect() })
}

/// Nothing is dual-written, so nothing can be finalized.
pub(crate) fn not_dual_writing(state: crate::State) -> Error {
    Error::not_applied(
        ErrorKind::Unavailable,
        format!("the migration is in state {state}; it can be finalized from DUAL_WRITE only"),
    )
}

#[cfg(test)]
mod tests {
    use metadata_core::id::TimestampMs;
    use metadata_core::image::MetadataDelta;
    use metadata_core::projection::{Difference, FamilyCounts};
    use metadata_core::record::{PartitionRecord, RegisterBrokerRecord, TopicRecord};
    use metadata_core::uuid::Uuid;

    use super::*;

    /// A topic with replicas on brokers 1 and 2; 1 is registered in ZooKeeper mode, or in KRaft mode, or not.
    fn image(registered: &[(i32, bool)]) -> MetadataImage {
        let mut delta = MetadataDelta::new(&MetadataImage::empty());
        let topic_id = metadata_core::id::TopicId(Uuid::of_hash([7; 32]));
        let topic = TopicRecord { name: "t".into(), topic_id, ..Default::default() };
        let replicas = vec![NodeId(1), NodeId(2)];
        let partition = PartitionRecord { topic_id, isr: replicas.clone(), replicas, ..Default::default() };
        delta.replay(&topic.into()).unwrap();
        delta.replay(&partition.into()).unwrap();
        for (id, is_migrating_zk_broker) in registered {
            let broker_id = NodeId(*id);
            let broker = RegisterBrokerRecord {
                broker_id,
                is_migrating_zk_broker: *is_migrating_zk_broker,
                ..Default::default()
            };
            delta.replay(&broker.into()).unwrap();
        }
        delta.apply(Position::START, TimestampMs(0))
    }

    fn present(ids: &[i32]) -> BTreeMap<NodeId, BrokerPresence> {
        ids.iter().map(|id| (NodeId(*id), BrokerPresence::in_zookeeper(1))).collect()
    }

    #[test]
    fn every_broker_that_would_be_left_behind_is_named() {
        let alive = |id| Blocker::AliveInZooKeeper(NodeId(id));
        let old = |id| Blocker::RegisteredInZooKeeperMode { id: NodeId(id), fenced: true };
        let missing = |id| Blocker::NotMigrated { id: NodeId(id), replicas: 1 };
        let table = [
            (&[(1, false), (2, false)][..], &[][..], vec![]),
            (&[(1, false), (2, false)], &[1], vec![alive(1)]),
            (&[(1, true), (2, false)], &[], vec![old(1)]),
            (&[(1, true), (2, false)], &[1], vec![alive(1)]),
            (&[(1, false)], &[], vec![missing(2)]),
            (&[], &[3], vec![alive(3), missing(1), missing(2)]),
            (&[(1, false), (2, false), (9, true)], &[], vec![old(9)]),
        ];
        for (registered, there, expected) in table {
            let image = image(registered);
            let found = |options| blockers(&image, Some(&present(there)), &Peers::none(false), options);
            assert_eq!(found(FinalizeOptions::default()), expected, "{registered:?} {there:?}");
            assert_eq!(found(FinalizeOptions { despite_brokers: true }), vec![], "{registered:?} {there:?}");
        }
        let unknown = blockers(&image(&[]), None, &Peers::none(false), FinalizeOptions::default());
        assert_eq!(unknown, vec![Blocker::BrokersUnknown]);
    }

    #[test]
    fn a_controller_that_has_the_flag_or_tells_nothing_forbids_it() {
        let disagreeing = vec!["controller 3001 has the flag".to_owned()];
        for (flags, refused) in [(PeerFlags::Everywhere, true), (PeerFlags::Mixed, true), (PeerFlags::Nowhere, false)] {
            let peers = Peers { flags, disagreeing: disagreeing.clone() };
            let image = image(&[(1, false), (2, false)]);
            let found = blockers(&image, Some(&present(&[])), &peers, FinalizeOptions::default());
            assert_eq!(!found.is_empty(), refused, "{flags:?}");
        }
    }

    #[test]
    fn a_divergence_is_counted_whole_and_named_in_part() {
        let difference = |name: &str| Difference { entity: name.into(), oracle: None, candidate: None };
        let mut comparison = Comparison::default();
        assert_eq!(divergence(&comparison), None);
        comparison.families.insert("topics".into(), FamilyCounts { compared: 50, divergent: 12, ..Default::default() });
        comparison.differences = (0..12).map(|n| difference(&format!("/t/{n:02}"))).collect();
        let Some(Blocker::Divergent { znodes: 12, first }) = divergence(&comparison) else { panic!("twelve differ") };
        assert_eq!((first.len(), first[0].as_str()), (10, "/t/00"));
    }
}
