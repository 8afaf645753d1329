//! Reads the table of records. What a line may say is described at the top of the table itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The table.
#[derive(Debug)]
pub(super) struct Table {
    /// Records and structs, in the order of the table.
    pub(super) entries: Vec<Entry>,
}

/// A record, or a struct within one.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) doc: String,
    pub(super) fields: Vec<Field>,
    line: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A metadata record: api key, lowest and highest version (both inclusive).
    Record { key: i16, lowest: i16, highest: i16 },
    /// A control record: type, lowest and highest version (both inclusive).
    Control { number: i16, lowest: i16, highest: i16 },
    /// Part of the record that names it, and in that record's versions.
    Struct,
}

#[derive(Debug)]
pub(super) struct Field {
    /// Kafka's name, in upper camel case.
    pub(super) name: String,
    pub(super) kind: FieldKind,
    /// The first version with the field, inclusive.
    pub(super) since: i16,
    pub(super) tag: Option<u32>,
    /// As in the table, if it says one.
    pub(super) default: Option<String>,
    pub(super) secret: bool,
    pub(super) doc: String,
    line: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FieldKind {
    pub(super) base: Base,
    pub(super) array: bool,
    pub(super) nullable: bool,
}

/// The type of a field, or of the elements of an array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Base {
    Bool,
    /// An integer, or a newtype around one: Rust name, whether it is a newtype, size in bytes.
    Int {
        rust: String,
        newtype: bool,
        size: usize,
    },
    F64,
    /// A newtype around a 16-byte id.
    Uuid(String),
    String,
    Bytes,
    Struct(String),
}

/// What is wrong with the table, and in which line, counted from 1.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TableError {
    line: usize,
    reason: String,
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.reason)
    }
}

impl std::error::Error for TableError {}

/// Newtypes of `metadata_core::id` around integers, with their size in bytes.
const INT_NEWTYPES: [(&str, usize); 7] = [
    ("NodeId", 4),
    ("PartitionId", 4),
    ("LeaderEpoch", 4),
    ("PartitionEpoch", 4),
    ("BrokerEpoch", 8),
    ("ProducerId", 8),
    ("TimestampMs", 8),
];

/// Newtypes of `metadata_core::id` around 16-byte ids.
const UUID_NEWTYPES: [&str; 4] = ["TopicId", "DirectoryId", "AclId", "IncarnationId"];

/// Reads and checks the whole table.
pub(super) fn parse(text: &str) -> Result<Table, TableError> {
    let mut entries: Vec<Entry> = Vec::new();
    for (index, content) in text.lines().enumerate() {
        let line = index + 1;
        let refuse = |reason: String| TableError { line, reason };
        if content.trim().is_empty() || content.starts_with('#') {
            continue;
        }
        let cells: Vec<&str> = content.split('|').map(str::trim).collect();
        if content.starts_with(' ') {
            let field = parse_field(line, &cells).map_err(refuse)?;
            let entry = entries.last_mut().ok_or_else(|| refuse("a field before any record".to_owned()))?;
            entry.fields.push(field);
        } else {
            entries.push(parse_entry(line, &cells).map_err(refuse)?);
        }
    }
    let table = Table { entries };
    check(&table)?;
    Ok(table)
}

fn parse_entry(line: usize, cells: &[&str]) -> Result<Entry, String> {
    let (head, kind, doc) = match cells {
        [head, doc] if head.starts_with("struct ") => (head, Kind::Struct, doc),
        [head, number, versions, doc] => {
            let (lowest, highest) = parse_versions(versions)?;
            let kind = if head.starts_with("record ") {
                Kind::Record { key: parse_number(number, "key")?, lowest, highest }
            } else if head.starts_with("control ") {
                Kind::Control { number: parse_number(number, "type")?, lowest, highest }
            } else {
                return Err(format!("{head:?} is no entry: expected record, control or struct, and a name"));
            };
            (head, kind, doc)
        }
        _ => return Err("an entry has the cells NAME | key K | versions LOW-HIGH | sentence".to_owned()),
    };
    let name = head.split_once(' ').map_or("", |(_, name)| name.trim());
    Ok(Entry { name: parse_name(name)?, kind, doc: parse_doc(doc)?, fields: Vec::new(), line })
}

