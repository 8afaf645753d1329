//! Writes the Rust code of a table. Layout is left to rustfmt, except in comments and within macro calls.

use std::collections::BTreeSet;

use super::table::{Base, Entry, Field, FieldKind, Kind, Table};

/// Widest line of a comment.
const WIDTH: usize = 120;

/// The generated file, not yet formatted. `source` is the table's path, for the header.
pub(super) fn write(table: &Table, source: &str) -> String {
    let mut out = format!(
        "//! Generated from `{source}` by `cargo xtask codegen`.\n//! Change the table, not this file.\n\n\
         use std::fmt;\n\n{}\n",
        imports(table)
    );
    out += &record_enum(table, Enum::Metadata);
    out += &record_enum(table, Enum::Control);
    for entry in &table.entries {
        out += &structure(entry);
    }
    out
}

fn imports(table: &Table) -> String {
    let fields = || table.entries.iter().flat_map(|entry| &entry.fields);
    let ids: BTreeSet<&str> = fields()
        .filter_map(|field| match &field.kind.base {
            Base::Uuid(name) | Base::Int { rust: name, newtype: true, .. } => Some(name.as_str()),
            _ => None,
        })
        .collect();
    let ids: Vec<&str> = ids.into_iter().collect();
    format!(
        "use super::field_value::{{FieldValue, Fields, Redacted}};\n\
         use super::message::{{message, message_enum}};\n\
         use super::wire::{{FieldLister, Wire, get_field, not_in_version, put_field}};\n\
         use crate::codec::{{DecodeError, EncodeError, Reader}};\n\
         use crate::codec::{{TagWriter, UnknownTags, read_tags, read_unknown_tags}};\n\
         use crate::id::{{{}}};\n",
        ids.join(", ")
    )
}

#[derive(Clone, Copy, PartialEq)]
enum Enum {
    Metadata,
    Control,
}

fn record_enum(table: &Table, which: Enum) -> String {
    let mut out = String::from("message_enum! {\n");
    match which {
        Enum::Metadata => {
            out += &doc(4, "A metadata record: what the value of a record of the log says.");
            out += "    MetadataRecord,\n";
            out += &doc(4, "Kafka's number of the record, as in its frame.");
            out += "    api_key: i16;\n\n";
        }
        Enum::Control => {
            out += &doc(4, "A control record: what Raft itself says in the log and in snapshots.");
            out += "    ControlRecord,\n";
            out += &doc(4, "Kafka's number of the record, as in its key.");
            out += "    record_type: i16;\n\n";
        }
    }
    for entry in &table.entries {
        let name = &entry.name;
        let variant = name.strip_suffix("Record").or_else(|| name.strip_suffix("Message")).unwrap_or(name);
        let (number, kafkas_name) = match (entry.kind, which) {
            (Kind::Record { key, .. }, Enum::Metadata) => (key, snake_case(name).to_uppercase()),
            // Kafka names the type of a control record after what it does, not after its message.
            (Kind::Control { number, .. }, Enum::Control) => match variant {
                "Voters" => (number, "KRAFT_VOTERS".to_owned()),
                _ => (number, snake_case(variant).to_uppercase()),
            },
            _ => continue,
        };
        out += &doc(4, &entry.doc);
        out += &format!("    {variant}({name}) = {number}, {kafkas_name:?};\n");
    }
    out + "}\n\n"
}

fn structure(entry: &Entry) -> String {
    let mut out = declaration(entry);
    out += &default(entry);
    out += &debug(entry);
    if let Kind::Record { lowest, highest, .. } | Kind::Control { lowest, highest, .. } = entry.kind {
        out += &format!("message!({}, {lowest}..={highest});\n\n", entry.name);
    }
    out += &lister(entry);
    out += &format!("impl Wire for {} {{\n", entry.name);
    if entry.kind == Kind::Struct {
        out += &format!("const SIZE_MIN: usize = {};\n\n", size_min(entry));
    }
    out += &encoder(entry);
    out += &decoder(entry);
    out += "fn value(&self, version: i16) -> FieldValue {\nFieldValue::Struct(self.fields(version))\n}\n}\n\n";
    out
}

