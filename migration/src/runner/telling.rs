//! Tells brokers in ZooKeeper mode, as long as this controller has ZooKeeper's controller role: everything after each claim, and
//! from then on what changes, whether or not ZooKeeper can be reached meanwhile.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use metadata_core::leadership::Fence;
use metadata_core::log::MetadataLog;
use metadata_core::store::Claimed;
use tokio::sync::watch;

use crate::propagate::{ActingController, BrokerChannel, Propagator};

/// How long to wait after a failure of the channel.
const PAUSE: Duration = Duration::from_millis(200);

/// Under which claim brokers are told; claims are numbered.
type Acting = Option<(ActingController, u64)>;

/// What tells the brokers. Clones speak of the same.
#[derive(Clone)]
pub(super) struct Telling {
    acting: Arc<watch::Sender<Acting>>,
    /// The number of the last claim after which everybody was told everything.
    told: watch::Receiver<u64>,
}

impl Telling {
    /// What tells brokers over `channel`, and the work that does it: it runs until the log has stopped. `listener` is where
    /// brokers are reached.
    pub(super) fn new(
        log: Arc<dyn MetadataLog>,
        channel: Arc<dyn BrokerChannel>,
        listener: String,
    ) -> (Self, BoxFuture<'static, ()>) {
        let acting = Arc::new(watch::Sender::new(None));
        let (done, told) = watch::channel(0);
        let work = tell(log, channel, listener, acting.subscribe(), done);
        (Self { acting, told }, Box::pin(work))
    }

    /// Tells everybody everything, for this claim. Returns once it is queued for every broker.
    pub(super) async fn everything(mut self, claimed: Claimed) {
        let Fence::ZooKeeper(zk) = claimed.leadership.fence else { return };
        let kraft = claimed.leadership.kraft;
        let controller = ActingController { id: kraft.id, zk_epoch: zk.epoch, kraft_epoch: kraft.epoch };
        let mut number = 0;
        self.acting.send_modify(|acting| {
            number = acting.map_or_else(|| *self.told.borrow(), |(_, number)| number) + 1;
            *acting = Some((controller, number));
        });
        // It ends only with the log, which is told elsewhere.
        let _ = self.told.wait_for(|told| *told >= number).await;
    }

    /// Another controller tells the brokers now, or nobody.
    pub(super) fn stop(&self) {
        self.acting.send_if_modified(|acting| acting.take().is_some());
    }
}

async fn tell(
    log: Arc<dyn MetadataLog>,
    channel: Arc<dyn BrokerChannel>,
    listener: String,
    mut acting: watch::Receiver<Acting>,
    told: watch::Sender<u64>,
) {
    let mut telling: Option<(Propagator, u64)> = None;
    loop {
        let now = *acting.borrow_and_update();
        let Some((controller, number)) = now else {
            if let Some((propagator, _)) = telling.take() {
                propagator.end(&*channel).await;
            }
            if acting.changed().await.is_err() {
                return;
            }
            continue;
        };
        let (propagator, claim) =
            telling.get_or_insert_with(|| (Propagator::new(controller, listener.clone()), number));
        if *claim != number {
            propagator.claimed(controller);
            *claim = number;
        }
        let image = log.image();
        let end = image.position().end_offset;
        match propagator.propagate(&*channel, &image).await {
            Ok(_) => {
                told.send_replace(number);
            }
            Err(error) => {
                tracing::warn!(error = crate::failure::chain(&error), "brokers could not be told");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        }
        tokio::select! {
            changed = acting.changed() => if changed.is_err() { return },
            committed = log.committed(end) => if committed.is_err() { return },
        }
    }
}

/// Runs what tells the brokers; never returns, where nobody is told.
pub(super) async fn told(work: &mut Option<BoxFuture<'static, ()>>) {
    if let Some(running) = work {
        running.await;
        *work = None;
    }
    std::future::pending::<()>().await;
}

#[cfg(test)]
mod tests;
