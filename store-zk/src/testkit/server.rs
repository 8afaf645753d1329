//! Real ZooKeeper servers on free loopback ports.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::install::{ZooKeeperProgram, find_zookeeper};
use super::process::Process;
use crate::client::config::Credentials;

const MAIN_CLASS: &str = "org.apache.zookeeper.server.quorum.QuorumPeerMain";

/// How long a server may take to serve.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// The same for a member of an ensemble: it may take more than one election.
const ENSEMBLE_START_TIMEOUT: Duration = Duration::from_secs(60);

/// Pause between two looks at a server that starts.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// How often a start is repeated with other ports when somebody else took one of ours in between.
const PORT_ATTEMPTS_MAX: usize = 5;

/// Ports are taken from here on, so many. Linux gives outgoing connections theirs from 32768 on.
const PORT_MIN: u16 = 12_000;
const PORT_COUNT: u16 = 20_000;

/// Ports that are tried for a free one.
const PORT_PROBES_MAX: usize = 1_000;

/// Lines of the log that an error shows.
const LOG_TAIL_LINES: usize = 30;

/// Longest answer to a four letter command that is read.
const FOUR_LETTER_ANSWER_MAX: u64 = 1 << 20;

/// Why a server isn't there: the reason, and the end of its log.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct ServerError(String);

impl ServerError {
    fn io(what: &str, error: &io::Error) -> Self {
        Self(format!("{what}: {error}"))
    }
}

/// The TLS listener of a server. All files are PEM.
#[derive(Debug, Clone)]
pub struct ServerTls {
    /// The server's private key and certificate chain.
    pub keystore: PathBuf,
    /// The authorities whose clients it trusts.
    pub truststore: PathBuf,
    /// Whether clients must show a certificate.
    pub client_auth: bool,
}

/// How a server is started. The default is quick and small: 500 ms ticks (session timeouts from 1 to 10 s), no fsync.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// Java's largest heap, as `256m`.
    pub heap: String,
    /// `jute.maxbuffer` in bytes; the server's own default is 1 048 575.
    pub max_buffer: Option<u32>,
    /// Whether writes are synced to disk. Off, they still survive a kill of the process, not of the machine.
    pub force_sync: bool,
    /// `tickTime`. A session timeout is clamped to 2 to 20 ticks.
    pub tick: Duration,
    /// Also listen with TLS, on a port of its own.
    pub tls: Option<ServerTls>,
    /// Users for SASL DIGEST-MD5. Clients may still connect without, unless `extra` says otherwise.
    pub sasl: Vec<Credentials>,
    /// More lines of `zoo.cfg`.
    pub extra: Vec<String>,
    /// Keep data and logs in this folder instead of a temporary one.
    pub folder: Option<PathBuf>,
    /// Start quickly, and run at half speed: Java's first compiler only. Measurements want `false` and a larger heap.
    pub quick_start: bool,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            heap: "256m".to_owned(),
            max_buffer: None,
            force_sync: false,
            tick: Duration::from_millis(500),
            tls: None,
            sasl: Vec::new(),
            extra: Vec::new(),
            folder: None,
            quick_start: true,
        }
    }
}

/// Ports of one server.
#[derive(Debug, Clone, Copy)]
struct Ports {
    client: u16,
    secure: u16,
    peer: u16,
    election: u16,
}

/// Where a server keeps its things.
enum Folder {
    Temporary(TempDir),
    Given(PathBuf),
}

impl Folder {
    fn path(&self) -> &Path {
        match self {
            Self::Temporary(folder) => folder.path(),
            Self::Given(folder) => folder,
        }
    }
}

/// A real ZooKeeper server. Dropping it kills it; a temporary folder goes with it.
pub struct ZkServer {
    /// Dropped before its folder is removed.
    process: Option<Process>,
    options: ServerOptions,
    ports: Ports,
    folder: Folder,
    /// Every member's ports, in an ensemble.
    members: Vec<Ports>,
    /// From 1, in an ensemble.
    id: usize,
}

/// The program is looked for once per process, as it may have to be fetched.
fn program() -> Result<&'static ZooKeeperProgram, ServerError> {
    static PROGRAM: OnceLock<Result<ZooKeeperProgram, String>> = OnceLock::new();
    let found = PROGRAM.get_or_init(|| find_zookeeper(&|message| tracing::warn!("{message}")));
    found.as_ref().map_err(|reason| ServerError(reason.clone()))
}

/// Finds it without keeping the runtime waiting.
async fn find_program() -> Result<(), ServerError> {
    let found = tokio::task::spawn_blocking(|| program().map(drop)).await;
    found.unwrap_or_else(|_| Err(ServerError("the search for a ZooKeeper ended early".to_owned())))
}

