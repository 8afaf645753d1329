//! The claim table: what three znodes say, what our log says, and whether we may claim ZooKeeper.
//!
//! The facts are read in one multi-read behind a barrier, so that they are of one moment and no older than the call.
//! A `/migration` without data says nothing, and counts as none. First row that fits:
//!
//! | `/controller_epoch` | `/controller` | `/migration` | log | decision |
//! | --- | --- | --- | --- | --- |
//! | absent | any | any | any | refuse: no Kafka cluster |
//! | negative, or 2147483647 | any | any | any | refuse: the epoch can't be raised |
//! | any | any | of another quorum, or not written by us | any | refuse: foreign marker |
//! | any | our own id with a KRaft epoch above ours | ours | any | refuse: the log is an old copy |
//! | any | our own id with a KRaft epoch above ours | none | MIGRATION | refuse: the log is an old copy |
//! | any | any | ours, by our own id in an epoch above ours | any | refuse: the log is an old copy |
//! | any | any | ours, of an epoch that began at another time in our log | MIGRATION | refuse: another copy of the log |
//! | any | KRaft epoch above ours, or ours with another id | none | PRE_MIGRATION | refuse: another log's controller |
//! | any | KRaft epoch above ours, or ours with another id | any | any | refuse: fenced |
//! | any | any | ours, by another id in an epoch above ours or in ours | any | refuse: fenced |
//! | any | any | none | PRE_MIGRATION | claim, create the marker, copy |
//! | any | any | ours, nothing written yet | PRE_MIGRATION | claim, copy again |
//! | any | any | ours, something written | PRE_MIGRATION | refuse: the marker is ahead of the log |
//! | any | KRaft epoch of one of our voters | none | MIGRATION | claim, create the marker, full sync |
//! | any | anything else | none | MIGRATION | refuse: governed elsewhere |
//! | other version than the marker's | any | ours | MIGRATION | refuse: governed elsewhere |
//! | as the marker says | any | ours, nothing written yet | MIGRATION | claim, full sync |
//! | as the marker says | any | ours, not in our log | MIGRATION | refuse: the marker is ahead of the log |
//! | as the marker says | any | ours, sync running or other planning code | MIGRATION | claim, full sync |
//! | as the marker says | any | ours, in our log | MIGRATION | claim, resume |
//!
//! With the operator's word ([`Expected::LogOverruling`]) the rows that end with "governed elsewhere" end with "claim, full
//! sync" in place of it, and so does "claim, resume"; all others hold.

use std::collections::BTreeSet;

use metadata_core::error::{Error, ErrorKind};
use metadata_core::id::{KRaftLeaderEpoch, NodeId, Offset, Position, TimestampMs, ZkControllerEpoch, ZkVersion};
use metadata_core::leadership::{AfterClaim, Expected, KraftLeadership};

/// What `/controller_epoch` holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObservedControllerEpoch {
    /// Its text.
    pub epoch: ZkControllerEpoch,
    /// Its version: what fences.
    pub zk_version: ZkVersion,
}

/// What `/controller` holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObservedController {
    /// The broker or controller that is registered.
    pub id: NodeId,
    /// The KRaft epoch of the registration; `None` for a broker's, which carry -1 or nothing.
    pub kraft_epoch: Option<KRaftLeaderEpoch>,
    /// The znode's version.
    pub zk_version: ZkVersion,
}

/// Which quorum wrote a marker: the cluster, and the log's own identity within it. A log that is formatted anew gets
/// another one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct QuorumIdentity {
    /// Kafka's cluster id.
    pub cluster_id: String,
    /// The identity of the log, made when it was formatted.
    pub log_id: String,
}

/// Whether ZooKeeper's content is known to be that of the marker's position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SyncState {
    /// A full sync has begun and not finished, or has never run, or something was too large for a request and left out.
    Running,
    /// The content is that of the position, plus the first ops of the batch in progress.
    Done,
}

