//! Trees that a real Kafka wrote, as files: a JSON object a line, sorted by path, so that two of them can be compared.
//!
//! The first line says where the tree comes from. Each other line is a znode:
//!
//! | key | |
//! | --- | --- |
//! | `path` | within the chroot |
//! | `data` | as text; missing if there are none |
//! | `base64` | instead of `data`, for data that are no UTF-8 |
//! | `version` | data version; missing if 0 |
//! | `cversion` | creations and deletions of children; missing if 0 |
//! | `czxid` | zxid of its creation, of running brokers only: their epoch |
//! | `ephemeral` | `true`; missing if it is not |
//! | `acl` | `scheme:id:rights` each, rights as `cdrwa`; missing if anyone may do anything |

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::client::{AclEntry, Permissions, ZkAcl};
use crate::znode::Znode;

/// The layout of the files.
const FORMAT: u32 = 1;

/// Rights as ZooKeeper's own tools spell and order them.
const RIGHTS: [(char, Permissions); 5] = [
    ('c', Permissions::CREATE),
    ('d', Permissions::DELETE),
    ('r', Permissions::READ),
    ('w', Permissions::WRITE),
    ('a', Permissions::ADMIN),
];

/// Where a tree comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Layout of the file.
    format: u32,
    /// The release of Kafka that wrote the tree.
    pub kafka: String,
    /// In what state the cluster was.
    pub state: String,
    /// What encodes passwords in it.
    pub password_encoder_secret: String,
}

impl Origin {
    /// Of this release, in this state.
    pub fn new(kafka: impl Into<String>, state: impl Into<String>, password_encoder_secret: &str) -> Self {
        let password_encoder_secret = password_encoder_secret.to_owned();
        Self { format: FORMAT, kafka: kafka.into(), state: state.into(), password_encoder_secret }
    }
}

/// A znode with what ZooKeeper knows of it.
#[derive(Clone, PartialEq, Eq)]
pub struct CapturedZnode {
    /// Its data. None and zero bytes read alike.
    pub data: Bytes,
    /// Its data version.
    pub version: i32,
    /// How many children were created and deleted.
    pub cversion: i32,
    /// zxid of its creation, where it matters.
    pub czxid: Option<i64>,
    /// Whether it goes with its session.
    pub ephemeral: bool,
    /// Who may do what.
    pub acl: ZkAcl,
}

/// Data may hold credentials.
impl std::fmt::Debug for CapturedZnode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CapturedZnode {{ {} bytes, version {} }}", self.data.len(), self.version)
    }
}

/// A tree that a real Kafka wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapturedTree {
    /// Where it comes from.
    pub origin: Origin,
    /// Its znodes by path.
    pub znodes: BTreeMap<String, CapturedZnode>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    data: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
    #[serde(default, skip_serializing_if = "is_default")]
    version: i32,
    #[serde(default, skip_serializing_if = "is_default")]
    cversion: i32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    czxid: Option<i64>,
    #[serde(default, skip_serializing_if = "is_default")]
    ephemeral: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    acl: Option<Vec<String>>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl CapturedTree {
    /// The file.
    pub fn to_text(&self) -> String {
        let mut text = json(&self.origin);
        for (path, znode) in &self.znodes {
            text.push_str(&json(&Line::new(path, znode)));
        }
        text
    }

    /// Reads a file.
    ///
    /// # Errors
    /// It is none of these, with the line.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut lines = text.lines().enumerate().map(|(number, line)| (number + 1, line));
        let first = lines.next().map(|(_, line)| line).unwrap_or_default();
        let origin: Origin = serde_json::from_str(first).map_err(|error| format!("line 1: {error}"))?;
        if origin.format != FORMAT {
            return Err(format!("line 1: format {} is not known, {FORMAT} is", origin.format));
        }
        let mut znodes = BTreeMap::new();
        for (number, line) in lines {
            let wrong = |reason: String| format!("line {number}: {reason}");
            let line: Line = serde_json::from_str(line).map_err(|error| wrong(error.to_string()))?;
            let (path, znode) = line.znode().map_err(wrong)?;
            if znodes.last_key_value().is_some_and(|(last, _)| *last >= path) {
                return Err(wrong(format!("{path} is out of order")));
            }
            znodes.insert(path, znode);
        }
        Ok(Self { origin, znodes })
    }

    /// Data and versions alone, as an import takes them.
    pub fn znodes(&self) -> BTreeMap<String, Znode> {
        let znode = |znode: &CapturedZnode| Znode {
            data: Some(znode.data.clone()).filter(|data| !data.is_empty()),
            version: znode.version.into(),
        };
        self.znodes.iter().map(|(path, captured)| (path.clone(), znode(captured))).collect()
    }
}

