//! `HOST:PORT[,HOST:PORT][/chroot]`.

use std::fmt;
use std::str::FromStr;

use super::ConfigError;

/// ZooKeeper's port when the connect string names none.
const DEFAULT_PORT: u16 = 2181;

/// One server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServerAddress {
    /// Name or address, an IPv6 address without its brackets.
    pub host: String,
    /// Client port, never 0.
    pub port: u16,
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// The servers of one ensemble and the node below which everything is read and written. Kafka's `zookeeper.connect`.
///
/// The port defaults to 2181, IPv6 addresses stand in brackets, and the chroot follows the last server only.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ConnectString {
    servers: Vec<ServerAddress>,
    chroot: String,
}

impl ConnectString {
    /// The servers, at least one.
    pub fn servers(&self) -> &[ServerAddress] {
        &self.servers
    }

    /// The chroot without a slash at its end; empty if there is none.
    pub fn chroot(&self) -> &str {
        &self.chroot
    }

    /// The same servers with another chroot.
    ///
    /// # Errors
    /// When `chroot` isn't an absolute path, or `/` or empty for none.
    pub fn with_chroot(&self, chroot: &str) -> Result<Self, ConfigError> {
        Ok(Self { servers: self.servers.clone(), chroot: parse_chroot(chroot)? })
    }
}

impl FromStr for ConnectString {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let text = text.trim();
        let (servers, chroot) = match text.find('/') {
            // A scheme, as in "tcp://host": its first slash would be taken for a chroot.
            Some(slash) if text[..slash].ends_with(':') => {
                return Err(refused(text, "servers are HOST:PORT, without a scheme"));
            }
            Some(slash) => (&text[..slash], &text[slash..]),
            None => (text, ""),
        };
        let servers = servers.split(',').map(|server| parse_server(text, server.trim())).collect::<Result<_, _>>()?;
        Ok(Self { servers, chroot: parse_chroot(chroot)? })
    }
}

impl fmt::Display for ConnectString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, server) in self.servers.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            write!(f, "{server}")?;
        }
        f.write_str(&self.chroot)
    }
}

fn refused(text: &str, reason: &str) -> ConfigError {
    ConfigError::new(format!("ZooKeeper connect string \"{text}\": {reason}; expected HOST:PORT[,HOST:PORT][/chroot]"))
}

fn parse_server(text: &str, server: &str) -> Result<ServerAddress, ConfigError> {
    let (host, port) = match server.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((host, "")) => (host, None),
            Some((host, port)) => match port.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None => return Err(refused(text, "only a port may follow \"]\"")),
            },
            None => return Err(refused(text, "an IPv6 address has no closing \"]\"")),
        },
        None => match server.split_once(':') {
            Some((_, port)) if port.contains(':') => {
                return Err(refused(text, "an IPv6 address must stand in brackets"));
            }
            Some((host, port)) => (host, Some(port)),
            None => (server, None),
        },
    };
    if host.is_empty() {
        return Err(refused(text, "a server has no name"));
    }
    let port = match port {
        None => DEFAULT_PORT,
        Some(port) => match port.parse() {
            Ok(0) | Err(_) => return Err(refused(text, &format!("\"{port}\" is no port (1 to 65535)"))),
            Ok(port) => port,
        },
    };
    Ok(ServerAddress { host: host.to_owned(), port })
}

/// ZooKeeper's rules for paths (`PathUtils.validatePath`), as far as a chroot that somebody types can break them.
fn parse_chroot(chroot: &str) -> Result<String, ConfigError> {
    let path = chroot.strip_suffix('/').unwrap_or(chroot);
    if path.is_empty() {
        return Ok(String::new());
    }
    let bad = |reason: &str| Err(ConfigError::new(format!("ZooKeeper chroot \"{chroot}\": {reason}")));
    if !path.starts_with('/') {
        return bad("it must begin with \"/\"");
    }
    for name in path.split('/').skip(1) {
        if name.is_empty() {
            return bad("it has an empty name between two slashes");
        }
        if name == "." || name == ".." {
            return bad("\".\" and \"..\" are not allowed");
        }
        if name.contains(',') {
            return bad("it has a comma; the chroot follows the last server only");
        }
        if name.chars().any(char::is_control) {
            return bad("it has a control character");
        }
    }
    Ok(path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connect_strings_are_read_as_kafka_reads_them() {
        for (text, servers, chroot, shown) in [
            ("zk1:2181", &[("zk1", 2181)][..], "", "zk1:2181"),
            ("zk1", &[("zk1", 2181)], "", "zk1:2181"),
            ("zk1:2181/", &[("zk1", 2181)], "", "zk1:2181"),
            ("zk1:1,zk2:2/kafka", &[("zk1", 1), ("zk2", 2)], "/kafka", "zk1:1,zk2:2/kafka"),
            (" zk1:1, zk2:2/a/b/ ", &[("zk1", 1), ("zk2", 2)], "/a/b", "zk1:1,zk2:2/a/b"),
            ("[::1]:2182,[fe80::1]/k", &[("::1", 2182), ("fe80::1", 2181)], "/k", "[::1]:2182,[fe80::1]:2181/k"),
        ] {
            let parsed: ConnectString = text.parse().unwrap();
            let found: Vec<_> = parsed.servers().iter().map(|s| (s.host.as_str(), s.port)).collect();
            assert_eq!(found, servers, "{text}");
            assert_eq!(parsed.chroot(), chroot, "{text}");
            assert_eq!(parsed.to_string(), shown, "{text}");
            assert_eq!(shown.parse::<ConnectString>().unwrap(), parsed, "{text}");
        }
    }

    #[test]
    fn what_is_no_connect_string_is_refused_with_the_reason() {
        for (text, reason) in [
            ("", "a server has no name"),
            ("zk1:2181,", "a server has no name"),
            (":2181", "a server has no name"),
            ("/kafka", "a server has no name"),
            ("zk1:0", "\"0\" is no port"),
            ("zk1:65536", "\"65536\" is no port"),
            ("zk1:port", "\"port\" is no port"),
            ("::1:2181", "must stand in brackets"),
            ("[::1:2181", "no closing"),
            ("[::1]2181", "only a port may follow"),
            ("tcp://zk1:2181", "without a scheme"),
            ("zk1:2181/a//b", "empty name"),
            ("zk1:2181/a/../b", "not allowed"),
            ("zk1:2181/kafka,zk2:2181/kafka", "a comma"),
        ] {
            let error = text.parse::<ConnectString>().unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn a_chroot_can_be_exchanged() {
        let base: ConnectString = "zk1:2181/a".parse().unwrap();
        assert_eq!(base.with_chroot("/b/c").unwrap().to_string(), "zk1:2181/b/c");
        assert_eq!(base.with_chroot("/").unwrap().to_string(), "zk1:2181");
        assert!(base.with_chroot("b").is_err());
    }
}
