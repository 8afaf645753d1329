//! Registers with a KRaft controller in the place of a broker that does not run.

use std::time::Duration;

use kafka_protocol::messages::broker_registration_request::{BrokerRegistrationRequest, Feature, Listener};
use kafka_protocol::messages::{BrokerId, BrokerRegistrationResponse};
use kafka_protocol::protocol::StrBytes;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::wire::KafkaConnection;

/// The version in which we register. 3.9 knows 0 to 4; `IsMigratingZkBroker` exists from 1 on, `LogDirs` from 2 on.
const VERSION: i16 = 4;

/// What a controller answers that is not, or not yet, the active one.
const NOT_CONTROLLER: i16 = 41;

/// Pause before a controller that is not active yet is asked again.
const RETRY: Duration = Duration::from_millis(200);

/// A broker in ZooKeeper mode that wants to migrate, as far as a controller can see: it is registered, answers nothing and
/// stays fenced, since it sends no heartbeat. A fenced broker's session does not expire, and the controller's migration
/// waits only for registrations (`KRaftMigrationDriver`, state WAIT_FOR_BROKERS).
#[derive(Debug, Clone)]
pub struct StandIn {
    /// The broker's id.
    pub id: i32,
    /// The cluster's id, as in ZooKeeper.
    pub cluster_id: String,
    /// The name of the listener between brokers. The controller must be configured with the same.
    pub listener: String,
    /// The cluster's metadata version as a level. A broker in ZooKeeper mode supports exactly its
    /// `inter.broker.protocol.version`.
    pub metadata_version: i16,
}

impl StandIn {
    /// Registers with the controller at this address, and waits for it to become the active one.
    ///
    /// # Errors
    /// The controller can't be reached, refuses, or is not active when the time is over.
    pub async fn register(&self, controller: &str, limit: Duration) -> Result<(), String> {
        let deadline = Instant::now() + limit;
        let failed = |reason: String| format!("broker {} can't be registered with {controller}: {reason}", self.id);
        let mut connection = KafkaConnection::open(controller).await.map_err(failed)?;
        loop {
            let answer = connection.ask(&self.request(), VERSION).await.map_err(failed)?;
            match judge(&answer) {
                Verdict::Registered => return Ok(()),
                Verdict::Later if Instant::now() < deadline => sleep(RETRY).await,
                Verdict::Later => return Err(failed("it is not the active controller".to_owned())),
                Verdict::Refused => return Err(failed(format!("error {}", answer.error_code))),
            }
        }
    }

    fn request(&self) -> BrokerRegistrationRequest {
        let text = |text: &str| StrBytes::from_string(text.to_owned());
        // Nobody listens there, and nobody asks: nothing is sent to a fenced broker.
        let listener = Listener::default().with_name(text(&self.listener)).with_host(text("localhost")).with_port(9);
        let version = Feature::default()
            .with_name(text("metadata.version"))
            .with_min_supported_version(self.metadata_version)
            .with_max_supported_version(self.metadata_version);
        BrokerRegistrationRequest::default()
            .with_broker_id(BrokerId(self.id))
            .with_cluster_id(text(&self.cluster_id))
            .with_incarnation_id(self.unique(1))
            .with_listeners(vec![listener])
            .with_features(vec![version])
            .with_is_migrating_zk_broker(true)
            .with_log_dirs(vec![self.unique(2)])
    }

    /// An id of its own. Kafka reserves the first hundred ids, and no two brokers may have the same directory.
    fn unique(&self, kind: u64) -> Uuid {
        Uuid::from_u64_pair(0x7374_616e_6469_6e00 | kind, u64::from(self.id.unsigned_abs()))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Registered,
    Later,
    Refused,
}

fn judge(answer: &BrokerRegistrationResponse) -> Verdict {
    match answer.error_code {
        0 => Verdict::Registered,
        NOT_CONTROLLER => Verdict::Later,
        _ => Verdict::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stand_in(id: i32) -> StandIn {
        StandIn { id, cluster_id: "c".to_owned(), listener: "PLAINTEXT".to_owned(), metadata_version: 21 }
    }

    #[test]
    fn a_stand_in_is_a_migrating_broker_of_exactly_one_metadata_version() {
        let request = stand_in(3).request();
        assert!(request.is_migrating_zk_broker);
        assert_eq!(request.broker_id, BrokerId(3));
        assert_eq!(request.listeners[0].name.as_str(), "PLAINTEXT");
        let feature = &request.features[0];
        assert_eq!((feature.min_supported_version, feature.max_supported_version), (21, 21));
        assert_eq!(request.previous_broker_epoch, -1);
    }

    #[test]
    fn no_two_ids_are_the_same() {
        let ids: std::collections::BTreeSet<_> =
            (0..3).flat_map(|id| [stand_in(id).unique(1), stand_in(id).unique(2)]).collect();
        assert_eq!(ids.len(), 6);
    }

    #[test]
    fn only_a_controller_that_is_not_active_yet_is_asked_again() {
        let judged = |code| judge(&BrokerRegistrationResponse::default().with_error_code(code));
        assert_eq!(judged(0), Verdict::Registered);
        assert_eq!(judged(NOT_CONTROLLER), Verdict::Later);
        for refusal in [35, 101, 102, 104, 119] {
            assert_eq!(judged(refusal), Verdict::Refused);
        }
    }
}
