//! Accepts connections, so many at most.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::connection::{Caller, Service, converse};

/// What connections may take. Kafka's settings have the same names; its bounds are wider, since its brokers have clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenerLimits {
    /// Connections at a time (inclusive): `max.connections`. Further ones are closed at once.
    pub connections_max: usize,
    /// Of these from one address (inclusive): `max.connections.per.ip`.
    pub connections_per_ip_max: usize,
    /// A connection on which nothing was asked for so long is closed: `connections.max.idle.ms`.
    pub idle_max: Duration,
}

impl Default for ListenerLimits {
    /// 1,000 connections, 200 of one address, 10 minutes.
    fn default() -> Self {
        Self { connections_max: 1_000, connections_per_ip_max: 200, idle_max: Duration::from_secs(600) }
    }
}

/// After a failure to accept, for instance because the process has too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A listener that is open. Dropping it closes it and every connection.
#[derive(Debug)]
pub struct ListenerPort {
    /// Where it listens.
    pub address: SocketAddr,
    _accepting: JoinSet<()>,
}

/// Listens at `address` (`host:port`; port 0 for any that is free) and has `service` answer. Must be called within a tokio
/// runtime.
///
/// # Errors
/// The address can't be resolved, or is taken.
pub async fn listen(address: &str, service: Arc<dyn Service>, limits: ListenerLimits) -> io::Result<ListenerPort> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let mut accepting = JoinSet::new();
    accepting.spawn(accept(listener, service, limits));
    Ok(ListenerPort { address, _accepting: accepting })
}

async fn accept(listener: TcpListener, service: Arc<dyn Service>, limits: ListenerLimits) {
    let open = Arc::new(Open::default());
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "no connection can be accepted now");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        match Place::take(&open, address.ip(), &limits) {
            Ok(place) => {
                connections.spawn(serve(stream, address, Arc::clone(&service), limits.idle_max, place));
            }
            Err(full) => tracing::warn!(%address, "a connection is refused: {full}"),
        }
    }
}

async fn serve(stream: TcpStream, address: SocketAddr, service: Arc<dyn Service>, idle_max: Duration, _place: Place) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%address, %error, "a connection ended");
        return;
    }
    let caller = Caller { address };
    if let Err(reason) = converse(stream, &caller, &service, idle_max).await {
        tracing::info!(%address, reason, "a connection is closed");
    }
}

/// How many connections there are from where.
#[derive(Debug, Default)]
struct Open(Mutex<HashMap<IpAddr, usize>>);

/// The place of one connection, which it leaves when it ends.
struct Place {
    open: Arc<Open>,
    from: IpAddr,
}

impl Place {
    fn take(open: &Arc<Open>, from: IpAddr, limits: &ListenerLimits) -> Result<Self, String> {
        let mut by_address = open.0.lock().unwrap_or_else(PoisonError::into_inner);
        if by_address.values().sum::<usize>() >= limits.connections_max {
            return Err(format!("there are {} already", limits.connections_max));
        }
        let here = by_address.entry(from).or_default();
        if *here >= limits.connections_per_ip_max {
            return Err(format!("there are {} from this address already", limits.connections_per_ip_max));
        }
        *here += 1;
        Ok(Self { open: Arc::clone(open), from })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut by_address = self.open.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(here) = by_address.get_mut(&self.from) {
            *here -= 1;
            if *here == 0 {
                by_address.remove(&self.from);
            }
        }
    }
}
