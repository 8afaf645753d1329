//! Which writes pass, as a table: what the log says, against who writes.

use std::fmt;

use metadata_core::image::MetadataImage;
use metadata_core::record::ZkMigrationState;

/// Kinds of writes to the metadata log, told apart by what it would cost to hold them back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum WriteClass {
    /// What a person or a tool asks for: topics and partitions, reassignments, configs, quotas, ACLs, SCRAM credentials,
    /// delegation tokens, finalized features other than `metadata.version`. It can wait.
    Administrative,
    /// A change of `metadata.version`.
    MetadataVersion,
    /// Leaders and in-sync replicas: elections of any kind, `AlterPartition`, `AssignReplicasToDirs`. Partitions are
    /// unavailable while it waits.
    LeaderAndIsr,
    /// A block of producer ids for a broker. New producers stand still while it waits.
    ProducerIds,
    /// A broker registers, is fenced or unfenced (heartbeats), shuts down, is unregistered. Its session ends while it
    /// waits.
    BrokerLifecycle,
    /// A controller registers (KIP-919).
    ControllerRegistration,
    /// The active controller's own: the first records of an empty log, the copy, the migration state, no-op records.
    MigrationRecords,
}

impl WriteClass {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Administrative,
        Self::MetadataVersion,
        Self::LeaderAndIsr,
        Self::ProducerIds,
        Self::BrokerLifecycle,
        Self::ControllerRegistration,
        Self::MigrationRecords,
    ];

    /// In words, as errors and the table print it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Administrative => "administrative",
            Self::MetadataVersion => "metadata.version",
            Self::LeaderAndIsr => "leader and ISR",
            Self::ProducerIds => "producer ids",
            Self::BrokerLifecycle => "broker lifecycle",
            Self::ControllerRegistration => "controller registration",
            Self::MigrationRecords => "migration records",
        }
    }
}

/// What the log says about the migration, as far as the gate goes by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LogPhase {
    /// No metadata record yet. Whatever came before the first records of the active controller would make this log one
    /// that was born in KRaft, and no migration could begin in it.
    Empty,
    /// Born in KRaft (NONE): the gate has no say.
    None,
    /// Started for a migration, nothing copied (PRE_MIGRATION). The copy's transaction is open in this phase: what is in
    /// it is not visible before it ends.
    PreMigration,
    /// Both sides are written (MIGRATION).
    Migration,
    /// Finalized (POST_MIGRATION).
    PostMigration,
}

impl LogPhase {
    /// All of them, in the order of a migration's life.
    pub const ALL: [Self; 5] = [Self::Empty, Self::None, Self::PreMigration, Self::Migration, Self::PostMigration];

    /// What the image of the log's end says.
    pub fn of(image: &MetadataImage) -> Self {
        match image.zk_migration_state() {
            ZkMigrationState::None
                if image.features().metadata_version().is_none() && image.is_free_of_cluster_metadata() =>
            {
                Self::Empty
            }
            ZkMigrationState::None => Self::None,
            // ZK is written to no log. Whoever wrote it, the controllers in ZooKeeper decide: nothing is changed here.
            ZkMigrationState::PreMigration | ZkMigrationState::Zk => Self::PreMigration,
            ZkMigrationState::Migration => Self::Migration,
            ZkMigrationState::PostMigration => Self::PostMigration,
        }
    }

    /// Kafka's spelling of the state, and "empty".
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::None => "NONE",
            Self::PreMigration => "PRE_MIGRATION",
            Self::Migration => "MIGRATION",
            Self::PostMigration => "POST_MIGRATION",
        }
    }
}

impl fmt::Display for LogPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How far ZooKeeper is behind the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Lag {
    /// Records that ZooKeeper lacks.
    pub records: u64,
    /// How long the oldest of them has been in the log, in milliseconds; 0 when there is none.
    pub ms: u64,
}

impl fmt::Display for Lag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} records and {} ms", self.records, self.ms)
    }
}

/// How far ZooKeeper may be behind before administrative writes wait. Kafka has no such limit. Both bounds are inclusive.
///
/// The gate sees the lag after each append, not before: what was let through at once may pass the limit by as much as was
/// under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DivergenceBudget {
    /// This many records, inclusive.
    pub lag_records_max: u64,
    /// This many milliseconds, inclusive.
    pub lag_ms_max: u64,
}

impl DivergenceBudget {
    /// Five of the largest appends that there are (10,000 records each): a single large request never closes the gate by
    /// itself, and ZooKeeper makes up for it within seconds.
    pub const LAG_RECORDS_MAX: u64 = 50_000;
    /// One minute. A restarted ZooKeeper server, or an election in the ensemble, takes less, and nobody notices it.
    pub const LAG_MS_MAX: u64 = 60_000;

    /// Whether a lag is within both bounds.
    pub fn holds(&self, lag: Lag) -> bool {
        lag.records <= self.lag_records_max && lag.ms <= self.lag_ms_max
    }
}

