//! What a controller says about itself: the shapes that go over the control socket and into `--json`.

use std::collections::BTreeMap;

use metadata_core::image::MetadataImage;
use metadata_core::projection::{Comparison, FamilyCounts};
use metadata_core::store::{SyncReport, Unrepresentable};
use migration::Status;
use serde::{Deserialize, Serialize};
use store_zk::import::Imported;

use super::measured::CopyTimes;
use super::quorum::QuorumReport;

/// Warnings of a copy or a sync that a report lists; all are counted.
const WARNINGS_MAX: usize = 100;

/// How a controller is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatusReport {
    /// The driver's state, as Kafka spells it; `NOT_RUNNING` when no process holds the data directory.
    pub driver_state: String,
    /// The migration state in the log, as Kafka spells it.
    pub migration_state: String,
    /// Why nothing goes on, while nothing does.
    pub reason: Option<String>,
    /// What the decision table said last; `None` while this controller does not lead.
    pub decision: Option<String>,
    /// What an operator should mend although the migration goes on.
    pub warnings: Vec<String>,
    /// Since when it is so: milliseconds since 1970.
    pub since_ms: Option<i64>,
    /// For how long something has kept it waiting, in milliseconds.
    pub waiting_ms: Option<i64>,
    /// In how many milliseconds it is tried again by itself.
    pub next_attempt_ms: Option<i64>,
    /// Whether ZooKeeper is needed no more, and may be switched off: the migration is finalized.
    pub zookeeper_may_go: bool,
    /// Failures in a row.
    pub attempt: u32,
    /// The cluster.
    pub cluster_id: String,
    /// The controller.
    pub node_id: i32,
    /// Its data directory.
    pub data_dir: String,
    /// The process that holds it.
    pub process: Option<u32>,
    /// The connect string of the ZooKeeper.
    pub zookeeper: Option<String>,
    /// The log's metadata version, once it has one.
    pub metadata_version: Option<String>,
    /// End of the log (exclusive).
    pub log_end_offset: i64,
    /// Epoch of its last record.
    pub log_epoch: i32,
    /// Records that ZooKeeper lacks, once everything is copied and while its position is known.
    pub lag_records: Option<i64>,
    /// How long ago the first record came that ZooKeeper lacks, in milliseconds; 0 when it lacks none.
    pub lag_ms: Option<i64>,
    /// The claim of ZooKeeper's controllership, while there is one.
    pub claim: Option<ClaimReport>,
    /// Changes that ZooKeeper has acknowledged since dual writing began in this process.
    pub dual_write_records: u64,
    /// The gate before the log, with a process.
    pub gate: Option<GateReport>,
    /// What of the log ZooKeeper can't hold, or is too large for it, the first hundred; empty without a process.
    pub unrepresentable: Vec<String>,
    /// How many there are.
    pub unrepresentable_count: u64,
    /// How often this process found that someone else had written where it was to write.
    pub foreign_writes: u64,
    /// Whether the log is no longer kept back to ZooKeeper's position: the next resumption is a full sync.
    pub hold_given_up: bool,
    /// The last copy of this process, as far as it is.
    pub copy: Option<CopyReport>,
    /// The last full sync of this process.
    pub sync: Option<SyncedReport>,
    /// Topics in the image.
    pub topics: u64,
    /// Partitions in the image.
    pub partitions: u64,
    /// Who is in `/brokers/ids`.
    pub brokers: Vec<BrokerReport>,
    /// Brokers that are not ready for the migration, or of which something should be known.
    pub unready: Vec<UnreadyReport>,
    /// Those of them that nobody serves.
    pub unserved_brokers: Vec<i32>,
    /// The voters of the metadata quorum.
    pub controllers: Vec<ControllerReport>,
    /// The quorum itself; `None` without a process.
    pub quorum: Option<QuorumReport>,
}