fn declaration(entry: &Entry) -> String {
    let mut out = doc(0, &entry.doc);
    let mut derives = vec!["Clone", "PartialEq"];
    if !has_secret(entry) {
        derives.insert(0, "Debug");
    }
    if entry.fields.iter().all(has_rusts_default) {
        derives.push("Default");
    }
    match entry.kind {
        Kind::Record { key, lowest, highest } => {
            out += &format!("///\n/// Api key {key}, {}.\n", versions(lowest, highest));
        }
        Kind::Control { number, lowest, highest } => {
            out += &format!("///\n/// Type {number}, {}.\n", versions(lowest, highest));
        }
        Kind::Struct => {}
    }
    out += &format!("#[derive({})]\npub struct {} {{\n", derives.join(", "), entry.name);
    for field in &entry.fields {
        out += &doc(4, &field_doc(field));
        out += &format!("    pub {}: {},\n", rust_name(field), rust_type(&field.kind));
    }
    out += &doc(4, "Tagged fields that this code does not know, kept as they are.");
    out + "    pub unknown_tags: UnknownTags,\n}\n\n"
}

fn versions(lowest: i16, highest: i16) -> String {
    if lowest == highest { format!("version {lowest}") } else { format!("versions {lowest} to {highest}") }
}

/// The field's sentence and, where they are not the usual ones, its first version, tag and default.
fn field_doc(field: &Field) -> String {
    let mut facts = Vec::new();
    if field.since > 0 {
        facts.push(format!("since version {}", field.since));
    }
    if let Some(tag) = field.tag {
        facts.push(format!("tag {tag}"));
    }
    match &field.default {
        Some(default) => facts.push(format!("default {default}")),
        None if field.kind.nullable => facts.push("default empty, not null".to_owned()),
        None => {}
    }
    let facts = facts.join(", ");
    match facts.split_at_checked(1) {
        Some((first, rest)) => format!("{} {}{rest}.", field.doc, first.to_uppercase()),
        None => field.doc.clone(),
    }
}

/// Kafka's defaults, where they are not what `derive(Default)` gives.
fn default(entry: &Entry) -> String {
    if entry.fields.iter().all(has_rusts_default) {
        return String::new();
    }
    let mut out = format!("impl Default for {} {{\nfn default() -> Self {{\nSelf {{\n", entry.name);
    for field in &entry.fields {
        out += &format!("{}: {},\n", rust_name(field), default_value(field));
    }
    out + "unknown_tags: UnknownTags::default(),\n}\n}\n}\n\n"
}

/// Debug output without the secrets.
fn debug(entry: &Entry) -> String {
    if !has_secret(entry) {
        return String::new();
    }
    let mut out = format!("impl fmt::Debug for {} {{\n", entry.name);
    out += "fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {\n";
    out += &format!("f.debug_struct({:?})\n", entry.name);
    for field in &entry.fields {
        let name = rust_name(field);
        let shown = match (field.secret, field.kind.nullable) {
            (false, _) => format!("&self.{name}"),
            (true, false) => "&Redacted".to_owned(),
            (true, true) => format!("&Redacted::option(&self.{name})"),
        };
        out += &format!(".field({name:?}, {shown})\n");
    }
    out + ".field(\"unknown_tags\", &self.unknown_tags)\n.finish()\n}\n}\n\n"
}

fn lister(entry: &Entry) -> String {
    let mut out = format!("impl {} {{\n", entry.name);
    out += &doc(
        4,
        "The fields that `version` has, absent ones at their default. Unknown tagged fields are not among them.",
    );
    out += "pub fn fields(&self, version: i16) -> Fields {\nFieldLister::new(version)\n";
    for field in &entry.fields {
        let add = if field.secret { "add_secret" } else { "add" };
        out += &format!(".{add}({}, {:?}, &self.{})\n", field.since, kafka_name(field), rust_name(field));
    }
    out + ".finish()\n}\n}\n\n"
}

