//! Kafka 3.9's own controller and ours migrate the same znodes, and both logs are compared record by record.
//!
//! - `content` makes the znodes, and gives each side a ZooKeeper with a copy of them; `odd` has some for good measure;
//! - `kafkas` and `ours` are the two migrations; `manifest` is what Kafka says of its own;
//! - `one_sided` has what one of the two does not migrate, and tries it;
//! - `log` cuts their logs, `entry` and `compare` compare them, `explained` has the differences that are right.

mod compare;
mod content;
mod entry;
mod explained;
mod kafkas;
mod log;
mod manifest;
mod odd;
mod one_sided;
mod ours;

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use self::compare::{Difference, compare};
use self::content::{Content, Seeded};
use self::explained::{EXPLANATIONS, explain};
use self::kafkas::KafkaMigration;
use self::log::MigrationLog;
#[cfg(test)]
use self::manifest::KafkaManifest;
use self::one_sided::ONE_SIDED;
use self::ours::OurMigration;
use super::{Findings, Lab, PartOptions};
use crate::cli::Failure;
use crate::kafka::{Kafka, Release};

/// Differences that are shown; all are counted.
const SHOWN_MAX: usize = 10;

const SMALL: Seeded =
    Seeded { name: "small", topics: 10, partitions_per_topic: 10, odd: true, extra: &[], secret: true };

const LARGE: [Seeded; 2] = [
    Seeded { name: "seed-1000", topics: 100, odd: false, ..SMALL },
    Seeded { name: "seed-20000", topics: 2000, odd: false, ..SMALL },
];

pub(super) async fn run(lab: &Lab, options: PartOptions) -> Result<Findings, Failure> {
    let kafka = lab.kafka(Release::V3_9).await?;
    let mut findings = Findings::new();
    findings.field("kafka", Release::V3_9.version());
    findings.field("our_build", OUR_BUILD);
    findings.say(format!("Kafka {} and we (a {OUR_BUILD} build) migrate the same znodes:", Release::V3_9));
    let small = judge_seed(lab, &kafka, SMALL, &mut findings).await;
    let (small, verdict) = ran(SMALL.name, small, &mut findings).unzip();
    let mut verdicts = Vec::from_iter(verdict);
    if options.quick {
        findings.say("  not tried on a small cluster: what either does with what one of us does not migrate");
    } else {
        for seeded in LARGE {
            let judged = judge_seed(lab, &kafka, seeded, &mut findings).await;
            verdicts.extend(ran(seeded.name, judged, &mut findings).map(|(_, verdict)| verdict));
        }
        if let Some(small) = small {
            let judged = one_sided::judge(lab, &kafka, SMALL, &small.log, &mut findings).await;
            ran("what only one of us migrates", judged, &mut findings);
        }
        for (name, release) in [("real-3.9", Release::V3_9), ("real-2.4-upgraded", Release::V2_4)] {
            let judged = judge_real(lab, &kafka, name, release, &mut findings).await;
            verdicts.extend(ran(name, judged, &mut findings).map(|(_, verdict)| verdict));
        }
    }
    conclude(&verdicts, &mut findings);
    Ok(findings)
}

