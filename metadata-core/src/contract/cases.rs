//! The cases, each a claim about every store.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use async_trait::async_trait;

use super::workload::at_latest_version;
use super::{Family, KraftOnly, Mutant, StoreHarness, Workload};
use crate::error::{Error, ErrorKind, Outcome, Result};
use crate::id::{NodeId, Offset, Position, TimestampMs, TopicId};
use crate::image::{AccessControlEntry, MetadataDelta, MetadataImage};
use crate::leadership::{AfterClaim, Expected, Fence, KraftLeadership, LogExtent};
use crate::metadata_version::MetadataVersion;
use crate::record::{
    BeginTransactionRecord, DelegationTokenRecord, EndTransactionRecord, FeatureLevelRecord, MetadataRecord,
    TopicRecord, UserScramCredentialRecord, VersionedRecord, ZkMigrationState, ZkMigrationStateRecord,
};
use crate::store::{Claimed, MetadataBatch, MetadataStore, Receipt, RecordSink, StoreWriter, Txn};
use crate::uuid::Uuid;

/// How a case ended that found nothing wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaseOutcome {
    /// The promise was kept.
    Passed,
    /// The backend does not make this promise, for this reason.
    Skipped(&'static str),
}

/// What a case found wrong.
type Broken = String;
type Verdict = std::result::Result<CaseOutcome, Broken>;
type Run = for<'a> fn(&'a mut dyn StoreHarness) -> Pin<Box<dyn Future<Output = Verdict> + Send + 'a>>;

/// One promise of the trait's docs, as a program that checks it.
#[derive(Clone, Copy)]
pub struct Case {
    /// The claim.
    pub name: &'static str,
    /// What it is about: it fails on a store with any of these bugs.
    pub kills: &'static [Mutant],
    /// Checks it on the harness's store.
    pub run: Run,
}

macro_rules! cases {
    ($($name:ident kills [$($mutant:expr),+ $(,)?]),* $(,)?) => {
        /// Every case of the suite.
        pub const CASES: &[Case] = &[$(Case {
            name: stringify!($name),
            kills: &[$($mutant),+],
            run: |harness| Box::pin($name(harness)),
        }),*];
    };
}

use Mutant::*;

cases![
    an_empty_store_loads_what_was_synced_into_it kills [LoadStopsEarly],
    a_batch_is_visible_once_it_is_acknowledged kills [LastRecordLost],
    receipts_resolve_in_the_order_of_the_calls kills [ReceiptsOutOfOrder, OrderReversed],
    a_batch_for_another_position_is_refused_and_changes_nothing kills [ExpectedPositionIgnored],
    a_failed_batch_takes_all_later_ones_with_it kills [HoleAfterFailure, FailureAcknowledged],
    a_newer_claim_fences_the_earlier_writer kills [FencingForgotten],
    what_is_in_flight_lands_before_a_newer_claim_or_never kills [LateWritesLand],
    claiming_again_fences_our_own_earlier_writer kills [ReclaimFencesNobody],
    an_older_epoch_cannot_claim kills [OldEpochMayClaim],
    another_node_cannot_claim_with_the_same_epoch kills [RivalMayClaim],
    a_store_ahead_of_the_log_is_not_claimed kills [AheadOfLogMayClaim],
    a_survey_says_what_a_claim_would_find_and_claims_nothing kills [SurveyClaims, SurveyOverlooksTheHolder],
    another_copy_of_the_log_does_not_claim kills [AnotherCopyMayClaim],
    a_barrier_settles_everything_submitted kills [BarrierDoesNotWait],
    dropping_receipts_cancels_nothing kills [DroppedReceiptCancels],
    after_a_barrier_no_outcome_is_open kills [UnknownLandsLater],
    a_transaction_becomes_visible_as_a_whole kills [TransactionVisibleEarly],
    an_incomplete_transaction_leaves_no_trace kills [IncompleteTransactionLands],
    a_load_ends_with_the_error_of_its_sink kills [SinkErrorSwallowed],
    a_second_sync_writes_nothing kills [SyncAlwaysWrites],
    a_sync_makes_the_store_equal_to_the_image kills [
        SyncDoesNothing,
        SyncKeepsOldId,
        DeletesForgotten(Family::Topics),
        DeletesForgotten(Family::Configs),
        DeletesForgotten(Family::Quotas),
        DeletesForgotten(Family::Scram),
        DeletesForgotten(Family::Acls),
        DeletesForgotten(Family::Tokens),
    ],
    random_batches_arrive_as_written kills [
        DeletesForgotten(Family::Topics),
        DeletesForgotten(Family::Configs),
        DeletesForgotten(Family::Quotas),
        DeletesForgotten(Family::Scram),
        DeletesForgotten(Family::Acls),
        DeletesForgotten(Family::Tokens),
        Loses(KraftOnly::Registrations),
        Loses(KraftOnly::Features),
        Loses(KraftOnly::Elr),
        Loses(KraftOnly::Directories),
    ],
];

macro_rules! ensure {
    ($condition:expr, $($text:tt)+) => {
        if !$condition {
            return Err(format!($($text)+));
        }
    };
}

