//! A TCP proxy in front of one real server that breaks things on demand.
//!
//! It reads ZooKeeper's frames (a 32-bit length, then for a request: xid and type; for a reply: xid, zxid, error code),
//! so that it can hit exactly one request. Faults are switches and counters; nothing is random.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

/// A first "length" above this is no frame: a four letter command, which is passed through unread.
const FRAME_SIZE_MAX: u32 = 64 << 20;

/// Replies of one connection that wait for their delay.
const REPLIES_MAX: usize = 100_000;

/// ZooKeeper's request types that matter here (`ZooDefs.OpCode`).
const PING: i32 = 11;
const MULTI: i32 = 14;

/// Which requests a fault counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requests {
    /// All but heartbeats and what belongs to connecting (authentication, goodbye).
    Any,
    /// Multis.
    Multi,
}

/// What goes wrong with a request. Either way what the client sent before it is answered, nothing that it sent behind it
/// reaches the server, and the connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyFault {
    /// The server never gets it.
    DropRequest,
    /// The server carries it out; its reply is lost.
    LoseReply,
}

/// Shared by all connections.
struct Switches {
    delay: Duration,
    refusing: bool,
    any_seen: u64,
    multis_seen: u64,
    by_any: BTreeMap<u64, ProxyFault>,
    by_multi: BTreeMap<u64, ProxyFault>,
}

impl Switches {
    /// Counts a request of this type and says what goes wrong with it.
    fn next(&mut self, kind: i32) -> Option<ProxyFault> {
        if !is_counted(kind) {
            return None;
        }
        let by_any = self.by_any.remove(&self.any_seen);
        self.any_seen += 1;
        let by_multi = (kind == MULTI).then(|| self.by_multi.remove(&self.multis_seen)).flatten();
        self.multis_seen += u64::from(kind == MULTI);
        by_any.or(by_multi)
    }
}

/// Ping, auth, sasl, and what is negative (creating and closing sessions) are no requests of the user's.
fn is_counted(kind: i32) -> bool {
    kind > 0 && !matches!(kind, PING | 100 | 102)
}

struct Shared {
    upstream: SocketAddr,
    switches: Mutex<Switches>,
    /// Raised to cut all connections.
    cuts: watch::Sender<u64>,
    frozen: watch::Sender<bool>,
}

impl Shared {
    fn switches(&self) -> MutexGuard<'_, Switches> {
        self.switches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The proxy. Dropping it cuts everything.
pub struct FaultProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

impl FaultProxy {
    /// Listens on a free loopback port in front of the server at `upstream`.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(upstream: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let switches = Switches {
            delay: Duration::ZERO,
            refusing: false,
            any_seen: 0,
            multis_seen: 0,
            by_any: BTreeMap::new(),
            by_multi: BTreeMap::new(),
        };
        let shared = Arc::new(Shared {
            upstream,
            switches: Mutex::new(switches),
            cuts: watch::Sender::new(0),
            frozen: watch::Sender::new(false),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, accepting })
    }

    /// `127.0.0.1:PORT`, a connect string.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Holds each reply back this long; order stays.
    pub fn set_delay(&self, delay: Duration) {
        self.shared.switches().delay = delay;
    }

    /// Whether new connections are closed as soon as they come. Present ones stay.
    pub fn set_refusing(&self, refusing: bool) {
        self.shared.switches().refusing = refusing;
    }

    /// Whether nothing is passed on in either direction while connections stay open.
    pub fn set_frozen(&self, frozen: bool) {
        self.shared.frozen.send_replace(frozen);
    }

    /// Cuts all present connections.
    pub fn cut_all(&self) {
        self.shared.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Lets `skip` more of `requests` pass, over all connections, and then does `fault` to the next one.
    pub fn fail(&self, requests: Requests, skip: u64, fault: ProxyFault) {
        let mut switches = self.shared.switches();
        match requests {
            Requests::Any => {
                let number = switches.any_seen + skip;
                switches.by_any.insert(number, fault);
            }
            Requests::Multi => {
                let number = switches.multis_seen + skip;
                switches.by_multi.insert(number, fault);
            }
        }
    }

    /// Requests seen so far, those that a fault hit included.
    pub fn seen(&self, requests: Requests) -> u64 {
        let switches = self.shared.switches();
        match requests {
            Requests::Any => switches.any_seen,
            Requests::Multi => switches.multis_seen,
        }
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut_all();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        if shared.switches().refusing {
            continue;
        }
        let shared = Arc::clone(&shared);
        // Subscribed before anything is awaited: a cut after the accept reaches this connection.
        let mut cuts = shared.cuts.subscribe();
        tokio::spawn(async move {
            tokio::select! {
                // The end of a connection, however it comes, is no news.
                _ = serve(client, &shared) => {}
                _ = cuts.changed() => {}
            }
        });
    }
}

/// Where one connection is, and where a fault ends it.
#[derive(Default)]
struct Progress(Mutex<ProgressState>);

#[derive(Default)]
struct ProgressState {
    /// xids that the server has yet to answer, in order.
    open: VecDeque<i32>,
    /// The reply with this xid is lost, and the connection with it.
    lost: Option<i32>,
    /// The connection ends once nothing is open.
    draining: bool,
}