/// A line of JSON. Neither kind of line can fail to become one.
fn json(line: &impl Serialize) -> String {
    let mut text = serde_json::to_string(line).unwrap_or_default();
    text.push('\n');
    text
}

impl Line {
    fn new(path: &str, znode: &CapturedZnode) -> Self {
        let (data, base64) = match std::str::from_utf8(&znode.data) {
            Ok("") => (None, None),
            Ok(text) => (Some(text.to_owned()), None),
            Err(_) => (None, Some(STANDARD.encode(&znode.data))),
        };
        Self {
            path: path.to_owned(),
            data,
            base64,
            version: znode.version,
            cversion: znode.cversion,
            czxid: znode.czxid,
            ephemeral: znode.ephemeral,
            acl: (znode.acl != ZkAcl::world_all()).then(|| znode.acl.entries().iter().map(entry_text).collect()),
        }
    }

    fn znode(self) -> Result<(String, CapturedZnode), String> {
        let data = match (self.data, self.base64) {
            (Some(_), Some(_)) => return Err(format!("{} has data twice", self.path)),
            (Some(text), None) => Bytes::from(text),
            (None, Some(base64)) => STANDARD.decode(base64).map_err(|error| format!("{}: {error}", self.path))?.into(),
            (None, None) => Bytes::new(),
        };
        let acl = match self.acl {
            None => ZkAcl::world_all(),
            Some(entries) => ZkAcl::new(entries.iter().map(|text| entry(text)).collect::<Result<_, _>>()?),
        };
        let Self { version, cversion, czxid, ephemeral, .. } = self;
        Ok((self.path, CapturedZnode { data, version, cversion, czxid, ephemeral, acl }))
    }
}

fn entry_text(entry: &AclEntry) -> String {
    let rights = RIGHTS.iter().filter(|(_, right)| entry.permissions.contains(*right));
    let rights: String = rights.map(|(letter, _)| *letter).collect();
    format!("{}:{}:{rights}", entry.scheme, entry.id)
}

