//! Compares what is in ZooKeeper with what should be there: by meaning, never by bytes.
//!
//! What may differ without meaning anything is *masked*:
//!
//! | family | masked |
//! | --- | --- |
//! | all | order of keys, unknown keys, the version of the format |
//! | containers, topics' inner nodes | data |
//! | partition states | `controller_epoch` between 1 and the claimed one, both inclusive; a version above the epoch |
//! | configs | the encryption of passwords; passwords altogether where no secret is set |
//! | quotas | the spelling of numbers; whether a node that only holds client ids has an empty config or no data |
//! | producer ids | the block's broker and first id |
//! | access control entries | their order, and how words are spelled |
//!
//! A partition's version below its epoch is a difference. A version above it can't be mended by writing: it is masked, and
//! reported as a warning.

mod meaning;
mod redact;

use std::cmp::Ordering;
use std::collections::BTreeMap;

use metadata_core::id::ZkControllerEpoch;
use metadata_core::projection::{Comparison, Difference, FamilyCounts};

pub(crate) use meaning::{Meaning, meaning};

use crate::project::{ExpectedZnode, ProjectionContext};
use crate::znode::Znode;
use crate::znode::password::PasswordSecret;
use crate::znode::path::{Family, Place, walk_order};

/// What a comparison depends on.
#[derive(Debug, Clone)]
pub struct CompareContext {
    /// The claimed ZooKeeper controller epoch: the highest that a partition state may have.
    pub zk_epoch: ZkControllerEpoch,
    /// `password.encoder.secret`, to compare passwords by what they say.
    pub secret: Option<PasswordSecret>,
}

impl From<&ProjectionContext> for CompareContext {
    fn from(context: &ProjectionContext) -> Self {
        Self { zk_epoch: context.zk_epoch, secret: context.secret.clone() }
    }
}

/// How many warnings, and how many unknown paths, are listed.
const LISTED_MAX: usize = 1000;

/// Compares znode by znode and counts.
///
/// Hand it every path that is expected or there, once; [`compare_trees`] does so for two walks.
#[derive(Debug)]
pub struct Comparer {
    context: CompareContext,
    differences_max: usize,
    families: BTreeMap<Family, FamilyCounts>,
    comparison: Comparison,
    warnings: Vec<String>,
}

impl Comparer {
    /// A comparer that lists at most `differences_max` differences; all are counted.
    pub fn new(context: CompareContext, differences_max: usize) -> Self {
        Self {
            context,
            differences_max,
            families: BTreeMap::new(),
            comparison: Comparison::default(),
            warnings: Vec::new(),
        }
    }

    /// Compares what should be at `path` with what is there.
    pub fn znode(&mut self, path: &str, oracle: Option<&ExpectedZnode>, candidate: Option<&Znode>) {
        let place = Place::of(path);
        let family = place.family();
        let counts = self.families.entry(family).or_default();
        if !family.is_projected() {
            counts.ignored += 1;
            if family == Family::Unknown && self.comparison.unknown.len() < LISTED_MAX {
                self.comparison.unknown.push(path.to_owned());
            }
            return;
        }
        counts.compared += 1;
        let equal = match (oracle, candidate) {
            (Some(oracle), Some(candidate)) => match meaning(&place, oracle, candidate, &self.context) {
                Meaning::Same { masked } => {
                    counts.masked += u64::from(masked);
                    true
                }
                Meaning::VersionAhead { version, epoch } => {
                    counts.masked += 1;
                    let warning = format!(
                        "{path} has version {version}, above its partition epoch {epoch}: restart the brokers of this \
                         partition after a rollback"
                    );
                    if self.warnings.len() < LISTED_MAX {
                        self.warnings.push(warning);
                    }
                    true
                }
                Meaning::VersionBehind { .. } | Meaning::Different | Meaning::Malformed(_) => false,
            },
            // The node of a container that Kafka would make on its next start, too.
            (None, Some(_)) if matches!(place, Place::Container) => true,
            (None, None) => true,
            _ => false,
        };
        if !equal {
            counts.divergent += 1;
            if self.comparison.differences.len() < self.differences_max {
                let (oracle, candidate) = redact::sides(&place, oracle, candidate, &self.context);
                self.comparison.differences.push(Difference { entity: path.to_owned(), oracle, candidate });
            }
        }
    }

    /// The result, and what an operator must know before going back to ZooKeeper, a sentence each.
    pub fn finish(mut self) -> (Comparison, Vec<String>) {
        let families = self.families.into_iter().map(|(family, counts)| (family.to_string(), counts));
        self.comparison.families = families.collect();
        (self.comparison, self.warnings)
    }
}

/// Compares two trees, each in the order of a walk ([`walk_order`]).
pub fn compare_trees(
    oracle: impl IntoIterator<Item = ExpectedZnode>,
    candidate: impl IntoIterator<Item = (String, Znode)>,
    comparer: &mut Comparer,
) {
    let mut oracle = oracle.into_iter().peekable();
    let mut candidate = candidate.into_iter().peekable();
    loop {
        let order = match (oracle.peek(), candidate.peek()) {
            (Some(expected), Some((path, _))) => walk_order(&expected.path, path),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return,
        };
        let expected = if order.is_le() { oracle.next() } else { None };
        let found = if order.is_ge() { candidate.next() } else { None };
        match (&expected, &found) {
            (_, Some((path, znode))) => comparer.znode(path, expected.as_ref(), Some(znode)),
            (Some(expected), None) => comparer.znode(&expected.path, Some(expected), None),
            (None, None) => return,
        }
    }
}
