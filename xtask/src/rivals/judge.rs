//! Whether only one wrote at a time, judged by ZooKeeper's own transaction log.
//!
//! A claim is a transaction that sets `/controller_epoch`. From then on to the next claim whoever made it is the only one
//! who may change anything below the chroot: the invariants, each with an id that stands in what is told of its breach.
//!
//! - `RIV-1`: nothing is changed by another session than that of the last claim.
//! - `RIV-2`: KRaft epochs of claims never go back, and one epoch is claimed by one node only.
//! - `RIV-3`: every change carries a marker that names the claimant, its epoch, and the version of `/controller_epoch` of the
//!   claim.
//! - `RIV-4`: the position in the marker never goes back.
//! - `RIV-5`: a leader that was let write has written in its epoch, and nobody else has.

use std::collections::{BTreeMap, BTreeSet};

use metadata_core::id::{KRaftLeaderEpoch, NodeId, Position, ZkVersion};
use store_zk::znode::marker::Marker;
use store_zk::znode::path;

use super::history::{Change, Transaction, ZkHistory};

/// Breaches that are told; more are the same again.
const BROKEN_MAX: usize = 20;

/// A claim of ZooKeeper's controllership.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claimed {
    /// By whom.
    pub node: NodeId,
    /// In which KRaft epoch.
    pub epoch: KRaftLeaderEpoch,
    /// Over which session.
    pub session: i64,
    /// The version that it gave `/controller_epoch`.
    pub zk_version: ZkVersion,
}

/// What the history says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Judgement {
    /// Every claim, in order.
    pub claims: Vec<Claimed>,
    /// Transactions that changed something after the claims, by the KRaft epoch and node of their claim.
    pub written: BTreeMap<(KRaftLeaderEpoch, NodeId), u64>,
    /// Transactions of a deposed claimant that ZooKeeper refused, by node.
    pub bounced: BTreeMap<NodeId, u64>,
    /// What is broken, with the invariant's id.
    pub broken: Vec<String>,
}

impl Judgement {
    /// Judges what happened below a chroot, from the first claim on.
    pub fn of(history: &ZkHistory, chroot: &str) -> Self {
        let mut judge = Judge { chroot, judgement: Self::default(), position: Position::START };
        history.transactions.iter().for_each(|transaction| judge.take(transaction));
        judge.judgement
    }

    /// Holds the leaders who were let write against those who wrote (`RIV-5`).
    pub fn hold_against(&mut self, leaders: &BTreeMap<KRaftLeaderEpoch, NodeId>) {
        for (epoch, leader) in leaders {
            let writers: BTreeSet<NodeId> =
                self.written.keys().filter(|(written, _)| written == epoch).map(|(_, node)| *node).collect();
            if writers != BTreeSet::from([*leader]) {
                let broken = format!("RIV-5: epoch {epoch} was led by node {leader} and written by {writers:?}");
                self.breach(broken);
            }
        }
    }

    /// Epochs in which something was written.
    pub fn epochs_written(&self) -> u64 {
        self.written.keys().map(|(epoch, _)| epoch).collect::<BTreeSet<_>>().len() as u64
    }

    /// Transactions of deposed claimants that were refused.
    pub fn bounces(&self) -> u64 {
        self.bounced.values().sum()
    }

    fn breach(&mut self, broken: String) {
        if self.broken.len() < BROKEN_MAX {
            self.broken.push(broken);
        }
    }
}

struct Judge<'a> {
    chroot: &'a str,
    judgement: Judgement,
    position: Position,
}

