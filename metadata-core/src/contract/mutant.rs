//! The promises that a store can break. Each case of the suite names those that it is about, and fails on each of them.

use crate::image::{MetadataDelta, MetadataImage};
use crate::metadata_version::MetadataVersion;
use crate::record::MetadataRecord;

/// A family of metadata of which entries can be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// Topics and their partitions.
    Topics,
    /// Configs of any resource.
    Configs,
    /// Client quotas.
    Quotas,
    /// SCRAM credentials.
    Scram,
    /// Access control entries.
    Acls,
    /// Delegation tokens.
    Tokens,
}

/// What only KRaft holds: a store without loss must hold it too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KraftOnly {
    /// Brokers and controllers.
    Registrations,
    /// Finalized features besides the metadata version.
    Features,
    /// Eligible leader replicas.
    Elr,
    /// The log directories of replicas.
    Directories,
}

/// One bug, built into [`MemStore`](super::MemStore) on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Mutant {
    /// A batch is acknowledged and its change is not there.
    LastRecordLost,
    /// The last record is missing when the store is loaded.
    LoadStopsEarly,
    /// An error of the sink does not end the load.
    SinkErrorSwallowed,
    /// A batch is applied wherever the store is.
    ExpectedPositionIgnored,
    /// A writer goes on after someone newer claimed.
    FencingForgotten,
    /// An older epoch can claim.
    OldEpochMayClaim,
    /// Another node can claim with the same epoch.
    RivalMayClaim,
    /// A store that is ahead of the log can be claimed.
    AheadOfLogMayClaim,
    /// A survey claims the store.
    SurveyClaims,
    /// A survey does not tell that someone newer holds the store, or that it is ahead of the log.
    SurveyOverlooksTheHolder,
    /// Another copy of the log, with the same epochs, can claim.
    AnotherCopyMayClaim,
    /// Claiming again as the same leader leaves the first writer alive.
    ReclaimFencesNobody,
    /// The claim is looked at when a batch is submitted, not when it is written.
    LateWritesLand,
    /// A receipt is open still when that of a later batch has resolved.
    ReceiptsOutOfOrder,
    /// A batch whose outcome was unknown is written behind the barrier.
    UnknownLandsLater,
    /// The batches of an open transaction can be seen.
    TransactionVisibleEarly,
    /// A transaction is written although batches of it are missing.
    IncompleteTransactionLands,
    /// Batches are applied in the wrong order.
    OrderReversed,
    /// A batch behind a failed one is applied.
    HoleAfterFailure,
    /// A failed batch is acknowledged.
    FailureAcknowledged,
    /// Dropping a receipt cancels its batch.
    DroppedReceiptCancels,
    /// A barrier returns before everything submitted is settled.
    BarrierDoesNotWait,
    /// A sync rewrites what is equal.
    SyncAlwaysWrites,
    /// A sync says done and changes nothing.
    SyncDoesNothing,
    /// A sync takes a topic that was created anew for the one of that name before.
    SyncKeepsOldId,
    /// What was deleted from a family stays.
    DeletesForgotten(Family),
    /// A store that says it loses nothing loses this.
    Loses(KraftOnly),
}

impl Mutant {
    /// All of them.
    pub const ALL: [Self; 35] = [
        Self::LastRecordLost,
        Self::LoadStopsEarly,
        Self::SinkErrorSwallowed,
        Self::ExpectedPositionIgnored,
        Self::FencingForgotten,
        Self::OldEpochMayClaim,
        Self::RivalMayClaim,
        Self::AheadOfLogMayClaim,
        Self::SurveyClaims,
        Self::SurveyOverlooksTheHolder,
        Self::AnotherCopyMayClaim,
        Self::ReclaimFencesNobody,
        Self::LateWritesLand,
        Self::ReceiptsOutOfOrder,
        Self::UnknownLandsLater,
        Self::TransactionVisibleEarly,
        Self::IncompleteTransactionLands,
        Self::OrderReversed,
        Self::HoleAfterFailure,
        Self::FailureAcknowledged,
        Self::DroppedReceiptCancels,
        Self::BarrierDoesNotWait,
        Self::SyncAlwaysWrites,
        Self::SyncDoesNothing,
        Self::SyncKeepsOldId,
        Self::DeletesForgotten(Family::Topics),
        Self::DeletesForgotten(Family::Configs),
        Self::DeletesForgotten(Family::Quotas),
        Self::DeletesForgotten(Family::Scram),
        Self::DeletesForgotten(Family::Acls),
        Self::DeletesForgotten(Family::Tokens),
        Self::Loses(KraftOnly::Registrations),
        Self::Loses(KraftOnly::Features),
        Self::Loses(KraftOnly::Elr),
        Self::Loses(KraftOnly::Directories),
    ];