/// A store that was claimed and can be written.
struct Open {
    store: Arc<dyn MetadataStore>,
    leadership: KraftLeadership,
    claimed: Claimed,
    writer: Box<dyn StoreWriter>,
    image: MetadataImage,
}

fn text(what: &'static str) -> impl Fn(Error) -> Broken {
    move |error| format!("{what}: {error} ({:?}, {:?})", error.kind(), error.outcome())
}

/// A log that has the store's position, and a little more.
fn log_with(position: Position) -> Expected {
    let epochs = vec![(position.epoch, Offset::ZERO)];
    Expected::Log(LogExtent { epochs, end_offset: position.end_offset.plus(100), ..LogExtent::default() })
}

/// The changes that a store of this kind can hold: without loss, those that only KRaft knows among them.
fn workload(seed: u64, lossless: bool) -> Workload {
    if lossless { Workload::of_kraft(seed) } else { Workload::new(seed) }
}

/// Metadata of every family, at `position`.
fn some_image(seed: u64, position: Position, lossless: bool) -> std::result::Result<MetadataImage, Broken> {
    let mut delta = MetadataDelta::new(&MetadataImage::empty());
    let features = features(lossless);
    delta.replay_all(&features).map_err(|error| error.to_string())?;
    let changes = workload(seed, lossless).changes(delta.image(), 60);
    changes.iter().try_for_each(|change| delta.replay_all(change)).map_err(|error| error.to_string())?;
    Ok(delta.apply(position, TimestampMs(1_700_000_000_000)))
}

fn features(lossless: bool) -> [VersionedRecord; 2] {
    // Eligible leader replicas ask for a level that is not for production yet.
    let level = if lossless { MetadataVersion::V4_0_IV1 } else { MetadataVersion::LATEST_PRODUCTION };
    let version = FeatureLevelRecord {
        name: MetadataVersion::FEATURE_NAME.to_owned(),
        feature_level: level.level(),
        ..FeatureLevelRecord::default()
    };
    let state = ZkMigrationStateRecord {
        zk_migration_state: ZkMigrationState::Migration.code(),
        ..ZkMigrationStateRecord::default()
    };
    [at_latest_version(version), at_latest_version(state)]
}

impl Open {
    /// Claims the harness's empty store and fills it a little.
    async fn first(harness: &mut dyn StoreHarness) -> std::result::Result<Self, Broken> {
        let store = harness.store().await;
        let leadership = harness.next_leadership().await;
        let claimed = store.claim(&leadership, &Expected::Nothing).await.map_err(text("first claim"))?;
        let mut writer = store.writer(claimed).await.map_err(text("writer"))?;
        let lossless = store.capability().lossless;
        let image = if claimed.next == AfterClaim::Resume {
            let image = load(&*store).await?;
            let mut open = Self { store: Arc::clone(&store), leadership, claimed, writer, image };
            open.write(features(lossless).to_vec()).await?;
            for change in open.changes(1, 20) {
                open.write(change).await?;
            }
            return Ok(open);
        } else {
            let image = some_image(1, Position { epoch: leadership.epoch, end_offset: Offset(500) }, lossless)?;
            writer.full_sync(&image).await.map_err(text("first sync"))?;
            image
        };
        Ok(Self { store, leadership, claimed, writer, image })
    }

    fn batch(&self, records: Vec<VersionedRecord>) -> std::result::Result<MetadataBatch, Broken> {
        batch(&self.image, self.leadership, records)
    }

    /// Submits a batch on the present image and takes it as the new one.
    fn submit(&mut self, records: Vec<VersionedRecord>) -> std::result::Result<(Receipt, Position), Broken> {
        self.submit_in(Txn::None, records)
    }

    /// The same for a batch of a transaction.
    fn submit_in(
        &mut self,
        txn: Txn,
        records: Vec<VersionedRecord>,
    ) -> std::result::Result<(Receipt, Position), Broken> {
        let batch = MetadataBatch { txn, ..self.batch(records)? };
        self.image = batch.after.clone();
        let end = batch.end();
        Ok((self.writer.submit(batch), end))
    }

    async fn write(&mut self, records: Vec<VersionedRecord>) -> std::result::Result<(), Broken> {
        self.writer.ready().await.map_err(text("ready"))?;
        let (receipt, end) = self.submit(records)?;
        let position = receipt.await.map_err(text("write"))?;
        ensure!(position == end, "a batch that ends at {end} was acknowledged at {position}");
        Ok(())
    }

    fn changes(&self, seed: u64, count: usize) -> Vec<Vec<VersionedRecord>> {
        workload(seed, self.store.capability().lossless).changes(&self.image, count)
    }

    /// The store holds exactly `image`, and says so. (Captures no reference to the writer, which need not be `Sync`.)
    fn holds(&self, image: &MetadataImage) -> impl Future<Output = std::result::Result<(), Broken>> + Send + use<> {
        let (store, image) = (Arc::clone(&self.store), image.clone());
        async move {
            let position = store.position().await.map_err(text("position"))?;
            ensure!(position == image.position(), "the store is at {position}, expected {}", image.position());
            let stored = load(&*store).await?;
            let same = same(&stored, &image, store.capability().lossless);
            ensure!(same, "the store holds other metadata than expected: {}", difference(&stored, &image));
            Ok(())
        }
    }
}

