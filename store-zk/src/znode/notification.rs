//! Change notifications: sequential znodes that make ZooKeeper-mode brokers read an entity again. Without one, a broker
//! never learns of the change.

use bytes::Bytes;

use super::acl::{PatternType, ResourceType};
use super::json::{Object, ObjectWriter};
use super::{Malformed, path};

/// A notification to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// The sequential znode's path without its number.
    pub prefix: &'static str,
    /// What it says.
    pub data: Bytes,
}

impl Notification {
    /// A config, quota or credential changed. `entity_path` is the entity's path below `/config`, names sanitised as in
    /// the path: `topics/T`, `users/U/clients/C`, `brokers/<default>` (Kafka: `ConfigEntityChangeNotificationZNode`).
    pub fn config(entity_path: &str) -> Self {
        let data = ObjectWriter::new().int("version", 2).string("entity_path", entity_path).finish();
        Self { prefix: path::CONFIG_CHANGE_PREFIX, data }
    }

    /// The entries of a resource changed (Kafka: `LiteralAclStore`, `ExtendedAclStore`).
    pub fn acl(pattern: PatternType, resource: ResourceType, name: &str) -> Self {
        match pattern {
            PatternType::Literal => Self {
                prefix: path::ACL_CHANGE_PREFIX,
                data: format!("{}:{name}", resource.notification_name()).into(),
            },
            PatternType::Prefixed => Self {
                prefix: path::EXTENDED_ACL_CHANGE_PREFIX,
                data: ObjectWriter::new()
                    .int("version", 1)
                    .string("resourceType", resource.notification_name())
                    .string("name", name)
                    .string("patternType", "PREFIXED")
                    .finish(),
            },
        }
    }

    /// A delegation token changed. Kafka's migration forgets it, so that running brokers don't learn of new tokens.
    pub fn token(token_id: &str) -> Self {
        Self { prefix: path::TOKEN_CHANGE_PREFIX, data: Bytes::copy_from_slice(token_id.as_bytes()) }
    }
}

/// The entity path in a config change notification of version 1 or 2.
///
/// # Errors
/// Not a JSON object, another version, a value missing or of the wrong type, a root that there is not.
pub fn decode_config_change(data: &[u8]) -> Result<String, Malformed> {
    let json = Object::parse(data)?;
    let (roots, entity_path): (&[&str], String) = match json.int("version")? {
        1 => (&["topics", "clients"], format!("{}/{}", json.string("entity_type")?, json.string("entity_name")?)),
        2 => (&["topics", "brokers", "users", "clients", "ips"], json.string("entity_path")?.to_owned()),
        other => return Err(Malformed::new(format!("version {other} is unknown, expected 1 or 2"))),
    };
    match entity_path.split_once('/') {
        Some((root, _)) if roots.contains(&root) => Ok(entity_path),
        _ => Err(Malformed::new(format!("{entity_path:?} is not the path of an entity"))),
    }
}

/// The resource that a literal access control notification names, `TOPIC:foo`.
///
/// # Errors
/// No colon, or a type that there is not.
pub fn decode_acl_change(data: &[u8]) -> Result<(ResourceType, String), Malformed> {
    let text = std::str::from_utf8(data).map_err(|_| Malformed::new("not UTF-8"))?;
    text.split_once(':')
        .and_then(|(resource, name)| Some((resource_type(resource)?, name.to_owned())))
        .ok_or_else(|| Malformed::new(format!("{text:?} does not name a resource")))
}