impl Judge<'_> {
    fn take(&mut self, transaction: &Transaction) {
        match &transaction.result {
            Ok(changes) => {
                let within = |change: &&Change| change.is_write() && self.path_of(change).is_some();
                if changes.iter().any(|change| within(&change)) {
                    self.take_write(transaction, changes);
                }
            }
            Err(_) => self.take_refused(transaction.session),
        }
    }

    fn path_of<'a>(&self, change: &'a Change) -> Option<&'a str> {
        change.path().strip_prefix(self.chroot).filter(|rest| rest.starts_with('/'))
    }

    fn take_write(&mut self, transaction: &Transaction, changes: &[Change]) {
        let claimed = changes.iter().find_map(|change| match change {
            Change::Set { version, .. } if self.path_of(change) == Some(path::CONTROLLER_EPOCH) => Some(*version),
            _ => None,
        });
        // A multi of the chain takes the marker's version first, without data, and writes it last.
        let marker = changes.iter().rev().find_map(|change| match change {
            Change::Set { data, .. } | Change::Create { data, .. } if self.path_of(change) == Some(path::MIGRATION) => {
                Some(Marker::decode(Some(data)).map_err(|malformed| malformed.to_string()))
            }
            _ => None,
        });
        match (claimed, marker) {
            // The cluster's own controllers, before the migration.
            (_, None) if self.judgement.claims.is_empty() => {}
            (claimed, Some(Ok(marker))) => {
                if let Some(version) = claimed {
                    self.take_claim(transaction, ZkVersion(version), &marker);
                }
                self.check_write(transaction, &marker, claimed.is_none());
            }
            (_, None) => self.breach(transaction, "RIV-3", "it has no marker"),
            (_, Some(Err(malformed))) => self.breach(transaction, "RIV-3", &format!("its marker is none: {malformed}")),
        }
    }

    fn take_claim(&mut self, transaction: &Transaction, zk_version: ZkVersion, marker: &Marker) {
        let (Some(node), Some(epoch)) = (marker.controller, marker.controller_epoch) else {
            return self.breach(transaction, "RIV-3", "a claim names nobody");
        };
        if let Some(last) = self.judgement.claims.last().copied() {
            if epoch < last.epoch {
                self.breach(transaction, "RIV-2", &format!("epoch {epoch} was claimed after {}", last.epoch));
            }
            if epoch == last.epoch && node != last.node {
                self.breach(transaction, "RIV-2", &format!("epoch {epoch} was claimed by {} and {node}", last.node));
            }
        }
        self.judgement.claims.push(Claimed { node, epoch, session: transaction.session, zk_version });
    }

    fn check_write(&mut self, transaction: &Transaction, marker: &Marker, counts: bool) {
        let Some(claim) = self.judgement.claims.last().copied() else {
            return self.breach(transaction, "RIV-1", "it wrote the marker before any claim");
        };
        if claim.session != transaction.session {
            let writer = self.judgement.claims.iter().rev().find(|it| it.session == transaction.session);
            let who = writer.map_or_else(|| "nobody known".to_owned(), |it| format!("node {}", it.node));
            self.breach(transaction, "RIV-1", &format!("{who} wrote after node {} had claimed", claim.node));
        }
        let named = (marker.controller, marker.controller_epoch, marker.chain.as_ref().map(|it| it.epoch_zk_version));
        if named != (Some(claim.node), Some(claim.epoch), Some(claim.zk_version)) {
            self.breach(transaction, "RIV-3", &format!("its marker names {named:?} under {claim:?}"));
        }
        if marker.position.end_offset < self.position.end_offset {
            let back = format!("the marker went back from {} to {}", self.position, marker.position);
            self.breach(transaction, "RIV-4", &back);
        }
        self.position = marker.position;
        if counts {
            *self.judgement.written.entry((claim.epoch, claim.node)).or_default() += 1;
        }
    }

    fn take_refused(&mut self, session: i64) {
        let claims = &self.judgement.claims;
        let deposed = claims.last().is_some_and(|last| last.session != session);
        let writer = claims.iter().rev().find(|claim| claim.session == session);
        if let Some(writer) = writer.filter(|_| deposed) {
            *self.judgement.bounced.entry(writer.node).or_default() += 1;
        }
    }

    fn breach(&mut self, transaction: &Transaction, invariant: &str, what: &str) {
        self.judgement.breach(format!("{invariant}: transaction {:#x}: {what}", transaction.zxid));
    }
}

#[cfg(test)]
mod tests {
    use fencing::{QuorumIdentity, SyncState};
    use metadata_core::id::Offset;
    use store_zk::znode::marker::ChainState;

    use super::*;

    const CHROOT: &str = "/kafka";

    fn marker(node: i32, epoch: i32, zk_version: i32, end: i64) -> Change {
        let quorum = QuorumIdentity { cluster_id: "c".into(), log_id: "l".into() };
        let marker = Marker {
            controller: Some(NodeId(node)),
            controller_epoch: Some(KRaftLeaderEpoch(epoch)),
            position: Position { epoch: KRaftLeaderEpoch(epoch), end_offset: Offset(end) },
            chain: Some(ChainState {
                quorum,
                epoch_zk_version: ZkVersion(zk_version),
                sync: SyncState::Done,
                batch_end: None,
                next_op: 0,
                notify: false,
                projection: 1,
                epoch_began: None,
            }),
        };
        Change::Set { path: format!("{CHROOT}/migration"), data: marker.encode().to_vec(), version: 1 }
    }