/// Whether both hold the same, as far as the store can tell.
fn same(stored: &MetadataImage, image: &MetadataImage, lossless: bool) -> bool {
    if lossless { stored.same_metadata(image) } else { Kept::of(stored) == Kept::of(image) }
}

fn batch(
    before: &MetadataImage,
    leadership: KraftLeadership,
    records: Vec<VersionedRecord>,
) -> std::result::Result<MetadataBatch, Broken> {
    let mut delta = MetadataDelta::new(before);
    // What opens and closes a transaction changes no metadata.
    let changes = records.iter().filter(|record| {
        !matches!(record.record, MetadataRecord::BeginTransaction(_) | MetadataRecord::EndTransaction(_))
    });
    delta.replay_all(changes).map_err(|error| error.to_string())?;
    let count = i64::try_from(records.len()).map_err(|error| error.to_string())?;
    let end = Position { epoch: leadership.epoch, end_offset: before.position().end_offset.plus(count) };
    let after = delta.apply(end, TimestampMs(before.timestamp().0 + 1));
    Ok(MetadataBatch { txn: Txn::None, records: records.into(), before: before.clone(), after })
}

async fn load(store: &dyn MetadataStore) -> std::result::Result<MetadataImage, Broken> {
    let mut records: Vec<VersionedRecord> = Vec::new();
    let position = store.load(&mut records).await.map_err(text("load"))?;
    let mut delta = MetadataDelta::new(&MetadataImage::empty());
    delta.replay_all(&records).map_err(|error| format!("what was loaded can't be replayed: {error}"))?;
    Ok(delta.apply(position, TimestampMs(0)))
}

/// User, mechanism, salt, stored key, server key, iterations.
type KeptCredential = (String, i8, Vec<u8>, Vec<u8>, Vec<u8>, i32);

/// What every projection keeps of an image: no registrations, no feature levels, no ids of access control entries,
/// nothing that only KRaft knows of a partition.
#[derive(Debug, PartialEq)]
struct Kept {
    topics: BTreeMap<String, String>,
    configs: BTreeMap<String, BTreeMap<String, String>>,
    quotas: BTreeMap<String, String>,
    scram: BTreeSet<KeptCredential>,
    acls: BTreeSet<AccessControlEntry>,
    tokens: BTreeMap<String, String>,
    producer_id: Option<i64>,
}

impl Kept {
    fn of(image: &MetadataImage) -> Self {
        let topics = image.topics();
        Self {
            topics: topics
                .iter()
                .flat_map(|(id, name)| {
                    let partitions = topics.partitions(id).map(move |(partition, p)| {
                        let kept = format!(
                            "{:?} {:?} {:?} {:?} {:?} {} {} {:?}",
                            p.replicas,
                            p.isr,
                            p.adding_replicas,
                            p.removing_replicas,
                            p.leader,
                            p.leader_epoch,
                            p.partition_epoch,
                            p.leader_recovery_state
                        );
                        (format!("{name} {partition}"), kept)
                    });
                    std::iter::once((name.to_string(), id.to_string())).chain(partitions)
                })
                .collect(),
            configs: image.configs().iter().map(|(resource, e)| (format!("{resource:?}"), e.0.clone())).collect(),
            quotas: image.quotas().iter().map(|(entity, e)| (format!("{entity:?}"), format!("{e:?}"))).collect(),
            scram: image
                .scram()
                .iter()
                .map(|(key, c)| {
                    let keys = (c.salt.clone(), c.stored_key.clone(), c.server_key.clone());
                    (key.user.to_string(), key.mechanism, keys.0, keys.1, keys.2, c.iterations)
                })
                .collect(),
            acls: image.acls().iter().map(|(_, entry)| AccessControlEntry::clone(entry)).collect(),
            tokens: image.tokens().iter().map(|(id, token)| (id.to_string(), format!("{token:?}"))).collect(),
            producer_id: image.producer_id().map(|id| id.0),
        }
    }
}

/// The first few lines in which two images differ, for a reader.
fn difference(stored: &MetadataImage, expected: &MetadataImage) -> String {
    let lines = |image: &MetadataImage| -> BTreeSet<String> {
        let kept = Kept::of(image);
        let topics = kept.topics.into_iter().map(|(name, content)| format!("topic {name}: {content}"));
        let configs = kept.configs.into_iter().map(|(name, content)| format!("configs {name}: {content:?}"));
        let quotas = kept.quotas.into_iter().map(|(name, content)| format!("quota {name}: {content}"));
        let tokens = kept.tokens.into_iter().map(|(name, content)| format!("token {name}: {content}"));
        let acls = kept.acls.into_iter().map(|entry| format!("acl {entry:?}"));
        let scram = kept.scram.into_iter().map(|(user, mechanism, ..)| format!("scram {user} {mechanism}"));
        let producer = kept.producer_id.into_iter().map(|id| format!("producer id {id}"));
        topics.chain(configs).chain(quotas).chain(tokens).chain(acls).chain(scram).chain(producer).collect()
    };
    let (stored, expected) = (lines(stored), lines(expected));
    let missing = expected.difference(&stored).take(3).map(|line| format!("missing {line}"));
    let surplus = stored.difference(&expected).take(3).map(|line| format!("surplus {line}"));
    missing.chain(surplus).collect::<Vec<_>>().join("; ")
}