fn encoder(entry: &Entry) -> String {
    let mut out =
        format!("fn put(&self, {}: i16, out: &mut Vec<u8>) -> Result<(), EncodeError> {{\n", version_parameter(entry));
    for field in entry.fields.iter().filter(|field| field.tag.is_none()) {
        let (name, rust) = (kafka_name(field), rust_name(field));
        let put = format!("put_field(out, version, {name:?}, &self.{rust})?;\n");
        out += &match field.since {
            0 => put,
            since => format!(
                "if version >= {since} {{\n{put}}} else if {} {{\nreturn Err(not_in_version(version, {name:?}));\n}}\n",
                is_set(field)
            ),
        };
    }
    let tagged = tagged(entry);
    if tagged.is_empty() {
        return out + "TagWriter::default().finish(&self.unknown_tags, 0, out)\n}\n\n";
    }
    out += "let mut tags = TagWriter::default();\n";
    for (tag, field) in &tagged {
        let (name, rust) = (kafka_name(field), rust_name(field));
        out += &format!("if {} {{\n", is_set(field));
        if field.since > 0 {
            out += &format!("if version < {} {{\nreturn Err(not_in_version(version, {name:?}));\n}}\n", field.since);
        }
        out += &format!("tags.add({tag}, |out| put_field(out, version, {name:?}, &self.{rust}))?;\n}}\n");
    }
    out + &format!("tags.finish(&self.unknown_tags, {}, out)\n}}\n\n", tagged.len())
}

fn decoder(entry: &Entry) -> String {
    let tagged = tagged(entry);
    let mut out =
        format!("fn get(reader: &mut Reader<'_>, {}: i16) -> Result<Self, DecodeError> {{\n", version_parameter(entry));
    out += if tagged.is_empty() { "Ok(Self {\n" } else { "let mut record = Self {\n" };
    for field in &entry.fields {
        let get = format!("get_field(reader, version, {:?})?", kafka_name(field));
        let value = match (field.tag, field.since) {
            (Some(_), _) => default_value(field),
            (None, 0) => get,
            (None, since) => format!("if version >= {since} {{ {get} }} else {{ {} }}", default_value(field)),
        };
        out += &format!("{}: {value},\n", rust_name(field));
    }
    if tagged.is_empty() {
        return out + "unknown_tags: read_unknown_tags(reader)?,\n})\n}\n\n";
    }
    out += "unknown_tags: UnknownTags::default(),\n};\n";
    out +=
        &format!("record.unknown_tags = read_tags(reader, version, {}, |tag, reader| {{\nmatch tag {{\n", tagged.len());
    for (tag, field) in &tagged {
        let guard = if field.since > 0 { format!(" if version >= {}", field.since) } else { String::new() };
        let (name, rust) = (kafka_name(field), rust_name(field));
        out += &format!("{tag}{guard} => record.{rust} = get_field(reader, version, {name:?})?,\n");
    }
    out + "_ => return Ok(false),\n}\nOk(true)\n})?;\nOk(record)\n}\n\n"
}

/// Without fields nobody asks for the version.
fn version_parameter(entry: &Entry) -> &'static str {
    if entry.fields.is_empty() { "_version" } else { "version" }
}

/// The tagged fields, by ascending tag.
fn tagged(entry: &Entry) -> Vec<(u32, &Field)> {
    let mut tagged: Vec<_> = entry.fields.iter().filter_map(|field| Some((field.tag?, field))).collect();
    tagged.sort_by_key(|(tag, _)| *tag);
    tagged
}

fn has_secret(entry: &Entry) -> bool {
    entry.fields.iter().any(|field| field.secret)
}

/// Whether Kafka's default is Rust's.
fn has_rusts_default(field: &Field) -> bool {
    match &field.default {
        Some(default) => default == "null",
        None => !field.kind.nullable,
    }
}

