//! Kafka 3.9's own controller and ours migrate the same znodes, and both logs are compared record by record.
//!
//! - `content` makes the znodes, and gives each side a ZooKeeper with a copy of them; `odd` has some for good measure;
//! - `kafkas` and `ours` are the two migrations; `manifest` is what Kafka says of its own;
//! - `refused` has what one of the two does not migrate, and tries it;
//! - `log` cuts their logs, `entry` and `compare` compare them, `explained` has the differences that are right.

mod compare;
mod content;
mod entry;
mod explained;
mod kafkas;
mod log;
mod manifest;
mod odd;
mod ours;
mod refused;

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use self::compare::{Difference, compare};
use self::content::{Content, Seeded};
use self::explained::{EXPLANATIONS, explain};
use self::kafkas::KafkaMigration;
use self::log::MigrationLog;
use self::odd::ODD;
use self::ours::OurMigration;
use self::refused::REFUSALS;
use super::{Findings, Lab, PartOptions};
use crate::cli::Failure;
use crate::kafka::{Kafka, Release};

/// Differences that are shown; all are counted.
const SHOWN_MAX: usize = 10;

const SMALL: Seeded = Seeded { name: "small", topics: 10, partitions_per_topic: 10, extra: &[ODD], secret: true };

const LARGE: [Seeded; 2] = [
    Seeded { name: "seed-1000", topics: 100, partitions_per_topic: 10, extra: &[], secret: true },
    Seeded { name: "seed-20000", topics: 2000, partitions_per_topic: 10, extra: &[], secret: true },
];

pub(super) async fn run(lab: &Lab, options: PartOptions) -> Result<Findings, Failure> {
    let kafka = lab.kafka(Release::V3_9).await?;
    let mut findings = Findings::new();
    findings.field("kafka", Release::V3_9.version());
    findings.field("our_build", OUR_BUILD);
    findings.say(format!("Kafka {} and we (a {OUR_BUILD} build) migrate the same znodes:", Release::V3_9));
    let (small, verdict) = judge_content(lab, &kafka, SMALL, &mut findings).await?;
    let mut verdicts = vec![verdict];
    if options.quick {
        findings.say("  not tried on a small cluster: what Kafka does with what we refuse");
    } else {
        for seeded in LARGE {
            verdicts.push(judge_content(lab, &kafka, seeded, &mut findings).await?.1);
        }
        refused::judge(lab, &kafka, SMALL, &small.log, &mut findings).await?;
    }
    conclude(&verdicts, &mut findings);
    Ok(findings)
}

/// Times of an unoptimised build are no measure of anything.
const OUR_BUILD: &str = if cfg!(debug_assertions) { "debug" } else { "release" };

/// What came of one content, for programs.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Verdict {
    content: String,
    partitions: u64,
    kafka_records: u64,
    our_records: u64,
    equal: u64,
    unexplained: u64,
    explained: BTreeMap<&'static str, u64>,
    kafka_copy_seconds: f64,
    our_copy_seconds: f64,
    /// Kafka's time through ours.
    ratio: f64,
    /// Not compared: what controllers write of nodes that are alive, up to the end of the copy.
    kafka_records_of_live_nodes: BTreeMap<&'static str, u64>,
    our_records_of_live_nodes: BTreeMap<&'static str, u64>,
}

async fn judge_content(
    lab: &Lab,
    kafka: &Kafka,
    seeded: Seeded,
    findings: &mut Findings,
) -> Result<(OurMigration, Verdict), Failure> {
    lab.note(format_args!("content {}", seeded.name));
    let content = Content::seed(lab, seeded).await?;
    // One after the other: both are measured.
    let ours = ours::migrate(lab, &content).await?;
    let kafkas = kafkas::start(lab, kafka, &content, ours.log.replicas()).await?.finish().await?;
    let (verdict, broken) = judge(&content.name, &kafkas, &ours);
    findings.say(line(&verdict));
    broken.into_iter().for_each(|what| findings.broken(what));
    Ok((ours, verdict))
}

