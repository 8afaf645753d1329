//! `cargo xtask zookeeper`: a real ZooKeeper in the foreground.

mod forward;

use std::fs::{self, File, TryLockError};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use store_zk::testkit::server::{ServerOptions, ZkEnsemble, ZkServer};
use tokio::net::TcpStream;

use self::forward::Forwarder;
use crate::cli::{Failure, HEAP, Interrupt, Outcome, Shell, TICK, VerbResult, in_words, unblocked};

/// How often we look whether the servers are still there.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Lines of a server's log that are shown when it has ended by itself.
const LOG_LINES: usize = 8;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Port on 127.0.0.1 to listen on; a free one is taken by default
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..), conflicts_with = "ensemble")]
    port: Option<u16>,

    /// Keep the data, and sync each write to disk; a temporary folder is used by default
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,

    /// Servers of the ensemble; an even number is no safer than the odd one below it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=9))]
    ensemble: Option<u8>,

    /// Largest request that the servers take (ZooKeeper's jute.maxbuffer)
    #[arg(long, value_name = "BYTES")]
    jute_maxbuffer: Option<u32>,

    /// Java's largest heap for each server
    #[arg(long, default_value = HEAP, value_name = "SIZE")]
    heap: String,
}

pub(crate) async fn run(args: Args, shell: &Shell) -> VerbResult {
    let interrupt = Interrupt::listen().map_err(|error| Failure::failed("can't listen for Ctrl-C").because(&error))?;
    // Two ensembles in one folder would destroy each other's data.
    let _lock = args.data_dir.as_deref().map(lock).transpose()?;
    let port = match args.port {
        Some(port) => Some(Forwarder::bind(port).await.map_err(|error| port_taken(port, &error))?),
        None => None,
    };
    let running = interrupt.unless_requested(Running::start(&args)).await?;
    let connect = match args.port {
        Some(port) => format!("127.0.0.1:{port}"),
        None => running.connect(),
    };
    announce(&args, &running, &connect, shell);
    tokio::select! {
        () = interrupt.requested() => {
            shell.note("stopping ZooKeeper");
            Ok(Outcome::printed())
        }
        failure = running.watch(shell) => {
            // Ctrl-C on a terminal reaches the servers as well, and they may be quicker.
            if interrupt.is_requested() { Ok(Outcome::printed()) } else { Err(failure) }
        }
        error = forward_to(port, &running) => Err(Failure::failed("can't accept connections any more").because(&error)),
    }
}

fn announce(args: &Args, running: &Running, connect: &str, shell: &Shell) {
    let servers = running.servers();
    for server in servers {
        shell.note(format_args!("server at {}, in {}", server.address(), server.folder().display()));
    }
    if args.data_dir.is_none() {
        shell.note("its data go when it stops; --data-dir keeps them");
    }
    shell.say(format_args!("ZooKeeper is ready: --zookeeper {connect}   (Ctrl-C stops it)"));
    let servers: Vec<_> = servers
        .iter()
        .map(|server| json!({"address": server.address(), "pid": server.pid(), "folder": server.folder()}))
        .collect();
    let ready = Outcome::done().field("connect", connect).field("servers", servers).field("data_dir", &args.data_dir);
    if let Some(fields) = ready.into_fields() {
        shell.object(true, fields);
    }
}

/// The servers, alone or as an ensemble.
enum Running {
    One(Box<ZkServer>),
    Several(ZkEnsemble),
}

impl Running {
    async fn start(args: &Args) -> Result<Self, Failure> {
        let options = ServerOptions {
            heap: args.heap.clone(),
            max_buffer: args.jute_maxbuffer,
            force_sync: args.data_dir.is_some(),
            tick: TICK,
            folder: args.data_dir.clone(),
            ..ServerOptions::default()
        };
        match args.ensemble {
            Some(count) => unblocked(ZkEnsemble::start(count.into(), options)).await.map(Self::Several),
            None => unblocked(ZkServer::start(options)).await.map(|server| Self::One(Box::new(server))),
        }
    }

    fn servers(&self) -> &[ZkServer] {
        match self {
            Self::One(server) => std::slice::from_ref(server.as_ref()),
            Self::Several(ensemble) => ensemble.servers(),
        }
    }

    fn connect(&self) -> String {
        self.servers().iter().map(ZkServer::address).collect::<Vec<_>>().join(",")
    }

    /// Looks after the servers. Returns when the last one has ended. One that is merely paused still has its port.
    async fn watch(&self, shell: &Shell) -> Failure {
        let mut gone = vec![false; self.servers().len()];
        loop {
            tokio::time::sleep(LOOK_INTERVAL).await;
            for (server, gone) in self.servers().iter().zip(&mut gone) {
                let refused = refuses(server.socket_address()).await;
                if refused && !*gone {
                    shell.note(format_args!("the server at {} has ended", server.address()));
                }
                *gone = refused;
            }
            if gone.iter().all(|gone| *gone) {
                let logs = self.servers().iter().filter_map(|server| last_lines(&server.log_tail()));
                return Failure::failed("ZooKeeper has ended by itself").whys(logs);
            }
        }
    }
}

/// The end of a log, if there is a log.
fn last_lines(log: &str) -> Option<String> {
    let lines: Vec<_> = log.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = lines.get(lines.len().saturating_sub(LOG_LINES)..)?.join("\n");
    (!last.is_empty()).then_some(last)
}

async fn refuses(address: SocketAddr) -> bool {
    TcpStream::connect(address).await.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

/// Passes connections on to the first server; waits for ever where there is nothing to pass on.
async fn forward_to(port: Option<Forwarder>, running: &Running) -> io::Error {
    match (port, running.servers().first()) {
        (Some(forwarder), Some(server)) => forwarder.run(server.socket_address()).await,
        _ => std::future::pending().await,
    }
}

fn lock(folder: &Path) -> Result<File, Failure> {
    let file = folder.join("lock");
    let opened = fs::create_dir_all(folder).and_then(|()| File::create(&file));
    let opened =
        opened.map_err(|error| Failure::failed(format!("{} can't be used", folder.display())).because(&error))?;
    match opened.try_lock() {
        Ok(()) => Ok(opened),
        Err(TryLockError::WouldBlock) => Err(Failure::blocked(format!("{} is in use", folder.display()))
            .why("another ZooKeeper runs on it")
            .next("stop that one, or name another --data-dir")),
        Err(TryLockError::Error(error)) => {
            Err(Failure::failed(format!("{} can't be locked", file.display())).because(&error))
        }
    }
}

fn port_taken(port: u16, error: &io::Error) -> Failure {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    Failure::failed(format!("can't listen on {address}")).whys(in_words(error)).next("name another --port")
}