fn parse_field(line: usize, cells: &[&str]) -> Result<Field, String> {
    let [name, kind, since, attributes, doc] = cells else {
        return Err(format!("a field has 5 cells, NAME | TYPE | SINCE+ | ATTRIBUTES | sentence, not {}", cells.len()));
    };
    let since = since.strip_suffix('+').and_then(|since| since.parse().ok());
    let mut field = Field {
        name: parse_name(name)?,
        kind: parse_kind(kind)?,
        since: since.filter(|since| *since >= 0).ok_or("the first version must look like 0+")?,
        tag: None,
        default: None,
        secret: false,
        doc: parse_doc(doc)?,
        line,
    };
    for attribute in attributes.split(',').map(str::trim).filter(|attribute| !attribute.is_empty()) {
        match attribute.split_once(' ').unwrap_or((attribute, "")) {
            ("tag", number) => {
                field.tag = Some(number.parse().map_err(|_| format!("{number:?} is no tag: expected a number"))?);
            }
            ("default", value) => field.default = Some(parse_default(value, &field.kind)?),
            ("secret", "") => field.secret = true,
            _ => return Err(format!("{attribute:?} is no attribute: expected tag N, default V or secret")),
        }
    }
    Ok(field)
}

fn parse_name(name: &str) -> Result<String, String> {
    let valid = name.starts_with(|first: char| first.is_ascii_uppercase())
        && name.chars().all(|letter| letter.is_ascii_alphanumeric());
    if valid { Ok(name.to_owned()) } else { Err(format!("{name:?} is no name: expected upper camel case")) }
}

fn parse_doc(doc: &str) -> Result<String, String> {
    if doc.ends_with('.') { Ok(doc.to_owned()) } else { Err("the sentence is missing, or its full stop is".to_owned()) }
}

/// `key 3` or `type 3`.
fn parse_number(cell: &str, word: &str) -> Result<i16, String> {
    let number = cell.strip_prefix(word).and_then(|number| number.trim().parse().ok());
    number.filter(|number| *number >= 0).ok_or_else(|| format!("{cell:?} should be the word {word} and a number"))
}

/// `versions 0-2`, both ends inclusive.
fn parse_versions(cell: &str) -> Result<(i16, i16), String> {
    cell.strip_prefix("versions ")
        .and_then(|range| range.split_once('-'))
        .and_then(|(low, high)| Some((low.parse().ok()?, high.parse().ok()?)))
        .filter(|(low, high): &(i16, i16)| 0 <= *low && low <= high)
        .ok_or_else(|| format!("{cell:?} should look like: versions 0-2"))
}

fn parse_kind(text: &str) -> Result<FieldKind, String> {
    let (text, nullable) = text.strip_suffix('?').map_or((text, false), |text| (text, true));
    let (text, array) = text.strip_prefix("[]").map_or((text, false), |text| (text, true));
    let int = |size| Base::Int { rust: text.to_owned(), newtype: false, size };
    let base = match text {
        "bool" => Base::Bool,
        "i8" => int(1),
        "i16" | "u16" => int(2),
        "i32" => int(4),
        "i64" => int(8),
        "f64" => Base::F64,
        "string" => Base::String,
        "bytes" => Base::Bytes,
        _ => {
            if let Some((_, size)) = INT_NEWTYPES.iter().find(|(name, _)| *name == text) {
                Base::Int { rust: text.to_owned(), newtype: true, size: *size }
            } else if UUID_NEWTYPES.contains(&text) {
                Base::Uuid(text.to_owned())
            } else {
                // That the table has such a struct is checked at the end.
                Base::Struct(parse_name(text).map_err(|_| format!("{text:?} is no type"))?)
            }
        }
    };
    if nullable && !array && base != Base::String {
        return Err("only a string or an array can be nullable".to_owned());
    }
    Ok(FieldKind { base, array, nullable })
}

