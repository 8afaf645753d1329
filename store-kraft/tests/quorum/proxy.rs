//! A way from one controller to another that can be cut.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Forwards connections to an address. While it is cut, connections hang: nothing is refused and nothing arrives.
#[derive(Debug)]
pub(crate) struct Way {
    pub(crate) address: SocketAddr,
    open: Arc<watch::Sender<bool>>,
    accepting: JoinHandle<()>,
}

impl Way {
    pub(crate) async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let open = Arc::new(watch::Sender::new(true));
        let watched = Arc::clone(&open);
        let accepting = tokio::spawn(async move {
            while let Ok((from, _)) = listener.accept().await {
                tokio::spawn(forward(from, target, watched.subscribe()));
            }
        });
        Self { address, open, accepting }
    }

    pub(crate) fn cut(&self) {
        self.open.send_replace(false);
    }

    pub(crate) fn mend(&self) {
        self.open.send_replace(true);
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn forward(mut from: TcpStream, target: SocketAddr, mut open: watch::Receiver<bool>) {
    if open.wait_for(|open| *open).await.is_err() {
        return;
    }
    let Ok(mut to) = TcpStream::connect(target).await else { return };
    let mut watched = open.clone();
    tokio::select! {
        _ = copy_bidirectional(&mut from, &mut to) => return,
        _ = watched.wait_for(|open| !*open) => {}
    }
    // What is under way is lost, and whoever waits for it goes on waiting, as behind a dead router.
    let _ = open.wait_for(|open| *open).await;
}