/// A broker that is not ready, or of which something should be known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnreadyReport {
    /// Its id.
    pub id: i32,
    /// Its epoch in the log; `None` when it is not registered.
    pub registered: Option<i64>,
    /// Whether it is fenced in the log.
    pub fenced: Option<bool>,
    /// Its replicas in the assignments.
    pub replicas: u64,
    /// Every reason for which it keeps the migration waiting.
    pub reasons: Vec<String>,
    /// What its operator should know.
    pub warnings: Vec<String>,
}

/// A controller of the quorum.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControllerReport {
    /// Its id.
    pub id: i32,
    /// Whether it has `zookeeper.metadata.migration.enable`; `None` when it has not told.
    pub migration_enabled: Option<bool>,
    /// The metadata versions that it supports.
    pub metadata_versions: Option<String>,
    /// A digest of its ZooKeeper settings, shortened.
    pub zookeeper_fingerprint: Option<String>,
}

/// A finalization that is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinalizeReport {
    /// End of the log as of the finalization (exclusive), or of the log now when it was finalized before.
    pub end_offset: i64,
    /// Whether it was finalized before.
    pub already: bool,
}

/// The gate before the log: how far ZooKeeper may be behind, and who waits for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateReport {
    /// How many records ZooKeeper may be behind (inclusive).
    pub lag_records_max: u64,
    /// For how many milliseconds (inclusive).
    pub lag_ms_max: u64,
    /// For how long administrative changes have had to wait, in milliseconds; `None` while they need not.
    pub closed_ms: Option<u64>,
    /// Changes that wait now.
    pub waiting: u64,
    /// Changes that have had to wait.
    pub waited: u64,
    /// Of them, those that gave up.
    pub timed_out: u64,
    /// For how long any change has been waiting for ZooKeeper, all together.
    pub zookeeper_blocking_kraft_ms: u64,
}

/// A claim of ZooKeeper's controllership.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimReport {
    /// What `/controller_epoch` holds.
    pub zk_epoch: i32,
    /// Its znode's version, which every write checks.
    pub zk_version: i32,
    /// The quorum's epoch under which it was made.
    pub kraft_epoch: i32,
}

/// A broker in `/brokers/ids`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokerReport {
    /// Its id.
    pub id: i32,
    /// Listener name to `host:port`.
    pub endpoints: BTreeMap<String, String>,
    /// Its rack.
    pub rack: Option<String>,
    /// What is wrong with its znode.
    pub malformed: Option<String>,
}

/// A copy: what was copied, how long it took and what it cost.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CopyReport {
    /// Records, without those that begin and end the transaction.
    pub records: u64,
    /// The same by Kafka's record name.
    pub by_type: BTreeMap<String, u64>,
    /// Batches in the log.
    pub batches: u32,
    /// Seconds in state ZK_MIGRATION.
    pub seconds: f64,
    /// Seconds spent waiting for ZooKeeper.
    pub read_seconds: f64,
    /// Seconds spent turning znodes into records.
    pub transform_seconds: f64,
    /// Seconds spent waiting for the log, the end of the transaction included.
    pub append_seconds: f64,
    /// Requests sent to ZooKeeper.
    pub zookeeper_requests: u64,
    /// Znodes read.
    pub znodes_read: u64,
    /// Bytes of data in them.
    pub bytes_read: u64,
    /// Topics that were left out because they are being deleted.
    pub pending_deletions: u64,
    /// What an operator should know, the first hundred.
    pub warnings: Vec<String>,
    /// How many there are.
    pub warning_count: u64,
}

/// A full sync of ZooKeeper with the image.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SyncedReport {
    /// Seconds in state SYNC_KRAFT_TO_ZK.
    pub seconds: f64,
    /// Entities compared.
    pub compared: u64,
    /// Of them, created or changed.
    pub written: u64,
    /// Of them, deleted.
    pub deleted: u64,
    /// What ZooKeeper can't hold.
    pub unrepresentable: Vec<String>,
    /// What an operator should know before a rollback, the first hundred.
    pub warnings: Vec<String>,
}

