//! The image in a `sled` database, so that an open need not load a snapshot and replay the log behind it.
//!
//! It is never the only copy: sled's flush is no fsync, and a flipped byte can make it panic, in open too. So sled lives
//! on a thread of its own, where every call is guarded; whatever goes wrong there, the folder is set aside as
//! `cache.damaged-N` (one is kept), built anew, and a warning says so. Threads of sled's own can end unseen, and a call then
//! waits for ever: so nobody waits for the cache longer than a limit, and goes on without it. What is read is checked: each value against its
//! checksum, the whole against the log, whose batch that ends at the image's position must be the one that was noted.
//!
//! It is written in the background after snapshots, and at a clean stop; never while an append waits.
//!
//! An image is a sled tree of values with many records each: a key for each record is six times slower. A new image goes
//! into a new tree, and becomes the present one by a single write.

mod set_aside;
mod tree;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use metadata_core::id::{Offset, Position, TimestampMs};
use metadata_core::image::MetadataImage;

use self::tree::Trees;

/// What names the batch that ends where an image does: its time and checksum.
pub(crate) type BatchMark = (TimestampMs, u32);

/// The cache. Dropping it ends its thread after what it does now.
#[derive(Debug)]
pub(crate) struct ImageCache {
    orders: mpsc::Sender<Order>,
    thread: Mutex<Option<Thread>>,
    /// How long an answer is waited for.
    wait_max: Duration,
    /// End of the cached image that belongs to the log (exclusive), or -1.
    usable: AtomicI64,
}

/// The thread that calls sled.
#[derive(Debug)]
struct Thread {
    handle: JoinHandle<()>,
    /// Is disconnected when the thread ends: a handle can't be waited for with a limit.
    ended: mpsc::Receiver<()>,
}

/// Longer than the largest image takes on a slow disk.
const WAIT_MAX: Duration = Duration::from_secs(120);

/// What is known of a thread that gave no answer.
fn silent(wait_max: Duration) -> String {
    format!("the cache gave no answer within {} s and is not used", wait_max.as_secs())
}

/// Waits for an answer of the thread.
fn receive<T>(answered: &mpsc::Receiver<T>, wait_max: Duration) -> Result<T, String> {
    answered.recv_timeout(wait_max).map_err(|error| match error {
        mpsc::RecvTimeoutError::Timeout => silent(wait_max),
        mpsc::RecvTimeoutError::Disconnected => "the thread of the cache ended".to_owned(),
    })
}

/// An image so few records further than the cached one is not worth a store: they are replayed in no time.
const RECORDS_NOT_WORTH_IT: i64 = 10_000;

enum Order {
    Load { latest: Offset, answer: mpsc::Sender<Result<Option<Loaded>, String>> },
    Store(Box<MetadataImage>, BatchMark),
    Close,
}

/// A cached image, and the batch that must end where it does.
struct Loaded {
    image: MetadataImage,
    mark: BatchMark,
}

impl ImageCache {
    /// Opens the cache in the folder `dir`, which is created. The second value says what was wrong with it, if it had to
    /// be set aside; the first is `None` when there is no cache to be had at all. `guard` is dropped when its thread ends.
    pub(crate) fn open(dir: &Path, guard: impl Send + 'static) -> (Option<Self>, Option<String>) {
        let (orders, receiver) = mpsc::channel();
        let (opened, open_result) = mpsc::channel();
        let (running, ended) = mpsc::channel::<()>();
        let dir = dir.to_owned();
        let run = move || {
            let (trees, trouble) = open_or_rebuild(&dir);
            let usable = trees.is_some();
            // Whoever opens waits for this answer.
            let _ = opened.send((usable, trouble));
            if let Some(trees) = trees {
                Worker { dir, trees: Some(trees) }.run(&receiver);
            }
            drop(guard);
            drop(running);
        };
        let thread = match std::thread::Builder::new().name("kraft-cache".to_owned()).spawn(run) {
            Ok(handle) => Thread { handle, ended },
            Err(error) => return (None, Some(format!("there is no thread for the cache: {error}"))),
        };
        match receive(&open_result, WAIT_MAX) {
            Ok((true, trouble)) => (Some(Self::of(orders, thread, WAIT_MAX)), trouble),
            Ok((false, trouble)) => (None, trouble),
            Err(trouble) => {
                tracing::warn!("{trouble}");
                (None, Some(trouble))
            }
        }
    }

    fn of(orders: mpsc::Sender<Order>, thread: Thread, wait_max: Duration) -> Self {
        Self { orders, thread: Mutex::new(Some(thread)), wait_max, usable: AtomicI64::new(-1) }
    }