impl Default for DivergenceBudget {
    fn default() -> Self {
        Self { lag_records_max: Self::LAG_RECORDS_MAX, lag_ms_max: Self::LAG_MS_MAX }
    }
}

impl fmt::Display for DivergenceBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} records or {} ms", self.lag_records_max, self.lag_ms_max)
    }
}

/// What is known at a moment, for the verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observation {
    /// What the log says.
    pub phase: LogPhase,
    /// How far ZooKeeper is behind; `None` while nobody knows, as after an election until ZooKeeper is claimed.
    pub lag: Option<Lag>,
}

/// The verdict on a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It may be written now.
    Pass,
    /// Not before ZooKeeper has come closer.
    Wait(WaitReason),
    /// Not in this phase of the migration.
    Refuse(Refusal),
}

/// Why a write waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitReason {
    /// ZooKeeper is further behind than it may be.
    OverBudget(Lag),
    /// Where ZooKeeper is, is not known, so it may be any distance behind.
    LagUnknown,
}

/// Why a write is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// The active controller's first records come before all others.
    NotBootstrapped,
    /// Before the copy the metadata are frozen on this side: the controller in ZooKeeper still changes them.
    Frozen,
    /// Brokers in ZooKeeper mode have one fixed version, so it can't change before the migration is finalized.
    MetadataVersionFixed,
}

impl Refusal {
    /// The error code with which Kafka's controller answers. NOT_CONTROLLER (41) makes clients and forwarding brokers try
    /// again; INVALID_UPDATE_VERSION (95) does not.
    pub fn kafka_error_code(self) -> i16 {
        match self {
            Self::NotBootstrapped | Self::Frozen => 41,
            Self::MetadataVersionFixed => 95,
        }
    }

    fn error_name(self) -> &'static str {
        match self {
            Self::NotBootstrapped | Self::Frozen => "NOT_CONTROLLER",
            Self::MetadataVersionFixed => "INVALID_UPDATE_VERSION",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotBootstrapped => "the metadata log has no first records yet; try again",
            Self::Frozen => {
                "ZooKeeper's metadata are not copied yet, and its controller still changes them; try again after the copy"
            }
            Self::MetadataVersionFixed => {
                "metadata.version can't change while a migration is under way; finalize the migration first"
            }
        })
    }
}

/// A cell of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    Pass,
    /// Passes as long as ZooKeeper is within the budget, and waits else.
    Bounded,
    Refuse(Refusal),
}

/// The table (KIP-866; Kafka: `QuorumController`, events that run in pre-migration mode). Beyond Kafka: a budget bounds the
/// lag, and an empty log takes nothing before its first records.
///
/// What is open in the copy's transaction changes no cell: registrations and heartbeats pass it, or brokers would lose
/// their sessions during a long copy (KAFKA-15441).
fn rule(phase: LogPhase, class: WriteClass) -> Rule {
    use {LogPhase as L, WriteClass as W};
    match (phase, class) {
        (_, W::MigrationRecords) | (L::None | L::PostMigration, _) => Rule::Pass,
        (L::Empty, _) => Rule::Refuse(Refusal::NotBootstrapped),
        (L::PreMigration | L::Migration, W::BrokerLifecycle | W::ControllerRegistration) => Rule::Pass,
        (L::PreMigration | L::Migration, W::MetadataVersion) => Rule::Refuse(Refusal::MetadataVersionFixed),
        (L::PreMigration, W::Administrative | W::LeaderAndIsr | W::ProducerIds) => Rule::Refuse(Refusal::Frozen),
        (L::Migration, W::LeaderAndIsr | W::ProducerIds) => Rule::Pass,
        (L::Migration, W::Administrative) => Rule::Bounded,
    }
}

/// May this be written now?
pub fn admission(seen: Observation, class: WriteClass, budget: DivergenceBudget) -> Admission {
    match (rule(seen.phase, class), seen.lag) {
        (Rule::Pass, _) => Admission::Pass,
        (Rule::Refuse(reason), _) => Admission::Refuse(reason),
        (Rule::Bounded, None) => Admission::Wait(WaitReason::LagUnknown),
        (Rule::Bounded, Some(lag)) if budget.holds(lag) => Admission::Pass,
        (Rule::Bounded, Some(lag)) => Admission::Wait(WaitReason::OverBudget(lag)),
    }
}

/// The table as documents print it.
pub fn as_markdown() -> String {
    let mut text = String::from("| write |");
    text.extend(LogPhase::ALL.iter().map(|phase| format!(" {phase} |")));
    text.push_str("\n| --- |");
    text.push_str(&" --- |".repeat(LogPhase::ALL.len()));
    text.push('\n');
    for class in WriteClass::ALL {
        text.push_str(&format!("| {} |", class.name()));
        for phase in LogPhase::ALL {
            let cell = match rule(phase, class) {
                Rule::Pass => "pass",
                Rule::Bounded => "wait while over the budget",
                Rule::Refuse(refusal) => refusal.error_name(),
            };
            text.push_str(&format!(" {cell} |"));
        }
        text.push('\n');
    }
    text
}