/// Four ports that are free now.
fn free_ports() -> io::Result<Ports> {
    // All are held until the last is found, so that they differ.
    let [client, secure, peer, election] = [take_port()?, take_port()?, take_port()?, take_port()?];
    Ok(Ports { client: client.0, secure: secure.0, peer: peer.0, election: election.0 })
}

/// A loopback port that is free now, from below the range that outgoing connections get theirs from: a server that is
/// killed must find its port free when it comes back.
///
/// # Errors
/// Too many ports are in use.
pub fn free_port() -> io::Result<u16> {
    take_port().map(|(port, _)| port)
}

fn take_port() -> io::Result<(u16, TcpListener)> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    for _ in 0..PORT_PROBES_MAX {
        // Processes begin at different places; within one, no port comes twice soon.
        let offset = std::process::id().wrapping_mul(61).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = PORT_MIN + u16::try_from(offset % u32::from(PORT_COUNT)).unwrap_or_default();
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            return Ok((port, listener));
        }
    }
    Err(io::Error::new(io::ErrorKind::AddrInUse, "too many ports are in use"))
}

impl ZkServer {
    /// Starts a standalone server and waits until it serves.
    ///
    /// # Errors
    /// No ZooKeeper to start, or it didn't serve within 30 s (60 s in an ensemble): the end of its log is in the message.
    pub async fn start(options: ServerOptions) -> Result<Self, ServerError> {
        find_program().await?;
        for _ in 1..PORT_ATTEMPTS_MAX {
            let mut server = Self::new(options.clone())?;
            match server.run().await {
                Err(_) if server.lost_a_port() => {}
                result => return result.map(|()| server),
            }
        }
        let mut server = Self::new(options)?;
        server.run().await.map(|()| server)
    }

    fn new(options: ServerOptions) -> Result<Self, ServerError> {
        let folder = match &options.folder {
            Some(folder) => Folder::Given(folder.clone()),
            None => Folder::Temporary(
                TempDir::with_prefix("zookeeper-").map_err(|error| ServerError::io("no temporary folder", &error))?,
            ),
        };
        let ports = free_ports().map_err(|error| ServerError::io("no free port", &error))?;
        Ok(Self { process: None, options, ports, folder, members: Vec::new(), id: 0 })
    }

    /// `127.0.0.1:PORT`, a connect string.
    pub fn address(&self) -> String {
        self.socket_address().to_string()
    }

