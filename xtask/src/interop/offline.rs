//! A stopped cluster in ZooKeeper mode, straight to Kafka 4.x.

use super::boot::Booted;
use super::lab::failed;
use super::source::Source;
use super::{Findings, Lab, PartOptions};
use crate::cli::Failure;
use crate::kafka::{Kafka, Program, Release};

/// Partitions of the largest topic.
const PARTITIONS: i32 = 12;

pub(super) async fn run(lab: &Lab, options: PartOptions) -> Result<Findings, Failure> {
    let mut findings = Findings::new();
    let sources: &[Release] = if options.quick { &[Release::V3_9] } else { &[Release::V3_9, Release::V2_4] };
    for source in sources {
        straight_ahead(lab, *source, if options.quick { 1 } else { 3 }, &mut findings).await?;
    }
    Ok(findings)
}

/// A cluster of an old release, filled, stopped and exported, served by the newest.
async fn straight_ahead(lab: &Lab, old: Release, brokers: i32, findings: &mut Findings) -> Result<(), Failure> {
    let (old, new) = (lab.kafka(old).await?, lab.kafka(Release::V4).await?);
    let name = format!("offline-{}", old.release());
    let mut source = Source::start(lab, &name, &old, &new, brokers, PARTITIONS).await?;
    source.stop().await?;
    let exported = source.export(lab, findings).await?;
    lab.note(format_args!("booting Kafka {} on it", new.release()));
    let mut booted = Booted::start(&source.boot(&new, &exported)).await?;
    for difference in booted.differences(&source.expected(&exported.object), &source.made).await? {
        findings.broken(format!("{}: {difference}", old.release()));
    }
    let level = upgrade(&new, &booted, findings).await?;
    booted.stop().await?;
    let shown = source.before.counts();
    findings.say(format!(
        "Kafka {} serves what Kafka {} made in ZooKeeper mode: {} records, and {} things that its tools show as before; metadata \
         version then raised to {level}",
        new.release(),
        old.release(),
        exported.object["records"],
        shown.values().sum::<usize>(),
    ));
    let of = |field: &str| exported.object[field].clone();
    findings.field(
        &format!("from_{}", old.release()),
        serde_json::json!({
            "export_seconds": of("seconds"),
            "records": of("records"),
            "config_changes": of("config_changes"),
            "topic_ids_written": of("without_topic_id").as_array().map_or(0, Vec::len),
            "shown": shown,
            "metadata_version_after_upgrade": level,
        }),
    );
    Ok(())
}

/// Raises the metadata version to the release's own, as an operator does once the cluster runs. Returns what it is then.
async fn upgrade(kafka: &Kafka, booted: &Booted, findings: &mut Findings) -> Result<String, Failure> {
    let at = ["--bootstrap-server", booted.bootstrap()];
    let release = minor(kafka.release());
    let upgrade = [&at[..], &["upgrade", "--release-version", &release]].concat();
    kafka.run(Program::Features, &upgrade, "").await.map_err(failed("the metadata version can't be raised"))?;
    let shown = kafka.run(Program::Features, &[&at[..], &["describe"]].concat(), "").await;
    let shown = shown.map_err(failed("the features can't be shown"))?;
    let level = shown.lines().find(|line| line.contains("metadata.version"));
    let level = level.and_then(|line| line.split("FinalizedVersionLevel: ").nth(1)?.split_whitespace().next());
    let level = level.unwrap_or("none").to_owned();
    if !level.starts_with(&release) {
        findings.broken(format!("after the upgrade the metadata version is {level}"));
    }
    Ok(level)
}

/// `4.4` of `4.4.0`.
fn minor(release: Release) -> String {
    release.version().split('.').take(2).collect::<Vec<_>>().join(".")
}