impl CopyReport {
    /// The report of a copy; `None` when this process made none.
    pub(super) fn of(status: &Status, times: CopyTimes, imported: Option<Imported>, seconds: f64) -> Option<Self> {
        let copy = &status.copy;
        if copy.batches == 0 {
            return None;
        }
        let Imported { manifest, warnings, warning_count } = imported.unwrap_or_default();
        let (read, transform) = (times.read().as_secs_f64(), times.transform.as_secs_f64());
        Some(Self {
            records: copy.records,
            by_type: copy.by_type.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect(),
            batches: copy.batches,
            seconds,
            read_seconds: read,
            transform_seconds: transform,
            // What comes after the load is the log's too: the last batches, and the end of the transaction.
            append_seconds: (seconds - read - transform).max(times.append.as_secs_f64()),
            zookeeper_requests: times.requests,
            znodes_read: times.znodes,
            bytes_read: times.bytes,
            pending_deletions: manifest.pending_deletions,
            warnings: warnings.iter().take(WARNINGS_MAX).map(ToString::to_string).collect(),
            warning_count,
        })
    }

    /// For people, a line each.
    pub fn lines(&self) -> Vec<String> {
        let rate = if self.seconds > 0.0 { self.records as f64 / self.seconds } else { 0.0 };
        let mut lines = vec![
            format!(
                "copied {} records in {} batches, {:.1} s ({rate:.0} records/s)",
                self.records, self.batches, self.seconds
            ),
            format!(
                "  {:.1} s reading, {:.1} s transforming, {:.1} s appending; {} round trips for {} znodes",
                self.read_seconds,
                self.transform_seconds,
                self.append_seconds,
                self.zookeeper_requests,
                self.znodes_read
            ),
        ];
        lines.extend(self.by_type.iter().map(|(name, count)| format!("  {count:>9}  {name}")));
        if self.pending_deletions > 0 {
            lines.push(format!("  left out, since they are being deleted: {} topics", self.pending_deletions));
        }
        if self.warning_count > 0 {
            lines.push(format!("  {} warnings:", self.warning_count));
            lines.extend(self.warnings.iter().take(10).map(|warning| format!("    {warning}")));
            if self.warning_count > 10 {
                lines.push("    ... (`status --json` lists more)".to_owned());
            }
        }
        lines
    }
}

impl SyncedReport {
    pub(super) fn of(sync: &SyncReport, seconds: f64) -> Self {
        Self {
            seconds,
            compared: sync.compared,
            written: sync.written,
            deleted: sync.deleted,
            unrepresentable: sync.unrepresentable.iter().map(|it| format!("{}: {}", it.entity, it.reason)).collect(),
            warnings: sync.warnings.iter().take(WARNINGS_MAX).cloned().collect(),
        }
    }
}

impl StatusReport {
    /// What ZooKeeper has once nothing is on its way, in words.
    pub fn zookeeper_has(&self) -> String {
        match self.unrepresentable_count {
            0 => "ZooKeeper has everything".to_owned(),
            1 => "ZooKeeper has everything but 1 thing that it can't hold".to_owned(),
            count => format!("ZooKeeper has everything but {count} things that it can't hold"),
        }
    }

    /// With what ZooKeeper can't hold.
    #[must_use]
    pub(super) fn lacking(mut self, lost: &[Unrepresentable]) -> Self {
        self.unrepresentable_count = lost.len() as u64;
        self.unrepresentable =
            lost.iter().take(WARNINGS_MAX).map(|it| format!("{}: {}", it.entity, it.reason)).collect();
        self
    }

