//! Where the driver is.

use std::fmt;

/// The states of Kafka's driver (`MigrationDriverState`), under its names, and the two that Kafka lacks.
///
/// This is soft state: it is lost with the process. What lasts is the migration state in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum State {
    /// Not the leader.
    Inactive,
    /// Leader; reading what the log says.
    WaitForControllerQuorum,
    /// Leader of a log that has copied nothing; waiting for the brokers.
    WaitForBrokers,
    /// Taking the controller role in ZooKeeper.
    BecomeController,
    /// Copying ZooKeeper into the log, in one transaction.
    ZkMigration,
    /// Making ZooKeeper equal to the image.
    SyncKRaftToZk,
    /// Telling the ZooKeeper-mode brokers everything.
    KRaftControllerToBrokerComm,
    /// Every change goes to ZooKeeper too.
    DualWrite,
    /// Leader, and unable to go on until an operator acts or another leader is elected.
    Blocked,
    /// ZooKeeper was governed by someone else since we last wrote it. Left only by the operator's word.
    ZkGoverned,
}

impl State {
    /// All states, in the order of a migration's life.
    pub const ALL: [Self; 10] = [
        Self::Inactive,
        Self::WaitForControllerQuorum,
        Self::WaitForBrokers,
        Self::BecomeController,
        Self::ZkMigration,
        Self::SyncKRaftToZk,
        Self::KRaftControllerToBrokerComm,
        Self::DualWrite,
        Self::Blocked,
        Self::ZkGoverned,
    ];

    /// Kafka's spelling.
    pub fn name(self) -> &'static str {
        match self {
            Self::Inactive => "INACTIVE",
            Self::WaitForControllerQuorum => "WAIT_FOR_CONTROLLER_QUORUM",
            Self::WaitForBrokers => "WAIT_FOR_BROKERS",
            Self::BecomeController => "BECOME_CONTROLLER",
            Self::ZkMigration => "ZK_MIGRATION",
            Self::SyncKRaftToZk => "SYNC_KRAFT_TO_ZK",
            Self::KRaftControllerToBrokerComm => "KRAFT_CONTROLLER_TO_BROKER_COMM",
            Self::DualWrite => "DUAL_WRITE",
            Self::Blocked => "BLOCKED",
            Self::ZkGoverned => "ZK_GOVERNED",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
