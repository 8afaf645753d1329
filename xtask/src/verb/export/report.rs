//! What an export wrote, or would write, for people and programs.

use std::collections::BTreeMap;

use metadata_core::id::{NodeId, Offset};
use serde::Serialize;
use serde_json::json;
use store_kraft::log::{BACKUP, DumpedRecord, RecordContent, files_of_whole};

use super::super::dump_log::record_line;
use super::{Args, Plan};
use crate::cli::{Failure, Outcome};
use crate::export::Conversion;
use crate::export::settings::{self, Advice, Quorum};

/// A log directory, for programs.
#[derive(Serialize)]
struct DirectoryObject {
    broker: i32,
    path: String,
    directory_id: String,
    replicas: usize,
    /// `done` before, `converted` now, or `to do`.
    state: &'static str,
}

#[derive(Serialize)]
struct SettingObject {
    setting: String,
    replacement: Option<String>,
    why: String,
}

/// Prints every record as `dump-log` does.
pub(super) fn print_records(plan: &Plan) -> Result<(), Failure> {
    use std::io::Write as _;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for (number, record) in plan.prepared.image.to_records().into_iter().flatten().enumerate() {
        let mut frame = Vec::new();
        record.encode(&mut frame).map_err(|error| Failure::failed("a record can't be written").because(&error))?;
        // In the snapshot its header comes first.
        let offset = Offset(i64::try_from(number).unwrap_or(i64::MAX - 1) + 1);
        let content = Ok(RecordContent::Metadata(record));
        // Nobody may be reading any more, which is no reason to fail.
        drop(writeln!(out, "{}", record_line(&DumpedRecord { offset, value_len: frame.len(), content }, false)));
    }
    drop(out.flush());
    Ok(())
}

/// The end of the verb.
pub(super) fn report(args: &Args, plan: &Plan) -> Outcome {
    let (image, judged) = (&plan.prepared.image, &plan.judged);
    let (counts, files) = (by_type(plan), files(args, plan));
    let total: u64 = counts.values().sum();
    let verb = if args.dry_run { "would write" } else { "wrote" };
    let mut lines = vec![format!(
        "{verb} {total} records of cluster {} at metadata version {} into {}",
        plan.cluster_id,
        args.metadata_version,
        args.data_dir.display()
    )];
    lines.extend(counts.iter().map(|(name, count)| format!("  {name}: {count}")));
    lines.extend(files.iter().map(|file| format!("{verb} {file}")));
    let told = |heading: &str, what: &mut dyn Iterator<Item = String>| {
        let what: Vec<_> = what.map(|line| format!("  {line}")).collect();
        if what.is_empty() { Vec::new() } else { std::iter::once(format!("{heading}:")).chain(what).collect() }
    };
    let changes = plan.prepared.config_changes.iter();
    lines.extend(told(
        "configs that Kafka 4.x takes no more",
        &mut changes.clone().map(|it| format!("{} of {}: {}", it.name, it.resource, it.what)),
    ));
    lines.extend(told(
        "directories that the metadata do not have, which Kafka sets aside when it starts",
        &mut judged.strays.iter().cloned(),
    ));
    let pending = judged.without_topic_id.iter().map(|it| format!("{}/{}", it.dir.display(), it.replica));
    if !args.convert_brokers {
        lines.extend(told(
            "replicas without partition.metadata, over which KRaft does not start (--convert-brokers writes it)",
            &mut pending.clone(),
        ));
    }
    lines.extend(told("worth knowing", &mut judged.notes.iter().chain(&plan.warnings).cloned()));
    let advice = settings::advice_of_all(plan.configs.iter().map(|(_, config)| config));
    lines.extend(told("settings that are taken no more", &mut advice.iter().map(Advice::to_string)));
    let proposals = proposals(args, plan);
    for (name, config) in &proposals {
        lines.extend(told(&format!("configuration of {name}"), &mut config.iter().cloned()));
    }
    let directories: Vec<_> = judged.conversions.iter().map(|it| directory(args, it)).collect();
    let settings: Vec<_> = advice
        .into_iter()
        .map(|Advice { setting, replacement, why }| SettingObject { setting, replacement, why })
        .collect();
    let changes: Vec<_> =
        changes.map(|it| json!({"resource": it.resource, "config": it.name, "change": it.what})).collect();
    let mut outcome = Outcome::done();
    for line in lines {
        outcome = outcome.say(line);
    }
    outcome
        .field("cluster_id", &plan.cluster_id)
        .field("node_id", args.node_id)
        .field("data_dir", args.data_dir.display().to_string())
        .field("metadata_version", args.metadata_version.to_string())
        .field("migration_state", image.zk_migration_state().to_string())
        .field("dry_run", args.dry_run)
        .field("records", total)
        .field("by_type", counts)
        .field("topics", image.topics().len())
        .field("partitions", image.topics().partition_count())
        .field("pending_deletions", plan.pending_deletions)
        .field("files", files)
        .field("config_changes", changes)
        .field("log_directories", directories)
        .field("strays", &judged.strays)
        .field("without_topic_id", pending.collect::<Vec<_>>())
        .field("notes", &judged.notes)
        .field("warnings", &plan.warnings)
        .field("warning_count", plan.warning_count)
        .field("settings", settings)
        .field("proposed", proposals)
}

/// The files that are written, in words.
fn files(args: &Args, plan: &Plan) -> Vec<String> {
    let mut files: Vec<String> = Vec::new();
    if args.convert_brokers {
        let topic_ids = plan.judged.without_topic_id.iter();
        files.extend(topic_ids.map(|it| it.dir.join(&it.replica).join("partition.metadata").display().to_string()));
        for conversion in plan.judged.conversions.iter().filter(|conversion| !conversion.is_done) {
            files.extend([BACKUP, "meta.properties"].map(|name| conversion.dir.join(name).display().to_string()));
        }
    }
    let position = plan.prepared.image.position();
    files.extend(files_of_whole(position).iter().map(|file| args.data_dir.join(file).display().to_string()));
    files
}

fn by_type(plan: &Plan) -> BTreeMap<&'static str, u64> {
    let mut counts = BTreeMap::new();
    for record in plan.prepared.image.to_records().into_iter().flatten() {
        *counts.entry(record.record.name()).or_default() += 1;
    }
    counts
}

/// The configurations that are proposed, by whose they are. Without secrets.
fn proposals(args: &Args, plan: &Plan) -> BTreeMap<String, Vec<String>> {
    let quorum =
        Quorum { node_id: NodeId(args.node_id), address: args.controller.clone(), data_dir: args.data_dir.clone() };
    let mut proposals: BTreeMap<_, _> = plan
        .configs
        .iter()
        .map(|(id, config)| (format!("broker {id}"), settings::shown(&config.as_broker(*id, &quorum))))
        .collect();
    if let Some((_, config)) = plan.configs.first() {
        proposals.insert(format!("controller {}", quorum.node_id), settings::shown(&config.as_controller(&quorum)));
    }
    proposals
}

fn directory(args: &Args, conversion: &Conversion) -> DirectoryObject {
    let state = match (conversion.is_done, args.convert_brokers && !args.dry_run) {
        (true, _) => "done",
        (false, true) => "converted",
        (false, false) => "to do",
    };
    DirectoryObject {
        broker: conversion.broker.0,
        path: conversion.dir.display().to_string(),
        directory_id: conversion.directory_id.to_string(),
        replicas: conversion.replicas,
        state,
    }
}