    /// For people, a line each.
    pub fn lines(&self, now_ms: i64) -> Vec<String> {
        let mut lines = vec![format!("{} (log: {})", self.driver_state, self.migration_state)];
        if let Some(since) = self.since_ms {
            lines.push(format!("  for {}", duration_text(now_ms - since)));
        }
        if let Some(reason) = &self.reason {
            lines.push(format!("  why: {}", reason.trim_end().replace('\n', "\n       ")));
        }
        if self.attempt > 1 {
            lines.push(format!("  {} attempts in a row came to nothing", self.attempt));
        }
        if let (Some(waiting), true) = (self.waiting_ms, self.reason.is_some()) {
            let next = match self.next_attempt_ms {
                Some(ms) => format!("the next attempt comes in {}", duration_text(ms)),
                None => "no attempt is planned".to_owned(),
            };
            lines.push(format!("  waiting for {}; {next}", duration_text(waiting)));
        }
        lines.extend(self.warnings.iter().map(|warning| format!("  WARNING: {warning}")));
        if self.zookeeper_may_go {
            lines.push("the migration is finalized: ZooKeeper is written no more, and may be switched off".to_owned());
        }
        lines.push(format!("cluster {}, node {}, {}", self.cluster_id, self.node_id, self.data_dir));
        if let Some(zookeeper) = &self.zookeeper {
            lines.push(format!("ZooKeeper {zookeeper}"));
        }
        lines.push(format!(
            "log ends at offset {}, epoch {}; {} topics, {} partitions",
            self.log_end_offset, self.log_epoch, self.topics, self.partitions
        ));
        lines.extend(self.quorum.iter().flat_map(QuorumReport::lines));
        if let Some(claim) = &self.claim {
            lines.push(format!("controller of ZooKeeper with epoch {}", claim.zk_epoch));
        }
        if let Some(lag) = self.lag_records {
            lines.push(match lag {
                0 => self.zookeeper_has(),
                lag => match self.lag_ms {
                    Some(ms @ ..1000) => format!("ZooKeeper lacks {lag} records, the first for {ms} ms"),
                    Some(ms) => format!("ZooKeeper lacks {lag} records, the first for {}", duration_text(ms)),
                    None => format!("ZooKeeper lacks {lag} records"),
                },
            });
        }
        if let Some(closed) = self.gate.as_ref().and_then(|gate| gate.closed_ms) {
            let closed = duration_text(i64::try_from(closed).unwrap_or(i64::MAX));
            lines.push(format!("ZooKeeper is too far behind: administrative changes have had to wait for {closed}"));
        }
        lines.extend(self.unrepresentable.iter().take(10).map(|what| format!("  ZooKeeper can't hold {what}")));
        if self.unrepresentable_count > 10 {
            lines.push("  ... (`status --json` lists more)".to_owned());
        }
        if self.hold_given_up {
            lines.push("the log is not kept back to ZooKeeper's position any more: a full sync will follow".to_owned());
        }
        if self.foreign_writes > 0 {
            lines.push(format!("SOMEONE ELSE WRITES in ZooKeeper: noticed {} times", self.foreign_writes));
        }
        // Without a process nobody has looked.
        if self.process.is_some() {
            lines.push(format!("brokers in /brokers/ids: {}", ids(self.brokers.iter().map(|broker| broker.id))));
        }
        lines.extend(self.brokers.iter().filter_map(|broker| {
            broker.malformed.as_ref().map(|reason| format!("  broker {} can't be understood: {reason}", broker.id))
        }));
        for broker in &self.unready {
            lines.extend(broker.reasons.iter().map(|reason| format!("  broker {} {reason}", broker.id)));
            lines.extend(
                broker.warnings.iter().map(|warning| format!("  broker {}, a warning: it {warning}", broker.id)),
            );
        }
        if !self.unserved_brokers.is_empty() {
            lines.push(format!(
                "NOBODY SERVES {}: no leader is elected for their partitions, and they learn of changes from ZooKeeper alone",
                ids(self.unserved_brokers.iter().copied())
            ));
        }
        lines
    }
}

