//! How connections between controllers are secured.

use std::io;

use tokio::net::TcpStream;

use super::link::Stream;

/// Plain TCP, or TLS with certificates on both sides.
#[derive(Clone)]
pub(crate) enum Security {
    Plaintext,
    #[cfg(feature = "tls")]
    Tls(super::tls::PeerIdentity),
}

impl Security {
    /// Secures a connection that this controller made to `address`, `host:port`.
    ///
    /// # Errors
    /// The other side is not who it should be, or the connection broke.
    #[cfg_attr(not(feature = "tls"), expect(unused_variables, reason = "only a certificate is held against it"))]
    pub(super) async fn connect(&self, tcp: TcpStream, address: &str) -> io::Result<Box<dyn Stream>> {
        match self {
            Self::Plaintext => Ok(Box::new(tcp)),
            #[cfg(feature = "tls")]
            Self::Tls(identity) => identity.connect(tcp, address).await,
        }
    }

    /// Secures a connection that was made to this controller.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub(super) async fn accept(&self, tcp: TcpStream) -> io::Result<Box<dyn Stream>> {
        match self {
            Self::Plaintext => Ok(Box::new(tcp)),
            #[cfg(feature = "tls")]
            Self::Tls(identity) => identity.accept(tcp).await,
        }
    }
}
