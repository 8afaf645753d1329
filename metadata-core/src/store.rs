//! The port through which metadata is stored: [`MetadataStore`], and [`StoreWriter`] for whoever holds a claim on it.
//!
//! A store holds the metadata as of a [`Position`] of the log. It may be the log itself, or a projection of it, as
//! ZooKeeper is during a migration. What each method promises is checked by the suite in `metadata_core::contract`
//! (feature `contract`), which any backend can run.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;

use crate::error::{Error, Result};
use crate::id::{Offset, Position};
use crate::image::MetadataImage;
use crate::leadership::{AfterClaim, Expected, KraftLeadership, Leadership};
use crate::record::VersionedRecord;

/// What a backend can do, as data: the contract suite and the migration look here before they ask for something.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capability {
    /// Name for reports, `zookeeper` for instance.
    pub name: &'static str,
    /// [`StoreWriter::full_sync`] works.
    pub full_sync: bool,
    /// Batches may be parts of a metadata transaction (KIP-868).
    pub transactions: bool,
    /// The backend keeps everything that an image can hold. Otherwise see [`SyncReport::unrepresentable`].
    pub lossless: bool,
    /// At most so many batches may be in flight before [`StoreWriter::ready`] waits.
    pub batches_in_flight_max: usize,
}

impl Capability {
    /// A backend that can do everything without loss, with one batch in flight.
    pub fn new(name: &'static str) -> Self {
        Self { name, full_sync: true, transactions: true, lossless: true, batches_in_flight_max: 1 }
    }

    /// The same with or without [`Self::full_sync`].
    #[must_use]
    pub fn with_full_sync(mut self, full_sync: bool) -> Self {
        self.full_sync = full_sync;
        self
    }

    /// The same with or without [`Self::transactions`].
    #[must_use]
    pub fn with_transactions(mut self, transactions: bool) -> Self {
        self.transactions = transactions;
        self
    }

    /// The same with or without [`Self::lossless`].
    #[must_use]
    pub fn with_lossless(mut self, lossless: bool) -> Self {
        self.lossless = lossless;
        self
    }

    /// The same with this [`Self::batches_in_flight_max`].
    #[must_use]
    pub fn with_batches_in_flight_max(mut self, batches: usize) -> Self {
        self.batches_in_flight_max = batches;
        self
    }
}

/// Takes records as a store is loaded. The store waits for each call, so memory stays bounded by one batch.
#[async_trait]
pub trait RecordSink: Send {
    /// Takes the next records, in an order in which they can be replayed. An error ends the load and is returned by it.
    async fn accept(&mut self, records: Vec<VersionedRecord>) -> Result<()>;
}

#[async_trait]
impl RecordSink for Vec<VersionedRecord> {
    async fn accept(&mut self, records: Vec<VersionedRecord>) -> Result<()> {
        self.extend(records);
        Ok(())
    }
}

/// Where in a metadata transaction (KIP-868) a batch stands. The Begin and End records themselves are among the
/// batch's records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Txn {
    /// Outside any transaction: the batch is visible once it is written, whole.
    #[default]
    None,
    /// Opens a transaction. Starts with a `BeginTransactionRecord`.
    Begin,
    /// Within the open transaction: not visible yet.
    In,
    /// Ends with an `EndTransactionRecord`: all batches since [`Txn::Begin`] become visible at once, or none ever.
    End {
        /// How many batches the transaction has, counting those of Begin and End. A mismatch aborts it.
        batches: u32,
    },
}

/// One change: the image before, the records, the image after.
///
/// The images say where: the batch applies at `before.position()` and ends at `after.position()`, both exclusive ends.
/// Within a transaction each batch is decided on the image that the one before it made, while the store stays where it
/// was until the End.
///
/// It is atomic in a log. A projection may need several writes for it, each of them checked: then readers can see part
/// of it for a while, the store's position moves with the last write, and a batch that was left in its middle is told by
/// [`Claimed::batch_end`] and finished by the next writer. It is never left in its middle for good, nor overtaken.
#[derive(Debug, Clone)]
pub struct MetadataBatch {
    /// Where in a transaction it stands.
    pub txn: Txn,
    /// The records, in order. A projection may look at the images alone.
    pub records: Arc<[VersionedRecord]>,
    /// The image that the change was decided on. The store must be exactly there.
    pub before: MetadataImage,
    /// The image with the change.
    pub after: MetadataImage,
}

impl MetadataBatch {
    /// Where the store must be for the batch to apply.
    pub fn expected(&self) -> Position {
        self.before.position()
    }

