//! What an operator does by hand in the middle, and what must come of it.

use metadata_core::record::ZkMigrationState;
use store_zk::client::{ZkAcl, ZkOp};
use store_zk::znode::path;
use tokio::time::Instant;

use super::world::{Down, VOTERS, World};
use crate::seed::Random;

/// One mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mistake {
    /// `/migration` is deleted.
    MarkerDeleted,
    /// `/controller` is deleted, and no broker takes it.
    ControllerDeleted,
    /// Both: as after a rollback by hand.
    BothDeleted,
    /// `/controller` is deleted and a ZooKeeper-mode broker is elected.
    BrokerElected,
    /// `/controller_epoch` is raised.
    EpochRaised,
    /// `/migration` is set to nothing.
    MarkerEmptied,
    /// Every controller is started from an old copy of its data directory.
    OldCopy,
}

impl Mistake {
    /// A name for the account.
    fn name(self) -> &'static str {
        match self {
            Self::MarkerDeleted => "mistake: /migration deleted",
            Self::ControllerDeleted => "mistake: /controller deleted",
            Self::BothDeleted => "mistake: /migration and /controller deleted",
            Self::BrokerElected => "mistake: a ZooKeeper-mode broker elected",
            Self::EpochRaised => "mistake: /controller_epoch raised",
            Self::MarkerEmptied => "mistake: /migration emptied",
            Self::OldCopy => "mistake: an old copy of the log",
        }
    }

    /// In a third of the histories, and when.
    pub(super) fn draw(random: &mut Random, steps: u32) -> Option<(u32, Self)> {
        let mistake = random.pick([
            Self::MarkerDeleted,
            Self::ControllerDeleted,
            Self::BothDeleted,
            Self::BrokerElected,
            Self::EpochRaised,
            Self::MarkerEmptied,
            Self::OldCopy,
        ]);
        let step = random.below(steps);
        random.percent(35).then_some((step, mistake))
    }
}

impl World {
    pub(super) async fn make_mistake(&mut self, step: u32) -> Result<(), String> {
        let Some((_, mistake)) = self.mistake.filter(|(at, _)| *at == step) else { return Ok(()) };
        let copied = self.log.state() == ZkMigrationState::Migration;
        let when = if copied { "after the copy" } else { "before the copy" };
        self.net.state().trace.count(mistake.name(), when);
        let marker = || ZkOp::delete(path::MIGRATION, None);
        let controller = || ZkOp::delete(path::CONTROLLER, None);
        let raised = || {
            let epoch = self.decisive.epoch.map_or(1, |(epoch, _)| epoch.saturating_add(1));
            ZkOp::set_data(path::CONTROLLER_EPOCH, epoch.to_string(), None)
        };
        match mistake {
            Mistake::MarkerDeleted => self.by_hand(vec![marker()]).await,
            Mistake::ControllerDeleted => self.by_hand(vec![controller()]).await,
            Mistake::BothDeleted => self.by_hand(vec![controller(), marker()]).await,
            Mistake::BrokerElected => {
                let broker = r#"{"version":2,"brokerid":1,"timestamp":"0","kraftControllerEpoch":-1}"#;
                // The election is one multi of the broker's, but that makes no difference to us.
                let ops = vec![raised(), controller(), ZkOp::create(path::CONTROLLER, broker, ZkAcl::world_all())];
                self.by_hand(ops).await
            }
            Mistake::EpochRaised => {
                let ops = vec![raised()];
                self.by_hand(ops).await
            }
            Mistake::MarkerEmptied => self.by_hand(vec![ZkOp::set_data(path::MIGRATION, "", None)]).await,
            Mistake::OldCopy => self.restore_old_copy().await,
        }
    }

    async fn restore_old_copy(&mut self) -> Result<(), String> {
        let marker = self.decisive.marker().map(|marker| marker.position.end_offset.0).filter(|end| *end > 1);
        let Some(written) = marker else { return Ok(()) };
        let end = self.random.below(u32::try_from(written).unwrap_or(u32::MAX));
        for id in VOTERS {
            self.crash(id).await?;
        }
        self.observe_log().await?;
        // Restoring takes longer than any session lives: nothing of before is under way any more.
        let sessions: Vec<i64> = std::mem::take(&mut self.net.state().sessions).into_keys().collect();
        sessions.into_iter().map(store_zk::client::SessionId).for_each(|it| self.net.zookeeper.expire(it));
        self.quorum.restore(metadata_core::id::Offset(i64::from(end)));
        let log = self.quorum.log();
        self.log = super::truth::LogTruth {
            extent: metadata_core::log::MetadataLog::extent(&log),
            image: metadata_core::log::MetadataLog::image(&log),
        };
        self.net.state().trace.event(format_args!("the log ends at {}", self.log.image.position()));
        // An old copy that is written on to the same length under the same epochs can't be told from the newest.
        self.chances.changes = false;
        let now = Instant::now();
        self.down.values_mut().for_each(|down: &mut Down| down.until = now);
        Ok(())
    }
}
