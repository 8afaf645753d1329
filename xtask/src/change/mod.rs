//! Changes of the metadata, as a controller makes them: a [`Change`] and an image give records, or the reason why not.
//!
//! [`decide`] is pure: no log, no clock, no random numbers. The rules are those of Kafka's controller
//! (`ReplicationControlManager`, `ConfigurationControlManager`, `ClientQuotaControlManager`, `AclControlManager`,
//! `ScramControlManager`), as far as this controller can know what they look at: it knows no `ConfigDef`, so the names
//! and values of configs are taken as they are.

mod acl;
mod config;
mod placement;
mod quota;
mod scram;
mod secret;
mod topic;
mod topic_name;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use metadata_core::id::NodeId;
use metadata_core::image::MetadataImage;
use metadata_core::log::RECORDS_PER_BATCH_MAX;
use metadata_core::record::{MetadataRecord, VersionedRecord, record_version};
use metadata_core::uuid::Uuid;
use migration::gate::WriteClass;
use serde::{Deserialize, Serialize};

pub use self::acl::{Acl, Operation, PatternType, Permission, ResourceType};
pub use self::config::Resource;
pub use self::quota::QuotaOwner;
pub use self::scram::{ITERATIONS_MAX, ITERATIONS_MIN, Mechanism, ScramKeys};
pub use self::secret::Secret;

/// A change that an operator asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Change {
    /// A new topic.
    CreateTopic {
        /// Its name.
        name: String,
        /// How many partitions, at least 1.
        partitions: u32,
        /// Replicas of each partition, at least 1.
        replication_factor: u32,
        /// Its configs.
        #[serde(default)]
        configs: BTreeMap<String, Secret>,
    },
    /// A topic and its configs go.
    DeleteTopic {
        /// Its name.
        name: String,
    },
    /// A topic grows.
    AddPartitions {
        /// Its name.
        name: String,
        /// How many partitions it has then: more than now.
        total: u32,
    },
    /// A partition moves to other brokers. What joins is in the ISR only once its broker has caught up, so a
    /// reassignment that adds replicas stays under way until then.
    Reassign {
        /// The topic.
        name: String,
        /// The partition.
        partition: i32,
        /// The replicas that it shall have, the preferred leader first.
        replicas: Vec<i32>,
    },
    /// The preferred leader leads again.
    ElectPreferredLeader {
        /// The topic.
        name: String,
        /// The partition.
        partition: i32,
    },
    /// Configs are set.
    SetConfigs {
        /// Whose.
        resource: Resource,
        /// By name.
        values: BTreeMap<String, Secret>,
    },
    /// Configs are deleted.
    DeleteConfigs {
        /// Whose.
        resource: Resource,
        /// Their names.
        keys: BTreeSet<String>,
    },
    /// Quotas are set.
    SetQuotas {
        /// Whose.
        owner: QuotaOwner,
        /// By key.
        values: BTreeMap<String, f64>,
    },
    /// Quotas are deleted.
    DeleteQuotas {
        /// Whose.
        owner: QuotaOwner,
        /// Their keys.
        keys: BTreeSet<String>,
    },
    /// An access control entry comes.
    AddAcl(Acl),
    /// The access control entries that equal this one go.
    RemoveAcl(Acl),
    /// A user gets a SCRAM credential, or another one.
    SetScram {
        /// The user.
        user: String,
        /// The mechanism.
        mechanism: Mechanism,
        /// Derived from the password, which stays with the asker.
        keys: ScramKeys,
    },
    /// A user's SCRAM credential goes.
    DeleteScram {
        /// The user.
        user: String,
        /// The mechanism.
        mechanism: Mechanism,
    },
}

impl Change {
    /// How the gate before the log treats it.
    pub fn write_class(&self) -> WriteClass {
        match self {
            Self::ElectPreferredLeader { .. } => WriteClass::LeaderAndIsr,
            Self::CreateTopic { .. }
            | Self::DeleteTopic { .. }
            | Self::AddPartitions { .. }
            | Self::Reassign { .. }
            | Self::SetConfigs { .. }
            | Self::DeleteConfigs { .. }
            | Self::SetQuotas { .. }
            | Self::DeleteQuotas { .. }
            | Self::AddAcl(_)
            | Self::RemoveAcl(_)
            | Self::SetScram { .. }
            | Self::DeleteScram { .. } => WriteClass::Administrative,
        }
    }
}

/// What a decision looks at.
#[derive(Debug, Clone, Copy)]
pub struct Ground<'a> {
    /// The metadata as of now.
    pub image: &'a MetadataImage,
    /// Brokers that are alive and that the image need not know: those of `/brokers/ids`.
    pub alive: &'a BTreeSet<NodeId>,
    /// An id that nothing has yet, for what the change creates.
    pub fresh_id: Uuid,
}

/// What follows from a change.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The records, to be appended as one batch; at least one.
    pub records: Vec<VersionedRecord>,
    /// What they do, in a sentence without secrets.
    pub summary: String,
}

/// Why a change can't be made, and what to do instead. No secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The thing and the reason.
    pub reason: String,
    /// The next step.
    pub next: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.reason, self.next)
    }
}

impl std::error::Error for Refusal {}

fn refuse<T>(reason: impl Into<String>, next: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { reason: reason.into(), next: next.into() })
}

/// Refuses so many records as more than a change may have.
fn fits_a_change(records: usize) -> Result<(), Refusal> {
    if records <= RECORDS_PER_BATCH_MAX {
        return Ok(());
    }
    refuse(
        format!("this takes {records} records, and a change has at most {RECORDS_PER_BATCH_MAX}"),
        "split it into smaller changes",
    )
}

/// Records before they have a version, and the sentence.
type Draft = Result<(Vec<MetadataRecord>, String), Refusal>;

/// Decides what `change` means on this ground.
///
/// # Errors
/// The first rule that the change breaks. Nothing is to be written then.
pub fn decide(change: &Change, ground: &Ground<'_>) -> Result<Decision, Refusal> {
    let image = ground.image;
    let (records, summary) = match change {
        Change::CreateTopic { name, partitions, replication_factor, configs } => {
            topic::create(ground, name, *partitions, *replication_factor, configs)
        }
        Change::DeleteTopic { name } => topic::delete(image, name),
        Change::AddPartitions { name, total } => topic::add_partitions(ground, name, *total),
        Change::Reassign { name, partition, replicas } => topic::reassign(ground, name, *partition, replicas),
        Change::ElectPreferredLeader { name, partition } => topic::elect_preferred(image, name, *partition),
        Change::SetConfigs { resource, values } => config::set(image, resource, values),
        Change::DeleteConfigs { resource, keys } => config::delete(image, resource, keys),
        Change::SetQuotas { owner, values } => quota::set(owner, values),
        Change::DeleteQuotas { owner, keys } => quota::delete(image, owner, keys),
        Change::AddAcl(entry) => acl::add(image, entry, ground.fresh_id),
        Change::RemoveAcl(entry) => acl::remove(image, entry),
        Change::SetScram { user, mechanism, keys } => scram::set(image, user, *mechanism, keys),
        Change::DeleteScram { user, mechanism } => scram::delete(image, user, *mechanism),
    }?;
    fits_a_change(records.len())?;
    let version = image.metadata_version_or_lowest();
    let versioned = |record: MetadataRecord| {
        let version = record_version(&record, version);
        VersionedRecord { record, version }
    };
    Ok(Decision { records: records.into_iter().map(versioned).collect(), summary })
}

/// "1 partition", "2 partitions".
fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}