    /// The client port's address.
    pub fn socket_address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports.client).into()
    }

    /// `localhost:PORT` of the TLS listener; there is one only if the options say so.
    pub fn secure_address(&self) -> String {
        format!("localhost:{}", self.ports.secure)
    }

    /// Folder of `zoo.cfg`, the data and the log.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The Java process's id while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    /// Kills the server (SIGKILL) and waits until it is gone.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Starts the server again on the same data and ports, killing it first if it runs, and waits until it serves.
    ///
    /// # Errors
    /// As for [`ZkServer::start`].
    pub async fn restart(&mut self) -> Result<(), ServerError> {
        self.kill();
        self.run().await
    }

    /// Starts the server again without waiting for anything.
    fn launch(&mut self) -> Result<(), ServerError> {
        let program = program()?;
        let folder = self.folder.path().to_path_buf();
        self.write_files(&folder).map_err(|error| ServerError::io(&folder.display().to_string(), &error))?;
        let log = fs::File::create(self.log_file())
            .and_then(|log| Ok((log.try_clone()?, log)))
            .map_err(|error| ServerError::io(&self.log_file().display().to_string(), &error))?;
        let arguments = self.arguments(program, &folder);
        let process = Process::spawn(&program.java, &arguments, |command| {
            command.current_dir(&folder).stdin(Stdio::null()).stdout(log.0).stderr(log.1);
        });
        let process = process.map_err(|error| ServerError::io("ZooKeeper can't be started", &error))?;
        self.process = Some(process);
        Ok(())
    }

    async fn run(&mut self) -> Result<(), ServerError> {
        self.launch()?;
        self.wait_until_serving().await
    }

    /// Waits until the server answers that it serves; "imok" would come before there is a quorum.
    async fn wait_until_serving(&self) -> Result<(), ServerError> {
        let limit = if self.members.is_empty() { START_TIMEOUT } else { ENSEMBLE_START_TIMEOUT };
        let deadline = Instant::now() + limit;
        loop {
            if self.mode().await.is_some() {
                return Ok(());
            }
            if let Some(status) = self.process.as_ref().and_then(Process::ended) {
                return Err(ServerError(format!("ZooKeeper ended at once ({status}):\n{}", self.log_tail())));
            }
            if Instant::now() >= deadline {
                let seconds = limit.as_secs();
                return Err(ServerError(format!("ZooKeeper didn't serve within {seconds} s:\n{}", self.log_tail())));
            }
            sleep(POLL_INTERVAL).await;
        }
    }

    /// `standalone`, `leader` or `follower`; `None` while it doesn't serve.
    pub async fn mode(&self) -> Option<String> {
        let answer = self.four_letter("srvr").await.ok()?;
        let mode = answer.lines().find_map(|line| line.strip_prefix("Mode: "))?;
        Some(mode.trim().to_owned())
    }

    /// Stops the process where it is (SIGSTOP): connections stay, nothing is answered.
    ///
    /// # Errors
    /// When it doesn't run.
    pub fn pause(&self) -> io::Result<()> {
        self.signal("STOP")
    }

    /// Lets a paused process go on (SIGCONT).
    ///
    /// # Errors
    /// When it doesn't run.
    pub fn unpause(&self) -> io::Result<()> {
        self.signal("CONT")
    }

    fn signal(&self, name: &str) -> io::Result<()> {
        match &self.process {
            Some(process) => process.signal(name),
            None => Err(io::Error::new(io::ErrorKind::NotFound, "the server doesn't run")),
        }
    }

    /// The answer to one of ZooKeeper's four letter commands, as `mntr`.
    ///
    /// # Errors
    /// No connection, or no whole answer within 2 s.
    pub async fn four_letter(&self, command: &str) -> io::Result<String> {
        let ask = async {
            let mut stream = TcpStream::connect(self.socket_address()).await?;
            stream.write_all(command.as_bytes()).await?;
            let mut answer = String::new();
            stream.take(FOUR_LETTER_ANSWER_MAX).read_to_string(&mut answer).await?;
            Ok(answer)
        };
        timeout(Duration::from_secs(2), ask).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("zookeeper.log")
    }

    fn log(&self) -> String {
        fs::read(self.log_file()).map(|log| String::from_utf8_lossy(&log).into_owned()).unwrap_or_default()
    }

    /// The end of the log of the present or last run.
    pub fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n")
    }

    fn lost_a_port(&self) -> bool {
        self.log().contains("Address already in use")
    }

    fn arguments(&self, program: &ZooKeeperProgram, folder: &Path) -> Vec<String> {
        let mut arguments = vec![
            format!("-Xmx{}", self.options.heap),
            format!("-Dzookeeper.forceSync={}", if self.options.force_sync { "yes" } else { "no" }),
        ];
        if self.options.quick_start {
            arguments.extend(["-XX:+UseSerialGC".to_owned(), "-XX:TieredStopAtLevel=1".to_owned()]);
        }
        if !self.members.is_empty() {
            // A notification that is lost during an election is repeated after a pause that doubles up to this; a minute
            // by default.
            arguments.push("-Dzookeeper.fastleader.maxNotificationInterval=500".to_owned());
        }
        if let Some(max_buffer) = self.options.max_buffer {
            arguments.push(format!("-Djute.maxbuffer={max_buffer}"));
        }
        if !self.options.sasl.is_empty() {
            let jaas = folder.join("jaas.conf");
            arguments.push(format!("-Djava.security.auth.login.config={}", jaas.display()));
        }
        let config = folder.join("zoo.cfg").display().to_string();
        arguments.extend(["-cp".to_owned(), program.class_path.clone(), MAIN_CLASS.to_owned(), config]);
        arguments
    }

    fn write_files(&self, folder: &Path) -> io::Result<()> {
        let data = folder.join("data");
        fs::create_dir_all(&data)?;
        fs::write(folder.join("zoo.cfg"), self.zoo_cfg(&data))?;
        if self.id > 0 {
            fs::write(data.join("myid"), self.id.to_string())?;
        }
        if !self.options.sasl.is_empty() {
            fs::write(folder.join("jaas.conf"), self.jaas())?;
        }
        Ok(())
    }

    fn zoo_cfg(&self, data: &Path) -> String {
        let mut lines = vec![
            format!("tickTime={}", self.options.tick.as_millis()),
            format!("dataDir={}", data.display()),
            "admin.enableServer=false".to_owned(),
            "maxClientCnxns=0".to_owned(),
            "4lw.commands.whitelist=srvr,ruok,mntr,cons,dump,wchp,isro".to_owned(),
        ];
        if self.members.is_empty() {
            lines.push(format!("clientPort={}", self.ports.client));
            lines.push("clientPortAddress=127.0.0.1".to_owned());
        } else {
            // A new leader may give up for a reason that repeating mends (ZOOKEEPER-4685, seen
            // with 3.8.0 on a busy machine): short limits make it try again sooner.
            lines.extend(["initLimit=8", "syncLimit=8", "standaloneEnabled=false"].map(str::to_owned));
            for (i, member) in self.members.iter().enumerate() {
                let Ports { client, peer, election, .. } = member;
                lines.push(format!("server.{}=127.0.0.1:{peer}:{election};127.0.0.1:{client}", i + 1));
            }
        }
        if let Some(tls) = &self.options.tls {
            lines.push(format!("secureClientPort={}", self.ports.secure));
            lines.push("secureClientPortAddress=127.0.0.1".to_owned());
            lines.push("serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory".to_owned());
            for (store, file) in [("keyStore", &tls.keystore), ("trustStore", &tls.truststore)] {
                lines.push(format!("ssl.{store}.location={}", file.display()));
                lines.push(format!("ssl.{store}.type=PEM"));
            }
            lines.push(format!("ssl.clientAuth={}", if tls.client_auth { "need" } else { "none" }));
        }
        if !self.options.sasl.is_empty() {
            lines.push("authProvider.sasl=org.apache.zookeeper.server.auth.SASLAuthenticationProvider".to_owned());
        }
        lines.extend(self.options.extra.iter().cloned());
        lines.push(String::new());
        lines.join("\n")
    }

    /// The users in the file that Java's login modules read.
    fn jaas(&self) -> String {
        let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
        let users = self
            .options
            .sasl
            .iter()
            .map(|user| format!("    user_{}=\"{}\"", user.user, quoted(user.password.expose())));
        let users = users.collect::<Vec<_>>().join("\n");
        format!("Server {{\n  org.apache.zookeeper.server.auth.DigestLoginModule required\n{users};\n}};\n")
    }
}

