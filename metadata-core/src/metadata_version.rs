//! Kafka's metadata version: the level at which a cluster agreed to write its metadata.

mod range;

use std::fmt;
use std::str::FromStr;

pub use range::MetadataVersionRange;

/// A level of the feature `metadata.version`, 1 to 33 in Kafka 4.4 (`MetadataVersion.java`). Ordered as the levels are.
///
/// Levels above 21 are those of the releases of Kafka 4, whose logs we read. Kafka 3.9 has 22 and 23 too, but not for
/// production, and there partitions have eligible leader replicas from 22 on.
///
/// Its text is the name that Kafka's tools take, `3.9-IV0` for level 21. It says in which version records are written,
/// see [`record_version`](crate::record::record_version), and which kinds of records may be written at all.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MetadataVersion(i16);

/// Names by level, the first that of level 1.
const NAMES: [&str; 33] = [
    "3.0-IV1", "3.1-IV0", "3.2-IV0", "3.3-IV0", "3.3-IV1", "3.3-IV2", "3.3-IV3", "3.4-IV0", "3.5-IV0", "3.5-IV1",
    "3.5-IV2", "3.6-IV0", "3.6-IV1", "3.6-IV2", "3.7-IV0", "3.7-IV1", "3.7-IV2", "3.7-IV3", "3.7-IV4", "3.8-IV0",
    "3.9-IV0", "4.0-IV0", "4.0-IV1", "4.0-IV2", "4.0-IV3", "4.1-IV0", "4.1-IV1", "4.2-IV0", "4.2-IV1", "4.3-IV0",
    "4.4-IV0", "4.4-IV1", "4.4-IV2",
];

/// A text that names no metadata version of a KRaft cluster.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no metadata version: expected a release (3.9) or a name (3.9-IV0), from 3.0-IV1 to 4.4-IV2")]
pub struct ParseMetadataVersionError {
    text: String,
}

impl MetadataVersion {
    /// Name of the feature in a [`FeatureLevelRecord`](crate::record::FeatureLevelRecord).
    pub const FEATURE_NAME: &'static str = "metadata.version";

    /// Level 1: the lowest of KRaft, and what a log without any feature record has.
    pub const V3_0_IV1: Self = Self(1);
    /// Level 4: the first that a log states by a record; new logs start at this or above.
    pub const V3_3_IV0: Self = Self(4);
    /// Level 5: `NoOpRecord`.
    pub const V3_3_IV1: Self = Self(5);
    /// Level 6: `BrokerRegistrationChangeRecord` replaces the two records that fence and unfence.
    pub const V3_3_IV2: Self = Self(6);
    /// Level 7: brokers in controlled shutdown.
    pub const V3_3_IV3: Self = Self(7);
    /// Level 8: the first migrations from ZooKeeper; `ZkMigrationStateRecord`.
    pub const V3_4_IV0: Self = Self(8);
    /// Level 11: SCRAM credentials.
    pub const V3_5_IV2: Self = Self(11);
    /// Level 12: a smaller ISR no longer raises the leader epoch, unless a migration is enabled.
    pub const V3_6_IV0: Self = Self(12);
    /// Level 13: metadata transactions; the lowest at which Kafka 3.9 starts a migration.
    pub const V3_6_IV1: Self = Self(13);
    /// Level 14: delegation tokens.
    pub const V3_6_IV2: Self = Self(14);
    /// Level 15: controllers register.
    pub const V3_7_IV0: Self = Self(15);
    /// Level 17: log directories of brokers and replicas (KIP-858).
    pub const V3_7_IV2: Self = Self(17);
    /// Level 20: nothing changes in the records.
    pub const V3_8_IV0: Self = Self(20);
    /// Level 21: what Kafka 3.9 formats new clusters with.
    pub const V3_9_IV0: Self = Self(21);
    /// Level 22: nothing changes in the records. Not for production in Kafka 3.9.
    pub const V4_0_IV0: Self = Self(22);
    /// Level 23: eligible leader replicas (KIP-966), and the highest that Kafka 3.9 knows. Not for production there.
    pub const V4_0_IV1: Self = Self(23);
    /// Level 30: cordoned log directories (KIP-1066).
    pub const V4_3_IV0: Self = Self(30);
    /// Level 33: the highest that Kafka 4.4 runs in production. Controllers can be unregistered.
    pub const V4_4_IV2: Self = Self(33);

    /// The lowest level.
    pub const LOWEST: Self = Self::V3_0_IV1;
    /// The highest level that Kafka 3.9 runs in production.
    pub const LATEST_PRODUCTION: Self = Self::V3_9_IV0;
    /// The highest level that we know: nothing is written at levels above [`Self::LATEST_PRODUCTION`] unless told so.
    pub const HIGHEST: Self = Self::V4_4_IV2;

    /// The metadata version with this level, or `None` outside 1 to 33.
    pub fn from_level(level: i16) -> Option<Self> {
        (Self::LOWEST.0..=Self::HIGHEST.0).contains(&level).then_some(Self(level))
    }

