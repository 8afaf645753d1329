//! The flags by which a controller serves Kafka's brokers.

use std::collections::BTreeMap;

use clap::Args;
use controller::serve::{Advertised, AdvertisedListener};
use metadata_core::id::NodeId;

use super::failure::Failure;
use super::quorum::{Voters, address_of};

/// How brokers are served.
#[derive(Debug, Clone, Default, Args)]
pub struct BrokersArgs {
    /// Serve brokers: listen for them here, without any security
    ///
    /// Brokers reach this controller by their own controller.quorum.voters, which must name it.
    #[arg(long, value_name = "HOST:PORT", value_parser = address_of, conflicts_with = "unserved_brokers",
          help_heading = "Brokers")]
    pub broker_listener: Option<String>,

    /// All controllers as brokers reach them, the brokers' controller.quorum.voters; this one alone if it is not given
    #[arg(long, value_name = "ID@HOST:PORT,..", requires = "broker_listener", help_heading = "Brokers")]
    pub broker_voters: Option<Voters>,

    /// What the brokers call that listener: the first of their controller.listener.names
    #[arg(
        long,
        default_value = "CONTROLLER",
        value_name = "NAME",
        requires = "broker_listener",
        help_heading = "Brokers"
    )]
    pub controller_listener_name: String,

    /// Where brokers in ZooKeeper mode are told things: their inter.broker.listener.name
    #[arg(
        long,
        default_value = "PLAINTEXT",
        value_name = "NAME",
        requires = "broker_listener",
        help_heading = "Brokers"
    )]
    pub inter_broker_listener: String,
}

/// How a controller serves brokers.
#[derive(Debug, Clone)]
pub struct ServeBrokers {
    /// Where it listens: `host:port`.
    pub listen: String,
    /// All controllers, as brokers reach them.
    pub advertised: Advertised,
    /// Where brokers in ZooKeeper mode are told things.
    pub inter_broker_listener: String,
}

impl BrokersArgs {
    /// How controller `own` serves brokers, if it does.
    ///
    /// # Errors
    /// The voters do not name it.
    pub fn serve(&self, own: NodeId) -> Result<Option<ServeBrokers>, Failure> {
        let Some(listen) = self.broker_listener.clone() else { return Ok(None) };
        let voters = match &self.broker_voters {
            Some(Voters(voters)) => voters.clone(),
            None => BTreeMap::from([(own, listen.clone())]),
        };
        if !voters.contains_key(&own) {
            return Err(Failure::usage("this controller can't serve brokers")
                .why(format!("--broker-voters does not name controller {own}"))
                .next("give it as the brokers' controller.quorum.voters has it, with all controllers"));
        }
        let advertised = voters.into_iter().filter_map(|(id, address)| Some((id, self.advertised(&address)?)));
        Ok(Some(ServeBrokers {
            listen,
            advertised: advertised.collect(),
            inter_broker_listener: self.inter_broker_listener.to_uppercase(),
        }))
    }

    fn advertised(&self, address: &str) -> Option<AdvertisedListener> {
        let (host, port) = address.rsplit_once(':')?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Some(AdvertisedListener { listener: self.controller_listener_name.clone(), host, port: port.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Exit;

    #[test]
    fn brokers_are_served_by_controllers_that_they_know() {
        let args = BrokersArgs {
            broker_listener: Some("0.0.0.0:9093".into()),
            controller_listener_name: "CONTROLLER".into(),
            inter_broker_listener: "internal".into(),
            ..BrokersArgs::default()
        };
        let alone = args.serve(NodeId(3000)).unwrap().unwrap();
        assert_eq!((alone.advertised.len(), &alone.inter_broker_listener[..]), (1, "INTERNAL"));
        let voters = "3000@a:1,3001@[::1]:2".parse().unwrap();
        let all = BrokersArgs { broker_voters: Some(voters), ..args.clone() };
        let advertised = all.serve(NodeId(3001)).unwrap().unwrap().advertised;
        assert_eq!((&advertised[&NodeId(3001)].host[..], advertised[&NodeId(3001)].port), ("::1", 2));
        assert_eq!(all.serve(NodeId(7)).unwrap_err().exit(), Exit::Usage);
        assert!(BrokersArgs { broker_listener: None, ..args }.serve(NodeId(7)).unwrap().is_none());
    }
}
