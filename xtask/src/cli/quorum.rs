//! The flags by which a controller finds the others of its quorum.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use clap::Args;
use metadata_core::id::NodeId;
use store_kraft::PeerOptions;

use super::failure::Failure;

/// Voters by id with their addresses, as Kafka's `controller.quorum.voters` has them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Voters(pub BTreeMap<NodeId, String>);

impl FromStr for Voters {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut voters = BTreeMap::new();
        for voter in text.split(',').map(str::trim) {
            let wrong = || format!("{voter:?} is no voter: expected ID@HOST:PORT");
            let (id, address) = voter.split_once('@').ok_or_else(wrong)?;
            let id = id.parse().ok().filter(|id| *id >= 0).map(NodeId).ok_or_else(wrong)?;
            if voters.insert(id, address_of(address)?).is_some() {
                return Err(format!("controller {id} is named twice"));
            }
        }
        Ok(Self(voters))
    }
}

impl fmt::Display for Voters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (id, address)) in self.0.iter().enumerate() {
            write!(f, "{}{id}@{address}", if number > 0 { "," } else { "" })?;
        }
        Ok(())
    }
}

/// `host:port`, as it was given.
pub(crate) fn address_of(text: &str) -> Result<String, String> {
    let wrong = || format!("{text:?} is no address: expected HOST:PORT");
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    port.parse::<u16>().map_err(|_| wrong())?;
    let bare = !host.contains(':') || (host.starts_with('[') && host.ends_with(']'));
    if host.is_empty() || !bare || host.contains(['/', ' ', '@', ',']) {
        return Err(wrong());
    }
    Ok(text.to_owned())
}

/// How a controller meets the others.
#[derive(Debug, Clone, Default, Args)]
pub struct QuorumArgs {
    /// The voters of the quorum, Kafka's controller.quorum.voters: those that form a new one, this controller among them
    ///
    /// All of them must be given the same ids. Once the quorum is formed its own log says who votes, and the addresses here
    /// win over those in the log. A controller that is not among them waits to be added.
    #[arg(long, value_name = "ID@HOST:PORT,..", help_heading = "Quorum")]
    pub quorum_voters: Option<Voters>,

    /// Where to listen for the other controllers; its own entry in --quorum-voters if it is not given
    #[arg(long, value_name = "HOST:PORT", value_parser = address_of, help_heading = "Quorum")]
    pub listen: Option<String>,

    /// Secure the connections between controllers: the authorities that signed their certificates (PEM)
    #[cfg(feature = "tls")]
    #[arg(long, value_name = "FILE", requires_all = ["quorum_certificate", "quorum_key"], help_heading = "Quorum")]
    pub quorum_authorities: Option<std::path::PathBuf>,

    /// This controller's certificate, for a server and a client (PEM)
    #[cfg(feature = "tls")]
    #[arg(long, value_name = "FILE", requires = "quorum_authorities", help_heading = "Quorum")]
    pub quorum_certificate: Option<std::path::PathBuf>,

    /// Its private key (PEM)
    #[cfg(feature = "tls")]
    #[arg(long, value_name = "FILE", requires = "quorum_authorities", help_heading = "Quorum")]
    pub quorum_key: Option<std::path::PathBuf>,
}

impl QuorumArgs {
    /// How controller `own` meets the others; `None` when no flag says so.
    ///
    /// # Errors
    /// Wrong usage: nothing says where to listen.
    pub fn peers(&self, own: NodeId) -> Result<Option<PeerOptions>, Failure> {
        if self.quorum_voters.is_none() && self.listen.is_none() {
            return Ok(None);
        }
        let voters = self.quorum_voters.clone().unwrap_or_default().0;
        let listen = self.listen.as_ref().or_else(|| voters.get(&own)).cloned().ok_or_else(|| {
            Failure::usage(format!("controller {own} is not among --quorum-voters, so it waits to be added"))
                .next("say where it listens with --listen HOST:PORT; or check --node-id and --quorum-voters")
        })?;
        #[cfg_attr(not(feature = "tls"), expect(unused_mut, reason = "only TLS changes it"))]
        let mut peers = PeerOptions::new(listen, voters);
        #[cfg(feature = "tls")]
        if let (Some(authorities), Some(certificate), Some(key)) =
            (&self.quorum_authorities, &self.quorum_certificate, &self.quorum_key)
        {
            let (authorities, certificate, key) = (authorities.clone(), certificate.clone(), key.clone());
            peers.security = store_kraft::PeerSecurity::Tls(store_kraft::PeerTls { authorities, certificate, key });
        }
        Ok(Some(peers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn voters_are_ids_with_addresses() {
        let voters: Voters = "3000@a:9093, 3001@[::1]:9094".parse().unwrap();
        assert_eq!(voters.to_string(), "3000@a:9093,3001@[::1]:9094");
        for wrong in
            ["", "3000", "x@a:1", "-1@a:1", "1@a", "1@:1", "1@a:70000", "1@a:1,1@b:2", "1@a:b:1", "1@a:1/x", "1@a b:1"]
        {
            assert!(wrong.parse::<Voters>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_controller_listens_where_the_others_look_for_it_unless_it_is_told_otherwise() {
        let voters = || Some("1@a:1,2@b:2".parse().unwrap());
        let args = |quorum_voters, listen: Option<&str>| QuorumArgs {
            quorum_voters,
            listen: listen.map(str::to_owned),
            ..QuorumArgs::default()
        };
        let listens = |args: &QuorumArgs, own| args.peers(NodeId(own)).map(|peers| peers.map(|peers| peers.listen));
        assert_eq!(listens(&args(None, None), 1).unwrap(), None);
        assert_eq!(listens(&args(voters(), None), 2).unwrap().as_deref(), Some("b:2"));
        assert_eq!(listens(&args(voters(), Some("0.0.0.0:7")), 2).unwrap().as_deref(), Some("0.0.0.0:7"));
        assert_eq!(listens(&args(None, Some("c:3")), 3).unwrap().as_deref(), Some("c:3"));
        assert!(listens(&args(voters(), None), 3).unwrap_err().to_string().contains("waits to be added"));
    }
}