fn entry(text: &str) -> Result<AclEntry, String> {
    let malformed = || format!("{text:?} is not scheme:id:rights");
    let (scheme, rest) = text.split_once(':').ok_or_else(malformed)?;
    // An id may have colons.
    let (id, rights) = rest.rsplit_once(':').ok_or_else(malformed)?;
    let mut permissions = Permissions::from_bits(0);
    for letter in rights.chars() {
        let right = RIGHTS.iter().find(|(known, _)| *known == letter).ok_or_else(malformed)?;
        permissions = permissions | right.1;
    }
    Ok(AclEntry { permissions, scheme: scheme.to_owned().into(), id: id.to_owned().into() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn znode(data: &[u8]) -> CapturedZnode {
        CapturedZnode {
            data: Bytes::copy_from_slice(data),
            version: 0,
            cversion: 0,
            czxid: None,
            ephemeral: false,
            acl: ZkAcl::world_all(),
        }
    }

    fn tree(znodes: impl IntoIterator<Item = (&'static str, CapturedZnode)>) -> CapturedTree {
        let znodes = znodes.into_iter().map(|(path, znode)| (path.to_owned(), znode)).collect();
        CapturedTree { origin: Origin::new("3.9.2", "healthy", "s"), znodes }
    }

    #[test]
    fn the_file_is_as_documented() {
        let acl = ZkAcl::new(vec![
            AclEntry { permissions: Permissions::ALL, scheme: "sasl".into(), id: "a:b".into() },
            AclEntry { permissions: Permissions::READ, scheme: "world".into(), id: "anyone".into() },
        ]);
        let broker = CapturedZnode { version: 1, czxid: Some(7), ephemeral: true, ..znode(b"{\"a\":\"\xc3\xbc\"}") };
        let tree =
            tree([("/b", broker), ("/a", CapturedZnode { cversion: 3, acl, ..znode(b"") }), ("/c", znode(&[0xff, 0]))]);
        let text = tree.to_text();
        let expected = r#"{"format":1,"kafka":"3.9.2","state":"healthy","password_encoder_secret":"s"}
{"path":"/a","cversion":3,"acl":["sasl:a:b:cdrwa","world:anyone:r"]}
{"path":"/b","data":"{\"a\":\"ü\"}","version":1,"czxid":7,"ephemeral":true}
{"path":"/c","base64":"/wA="}
"#;
        assert_eq!(text, expected);
        assert_eq!(CapturedTree::parse(&text), Ok(tree));
    }

    #[test]
    fn what_is_no_such_file_is_refused_with_the_line() {
        let head = tree([]).to_text();
        for (text, reason) in [
            (String::new(), "line 1: "),
            (head.replace("\"format\":1", "\"format\":2"), "line 1: format 2 is not known"),
            (format!("{head}{{\"path\":\"/b\"}}\n{{\"path\":\"/a\"}}\n"), "line 3: /a is out of order"),
            (format!("{head}{{\"path\":\"/a\"}}\n{{\"path\":\"/a\"}}\n"), "line 3: /a is out of order"),
            (format!("{head}{{\"path\":\"/a\",\"x\":1}}\n"), "line 2: unknown field"),
            (format!("{head}{{\"path\":\"/a\",\"data\":\"\",\"base64\":\"\"}}\n"), "line 2: /a has data twice"),
            (format!("{head}{{\"path\":\"/a\",\"acl\":[\"world\"]}}\n"), "line 2: \"world\" is not"),
            (format!("{head}{{\"path\":\"/a\",\"acl\":[\"world:anyone:x\"]}}\n"), "line 2: \"world:anyone:x\" is not"),
        ] {
            let error = CapturedTree::parse(&text).unwrap_err();
            assert!(error.starts_with(reason), "{error}");
        }
    }

    #[test]
    fn an_import_gets_no_data_where_there_are_none() {
        let znodes = tree([("/a", znode(b"")), ("/b", CapturedZnode { version: 5, ..znode(b"x") })]).znodes();
        assert_eq!(znodes["/a"], Znode::container());
        assert_eq!(znodes["/b"], Znode::new("x", 5.into()));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            nodes in proptest::collection::btree_map("(/[^/\\n]{1,6}){1,3}", (any::<Vec<u8>>(), 0..9i32, 0..9i32, any::<Option<i64>>(), any::<bool>(), 0..32i32), 0..6)
        ) {
            let znodes = nodes.into_iter().map(|(path, (data, version, cversion, czxid, ephemeral, bits))| {
                let permissions = Permissions::from_bits(bits);
                let acl = ZkAcl::new(vec![AclEntry { permissions, scheme: "ip".into(), id: "::1".into() }]);
                (path, CapturedZnode { data: data.into(), version, cversion, czxid, ephemeral, acl })
            });
            let tree = CapturedTree { origin: Origin::new("x", "y", "z"), znodes: znodes.collect() };
            prop_assert_eq!(CapturedTree::parse(&tree.to_text()), Ok(tree));
        }
    }
}