    /// The level, as in a [`FeatureLevelRecord`](crate::record::FeatureLevelRecord).
    pub fn level(self) -> i16 {
        self.0
    }

    /// All metadata versions, ascending.
    pub fn all() -> impl DoubleEndedIterator<Item = Self> {
        (Self::LOWEST.0..=Self::HIGHEST.0).map(Self)
    }

    /// Kafka's name, `3.9-IV0` for instance.
    pub fn name(self) -> &'static str {
        usize::try_from(self.0 - 1).ok().and_then(|index| NAMES.get(index).copied()).unwrap_or("unknown")
    }

    /// The release that brought it: `3.9` for `3.9-IV0`.
    pub fn release(self) -> &'static str {
        self.name().split_once('-').map_or("unknown", |(release, _)| release)
    }

    /// Whether `NoOpRecord` may be written.
    pub fn supports_no_op(self) -> bool {
        self >= Self::V3_3_IV1
    }

    /// Whether brokers are fenced and unfenced by `BrokerRegistrationChangeRecord`; below that by the older pair.
    pub fn supports_broker_registration_change(self) -> bool {
        self >= Self::V3_3_IV2
    }

    /// Whether the log says how far a migration is, and which brokers are in ZooKeeper mode. Enough to go on with a
    /// migration; to start one, see [`Self::supports_zk_migration_start`].
    pub fn supports_zk_migration_state(self) -> bool {
        self >= Self::V3_4_IV0
    }

    /// Whether a migration may be started on an empty log.
    pub fn supports_zk_migration_start(self) -> bool {
        self >= Self::V3_6_IV1
    }

    /// Whether SCRAM credentials can be stored.
    pub fn supports_scram(self) -> bool {
        self >= Self::V3_5_IV2
    }

    /// Whether a smaller ISR must raise the leader epoch. A migration asks for that above, too.
    pub fn requires_leader_epoch_bump_on_isr_shrink(self) -> bool {
        self < Self::V3_6_IV0
    }

    /// Whether records can be wrapped in metadata transactions (KIP-868).
    pub fn supports_transactions(self) -> bool {
        self >= Self::V3_6_IV1
    }

    /// Whether delegation tokens can be stored.
    pub fn supports_delegation_tokens(self) -> bool {
        self >= Self::V3_6_IV2
    }

    /// Whether controllers register.
    pub fn supports_controller_registration(self) -> bool {
        self >= Self::V3_7_IV0
    }

    /// Whether brokers and replicas have log directories (KIP-858).
    pub fn supports_directories(self) -> bool {
        self >= Self::V3_7_IV2
    }

    /// Whether partitions have eligible leader replicas (KIP-966).
    pub fn supports_elr(self) -> bool {
        self >= Self::V4_0_IV1
    }

    /// Whether brokers have cordoned log directories (KIP-1066).
    pub fn supports_cordoned_directories(self) -> bool {
        self >= Self::V4_3_IV0
    }

    /// In which version a [`RegisterBrokerRecord`](crate::record::RegisterBrokerRecord) is written.
    pub fn register_broker_record_version(self) -> i16 {
        match self {
            at if at >= Self::V4_3_IV0 => 4,
            at if at >= Self::V3_7_IV2 => 3,
            at if at >= Self::V3_4_IV0 => 2,
            at if at >= Self::V3_3_IV3 => 1,
            _ => 0,
        }
    }

    /// In which version a [`PartitionRecord`](crate::record::PartitionRecord) is written. The copy of a migration is an
    /// exception: Kafka writes its partitions in version 0 (`ZkMigrationClient.scala`).
    pub fn partition_record_version(self) -> i16 {
        match self {
            at if at >= Self::V4_0_IV1 => 2,
            at if at >= Self::V3_7_IV2 => 1,
            _ => 0,
        }
    }

    /// In which version a [`PartitionChangeRecord`](crate::record::PartitionChangeRecord) is written.
    pub fn partition_change_record_version(self) -> i16 {
        // The two gained the same fields at the same time.
        self.partition_record_version()
    }

    /// Whether Kafka 3.9 runs it in production.
    pub fn is_production(self) -> bool {
        self <= Self::LATEST_PRODUCTION
    }
}

impl fmt::Display for MetadataVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for MetadataVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.0)
    }
}

impl FromStr for MetadataVersion {
    type Err = ParseMetadataVersionError;

