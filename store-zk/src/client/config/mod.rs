//! How to reach a ZooKeeper: from a connect string, or from Kafka's own configuration file.

mod connect_string;
mod fingerprint;
mod properties;
mod secret;
mod settings;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use super::ZkConnector;
use super::real::ZooKeeperConnector;

pub use self::connect_string::{ConnectString, ServerAddress};
pub use self::properties::Properties;
pub use self::secret::Secret;
pub use self::settings::{MAX_IN_FLIGHT_DEFAULT, PasswordEncoderSettings, ZkSettings};

/// Kafka's default of `zookeeper.session.timeout.ms` (`ZkConfigs`).
pub const SESSION_TIMEOUT_DEFAULT: Duration = Duration::from_millis(18_000);

/// How long one answer may take before the connection counts as lost. Kafka has no such limit; a server that is alive
/// but silent for this long is of no use to anyone.
pub const REQUEST_TIMEOUT_DEFAULT: Duration = Duration::from_millis(30_000);

/// What to say when TLS is asked for in vain.
pub(super) const TLS_MISSING: &str = "TLS to ZooKeeper is not compiled in: build store-zk with its feature \"tls\"";

/// A configuration that can't be used: the key or text, the reason and the remedy. Never a secret.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct ConfigError(String);

impl ConfigError {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

/// A user and a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user's name.
    pub user: String,
    /// The user's password.
    pub password: Secret,
}

/// TLS towards ZooKeeper. Both files are PEM and are read at every connect, so that renewed certificates are taken up.
/// Host names are always verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificates of the authorities that sign the servers' certificates; revocation lists may stand there too.
    pub truststore: PathBuf,
    /// Our private key, unencrypted, and our certificate chain, if the servers want to know who we are.
    pub keystore: Option<PathBuf>,
}

/// Everything that opening a session needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZkClientConfig {
    /// Servers and chroot.
    pub connect: ConnectString,
    /// Session timeout to ask for; the server may grant another.
    pub session_timeout: Duration,
    /// How long [`connect`](super::ZkConnector::connect) and [`resume`](super::ZkSession::resume) try.
    pub connection_timeout: Duration,
    /// How long one answer may take before the connection counts as lost.
    pub request_timeout: Duration,
    /// Digest authentication (ZooKeeper's `addauth digest`).
    pub digest: Option<Credentials>,
    /// SASL authentication, mechanism DIGEST-MD5.
    pub sasl: Option<Credentials>,
    /// TLS, if the servers' client port speaks it.
    pub tls: Option<TlsFiles>,
}

impl ZkClientConfig {
    /// Kafka's defaults, no authentication, no TLS.
    pub fn new(connect: ConnectString) -> Self {
        Self {
            connect,
            session_timeout: SESSION_TIMEOUT_DEFAULT,
            connection_timeout: SESSION_TIMEOUT_DEFAULT,
            request_timeout: REQUEST_TIMEOUT_DEFAULT,
            digest: None,
            sasl: None,
            tls: None,
        }
    }

    /// [`ZkClientConfig::new`] from the text of a connect string.
    ///
    /// # Errors
    /// When the text is no connect string.
    pub fn from_connect_string(connect: &str) -> Result<Self, ConfigError> {
        Ok(Self::new(connect.parse()?))
    }

    /// A connector with this configuration. Opens nothing yet.
    ///
    /// # Errors
    /// When TLS is asked for and not compiled in (feature `tls`).
    pub fn connector(&self) -> Result<Arc<dyn ZkConnector>, ConfigError> {
        if self.tls.is_some() && !cfg!(feature = "tls") {
            return Err(ConfigError::new(TLS_MISSING));
        }
        Ok(Arc::new(ZooKeeperConnector::new(self.clone())))
    }
}