    fn claim(session: i64, node: i32, epoch: i32, zk_version: i32, end: i64) -> Transaction {
        let raise =
            Change::Set { path: format!("{CHROOT}/controller_epoch"), data: b"7".to_vec(), version: zk_version };
        Transaction { zxid: 1, session, result: Ok(vec![raise, marker(node, epoch, zk_version, end)]) }
    }

    fn write(session: i64, node: i32, epoch: i32, zk_version: i32, end: i64) -> Transaction {
        let check = Change::Check { path: format!("{CHROOT}/controller_epoch"), version: zk_version };
        let first = Change::Set { path: format!("{CHROOT}/migration"), data: Vec::new(), version: 1 };
        Transaction { zxid: 2, session, result: Ok(vec![check, first, marker(node, epoch, zk_version, end)]) }
    }

    fn judged(transactions: Vec<Transaction>) -> Judgement {
        Judgement::of(&ZkHistory { transactions }, CHROOT)
    }

    #[test]
    fn one_writer_after_the_other_is_sound_and_late_writes_that_bounced_are_counted() {
        let elsewhere = Change::Set { path: "/other/migration".into(), data: Vec::new(), version: 1 };
        let seeded = Change::Set { path: "/kafka/controller_epoch".into(), data: b"6".to_vec(), version: 0 };
        let mut judgement = judged(vec![
            Transaction { zxid: 0, session: 9, result: Ok(vec![seeded]) },
            claim(1, 3000, 5, 1, 0),
            write(1, 3000, 5, 1, 10),
            Transaction { zxid: 0, session: 8, result: Ok(vec![elsewhere]) },
            claim(2, 3001, 6, 2, 10),
            Transaction { zxid: 3, session: 1, result: Err(-103) },
            Transaction { zxid: 3, session: 1, result: Err(-103) },
            Transaction { zxid: 3, session: 2, result: Err(-103) },
            write(2, 3001, 6, 2, 12),
            write(2, 3001, 6, 2, 13),
        ]);
        let leaders = BTreeMap::from([(KRaftLeaderEpoch(5), NodeId(3000)), (KRaftLeaderEpoch(6), NodeId(3001))]);
        judgement.hold_against(&leaders);
        assert_eq!(judgement.broken, [""; 0]);
        assert_eq!((judgement.claims.len(), judgement.epochs_written(), judgement.bounces()), (2, 2, 2));
        assert_eq!(judgement.written[&(KRaftLeaderEpoch(6), NodeId(3001))], 2);
        assert_eq!(judgement.bounced, BTreeMap::from([(NodeId(3000), 2)]));
    }

    #[test]
    fn each_invariant_is_found_broken() {
        let stray = Change::Delete { path: "/kafka/brokers/topics/a".into() };
        for (id, transactions) in [
            ("RIV-1", vec![claim(1, 1, 5, 1, 0), claim(2, 2, 6, 2, 0), write(1, 2, 6, 2, 9)]),
            ("RIV-2", vec![claim(1, 1, 5, 1, 0), claim(2, 2, 4, 2, 0)]),
            ("RIV-2", vec![claim(1, 1, 5, 1, 0), claim(2, 2, 5, 2, 0)]),
            ("RIV-3", vec![claim(1, 1, 5, 1, 0), write(1, 1, 5, 0, 9)]),
            ("RIV-3", vec![claim(1, 1, 5, 1, 0), Transaction { zxid: 3, session: 1, result: Ok(vec![stray]) }]),
            ("RIV-4", vec![claim(1, 1, 5, 1, 20), write(1, 1, 5, 1, 19)]),
        ] {
            let broken = judged(transactions).broken;
            assert!(broken.iter().any(|text| text.starts_with(id)), "{id}: {broken:?}");
        }
        for written in [vec![], vec![claim(1, 1, 5, 1, 0), write(1, 1, 5, 1, 9)]] {
            let mut judgement = judged(written);
            judgement.hold_against(&BTreeMap::from([(KRaftLeaderEpoch(5), NodeId(2))]));
            assert!(judgement.broken.iter().any(|text| text.starts_with("RIV-5")), "{judgement:?}");
        }
    }
}