fn parse_default(value: &str, kind: &FieldKind) -> Result<String, String> {
    let fits = match (kind, value) {
        (FieldKind { nullable: true, .. }, "null") => true,
        (FieldKind { array: true, .. }, _) | (FieldKind { nullable: true, .. }, _) => false,
        (FieldKind { base: Base::Bool, .. }, _) => value == "true",
        (FieldKind { base: Base::Int { .. }, .. }, _) => value.parse::<i64>().is_ok_and(|number| number != 0),
        _ => false,
    };
    if fits { Ok(value.to_owned()) } else { Err(format!("{value:?} is no default of its own for this type")) }
}

/// What holds between lines.
fn check(table: &Table) -> Result<(), TableError> {
    let mut names = BTreeSet::new();
    let mut numbers = BTreeSet::new();
    let mut versions: BTreeMap<&str, (i16, i16)> = BTreeMap::new();
    for entry in &table.entries {
        let refuse = |reason: String| TableError { line: entry.line, reason };
        if !names.insert(&entry.name) {
            return Err(refuse(format!("there are two {}", entry.name)));
        }
        let number = match entry.kind {
            Kind::Record { key, .. } => Some(("key", key)),
            Kind::Control { number, .. } => Some(("type", number)),
            Kind::Struct => None,
        };
        if let Some((word, number)) = number
            && !numbers.insert((word, number))
        {
            return Err(refuse(format!("{word} {number} is taken")));
        }
        let (lowest, highest) = match entry.kind {
            Kind::Record { lowest, highest, .. } | Kind::Control { lowest, highest, .. } => (lowest, highest),
            // A struct stands after the record that names it, so that its versions are known here.
            Kind::Struct => *versions
                .get(entry.name.as_str())
                .ok_or_else(|| refuse(format!("no entry above names the struct {}", entry.name)))?,
        };
        check_fields(entry, highest)?;
        for field in &entry.fields {
            if let Base::Struct(name) = &field.kind.base {
                versions.insert(name, (lowest, highest));
            }
        }
    }
    for entry in &table.entries {
        for field in &entry.fields {
            if let Base::Struct(name) = &field.kind.base
                && !names.contains(name)
            {
                return Err(TableError { line: field.line, reason: format!("{name:?} is no type") });
            }
        }
    }
    Ok(())
}