fn ids(ids: impl Iterator<Item = i32>) -> String {
    let ids: Vec<_> = ids.map(|id| id.to_string()).collect();
    if ids.is_empty() { "none".to_owned() } else { ids.join(", ") }
}

fn duration_text(ms: i64) -> String {
    let seconds = ms.max(0) / 1000;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

/// What a driver state means, for people.
pub fn sentence(state: migration::State, decision: Option<migration::Decision>) -> &'static str {
    use migration::State as S;
    match state {
        S::Inactive if decision == Some(migration::Decision::Finalized) => {
            "the migration is finalized; ZooKeeper is written no more, and may be switched off"
        }
        S::Inactive if decision == Some(migration::Decision::PlainKRaft) => {
            "a KRaft cluster that has nothing to migrate"
        }
        S::Inactive => "this controller does not lead",
        S::WaitForControllerQuorum => "reading what the log says",
        S::WaitForBrokers => "looking at the brokers, and whether everything can be copied",
        S::BecomeController => "taking the controller role in ZooKeeper",
        S::ZkMigration => "copying ZooKeeper into the log",
        S::SyncKRaftToZk => "making ZooKeeper equal to the log",
        S::KRaftControllerToBrokerComm => "the brokers in ZooKeeper mode are told everything",
        S::DualWrite => "every change goes to the log and to ZooKeeper",
        S::Blocked => "blocked",
        S::ZkGoverned => "ZooKeeper was governed by someone else",
        _ => "",
    }
}

/// Counts of a family of znodes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FamilyReport {
    /// Znodes whose content was compared.
    pub compared: u64,
    /// Of them, those with a part that may differ.
    pub masked: u64,
    /// Znodes that are no part of the projection.
    pub ignored: u64,
    /// Znodes that differ, are missing, or should not be there.
    pub divergent: u64,
}

impl From<FamilyCounts> for FamilyReport {
    fn from(counts: FamilyCounts) -> Self {
        let FamilyCounts { compared, masked, ignored, divergent } = counts;
        Self { compared, masked, ignored, divergent }
    }
}

/// A znode that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DifferenceReport {
    /// Its path.
    pub path: String,
    /// What the image says, `None` when it should not be there.
    pub expected: Option<String>,
    /// What ZooKeeper has, `None` when it is missing.
    pub found: Option<String>,
}

/// A comparison of ZooKeeper with an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyReport {
    /// End of the log as of the image (exclusive).
    pub offset: i64,
    /// Records that the log has behind it.
    pub behind_records: i64,
    /// Of all families together.
    #[serde(flatten)]
    pub total: FamilyReport,
    /// By family.
    pub families: BTreeMap<String, FamilyReport>,
    /// The first znodes that differ, by path.
    pub differences: Vec<DifferenceReport>,
    /// Paths that stand under Kafka's roots and are not understood.
    pub unknown: Vec<String>,
    /// What the image holds and ZooKeeper can't.
    #[serde(default)]
    pub unrepresentable: Vec<String>,
}

impl VerifyReport {
    /// The report of a comparison with `image`, in a log that ends at `log_end_offset`.
    pub fn of(comparison: Comparison, image: &MetadataImage, log_end_offset: i64) -> Self {
        let offset = image.position().end_offset.0;
        Self {
            offset,
            behind_records: (log_end_offset - offset).max(0),
            total: comparison.total().into(),
            families: comparison.families.into_iter().map(|(name, counts)| (name, counts.into())).collect(),
            differences: comparison
                .differences
                .into_iter()
                .map(|it| DifferenceReport { path: it.entity, expected: it.oracle, found: it.candidate })
                .collect(),
            unknown: comparison.unknown,
            unrepresentable: Vec::new(),
        }
    }