fn refused(result: Result<Position>, what: &str) -> std::result::Result<Error, Broken> {
    match result {
        Ok(position) => Err(format!("{what} was acknowledged at {position}")),
        Err(error) => Ok(error),
    }
}

async fn an_empty_store_loads_what_was_synced_into_it(harness: &mut dyn StoreHarness) -> Verdict {
    let open = Open::first(harness).await?;
    open.holds(&open.image).await?;
    Ok(CaseOutcome::Passed)
}

async fn a_batch_is_visible_once_it_is_acknowledged(harness: &mut dyn StoreHarness) -> Verdict {
    let mut open = Open::first(harness).await?;
    for change in open.changes(2, 5) {
        open.write(change).await?;
        open.holds(&open.image).await?;
    }
    Ok(CaseOutcome::Passed)
}

async fn receipts_resolve_in_the_order_of_the_calls(harness: &mut dyn StoreHarness) -> Verdict {
    let mut open = Open::first(harness).await?;
    let mut receipts = Vec::new();
    for change in open.changes(3, 6) {
        receipts.push(open.submit(change)?);
    }
    let acknowledged = |answer: Result<Position>, end: Position| {
        let position = answer.map_err(text("receipt"))?;
        ensure!(position == end, "a batch that ends at {end} was acknowledged at {position}");
        Ok(())
    };
    // Awaited in reverse: the order of writes is that of the calls all the same, and so is the order of the answers.
    let last = receipts.pop().ok_or("there is no change")?;
    acknowledged(last.0.await, last.1)?;
    for (mut receipt, end) in receipts.into_iter().rev() {
        match std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut receipt).poll(cx))).await {
            Poll::Ready(answer) => acknowledged(answer, end)?,
            Poll::Pending => return Err(format!("the batch that ends at {end} is open, and a later one is not")),
        }
    }
    open.holds(&open.image).await?;
    Ok(CaseOutcome::Passed)
}

async fn a_batch_for_another_position_is_refused_and_changes_nothing(harness: &mut dyn StoreHarness) -> Verdict {
    let mut open = Open::first(harness).await?;
    let here = open.image.position();
    for shift in [1, 7] {
        let elsewhere = Position { end_offset: here.end_offset.plus(shift), ..here };
        let change = open.changes(4, 1).pop().unwrap_or_default();
        let wrong = batch(&open.image.at(elsewhere, TimestampMs(0)), open.leadership, change)?;
        let error = refused(open.writer.submit(wrong).await, "a batch for another position")?;
        ensure!(error.kind() == ErrorKind::Conflict, "refused as {:?}, not as a conflict", error.kind());
        ensure!(error.outcome() == Outcome::NotApplied, "a refused batch must be known as not applied");
        open.writer.barrier().await.map_err(text("barrier"))?;
        open.holds(&open.image).await?;
    }
    Ok(CaseOutcome::Passed)
}

async fn a_failed_batch_takes_all_later_ones_with_it(harness: &mut dyn StoreHarness) -> Verdict {
    let mut open = Open::first(harness).await?;
    if open.claimed.leadership.fence == Fence::KraftEpoch {
        return Ok(CaseOutcome::Skipped("a log judges each append by its expected offset alone"));
    }
    let here = open.image.position();
    let elsewhere = Position { end_offset: here.end_offset.plus(5), ..here };
    let change = open.changes(5, 1).pop().unwrap_or_default();
    let wrong = batch(&open.image.at(elsewhere, TimestampMs(0)), open.leadership, change.clone())?;
    let right = open.batch(change.clone())?;
    let (first, second) = (open.writer.submit(wrong), open.writer.submit(right));
    refused(first.await, "a batch for another position")?;
    let error = refused(second.await, "a batch behind a failed one")?;
    ensure!(error.outcome() == Outcome::NotApplied, "a batch behind a failed one is certainly not applied");
    open.writer.barrier().await.map_err(text("barrier"))?;
    open.holds(&open.image).await?;
    open.write(change).await?;
    open.holds(&open.image).await?;
    Ok(CaseOutcome::Passed)
}

