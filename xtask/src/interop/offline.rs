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
    let (old, new) = (lab.kafka(Release::V3_9).await?, lab.kafka(Release::V4).await?);
    let mut findings = Findings::new();
    let brokers = if options.quick { 1 } else { 3 };
    let mut source = Source::start(lab, "offline", &old, &new, brokers, PARTITIONS).await?;
    source.stop().await?;
    let exported = source.export(lab, &mut findings).await?;
    let mut booted = Booted::start(&source.boot(&new, &exported)).await?;
    for difference in booted.differences(&source.expected(&exported.object), &source.made).await? {
        findings.broken(difference);
    }
    findings.field("shown", source.before.counts());
    upgrade(&new, &booted, &mut findings).await?;
    booted.stop().await?;
    findings.say(format!(
        "Kafka {new} serves what Kafka {old} made in ZooKeeper mode: {} topics, {} records",
        source.made.topics.len(),
        exported.object["records"],
        new = new.release(),
        old = old.release(),
    ));
    Ok(findings)
}

/// Raises the metadata version to the release's own, as an operator does once the cluster runs.
async fn upgrade(kafka: &Kafka, booted: &Booted, findings: &mut Findings) -> Result<(), Failure> {
    let at = ["--bootstrap-server", booted.bootstrap()];
    let release = minor(kafka.release());
    let upgrade = [&at[..], &["upgrade", "--release-version", &release]].concat();
    kafka.run(Program::Features, &upgrade, "").await.map_err(failed("the metadata version can't be raised"))?;
    let shown = kafka.run(Program::Features, &[&at[..], &["describe"]].concat(), "").await;
    let shown = shown.map_err(failed("the features can't be shown"))?;
    let level = shown.lines().find(|line| line.contains("metadata.version"));
    let level = level.and_then(|line| line.split("FinalizedVersionLevel: ").nth(1)?.split_whitespace().next());
    match level {
        Some(level) if level.starts_with(&release) => {
            findings.field("metadata_version_after_upgrade", level);
            Ok(())
        }
        _ => {
            findings.broken(format!("after the upgrade the metadata version is {level:?}"));
            Ok(())
        }
    }
}

/// `4.4` of `4.4.0`.
fn minor(release: Release) -> String {
    release.version().split('.').take(2).collect::<Vec<_>>().join(".")
}