    /// Takes a name (`3.9-IV0`), or a release with or without its patch number (`3.9`, `3.9.1`), which means the newest
    /// metadata version of the release, as Kafka's tools do.
    fn from_str(text: &str) -> Result<Self, ParseMetadataVersionError> {
        let error = || ParseMetadataVersionError { text: text.to_owned() };
        if let Some(version) = Self::all().find(|version| version.name() == text) {
            return Ok(version);
        }
        let release = match text.split('.').collect::<Vec<_>>().as_slice() {
            [_, _] => text,
            [major, minor, patch] if !patch.is_empty() && patch.bytes().all(|byte| byte.is_ascii_digit()) => {
                text.get(..major.len() + 1 + minor.len()).ok_or_else(error)?
            }
            _ => return Err(error()),
        };
        Self::all().rfind(|version| version.release() == release).ok_or_else(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_constants_have_kafkas_levels_and_names() {
        for (version, level, name) in [
            (MetadataVersion::V3_0_IV1, 1, "3.0-IV1"),
            (MetadataVersion::V3_3_IV0, 4, "3.3-IV0"),
            (MetadataVersion::V3_3_IV1, 5, "3.3-IV1"),
            (MetadataVersion::V3_3_IV2, 6, "3.3-IV2"),
            (MetadataVersion::V3_3_IV3, 7, "3.3-IV3"),
            (MetadataVersion::V3_4_IV0, 8, "3.4-IV0"),
            (MetadataVersion::V3_5_IV2, 11, "3.5-IV2"),
            (MetadataVersion::V3_6_IV0, 12, "3.6-IV0"),
            (MetadataVersion::V3_6_IV1, 13, "3.6-IV1"),
            (MetadataVersion::V3_6_IV2, 14, "3.6-IV2"),
            (MetadataVersion::V3_7_IV0, 15, "3.7-IV0"),
            (MetadataVersion::V3_7_IV2, 17, "3.7-IV2"),
            (MetadataVersion::V3_8_IV0, 20, "3.8-IV0"),
            (MetadataVersion::V3_9_IV0, 21, "3.9-IV0"),
            (MetadataVersion::V4_0_IV0, 22, "4.0-IV0"),
            (MetadataVersion::V4_0_IV1, 23, "4.0-IV1"),
            (MetadataVersion::V4_3_IV0, 30, "4.3-IV0"),
            (MetadataVersion::V4_4_IV2, 33, "4.4-IV2"),
        ] {
            assert_eq!((version.level(), version.to_string().as_str()), (level, name));
        }
    }

    #[test]
    fn every_level_comes_back_from_its_number_and_its_name() {
        assert_eq!(MetadataVersion::all().count(), NAMES.len());
        for version in MetadataVersion::all() {
            assert_eq!(MetadataVersion::from_level(version.level()), Some(version));
            assert_eq!(version.to_string().parse(), Ok(version));
        }
        for level in [i16::MIN, -1, 0, 34, i16::MAX] {
            assert_eq!(MetadataVersion::from_level(level), None, "{level}");
        }
    }

    #[test]
    fn a_release_means_its_newest_metadata_version() {
        for (text, level) in [
            ("3.0", 1),
            ("3.3", 7),
            ("3.7", 19),
            ("3.9", 21),
            ("3.9.1", 21),
            ("3.6.12", 14),
            ("4.0", 25),
            ("4.4.0", 33),
        ] {
            assert_eq!(text.parse::<MetadataVersion>().map(MetadataVersion::level), Ok(level), "{text}");
        }
    }

    #[test]
    fn a_text_that_is_no_version_is_refused_with_the_text() {
        for text in [
            "",
            "3",
            "21",
            "2.8",
            "2.8-IV1",
            "3.0-IV0",
            "3.9-IV1",
            "3.9-iv0",
            "3.9.",
            "3.9.x",
            "3.9.1.2",
            "3.9-IV0.1",
            "é.é.1",
        ] {
            let error = text.parse::<MetadataVersion>().unwrap_err();
            assert!(error.to_string().contains(&format!("{text:?}")), "{error}");
        }
    }

    #[test]
    fn each_ability_starts_at_its_level() {
        type Predicate = fn(MetadataVersion) -> bool;
        let predicates: [(&str, i16, Predicate); 11] = [
            ("no-op", 5, MetadataVersion::supports_no_op),
            ("registration change", 6, MetadataVersion::supports_broker_registration_change),
            ("migration state", 8, MetadataVersion::supports_zk_migration_state),
            ("scram", 11, MetadataVersion::supports_scram),
            ("migration start", 13, MetadataVersion::supports_zk_migration_start),
            ("transactions", 13, MetadataVersion::supports_transactions),
            ("tokens", 14, MetadataVersion::supports_delegation_tokens),
            ("controllers", 15, MetadataVersion::supports_controller_registration),
            ("directories", 17, MetadataVersion::supports_directories),
            ("elr", 23, MetadataVersion::supports_elr),
            ("cordoned directories", 30, MetadataVersion::supports_cordoned_directories),
        ];
        for (name, first, predicate) in predicates {
            for version in MetadataVersion::all() {
                assert_eq!(predicate(version), version.level() >= first, "{name} at {version}");
            }
        }
        for version in MetadataVersion::all() {
            assert_eq!(version.requires_leader_epoch_bump_on_isr_shrink(), version.level() < 12, "{version}");
            assert_eq!(version.is_production(), version.level() <= 21, "{version}");
        }
    }
}