async fn a_newer_claim_fences_the_earlier_writer(harness: &mut dyn StoreHarness) -> Verdict {
    let mut old = Open::first(harness).await?;
    let change = old.changes(6, 1).pop().unwrap_or_default();
    let leadership = harness.next_leadership().await;
    let position = old.store.position().await.map_err(text("position"))?;
    let claimed = old.store.claim(&leadership, &log_with(position)).await.map_err(text("newer claim"))?;
    let mut writer = old.store.writer(claimed).await.map_err(text("newer writer"))?;

    // The deposed writer's batch is right in everything but the claim.
    let before = load(&*old.store).await?.at(position, TimestampMs(0));
    let late = batch(&old.image.at(position, TimestampMs(0)), old.leadership, change.clone())?;
    let error = refused(old.writer.submit(late).await, "a deposed writer's batch")?;
    ensure!(error.outcome() == Outcome::NotApplied, "a fenced batch must be known as not applied: {error}");
    ensure!(error.kind() == ErrorKind::ControllerFenced, "refused as {:?}, not as fenced: {error}", error.kind());
    ensure!(old.writer.barrier().await.is_err(), "a deposed writer's barrier must fail");
    old.holds(&before).await?;

    let next = batch(&old.image.at(position, TimestampMs(0)), leadership, change)?;
    let after = next.after.clone();
    writer.submit(next).await.map_err(text("the newer writer's batch"))?;
    old.holds(&after).await?;
    Ok(CaseOutcome::Passed)
}

async fn what_is_in_flight_lands_before_a_newer_claim_or_never(harness: &mut dyn StoreHarness) -> Verdict {
    let mut old = Open::first(harness).await?;
    let mut images = vec![old.image.clone()];
    let mut receipts = Vec::new();
    for change in old.changes(15, 4) {
        receipts.push(old.submit(change)?);
        images.push(old.image.clone());
    }
    // Nobody waits for them.
    let leadership = harness.next_leadership().await;
    let expected = log_with(old.image.position());
    let claimed = old.store.claim(&leadership, &expected).await.map_err(text("newer claim"))?;
    let stored = load(&*old.store).await?;

    // How many landed at least, and at most.
    let (mut least, mut most) = (0, receipts.len());
    for (number, (receipt, end)) in receipts.into_iter().enumerate() {
        match receipt.await {
            Ok(position) => {
                ensure!(position == end, "a batch that ends at {end} was acknowledged at {position}");
                ensure!(
                    end.end_offset <= claimed.position.end_offset,
                    "a batch that ends at {end} landed behind the claim, which was at {}",
                    claimed.position
                );
                least = number + 1;
            }
            Err(error) if error.outcome() == Outcome::NotApplied => most = most.min(number),
            // It was on its way when its writer was deposed. The claim has decided.
            Err(_) => {}
        }
    }
    ensure!(old.writer.barrier().await.is_err(), "a deposed writer's barrier must fail");
    let position = old.store.position().await.map_err(text("position"))?;
    ensure!(position == claimed.position, "the claim said {}, and the store is at {position}", claimed.position);
    let lossless = old.store.capability().lossless;
    ensure!(same(&load(&*old.store).await?, &stored, lossless), "the store changed behind the claim");
    // A batch may be half written: then only the next writer makes sense of it.
    if claimed.batch_end.is_none() {
        let landed = images.iter().enumerate().filter(|(_, image)| same(&stored, image, lossless));
        let landed: Vec<usize> = landed.map(|(number, _)| number).collect();
        ensure!(
            landed.iter().any(|landed| (least..=most).contains(landed)),
            "between {least} and {most} batches landed, and the store holds {landed:?} of them"
        );
    }
    Ok(CaseOutcome::Passed)
}

async fn claiming_again_fences_our_own_earlier_writer(harness: &mut dyn StoreHarness) -> Verdict {
    let mut old = Open::first(harness).await?;
    if old.claimed.leadership.fence == Fence::KraftEpoch {
        return Ok(CaseOutcome::Skipped("in a log the epoch is the claim, and claiming it again changes nothing"));
    }
    let claimed =
        old.store.claim(&old.leadership, &log_with(old.image.position())).await.map_err(text("second claim"))?;
    ensure!(claimed.next == AfterClaim::Resume, "a synced store claimed again must be resumed, not {:?}", claimed.next);
    ensure!(claimed.position == old.image.position(), "the claim says {}", claimed.position);
    let mut writer = old.store.writer(claimed).await.map_err(text("second writer"))?;
    let change = old.changes(7, 1).pop().unwrap_or_default();
    let late = old.batch(change.clone())?;
    refused(old.writer.submit(late.clone()).await, "a batch of the writer before the second claim")?;
    writer.submit(late.clone()).await.map_err(text("the second writer's batch"))?;
    old.holds(&late.after).await?;
    Ok(CaseOutcome::Passed)
}

async fn an_older_epoch_cannot_claim(harness: &mut dyn StoreHarness) -> Verdict {
    let older = harness.next_leadership().await;
    let mut open = Open::first(harness).await?;
    let claim = open.store.claim(&older, &log_with(open.image.position())).await;
    let error = refused(claim.map(|claimed| claimed.position), "a claim of an older epoch")?;
    ensure!(error.kind() == ErrorKind::ControllerFenced, "refused as {:?}, not as fenced", error.kind());
    let change = open.changes(8, 1).pop().unwrap_or_default();
    open.write(change).await?;
    open.holds(&open.image).await?;
    Ok(CaseOutcome::Passed)
}

