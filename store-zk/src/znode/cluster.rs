//! `/cluster/id` and `/feature` (Kafka: `ClusterIdZNode`, `FeatureZNode`). Neither is migrated. The cluster's id is read to
//! refuse another cluster's data directory; the features are here for completeness, and nothing reads them:
//! `metadata.version` comes from the log.

use std::collections::BTreeMap;

use super::Malformed;
use super::json::Object;

/// Decodes `/cluster/id`: the id, which the KRaft quorum must have been formatted with.
///
/// # Errors
/// Not a JSON object, or no string `id`.
pub fn decode_cluster_id(data: &[u8]) -> Result<String, Malformed> {
    let json = Object::parse(data)?;
    match json.string("id")? {
        "" => Err(Malformed::new("`id` is empty")),
        id => Ok(id.to_owned()),
    }
}

/// The finalized features of a ZooKeeper-mode cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeatureZnode {
    /// Whether feature versioning is enabled (status 1) or not (status 0).
    pub enabled: bool,
    /// Highest level of each feature, inclusive.
    pub max_levels: BTreeMap<String, i16>,
}

impl FeatureZnode {
    /// Decodes versions 1 and 2.
    ///
    /// # Errors
    /// Another version, an unknown status, or a level that is none.
    pub fn decode(data: &[u8]) -> Result<Self, Malformed> {
        let json = Object::parse(data)?;
        match json.int("version")? {
            1 | 2 => {}
            other => return Err(Malformed::new(format!("version {other} is unknown: expected 1 or 2"))),
        }
        let enabled = match json.int("status")? {
            0 => false,
            1 => true,
            other => return Err(Malformed::new(format!("`status` {other} is unknown: expected 0 or 1"))),
        };
        let Some(features) = json.opt_object("features")? else {
            return Ok(Self { enabled, max_levels: BTreeMap::new() });
        };
        let max_levels = features
            .object_map()?
            .into_iter()
            .map(|(name, levels)| {
                let level = levels.int("max_version_level")?;
                let level = i16::try_from(level)
                    .map_err(|_| Malformed::new(format!("level {level} of feature {name:?} is out of range")))?;
                Ok((name.to_owned(), level))
            })
            .collect::<Result<_, Malformed>>()?;
        Ok(Self { enabled, max_levels })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cluster_id_is_read() {
        let id = decode_cluster_id(br#"{"version":"1","id":"MkU3OEVBNTcwNTJENDM2Qg"}"#);
        assert_eq!(id.as_deref(), Ok("MkU3OEVBNTcwNTJENDM2Qg"));
        for bad in ["", "{}", r#"{"id":7}"#, r#"{"id":""}"#] {
            assert!(decode_cluster_id(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn both_versions_of_features_are_read() {
        let one = br#"{"version":1,"status":1,"features":{"f":{"min_version_level":1,"max_version_level":2}}}"#;
        let two = br#"{"version":2,"status":1,"features":{"f":{"max_version_level":2}}}"#;
        let expected = FeatureZnode { enabled: true, max_levels: BTreeMap::from([("f".to_owned(), 2)]) };
        assert_eq!(FeatureZnode::decode(one).as_ref(), Ok(&expected));
        assert_eq!(FeatureZnode::decode(two), Ok(expected));
    }

    #[test]
    fn features_that_can_not_be_judged_are_refused() {
        let cases = [
            r#"{"version":3,"status":1,"features":{}}"#,
            r#"{"version":2,"status":2,"features":{}}"#,
            r#"{"version":2,"status":1,"features":{"f":{}}}"#,
            r#"{"version":2,"status":1,"features":{"f":{"max_version_level":40000}}}"#,
            r#"{"version":2,"status":1,"features":[]}"#,
        ];
        for bad in cases {
            assert!(FeatureZnode::decode(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
