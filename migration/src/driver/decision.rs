//! What the active controller may do, decided anew by every leader: the log's migration state, its own flag, the flags of
//! the other voters, and what ZooKeeper's marker says. One table, from which the `match`, the docs and the tests are made.
//!
//! Kafka decides on the log and its own flag alone, and looks at the others only to enter
//! (`ActivationRecordsGenerator`, `KRaftMigrationDriver`). Here entering needs every flag, leaving needs every flag gone,
//! and no row leads back from POST_MIGRATION.

use std::fmt;

/// What the log says, judged after a linearizable look at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LogFinding {
    /// No metadata record was ever written.
    Empty,
    /// State NONE: the log was born in KRaft.
    Born,
    /// State PRE_MIGRATION, and nothing was copied: no topic, config, quota, SCRAM credential, ACL, token or producer id.
    Pre,
    /// State PRE_MIGRATION, and metadata that no copy put there.
    PreFilled,
    /// State MIGRATION.
    Migration,
    /// State POST_MIGRATION.
    Post,
}

impl LogFinding {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Empty, Self::Born, Self::Pre, Self::PreFilled, Self::Migration, Self::Post];
}

/// The flag `zookeeper.metadata.migration.enable` of the other voters, together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PeerFlags {
    /// Every other voter has it; so it is, too, when there is no other voter and this one has it.
    Everywhere,
    /// None says otherwise, but some are out of reach: they have told nothing, or do not reach ZooKeeper. Enough to go on
    /// with, too little to begin with.
    OutOfReach,
    /// Some have it and some have not, or could not succeed this one for another reason. So it is, too, for one without the
    /// flag when another has told nothing: what is not known stops both entering and leaving.
    Mixed,
    /// No other voter has it.
    Nowhere,
}

impl PeerFlags {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Everywhere, Self::OutOfReach, Self::Mixed, Self::Nowhere];
}

/// What a look at ZooKeeper found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MarkerFinding {
    /// Nobody has looked yet. Most rows need no look, so that a ZooKeeper that is switched off harms nobody.
    NotAsked,
    /// No `/migration`.
    Absent,
    /// Ours, with an offset of 0 or none.
    Unwritten,
    /// Ours, in our log.
    Written,
    /// Of another quorum or an earlier log, not readable, or no ZooKeeper of a Kafka cluster.
    Refused,
    /// Ours, and ahead of our log: the data directory is an old copy.
    Ahead,
    /// Somebody who is no controller of ours governed since it was written.
    Governed,
    /// A newer controller of our quorum holds the claim.
    Newer,
}

impl MarkerFinding {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::NotAsked,
        Self::Absent,
        Self::Unwritten,
        Self::Written,
        Self::Refused,
        Self::Ahead,
        Self::Governed,
        Self::Newer,
    ];
}

/// What the active controller does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Decision {
    /// The marker decides: look at ZooKeeper, then decide again.
    LookAtZooKeeper,
    /// Write the first records of a log that no migration concerns, state NONE.
    BootstrapKRaft,
    /// Write the first records of a log that is to be migrated into, state PRE_MIGRATION.
    BootstrapMigration,
    /// Nothing: an ordinary KRaft cluster.
    PlainKRaft,
    /// Nothing: the migration is finalized, whatever the settings say.
    Finalized,
    /// Wait until all controllers agree about the flag, and say who does not.
    WaitForControllers,
    /// Wait for the brokers; then claim and copy.
    WaitForBrokers,
    /// Claim, bring ZooKeeper in step, dual-write.
    DualWrite,
    /// The same, and say that the controllers disagree about the flag: nobody finalizes until they agree.
    DualWriteDisagreed,
    /// The same, and finalize once nothing forbids it: no controller has the flag any more.
    DualWriteToFinalize,
    /// Wait: a newer controller holds ZooKeeper, and the election that made it leader will reach us.
    Deposed,
    /// Nothing, until the operator says so: ZooKeeper was governed by somebody else.
    ZkGoverned,
    /// Nothing: the log was born in KRaft and has no migration to make.
    RefuseBornInKRaft,
    /// Nothing: metadata stands in the log that no copy put there.
    RefuseFilledLog,
    /// Nothing: the log waits for its copy, and this controller may not make it. A leader with the flag can.
    RefuseFrozen,
    /// Nothing: ZooKeeper's marker is not of this log.
    RefuseMarker,
    /// Nothing: ZooKeeper is ahead of this log.
    RefuseOldCopy,
}

