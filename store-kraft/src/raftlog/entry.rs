//! An entry's bytes. The layout is ours, not that of openraft's types, so that a new version of it changes no file.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::codec::{self, CodecError, Kind};
use crate::quorum::proposal::Proposal;
use crate::quorum::types::{Entry, LogId, MemberAddress, Membership, Payload, StoredMembership, log_id};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct StoredEntry {
    term: u64,
    index: u64,
    payload: StoredPayload,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum StoredPayload {
    Blank,
    Normal(Proposal),
    Membership(StoredMembers),
}

/// A membership: voters by configuration (two while it changes), and everybody's address.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct StoredMembers {
    configs: Vec<BTreeSet<u64>>,
    members: BTreeMap<u64, MemberAddress>,
}

/// A log id as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct StoredLogId {
    pub(crate) term: u64,
    pub(crate) index: u64,
}

impl From<LogId> for StoredLogId {
    fn from(id: LogId) -> Self {
        Self { term: id.leader_id.term, index: id.index }
    }
}

impl From<StoredLogId> for LogId {
    fn from(id: StoredLogId) -> Self {
        log_id(id.term, id.index)
    }
}

impl From<&Membership> for StoredMembers {
    fn from(membership: &Membership) -> Self {
        Self {
            configs: membership.get_joint_config().clone(),
            members: membership.nodes().map(|(id, address)| (*id, address.clone())).collect(),
        }
    }
}

impl From<StoredMembers> for Membership {
    fn from(stored: StoredMembers) -> Self {
        Self::new(stored.configs, stored.members)
    }
}

/// The last membership and the entry that brought it, as stored.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct StoredLastMembership {
    log_id: Option<StoredLogId>,
    members: StoredMembers,
}

impl From<&StoredMembership> for StoredLastMembership {
    fn from(membership: &StoredMembership) -> Self {
        Self { log_id: membership.log_id().map(Into::into), members: membership.membership().into() }
    }
}

impl From<StoredLastMembership> for StoredMembership {
    fn from(stored: StoredLastMembership) -> Self {
        Self::new(stored.log_id.map(Into::into), stored.members.into())
    }
}

/// The bytes of an entry, on disk and between controllers.
pub(crate) fn encode(entry: &Entry) -> Result<Vec<u8>, CodecError> {
    let payload = match &entry.payload {
        Payload::Blank => StoredPayload::Blank,
        Payload::Normal(proposal) => StoredPayload::Normal(proposal.clone()),
        Payload::Membership(membership) => StoredPayload::Membership(membership.into()),
    };
    let StoredLogId { term, index } = entry.log_id.into();
    codec::encode(Kind::Entry, &StoredEntry { term, index, payload })
}

/// The entry with these bytes.
pub(crate) fn decode(bytes: &[u8]) -> Result<Entry, CodecError> {
    let stored: StoredEntry = codec::decode(Kind::Entry, bytes)?;
    let payload = match stored.payload {
        StoredPayload::Blank => Payload::Blank,
        StoredPayload::Normal(proposal) => Payload::Normal(proposal),
        StoredPayload::Membership(members) => Payload::Membership(members.into()),
    };
    Ok(Entry { log_id: log_id(stored.term, stored.index), payload })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Blob;
    use crate::quorum::proposal::{ProposedBatch, ProposedTxn};
    use bytes::Bytes;

    fn entries() -> Vec<(Entry, Vec<u8>)> {
        let start = Proposal::LeaderStart { leader: 3000, time_ms: 5, voters: vec![3000] };
        let batch = |expected, txn| ProposedBatch { expected, txn, batch: Blob(Bytes::from_static(&[9, 9])) };
        let append = Proposal::Append {
            epoch: 2,
            batches: vec![batch(Some(7), ProposedTxn::None), batch(None, ProposedTxn::End { batches: 3 })],
        };
        let address = MemberAddress::at("h:1");
        let membership = Membership::new(vec![BTreeSet::from([1])], BTreeMap::from([(1, address)]));
        let entry = |index, payload| Entry { log_id: log_id(2, index), payload };
        vec![
            (entry(4, Payload::Blank), vec![1, 1, 1, 2, 4, 0]),
            (entry(5, Payload::Normal(start)), vec![1, 1, 1, 2, 5, 1, 0, 0xfb, 0x70, 0x17, 10, 1, 0xfb, 0x70, 0x17]),
            (entry(6, Payload::Normal(append)), vec![1, 1, 1, 2, 6, 1, 1, 4, 2, 1, 14, 0, 2, 9, 9, 0, 3, 3, 2, 9, 9]),
            (entry(7, Payload::Membership(membership)), vec![1, 1, 1, 2, 7, 2, 1, 1, 1, 1, 1, 3, b'h', b':', b'1']),
        ]
    }

    #[test]
    fn the_bytes_stay_what_they_are() {
        for (entry, golden) in entries() {
            assert_eq!(encode(&entry).unwrap(), golden, "{}", entry.log_id);
            let read = decode(&golden).unwrap();
            assert_eq!(read.log_id, entry.log_id);
            assert_eq!(encode(&read).unwrap(), golden, "{}", entry.log_id);
        }
    }

    #[test]
    fn a_cut_entry_is_refused() {
        for (_, golden) in entries() {
            for cut in 0..golden.len() {
                assert!(decode(&golden[..cut]).is_err());
            }
        }
    }
}