fn default_value(field: &Field) -> String {
    let FieldKind { base, array, nullable } = &field.kind;
    if let Some(default) = &field.default {
        return match base {
            _ if *nullable => "None".to_owned(),
            Base::Int { rust, newtype: true, .. } => format!("{rust}({default})"),
            _ => default.clone(),
        };
    }
    let value = match base {
        _ if *array => "Vec::new()".to_owned(),
        Base::Bool => "false".to_owned(),
        Base::Int { newtype: false, .. } => "0".to_owned(),
        Base::F64 => "0.0".to_owned(),
        Base::String => "String::new()".to_owned(),
        Base::Bytes => "Vec::new()".to_owned(),
        Base::Int { rust: name, .. } | Base::Uuid(name) | Base::Struct(name) => format!("{name}::default()"),
    };
    if *nullable { format!("Some({value})") } else { value }
}

/// The condition under which the field is not at its default.
fn is_set(field: &Field) -> String {
    let name = rust_name(field);
    let FieldKind { base, array, nullable } = &field.kind;
    match (&field.default, base) {
        (Some(_), _) if *nullable => format!("self.{name}.is_some()"),
        (Some(_), Base::Bool) => format!("!self.{name}"),
        (None, Base::Bool) if !array => format!("self.{name}"),
        (None, Base::String | Base::Bytes) if !nullable => format!("!self.{name}.is_empty()"),
        (None, _) if *array && !nullable => format!("!self.{name}.is_empty()"),
        _ => format!("self.{name} != {}", default_value(field)),
    }
}

/// The fewest bytes that the struct takes: its fields at their shortest, in the version with the fewest, and the number
/// of its tags.
fn size_min(entry: &Entry) -> usize {
    let fields = entry.fields.iter().filter(|field| field.since == 0 && field.tag.is_none());
    1 + fields.map(|field| field_size_min(&field.kind)).sum::<usize>()
}

fn field_size_min(kind: &FieldKind) -> usize {
    match &kind.base {
        Base::Int { size, .. } if !kind.array => *size,
        Base::F64 if !kind.array => 8,
        Base::Uuid(_) if !kind.array => 16,
        // A length of zero, a bool, or no fields and no tags.
        _ => 1,
    }
}

fn rust_type(kind: &FieldKind) -> String {
    let base = match &kind.base {
        Base::Bool => "bool",
        Base::F64 => "f64",
        Base::String => "String",
        Base::Bytes => "Vec<u8>",
        Base::Int { rust: name, .. } | Base::Uuid(name) | Base::Struct(name) => name,
    };
    let array = if kind.array { format!("Vec<{base}>") } else { base.to_owned() };
    if kind.nullable { format!("Option<{array}>") } else { array }
}

fn rust_name(field: &Field) -> String {
    snake_case(&field.name)
}

/// Kafka's name in JSON: with a small first letter.
fn kafka_name(field: &Field) -> String {
    let (first, rest) = field.name.split_at(1);
    first.to_lowercase() + rest
}

