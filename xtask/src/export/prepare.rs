//! The metadata of a stopped cluster as KRaft begins with them.

use std::collections::{BTreeMap, BTreeSet};

use metadata_core::id::{DirectoryId, KRaftLeaderEpoch, NodeId, Offset, PartitionId, Position, TimestampMs, TopicId};
use metadata_core::image::{MetadataDelta, MetadataImage, ReplayError};
use metadata_core::metadata_version::MetadataVersion;
use metadata_core::record::{FeatureLevelRecord, MetadataRecord, PartitionRecord, VersionedRecord, ZkMigrationState};

use super::configs::{ConfigChange, translate};

/// The epoch of what is exported. The first election of a quorum is that of epoch 1; the one that follows is a later one.
pub const EPOCH: KRaftLeaderEpoch = KRaftLeaderEpoch(1);

/// The lowest metadata version that both Kafka 3.9 and Kafka 4.x start from.
pub const LOWEST: MetadataVersion = MetadataVersion::V3_3_IV3;

/// What is exported.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// All of it, at the position of its own records.
    pub image: MetadataImage,
    /// Configs that are not exported as they are.
    pub config_changes: Vec<ConfigChange>,
}

/// Whether metadata can be exported at a version.
///
/// # Errors
/// They can't, and why.
pub fn supported_version(version: MetadataVersion) -> Result<MetadataVersion, String> {
    if version < LOWEST {
        return Err(format!("Kafka 4.x starts at metadata version {LOWEST} at least"));
    }
    if !version.is_production() {
        return Err(format!(
            "Kafka 3.9 does not run at {version}: choose {} at most, and raise it with kafka-features once Kafka 4.x runs",
            MetadataVersion::LATEST_PRODUCTION
        ));
    }
    Ok(version)
}

/// Makes metadata of what was read from ZooKeeper.
///
/// - The state of the migration is POST_MIGRATION, where the version has one: what a finished migration leaves, and what
///   both Kafka 3.9 and 4.x take for one that needs nothing more.
/// - No partition has a leader: a stopped cluster has none. The first broker of its in-sync replicas that comes gets it, also
///   when the last leader never comes back.
/// - Configs are translated where Kafka 4.x does not take them, see [`translate`].
///
/// # Errors
/// The records contradict each other, which none that `store-zk` imports do.
pub fn prepare(
    records: Vec<VersionedRecord>,
    version: MetadataVersion,
    time: TimestampMs,
) -> Result<Prepared, ReplayError> {
    let mut configured: BTreeMap<(i8, String), BTreeSet<String>> = BTreeMap::new();
    for record in &records {
        if let MetadataRecord::Config(config) = &record.record {
            let of = (config.resource_type, config.resource_name.clone());
            configured.entry(of).or_default().insert(config.name.clone());
        }
    }
    let mut delta = MetadataDelta::new(&MetadataImage::empty());
    let level = FeatureLevelRecord {
        name: MetadataVersion::FEATURE_NAME.to_owned(),
        feature_level: version.level(),
        ..Default::default()
    };
    delta.replay(&level.into())?;
    if version.supports_zk_migration_state() {
        delta.replay(&ZkMigrationState::PostMigration.to_record().into())?;
    }
    let mut config_changes = Vec::new();
    for VersionedRecord { record, .. } in records {
        match record {
            MetadataRecord::Partition(partition) => {
                delta.replay(&PartitionRecord { leader: NodeId::NONE, ..partition }.into())?;
            }
            MetadataRecord::Config(config) => {
                let of = configured.get(&(config.resource_type, config.resource_name.clone()));
                let (made, change) = translate(config, |name| of.is_some_and(|names| names.contains(name)));
                for config in made {
                    delta.replay(&config.into())?;
                }
                config_changes.extend(change);
            }
            other => delta.replay(&other)?,
        }
    }
    Ok(Prepared { image: positioned(delta, time), config_changes })
}

/// The same metadata with the directories of replicas, where `directory` knows them; all others are MIGRATING, and their
/// brokers say where they are. Below the metadata version that has directories nothing changes.
///
/// # Errors
/// As [`prepare`].
pub fn place(
    image: &MetadataImage,
    directory: impl Fn(TopicId, PartitionId, NodeId) -> Option<DirectoryId>,
) -> Result<MetadataImage, ReplayError> {
    let version = image.metadata_version_or_lowest();
    if !version.supports_directories() {
        return Ok(image.clone());
    }
    let mut delta = MetadataDelta::new(image);
    for (key, partition) in image.topics().all_partitions() {
        let of = |replica: &NodeId| directory(key.topic_id, key.partition, *replica).unwrap_or(DirectoryId::MIGRATING);
        let directories = partition.replicas.iter().map(of).collect();
        let record = partition.to_record(key.topic_id, key.partition, version.partition_record_version());
        delta.replay(&PartitionRecord { directories, ..record }.into())?;
    }
    Ok(positioned(delta, image.timestamp()))
}