/// Everything that is said of two migrations of one content, and what is wrong with them.
fn judge(content: &str, kafkas: &KafkaMigration, ours: &OurMigration) -> (Verdict, Vec<String>) {
    let mut broken = Vec::new();
    let (bootstrap, copy) =
        (compare(&kafkas.log.bootstrap, &ours.log.bootstrap), compare(&kafkas.log.copy, &ours.log.copy));
    let explained = explain(bootstrap.differences.into_iter().chain(copy.differences).collect());
    broken.extend(unexplained(content, &explained.unexplained));
    for (whose, log) in [("Kafka's", &kafkas.log), ("our", &ours.log)] {
        if let Some(entry) = log.before_its_topic() {
            broken.push(format!("{content}: in {whose} log a partition comes before its topic: {}", entry.object()));
        }
    }
    let orders = [kafkas.log.families(), ours.log.families()];
    if orders[0] != orders[1] {
        broken
            .push(format!("{content}: the families come in another order: Kafka {:?}, we {:?}", orders[0], orders[1]));
    }
    broken.extend(miscounted(content, "Kafka", &kafkas.manifest.by_type, &kafkas.log));
    broken.extend(miscounted(content, "our controller", &ours.by_type, &ours.log));
    let count = |log: &MigrationLog| (log.bootstrap.len() + log.copy.len()) as u64;
    let verdict = Verdict {
        content: content.to_owned(),
        partitions: kafkas.log.versions("PARTITION_RECORD").values().sum(),
        kafka_records: count(&kafkas.log),
        our_records: count(&ours.log),
        equal: bootstrap.equal + copy.equal,
        unexplained: explained.unexplained.len() as u64,
        explained: explained.counts,
        kafka_copy_seconds: kafkas.manifest.seconds,
        our_copy_seconds: ours.seconds,
        ratio: if ours.seconds > 0.0 { kafkas.manifest.seconds / ours.seconds } else { 0.0 },
        kafka_records_of_live_nodes: kafkas.log.of_live_nodes.clone(),
        our_records_of_live_nodes: ours.log.of_live_nodes.clone(),
    };
    (verdict, broken)
}

fn unexplained(content: &str, differences: &[Difference]) -> Option<String> {
    if differences.is_empty() {
        return None;
    }
    let shown: Vec<Value> = differences.iter().take(SHOWN_MAX).map(Difference::object).collect();
    let (count, shown) = (differences.len(), json!(shown));
    Some(format!("{content}: {count} differences that nothing explains, the first: {shown}"))
}

/// Records that frame the copy: those who count their records leave them out, Kafka the last one too.
const FRAME: [&str; 3] = ["BEGIN_TRANSACTION_RECORD", "END_TRANSACTION_RECORD", "ZK_MIGRATION_STATE_RECORD"];

/// Whether a controller wrote what it says that it wrote. It also shows that we read its log whole.
fn miscounted(content: &str, whose: &str, said: &BTreeMap<String, u64>, log: &MigrationLog) -> Option<String> {
    let framed = |counts: &BTreeMap<String, u64>| {
        let mut counts = counts.clone();
        counts.retain(|name, _| !FRAME.contains(&name.as_str()));
        counts
    };
    let (said, read) = (framed(said), framed(&log.by_type()));
    (said != read).then(|| format!("{content}: {whose} says that it copied {said:?}, its log has {read:?}"))
}

fn line(verdict: &Verdict) -> String {
    let Verdict { content, partitions, kafka_records, our_records, equal, unexplained, explained, .. } = verdict;
    let explained: u64 = explained.values().sum();
    format!(
        "  {content}: {partitions} partitions; records: Kafka {kafka_records}, we {our_records}, {equal} equal, \
         {explained} differences explained, {unexplained} not; copied in {:.2} s by Kafka, in {:.2} s by us \
         ({:.1} times as fast)",
        verdict.kafka_copy_seconds, verdict.our_copy_seconds, verdict.ratio
    )
}

fn conclude(verdicts: &[Verdict], findings: &mut Findings) {
    findings.field("contents", verdicts);
    let mut explanations = Vec::new();
    for explanation in EXPLANATIONS {
        let count: u64 = verdicts.iter().filter_map(|verdict| verdict.explained.get(explanation.name)).sum();
        findings.say(format!("  explained: {} ({count}): {}", explanation.name, explanation.reason));
        explanations.push(json!({"name": explanation.name, "count": count, "reason": explanation.reason}));
    }
    findings.field("explanations", explanations);
    let mut live: BTreeMap<&str, u64> = BTreeMap::new();
    for (name, count) in verdicts.iter().flat_map(|verdict| &verdict.kafka_records_of_live_nodes) {
        *live.entry(name).or_default() += count;
    }
    let live: Vec<String> = live.iter().map(|(name, count)| format!("{name} ({count})")).collect();
    findings.say(format!("  not compared: what Kafka writes of live nodes: {}", live.join(", ")));
    for refusal in REFUSALS {
        findings.say(format!("  left out, since we refuse it: {}: Kafka {}", refusal.what, refusal.kafka_does));
    }
    findings.field(
        "left_out",
        REFUSALS.iter().map(|refusal| json!({"what": refusal.what, "kafka": refusal.kafka_does})).collect::<Vec<_>>(),
    );
}
