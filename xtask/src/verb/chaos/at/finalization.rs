//! The end of a migration: either it is in the log or it is not, asking again settles it, and ZooKeeper is written no more.

use serde_json::Value;

use super::life::{Ended, Life};
use crate::cli::Failure;
use crate::own::{end, finished, wait_for_status};
use crate::verb::chaos::end_state::EndState;

/// A change after the end. ZooKeeper must not hear of it.
const CHANGE: [&str; 5] = ["quota", "set", "--user", "after-the-end", "producer_byte_rate=1048576"];

impl Life {
    /// Asks for the end. Nobody serves the brokers of a seed, so they are left behind.
    pub(super) async fn finalize(&self) -> Result<Value, Failure> {
        self.cluster.ask("finalize", &["--despite-brokers"]).await
    }

    /// Finalizes, whether or not a dead controller has done it, and goes on a little.
    pub(super) async fn end_finalized(&self) -> Result<Ended, Failure> {
        let (config, data_dir) = (&self.cluster.config, &self.cluster.data_dir);
        // Of one that died behind the append, everything written since is wrong.
        let done = self.died && self.log_state()? == "POST_MIGRATION";
        let before = if done { Some(EndState::read(config, data_dir).await?) } else { None };
        let mut controller = if done { self.cluster.start_migration(&[])? } else { self.cluster.living().await? };
        let going_on = async {
            if done {
                let finalized = |status: &Value| status.get("decision").and_then(Value::as_str) == Some("FINALIZED");
                wait_for_status(data_dir, &mut controller, "the decision FINALIZED", finalized).await?;
            }
            let said = self.finalize().await?;
            let since = match before {
                Some(before) => before,
                None => EndState::read(config, data_dir).await?,
            };
            finished("change", self.cluster.command("change", &CHANGE)?).await?;
            Ok::<_, Failure>((said, since))
        };
        let gone_on = going_on.await;
        end(&mut controller).await;
        let (said, since) = gone_on?;
        let mut broken = Vec::new();
        if said.get("already").and_then(Value::as_bool) != Some(done) {
            broken.push(format!("`finalize` said {said}, and that it was finalized before is {done}"));
        }
        broken.extend(self.refuses_to_migrate().await?);
        let counts = self.cluster.verify().await?;
        let state = EndState::read(config, data_dir).await?;
        if self.log_state()? != "POST_MIGRATION" {
            broken.push(format!("the log says {}", self.log_state()?));
        }
        broken.extend(state.written_since(&since).into_iter().map(|path| format!("{path}: written after the end")));
        Ok(Ended { state, counts, broken })
    }
}