/// As if a log held the records one by one, with the first leader's own before them. What can't be written is refused by
/// whoever writes.
fn positioned(delta: MetadataDelta, time: TimestampMs) -> MetadataImage {
    let records = delta.image().to_records().map_or(0, Iterator::count);
    let end_offset = Offset(i64::try_from(records).unwrap_or(i64::MAX - 1) + 1);
    delta.apply(Position { epoch: EPOCH, end_offset }, time)
}

#[cfg(test)]
mod tests {
    use metadata_core::record::{ConfigRecord, TopicRecord};
    use metadata_core::uuid::Uuid;

    use super::*;

    const TOPIC: TopicId = TopicId(Uuid::from_u64_pair(1, 1));
    const TIME: TimestampMs = TimestampMs(1_700_000_000_000);

    fn records() -> Vec<VersionedRecord> {
        let replicas = vec![NodeId(1), NodeId(2)];
        let partition = PartitionRecord {
            topic_id: TOPIC,
            isr: replicas.clone(),
            replicas,
            leader: NodeId(2),
            leader_epoch: metadata_core::id::LeaderEpoch(5),
            ..Default::default()
        };
        let config = |name: &str| ConfigRecord {
            resource_type: 2,
            resource_name: "t".into(),
            name: name.into(),
            value: Some("7".into()),
            ..Default::default()
        };
        vec![
            VersionedRecord::new(TopicRecord { name: "t".into(), topic_id: TOPIC, ..Default::default() }, 0),
            VersionedRecord::new(config("retention.ms"), 0),
            VersionedRecord::new(config("message.format.version"), 0),
            VersionedRecord::new(partition, 0),
        ]
    }

    fn prepared(version: MetadataVersion) -> Prepared {
        prepare(records(), version, TIME).unwrap()
    }

    #[test]
    fn nobody_leads_and_everything_else_stays() {
        let Prepared { image, config_changes } = prepared(MetadataVersion::V3_9_IV0);
        let (_, partition) = image.topics().all_partitions().next().unwrap();
        assert_eq!((partition.leader, partition.leader_epoch.0, partition.isr.len()), (None, 5, 2));
        assert_eq!(image.zk_migration_state(), ZkMigrationState::PostMigration);
        assert_eq!(config_changes.len(), 1);
        assert_eq!(image.configs().len(), 1);
        let records = image.to_records().unwrap().count();
        assert_eq!(image.position().end_offset.0 as usize, records + 1);
        assert_eq!((image.position().epoch, image.timestamp()), (EPOCH, TIME));
    }

    #[test]
    fn every_version_that_is_offered_can_be_written() {
        for version in MetadataVersion::all() {
            if let Ok(version) = supported_version(version) {
                let image = prepared(version).image;
                let has_state = image.zk_migration_state() == ZkMigrationState::PostMigration;
                assert_eq!(has_state, version.supports_zk_migration_state(), "{version}");
                assert!(image.to_records().is_ok(), "{version}");
            }
        }
        let offered: Vec<_> = MetadataVersion::all().filter(|it| supported_version(*it).is_ok()).collect();
        assert_eq!(offered.first(), Some(&MetadataVersion::V3_3_IV3));
        assert_eq!(offered.last(), Some(&MetadataVersion::V3_9_IV0));
    }

    #[test]
    fn replicas_are_placed_where_they_are_known_to_lie() {
        let image = prepared(MetadataVersion::V3_9_IV0).image;
        let known = DirectoryId(Uuid::from_u64_pair(1 << 40, 3));
        let placed = place(&image, |_, _, broker| (broker == NodeId(2)).then_some(known)).unwrap();
        let (_, partition) = placed.topics().all_partitions().next().unwrap();
        assert_eq!(partition.directories_per_replica(), [DirectoryId::MIGRATING, known]);
        assert_eq!(placed.position(), image.position());
        let older = prepared(MetadataVersion::V3_6_IV2).image;
        assert!(place(&older, |_, _, _| Some(known)).unwrap().same_metadata(&older));
    }
}