/// Who wrote a marker last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MarkerWriter {
    /// The controller.
    pub id: NodeId,
    /// Its epoch.
    pub epoch: KRaftLeaderEpoch,
    /// When that epoch began in its log; `None` where its log did not say.
    pub began: Option<TimestampMs>,
}

/// What `/migration` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marker {
    /// The znode's version.
    pub zk_version: ZkVersion,
    /// The quorum that wrote it; `None` for a marker of Kafka's own controllers.
    pub quorum: Option<QuorumIdentity>,
    /// The controller that wrote it last, as far as it says.
    pub writer: Option<MarkerWriter>,
    /// End of the last batch that is whole in ZooKeeper (exclusive).
    pub position: Position,
    /// The version of `/controller_epoch` as of the last claim.
    pub epoch_zk_version: Option<ZkVersion>,
    /// Whether the content is known.
    pub sync: SyncState,
    /// End of the batch in progress (exclusive).
    pub batch_end: Option<Offset>,
    /// How many ops of it are in ZooKeeper.
    pub next_op: u32,
    /// Version of the code that planned it.
    pub projection: u32,
}

impl Marker {
    /// Whether a copy into a log was ever completed, as Kafka tells it: an offset above 0. Offset 0 alone is what a log
    /// begins with.
    pub(crate) fn copy_is_complete(&self) -> bool {
        self.position.last().is_some_and(|last| last > Offset(0))
    }
}

/// Everything that a claim is decided on.
#[derive(Debug, Clone)]
pub struct ZkFacts {
    /// `/controller_epoch`, if it exists.
    pub controller_epoch: Option<ObservedControllerEpoch>,
    /// `/controller`, if it exists.
    pub controller: Option<ObservedController>,
    /// `/migration`, if it exists.
    pub marker: Option<Marker>,
}

/// What to do with `/controller` in the claim's multi.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControllerStep {
    /// Nobody is registered: create ours.
    Create,
    /// Someone else is: delete that registration at this version, then create ours.
    Replace(ZkVersion),
    /// It is ours at this epoch already (a new session of ours, or a lost answer): check that it stays so.
    Keep(ZkVersion),
}

/// What to do with `/migration` in the claim's multi.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MarkerStep {
    /// Create it with nothing written yet.
    Create,
    /// Set it at this version.
    Set(ZkVersion),
}

/// A claim that may be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimPlan {
    /// `/controller_epoch` must still have this version; the claim raises epoch and version by one.
    pub controller_epoch: ObservedControllerEpoch,
    /// What to do with `/controller`.
    pub controller: ControllerStep,
    /// What to do with `/migration`.
    pub marker: MarkerStep,
    /// What must follow the claim. Unless it is [`AfterClaim::Resume`], the marker says that a sync is running.
    pub next: AfterClaim,
    /// Where ZooKeeper is (exclusive end).
    pub position: Position,
}

