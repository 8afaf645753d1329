//! Whether two znodes say the same.

use std::collections::BTreeMap;

use metadata_core::id::{PartitionEpoch, ProducerId};

use super::CompareContext;
use crate::project::ExpectedZnode;
use crate::znode::acl::AclZnode;
use crate::znode::config::ConfigZnode;
use crate::znode::partition::PartitionState;
use crate::znode::password::{self, is_password_key};
use crate::znode::path::Place;
use crate::znode::producer_ids::ProducerIdBlock;
use crate::znode::token::TokenZnode;
use crate::znode::topic::TopicZnode;
use crate::znode::{Malformed, Znode, quota, scram};

/// How an expected znode and one that is there compare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// They say the same.
    Same {
        /// They don't hold the same bytes.
        masked: bool,
    },
    /// A partition's state says the same, and its version is below the partition's epoch.
    VersionBehind {
        /// The znode's version.
        version: i32,
        /// The partition's epoch.
        epoch: i32,
    },
    /// A partition's state says the same, and its version is above the partition's epoch.
    VersionAhead {
        /// The znode's version.
        version: i32,
        /// The partition's epoch.
        epoch: i32,
    },
    /// Passwords that are there can't be decrypted with the secret that we have: another one, or a newer way to encrypt.
    Undecryptable(Malformed),
    /// More producer ids were handed out than the image knows.
    ProducerIdsAhead {
        /// The first id that was not, by what is there.
        found: ProducerId,
        /// And by what should be there; `None` if none was.
        expected: Option<ProducerId>,
    },
    /// They don't say the same.
    Different,
    /// What is there can't be understood.
    Malformed(Malformed),
}

impl From<Malformed> for Meaning {
    fn from(reason: Malformed) -> Self {
        Self::Malformed(reason)
    }
}

/// Compares by meaning. Both stand at `place`.
pub(crate) fn meaning(
    place: &Place<'_>,
    oracle: &ExpectedZnode,
    candidate: &Znode,
    context: &CompareContext,
) -> Meaning {
    let same_bytes = oracle.data.as_deref().unwrap_or_default() == candidate.data.as_deref().unwrap_or_default();
    let same = if same_bytes { Ok(true) } else { says_the_same(place, oracle, candidate, context) };
    match same {
        Ok(true) => match oracle.partition_epoch {
            Some(PartitionEpoch(epoch)) if candidate.version.0 < epoch => {
                Meaning::VersionBehind { version: candidate.version.0, epoch }
            }
            Some(PartitionEpoch(epoch)) if candidate.version.0 > epoch => {
                Meaning::VersionAhead { version: candidate.version.0, epoch }
            }
            _ => Meaning::Same { masked: !same_bytes },
        },
        Ok(false) => Meaning::Different,
        Err(trouble) => trouble,
    }
}

fn says_the_same(
    place: &Place<'_>,
    oracle: &ExpectedZnode,
    candidate: &Znode,
    context: &CompareContext,
) -> Result<bool, Meaning> {
    let expected = oracle.data.as_deref().unwrap_or_default();
    let found = candidate.data.as_deref().unwrap_or_default();
    let contents = (Some(expected), candidate.content());
    match place {
        Place::Topic(_) => {
            let (expected, found) = (TopicZnode::decode(expected)?, TopicZnode::decode(found)?);
            Ok(expected.topic_id == found.topic_id && expected.partitions == found.partitions)
        }
        Place::PartitionState(..) => Ok(same_state(expected, found, context)?),
        Place::TopicConfig(_) | Place::BrokerConfig(_) => {
            let (expected, found) = (ConfigZnode::decode(contents.0)?, ConfigZnode::decode(contents.1)?);
            same_configs(&expected, &found, context)
        }
        Place::User(_) | Place::UserClient(..) | Place::Client(_) | Place::Ip(_) => {
            let (expected, found) = (ConfigZnode::decode(contents.0)?, ConfigZnode::decode(contents.1)?);
            Ok(same_keys(&expected.0, &found.0, same_quota))
        }
        Place::ProducerIds => {
            let next = |data| ProducerIdBlock::decode(data).map(|block| block.map(|block| block.next()));
            let (expected, found) = (next(contents.0)?, next(contents.1)?);
            match found {
                Some(found) if Some(found) > expected => Err(Meaning::ProducerIdsAhead { found, expected }),
                _ => Ok(expected == found),
            }
        }
        Place::Acl(..) => Ok(AclZnode::decode(contents.0)?.entries == AclZnode::decode(contents.1)?.entries),
        Place::Token(_) => Ok(TokenZnode::decode(expected)? == TokenZnode::decode(found)?),
        // Whoever made the others may have put anything there; nobody reads it.
        _ => Ok(true),
    }
}

/// An epoch that a ZooKeeper-mode controller would never have reached stops it from touching the partition, so that one
/// is no matter of taste.
fn same_state(expected: &[u8], found: &[u8], context: &CompareContext) -> Result<bool, Malformed> {
    let (expected, found) = (PartitionState::decode(expected)?, PartitionState::decode(found)?);
    let valid_epoch = (1..=context.zk_epoch.0).contains(&found.controller_epoch.0);
    Ok(valid_epoch && PartitionState { controller_epoch: expected.controller_epoch, ..found } == expected)
}

type Properties = BTreeMap<String, String>;

fn same_keys(one: &Properties, other: &Properties, same: impl Fn(&str, &str, &str) -> bool) -> bool {
    one.len() == other.len()
        && one.iter().zip(other).all(|((key, one), (other_key, other))| key == other_key && same(key, one, other))
}

/// Passwords are compared in clear text. Without a secret they can't be projected, so they are not compared at all.
fn same_configs(expected: &ConfigZnode, found: &ConfigZnode, context: &CompareContext) -> Result<bool, Meaning> {
    let Some(secret) = &context.secret else {
        let open = |properties: &Properties| -> Properties {
            let open = properties.iter().filter(|(key, _)| !is_password_key(key));
            open.map(|(key, value)| (key.clone(), value.clone())).collect()
        };
        return Ok(open(&expected.0) == open(&found.0));
    };
    if let Some((key, reason)) = password::undecryptable(found, Some(secret)).pop_first() {
        return Err(Meaning::Undecryptable(Malformed::new(format!("`{key}`: {reason}"))));
    }
    let clear = |text: &str| password::decode(text, secret).ok();
    Ok(same_keys(&expected.0, &found.0, |key, one, other| {
        one == other || (is_password_key(key) && clear(one).is_some_and(|one| clear(other) == Some(one)))
    }))
}

fn same_quota(key: &str, one: &str, other: &str) -> bool {
    if one == other {
        return true;
    }
    if scram::mechanism_code(key).is_some() {
        return scram::decode(one).is_ok_and(|credential| scram::decode(other) == Ok(credential));
    }
    quota::parse(one).is_some_and(|value| quota::parse(other) == Some(value))
}