async fn another_node_cannot_claim_with_the_same_epoch(harness: &mut dyn StoreHarness) -> Verdict {
    if !harness.takes_made_up_leadership() {
        return Ok(CaseOutcome::Skipped("a log elects one leader for each epoch by itself"));
    }
    let mut open = Open::first(harness).await?;
    let rival = KraftLeadership { id: NodeId(open.leadership.id.0 + 1000), ..open.leadership };
    let claim = open.store.claim(&rival, &log_with(open.image.position())).await;
    let error = refused(claim.map(|claimed| claimed.position), "a rival's claim")?;
    ensure!(error.kind() == ErrorKind::ControllerFenced, "refused as {:?}, not as fenced", error.kind());
    let change = open.changes(9, 1).pop().unwrap_or_default();
    open.write(change).await?;
    Ok(CaseOutcome::Passed)
}

async fn a_store_ahead_of_the_log_is_not_claimed(harness: &mut dyn StoreHarness) -> Verdict {
    let mut open = Open::first(harness).await?;
    if open.claimed.leadership.fence == Fence::KraftEpoch {
        return Ok(CaseOutcome::Skipped("a log is never ahead of itself"));
    }
    let position = open.image.position();
    let shorter = LogExtent {
        epochs: vec![(position.epoch, Offset::ZERO)],
        end_offset: Offset(position.end_offset.0 - 1),
        ..LogExtent::default()
    };
    let other_branch = LogExtent {
        epochs: vec![(crate::id::KRaftLeaderEpoch(position.epoch.0 + 1), Offset::ZERO)],
        end_offset: position.end_offset.plus(100),
        ..LogExtent::default()
    };
    let leadership = harness.next_leadership().await;
    for (expected, what) in [
        (Expected::Nothing, "by a log that has copied nothing"),
        (Expected::Log(shorter), "by a log that ends before it"),
        (Expected::Log(other_branch), "by a log with another epoch at its position"),
    ] {
        let claim = open.store.claim(&leadership, &expected).await;
        let error = refused(claim.map(|claimed| claimed.position), &format!("a claim {what}"))?;
        ensure!(
            matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Invalid),
            "a claim {what} was refused as {:?}: {error}",
            error.kind()
        );
        ensure!(error.outcome() == Outcome::NotApplied, "a refused claim writes nothing");
    }
    // Nobody was fenced by the attempts.
    let change = open.changes(10, 1).pop().unwrap_or_default();
    open.write(change).await?;
    open.holds(&open.image).await?;
    Ok(CaseOutcome::Passed)
}

async fn a_survey_says_what_a_claim_would_find_and_claims_nothing(harness: &mut dyn StoreHarness) -> Verdict {
    let older = harness.next_leadership().await;
    let mut open = Open::first(harness).await?;
    let newer = harness.next_leadership().await;
    let expected = log_with(open.image.position());
    if open.claimed.leadership.fence != Fence::KraftEpoch {
        let survey = open.store.survey(&older, &expected).await;
        let error = refused(survey.map(|survey| survey.position), "a survey for an older epoch")?;
        ensure!(error.kind() == ErrorKind::ControllerFenced, "refused as {:?}, not as fenced", error.kind());
        let survey = open.store.survey(&newer, &Expected::Nothing).await;
        refused(survey.map(|survey| survey.position), "a survey for a log that has copied nothing")?;
    }
    let survey = open.store.survey(&newer, &expected).await.map_err(text("survey"))?;
    ensure!(survey.claimed_before, "the survey does not see that the store is claimed");
    if open.claimed.leadership.fence != Fence::KraftEpoch {
        ensure!(survey.position == open.image.position(), "the survey says {}", survey.position);
        // Nobody was fenced. (In a log the election alone fences, and moves the end.)
        let change = open.changes(12, 1).pop().unwrap_or_default();
        open.write(change).await?;
        open.holds(&open.image).await?;
    }
    let claimed = open.store.claim(&newer, &log_with(open.image.position())).await.map_err(text("claim"))?;
    ensure!(claimed.next == survey.next, "the survey announced {:?}, the claim gave {:?}", survey.next, claimed.next);
    Ok(CaseOutcome::Passed)
}

async fn another_copy_of_the_log_does_not_claim(harness: &mut dyn StoreHarness) -> Verdict {
    let open = Open::first(harness).await?;
    if open.claimed.leadership.fence == Fence::KraftEpoch {
        return Ok(CaseOutcome::Skipped("a log is claimed by nobody but itself"));
    }
    let position = open.image.position();
    let second = harness.next_leadership().await;
    // Both copies went on in an epoch of the same number, at the same offset.
    let copy = |began: i64| {
        Expected::Log(LogExtent {
            epochs: vec![(position.epoch, Offset::ZERO), (second.epoch, position.end_offset.plus(50))],
            end_offset: position.end_offset.plus(100),
            began: [(second.epoch, TimestampMs(began))].into(),
        })
    };
    open.store.claim(&second, &copy(1_000)).await.map_err(text("the claim of one copy"))?;
    let third = harness.next_leadership().await;
    for leadership in [second, third] {
        let claim = open.store.claim(&leadership, &copy(1_001)).await;
        let error = refused(claim.map(|claimed| claimed.position), "a claim by another copy of the log")?;
        let (kind, outcome) = (error.kind(), error.outcome());
        ensure!(kind == ErrorKind::Corrupt, "a claim by another copy was refused as {kind:?}: {error}");
        ensure!(outcome == Outcome::NotApplied, "a refused claim writes nothing");
    }
    open.store.claim(&third, &copy(1_000)).await.map_err(text("the next claim of the first copy"))?;
    Ok(CaseOutcome::Passed)
}

