//! Access control entries: `/kafka-acl/<Type>/<name>` for literal names, `/kafka-acl-extended/prefixed/<Type>/<name>` for
//! prefixes (Kafka: `ZkData.scala`, `AclEntry.java`).

use std::collections::BTreeSet;

use bytes::Bytes;

use super::Malformed;
use super::json::{Object, ObjectWriter};

/// How the name of an access control resource is matched. The codes are Kafka's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PatternType {
    /// The very name, or `*` for all: code 3.
    Literal,
    /// Every name that starts so: code 4.
    Prefixed,
}

impl PatternType {
    /// Both types, in the order in which Kafka reads them.
    pub const ALL: [Self; 2] = [Self::Literal, Self::Prefixed];

    /// Kafka's code in records.
    pub fn code(self) -> i8 {
        match self {
            Self::Literal => 3,
            Self::Prefixed => 4,
        }
    }

    /// The type with this code, if ZooKeeper can hold it.
    pub fn from_code(code: i8) -> Option<Self> {
        Self::ALL.into_iter().find(|pattern| pattern.code() == code)
    }
}

/// What an access control entry is about. The codes are Kafka's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResourceType {
    /// Code 2.
    Topic,
    /// Code 3.
    Group,
    /// Code 4.
    Cluster,
    /// Code 5.
    TransactionalId,
    /// Code 6.
    DelegationToken,
    /// Code 7.
    User,
}

impl ResourceType {
    /// All types, in the order of their codes. Each has a directory under both roots.
    pub const ALL: [Self; 6] =
        [Self::Topic, Self::Group, Self::Cluster, Self::TransactionalId, Self::DelegationToken, Self::User];

    /// Kafka's code in records.
    pub fn code(self) -> i8 {
        match self {
            Self::Topic => 2,
            Self::Group => 3,
            Self::Cluster => 4,
            Self::TransactionalId => 5,
            Self::DelegationToken => 6,
            Self::User => 7,
        }
    }

    /// The type with this code, if ZooKeeper can hold it.
    pub fn from_code(code: i8) -> Option<Self> {
        Self::ALL.into_iter().find(|resource| resource.code() == code)
    }

    /// The name of its directory.
    pub fn directory(self) -> &'static str {
        match self {
            Self::Topic => "Topic",
            Self::Group => "Group",
            Self::Cluster => "Cluster",
            Self::TransactionalId => "TransactionalId",
            Self::DelegationToken => "DelegationToken",
            Self::User => "User",
        }
    }

    /// The type with this directory.
    pub fn from_directory(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|resource| resource.directory() == name)
    }

    /// The name in change notifications.
    pub fn notification_name(self) -> &'static str {
        match self {
            Self::Topic => "TOPIC",
            Self::Group => "GROUP",
            Self::Cluster => "CLUSTER",
            Self::TransactionalId => "TRANSACTIONAL_ID",
            Self::DelegationToken => "DELEGATION_TOKEN",
            Self::User => "USER",
        }
    }
}

/// Words of operations; the index is Kafka's code.
const OPERATIONS: [&str; 15] = [
    "Unknown",
    "Any",
    "All",
    "Read",
    "Write",
    "Create",
    "Delete",
    "Alter",
    "Describe",
    "ClusterAction",
    "DescribeConfigs",
    "AlterConfigs",
    "IdempotentWrite",
    "CreateTokens",
    "DescribeTokens",
];

/// Words of permissions; the index is Kafka's code.
const PERMISSIONS: [&str; 4] = ["Unknown", "Any", "Deny", "Allow"];

/// Kafka's code for a word it does not know.
pub const UNKNOWN: i8 = 0;

/// The word's code: the very word, else its upper case (`SecurityUtils.java`), else [`UNKNOWN`].
fn code(words: &[&str], word: &str) -> i8 {
    let upper = word.to_uppercase();
    let index = words
        .iter()
        .position(|known| *known == word)
        .or_else(|| words.iter().position(|known| known.to_uppercase() == upper))
        .unwrap_or_default();
    i8::try_from(index).unwrap_or(UNKNOWN)
}