/// Why a claim is not even tried.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClaimRefusal {
    /// No `/controller_epoch`.
    #[error(
        "/controller_epoch does not exist, so no ZooKeeper-mode Kafka controller ever ran here; \
         check the address and the chroot of --zookeeper"
    )]
    NoKafkaCluster,
    /// `/controller_epoch` holds a number that can't be raised, or that no controller ever wrote.
    #[error(
        "/controller_epoch holds {epoch}, and a claim must raise an epoch between 0 and 2147483646; no controller wrote \
         that: restore the number that the last controller had (it is in the partition states as controller_epoch)"
    )]
    EpochOutOfRange {
        /// What it holds.
        epoch: ZkControllerEpoch,
    },
    /// A newer KRaft controller holds `/controller`.
    #[error(
        "/controller belongs to KRaft controller {holder} with epoch {holder_epoch}, which is not older than \
         ours ({own_epoch}); this controller was deposed"
    )]
    Fenced {
        /// Who holds it.
        holder: NodeId,
        /// With which epoch.
        holder_epoch: KRaftLeaderEpoch,
        /// Our epoch.
        own_epoch: KRaftLeaderEpoch,
    },
    /// A newer controller of our quorum wrote the marker.
    #[error(
        "/migration was written by controller {writer} in epoch {writer_epoch}, which is not older than ours ({own_epoch}); \
         this controller was deposed"
    )]
    NewerMarker {
        /// Who wrote it.
        writer: NodeId,
        /// In which epoch.
        writer_epoch: KRaftLeaderEpoch,
        /// Our epoch.
        own_epoch: KRaftLeaderEpoch,
    },
    /// A KRaft controller holds `/controller` that is none of our quorum, since there is no marker.
    #[error(
        "/controller belongs to KRaft controller {holder} with epoch {holder_epoch}, and there is no /migration of this log: \
         a controller of another log claimed this ZooKeeper. Stop it; if its migration is given up, delete /controller, then \
         try again"
    )]
    ForeignController {
        /// Who holds it.
        holder: NodeId,
        /// With which epoch.
        holder_epoch: KRaftLeaderEpoch,
    },
    /// We claimed ourselves, in an epoch that our log has never seen.
    #[error(
        "ZooKeeper was claimed by this very node ({id}) with epoch {holder_epoch}, but our log has only come to epoch \
         {own_epoch}; the data directory is an old copy. Nothing was written: start the controller on its newest data \
         directory"
    )]
    OldCopy {
        /// Our own id.
        id: NodeId,
        /// The epoch that it had.
        holder_epoch: KRaftLeaderEpoch,
        /// Our epoch.
        own_epoch: KRaftLeaderEpoch,
    },
    /// A log with the same epochs wrote the marker, and it is not ours.
    #[error(
        "/migration was written by node {writer} in epoch {epoch}, which began at {theirs} (ms since 1970), but in our log \
         that epoch began at {ours}: two copies of one data directory have both been run. Nothing was written: go on with the \
         directory that wrote ZooKeeper last, and put this one away"
    )]
    AnotherCopy {
        /// Who wrote it.
        writer: NodeId,
        /// In which epoch.
        epoch: KRaftLeaderEpoch,
        /// When that began in the log that wrote the marker.
        theirs: TimestampMs,
        /// When it began in ours.
        ours: TimestampMs,
    },
    /// The marker is not ours.
    #[error(
        "/migration was written by {writer}, not by this quorum (cluster {}, log {}); if that migration was \
         rolled back or given up, stop its controllers, delete /migration, and /controller if it names one of them, then \
         try again", ours.cluster_id, ours.log_id
    )]
    ForeignMarker {
        /// Who wrote it, for the reader.
        writer: String,
        /// Who we are.
        ours: QuorumIdentity,
    },
    /// The marker says more than our log has.
    #[error(
        "/migration says that ZooKeeper holds everything up to {marker}, {reason}; the data directory may be an old \
         copy. Nothing was written: start the controller on its newest data directory"
    )]
    AheadOfLog {
        /// What the marker says.
        marker: Position,
        /// How our log differs.
        reason: String,
    },
    /// A ZooKeeper-mode controller has governed since.
    #[error(
        "ZooKeeper was governed by someone else since this quorum last wrote it ({reason}), so it may hold changes \
         that the metadata log lacks; state ZK_GOVERNED does not end by itself"
    )]
    GovernedElsewhere {
        /// What shows it.
        reason: String,
    },
}

impl ClaimRefusal {
    /// What the caller should do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoKafkaCluster
            | Self::EpochOutOfRange { .. }
            | Self::ForeignMarker { .. }
            | Self::ForeignController { .. } => ErrorKind::Invalid,
            Self::Fenced { .. } | Self::NewerMarker { .. } => ErrorKind::ControllerFenced,
            Self::AheadOfLog { .. } | Self::OldCopy { .. } | Self::AnotherCopy { .. } => ErrorKind::Corrupt,
            Self::GovernedElsewhere { .. } => ErrorKind::GovernedElsewhere,
        }
    }
}

impl From<ClaimRefusal> for Error {
    fn from(refusal: ClaimRefusal) -> Self {
        Self::not_applied(refusal.kind(), refusal.to_string())
    }
}