async fn a_barrier_settles_everything_submitted(harness: &mut dyn StoreHarness) -> Verdict {
    let mut open = Open::first(harness).await?;
    let mut receipts = Vec::new();
    for change in open.changes(11, 5) {
        receipts.push(open.submit(change)?);
    }
    let position = open.writer.barrier().await.map_err(text("barrier"))?;
    ensure!(position == open.image.position(), "the barrier says {position}, expected {}", open.image.position());
    open.holds(&open.image).await?;
    for (receipt, end) in receipts {
        ensure!(receipt.await.map_err(text("receipt"))? == end, "a receipt contradicts the barrier");
    }
    Ok(CaseOutcome::Passed)
}

async fn dropping_receipts_cancels_nothing(harness: &mut dyn StoreHarness) -> Verdict {
    let mut open = Open::first(harness).await?;
    for change in open.changes(12, 3) {
        drop(open.submit(change)?);
    }
    open.writer.barrier().await.map_err(text("barrier"))?;
    open.holds(&open.image).await?;
    Ok(CaseOutcome::Passed)
}

async fn after_a_barrier_no_outcome_is_open(harness: &mut dyn StoreHarness) -> Verdict {
    let mut open = Open::first(harness).await?;
    if !harness.lose_answers(1).await {
        return Ok(CaseOutcome::Skipped("the harness can't lose answers"));
    }
    let mut images = vec![open.image.clone()];
    let mut receipts = Vec::new();
    for change in open.changes(16, 3) {
        receipts.push(open.submit(change)?);
        images.push(open.image.clone());
    }
    let (mut unknown, mut acknowledged) = (0, Offset::ZERO);
    for (receipt, end) in receipts {
        match receipt.await {
            Ok(_) => acknowledged = end.end_offset,
            Err(error) if error.outcome() == Outcome::Unknown => unknown += 1,
            Err(_) => {}
        }
    }
    ensure!(unknown > 0, "the harness lost no answer");
    let position = open.writer.barrier().await.map_err(text("barrier"))?;
    ensure!(position.end_offset >= acknowledged, "the barrier says {position}, and more was acknowledged");
    let settled = images.into_iter().find(|image| image.position() == position);
    open.image = settled.ok_or_else(|| format!("the barrier says {position}, where no batch ends"))?;
    open.holds(&open.image).await?;
    let change = open.changes(17, 1).pop().unwrap_or_default();
    open.write(change).await?;
    open.holds(&open.image).await?;
    Ok(CaseOutcome::Passed)
}

fn begin() -> VersionedRecord {
    at_latest_version(BeginTransactionRecord::default())
}

fn end() -> VersionedRecord {
    at_latest_version(EndTransactionRecord::default())
}

const NO_TRANSACTIONS: CaseOutcome = CaseOutcome::Skipped("the backend takes no transactions");

async fn a_transaction_becomes_visible_as_a_whole(harness: &mut dyn StoreHarness) -> Verdict {
    let mut open = Open::first(harness).await?;
    if !open.store.capability().transactions {
        return Ok(NO_TRANSACTIONS);
    }
    let before = open.image.clone();
    let mut changes = open.changes(18, 3).into_iter();
    let mut next = || changes.next().unwrap_or_default();
    let (first, second, third) = (next(), next(), next());
    let first = [vec![begin()], first].concat();
    let third = [third, vec![end()]].concat();
    for (txn, records) in [(Txn::Begin, first), (Txn::In, second)] {
        let (receipt, _) = open.submit_in(txn, records)?;
        let position = receipt.await.map_err(text("batch of a transaction"))?;
        ensure!(position == before.position(), "an open transaction moved the store to {position}");
        open.holds(&before).await?;
    }
    let (receipt, whole) = open.submit_in(Txn::End { batches: 3 }, third)?;
    let position = receipt.await.map_err(text("end of the transaction"))?;
    ensure!(position == whole, "a transaction that ends at {whole} was acknowledged at {position}");
    open.holds(&open.image).await?;
    Ok(CaseOutcome::Passed)
}