fn word(words: &[&'static str], code: i8) -> Option<&'static str> {
    usize::try_from(code).ok().and_then(|index| words.get(index)).copied()
}

/// The word for an operation's code, `None` if ZooKeeper has none.
pub fn operation_word(code: i8) -> Option<&'static str> {
    word(&OPERATIONS, code)
}

/// The word for a permission's code, `None` if ZooKeeper has none.
pub fn permission_word(code: i8) -> Option<&'static str> {
    word(&PERMISSIONS, code)
}

/// One entry of a resource. Codes are Kafka's; entries whose codes have no word are not encoded, so check
/// [`operation_word`] and [`permission_word`] first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AclEntry {
    /// `User:alice`.
    pub principal: String,
    /// `*` for anywhere.
    pub host: String,
    /// Operation, [`UNKNOWN`] for a word that Kafka does not know: such an entry matches nothing.
    pub operation: i8,
    /// Permission, [`UNKNOWN`] for a word that Kafka does not know.
    pub permission_type: i8,
}

/// All entries of one resource.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AclZnode {
    /// The entries; equal ones count once.
    pub entries: BTreeSet<AclEntry>,
    /// Words of operations and permissions that were read as [`UNKNOWN`].
    pub unknown_words: BTreeSet<String>,
}

impl AclZnode {
    /// A node with these entries.
    pub fn new(entries: impl IntoIterator<Item = AclEntry>) -> Self {
        Self { entries: entries.into_iter().collect(), unknown_words: BTreeSet::new() }
    }

    /// Decodes it. No data mean no entries.
    ///
    /// # Errors
    /// Not a JSON object, a version other than 1, a value missing or of the wrong type, a principal without a colon.
    pub fn decode(data: Option<&[u8]>) -> Result<Self, Malformed> {
        let Some(data) = data.filter(|data| !data.is_empty()) else { return Ok(Self::default()) };
        let json = Object::parse(data)?;
        match json.int("version")? {
            1 => {}
            other => return Err(Malformed::new(format!("version {other} is unknown, expected 1"))),
        }
        let mut node = Self::default();
        for acl in json.objects("acls")? {
            let principal = principal(acl.string("principal")?)?.to_owned();
            let host = acl.string("host")?.to_owned();
            let operation = node.code(&OPERATIONS, acl.string("operation")?);
            let permission_type = node.code(&PERMISSIONS, acl.string("permissionType")?);
            node.entries.insert(AclEntry { principal, host, operation, permission_type });
        }
        Ok(node)
    }

    fn code(&mut self, words: &[&str], word: &str) -> i8 {
        let code = code(words, word);
        if code == UNKNOWN {
            self.unknown_words.insert(word.to_owned());
        }
        code
    }

    /// Encodes it, entries in order.
    pub fn encode(&self) -> Bytes {
        let acls = self.entries.iter().filter_map(|entry| {
            Some(
                ObjectWriter::new()
                    .string("principal", &entry.principal)
                    .string("permissionType", permission_word(entry.permission_type)?)
                    .string("operation", operation_word(entry.operation)?)
                    .string("host", &entry.host),
            )
        });
        ObjectWriter::new().int("version", 1).objects("acls", acls).finish()
    }
}

