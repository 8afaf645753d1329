//! The first records of a log.

use metadata_core::error::{Error, ErrorKind, Result};
use metadata_core::leadership::KraftLeadership;
use metadata_core::log::{Append, MetadataLog};
use metadata_core::metadata_version::MetadataVersion;
use metadata_core::record::{
    BeginTransactionRecord, EndTransactionRecord, FeatureLevelRecord, VersionedRecord, ZkMigrationState,
};
use metadata_core::store::Txn;

/// Writes the first records of a log as one append, `state` among them (Kafka: `ActivationRecordsGenerator`).
pub(super) async fn bootstrap(
    log: &dyn MetadataLog,
    leadership: KraftLeadership,
    version: MetadataVersion,
    state: ZkMigrationState,
) -> Result<()> {
    if state == ZkMigrationState::PreMigration && !version.supports_zk_migration_start() {
        return Err(Error::not_applied(
            ErrorKind::Invalid,
            format!(
                "metadata.version {version} has no transactions, so a failed copy could not be undone; choose {} or newer",
                MetadataVersion::V3_6_IV1
            ),
        ));
    }
    let expected = log.end().await?.end_offset;
    let records = first_records(version, state);
    // One append holds the whole transaction, so the log needs to stage nothing.
    log.append(Append { epoch: leadership.epoch, expected: Some(expected), txn: Txn::None, records }).await.map(drop)
}

/// From 3.6-IV1 on a transaction, as Kafka writes it; before, the records alone, and a state only where one can be written.
fn first_records(version: MetadataVersion, state: ZkMigrationState) -> Vec<VersionedRecord> {
    let level = FeatureLevelRecord {
        name: MetadataVersion::FEATURE_NAME.to_owned(),
        feature_level: version.level(),
        ..FeatureLevelRecord::default()
    };
    let level = VersionedRecord::new(level, 0);
    if !version.supports_zk_migration_start() {
        return vec![level];
    }
    let begin = BeginTransactionRecord { name: Some("Bootstrap records".to_owned()), ..Default::default() };
    vec![
        VersionedRecord::new(begin, 0),
        level,
        VersionedRecord::new(state.to_record(), 0),
        VersionedRecord::new(EndTransactionRecord::default(), 0),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_without_transactions_gets_no_state_which_reads_as_none() {
        let names = |version, state| -> Vec<_> {
            first_records(version, state).iter().map(|record| record.record.name()).collect()
        };
        let before = MetadataVersion::from_level(MetadataVersion::V3_6_IV1.level() - 1).unwrap();
        assert_eq!(names(before, ZkMigrationState::None), ["FEATURE_LEVEL_RECORD"]);
        for state in [ZkMigrationState::None, ZkMigrationState::PreMigration] {
            assert_eq!(
                names(MetadataVersion::V3_6_IV1, state),
                [
                    "BEGIN_TRANSACTION_RECORD",
                    "FEATURE_LEVEL_RECORD",
                    "ZK_MIGRATION_STATE_RECORD",
                    "END_TRANSACTION_RECORD"
                ]
            );
        }
    }
}