/// `NextProducerId` to `next_producer_id`. KRaft is one word.
fn snake_case(name: &str) -> String {
    let name = name.replace("KRaft", "Kraft");
    let mut out = String::new();
    for (index, letter) in name.char_indices() {
        if letter.is_ascii_uppercase() && index > 0 {
            out.push('_');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}

/// A doc comment, broken into lines.
fn doc(indent: usize, text: &str) -> String {
    let start = format!("{}///", " ".repeat(indent));
    let mut out = String::new();
    let mut line = start.clone();
    for word in text.split_whitespace() {
        if line.len() + 1 + word.len() > WIDTH {
            out += &line;
            out.push('\n');
            line.clone_from(&start);
        }
        line.push(' ');
        line += word;
    }
    out + &line + "\n"
}

#[cfg(test)]
mod tests {
    use super::super::table;
    use super::*;

    fn code(fields: &str) -> String {
        let table = table::parse(&format!("record SomeRecord | key 3 | versions 0-2 | A record.\n{fields}")).unwrap();
        write(&table, "the table")
    }

    /// Asserts that the code has these lines, in this order, next to each other.
    fn assert_lines(code: &str, lines: &[&str]) {
        assert!(code.contains(&lines.join("\n")), "{lines:#?} is not in\n{code}");
    }

    #[test]
    fn names_become_snake_case_and_kraft_stays_one_word() {
        for (name, expected) in [
            ("TopicId", "topic_id"),
            ("EndPoints", "end_points"),
            ("LastKnownElr", "last_known_elr"),
            ("KRaftVersionFeature", "kraft_version_feature"),
            ("ZkMigrationStateRecord", "zk_migration_state_record"),
        ] {
            assert_eq!(snake_case(name), expected);
        }
    }

    #[test]
    fn long_comments_are_broken_between_words() {
        let text = doc(4, &"word ".repeat(60));
        assert!(
            text.lines().count() > 1 && text.lines().all(|line| line.len() <= WIDTH && line.starts_with("    /// w"))
        );
    }

    #[test]
    fn a_record_is_listed_under_kafkas_upper_case_name() {
        let code = code("");
        assert_lines(&code, &["    /// A record.", "    Some(SomeRecord) = 3, \"SOME_RECORD\";"]);
        assert_lines(&code, &["message!(SomeRecord, 0..=2);"]);
    }

    #[test]
    fn a_field_of_a_later_version_is_written_or_must_be_at_its_default() {
        let code = code("  On | bool | 2+ | | Whether.\n");
        assert_lines(
            &code,
            &[
                "if version >= 2 {",
                "put_field(out, version, \"on\", &self.on)?;",
                "} else if self.on {",
                "return Err(not_in_version(version, \"on\"));",
                "}",
            ],
        );
        assert_lines(&code, &["on: if version >= 2 { get_field(reader, version, \"on\")? } else { false },"]);
        assert_lines(&code, &["    /// Whether. Since version 2.", "    pub on: bool,"]);
    }

    #[test]
    fn tagged_fields_are_written_by_ascending_tag_and_only_when_set() {
        let code = code(
            "  Late | []NodeId? | 1+ | tag 1, default null | Late.\n\
             \x20 Leader | NodeId | 0+ | tag 0, default -2 | Who.\n",
        );
        assert_lines(
            &code,
            &[
                "if self.leader != NodeId(-2) {",
                "tags.add(0, |out| put_field(out, version, \"leader\", &self.leader))?;",
                "}",
                "if self.late.is_some() {",
                "if version < 1 {",
                "return Err(not_in_version(version, \"late\"));",
                "}",
                "tags.add(1, |out| put_field(out, version, \"late\", &self.late))?;",
                "}",
                "tags.finish(&self.unknown_tags, 2, out)",
            ],
        );
        assert_lines(&code, &["1 if version >= 1 => record.late = get_field(reader, version, \"late\")?,"]);
        assert_lines(&code, &["late: None,", "leader: NodeId(-2),", "unknown_tags: UnknownTags::default(),"]);
    }

    #[test]
    fn secrets_are_hidden_in_debug_output_and_marked_in_the_list_of_fields() {
        let code = code("  Key | bytes | 0+ | secret | A key.\n  Value | string? | 0+ | secret | A value.\n");
        assert_lines(&code, &[".field(\"key\", &Redacted)", ".field(\"value\", &Redacted::option(&self.value))"]);
        assert_lines(&code, &[".add_secret(0, \"key\", &self.key)"]);
        assert_lines(&code, &["#[derive(Clone, PartialEq)]", "pub struct SomeRecord {"]);
    }

    #[test]
    fn an_element_takes_at_least_its_fields_of_the_first_version_and_a_tag_count() {
        let code = code(
            "  Parts | []Part | 0+ | | Parts.\nstruct Part | A part.\n  A | u16 | 0+ | | A.\n  B | string | 0+ | | B.\n\
             \x20 C | TopicId | 0+ | | C.\n  D | i64 | 1+ | | D.\n  E | []NodeId | 0+ | | E.\n",
        );
        assert_lines(&code, &["const SIZE_MIN: usize = 21;"]);
    }
}
