//! Brokers that are alive, and then gone: each is registered once, and fenced once, whoever dies in between.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use metadata_core::id::NodeId;
use metadata_core::record::MetadataRecord;
use store_kraft::log::{Dump, DumpItem, RecordContent};
use store_zk::client::config::ZkSettings;
use tokio::process::Child;

use super::life::{Ended, Life};
use crate::cli::Failure;
use crate::controller::LogOnDisk;
use crate::own::{RUN_MAX, end};
use crate::seed::{Blueprint, HeldBrokers};
use crate::verb::chaos::Args;
use crate::verb::chaos::end_state::EndState;

/// Pause between two looks at the log.
const POLL: Duration = Duration::from_millis(50);

impl Life {
    /// Registers the brokers of the seed in ZooKeeper, as if they lived.
    pub(super) async fn hold_brokers(&mut self, args: &Args) -> Result<(), Failure> {
        let blueprint = Blueprint::new(args.cluster()).map_err(|error| Failure::usage(error.to_string()))?;
        let settings = ZkSettings::load(&self.cluster.config)
            .map_err(|error| Failure::failed("the configuration can't be used").because(&error))?;
        let connector = settings.client.connector()?;
        let brokers = blueprint.brokers().collect();
        self.held = Some(HeldBrokers::register(connector.as_ref(), brokers, settings.secure_acls).await?);
        Ok(())
    }

    /// The brokers go once they are registered, if they are still there, and the controller fences them. It fails when the
    /// controller dies.
    pub(super) async fn fence(&mut self, controller: &mut Child) -> Result<(), Failure> {
        if let Some(held) = self.held.take() {
            let registered = self.all_brokers(controller, false).await;
            held.release().await;
            registered?;
        }
        self.all_brokers(controller, true).await
    }

    /// Waits until the log has brokers, all of them fenced or all of them not.
    async fn all_brokers(&self, controller: &mut Child, fenced: bool) -> Result<(), Failure> {
        let deadline = Instant::now() + RUN_MAX;
        loop {
            let image = LogOnDisk::read(&self.cluster.data_dir, None)?.image;
            let mut brokers = image.cluster().brokers().peekable();
            if brokers.peek().is_some() && brokers.all(|(_, broker)| broker.fenced == fenced) {
                return Ok(());
            }
            let ended =
                controller.try_wait().map_err(|error| Failure::failed("can't watch migrate").because(&error))?;
            if let Some(status) = ended {
                return Err(Failure::failed("migrate ended by itself").why(status.to_string()));
            }
            if Instant::now() > deadline {
                let what =
                    if fenced { "brokers that are gone are never fenced" } else { "live brokers are never registered" };
                return Err(Failure::failed(what));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    pub(super) async fn end_fenced(&mut self) -> Result<Ended, Failure> {
        let mut controller = self.cluster.living().await?;
        let fenced = self.fence(&mut controller).await;
        let counts = match fenced {
            Ok(()) => self.cluster.verify().await,
            Err(failure) => Err(failure),
        };
        end(&mut controller).await;
        let (counts, state) = (counts?, EndState::read(&self.cluster.config, &self.cluster.data_dir).await?);
        let written = Written::read(&self.cluster.data_dir)?;
        Ok(Ended { broken: written.broken(state.image().cluster().brokers().map(|(id, _)| id)), state, counts })
    }
}

/// How often the log registers and fences each broker.
#[derive(Debug, Default)]
struct Written(BTreeMap<NodeId, (u32, u32)>);

impl Written {
    fn read(data_dir: &Path) -> Result<Self, Failure> {
        let mut written = Self::default();
        for item in Dump::open(&data_dir.join("__cluster_metadata-0")).map_err(Failure::from)? {
            if let DumpItem::Batch(batch) = item.map_err(Failure::from)? {
                for record in &batch.records {
                    if let Ok(RecordContent::Metadata(record)) = &record.content {
                        written.count(&record.record);
                    }
                }
            }
        }
        Ok(written)
    }

    fn count(&mut self, record: &MetadataRecord) {
        match record {
            MetadataRecord::RegisterBroker(it) => self.0.entry(it.broker_id).or_default().0 += 1,
            MetadataRecord::FenceBroker(it) => self.0.entry(it.id).or_default().1 += 1,
            MetadataRecord::BrokerRegistrationChange(it) if it.fenced == 1 => {
                self.0.entry(it.broker_id).or_default().1 += 1;
            }
            _ => {}
        }
    }

    /// Every broker in the image must have come and gone once.
    fn broken(&self, brokers: impl Iterator<Item = NodeId>) -> Vec<String> {
        let counted = brokers.map(|id| (id, self.0.get(&id).copied().unwrap_or_default()));
        let broken = counted.filter(|(_, times)| *times != (1, 1));
        broken
            .map(|(id, (registered, fenced))| {
                format!("broker {id} was registered {registered} times and fenced {fenced} times, once each is right")
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use metadata_core::record::{FenceBrokerRecord, RegisterBrokerRecord};

    use super::*;

    #[test]
    fn a_broker_that_is_registered_twice_or_never_fenced_is_named() {
        let mut written = Written::default();
        let register = |id| RegisterBrokerRecord { broker_id: NodeId(id), ..Default::default() }.into();
        let fence = |id| FenceBrokerRecord { id: NodeId(id), ..Default::default() }.into();
        for record in [register(1), fence(1), register(2), register(2), fence(2), register(3)] {
            written.count(&record);
        }
        let broken = written.broken([1, 2, 3].map(NodeId).into_iter());
        assert_eq!(broken.len(), 2, "{broken:?}");
        assert!(broken[0].starts_with("broker 2 was registered 2 times") && broken[1].contains("fenced 0 times"));
    }
}
