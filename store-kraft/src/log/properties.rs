//! `meta.properties`: whose data directory it is (`MetaProperties.java`, `PropertiesUtils.java`).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use metadata_core::error::{Error, ErrorKind, Result};
use metadata_core::id::{DirectoryId, NodeId};
use metadata_core::uuid::Uuid;

use crate::disk::{Disk, During};

/// The two forms of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetaPropertiesVersion {
    /// With `broker.id`: of a broker in ZooKeeper mode, and of one that was migrated.
    V0,
    /// With `node.id`: of KRaft.
    V1,
}

/// What a data directory says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetaProperties {
    /// The node that the directory belongs to.
    pub node_id: NodeId,
    /// The cluster's id: any text that is not empty. During a migration the same as in ZooKeeper's `/cluster/id`.
    pub cluster_id: String,
    /// The directory's own id. Missing only in files of old Kafka versions.
    pub directory_id: Option<DirectoryId>,
}

impl MetaProperties {
    /// Reads the file, if it is there. Both of Kafka's versions are understood: 1, and 0 with `broker.id`, which a
    /// migrated broker keeps.
    ///
    /// # Errors
    /// `Corrupt` names what is missing or wrong; `Unavailable`: it can't be read.
    pub fn read(path: &Path) -> Result<Option<Self>> {
        Ok(Self::read_versioned(path)?.map(|(_, properties)| properties))
    }

    /// The same, and which version the file is of.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_versioned(path: &Path) -> Result<Option<(MetaPropertiesVersion, Self)>> {
        let text = match std::fs::read_to_string(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            other => other.during("read", path)?,
        };
        Self::parse(&text).map(Some).map_err(|reason| {
            let message = format!("{} is no meta.properties of Kafka: {reason}", path.display());
            Error::not_applied(ErrorKind::Corrupt, message)
        })
    }

    fn parse(text: &str) -> Result<(MetaPropertiesVersion, Self), String> {
        let values = properties(text)?;
        let required = |key: &str| values.get(key).ok_or_else(|| format!("{key} is missing"));
        let (version, node_key) = match values.get("version").map(String::as_str) {
            None | Some("0") => (MetaPropertiesVersion::V0, "broker.id"),
            Some("1") => (MetaPropertiesVersion::V1, "node.id"),
            Some(other) => return Err(format!("version {other} is unknown, expected 0 or 1")),
        };
        let node_id = required(node_key)?;
        let node_id = node_id.parse().ok().filter(|id| *id >= 0);
        let node_id = NodeId(node_id.ok_or_else(|| format!("{node_key} is no node id"))?);
        let cluster_id = required("cluster.id")?.clone();
        if cluster_id.is_empty() {
            return Err("cluster.id is empty".to_owned());
        }
        let directory_id = match values.get("directory.id") {
            None => None,
            Some(text) => Some(DirectoryId(text.parse::<Uuid>().map_err(|error| format!("directory.id: {error}"))?)),
        };
        if directory_id.is_some_and(DirectoryId::is_reserved) {
            return Err("directory.id is one of Kafka's reserved ids".to_owned());
        }
        Ok((version, Self { node_id, cluster_id, directory_id }))
    }

    /// Writes the file, version 1, durably.
    pub(crate) fn write(&self, disk: &Disk, path: &Path) -> Result<()> {
        Ok(disk.replace(path, self.to_text().as_bytes())?)
    }

    /// The file's text, version 1.
    pub(super) fn to_text(&self) -> String {
        let mut text = format!("#\nnode.id={}\n", self.node_id);
        if let Some(id) = self.directory_id {
            // Writing to a string can't fail.
            let _ = writeln!(text, "directory.id={id}");
        }
        let _ = writeln!(text, "version=1\ncluster.id={}", escape(&self.cluster_id));
        text
    }

    /// Checks that the directory belongs to `node_id` of `cluster_id`.
    ///
    /// # Errors
    /// `Invalid` names both sides.
    pub fn expect(&self, path: &Path, node_id: NodeId, cluster_id: &str) -> Result<()> {
        let refuse = |what: &str, found: &dyn std::fmt::Display, wanted: &dyn std::fmt::Display| {
            let path = path.display();
            let message = format!(
                "{path} belongs to {what} {found}, not to {what} {wanted}; use another data directory, or correct the {what}"
            );
            Err(Error::not_applied(ErrorKind::Invalid, message))
        };
        if self.cluster_id != cluster_id {
            return refuse("cluster id", &self.cluster_id, &cluster_id);
        }
        if self.node_id != node_id {
            return refuse("node id", &self.node_id, &node_id);
        }
        Ok(())
    }
}

/// A fresh directory id: random, not reserved, and without a leading `-`, which would look like an option
/// (`Uuid.randomUuid`).
pub(crate) fn random_directory_id() -> Result<DirectoryId> {
    loop {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(|error| {
            let message = "the operating system gives no random numbers for the directory id";
            Error::not_applied(ErrorKind::Unavailable, message).with_source(error)
        })?;
        // Version and variant of a random UUID, as Java's.
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        let id = DirectoryId(Uuid::from_bytes(bytes));
        if !id.is_reserved() && !id.0.to_string().starts_with('-') {
            return Ok(id);
        }
    }
}