fn check_fields(entry: &Entry, highest: i16) -> Result<(), TableError> {
    let mut names = BTreeSet::new();
    let mut tags = BTreeSet::new();
    for field in &entry.fields {
        let refuse = |reason: String| TableError { line: field.line, reason };
        if !names.insert(&field.name) {
            return Err(refuse(format!("{} has two fields {}", entry.name, field.name)));
        }
        if field.since > highest {
            return Err(refuse(format!("the field starts at version {}, after the last one, {highest}", field.since)));
        }
        if let Some(tag) = field.tag
            && !tags.insert(tag)
        {
            return Err(refuse(format!("tag {tag} is taken")));
        }
    }
    // The codec tells known from unknown tags by one bound.
    if let Some((missing, _)) = (0..).zip(&tags).find(|(expected, tag)| expected != *tag) {
        return Err(TableError { line: entry.line, reason: format!("tag {missing} is missing") });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "record R | key 3 | versions 0-2 | A record.\n";

    #[test]
    fn a_table_is_read_with_types_versions_and_attributes() {
        let text = "# A comment.\n\nrecord R | key 3 | versions 0-2 | A record.\n\
            \x20 Leader | NodeId | 1+ | tag 0, default -2 | Who leads.\n\
            \x20 Parts | []Part | 0+ | | Its parts.\n\
            \x20 Names | []string? | 2+ | tag 1, default null, secret | Names.\n\
            struct Part | A part.\n\x20 On | bool | 0+ | default true | Whether.\n";
        let table = parse(text).unwrap();
        let [record, part] = table.entries.as_slice() else { panic!("{table:?}") };
        assert_eq!((record.name.as_str(), record.kind), ("R", Kind::Record { key: 3, lowest: 0, highest: 2 }));
        assert_eq!((part.name.as_str(), part.kind, part.doc.as_str()), ("Part", Kind::Struct, "A part."));
        let [leader, parts, names] = record.fields.as_slice() else { panic!("{record:?}") };
        assert_eq!((leader.since, leader.tag, leader.default.as_deref()), (1, Some(0), Some("-2")));
        assert_eq!(leader.kind.base, Base::Int { rust: "NodeId".into(), newtype: true, size: 4 });
        assert_eq!(parts.kind, FieldKind { base: Base::Struct("Part".into()), array: true, nullable: false });
        assert_eq!(names.kind, FieldKind { base: Base::String, array: true, nullable: true });
        assert!(names.secret && !parts.secret);
    }

    #[test]
    fn a_malformed_line_is_named_with_its_number_and_the_reason() {
        for (lines, line, reason) in [
            ("  A | bool | 0+ | | Text.", 1, "before any record"),
            ("table R | key 3 | versions 0-2 | Text.", 1, "no entry"),
            ("record R | key 3 | Text.", 1, "cells"),
            ("record R | 3 | versions 0-2 | Text.", 1, "word key"),
            ("record R | key x | versions 0-2 | Text.", 1, "word key"),
            ("control R | key 3 | versions 0-2 | Text.", 1, "word type"),
            ("record R | key 3 | versions 2-1 | Text.", 1, "versions 0-2"),
            ("record r | key 3 | versions 0-2 | Text.", 1, "no name"),
            ("record R | key 3 | versions 0-2 |", 1, "sentence"),
            ("{HEAD}  A | bool | 0+ | Text.", 2, "5 cells"),
            ("{HEAD}  a | bool | 0+ | | Text.", 2, "no name"),
            ("{HEAD}  A | int | 0+ | | Text.", 2, "\"int\" is no type"),
            ("{HEAD}  A | Missing | 0+ | | Text.", 2, "\"Missing\" is no type"),
            ("{HEAD}  A | i32? | 0+ | | Text.", 2, "nullable"),
            ("{HEAD}  A | bool | 0 | | Text.", 2, "0+"),
            ("{HEAD}  A | bool | -1+ | | Text.", 2, "0+"),
            ("{HEAD}  A | bool | 3+ | | Text.", 2, "after the last one"),
            ("{HEAD}  A | bool | 0+ | | no full stop", 2, "full stop"),
            ("{HEAD}  A | bool | 0+ | tag x | Text.", 2, "no tag"),
            ("{HEAD}  A | bool | 0+ | flexible | Text.", 2, "no attribute"),
            ("{HEAD}  A | bool | 0+ | default 1 | Text.", 2, "no default"),
            ("{HEAD}  A | string | 0+ | default null | Text.", 2, "no default"),
            ("{HEAD}  A | bool | 0+ | tag 1 | Text.", 1, "tag 0 is missing"),
            ("{HEAD}  A | bool | 0+ | tag 0 | Text.\n  B | bool | 0+ | tag 0 | Text.", 3, "tag 0 is taken"),
            ("{HEAD}  A | bool | 0+ | | Text.\n  A | bool | 0+ | | Text.", 3, "two fields A"),
            ("{HEAD}record R | key 4 | versions 0-0 | Text.", 2, "two R"),
            ("{HEAD}record S | key 3 | versions 0-0 | Text.", 2, "key 3 is taken"),
            ("{HEAD}struct Lonely | Text.", 2, "names the struct Lonely"),
        ] {
            let error = parse(&lines.replace("{HEAD}", HEAD)).expect_err(lines);
            assert_eq!(error.line, line, "{lines}: {error}");
            assert!(error.to_string().contains(reason), "{lines}: {error}");
        }
    }

    #[test]
    fn a_control_type_may_equal_an_api_key() {
        let text = format!("{HEAD}control C | type 3 | versions 0-0 | A control record.");
        assert_eq!(parse(&text).unwrap().entries.len(), 2);
    }
}
