//! The ports of a rollback: ZooKeeper's controller role, given back to the brokers in ZooKeeper mode.
//!
//! A migration that is not finalized can be given up. What then goes from ZooKeeper is small (Kafka's
//! `docs/ops.html`, "Reverting to ZooKeeper mode during the migration"): the marker and the registration of our
//! controller. Kafka leaves it to the operator, and what he forgets loses metadata later (KAFKA-17146, KAFKA-20488). Here it
//! is planned ([`ControllerRole::plan_give_back`]) and then done in one write or not at all ([`ControllerRole::give_back`]);
//! [`RollbackKeeper`] keeps on our side what went, and that this log must never claim again.

use async_trait::async_trait;

use crate::error::Result;
use crate::id::{KRaftLeaderEpoch, NodeId, Position, ZkControllerEpoch, ZkVersion};
use crate::image::MetadataImage;
use crate::leadership::LogExtent;
use crate::record::ZkMigrationState;

/// What our own log says, for a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnLog {
    /// The migration state in it.
    pub state: ZkMigrationState,
    /// Whether it holds no record of a cluster: no metadata version, no topic, nothing that a copy would bring.
    pub empty: bool,
    /// The newest epoch that it knows.
    pub epoch: KRaftLeaderEpoch,
    /// Its epochs and its end.
    pub extent: LogExtent,
    /// Where ZooKeeper is held, by a writer whose barrier has confirmed it (exclusive end). `None` while nobody holds it:
    /// then a batch may be half written.
    pub drained: Option<Position>,
    /// Whether a rollback of this log was finished before.
    pub sealed: bool,
}

/// What was found in ZooKeeper: the stage that is rolled back from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GiveBackStage {
    /// This log never took anything: its controllers were provisioned, at most.
    NothingTaken,
    /// A controller of this log holds the role, and has copied nothing yet.
    RoleHeld,
    /// The metadata is copied and ZooKeeper was kept in step, or was about to be.
    Migrating,
    /// The registration of a controller of this log is there, and no marker: somebody began to go back by hand.
    ControllerLeft,
    /// The marker of this log is there, and the role is not ours any more: somebody went back by hand and forgot the marker.
    MarkerLeft,
    /// Nothing of this log is there, but partitions are out of reach for the next ZooKeeper-mode controller.
    EpochTooLow,
    /// Nothing of this log is there any more.
    GivenBack,
}

impl GiveBackStage {
    /// The name that reports have.
    pub fn name(self) -> &'static str {
        match self {
            Self::NothingTaken => "NOTHING_TAKEN",
            Self::RoleHeld => "ROLE_HELD",
            Self::Migrating => "MIGRATING",
            Self::ControllerLeft => "CONTROLLER_LEFT",
            Self::MarkerLeft => "MARKER_LEFT",
            Self::EpochTooLow => "EPOCH_TOO_LOW",
            Self::GivenBack => "GIVEN_BACK",
        }
    }
}

/// An entry of ZooKeeper as it was before it was removed or changed, bookkeeping included.
#[derive(Clone, PartialEq, Eq)]
pub struct KeptEntry {
    /// Its path, within the chroot.
    pub path: String,
    /// Its data.
    pub data: Vec<u8>,
    /// Its data version.
    pub zk_version: ZkVersion,
    /// The transaction that made it.
    pub czxid: i64,
    /// The transaction that last set its data.
    pub mzxid: i64,
    /// When it was made, in milliseconds since 1970.
    pub ctime_ms: i64,
    /// When its data was last set, in milliseconds since 1970.
    pub mtime_ms: i64,
    /// The session that it goes with; 0 when it stays.
    pub ephemeral_owner: i64,
}

/// Shows the length only, as everything does that holds data of ZooKeeper.
impl std::fmt::Debug for KeptEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} v{} ({} bytes)", self.path, self.zk_version, self.data.len())
    }
}

/// How `/controller_epoch` is raised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RaisedEpoch {
    /// What it holds now.
    pub present: ZkControllerEpoch,
    /// At which version.
    pub zk_version: ZkVersion,
    /// What it is to hold: above every controller epoch stored in a partition's state, and above every KRaft epoch of our
    /// log. A ZooKeeper-mode controller touches no partition whose stored epoch is above its own (KAFKA-20488).
    pub raised: ZkControllerEpoch,
}

/// What a look at all partition states found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PartitionsSeen {
    /// How many states there are.
    pub states: u64,
    /// The highest controller epoch in one of them.
    pub epoch_max: Option<ZkControllerEpoch>,
    /// How many have a znode version above the partition's epoch in our image. Their brokers know the lower one.
    pub version_above: u64,
    /// How many have a znode version below it: brokers that know the higher one ignore what the next controller says.
    pub version_below: u64,
    /// The first ones of both kinds, a sentence each.
    pub named: Vec<String>,
}