impl Decision {
    /// As a status shows it.
    pub fn name(self) -> &'static str {
        match self {
            Self::LookAtZooKeeper => "LOOK_AT_ZOOKEEPER",
            Self::BootstrapKRaft => "BOOTSTRAP_KRAFT",
            Self::BootstrapMigration => "BOOTSTRAP_MIGRATION",
            Self::PlainKRaft => "PLAIN_KRAFT",
            Self::Finalized => "FINALIZED",
            Self::WaitForControllers => "WAIT_FOR_CONTROLLERS",
            Self::WaitForBrokers => "WAIT_FOR_BROKERS",
            Self::DualWrite => "DUAL_WRITE",
            Self::DualWriteDisagreed => "DUAL_WRITE_DISAGREED",
            Self::DualWriteToFinalize => "DUAL_WRITE_TO_FINALIZE",
            Self::Deposed => "DEPOSED",
            Self::ZkGoverned => "ZK_GOVERNED",
            Self::RefuseBornInKRaft => "REFUSE_BORN_IN_KRAFT",
            Self::RefuseFilledLog => "REFUSE_FILLED_LOG",
            Self::RefuseFrozen => "REFUSE_FROZEN",
            Self::RefuseMarker => "REFUSE_MARKER",
            Self::RefuseOldCopy => "REFUSE_OLD_COPY",
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One row of the table, as the docs print it.
#[derive(Debug, Clone, Copy)]
pub struct DecisionRow {
    /// The log's columns that it is about; `_` for any.
    pub log: &'static str,
    /// Our own flag.
    pub own: &'static str,
    /// The others' flags.
    pub peers: &'static str,
    /// The marker.
    pub marker: &'static str,
    /// What follows.
    pub decision: Decision,
    /// Why.
    pub why: &'static str,
}

/// Makes the `match`, and the same rows as data: the compiler says that no case is missing and none is hidden.
macro_rules! decisions {
    ($($log:pat, $own:pat, $peers:pat, $marker:pat => $decision:ident, $why:literal;)+) => {
        /// The table in its order: the first row that fits decides.
        pub const DECISIONS: &[DecisionRow] = &[$(DecisionRow {
            log: stringify!($log),
            own: stringify!($own),
            peers: stringify!($peers),
            marker: stringify!($marker),
            decision: Decision::$decision,
            why: $why,
        }),+];

        /// Decides. `own` is our own flag. Total; the same answer for the same facts.
        pub fn decide(log: LogFinding, own: bool, peers: PeerFlags, marker: MarkerFinding) -> Decision {
            match (log, own, peers, marker) {
                $(($log, $own, $peers, $marker) => Decision::$decision,)+
            }
        }
    };
}

use LogFinding::{Born, Empty, Migration, Post, Pre, PreFilled};
use MarkerFinding::{Absent, Ahead, Governed, Newer, NotAsked, Refused, Unwritten, Written};
use PeerFlags::{Everywhere, Mixed, Nowhere, OutOfReach};

decisions! {
    Post, _, _, _ => Finalized, "finalization is final: no setting leads back (S72, S79)";
    Born, false, _, _ => PlainKRaft, "leftover ZooKeeper settings change nothing (S77)";
    Born, true, _, _ => RefuseBornInKRaft, "said plainly, and nobody dies of it (P8)";
    Empty, false, Nowhere, _ => BootstrapKRaft, "a new KRaft cluster";
    Empty, false, Everywhere | OutOfReach | Mixed, _ => WaitForControllers, "a log of state NONE could never be migrated into";
    Pre | PreFilled, false, _, _ => RefuseFrozen, "it must not look healthy (G17)";
    PreFilled, true, _, _ => RefuseFilledLog, "the copy goes into an empty log only (S63, P7)";
    Empty | Pre | Migration, _, _, NotAsked => LookAtZooKeeper, "the rest depends on the marker";
    Empty | Pre | Migration, _, _, Governed => ZkGoverned, "it may hold changes that the log lacks";
    Empty | Pre | Migration, _, _, Ahead => RefuseOldCopy, "newer metadata must not be overwritten (P1)";
    Empty | Pre | Migration, _, _, Refused => RefuseMarker, "stale or foreign (G9, P1, F9)";
    Empty | Pre | Migration, _, _, Newer => Deposed, "we lead no more and have not heard it yet";
    Empty | Pre, true, _, Written => RefuseOldCopy, "ZooKeeper holds a copy of which this log knows nothing (G9)";
    Empty, true, _, Absent | Unwritten => BootstrapMigration, "a log that is to be migrated into";
    Pre, true, Mixed | Nowhere, Absent | Unwritten => WaitForControllers, "entering needs every flag (S65)";
    Pre, true, OutOfReach, Absent => WaitForControllers, "what is not known is not ready (G27)";
    Pre, true, OutOfReach, Unwritten => WaitForBrokers, "they agreed once: the brokers have no controller since";
    Pre, true, Everywhere, Absent | Unwritten => WaitForBrokers, "all controllers agree";
    Migration, true, Everywhere, _ => DualWrite, "resumes, also when the marker says nothing yet (G18, S60)";
    Migration, true, OutOfReach | Mixed | Nowhere, _ => DualWriteDisagreed, "an election must not end it (S66, P4)";
    Migration, false, Everywhere | OutOfReach | Mixed, _ => DualWriteDisagreed, "leaving needs every flag gone (S51, S66)";
    Migration, false, Nowhere, _ => DualWriteToFinalize, "guarded: brokers, lag and divergence come first (P3)";
}

/// The table as ARCHITECTURE.md prints it.
pub fn decisions_as_markdown() -> String {
    let mut text = String::from(
        "| log | own flag | other voters' flags | marker | decision | why |\n| --- | --- | --- | --- | --- | --- |\n",
    );
    let cell = |pattern: &str| match pattern {
        "_" => "any".to_owned(),
        other => other.replace(" |", ",").replace("false", "off").replace("true", "on"),
    };
    for row in DECISIONS {
        text.push_str(&format!(
            "| {} | {} | {} | {} | {} | {} |\n",
            cell(row.log),
            cell(row.own),
            cell(row.peers),
            cell(row.marker),
            row.decision,
            row.why
        ));
    }
    text
}

#[cfg(test)]
mod tests;