    /// For people, a line each.
    pub fn lines(&self) -> Vec<String> {
        let mut lines =
            vec![format!("{:<20} {:>9} {:>9} {:>9} {:>9}", "", "compared", "masked", "ignored", "divergent")];
        let row = |name: &str, counts: &FamilyReport| {
            let FamilyReport { compared, masked, ignored, divergent } = counts;
            format!("{name:<20} {compared:>9} {masked:>9} {ignored:>9} {divergent:>9}")
        };
        lines.extend(self.families.iter().map(|(name, counts)| row(name, counts)));
        lines.push(row("all", &self.total));
        for difference in &self.differences {
            lines.push(difference.path.clone());
            let side = |text: &Option<String>| text.clone().unwrap_or_else(|| "(absent)".to_owned());
            lines.push(format!("  expected: {}", side(&difference.expected)));
            lines.push(format!("  found:    {}", side(&difference.found)));
        }
        let listed = self.differences.len() as u64;
        if self.total.divergent > listed && listed > 0 {
            lines.push(format!("and {} more", self.total.divergent - listed));
        }
        lines.extend(self.unknown.iter().map(|path| format!("not understood, and compared with nothing: {path}")));
        lines.extend(self.unrepresentable.iter().map(|what| format!("ZooKeeper can't hold {what}")));
        lines
    }
}

/// The most memory that this process has ever had in RAM, in bytes; `None` where the system doesn't say.
pub fn peak_resident_bytes() -> Option<u64> {
    peak_of(&std::fs::read_to_string("/proc/self/status").ok()?)
}