/// How a rollback is to be done, as planned on what was read in one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GiveBackPlan {
    /// What was found.
    pub stage: GiveBackStage,
    /// How `/controller_epoch` is raised, if it is.
    pub raise: Option<RaisedEpoch>,
    /// The version of `/controller_epoch` that must still be there.
    pub epoch_zk_version: Option<ZkVersion>,
    /// What is deleted, each at its version.
    pub deleted: Vec<KeptEntry>,
    /// `/controller_epoch` as it is now.
    pub epoch_entry: Option<KeptEntry>,
    /// Why this plan can't be carried out yet: ZooKeeper is not exactly at a whole batch, as far as one can tell.
    pub unfinished: Option<String>,
    /// Where ZooKeeper is, by the marker (exclusive end); `None` without one.
    pub position: Option<Position>,
    /// What is in the partition states.
    pub partitions: PartitionsSeen,
}

impl GiveBackPlan {
    /// Whether there is anything to write.
    pub fn writes(&self) -> bool {
        self.raise.is_some() || !self.deleted.is_empty()
    }
}

/// Who governs ZooKeeper.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Governance {
    /// The holder of `/controller`, and its KRaft epoch; `None` in the place of the epoch for a broker in ZooKeeper mode.
    pub controller: Option<(NodeId, Option<KRaftLeaderEpoch>)>,
    /// What `/controller_epoch` holds.
    pub epoch: Option<ZkControllerEpoch>,
    /// Whether there is a marker, whosever.
    pub marker: bool,
    /// The brokers in `/brokers/ids`.
    pub brokers: Vec<NodeId>,
}

impl Governance {
    /// The broker in ZooKeeper mode that is the controller.
    pub fn elected_broker(&self) -> Option<NodeId> {
        self.controller.and_then(|(id, kraft)| kraft.is_none().then_some(id))
    }
}

/// The controller role of a ZooKeeper, as what it is to give it back.
///
/// Implementation: `store_zk::ZkStore`.
#[async_trait]
pub trait ControllerRole: Send + Sync {
    /// Looks behind a barrier at the role, the marker and all partition states, and says how the role is given back.
    /// `image` is what our log holds where ZooKeeper is; partition epochs are compared with it. Nothing is written, and the
    /// plan holds only as long as nobody writes what it names.
    ///
    /// # Errors
    /// A refusal, with its reason and what to do: `Unsupported`, the migration is finalized or the log is of none;
    /// `Invalid`, the marker or a registration is another log's, or `/controller_epoch` can't be raised;
    /// `GovernedElsewhere`, somebody governed ZooKeeper since we did, while a batch of ours was half written; `Corrupt`,
    /// ZooKeeper holds more than our log. `Invalid` too when a znode can't be understood; `Unavailable`, `Unauthorized` as
    /// usual.
    async fn plan_give_back(&self, own: &OwnLog, image: &MetadataImage) -> Result<GiveBackPlan>;

    /// Carries out a plan: in **one** write, at the versions that the plan was made on, it sets `/controller_epoch` and
    /// deletes the marker and `/controller`. On return it is durable, every claim of ours is void, and writes of ours that
    /// are still on their way bounce. A plan that writes nothing succeeds at once.
    ///
    /// # Errors
    /// `Conflict`, not applied: something of the plan moved, or the plan is unfinished; plan again. `Unavailable` with
    /// `Outcome::Unknown`: it happened as a whole or not at all; plan again, which tells ([`GiveBackStage::GivenBack`]).
    /// `Unauthorized` as usual.
    async fn give_back(&self, plan: &GiveBackPlan) -> Result<()>;

    /// Who governs now. Linearizable.
    ///
    /// # Errors
    /// `Unavailable`, `Unauthorized`; `Invalid` when a znode can't be understood.
    async fn governance(&self) -> Result<Governance>;

    /// The highest controller epoch in a partition state; `None` without any.
    ///
    /// # Errors
    /// As [`Self::governance`].
    async fn partition_epoch_max(&self) -> Result<Option<ZkControllerEpoch>>;
}

/// What our side keeps of a rollback. The implementation is durable on return of each method.
#[async_trait]
pub trait RollbackKeeper: Send + Sync {
    /// Whether a rollback was finished here ([`Self::seal`]).
    ///
    /// # Errors
    /// It can't be read.
    async fn is_sealed(&self) -> Result<bool>;

    /// Keeps a copy of what the plan removes, and that a rollback has begun. From then on no controller may start on this
    /// log until the rollback is finished or [abandoned](Self::abandon): one whose log says PRE_MIGRATION would claim anew.
    ///
    /// # Errors
    /// It can't be written. Nothing was given back then.
    async fn begin(&self, plan: &GiveBackPlan) -> Result<()>;

    /// Forgets a rollback that was begun and of which certainly nothing was written.
    ///
    /// # Errors
    /// It can't be written.
    async fn abandon(&self) -> Result<()>;

    /// Seals the log for ever: no controller may claim with it again. What [`Self::begin`] kept stays.
    ///
    /// # Errors
    /// It can't be written. The role is given back all the same; the rollback is to be run again.
    async fn seal(&self, plan: &GiveBackPlan) -> Result<()>;
}