impl Progress {
    fn state(&self) -> MutexGuard<'_, ProgressState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sent(&self, xid: Option<i32>) {
        self.state().open.extend(xid);
    }

    fn end_before(&self, xid: Option<i32>) {
        self.state().lost = xid;
    }

    /// Returns whether that is so already.
    fn end_when_answered(&self) -> bool {
        let mut state = self.state();
        state.draining = true;
        state.open.is_empty()
    }

    fn is_lost(&self, xid: Option<i32>) -> bool {
        xid.is_some() && self.state().lost == xid
    }

    /// Returns whether the connection ends here.
    fn answered(&self, xid: Option<i32>) -> bool {
        let mut state = self.state();
        if let Some(position) = xid.and_then(|xid| state.open.iter().position(|open| *open == xid)) {
            state.open.remove(position);
        }
        state.draining && state.open.is_empty()
    }
}

async fn serve(client: TcpStream, shared: &Shared) -> io::Result<()> {
    let server = TcpStream::connect(shared.upstream).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let progress = Progress::default();
    let Some(first) = read_frame(&mut from_client).await? else {
        // A four letter command, or a client that went away.
        return Ok(());
    };
    let connect = match first {
        Frame::Whole(connect) => connect,
        Frame::Raw(start) => {
            to_server.write_all(&start).await?;
            return tokio::select! {
                copied = tokio::io::copy(&mut from_server, &mut to_client) => copied.map(drop),
                copied = tokio::io::copy(&mut from_client, &mut to_server) => copied.map(drop),
            };
        }
    };
    to_server.write_all(&connect).await?;
    let (queue, queued) = mpsc::channel(REPLIES_MAX);
    tokio::select! {
        end = requests(&mut from_client, &mut to_server, shared, &progress) => end,
        end = take_replies(&mut from_server, queue, shared, &progress) => end,
        end = give_replies(&mut to_client, queued, shared) => end,
    }
}

enum Frame {
    /// With its length.
    Whole(Vec<u8>),
    /// Four bytes that are no length.
    Raw([u8; 4]),
}

/// `None` at the end of the stream.
async fn read_frame(stream: &mut OwnedReadHalf) -> io::Result<Option<Frame>> {
    let mut length = [0; 4];
    if let Err(error) = stream.read_exact(&mut length).await {
        return if error.kind() == io::ErrorKind::UnexpectedEof { Ok(None) } else { Err(error) };
    }
    let size = u32::from_be_bytes(length);
    if size > FRAME_SIZE_MAX {
        return Ok(Some(Frame::Raw(length)));
    }
    let mut frame = length.to_vec();
    // Grows with what comes, not with what a length promises.
    let got = stream.take(u64::from(size)).read_to_end(&mut frame).await?;
    Ok((got == size as usize).then_some(Frame::Whole(frame)))
}

/// The big-endian number at `offset`, behind the frame's length.
fn number_at(frame: &[u8], offset: usize) -> Option<i32> {
    let bytes = frame.get(4 + offset..8 + offset)?;
    Some(i32::from_be_bytes(bytes.try_into().ok()?))
}

async fn thawed(shared: &Shared) {
    // The sender is in `shared`; it can't be gone.
    _ = shared.frozen.subscribe().wait_for(|frozen| !frozen).await;
}

async fn requests(
    from_client: &mut OwnedReadHalf,
    to_server: &mut OwnedWriteHalf,
    shared: &Shared,
    progress: &Progress,
) -> io::Result<()> {
    while let Some(Frame::Whole(frame)) = read_frame(from_client).await? {
        thawed(shared).await;
        let fault = match number_at(&frame, 4) {
            Some(kind) => shared.switches().next(kind),
            None => None,
        };
        match fault {
            None => {
                progress.sent(number_at(&frame, 0));
                to_server.write_all(&frame).await?;
            }
            Some(fault) => {
                if fault == ProxyFault::LoseReply {
                    progress.end_before(number_at(&frame, 0));
                    to_server.write_all(&frame).await?;
                } else if progress.end_when_answered() {
                    return Ok(());
                }
                // The replies' direction ends the connection; nothing more goes to the server.
                std::future::pending::<()>().await;
            }
        }
    }
    Ok(())
}

/// Reads replies at the server's pace. Ends the queue where a fault says.
async fn take_replies(
    from_server: &mut OwnedReadHalf,
    queue: mpsc::Sender<(Instant, Vec<u8>)>,
    shared: &Shared,
    progress: &Progress,
) -> io::Result<()> {
    let mut is_first = true;
    while let Some(Frame::Whole(frame)) = read_frame(from_server).await? {
        // The first frame answers the connect request and has no xid.
        let xid = if std::mem::take(&mut is_first) { None } else { number_at(&frame, 0) };
        if progress.is_lost(xid) {
            break;
        }
        let due = Instant::now() + shared.switches().delay;
        if queue.send((due, frame)).await.is_err() || progress.answered(xid) {
            break;
        }
    }
    // What is queued is still due; the other side of the queue ends the connection behind it.
    drop(queue);
    std::future::pending().await
}

/// Passes replies on when they are due.
async fn give_replies(
    to_client: &mut OwnedWriteHalf,
    mut queued: mpsc::Receiver<(Instant, Vec<u8>)>,
    shared: &Shared,
) -> io::Result<()> {
    while let Some((due, frame)) = queued.recv().await {
        sleep_until(due).await;
        thawed(shared).await;
        to_client.write_all(&frame).await?;
    }
    to_client.shutdown().await
}