    /// Where the store is once the batch is in it.
    pub fn end(&self) -> Position {
        self.after.position()
    }
}

/// The answer to a submitted write, when it comes: where the store is then, or why not and whether the write happened.
///
/// Dropping it cancels nothing: the write goes on. Receipts of one writer resolve in the order of the calls.
#[must_use = "the write goes on without it, but nobody learns whether it happened"]
pub struct Receipt(Pin<Box<dyn Future<Output = Result<Position>> + Send>>);

impl Receipt {
    /// A receipt that resolves as `answer` does.
    pub fn new(answer: impl Future<Output = Result<Position>> + Send + 'static) -> Self {
        Self(Box::pin(answer))
    }

    /// A receipt whose answer is known.
    pub fn ready(answer: Result<Position>) -> Self {
        Self::new(std::future::ready(answer))
    }

    /// The receipt of a write that was refused before anything was sent.
    pub fn refused(error: Error) -> Self {
        Self::ready(Err(error))
    }
}

impl Future for Receipt {
    type Output = Result<Position>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

/// What a claim gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claimed {
    /// The proof that [`MetadataStore::writer`] asks for.
    pub leadership: Leadership,
    /// Where the store is: end of the last batch that is whole in it (exclusive).
    pub position: Position,
    /// End of a batch that a predecessor had begun and not finished (exclusive). The first batch submitted must end
    /// there; the writer goes on in its middle.
    pub batch_end: Option<Offset>,
    /// What must follow.
    pub next: AfterClaim,
}

/// What a claim would find: a look at the store, taken before anything is written anywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Survey {
    /// Whether a controller of our quorum has claimed the store before.
    pub claimed_before: bool,
    /// Where the store is: end of the last batch that is whole in it (exclusive).
    pub position: Position,
    /// What would follow the claim.
    pub next: AfterClaim,
}

/// Something an image holds and the store can't.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unrepresentable {
    /// What: kind and name, never a secret.
    pub entity: String,
    /// Why the store can't hold it.
    pub reason: String,
}

/// What a full sync did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SyncReport {
    /// Entities (znodes, say) that were read and compared.
    pub compared: u64,
    /// Entities created or changed. A second sync right after has 0 here and in `deleted`.
    pub written: u64,
    /// Entities deleted.
    pub deleted: u64,
    /// What the store can't hold. It never blocks.
    pub unrepresentable: Vec<Unrepresentable>,
    /// What an operator must know before going back to the old world, a sentence each.
    pub warnings: Vec<String>,
}

/// A place where the cluster's metadata is stored.
///
/// Implementations: `store_zk::ZkStore`, and for logs the adapter [`LogStore`](crate::log::LogStore).
#[async_trait]
pub trait MetadataStore: Send + Sync {
    /// Limits and support. Constant.
    fn capability(&self) -> Capability;

    /// Streams the whole content as records that can be replayed on an empty image, and returns the position that they
    /// amount to. An empty store gives no records, and one that was never written from a log is at [`Position::START`].
    /// Kafka: `ZkMigrationClient.readAllMetadata`.
    ///
    /// The content is that of one moment only if nobody writes meanwhile: claim first. Memory is bounded by the sink's
    /// batches. Nothing is written. After an error what the sink took is not the whole, and worth nothing.
    ///
    /// # Errors
    /// `Invalid` names the first thing that can't be understood, or can't be written as a record (and, where more are
    /// known, how many); `Corrupt`: stored data is damaged; `Unavailable` and `Unauthorized` as usual; any error of the
    /// sink, unchanged.
    async fn load(&self, sink: &mut (dyn RecordSink + Send)) -> Result<Position>;

    /// How far the store is: end of the last batch that is whole in it, [`Position::START`] when none ever was.
    /// Linearizable: it sees every write that was acknowledged before the call. Kafka: `getOrCreateMigrationRecoveryState`,
    /// which reads `/migration`.
    ///
    /// # Errors
    /// `Unavailable`, `Unauthorized`; `Invalid` or `Corrupt` when what says so can't be read.
    async fn position(&self) -> Result<Position>;

    /// What [`Self::claim`] with the same arguments would find. Nothing is written, and nobody is fenced. Linearizable, as
    /// [`Self::position`] is; a moment later it may be out of date, and the claim decides anew.
    ///
    /// # Errors
    /// Those of [`Self::claim`], for the same reasons; the outcome is always `NotApplied`.
    async fn survey(&self, leadership: &KraftLeadership, expected: &Expected) -> Result<Survey>;

