//! What a node says of where its metadata live: the metric `MetadataType` of KIP-866.

use std::fmt;

use metadata_core::record::ZkMigrationState;

/// Who reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NodeKind {
    /// A broker in ZooKeeper mode, whether or not it is configured for the migration.
    ZkBroker,
    /// A broker in KRaft mode.
    KRaftBroker,
    /// A controller of the quorum.
    Controller,
}

impl NodeKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::ZkBroker, Self::KRaftBroker, Self::Controller];
}

/// Where the metadata live, with Kafka's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MetadataType {
    /// 1: in ZooKeeper.
    ZooKeeper,
    /// 2: in the log.
    KRaft,
    /// 3: in the log, and every change is written to ZooKeeper too. Only a controller can know.
    Dual,
}

impl MetadataType {
    /// What a node of this kind reports while the log is in this state:
    ///
    /// | log | broker in ZooKeeper mode | broker in KRaft mode | controller |
    /// | --- | --- | --- | --- |
    /// | NONE | ZooKeeper | KRaft | KRaft |
    /// | PRE_MIGRATION | ZooKeeper | KRaft | ZooKeeper |
    /// | MIGRATION | ZooKeeper | KRaft | Dual |
    /// | POST_MIGRATION | ZooKeeper | KRaft | KRaft |
    /// | ZK | ZooKeeper | KRaft | ZooKeeper |
    ///
    /// Brokers report how they run. A controller reports where the truth is and whether it has a copy: before the copy is
    /// complete its log holds nothing of the cluster. ZK stands in no log; it is what a controller in ZooKeeper mode says.
    pub fn of(kind: NodeKind, log: ZkMigrationState) -> Self {
        match (kind, log) {
            (NodeKind::ZkBroker, _) => Self::ZooKeeper,
            (NodeKind::KRaftBroker, _) => Self::KRaft,
            (NodeKind::Controller, ZkMigrationState::PreMigration | ZkMigrationState::Zk) => Self::ZooKeeper,
            (NodeKind::Controller, ZkMigrationState::Migration) => Self::Dual,
            (NodeKind::Controller, ZkMigrationState::None | ZkMigrationState::PostMigration) => Self::KRaft,
        }
    }

    /// The metric's value.
    pub fn code(self) -> i8 {
        match self {
            Self::ZooKeeper => 1,
            Self::KRaft => 2,
            Self::Dual => 3,
        }
    }
}

impl fmt::Display for MetadataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ZooKeeper => "ZooKeeper",
            Self::KRaft => "KRaft",
            Self::Dual => "Dual",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_of_the_documented_table_is_what_is_reported() {
        let source = include_str!("metadata_type.rs");
        let rows = source.lines().filter_map(|line| line.trim().strip_prefix("/// | ")).skip(2);
        let mut judged = 0;
        for row in rows {
            let cells: Vec<_> = row.trim_end_matches('|').split('|').map(str::trim).collect();
            let log = (0..=4).filter_map(ZkMigrationState::from_code).find(|state| state.to_string() == cells[0]);
            let log = log.unwrap_or_else(|| panic!("{row}"));
            let reported = NodeKind::ALL.map(|kind| MetadataType::of(kind, log).to_string());
            assert_eq!(reported.as_slice(), &cells[1..], "{row}");
            judged += 1;
        }
        assert_eq!(judged, 5, "every state of the log has a row");
    }

    #[test]
    fn the_numbers_are_kafkas() {
        assert_eq!(
            [MetadataType::ZooKeeper, MetadataType::KRaft, MetadataType::Dual].map(MetadataType::code),
            [1, 2, 3]
        );
    }
}
