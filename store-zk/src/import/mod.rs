//! ZooKeeper's content as metadata records: pure, total and deterministic. The same znodes always give the same records.
//!
//! An [`Importer`] takes one topic, one config node, one credential at a time, in the order of Kafka's own migration
//! (`ZkMigrationClient.readAllMetadata`), and returns the records of each; so memory is bounded by the largest topic.
//! [`import_tree`] shows the order, and imports trees that are small enough to be held.
//!
//! Nothing stops at the first trouble. What can't be understood gives no records and is kept as a [`Problem`]; what is
//! understood but worth an operator's attention is a [`Warning`]. [`Importer::finish`] refuses the whole import if there
//! was any problem, and names them all, so that one dry run is enough to prepare a cluster.
//!
//! What Kafka does differently, and why we don't:
//!
//! | case | Kafka 3.9 | here |
//! | --- | --- | --- |
//! | broken JSON of a topic, state or config | as if it were not there | problem |
//! | topic without an id | fails at the first, and again at each attempt | problem, one for each topic |
//! | two topics with one id | the second overwrites the first | problem |
//! | password configs and no `password.encoder.secret` | copies the encrypted text as if it were the password | problem |
//! | a password in another cipher than the controller is configured with | ends the process | copied |
//! | SCRAM or tokens below the metadata version that has them | writes records that snapshots leave out | problem |
//! | ids of access control entries | random | derived from content ([`acl_id`]) |
//! | a partition that lost its state | starts again at leader epoch 0, all replicas in sync | problem |
//! | credentials on the node of the default user | become those of a user called `<default>` | problem |
//! | a name that Kafka would write in another way | copied under its decoded name | problem |

//!
//! What vanishes between a list and the read of what was listed was deleted, and is left out as if it had never been
//! listed: a config, a user, a resource or a token, each of which is one znode, and a topic with all of its znodes. So a
//! topic whose partitions lack a state is looked at once more, after the states: is it still there, is it still the same,
//! is it being deleted?

mod acl;
mod config;
mod findings;
mod quota;
mod token;
mod topic;
mod tree;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use metadata_core::id::{BrokerEpoch, NodeId, TopicId};
use metadata_core::metadata_version::MetadataVersion;
use metadata_core::record::{MetadataRecord, ProducerIdsRecord, VersionedRecord};

pub use acl::acl_id;
pub use findings::{Findings, ImportError, PROBLEMS_KEPT_MAX, Problem, Warning};
pub use topic::{TopicZnodes, derived_topic_id};
pub use tree::{ZnodeTree, import_tree};
pub(crate) use tree::{is_prefixed, is_resource_type};

use crate::znode::password::PasswordSecret;
use crate::znode::path::{self, Place};
use crate::znode::producer_ids::ProducerIdBlock;
use crate::znode::{Malformed, Znode};

/// What an import depends on besides the znodes.
#[derive(Debug, Clone)]
pub struct ImportContext {
    /// `password.encoder.secret` of the brokers, if there is one.
    pub secret: Option<PasswordSecret>,
    /// The metadata version of the log that takes the records: it must be able to hold what is imported.
    pub metadata_version: MetadataVersion,
}

/// What was imported.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Manifest {
    /// Records by Kafka's name of their type.
    pub records: BTreeMap<&'static str, u64>,
    /// Brokers that are replicas of some partition, or will be. Each must be there before ZooKeeper is claimed, or its
    /// partitions are lost to the migration.
    pub replicas: BTreeSet<NodeId>,
    /// Topics that were left out because they are being deleted.
    pub pending_deletions: u64,
}

impl Manifest {
    /// All records together.
    pub fn record_count(&self) -> u64 {
        self.records.values().sum()
    }
}

/// A finished import without problems.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Imported {
    /// What was imported.
    pub manifest: Manifest,
    /// What is worth an operator's attention. At most [`PROBLEMS_KEPT_MAX`], see [`Self::warning_count`].
    pub warnings: Vec<Warning>,
    /// How many warnings there were.
    pub warning_count: u64,
}

/// Turns znodes into records, see the [module](self).
#[derive(Debug)]
pub struct Importer {
    context: ImportContext,
    findings: Findings,
    manifest: Manifest,
    topic_ids: HashMap<TopicId, Arc<str>>,
    /// The cluster's id, where topics without an id get one.
    cluster_id: Option<String>,
}

