//! A given port in front of a server that listens on one of its own choice.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::{TcpListener, TcpStream};

/// Passes every connection to its port on to one server, byte by byte.
pub(super) struct Forwarder(TcpListener);

impl Forwarder {
    /// Takes the port on 127.0.0.1.
    pub(super) async fn bind(port: u16) -> io::Result<Self> {
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map(Self)
    }

    /// Serves until connections can't be accepted any more. Those under way end with the runtime.
    pub(super) async fn run(self, server: SocketAddr) -> io::Error {
        loop {
            let mut client = match self.0.accept().await {
                Ok((client, _)) => client,
                Err(error) => return error,
            };
            tokio::spawn(async move {
                // However it ends, both ends see it: the sockets are closed.
                if let Ok(mut server) = TcpStream::connect(server).await {
                    // Many small requests go back and forth: none may wait for the next to fill a packet. Where it
                    // can't be set, they are only slower.
                    let _ = (client.set_nodelay(true), server.set_nodelay(true));
                    drop(tokio::io::copy_bidirectional(&mut client, &mut server).await);
                }
            });
        }
    }
}
