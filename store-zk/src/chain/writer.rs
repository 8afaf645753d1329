//! The handle on the chain, as the port.

use std::sync::Arc;

use async_trait::async_trait;
use metadata_core::error::{Error, ErrorKind, Result};
use metadata_core::id::Position;
use metadata_core::image::MetadataImage;
use metadata_core::store::{MetadataBatch, Receipt, StoreWriter, SyncReport};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

/// What the actor is asked for.
pub(crate) enum Command {
    Submit {
        batch: Box<MetadataBatch>,
        permit: Option<OwnedSemaphorePermit>,
        answer: oneshot::Sender<Result<Position>>,
    },
    Barrier {
        answer: oneshot::Sender<Result<Position>>,
    },
    FullSync {
        image: Box<MetadataImage>,
        answer: oneshot::Sender<Result<SyncReport>>,
    },
}

/// Hands batches to the task that issues them. Commands are taken in the order of the calls.
pub(crate) struct ChainWriter {
    commands: mpsc::UnboundedSender<Command>,
    room: Arc<Semaphore>,
    reserved: Option<OwnedSemaphorePermit>,
}

impl ChainWriter {
    pub(crate) fn new(commands: mpsc::UnboundedSender<Command>, batches_max: usize) -> Self {
        Self { commands, room: Arc::new(Semaphore::new(batches_max)), reserved: None }
    }
}

/// The actor ends only when its handle is dropped or by a panic.
fn ended() -> Error {
    Error::unknown(ErrorKind::Unavailable, "the write chain has ended; claim ZooKeeper again")
}

#[async_trait]
impl StoreWriter for ChainWriter {
    async fn ready(&mut self) -> Result<()> {
        if self.reserved.is_none() {
            let room = Arc::clone(&self.room);
            self.reserved = Some(room.acquire_owned().await.map_err(|_| ended())?);
        }
        Ok(())
    }

    fn submit(&mut self, batch: MetadataBatch) -> Receipt {
        let (answer, answered) = oneshot::channel();
        let command = Command::Submit { batch: Box::new(batch), permit: self.reserved.take(), answer };
        if self.commands.send(command).is_err() {
            return Receipt::refused(ended());
        }
        Receipt::new(async move { answered.await.unwrap_or_else(|_| Err(ended())) })
    }

    async fn barrier(&mut self) -> Result<Position> {
        let (answer, answered) = oneshot::channel();
        self.commands.send(Command::Barrier { answer }).map_err(|_| ended())?;
        answered.await.unwrap_or_else(|_| Err(ended()))
    }

    async fn full_sync(&mut self, image: &MetadataImage) -> Result<SyncReport> {
        let (answer, answered) = oneshot::channel();
        let command = Command::FullSync { image: Box::new(image.clone()), answer };
        self.commands.send(command).map_err(|_| ended())?;
        answered.await.unwrap_or_else(|_| Err(ended()))
    }
}