/// Decides a claim by the table above.
///
/// `voters` are the ids of our quorum, `projection` the version of our planning code.
///
/// # Errors
/// The row's refusal.
pub fn decide_claim(
    facts: &ZkFacts,
    own: &KraftLeadership,
    expected: &Expected,
    quorum: &QuorumIdentity,
    voters: &BTreeSet<NodeId>,
    projection: u32,
) -> Result<ClaimPlan, ClaimRefusal> {
    let controller_epoch = facts.controller_epoch.ok_or(ClaimRefusal::NoKafkaCluster)?;
    if !(0..i32::MAX).contains(&controller_epoch.epoch.0) {
        return Err(ClaimRefusal::EpochOutOfRange { epoch: controller_epoch.epoch });
    }
    if let Some(marker) = &facts.marker {
        own_marker(marker, quorum)?;
    }
    newest_log(facts, own, expected)?;
    let writer = facts.marker.as_ref().and_then(|marker| marker.writer);
    same_log(writer, own, expected)?;
    let controller =
        controller_step(facts.controller, own).map_err(|fenced| match (fenced, expected, &facts.marker) {
            // A controller of our quorum claims and makes the marker in one multi.
            (ClaimRefusal::Fenced { holder, holder_epoch, .. }, Expected::Nothing, None) => {
                ClaimRefusal::ForeignController { holder, holder_epoch }
            }
            (fenced, _, _) => fenced,
        })?;
    newest_leader(writer, own)?;
    let (next, position) = match (expected, &facts.marker) {
        (Expected::Nothing, None) => (AfterClaim::Copy, Position::START),
        (Expected::Nothing, Some(marker)) if !marker.copy_is_complete() => (AfterClaim::Copy, Position::START),
        (Expected::Nothing, Some(marker)) => {
            return Err(ClaimRefusal::AheadOfLog {
                marker: marker.position,
                reason: "but this log has copied nothing yet".to_owned(),
            });
        }
        (Expected::Log(_), None) => {
            held_by_us(facts.controller, voters)?;
            (AfterClaim::FullSync, Position::START)
        }
        (Expected::LogOverruling(_), None) => (AfterClaim::FullSync, Position::START),
        (Expected::LogOverruling(extent), Some(marker)) => {
            in_log(marker, extent)?;
            (AfterClaim::FullSync, marker.position)
        }
        (Expected::Log(extent), Some(marker)) => {
            if marker.epoch_zk_version != Some(controller_epoch.zk_version) {
                return Err(ClaimRefusal::GovernedElsewhere {
                    reason: format!(
                        "/controller_epoch has version {}, our last claim left it at {}",
                        controller_epoch.zk_version,
                        marker.epoch_zk_version.map_or_else(|| "no version".to_owned(), |v| v.to_string()),
                    ),
                });
            }
            in_log(marker, extent)?;
            let resumable =
                marker.sync == SyncState::Done && marker.projection == projection && marker.position != Position::START;
            (if resumable { AfterClaim::Resume } else { AfterClaim::FullSync }, marker.position)
        }
    };
    let marker = facts.marker.as_ref().map_or(MarkerStep::Create, |marker| MarkerStep::Set(marker.zk_version));
    Ok(ClaimPlan { controller_epoch, controller, marker, next, position })
}

/// The epochs of a log only rise, and each of our starts begins a new one. So our own id with an epoch that our log does
/// not know was written by a later state of this very log.
fn newest_log(facts: &ZkFacts, own: &KraftLeadership, expected: &Expected) -> Result<(), ClaimRefusal> {
    let Some(ObservedController { id, kraft_epoch: Some(holder_epoch), .. }) = facts.controller else { return Ok(()) };
    // A marker is ours, or we would not be here; without one only a log that was copied into can have claimed before.
    let of_this_log = facts.marker.is_some() || expected.extent().is_some();
    if of_this_log && id == own.id && holder_epoch > own.epoch {
        return Err(ClaimRefusal::OldCopy { id, holder_epoch, own_epoch: own.epoch });
    }
    Ok(())
}