    /// The cached image, if it ends at or before `latest` (exclusive end) and belongs to the log: `mark_of` gives the mark of
    /// the log's batch that ends at a position.
    ///
    /// # Errors
    /// What was wrong; the cache is empty now, or gives no answer.
    pub(crate) fn load(
        &self,
        latest: Offset,
        mark_of: impl Fn(Position) -> Option<BatchMark>,
    ) -> Result<Option<MetadataImage>, String> {
        let (answer, answered) = mpsc::channel();
        // An order that can't be sent drops its end of the answer's channel.
        let _ = self.orders.send(Order::Load { latest, answer });
        let loaded = receive(&answered, self.wait_max)??;
        // One of another log, after a directory was restored say, is of no use, but no damage either.
        let loaded = loaded.filter(|loaded| mark_of(loaded.image.position()) == Some(loaded.mark));
        if let Some(loaded) = &loaded {
            self.usable.store(loaded.image.position().end_offset.0, Ordering::Relaxed);
        }
        Ok(loaded.map(|loaded| loaded.image))
    }

    /// Stores an image in the background, unless the cached one is nearly as new. `mark` is that of the batch that ends at
    /// its position.
    pub(crate) fn store(&self, image: MetadataImage, mark: BatchMark) {
        let end = image.position().end_offset.0;
        let usable = self.usable.swap(end, Ordering::Relaxed);
        if usable >= 0 && (usable..usable.saturating_add(RECORDS_NOT_WORTH_IT)).contains(&end) {
            self.usable.store(usable, Ordering::Relaxed);
            return;
        }
        // Without its thread there is no cache, and nothing is missed.
        let _ = self.orders.send(Order::Store(Box::new(image), mark));
    }

    /// Waits until all that was stored before is written, and ends the thread. What is stored afterwards is lost. A thread
    /// that does not end in time is left alone.
    pub(crate) fn close(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let _ = self.orders.send(Order::Close);
        let Some(Thread { handle, ended }) = thread else { return };
        if ended.recv_timeout(self.wait_max) == Err(mpsc::RecvTimeoutError::Timeout) {
            let trouble = silent(self.wait_max);
            tracing::warn!("{trouble}; the data directory stays locked until this process ends");
            return;
        }
        // A panic there was sled's, and was dealt with.
        let _ = handle.join();
    }
}

/// Runs what calls sled. A panic becomes an error.
fn guarded<T>(call: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(call));
    caught.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        Err(format!("sled panicked: {}", text.unwrap_or_else(|| "without a word".to_owned())))
    })
}

/// How often, and after how long each, a folder that is still in use is tried again: sled lets go of its lock some time
/// after it was dropped.
const IN_USE_TRIES: u32 = 40;
const IN_USE_WAIT: Duration = Duration::from_millis(50);

/// Opens the trees; if that fails, sets the folder aside and opens new ones. A folder in use is left alone.
fn open_or_rebuild(dir: &Path) -> (Option<Trees>, Option<String>) {
    for _ in 0..IN_USE_TRIES {
        match guarded(|| Trees::open(dir)) {
            Ok(trees) => return (Some(trees), None),
            Err(reason) if reason.contains(IN_USE) => std::thread::park_timeout(IN_USE_WAIT),
            Err(reason) => return rebuild(dir, &reason),
        }
    }
    (None, Some(format!("the cache in {} is not used: someone else has it open", dir.display())))
}

/// What sled says of a database that is open elsewhere.
const IN_USE: &str = "could not acquire lock";

fn rebuild(dir: &Path, reason: &str) -> (Option<Trees>, Option<String>) {
    let trouble = match set_aside::set_aside(dir) {
        Ok(aside) => {
            format!("the cache was unsound and is built anew; it was set aside as {}: {reason}", aside.display())
        }
        Err(error) => return (None, Some(format!("{error}, because it is unsound: {reason}"))),
    };
    tracing::warn!("{trouble}");
    match guarded(|| Trees::open(dir)) {
        Ok(trees) => (Some(trees), Some(trouble)),
        Err(again) => (None, Some(format!("{trouble}; and no new one can be made: {again}"))),
    }
}

struct Worker {
    dir: PathBuf,
    trees: Option<Trees>,
}

impl Worker {
    fn run(mut self, orders: &mpsc::Receiver<Order>) {
        while let Ok(order) = orders.recv() {
            match order {
                Order::Load { latest, answer } => {
                    let loaded = self.with_trees(|trees| trees.load(latest));
                    let _ = answer.send(loaded);
                }
                Order::Store(image, mark) => {
                    // The failure was told, and the next store finds a new folder.
                    let _ = self.with_trees(|trees| trees.store(&image, mark));
                }
                Order::Close => break,
            }
        }
        let _ = guarded(|| {
            drop(self.trees.take());
            Ok(())
        });
    }

    /// Calls the trees; if that fails, they are set aside, and the error tells so.
    fn with_trees<T>(&mut self, call: impl FnOnce(&Trees) -> Result<T, String>) -> Result<T, String> {
        let trees = self.trees.as_ref().ok_or("there is no cache")?;
        match guarded(|| call(trees)) {
            Ok(value) => Ok(value),
            Err(reason) => {
                // sled must let go of its files first, and may panic once more over it.
                let unsound = self.trees.take();
                let _ = guarded(|| {
                    drop(unsound);
                    Ok(())
                });
                let (trees, trouble) = rebuild(&self.dir, &reason);
                self.trees = trees;
                Err(trouble.unwrap_or(reason))
            }
        }
    }
}

#[cfg(test)]
mod tests;