    /// What a store with this bug holds after a batch that leads from one image to the other.
    pub(super) fn after_batch(self, before: &MetadataImage, after: &MetadataImage) -> MetadataImage {
        match self {
            Self::LastRecordLost => before.clone(),
            Self::DeletesForgotten(family) => {
                let kept = records(before).filter(|record| family_of(record) == Some(family));
                rebuilt(kept.chain(records(after)), after)
            }
            Self::Loses(lost) => rebuilt(records(after).filter_map(|record| without(record, lost)), after),
            _ => after.clone(),
        }
    }

    /// What a store with this bug holds after a sync.
    pub(super) fn after_sync(self, before: &MetadataImage, after: &MetadataImage) -> MetadataImage {
        let old = |id| after.topics().name(id).and_then(|name| before.topics().id(name)).unwrap_or(id);
        match self {
            Self::SyncDoesNothing => before.clone(),
            Self::SyncKeepsOldId => {
                let kept = records(after).map(|mut record| {
                    match &mut record {
                        MetadataRecord::Topic(topic) => topic.topic_id = old(topic.topic_id),
                        MetadataRecord::Partition(partition) => partition.topic_id = old(partition.topic_id),
                        _ => {}
                    }
                    record
                });
                rebuilt(kept, after)
            }
            Self::LastRecordLost => after.clone(),
            other => other.after_batch(before, after),
        }
    }
}

fn records(image: &MetadataImage) -> impl Iterator<Item = MetadataRecord> + '_ {
    // The highest version holds every image.
    image.to_records_at(MetadataVersion::HIGHEST).into_iter().flatten().map(|record| record.record)
}

/// What the records make, as far as they can be replayed: it is meant to be wrong.
fn rebuilt(records: impl Iterator<Item = MetadataRecord>, like: &MetadataImage) -> MetadataImage {
    let mut delta = MetadataDelta::new(&MetadataImage::empty());
    for record in records {
        drop(delta.replay(&record));
    }
    delta.apply(like.position(), like.timestamp())
}

fn family_of(record: &MetadataRecord) -> Option<Family> {
    match record {
        MetadataRecord::Topic(_) | MetadataRecord::Partition(_) => Some(Family::Topics),
        MetadataRecord::Config(_) => Some(Family::Configs),
        MetadataRecord::ClientQuota(_) => Some(Family::Quotas),
        MetadataRecord::UserScramCredential(_) => Some(Family::Scram),
        MetadataRecord::AccessControlEntry(_) => Some(Family::Acls),
        MetadataRecord::DelegationToken(_) => Some(Family::Tokens),
        _ => None,
    }
}

fn without(mut record: MetadataRecord, lost: KraftOnly) -> Option<MetadataRecord> {
    match (lost, &mut record) {
        (KraftOnly::Registrations, MetadataRecord::RegisterBroker(_) | MetadataRecord::RegisterController(_)) => None,
        (KraftOnly::Features, MetadataRecord::FeatureLevel(level)) if level.name != MetadataVersion::FEATURE_NAME => {
            None
        }
        (KraftOnly::Elr, MetadataRecord::Partition(partition)) => {
            partition.eligible_leader_replicas = None;
            partition.last_known_elr = None;
            Some(record)
        }
        (KraftOnly::Directories, MetadataRecord::Partition(partition)) => {
            partition.directories.clear();
            Some(record)
        }
        _ => Some(record),
    }
}
