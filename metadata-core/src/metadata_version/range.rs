//! The metadata versions that a node supports, as it announces them.

use std::fmt;

use super::MetadataVersion;

/// A range of levels of `metadata.version`, both ends inclusive, as a node announces what it supports.
///
/// Levels and not [`MetadataVersion`]s: a newer node knows levels that we don't, and a broker in ZooKeeper mode whose
/// `inter.broker.protocol.version` is older than 3.0-IV1 announces level -1 (Kafka: `MetadataVersion.featureLevel`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MetadataVersionRange {
    min: i16,
    max: i16,
}

impl MetadataVersionRange {
    /// The range from `min` to `max`, both inclusive; `None` when it would be empty.
    pub fn of_levels(min: i16, max: i16) -> Option<Self> {
        (min <= max).then_some(Self { min, max })
    }

    /// Everything that we know and Kafka 3.9 runs in production.
    pub fn production() -> Self {
        Self { min: MetadataVersion::LOWEST.level(), max: MetadataVersion::LATEST_PRODUCTION.level() }
    }

    /// Exactly one version: a broker in ZooKeeper mode supports its `inter.broker.protocol.version` and nothing else
    /// (Kafka: `BrokerLifecycleManager`, KIP-866).
    pub fn only(version: MetadataVersion) -> Self {
        Self { min: version.level(), max: version.level() }
    }

    /// Lowest level, inclusive.
    pub fn min(self) -> i16 {
        self.min
    }

    /// Highest level, inclusive.
    pub fn max(self) -> i16 {
        self.max
    }

    /// Whether a node with this range can run at `version`.
    pub fn contains(self, version: MetadataVersion) -> bool {
        (self.min..=self.max).contains(&version.level())
    }
}

impl fmt::Display for MetadataVersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = |f: &mut fmt::Formatter<'_>, level| match MetadataVersion::from_level(level) {
            Some(version) => write!(f, "{version}"),
            None if level < MetadataVersion::LOWEST.level() => write!(f, "older than {}", MetadataVersion::LOWEST),
            None => write!(f, "level {level}"),
        };
        level(f, self.min)?;
        if self.min != self.max {
            f.write_str(" to ")?;
            level(f, self.max)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_belong_to_a_range_and_an_empty_one_does_not_exist() {
        let range = MetadataVersionRange::of_levels(13, 21).unwrap();
        for version in MetadataVersion::all() {
            assert_eq!(range.contains(version), (13..=21).contains(&version.level()), "{version}");
        }
        assert_eq!(MetadataVersionRange::of_levels(14, 13), None);
        let one = MetadataVersionRange::only(MetadataVersion::V3_9_IV0);
        assert_eq!(MetadataVersionRange::of_levels(21, 21), Some(one));
    }

    #[test]
    fn a_range_is_shown_by_names_where_levels_have_one() {
        for (min, max, text) in [
            (21, 21, "3.9-IV0"),
            (1, 21, "3.0-IV1 to 3.9-IV0"),
            (-1, -1, "older than 3.0-IV1"),
            (30, 99, "4.3-IV0 to level 99"),
        ] {
            assert_eq!(MetadataVersionRange::of_levels(min, max).unwrap().to_string(), text);
        }
    }
}