/// What a trial gave, unless it failed on its way: then it did not show what it was to show.
fn ran<T>(what: &str, result: Result<T, Failure>, findings: &mut Findings) -> Option<T> {
    result.map_err(|failure| findings.not_run(format!("{what}: {}", failure.lines().join("; ")))).ok()
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

async fn judge_seed(
    lab: &Lab,
    kafka: &Kafka,
    seeded: Seeded,
    findings: &mut Findings,
) -> Result<(OurMigration, Verdict), Failure> {
    lab.note(format_args!("content {}", seeded.name));
    judge_content(lab, kafka, Content::seed(lab, seeded).await?, findings).await
}

/// What real brokers of a release write, those of an old one upgraded before they migrate.
async fn judge_real(
    lab: &Lab,
    kafka: &Kafka,
    name: &str,
    release: Release,
    findings: &mut Findings,
) -> Result<(OurMigration, Verdict), Failure> {
    lab.note(format_args!("content {name}"));
    let first = lab.kafka(release).await?;
    judge_content(lab, kafka, Content::real(lab, name, &first, kafka).await?, findings).await
}

async fn judge_content(
    lab: &Lab,
    kafka: &Kafka,
    content: Content,
    findings: &mut Findings,
) -> Result<(OurMigration, Verdict), Failure> {
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
    for case in ONE_SIDED {
        findings.say(format!("  left out: {}: Kafka {}; we {}", case.what, case.kafka_does, case.we_do()));
    }
    let left_out =
        ONE_SIDED.iter().map(|case| json!({"what": case.what, "kafka": case.kafka_does, "we": case.we_do()}));
    findings.field("left_out", left_out.collect::<Vec<_>>());
}

#[cfg(test)]
mod tests {
    use metadata_core::id::NodeId;
    use metadata_core::record::{ConfigRecord, MetadataRecord};

    use super::entry::Entry;
    use super::entry::tests::{entry, partition, topic};
    use super::*;

    fn records() -> Vec<Entry> {
        let config = ConfigRecord {
            resource_type: 4,
            name: "ssl.key.password".into(),
            value: Some("hunter2".into()),
            ..Default::default()
        };
        vec![entry(topic("a", 1)), entry(partition(1, 0)), entry(config)]
    }

    /// A log whose copy has these records, and whose controller counted right.
    fn ours(copy: Vec<Entry>) -> OurMigration {
        let log = MigrationLog { copy, ..Default::default() };
        OurMigration { by_type: log.by_type(), log, seconds: 0.5 }
    }

    fn kafkas(copy: Vec<Entry>) -> KafkaMigration {
        let log = MigrationLog { copy, ..Default::default() };
        let manifest = KafkaManifest { records: 0, seconds: 2.0, batches: 1, by_type: log.by_type() };
        KafkaMigration { log, manifest }
    }

    fn broken(kafka: Vec<Entry>, our: Vec<Entry>) -> Vec<String> {
        judge("x", &kafkas(kafka), &ours(our)).1
    }

    #[test]
    fn what_failed_on_its_way_did_not_run() {
        let mut findings = Findings::new();
        assert_eq!(ran("a", Ok(1), &mut findings), Some(1));
        assert!(findings.holds());
        assert_eq!(ran::<i32>("b", Err(Failure::failed("no Java")), &mut findings), None);
        assert!(findings.what_did_not_run()[0].starts_with("b: ") && !findings.holds());
    }

    #[test]
    fn two_equal_logs_hold_and_are_timed() {
        let (verdict, broken) = judge("x", &kafkas(records()), &ours(records()));
        assert_eq!(broken, Vec::<String>::new());
        assert_eq!((verdict.equal, verdict.unexplained, verdict.partitions), (3, 0, 1));
        assert_eq!(verdict.ratio, 4.0);
    }

    #[test]
    fn a_missing_an_extra_a_doubled_and_a_changed_record_are_broken() {
        for at in 0..records().len() {
            let (mut fewer, mut more) = (records(), records());
            fewer.remove(at);
            more.insert(at, more[at].clone());
            for (kafka, our) in
                [(records(), fewer.clone()), (fewer, records()), (more.clone(), records()), (records(), more)]
            {
                assert!(broken(kafka, our)[0].contains("1 differences that nothing explains"), "{at}");
            }
        }
        let mut changed = records();
        let MetadataRecord::Partition(partition) = &mut changed[1].record.record else { unreachable!() };
        partition.leader = NodeId(2);
        assert!(broken(records(), changed)[0].contains("field leader"));
    }

    #[test]
    fn what_is_shown_of_a_difference_has_no_secret() {
        let mut changed = records();
        let MetadataRecord::Config(config) = &mut changed[2].record.record else { unreachable!() };
        config.value = Some("hunter3".into());
        let shown = broken(records(), changed).join(" ");
        assert!(shown.contains("ssl.key.password") && shown.contains("field value"), "{shown}");
        assert!(!shown.contains("hunter"), "{shown}");
    }

    #[test]
    fn an_order_that_matters_and_a_count_that_is_wrong_are_broken() {
        let mut turned = records();
        turned.swap(0, 1);
        assert!(broken(records(), turned)[0].contains("before its topic"));
        let mut other = records();
        other.rotate_right(1);
        assert!(broken(records(), other)[0].contains("in another order"));

        let mut kafkas = kafkas(records());
        kafkas.manifest.by_type.insert("TOPIC_RECORD".to_owned(), 2);
        assert!(judge("x", &kafkas, &ours(records())).1[0].contains("Kafka says that it copied"));
        let mut ours = ours(records());
        ours.by_type.remove("PARTITION_RECORD");
        let kafkas = self::kafkas(records());
        assert!(judge("x", &kafkas, &ours).1[0].contains("our controller says that it copied"));
    }
}
