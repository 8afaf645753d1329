//! Why is there no session? The client underneath says "timeout"; an operator needs to know which server does what.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use crate::client::config::{ServerAddress, ZkClientConfig};

/// How long each server is probed, at each step.
const PROBE_TIMEOUT: Duration = Duration::from_millis(500);

/// More servers than this are not probed, so that an error stays bounded in time and length.
const PROBES_MAX: usize = 5;

/// A line per server: refused, silent, not serving, or serving all the same. Blocks for at most a few seconds.
pub(super) fn what_servers_say(config: &ZkClientConfig) -> String {
    let servers = config.connect.servers().iter().take(PROBES_MAX);
    let findings: Vec<_> = servers.map(|server| format!("{server} {}", probe(server, config.tls.is_some()))).collect();
    findings.join("; ")
}

fn probe(server: &ServerAddress, tls: bool) -> String {
    let addresses: Vec<SocketAddr> = match (server.host.as_str(), server.port).to_socket_addrs() {
        Ok(addresses) => addresses.collect(),
        Err(error) => return format!("has no address ({error})"),
    };
    let mut refusal = "has no address".to_owned();
    for address in addresses {
        match TcpStream::connect_timeout(&address, PROBE_TIMEOUT) {
            Ok(stream) if tls => return after_tls(stream),
            Ok(stream) => return after_connect(stream),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                refusal = "refuses connections (is ZooKeeper running there?)".to_owned();
            }
            Err(error) => refusal = format!("is not reachable ({error})"),
        }
    }
    refusal
}

fn after_tls(_stream: TcpStream) -> String {
    "accepts connections but gave no session (does it speak TLS on this port, and does its certificate name this host \
     and come from the truststore's authority?)"
        .to_owned()
}

/// Asks with the four letter command that every server answers by default.
fn after_connect(mut stream: TcpStream) -> String {
    let mut answer = [0; 1024];
    let asked = stream
        .set_read_timeout(Some(PROBE_TIMEOUT))
        .and_then(|()| stream.set_write_timeout(Some(PROBE_TIMEOUT)))
        .and_then(|()| stream.write_all(b"srvr"))
        .and_then(|()| stream.read(&mut answer));
    let answer = match asked {
        Ok(length) => String::from_utf8_lossy(answer.get(..length).unwrap_or_default()).into_owned(),
        Err(_) => String::new(),
    };
    if answer.contains("not currently serving requests") {
        "is not serving requests (no quorum?)".to_owned()
    } else if answer.contains("Zookeeper version") {
        "is serving but gave no session in time (overloaded, or does it demand authentication?)".to_owned()
    } else {
        "accepts connections but gave no session (is it ZooKeeper, and does the port want TLS?)".to_owned()
    }
}
