//! A believable ZooKeeper-mode Kafka 3.9 cluster, made of nothing but options.
//!
//! [`Blueprint`] is pure: the same [`SeedOptions`] give the same znodes, byte for byte. [`write`](write()) puts them into a
//! ZooKeeper, and [`HeldBrokers`] holds the brokers' ephemeral znodes.
//!
//! **Invariant of absence:** nothing here uses the znode codecs of `store-zk`. All JSON and all names are written by
//! code of their own, so that a mistake in the codecs can't hide by being made on both sides. The [`Manifest`] says what
//! a correct import makes of it all, and is counted from what was generated.

mod acls;
mod brokers;
mod cluster;
mod configs;
mod hold;
mod json;
mod manifest;
mod name;
mod node;
mod options;
mod random;
mod tokens;
mod topics;
mod users;
mod write;

#[cfg(test)]
mod tests;

pub use self::brokers::SeedBroker;
pub use self::configs::PASSWORD_ENCODER_SECRET;
pub use self::hold::HeldBrokers;
pub use self::manifest::{Awkward, Manifest};
pub use self::node::{Family, RecordCounts, SeedNode};
pub use self::options::{BadOptions, SeedOptions};
pub(crate) use self::random::Random;
pub use self::write::{ensure_chroot, write};

use self::cluster::Cluster;
use self::topics::Topics;

/// Brokers were started this long before the cluster was frozen.
const UPTIME_MS: i64 = 30 * 86_400_000;

/// One cluster, fully decided and not yet written anywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blueprint {
    options: SeedOptions,
    cluster: Cluster,
}

impl Blueprint {
    /// Decides everything.
    ///
    /// # Errors
    /// When no cluster could have these options.
    pub fn new(options: SeedOptions) -> Result<Self, BadOptions> {
        options.check()?;
        let cluster = Cluster::of(options.seed);
        Ok(Self { options, cluster })
    }

    /// What was asked for.
    pub fn options(&self) -> &SeedOptions {
        &self.options
    }

    /// The id in `/cluster/id`.
    pub fn cluster_id(&self) -> &str {
        &self.cluster.id
    }

    /// All persistent znodes, parents before their children, each path once. Made one by one: memory doesn't grow with the
    /// number of topics.
    pub fn nodes(&self) -> impl Iterator<Item = SeedNode> + '_ {
        self.fixed_nodes().chain(self.topics().ordinary())
    }

    /// How many [`Blueprint::nodes`] there are, without making them all.
    pub fn node_count(&self) -> u64 {
        self.fixed_nodes().count() as u64 + Topics::znodes_of_ordinary(&self.options)
    }

    /// The brokers' ephemeral znodes.
    pub fn brokers(&self) -> impl Iterator<Item = SeedBroker> + use<> {
        let &SeedOptions { seed, brokers, awkward, .. } = &self.options;
        brokers::brokers(seed, brokers, awkward, self.cluster.now_ms - UPTIME_MS)
    }

    /// An account with nothing counted yet.
    fn empty_manifest(&self) -> Manifest {
        let brokers = self.brokers().map(|broker| broker.id).collect();
        Manifest::new(self.options.clone(), self.cluster.id.clone(), self.cluster.controller_epoch, brokers)
    }

    /// The account of all [`Blueprint::nodes`].
    pub fn manifest(&self) -> Manifest {
        let mut manifest = self.empty_manifest();
        for node in self.nodes() {
            manifest.count(&node);
        }
        manifest
    }

    fn fixed_nodes(&self) -> impl Iterator<Item = SeedNode> + '_ {
        let &SeedOptions { seed, brokers, awkward, .. } = &self.options;
        self.cluster
            .nodes(seed, brokers)
            .chain(configs::brokers(seed, brokers))
            .chain(users::nodes(seed, awkward))
            .chain(acls::nodes(seed, awkward))
            .chain(tokens::nodes(seed, awkward, self.cluster.now_ms))
            .chain(awkward.then(|| cluster::left_overs(seed)).into_iter().flatten())
            .chain(self.topics().special())
    }

    fn topics(&self) -> Topics<'_> {
        Topics { options: &self.options, controller_epoch: self.cluster.controller_epoch }
    }
}