/// The resource that an extended access control notification names.
///
/// # Errors
/// Not a JSON object, a version above 1, a value missing or of the wrong type, a type that there is not.
pub fn decode_extended_acl_change(data: &[u8]) -> Result<(PatternType, ResourceType, String), Malformed> {
    let json = Object::parse(data)?;
    let version = json.int("version")?;
    if version > 1 {
        return Err(Malformed::new(format!("version {version} is unknown, expected 1")));
    }
    let pattern = match json.string("patternType")? {
        "LITERAL" => PatternType::Literal,
        "PREFIXED" => PatternType::Prefixed,
        other => return Err(Malformed::new(format!("`patternType` {other:?} is unknown"))),
    };
    let resource = json.string("resourceType")?;
    let resource =
        resource_type(resource).ok_or_else(|| Malformed::new(format!("`resourceType` {resource:?} is unknown")))?;
    Ok((pattern, resource, json.string("name")?.to_owned()))
}

/// Kafka 2.4 names the directory (`TransactionalId`), 3.9 the enum's constant (`TRANSACTIONAL_ID`).
fn resource_type(name: &str) -> Option<ResourceType> {
    let present = ResourceType::ALL.into_iter().find(|resource| resource.notification_name() == name);
    present.or_else(|| ResourceType::from_directory(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn config_notifications_are_plain_entity_paths() {
        // KAFKA-16428: the text was once `Some(topics)/T`.
        let notification = Notification::config("topics/T");
        assert_eq!(notification.prefix, "/config/changes/config_change_");
        assert_eq!(notification.data, r#"{"version":2,"entity_path":"topics/T"}"#);
        assert_eq!(decode_config_change(&notification.data).as_deref(), Ok("topics/T"));
    }

    #[test]
    fn version_1_of_config_notifications_is_read() {
        let json = br#"{"version":1,"entity_type":"clients","entity_name":"c"}"#;
        assert_eq!(decode_config_change(json).as_deref(), Ok("clients/c"));
        for bad in [
            r#"{"version":1,"entity_type":"users","entity_name":"c"}"#,
            r#"{"version":2,"entity_path":"/topics/T"}"#,
            r#"{"version":2,"entity_path":"Some(topics)/T"}"#,
            r#"{"version":3,"entity_path":"topics/T"}"#,
        ] {
            assert!(decode_config_change(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn acl_notifications_have_upper_case_types_and_raw_names() {
        let literal = Notification::acl(PatternType::Literal, ResourceType::TransactionalId, "a:b");
        assert_eq!(literal.prefix, "/kafka-acl-changes/acl_changes_");
        assert_eq!(literal.data, "TRANSACTIONAL_ID:a:b");
        assert_eq!(decode_acl_change(&literal.data), Ok((ResourceType::TransactionalId, "a:b".to_owned())));

        let prefixed = Notification::acl(PatternType::Prefixed, ResourceType::Topic, "foo");
        assert_eq!(prefixed.prefix, "/kafka-acl-extended-changes/acl_changes_");
        assert_eq!(prefixed.data, r#"{"version":1,"resourceType":"TOPIC","name":"foo","patternType":"PREFIXED"}"#);
        let expected = (PatternType::Prefixed, ResourceType::Topic, "foo".to_owned());
        assert_eq!(decode_extended_acl_change(&prefixed.data), Ok(expected));
    }

    #[test]
    fn acl_notifications_of_old_brokers_name_directories() {
        let literal = decode_acl_change(b"TransactionalId:*");
        assert_eq!(literal, Ok((ResourceType::TransactionalId, "*".to_owned())));
        let prefixed = br#"{"version":1,"resourceType":"Topic","name":"pay","patternType":"PREFIXED"}"#;
        let expected = (PatternType::Prefixed, ResourceType::Topic, "pay".to_owned());
        assert_eq!(decode_extended_acl_change(prefixed), Ok(expected));
        assert!(decode_acl_change(b"transactionalid:*").is_err());
    }

    #[test]
    fn token_notifications_are_the_bare_id() {
        let notification = Notification::token("w2bZ9iV2T9W0k0Z3dCkO3A");
        assert_eq!(notification.prefix, "/delegation_token/token_changes/token_change_");
        assert_eq!(notification.data, "w2bZ9iV2T9W0k0Z3dCkO3A");
    }
}