/// Java's properties format, as far as Kafka's files use it: `key=value` or `key: value` lines, `#` and `!` comments, and
/// backslash escapes within a line.
fn properties(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut values = BTreeMap::new();
    for line in text.lines().map(str::trim_start) {
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        let (key, rest) = split_line(line);
        let rest = rest.trim_start();
        let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest).trim_start();
        values.insert(unescape(key)?, unescape(rest.trim_end())?);
    }
    Ok(values)
}

/// Splits a line behind its key: at the first `=`, `:` or space that no backslash escapes.
fn split_line(line: &str) -> (&str, &str) {
    let mut escaped = false;
    for (at, c) in line.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '=' | ':' => return line.split_at(at),
            c if c.is_ascii_whitespace() => return line.split_at(at),
            _ => {}
        }
    }
    (line, "")
}

fn unescape(text: &str) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('t') => out.push('\t'),
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('u') => {
                let digits: String = chars.by_ref().take(4).collect();
                let code = u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32);
                out.push(code.ok_or_else(|| format!("\\u{digits} is no character"))?);
            }
            Some(other) => out.push(other),
            None => return Err("a line ends with a backslash".to_owned()),
        }
    }
    Ok(out)
}

/// Escapes what Java's reader would take for something else.
fn escape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for (at, c) in value.chars().enumerate() {
        match c {
            '\\' | '=' | ':' | '#' | '!' => out.extend(['\\', c]),
            ' ' if at == 0 => out.push_str("\\ "),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            c if (' '..='~').contains(&c) => out.push(c),
            c => {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    // Writing to a string can't fail.
                    let _ = write!(out, "\\u{unit:04X}");
                }
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KAFKAS: &str = "#\n#Sun Nov 22 20:35:26 UTC 2026\nnode.id=3000\ndirectory.id=Kwftb7aUQZMos-iEY7Awjw\nversion=1\n\
                          cluster.id=ZcQrXrnVQj-xXqg6iQ0pGg\n";

    #[test]
    fn kafkas_own_file_is_read() {
        let (version, read) = MetaProperties::parse(KAFKAS).unwrap();
        assert_eq!(version, MetaPropertiesVersion::V1);
        assert_eq!(read.node_id, NodeId(3000));
        assert_eq!(read.cluster_id, "ZcQrXrnVQj-xXqg6iQ0pGg");
        assert_eq!(read.directory_id.map(|id| id.to_string()).as_deref(), Some("Kwftb7aUQZMos-iEY7Awjw"));
    }

    #[test]
    fn the_file_of_a_migrated_broker_is_read() {
        for text in ["broker.id=1\ncluster.id = abc\n", "version: 0\nbroker.id:1\ncluster.id abc"] {
            let (version, read) = MetaProperties::parse(text).unwrap();
            assert_eq!(version, MetaPropertiesVersion::V0);
            assert_eq!((read.node_id, read.cluster_id.as_str(), read.directory_id), (NodeId(1), "abc", None), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, expected) in [
            ("", "broker.id is missing"),
            ("version=1\ncluster.id=a", "node.id is missing"),
            ("version=2", "version 2 is unknown"),
            ("version=1\nnode.id=x\ncluster.id=a", "node.id is no node id"),
            ("version=1\nnode.id=-1\ncluster.id=a", "node.id is no node id"),
            ("version=1\nnode.id=1", "cluster.id is missing"),
            ("version=1\nnode.id=1\ncluster.id=", "cluster.id is empty"),
            ("version=1\nnode.id=1\ncluster.id=a\ndirectory.id=b", "directory.id"),
            ("version=1\nnode.id=1\ncluster.id=a\ndirectory.id=AAAAAAAAAAAAAAAAAAAAAQ", "reserved"),
            ("version=1\nnode.id=1\ncluster.id=a\\", "a line ends with a backslash"),
            ("version=1\nnode.id=1\ncluster.id=\\uD800", "no character"),
        ] {
            let error = MetaProperties::parse(text).unwrap_err();
            assert!(error.contains(expected), "{text:?}: {error}");
        }
    }

    #[test]
    fn another_clusters_or_nodes_directory_is_refused_by_name() {
        let found = MetaProperties { node_id: NodeId(1), cluster_id: "ours".into(), directory_id: None };
        let path = Path::new("/data/meta.properties");
        found.expect(path, NodeId(1), "ours").unwrap();
        let error = found.expect(path, NodeId(1), "theirs").unwrap_err();
        assert!(error.to_string().contains("cluster id ours, not to cluster id theirs"), "{error}");
        let error = found.expect(path, NodeId(2), "ours").unwrap_err();
        assert!(error.to_string().contains("node id 1, not to node id 2"), "{error}");
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }

    #[test]
    fn random_ids_are_never_reserved_and_differ() {
        let (a, b) = (random_directory_id().unwrap(), random_directory_id().unwrap());
        assert!(!a.is_reserved() && a != b);
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(node_id in 0..i32::MAX, cluster_id in "[ -~\u{a0}-\u{ff}]*[!-~]", bytes: [u8; 16]) {
            let directory_id = Some(DirectoryId(Uuid::from_bytes(bytes))).filter(|id| !id.is_reserved());
            let written = MetaProperties { node_id: NodeId(node_id), cluster_id, directory_id };
            let read = MetaProperties::parse(&written.to_text());
            prop_assert_eq!(read, Ok((MetaPropertiesVersion::V1, written)));
        }

        #[test]
        fn garbage_never_panics(text in ".*") {
            let _ = MetaProperties::parse(&text);
        }
    }
}