async fn an_incomplete_transaction_leaves_no_trace(harness: &mut dyn StoreHarness) -> Verdict {
    let mut open = Open::first(harness).await?;
    if !open.store.capability().transactions {
        return Ok(NO_TRANSACTIONS);
    }
    let before = open.image.clone();
    let mut changes = open.changes(19, 2).into_iter();
    let mut next = || changes.next().unwrap_or_default();
    let (first, last) = (next(), next());
    let (receipt, _) = open.submit_in(Txn::Begin, [vec![begin()], first.clone()].concat())?;
    receipt.await.map_err(text("begin of a transaction"))?;
    // The batch in the middle never came.
    let (receipt, _) = open.submit_in(Txn::End { batches: 3 }, [last, vec![end()]].concat())?;
    let error = refused(receipt.await, "an incomplete transaction")?;
    ensure!(error.outcome() == Outcome::NotApplied, "an incomplete transaction is certainly not applied: {error}");
    open.writer.barrier().await.map_err(text("barrier"))?;
    open.holds(&before).await?;
    open.image = before;
    open.write(first).await?;
    open.holds(&open.image).await?;
    Ok(CaseOutcome::Passed)
}

struct FailingSink;

#[async_trait]
impl RecordSink for FailingSink {
    async fn accept(&mut self, _records: Vec<VersionedRecord>) -> Result<()> {
        Err(Error::not_applied(ErrorKind::Invalid, "this sink takes nothing"))
    }
}

async fn a_load_ends_with_the_error_of_its_sink(harness: &mut dyn StoreHarness) -> Verdict {
    let open = Open::first(harness).await?;
    let error = refused(open.store.load(&mut FailingSink).await, "a load into a failing sink")?;
    ensure!(error.to_string().contains("takes nothing"), "the sink's error was replaced by {error}");
    open.holds(&open.image).await?;
    Ok(CaseOutcome::Passed)
}

async fn a_second_sync_writes_nothing(harness: &mut dyn StoreHarness) -> Verdict {
    let mut open = Open::first(harness).await?;
    if !open.store.capability().full_sync {
        return Ok(CaseOutcome::Skipped("the backend has no full sync"));
    }
    let report = open.writer.full_sync(&open.image).await.map_err(text("second sync"))?;
    ensure!(report.written == 0 && report.deleted == 0, "a sync of what is equal wrote: {report:?}");
    ensure!(report.compared > 0, "a sync that compares nothing proves nothing");
    open.holds(&open.image).await?;
    Ok(CaseOutcome::Passed)
}

async fn a_sync_makes_the_store_equal_to_the_image(harness: &mut dyn StoreHarness) -> Verdict {
    let mut open = Open::first(harness).await?;
    if !open.store.capability().full_sync {
        return Ok(CaseOutcome::Skipped("the backend has no full sync"));
    }
    // Credentials and tokens are rare: one of each that certainly goes.
    let credential = UserScramCredentialRecord {
        name: "leaver".to_owned(),
        mechanism: 1,
        salt: vec![1; 8],
        stored_key: vec![2; 32],
        server_key: vec![3; 32],
        iterations: 4096,
        ..UserScramCredentialRecord::default()
    };
    let token = DelegationTokenRecord {
        owner: "User:leaver".to_owned(),
        requester: "User:leaver".to_owned(),
        issue_timestamp: TimestampMs(1_729_500_000_000),
        max_timestamp: TimestampMs(1_730_104_800_000),
        expiration_timestamp: TimestampMs(1_729_586_400_000),
        token_id: "leaver".to_owned(),
        ..DelegationTokenRecord::default()
    };
    open.write(vec![at_latest_version(credential), at_latest_version(token)]).await?;
    // Families that grew or shrank, and topics that were created anew: same name and partitions, another id.
    let position = Position { end_offset: open.image.position().end_offset.plus(1000), ..open.image.position() };
    let other = some_image(99, position, open.store.capability().lossless)?;
    let other = with_topics_created_anew(&open.image, &other)?;
    open.writer.full_sync(&other).await.map_err(text("sync"))?;
    open.image = other;
    open.holds(&open.image).await?;
    let change = open.changes(13, 1).pop().unwrap_or_default();
    open.write(change).await?;
    open.holds(&open.image).await?;
    Ok(CaseOutcome::Passed)
}

/// The image with three topics of `before` in it, under other ids.
fn with_topics_created_anew(
    before: &MetadataImage,
    image: &MetadataImage,
) -> std::result::Result<MetadataImage, Broken> {
    let mut delta = MetadataDelta::new(image);
    let version = before.metadata_version_or_lowest().partition_record_version();
    for (number, (name, id)) in (1..=3).zip(before.topics().iter_by_name()) {
        let topic_id = TopicId(Uuid::from_u64_pair(1 << 40, number));
        let topic = TopicRecord { name: name.to_string(), topic_id, ..TopicRecord::default() };
        delta.replay(&topic.into()).map_err(|error| error.to_string())?;
        for (partition, registration) in before.topics().partitions(id) {
            let record = registration.to_record(topic_id, partition, version);
            delta.replay(&record.into()).map_err(|error| error.to_string())?;
        }
    }
    Ok(delta.apply(image.position(), image.timestamp()))
}

async fn random_batches_arrive_as_written(harness: &mut dyn StoreHarness) -> Verdict {
    let mut open = Open::first(harness).await?;
    for change in open.changes(14, 120) {
        open.writer.ready().await.map_err(text("ready"))?;
        drop(open.submit(change)?);
    }
    open.writer.barrier().await.map_err(text("barrier"))?;
    open.holds(&open.image).await?;
    Ok(CaseOutcome::Passed)
}
