//! TLS between controllers: each shows a certificate, and each checks that of the other.

use std::io;
use std::path::Path;
use std::sync::Arc;

use metadata_core::error::{Error, ErrorKind, Result};
use tokio::net::TcpStream;
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::link::Stream;
use crate::options::PeerTls;

/// This controller's certificate, and the authorities that it trusts.
#[derive(Clone)]
pub(crate) struct PeerIdentity {
    connector: TlsConnector,
    acceptor: TlsAcceptor,
}

fn invalid(file: &Path, reason: impl std::fmt::Display) -> Error {
    let message = format!("{} can't be used for TLS between controllers: {reason}", file.display());
    Error::not_applied(ErrorKind::Invalid, message)
}

impl PeerIdentity {
    /// Reads the files. They are read once: a certificate that was renewed is used from the next start on.
    ///
    /// # Errors
    /// `Invalid`, with the file and the reason.
    pub(crate) fn read(files: &PeerTls) -> Result<Self> {
        let PeerTls { authorities, certificate, key } = files;
        let mut roots = RootCertStore::empty();
        for authority in certificates(authorities)? {
            roots.add(authority).map_err(|error| invalid(authorities, error))?;
        }
        let (roots, chain) = (Arc::new(roots), certificates(certificate)?);
        let private = PrivateKeyDer::from_pem_file(key).map_err(|error| invalid(key, error))?;
        let provider: Arc<CryptoProvider> = Arc::new(aws_lc_rs::default_provider());

        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider)).build();
        let verifier = verifier.map_err(|error| invalid(authorities, error))?;
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| invalid(certificate, error))?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain.clone(), private.clone_key())
            .map_err(|error| invalid(certificate, error))?;
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| invalid(certificate, error))?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, private)
            .map_err(|error| invalid(certificate, error))?;
        Ok(Self { connector: TlsConnector::from(Arc::new(client)), acceptor: TlsAcceptor::from(Arc::new(server)) })
    }

    /// The certificate there must name the host that is connected to.
    pub(super) async fn connect(&self, tcp: TcpStream, address: &str) -> io::Result<Box<dyn Stream>> {
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        Ok(Box::new(self.connector.connect(name, tcp).await?))
    }

    pub(super) async fn accept(&self, tcp: TcpStream) -> io::Result<Box<dyn Stream>> {
        Ok(Box::new(self.acceptor.accept(tcp).await?))
    }
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let found = CertificateDer::pem_file_iter(file).map_err(|error| invalid(file, error))?;
    let found = found.collect::<std::result::Result<Vec<_>, _>>().map_err(|error| invalid(file, error))?;
    if found.is_empty() {
        return Err(invalid(file, "there is no certificate in it"));
    }
    Ok(found)
}
