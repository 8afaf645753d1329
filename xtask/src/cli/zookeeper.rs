//! The flags by which every verb finds its ZooKeeper.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use store_zk::client::ZkConnector;
use store_zk::client::config::{ConnectString, Properties, ZkSettings};
use store_zk::testkit::server::{ServerError, ServerOptions, ZkServer};

use super::failure::Failure;
use super::shell::Shell;

/// Java's largest heap for a server that we start: a million partitions take half of it. Only what is used is taken from
/// the machine.
pub(crate) const HEAP: &str = "4g";
/// ZooKeeper's usual tick. It grants session timeouts from 4 to 40 s, Kafka's 18 s among them.
pub(crate) const TICK: Duration = Duration::from_secs(2);
/// Large work makes a small server stop for its garbage collection, longer than Kafka's 18 s at times.
const LARGE_WORK_SESSION: Duration = Duration::from_secs(60);

/// Where the ZooKeeper is.
#[derive(Debug, Clone, Default, Args)]
pub struct ZooKeeperArgs {
    /// ZooKeeper's servers and, behind the last one, the chroot; overrides zookeeper.connect of the config file
    #[arg(long, value_name = "HOST:PORT[,..][/chroot]", help_heading = "ZooKeeper")]
    pub zookeeper: Option<ConnectString>,

    /// A Kafka configuration file: zookeeper.connect, timeouts, zookeeper.ssl.*, password.encoder.* and the like
    #[arg(long, value_name = "FILE", help_heading = "ZooKeeper")]
    pub zookeeper_config: Option<PathBuf>,
}

/// What to do when no flag says where the ZooKeeper is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absent {
    /// Start one, in a temporary folder, for as long as the process runs.
    Start,
    /// Refuse, as wrong usage.
    Refuse,
}

/// A ZooKeeper that a verb works with.
pub struct ZooKeeper {
    /// How to reach it, and what else Kafka's configuration says of it.
    pub settings: ZkSettings,
    /// Opens sessions with it, within the chroot if there is one.
    pub connector: Arc<dyn ZkConnector>,
    /// The server that we started for it. It goes with this value, data and all.
    pub started: Option<ZkServer>,
}

impl ZooKeeper {
    fn new(settings: ZkSettings, started: Option<ZkServer>) -> Result<Self, Failure> {
        let connector = settings.client.connector()?;
        Ok(Self { settings, connector, started })
    }

    /// A path below this one, of the same servers. Nothing is opened, and the path may not exist yet.
    ///
    /// # Errors
    /// The name is none of a path.
    pub(crate) fn within(&self, name: &str) -> Result<Self, Failure> {
        let mut settings = self.settings.clone();
        let chroot = format!("{}/{name}", settings.client.connect.chroot());
        settings.client.connect = settings.client.connect.with_chroot(&chroot)?;
        Self::new(settings, None)
    }

    /// The same, with sessions that outlive the longest pause of a busy server.
    pub(crate) fn for_large_work(self) -> Result<Self, Failure> {
        let Self { mut settings, started, .. } = self;
        settings.client.session_timeout = settings.client.session_timeout.max(LARGE_WORK_SESSION);
        Self::new(settings, started)
    }
}

impl ZooKeeperArgs {
    /// Where the ZooKeeper is; `None` when no flag says so. Opens no connection.
    ///
    /// # Errors
    /// A configuration file that can't be read or used.
    pub fn settings(&self) -> Result<Option<ZkSettings>, Failure> {
        let text = match (&self.zookeeper_config, &self.zookeeper) {
            (None, None) => return Ok(None),
            (Some(file), _) => read(file)?,
            (None, Some(_)) => String::new(),
        };
        let text = match &self.zookeeper {
            // The last one counts. The empty line ends a line that the file may have left open with a backslash.
            Some(connect) => format!("{text}\n\nzookeeper.connect={connect}\n"),
            None => text,
        };
        // A file of credentials that the configuration names and that can't be read is a better reason than what its
        // absence leads to.
        let unreadable = RefCell::new(None);
        let read_credentials = |file: &Path| {
            Ok(read(file).unwrap_or_else(|failure| {
                unreadable.replace(Some(failure));
                String::new()
            }))
        };
        let settings = Properties::parse(&text).and_then(|it| ZkSettings::from_properties(&it, &read_credentials));
        if let Some(failure) = unreadable.into_inner() {
            return Err(failure);
        }
        settings.map(Some).map_err(|error| match &self.zookeeper_config {
            Some(file) => Failure::failed(format!("{} can't be used", file.display()))
                .because(&error)
                .next("correct that key in the file"),
            None => {
                Failure::usage("--zookeeper can't be used").because(&error).next("write it as HOST:PORT[,..][/chroot]")
            }
        })
    }

