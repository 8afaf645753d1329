//! The states of a migration from ZooKeeper, as the log has them.

use std::fmt;

use super::ZkMigrationStateRecord;

/// Where a cluster stands on its way from ZooKeeper to KRaft (`ZkMigrationState.java`, KIP-866).
///
/// The usual path is [`PreMigration`](Self::PreMigration), [`Migration`](Self::Migration),
/// [`PostMigration`](Self::PostMigration). The numbers do not follow it, so the states have no order here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ZkMigrationState {
    /// 0: the cluster was born in KRaft. Holds too when the log has no record of a state.
    #[default]
    None,
    /// 1: what ZooKeeper held is in the log, and every change is written to both.
    Migration,
    /// 2: the log was started for a migration, and nothing was copied into it yet.
    PreMigration,
    /// 3: the migration was finalized. Nothing leads out of this state.
    PostMigration,
    /// 4: controllers still run on ZooKeeper. Kafka has it for a metric and writes it to no log.
    Zk,
}

impl ZkMigrationState {
    /// The state with this number, as in a [`ZkMigrationStateRecord`], or `None` outside 0 to 4: a newer Kafka may have
    /// written it.
    pub fn from_code(code: i8) -> Option<Self> {
        match code {
            0 => Some(Self::None),
            1 => Some(Self::Migration),
            2 => Some(Self::PreMigration),
            3 => Some(Self::PostMigration),
            4 => Some(Self::Zk),
            _ => None,
        }
    }

    /// The number, as in a [`ZkMigrationStateRecord`].
    pub fn code(self) -> i8 {
        match self {
            Self::None => 0,
            Self::Migration => 1,
            Self::PreMigration => 2,
            Self::PostMigration => 3,
            Self::Zk => 4,
        }
    }

    /// The record that enters this state.
    pub fn to_record(self) -> ZkMigrationStateRecord {
        ZkMigrationStateRecord { zk_migration_state: self.code(), ..Default::default() }
    }
}

impl fmt::Display for ZkMigrationState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "NONE",
            Self::Migration => "MIGRATION",
            Self::PreMigration => "PRE_MIGRATION",
            Self::PostMigration => "POST_MIGRATION",
            Self::Zk => "ZK",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_and_names_are_kafkas() {
        let names: Vec<_> = (0..=4).map(|code| ZkMigrationState::from_code(code).unwrap().to_string()).collect();
        assert_eq!(names, ["NONE", "MIGRATION", "PRE_MIGRATION", "POST_MIGRATION", "ZK"]);
    }

    #[test]
    fn every_number_that_is_a_state_comes_back_and_no_other_is_one() {
        for code in i8::MIN..=i8::MAX {
            let state = ZkMigrationState::from_code(code);
            assert_eq!(state.is_some(), (0..=4).contains(&code), "{code}");
            if let Some(state) = state {
                assert_eq!((state.code(), state.to_record().zk_migration_state), (code, code));
            }
        }
    }
}