    /// Takes over the right to write, for a leader of the quorum, and fences every earlier holder: once this returns,
    /// none of their writes can take effect any more, not even those on their way.
    ///
    /// Claiming again with the same leadership succeeds (a lost answer, a new session) and fences our own late writes.
    ///
    /// The claim is durable on return, in a single write or none: a claimant that dies right after stays the holder until
    /// someone newer claims. [`Claimed::position`] does not move any more but by the writer of this claim. A store that
    /// nobody ever claimed is claimed all the same. In a log the election is the claim, and nothing is written. Kafka:
    /// `KafkaZkClient.tryRegisterKRaftControllerAsActiveController`.
    ///
    /// # Errors
    /// `ControllerFenced`: someone holds a claim of a newer epoch, or of the same epoch under another id. `Corrupt`: the
    /// store is ahead of the log in `expected`, on another branch, or written by another copy of it (by
    /// [`LogExtent::began`](crate::leadership::LogExtent::began)). `Invalid`: it was written from another cluster's
    /// log, or what is in it says nothing that can be read. `GovernedElsewhere`: someone who is no leader of our quorum has
    /// governed it since. `Unauthorized` as usual. Nothing is written then. `Unavailable` with `Outcome::Unknown`: the claim
    /// may hold; claim again.
    async fn claim(&self, leadership: &KraftLeadership, expected: &Expected) -> Result<Claimed>;

    /// The writer that goes with a claim. It claims again by itself after its session was lost, as the same leader.
    /// Nothing is written yet. Dropping the writer gives up nothing: the claim stays, and so does what was submitted.
    ///
    /// # Errors
    /// `Invalid`: the claim is not of this store, or not the last one made on it. A claim that was fenced meanwhile may only show at the first write.
    async fn writer(&self, claimed: Claimed) -> Result<Box<dyn StoreWriter>>;
}

/// Writes batches, in order, many in flight.
///
/// What is in the store is always a prefix of what was submitted, at whatever moment the process, the connection or
/// the server dies: a batch that fails takes all later ones with it, until [`StoreWriter::barrier`] has settled what is
/// there.
#[async_trait]
pub trait StoreWriter: Send {
    /// Waits until there is room for another batch.
    ///
    /// # Errors
    /// The error that stopped the writer, if it stopped.
    async fn ready(&mut self) -> Result<()>;

    /// Hands over one batch. Not async on purpose: the order of writes is the order of the calls, whoever awaits the
    /// receipts in whatever order. The caller asks [`Self::ready`] first; without it the queue may grow.
    ///
    /// On return nothing is durable. Once the receipt has resolved with the batch's end, the whole batch is, on a majority
    /// where there are several servers, and [`MetadataStore::position`] and [`MetadataStore::load`] show it; for a batch of
    /// an open transaction it resolves with the position before, and nothing shows. Writes are checked against the claim
    /// where they are made, not here. Kafka: `KafkaZkClient.retryMigrationRequestsUntilConnected`; KIP-868 for the
    /// transactions.
    ///
    /// # Errors
    /// By the receipt. `Conflict`, not applied: the store is not at `batch.expected()`, an earlier batch failed, or the
    /// transaction lacks batches or was discarded. `ControllerFenced`, not applied: someone newer claimed. `Invalid`, not
    /// applied: the batch breaks a rule. `Unavailable` with `Outcome::Unknown`: ask [`Self::barrier`].
    fn submit(&mut self, batch: MetadataBatch) -> Receipt;

    /// Waits for everything submitted, makes sure that the claim still holds, and returns the position. After it no
    /// outcome is unknown: what the position covers happened and is durable, and nothing else of this writer ever will.
    /// A writer that stopped over a failed batch goes on from there.
    ///
    /// # Errors
    /// The error that stopped the writer. `ControllerFenced` when someone newer claimed, or this member leads no more.
    /// `Unavailable`: nothing is settled; ask again, or claim again.
    async fn barrier(&mut self) -> Result<Position>;

    /// Makes the store equal to `image`, at `image.position()`: compares and writes only differences, deletes before
    /// creates. Right after a finished one, another writes nothing. Kafka: `KRaftMigrationZkWriter.handleSnapshot`.
    ///
    /// All of it is durable on return. It is not atomic: interrupted, part of it is there, the store's position says that it
    /// can't be resumed batch by batch ([`AfterClaim::FullSync`]), and it is finished by running it again. Into an empty
    /// store it writes everything.
    ///
    /// # Errors
    /// `Unsupported` without the capability; `Invalid` when it would delete more than the store's safety limit; else
    /// as [`Self::submit`].
    async fn full_sync(&mut self, image: &MetadataImage) -> Result<SyncReport>;
}