fn peak_of(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use metadata_core::id::{KRaftLeaderEpoch, Offset, Position, TimestampMs};
    use metadata_core::projection::Difference;

    use super::*;

    #[test]
    fn the_peak_is_read_where_linux_writes_it() {
        assert_eq!(peak_of("Name:\tx\nVmHWM:\t  12345 kB\nVmRSS:\t 1 kB\n"), Some(12_345 * 1024));
        for odd in ["", "VmHWM: x kB", "VmHWM: 12", "VmHWM: 99999999999999999999 kB"] {
            assert_eq!(peak_of(odd), None, "{odd}");
        }
    }

    fn verified() -> VerifyReport {
        let counts = |compared, divergent| FamilyCounts { compared, masked: 1, ignored: 2, divergent };
        let comparison = Comparison {
            families: [("topics".to_owned(), counts(10, 1)), ("acls".to_owned(), counts(5, 2))].into(),
            differences: vec![Difference { entity: "/a".into(), oracle: Some("x".into()), candidate: None }],
            unknown: vec!["/brokers/odd".into()],
        };
        let image = MetadataImage::empty().at(Position::after(Offset(9), KRaftLeaderEpoch(1)), TimestampMs(0));
        VerifyReport::of(comparison, &image, 12)
    }

    #[test]
    fn a_comparison_has_totals_and_families_side_by_side() {
        let json = serde_json::to_value(verified()).unwrap();
        let expected = serde_json::json!({
            "offset": 10, "behind_records": 2,
            "compared": 15, "masked": 2, "ignored": 4, "divergent": 3,
            "families": {
                "topics": {"compared": 10, "masked": 1, "ignored": 2, "divergent": 1},
                "acls": {"compared": 5, "masked": 1, "ignored": 2, "divergent": 2},
            },
            "differences": [{"path": "/a", "expected": "x", "found": null}],
            "unknown": ["/brokers/odd"], "unrepresentable": [],
        });
        assert_eq!(json, expected);
        assert_eq!(serde_json::from_value::<VerifyReport>(json).unwrap(), verified());
    }

    #[test]
    fn a_comparison_is_told_with_its_counts() {
        let lines = verified().lines();
        assert!(
            lines.iter().any(|line| line.starts_with("all") && line.contains("15") && line.ends_with('3')),
            "{lines:?}"
        );
        assert!(lines.contains(&"  found:    (absent)".to_owned()));
        assert!(lines.contains(&"and 2 more".to_owned()));
        assert!(lines.last().unwrap().ends_with("/brokers/odd"));
    }

    #[test]
    fn a_status_names_what_nobody_serves() {
        let status = StatusReport {
            driver_state: "DUAL_WRITE".into(),
            migration_state: "MIGRATION".into(),
            reason: Some("one\ntwo".into()),
            decision: Some("DUAL_WRITE".into()),
            warnings: vec!["controller 7 lacks it".into()],
            waiting_ms: Some(61_000),
            next_attempt_ms: Some(2_000),
            zookeeper_may_go: false,
            since_ms: Some(0),
            attempt: 3,
            cluster_id: "c".into(),
            node_id: 3000,
            data_dir: "/d".into(),
            process: Some(1),
            zookeeper: Some("zk:1".into()),
            metadata_version: Some("3.9-IV0".into()),
            log_end_offset: 10,
            log_epoch: 1,
            lag_records: Some(2),
            lag_ms: Some(5),
            claim: Some(ClaimReport { zk_epoch: 7, zk_version: 7, kraft_epoch: 1 }),
            dual_write_records: 0,
            gate: Some(GateReport {
                lag_records_max: 1,
                lag_ms_max: 1,
                closed_ms: Some(65_000),
                waiting: 0,
                waited: 0,
                timed_out: 0,
                zookeeper_blocking_kraft_ms: 0,
            }),
            unrepresentable: Vec::new(),
            unrepresentable_count: 0,
            foreign_writes: 0,
            hold_given_up: false,
            copy: None,
            sync: None,
            topics: 1,
            partitions: 2,
            brokers: vec![BrokerReport {
                id: 1,
                endpoints: BTreeMap::new(),
                rack: None,
                malformed: Some("no port".into()),
            }],
            unready: vec![UnreadyReport {
                id: 2,
                registered: Some(7),
                fenced: Some(true),
                replicas: 3,
                reasons: vec!["is not registered".into()],
                warnings: vec!["has an odd id".into()],
            }],
            unserved_brokers: vec![1, 2],
            controllers: vec![ControllerReport {
                id: 3000,
                migration_enabled: Some(true),
                metadata_versions: None,
                zookeeper_fingerprint: None,
            }],
            quorum: None,
        };
        let lines = status.lines(3_725_000);
        for expected in [
            "DUAL_WRITE (log: MIGRATION)",
            "  for 1 h 2 min",
            "  why: one\n       two",
            "  waiting for 1 min 1 s; the next attempt comes in 2 s",
            "  WARNING: controller 7 lacks it",
            "ZooKeeper is too far behind: administrative changes have had to wait for 1 min 5 s",
            "ZooKeeper lacks 2 records, the first for 5 ms",
            "  broker 1 can't be understood: no port",
            "  broker 2 is not registered",
            "  broker 2, a warning: it has an odd id",
        ] {
            assert!(lines.iter().any(|line| line == expected), "{expected}: {lines:#?}");
        }
        assert!(lines.last().unwrap().starts_with("NOBODY SERVES 1, 2:"));
        let status = StatusReport { lag_records: Some(0), ..status };
        assert!(status.lines(0).contains(&"ZooKeeper has everything".to_owned()));
        let lost = |n: i32| Unrepresentable { entity: format!("topic {n}"), reason: "too large".to_owned() };
        let status = status.lacking(&(0..120).map(lost).collect::<Vec<_>>());
        let lines = status.lines(0);
        for expected in [
            "ZooKeeper has everything but 120 things that it can't hold",
            "  ZooKeeper can't hold topic 9: too large",
            "  ... (`status --json` lists more)",
        ] {
            assert!(lines.iter().any(|line| line == expected), "{expected}: {lines:#?}");
        }
        assert!(!lines.iter().any(|line| line.contains("topic 10")));
        assert_eq!((status.unrepresentable.len(), status.unrepresentable_count), (100, 120));
        let json = serde_json::to_string(&status).unwrap();
        assert_eq!(serde_json::from_str::<StatusReport>(&json).unwrap(), status);
    }
}
