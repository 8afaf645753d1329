//! Where parts are run: a folder, the releases of Kafka, and a voice.

use std::path::{Path, PathBuf};

use store_zk::client::config::Credentials;
use store_zk::testkit::free_port;
use store_zk::testkit::server::{ServerOptions, ZkServer};
use tempfile::TempDir;

use crate::cli::{Failure, Shell, start_zookeeper};
use crate::kafka::{Kafka, Release};

/// The place of one run. Its folder goes with it.
pub struct Lab {
    shell: Shell,
    folder: TempDir,
}

impl Lab {
    /// A new place in a temporary folder.
    ///
    /// # Errors
    /// The folder can't be made.
    pub fn new(shell: &Shell) -> Result<Self, Failure> {
        let folder = TempDir::with_prefix("interop-");
        let folder = folder.map_err(|error| Failure::failed("can't make a temporary folder").because(&error))?;
        Ok(Self { shell: shell.clone(), folder })
    }

    /// Tells what is being done, on stderr.
    pub fn note(&self, line: impl std::fmt::Display) {
        self.shell.note(line);
    }

    /// Who speaks.
    pub fn shell(&self) -> &Shell {
        &self.shell
    }

    /// A new folder of this name.
    ///
    /// # Errors
    /// It can't be made, or is there.
    pub fn folder(&self, name: &str) -> Result<PathBuf, Failure> {
        let folder = self.folder.path().join(name);
        let made = std::fs::create_dir(&folder);
        made.map_err(|error| Failure::failed(format!("can't make {}", folder.display())).because(&error))?;
        Ok(folder)
    }

    /// The root of all folders.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A release of Kafka, fetched if it is not there.
    ///
    /// # Errors
    /// There is no Java or no Maven, or Maven can't fetch it; with what to do.
    pub async fn kafka(&self, release: Release) -> Result<Kafka, Failure> {
        let shell = self.shell.clone();
        let finding = tokio::task::spawn_blocking(move || Kafka::find(release, &|line| shell.note(line)));
        let found = finding.await.map_err(|error| Failure::failed("can't look for Kafka").because(&error))?;
        found.map_err(|reason| Failure::failed(format!("there is no Kafka {release} to ask")).why(reason))
    }

    /// A ZooKeeper of its own, empty.
    ///
    /// # Errors
    /// None can be found or started.
    pub async fn zookeeper(&self) -> Result<ZkServer, Failure> {
        self.zookeeper_with(Vec::new()).await
    }

    /// A ZooKeeper of its own, empty, where these users can log in.
    ///
    /// # Errors
    /// None can be found or started.
    pub async fn zookeeper_with(&self, sasl: Vec<Credentials>) -> Result<ZkServer, Failure> {
        // Sessions of real brokers must outlive a busy machine: up to 60 s.
        let tick = std::time::Duration::from_secs(3);
        start_zookeeper(ServerOptions { tick, sasl, ..ServerOptions::default() }, &self.shell).await
    }
}

/// A loopback port that is free now.
///
/// # Errors
/// There is none.
pub(super) fn port() -> Result<u16, Failure> {
    free_port().map_err(|error| Failure::failed("there is no free port").because(&error))
}

/// A reason as a failure.
pub(super) fn failed(what: &str) -> impl Fn(String) -> Failure + '_ {
    move |reason| Failure::failed(what).why(reason)
}