/// A data directory can be copied, and both copies be run. From then on each has epochs of its own under the same numbers.
fn same_log(writer: Option<MarkerWriter>, own: &KraftLeadership, expected: &Expected) -> Result<(), ClaimRefusal> {
    let Some(MarkerWriter { id, epoch, began }) = writer else { return Ok(()) };
    if id == own.id && epoch > own.epoch {
        return Err(ClaimRefusal::OldCopy { id, holder_epoch: epoch, own_epoch: own.epoch });
    }
    let Some(extent) = expected.extent() else { return Ok(()) };
    match (began, extent.began.get(&epoch)) {
        (Some(theirs), Some(&ours)) if theirs != ours => {
            Err(ClaimRefusal::AnotherCopy { writer: id, epoch, theirs, ours })
        }
        _ => Ok(()),
    }
}

/// `/controller` says who leads, but it can be deleted by hand; whoever claimed wrote the marker as well.
fn newest_leader(writer: Option<MarkerWriter>, own: &KraftLeadership) -> Result<(), ClaimRefusal> {
    match writer {
        Some(MarkerWriter { id, epoch, .. }) if epoch > own.epoch || (epoch == own.epoch && id != own.id) => {
            Err(ClaimRefusal::NewerMarker { writer: id, writer_epoch: epoch, own_epoch: own.epoch })
        }
        _ => Ok(()),
    }
}

fn controller_step(holder: Option<ObservedController>, own: &KraftLeadership) -> Result<ControllerStep, ClaimRefusal> {
    let Some(holder) = holder else { return Ok(ControllerStep::Create) };
    match holder.kraft_epoch {
        Some(epoch) if epoch == own.epoch && holder.id == own.id => Ok(ControllerStep::Keep(holder.zk_version)),
        Some(epoch) if epoch >= own.epoch => {
            Err(ClaimRefusal::Fenced { holder: holder.id, holder_epoch: epoch, own_epoch: own.epoch })
        }
        // An older KRaft controller, or a broker: any KRaft epoch beats any ZooKeeper epoch.
        Some(_) | None => Ok(ControllerStep::Replace(holder.zk_version)),
    }
}

pub(crate) fn own_marker(marker: &Marker, ours: &QuorumIdentity) -> Result<(), ClaimRefusal> {
    let writer = match &marker.quorum {
        Some(quorum) if quorum == ours => return Ok(()),
        Some(other) => format!("cluster {}, log {}", other.cluster_id, other.log_id),
        None => "a controller of Kafka's own".to_owned(),
    };
    Err(ClaimRefusal::ForeignMarker { writer, ours: ours.clone() })
}

fn held_by_us(holder: Option<ObservedController>, voters: &BTreeSet<NodeId>) -> Result<(), ClaimRefusal> {
    let reason = match holder {
        Some(ObservedController { id, kraft_epoch: Some(_), .. }) if voters.contains(&id) => return Ok(()),
        Some(ObservedController { id, .. }) => format!("/migration is gone and node {id} holds /controller"),
        None => "/migration and /controller are gone".to_owned(),
    };
    Err(ClaimRefusal::GovernedElsewhere { reason })
}

pub(crate) fn in_log(marker: &Marker, extent: &metadata_core::leadership::LogExtent) -> Result<(), ClaimRefusal> {
    let ahead = |reason: String| ClaimRefusal::AheadOfLog { marker: marker.position, reason };
    if let Some(last) = marker.position.last() {
        match extent.epoch_at(last) {
            Some(epoch) if epoch == marker.position.epoch => {}
            Some(epoch) => return Err(ahead(format!("but in our log offset {last} is of epoch {epoch}"))),
            // A log that began anew with a snapshot can't be compared there, and is not behind. Whoever goes on finds no image to
            // go on from, and syncs everything.
            None if extent
                .epochs
                .first()
                .is_some_and(|(first, start)| last < *start && marker.position.epoch <= *first) => {}
            None => return Err(ahead(format!("but our log ends before offset {}", extent.end_offset))),
        }
    }
    match marker.batch_end {
        Some(end) if end > extent.end_offset => {
            Err(ahead(format!("with a batch up to {end} under way, but our log ends before {}", extent.end_offset)))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
