//! In which version a record is written.

use super::MetadataRecord;
use crate::metadata_version::MetadataVersion;

/// The version in which a cluster at `metadata_version` writes `record`. It follows from the metadata version, but for
/// [`BrokerRegistrationChangeRecord`](super::BrokerRegistrationChangeRecord), where it follows from what the record
/// changes, as in Kafka (`MetadataVersion.java`, `ClusterControlManager.java`).
///
/// It does not say that the cluster may write the record at all: some kinds need a metadata version, and a field that
/// the version lacks shows when the record is encoded. Kafka makes one exception: the partitions of a migration's copy
/// are in version 0, see [`MetadataVersion::partition_record_version`].
pub fn record_version(record: &MetadataRecord, metadata_version: MetadataVersion) -> i16 {
    match record {
        MetadataRecord::RegisterBroker(_) => metadata_version.register_broker_record_version(),
        MetadataRecord::Partition(_) => metadata_version.partition_record_version(),
        MetadataRecord::PartitionChange(_) => metadata_version.partition_change_record_version(),
        MetadataRecord::BrokerRegistrationChange(change) => {
            if change.cordoned_log_dirs.is_some() {
                3
            } else if !change.log_dirs.is_empty() {
                2
            } else if change.in_controlled_shutdown != 0 {
                1
            } else {
                0
            }
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::DirectoryId;
    use crate::record::{
        BrokerRegistrationChangeRecord, FeatureLevelRecord, PartitionChangeRecord, PartitionRecord,
        RegisterBrokerRecord, RegisterControllerRecord,
    };

    fn versions(record: impl Into<MetadataRecord>) -> Vec<i16> {
        let record = record.into();
        MetadataVersion::all().map(|metadata_version| record_version(&record, metadata_version)).collect()
    }

    /// The value repeated so often, for each pair.
    fn runs(pairs: &[(i16, usize)]) -> Vec<i16> {
        pairs.iter().flat_map(|(version, count)| std::iter::repeat_n(*version, *count)).collect()
    }

    #[test]
    fn the_version_grows_with_the_metadata_version_as_in_kafka() {
        // Levels 1 to 33.
        assert_eq!(versions(RegisterBrokerRecord::default()), runs(&[(0, 6), (1, 1), (2, 9), (3, 13), (4, 4)]));
        assert_eq!(versions(PartitionRecord::default()), runs(&[(0, 16), (1, 6), (2, 11)]));
        assert_eq!(versions(PartitionChangeRecord::default()), runs(&[(0, 16), (1, 6), (2, 11)]));
        assert_eq!(versions(RegisterControllerRecord::default()), runs(&[(0, 33)]));
        assert_eq!(versions(FeatureLevelRecord::default()), runs(&[(0, 33)]));
    }

    #[test]
    fn a_registration_change_is_written_in_the_lowest_version_that_holds_it() {
        let unfence = BrokerRegistrationChangeRecord { fenced: -1, ..Default::default() };
        let shutdown = BrokerRegistrationChangeRecord { in_controlled_shutdown: 1, ..unfence.clone() };
        let directories = BrokerRegistrationChangeRecord { log_dirs: vec![DirectoryId::LOST], ..shutdown.clone() };
        let cordoned = BrokerRegistrationChangeRecord { cordoned_log_dirs: Some(Vec::new()), ..directories.clone() };
        assert_eq!(versions(unfence), runs(&[(0, 33)]));
        assert_eq!(versions(shutdown), runs(&[(1, 33)]));
        assert_eq!(versions(directories), runs(&[(2, 33)]));
        assert_eq!(versions(cordoned), runs(&[(3, 33)]));
    }
}