/// Checks that a text is `type:name` (Kafka: `SecurityUtils.parseKafkaPrincipal`).
pub(super) fn principal(text: &str) -> Result<&str, Malformed> {
    match text.split_once(':') {
        Some(_) => Ok(text),
        None => Err(Malformed::new(format!("the principal {text:?} is not of the form type:name"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn kafkas_form_is_read_and_written() {
        let json = r#"{"version":1,"acls":[{"principal":"User:alice","permissionType":"Allow","operation":"Read","host":"*"}]}"#;
        let node = AclZnode::decode(Some(json.as_bytes())).unwrap();
        let entry = AclEntry { principal: "User:alice".into(), host: "*".into(), operation: 3, permission_type: 3 };
        assert_eq!(node, AclZnode::new([entry]));
        assert_eq!(node.encode(), json);
    }

    #[test]
    fn words_are_matched_as_kafka_matches_them() {
        let cases = [
            ("ClusterAction", 9),
            ("clusteraction", 9),
            ("CLUSTERACTION", 9),
            ("CLUSTER_ACTION", UNKNOWN),
            ("DescribeTokens", 14),
            ("all", 2),
            ("Any", 1),
            ("Unknown", UNKNOWN),
            ("TwoPhaseCommit", UNKNOWN),
            ("", UNKNOWN),
        ];
        for (word, expected) in cases {
            assert_eq!(code(&OPERATIONS, word), expected, "{word}");
        }
        assert_eq!(code(&PERMISSIONS, "deny"), 2);
        assert_eq!(code(&PERMISSIONS, "Allow"), 3);
    }

    #[test]
    fn unknown_words_are_kept_as_unknown_and_reported() {
        let json = br#"{"version":1,"acls":[{"principal":"User:a:b","permissionType":"Permit","operation":"Fly","host":"*"}]}"#;
        let node = AclZnode::decode(Some(json)).unwrap();
        let entry =
            AclEntry { principal: "User:a:b".into(), host: "*".into(), operation: UNKNOWN, permission_type: UNKNOWN };
        assert_eq!(node.entries, BTreeSet::from([entry]));
        assert_eq!(node.unknown_words, BTreeSet::from(["Fly".to_owned(), "Permit".to_owned()]));
        let again = AclZnode::decode(Some(&node.encode())).unwrap();
        assert_eq!(again.entries, node.entries);
    }

    #[test]
    fn no_data_mean_no_entries() {
        assert_eq!(AclZnode::decode(None), Ok(AclZnode::default()));
        assert_eq!(AclZnode::decode(Some(b"")), Ok(AclZnode::default()));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let cases = [
            (r#"{"version":2,"acls":[]}"#, "version 2"),
            (r#"{"acls":[]}"#, "`version`"),
            (r#"{"version":1}"#, "`acls`"),
            (
                r#"{"version":1,"acls":[{"principal":"alice","permissionType":"Allow","operation":"Read","host":"*"}]}"#,
                "type:name",
            ),
            (r#"{"version":1,"acls":[{"principal":"User:a","permissionType":"Allow","operation":"Read"}]}"#, "`host`"),
            (r#"{"version":1,"acls":["x"]}"#, "`acls`"),
        ];
        for (json, reason) in cases {
            let error = AclZnode::decode(Some(json.as_bytes())).unwrap_err().to_string();
            assert!(error.contains(reason), "{json}: {error}");
        }
    }

    #[test]
    fn every_code_survives_the_round_trip() {
        for resource in ResourceType::ALL {
            assert_eq!(ResourceType::from_code(resource.code()), Some(resource));
            assert_eq!(ResourceType::from_directory(resource.directory()), Some(resource));
        }
        for pattern in PatternType::ALL {
            assert_eq!(PatternType::from_code(pattern.code()), Some(pattern));
        }
        for code_in in 0..15 {
            assert_eq!(code(&OPERATIONS, operation_word(code_in).unwrap()), code_in);
        }
        assert_eq!(operation_word(15), None);
        assert_eq!(operation_word(-1), None);
        assert_eq!(permission_word(4), None);
    }

    proptest! {
        #[test]
        fn any_entries_survive_the_round_trip(
            entries in proptest::collection::vec(("[A-Za-z]+:.*", ".*", 1i8..15, 1i8..4), 0..6),
        ) {
            let node = AclZnode::new(entries.into_iter().map(|(principal, host, operation, permission_type)| AclEntry {
                principal, host, operation, permission_type,
            }));
            prop_assert_eq!(AclZnode::decode(Some(&node.encode())), Ok(node));
        }
    }
}