/// The result of one step: records, or the reason why there are none.
type Step = Result<Vec<MetadataRecord>, Malformed>;

impl Importer {
    /// An importer that has seen nothing yet.
    pub fn new(context: ImportContext) -> Self {
        let (findings, manifest) = Default::default();
        Self { context, findings, manifest, topic_ids: HashMap::new(), cluster_id: None }
    }

    /// Topics without an id, of brokers before Kafka 2.8, get one from here on in place of a problem: derived from the
    /// cluster's id and their name, so that every import gives the same. Only where no broker gives them another one
    /// meanwhile, which is when the whole cluster is stopped.
    #[must_use]
    pub fn with_topic_ids_of(mut self, cluster_id: impl Into<String>) -> Self {
        self.cluster_id = Some(cluster_id.into());
        self
    }

    /// What was found so far.
    pub fn findings(&self) -> &Findings {
        &self.findings
    }

    /// What was imported so far.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Ends the import.
    ///
    /// # Errors
    /// There was at least one problem. None of the records may be used then.
    pub fn finish(self) -> Result<Imported, ImportError> {
        let (warnings, warning_count) = self.findings.into_warnings()?;
        Ok(Imported { manifest: self.manifest, warnings, warning_count })
    }

    /// The records of one znode under `/config` (but for topics), of the producer id block, of one access control
    /// resource or of one token. Places that are not imported give no records, topics neither: see [`Self::topic`].
    pub fn znode(&mut self, znode_path: &str, znode: &Znode) -> Vec<VersionedRecord> {
        let step = match Place::of(znode_path) {
            Place::BrokerConfig(name) => self.broker_config(name, znode_path, znode),
            Place::User(user) => self.user(user, znode_path, znode),
            Place::Client(client) => self.client(client, znode_path, znode),
            Place::UserClient(user, client) => self.user_client(user, client, znode_path, znode),
            Place::Ip(ip) => self.ip(ip, znode_path, znode),
            Place::ProducerIds => producer_ids(znode),
            Place::Acl(pattern, resource, name) => self.acl(pattern, resource, name, znode_path, znode),
            Place::Token(id) => self.token(id, znode),
            _ => Ok(Vec::new()),
        };
        self.conclude(znode_path, step)
    }

    /// Notes that a topic was left out since `/admin/delete_topics` has its name: whoever asked for the deletion gets it,
    /// from the first full sync.
    pub fn pending_deletion(&mut self, topic: &str) {
        self.manifest.pending_deletions += 1;
        self.findings.warn(path::pending_deletion(topic), "the topic is being deleted and is not copied");
    }

    /// Notes which directories below `parent`, which holds access control entries, are not `known`: what stands there is
    /// not copied, as Kafka does not look there.
    pub fn acl_directories<'n>(
        &mut self,
        parent: &str,
        names: impl IntoIterator<Item = &'n str>,
        known: impl Fn(&str) -> bool,
    ) {
        for name in names.into_iter().filter(|name| !known(name)) {
            let reason = "Kafka knows no such kind of access control entries: what is there is not copied";
            self.findings.warn(format!("{parent}/{name}"), reason);
        }
    }

    /// Records at version 0, as Kafka's migration writes them; a reason becomes a problem.
    fn conclude(&mut self, znode_path: &str, step: Step) -> Vec<VersionedRecord> {
        let records = step.unwrap_or_else(|reason| {
            self.findings.problem(znode_path, reason.to_string());
            Vec::new()
        });
        for record in &records {
            *self.manifest.records.entry(record.name()).or_default() += 1;
        }
        records.into_iter().map(|record| VersionedRecord { record, version: 0 }).collect()
    }
}

/// The next id follows the last block, which somebody uses (KAFKA-15552).
fn producer_ids(znode: &Znode) -> Step {
    let block = ProducerIdBlock::decode(znode.content())?;
    let record = block.map(|block| ProducerIdsRecord {
        broker_id: block.broker.unwrap_or(NodeId::NONE),
        broker_epoch: BrokerEpoch(-1),
        next_producer_id: block.next(),
        ..Default::default()
    });
    Ok(record.into_iter().map(Into::into).collect())
}
