//! Is a broker in `/brokers/ids`? Only then does anybody read change notifications.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::JoinHandle;

use crate::client::{UnknownCause, WatchEvent, ZkCode, ZkError, ZkSession};
use crate::znode::path;

/// Follows `/brokers/ids` for as long as its session lives. Says yes while it does not know.
pub(super) struct BrokersPresent {
    present: Arc<AtomicBool>,
    watching: JoinHandle<()>,
}

impl BrokersPresent {
    pub(super) fn watch(session: Arc<dyn ZkSession>) -> Self {
        let present = Arc::new(AtomicBool::new(true));
        let watching = tokio::spawn(follow(session, Arc::clone(&present)));
        Self { present, watching }
    }

    pub(super) fn get(&self) -> bool {
        self.present.load(Ordering::Relaxed)
    }
}

impl Drop for BrokersPresent {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

async fn follow(session: Arc<dyn ZkSession>, present: Arc<AtomicBool>) {
    loop {
        let watch = match session.watch_children(path::BROKER_IDS).await {
            Ok((children, watch)) => {
                present.store(!children.names.is_empty(), Ordering::Relaxed);
                watch
            }
            Err(ZkError::Definite { code: ZkCode::NoNode, .. }) => {
                present.store(false, Ordering::Relaxed);
                match session.watch_exists(path::BROKER_IDS).await {
                    Ok((None, watch)) => watch,
                    Ok((Some(_), _)) => continue,
                    Err(_) => break,
                }
            }
            Err(error) => {
                if error.cause() != Some(UnknownCause::Closed) {
                    tracing::debug!(%error, "the watch on /brokers/ids ended with its session");
                }
                break;
            }
        };
        if watch.await == WatchEvent::Ended {
            break;
        }
    }
    // Deaf from here on: a notification too many is read by nobody, one too few leaves a broker with an old config.
    present.store(true, Ordering::Relaxed);
}