/// Several real servers that form one ensemble. Dropping it kills them all.
pub struct ZkEnsemble {
    servers: Vec<ZkServer>,
}

impl ZkEnsemble {
    /// Starts `count` servers and waits until all of them serve.
    ///
    /// # Errors
    /// As for [`ZkServer::start`].
    pub async fn start(count: usize, options: ServerOptions) -> Result<Self, ServerError> {
        find_program().await?;
        for _ in 1..PORT_ATTEMPTS_MAX {
            let mut ensemble = Self::new(count, &options)?;
            match ensemble.run().await {
                Err(_) if ensemble.servers.iter().any(ZkServer::lost_a_port) => {}
                result => return result.map(|()| ensemble),
            }
        }
        let mut ensemble = Self::new(count, &options)?;
        ensemble.run().await.map(|()| ensemble)
    }

    fn new(count: usize, options: &ServerOptions) -> Result<Self, ServerError> {
        let own_folder = |i: usize| ServerOptions {
            folder: options.folder.as_ref().map(|folder| folder.join(format!("server-{i}"))),
            ..options.clone()
        };
        let mut servers = (1..=count).map(|i| ZkServer::new(own_folder(i))).collect::<Result<Vec<_>, _>>()?;
        let members: Vec<_> = servers.iter().map(|server| server.ports).collect();
        for (i, server) in servers.iter_mut().enumerate() {
            server.members.clone_from(&members);
            server.id = i + 1;
        }
        Ok(Self { servers })
    }

    async fn run(&mut self) -> Result<(), ServerError> {
        for server in &mut self.servers {
            server.launch()?;
        }
        for server in &self.servers {
            server.wait_until_serving().await?;
        }
        Ok(())
    }

    /// All servers' addresses: a connect string.
    pub fn address(&self) -> String {
        self.servers.iter().map(ZkServer::address).collect::<Vec<_>>().join(",")
    }

    /// The servers, in the order of their ids.
    pub fn servers(&self) -> &[ZkServer] {
        &self.servers
    }

    /// The servers, to kill, pause and restart.
    pub fn servers_mut(&mut self) -> &mut [ZkServer] {
        &mut self.servers
    }

    /// Index of the server that leads, if one does.
    pub async fn leader(&self) -> Option<usize> {
        for (i, server) in self.servers.iter().enumerate() {
            if server.mode().await.as_deref() == Some("leader") {
                return Some(i);
            }
        }
        None
    }

    /// Starts a server again; waits until it serves, which needs a majority.
    ///
    /// # Errors
    /// As for [`ZkServer::start`], and when there is no server `index`.
    pub async fn restart(&mut self, index: usize) -> Result<(), ServerError> {
        match self.servers.get_mut(index) {
            Some(server) => server.restart().await,
            None => Err(ServerError(format!("the ensemble has no server {index}"))),
        }
    }
}
