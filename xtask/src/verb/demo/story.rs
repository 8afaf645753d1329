//! What the demo does once both sides are written: changes, a look at them in ZooKeeper, and the comparison.

use std::collections::BTreeMap;
use std::time::Instant;

use store_zk::client::{ReadOutcome, ZkConnector, ZkRead};

use crate::change::{
    Acl, Change, Mechanism, Operation, PatternType, Permission, QuotaOwner, Resource, ResourceType, ScramKeys, Secret,
};
use crate::cli::{Failure, Shell};
use crate::control::Reporter;
use crate::controller::{Controller, CopyReport, Showing, StatusReport, VerifyReport, fresh_bytes};
use crate::seed::{Manifest, RecordCounts};
use crate::verb::told::{self as progress, telling};

/// Bytes of a znode that are shown.
const SHOWN_MAX: usize = 110;
/// The seed of the random changes.
const RANDOM_SEED: u64 = 1;
/// The topic that the demo makes.
const TOPIC: &str = "demo.orders";

/// What came of it.
pub(super) struct Told {
    pub(super) status: StatusReport,
    pub(super) verified: VerifyReport,
    /// Records that the copy made of the seed.
    pub(super) copied: u64,
    /// Where they are not as many as the seed's own account expects.
    pub(super) miscounted: Vec<String>,
    pub(super) changes: u64,
    pub(super) changes_per_second: f64,
}

pub(super) async fn tell(
    controller: &Controller,
    connector: &dyn ZkConnector,
    seeded: &Manifest,
    random: u64,
    shell: &Shell,
) -> Result<Told, Failure> {
    shell.say("");
    shell.say("changes on the KRaft side, and what ZooKeeper holds a moment later:");
    let session = connector.connect().await?;
    let mut changes = 0;
    for (change, path) in named_changes()? {
        let made = controller.change(&change).await?;
        let start = Instant::now();
        arrival(controller, made.last_offset).await?;
        let arrived = start.elapsed();
        changes += made.changes;
        shell.say(format_args!(
            "  {} (in ZooKeeper {} ms later)",
            made.summary.unwrap_or_default(),
            arrived.as_millis()
        ));
        if let Some(path) = path {
            let read = session.multi_read(vec![ZkRead::Data(path.to_owned())]).await?;
            shell.say(format_args!("      {path} = {}", shown(read.first())));
        }
    }
    let start = Instant::now();
    let (reporter, reports) = Reporter::new();
    let making = controller.random_changes(random, RANDOM_SEED, &reporter);
    let made = telling(making, reports, progress::Told::new(shell, "change", "changes")).await?;
    arrival(controller, made.last_offset).await?;
    let seconds = start.elapsed().as_secs_f64();
    let changes_per_second = if seconds > 0.0 { made.changes as f64 / seconds } else { 0.0 };
    changes += made.changes;
    shell.say(format_args!(
        "  {} random changes ({} records) in both places after {:.0} ms",
        made.changes,
        made.records,
        seconds * 1000.0
    ));
    if let Err(error) = session.close().await {
        tracing::debug!("the session was not closed: {error}");
    }

    let (reporter, reports) = Reporter::new();
    let comparing = controller.verify(Showing { differences_max: 100, secrets: false }, &reporter);
    let verified = telling(comparing, reports, progress::Told::new(shell, "compare", "znodes")).await?;
    let status = controller.status().await;
    let copy = status.copy.clone().unwrap_or_default();
    let copied = copied_records(&copy);
    Ok(Told {
        miscounted: miscounted(&copy, &seeded.expected_records),
        status,
        verified,
        copied,
        changes,
        changes_per_second,
    })
}

/// A change of each family, with the znode that shows it. None of the znodes holds a secret.
pub(super) fn named_changes() -> Result<Vec<(Change, Option<&'static str>)>, Failure> {
    let one = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), Secret::new(value))]);
    let topic = || Resource::Topic(TOPIC.to_owned());
    let quota = |key: &str, value| BTreeMap::from([(key.to_owned(), value)]);
    let reader = QuotaOwner { user: Some(Some("demo-reader".to_owned())), ..QuotaOwner::default() };
    let acl = Acl {
        resource_type: ResourceType::Topic,
        resource_name: TOPIC.to_owned(),
        pattern_type: PatternType::Literal,
        principal: "User:demo-reader".to_owned(),
        host: "*".to_owned(),
        operation: Operation::Read,
        permission: Permission::Allow,
    };
    let (mut salt, mut password) = (vec![0; 24], [0; 16]);
    fresh_bytes(&mut salt)?;
    fresh_bytes(&mut password)?;
    // Nobody is to know it: only that a credential arrives matters here.
    let password: String = password.iter().map(|byte| format!("{byte:02x}")).collect();
    let keys = ScramKeys::derive(Mechanism::Sha256, &password, salt, 4096);
    let create = Change::CreateTopic {
        name: TOPIC.to_owned(),
        partitions: 3,
        replication_factor: 3,
        configs: one("retention.ms", "86400000"),
    };
    Ok(vec![
        (create, Some("/brokers/topics/demo.orders")),
        (
            Change::AddPartitions { name: TOPIC.to_owned(), total: 4 },
            Some("/brokers/topics/demo.orders/partitions/3/state"),
        ),
        (
            Change::SetConfigs { resource: topic(), values: one("cleanup.policy", "compact") },
            Some("/config/topics/demo.orders"),
        ),
        (
            Change::SetConfigs { resource: Resource::Broker(1), values: one("log.cleaner.threads", "2") },
            Some("/config/brokers/1"),
        ),
        (
            Change::SetQuotas { owner: reader, values: quota("consumer_byte_rate", 1_048_576.0) },
            Some("/config/users/demo-reader"),
        ),
        (Change::AddAcl(acl), Some("/kafka-acl/Topic/demo.orders")),
        (Change::SetScram { user: "demo-writer".to_owned(), mechanism: Mechanism::Sha256, keys }, None),
    ])
}