    /// Finds the ZooKeeper, or starts one. What the operator should know of the configuration goes to stderr.
    ///
    /// # Errors
    /// As [`ZooKeeperArgs::settings`]; wrong usage if no flag is given and none may be started; and as
    /// [`start_zookeeper`].
    pub async fn open(&self, absent: Absent, shell: &Shell) -> Result<ZooKeeper, Failure> {
        if let Some(settings) = self.settings()? {
            for note in &settings.notes {
                shell.note(format_args!("note: {note}"));
            }
            return ZooKeeper::new(settings, None);
        }
        match absent {
            Absent::Refuse => Err(Failure::usage("no ZooKeeper is named")
                .next("add --zookeeper HOST:PORT[,..][/chroot] or --zookeeper-config FILE")),
            Absent::Start => {
                let options = ServerOptions { heap: HEAP.to_owned(), tick: TICK, ..ServerOptions::default() };
                let server = start_zookeeper(options, shell).await?;
                let args = Self { zookeeper: Some(parse(&server.address())?), zookeeper_config: None };
                let settings =
                    args.settings()?.ok_or_else(|| Failure::failed("the started ZooKeeper has no address"))?;
                ZooKeeper::new(settings, Some(server))
            }
        }
    }
}

/// Starts a real ZooKeeper on a loopback port, and says so on stderr. It ends when the value is dropped.
///
/// # Errors
/// No ZooKeeper can be found or installed, or it doesn't come up.
pub async fn start_zookeeper(options: ServerOptions, shell: &Shell) -> Result<ZkServer, Failure> {
    let temporary = options.folder.is_none();
    let server = unblocked(ZkServer::start(options)).await?;
    let folder = server.folder().display();
    if temporary {
        shell.note(format_args!("started a ZooKeeper at {} for as long as this runs, in {folder}", server.address()));
    } else {
        shell.note(format_args!("started a ZooKeeper at {}, in {folder}", server.address()));
    }
    Ok(server)
}

/// Runs the start of servers on a task of its own: it may block for minutes while ZooKeeper is fetched, and Ctrl-C must
/// be heard meanwhile.
///
/// # Errors
/// The start's own, as a failure.
pub(crate) async fn unblocked<T: Send + 'static>(
    start: impl Future<Output = Result<T, ServerError>> + Send + 'static,
) -> Result<T, Failure> {
    let failure = || Failure::failed("can't start a ZooKeeper");
    match tokio::spawn(start).await {
        Ok(started) => started.map_err(|error| failure().because(&error)),
        Err(error) => Err(failure().because(&error)),
    }
}

fn parse(connect: &str) -> Result<ConnectString, Failure> {
    Ok(connect.parse::<ConnectString>()?)
}

fn read(file: &Path) -> Result<String, Failure> {
    fs::read_to_string(file).map_err(|error| {
        Failure::failed(format!("{} can't be read", file.display())).because(&error).next("check --zookeeper-config")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(zookeeper: Option<&str>, config: Option<&Path>) -> ZooKeeperArgs {
        ZooKeeperArgs {
            zookeeper: zookeeper.map(|connect| connect.parse().unwrap()),
            zookeeper_config: config.map(Path::to_path_buf),
        }
    }

    #[test]
    fn the_flag_overrides_the_file_and_the_file_fills_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("kafka.properties");
        // The last line is left open.
        fs::write(&file, "zookeeper.connect=file:1\nzookeeper.session.timeout.ms=4000\nx=y\\").unwrap();
        let connect = |args: ZooKeeperArgs| {
            let settings = args.settings().unwrap().unwrap();
            (settings.client.connect.to_string(), settings.client.session_timeout.as_millis())
        };
        assert_eq!(connect(args(Some("flag:2/kafka"), None)), ("flag:2/kafka".to_owned(), 18_000));
        assert_eq!(connect(args(None, Some(&file))), ("file:1".to_owned(), 4000));
        assert_eq!(connect(args(Some("flag:2/kafka"), Some(&file))), ("flag:2/kafka".to_owned(), 4000));
        fs::write(&file, "zookeeper.session.timeout.ms=4000").unwrap();
        assert_eq!(connect(args(Some("flag:2"), Some(&file))), ("flag:2".to_owned(), 4000));
        assert!(args(None, None).settings().unwrap().is_none());
    }

    #[test]
    fn a_file_that_cannot_be_used_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("kafka.properties");
        let absent = args(None, Some(&file)).settings().unwrap_err();
        assert!(absent.what().contains("kafka.properties"), "{absent}");
        fs::write(&file, "zookeeper.connect=a:1\nzookeeper.set.acl=perhaps").unwrap();
        let wrong = args(None, Some(&file)).settings().unwrap_err();
        assert!(wrong.what().contains("kafka.properties"), "{wrong}");
        assert!(wrong.reasons()[0].contains("zookeeper.set.acl"), "{wrong}");
    }

    #[test]
    fn large_work_gets_a_longer_session_and_keeps_a_longer_one() {
        for (configured, expected) in [(18, 60), (90, 90)] {
            let mut settings = args(Some("a:1"), None).settings().unwrap().unwrap();
            settings.client.session_timeout = Duration::from_secs(configured);
            let zookeeper = ZooKeeper::new(settings, None).unwrap().for_large_work().unwrap();
            assert_eq!(zookeeper.settings.client.session_timeout.as_secs(), expected);
        }
    }

    #[tokio::test]
    async fn a_verb_that_needs_a_zookeeper_says_which_flag_names_it() {
        let refused = args(None, None).open(Absent::Refuse, &Shell::new("test", false)).await;
        let failure = refused.err().unwrap();
        assert_eq!(failure.exit(), crate::cli::Exit::Usage);
        assert!(failure.lines().last().unwrap().contains("--zookeeper HOST:PORT"));
    }
}