/// Returns when ZooKeeper has the record at `offset` (inclusive).
async fn arrival(controller: &Controller, offset: i64) -> Result<(), Failure> {
    let mut status = controller.watch();
    loop {
        {
            let now = status.borrow_and_update();
            if now.lag_records().is_some() && now.dual_write.acknowledged.end_offset.0 > offset {
                return Ok(());
            }
            if let Some(failure) = crate::controller::why_it_stopped(&now) {
                return Err(failure);
            }
        }
        if status.changed().await.is_err() {
            return Err(controller.ended().await);
        }
    }
}

fn shown(read: Option<&ReadOutcome>) -> String {
    let Some(ReadOutcome::Data(node)) = read else { return "(absent)".to_owned() };
    let text = String::from_utf8_lossy(&node.data);
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}... ({} bytes)", text.get(..end).unwrap_or_default(), node.data.len()),
        None => text.into_owned(),
    }
}

/// The seed's expectation by Kafka's record name.
fn expected(counts: &RecordCounts) -> BTreeMap<&'static str, u64> {
    BTreeMap::from([
        ("TOPIC_RECORD", counts.topic_record),
        ("PARTITION_RECORD", counts.partition_record),
        ("CONFIG_RECORD", counts.config_record),
        ("CLIENT_QUOTA_RECORD", counts.client_quota_record),
        ("USER_SCRAM_CREDENTIAL_RECORD", counts.user_scram_credential_record),
        ("ACCESS_CONTROL_ENTRY_RECORD", counts.access_control_entry_record),
        ("DELEGATION_TOKEN_RECORD", counts.delegation_token_record),
        ("PRODUCER_IDS_RECORD", counts.producer_ids_record),
    ])
}

/// The record by which the copy itself says that it is done.
const STATE_RECORD: &str = "ZK_MIGRATION_STATE_RECORD";

fn copied_records(copy: &CopyReport) -> u64 {
    copy.by_type.iter().filter(|(name, _)| *name != STATE_RECORD).map(|(_, count)| count).sum()
}

fn miscounted(copy: &CopyReport, counts: &RecordCounts) -> Vec<String> {
    let expected = expected(counts);
    let found = |name: &str| copy.by_type.get(name).copied().unwrap_or_default();
    let wrong = expected
        .iter()
        .filter(|(name, count)| found(name) != **count)
        .map(|(name, count)| format!("the copy has {} {name}, the seed expects {count}", found(name)));
    let unexpected = copy
        .by_type
        .iter()
        .filter(|(name, _)| *name != STATE_RECORD && !expected.contains_key(name.as_str()))
        .map(|(name, count)| format!("the copy has {count} {name}, the seed expects none"));
    wrong.chain(unexpected).collect()
}

#[cfg(test)]
mod tests {
    use metadata_core::record::{MetadataRecord, VersionedRecord};

    use super::*;

    fn copy(by_type: &[(&str, u64)]) -> CopyReport {
        let by_type = by_type.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        CopyReport { by_type, ..CopyReport::default() }
    }

    #[test]
    fn counts_are_held_against_the_seeds_own_account() {
        let counts = RecordCounts { topic_record: 2, partition_record: 4, ..RecordCounts::default() };
        let right = copy(&[("TOPIC_RECORD", 2), ("PARTITION_RECORD", 4), (STATE_RECORD, 1)]);
        assert_eq!(miscounted(&right, &counts), Vec::<String>::new());
        assert_eq!(copied_records(&right), counts.total());
        let wrong = copy(&[("TOPIC_RECORD", 1), ("PARTITION_RECORD", 4), ("NO_OP_RECORD", 3)]);
        let told = miscounted(&wrong, &counts);
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].contains("1 TOPIC_RECORD") && told[1].contains("3 NO_OP_RECORD"), "{told:?}");
    }

    #[test]
    fn the_names_are_those_that_a_copy_counts_by() {
        let names: Vec<&str> = [
            MetadataRecord::Topic(Default::default()),
            MetadataRecord::Partition(Default::default()),
            MetadataRecord::Config(Default::default()),
            MetadataRecord::ClientQuota(Default::default()),
            MetadataRecord::UserScramCredential(Default::default()),
            MetadataRecord::AccessControlEntry(Default::default()),
            MetadataRecord::DelegationToken(Default::default()),
            MetadataRecord::ProducerIds(Default::default()),
        ]
        .iter()
        .map(|record| VersionedRecord::new(record.clone(), 0).record.name())
        .collect();
        let counts = expected(&RecordCounts::default());
        assert!(names.iter().all(|name| counts.contains_key(name)) && names.len() == counts.len(), "{names:?}");
        assert_eq!(MetadataRecord::ZkMigrationState(Default::default()).name(), STATE_RECORD);
    }

    #[test]
    fn no_znode_that_is_shown_holds_a_secret() {
        for (change, path) in named_changes().unwrap() {
            assert!(!matches!(change, Change::SetScram { .. }) || path.is_none());
        }
    }
}
