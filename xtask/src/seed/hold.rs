//! Holds the brokers' ephemeral znodes, in the brokers' place.

use std::sync::Arc;
use std::time::Duration;

use metadata_core::id::ZkVersion;
use store_zk::client::{
    ConnectError, CreateMode, SessionState, UnknownCause, ZkCode, ZkConnector, ZkError, ZkOp, ZkSession,
};
use tokio::time::{Instant, sleep};

use super::brokers::SeedBroker;
use super::write::{acl, close};
use crate::cli::Failure;

/// Pause before something that failed is tried again.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);

const CONTROLLER: &str = "/controller";
const CONTROLLER_EPOCH: &str = "/controller_epoch";

/// Registered brokers, the first of them also as the cluster's controller: they stay as long as the session behind them.
/// No process answers for them, so to anybody who calls them they are dead.
pub struct HeldBrokers {
    session: Arc<dyn ZkSession>,
    brokers: Vec<SeedBroker>,
    /// Version of `/controller_epoch` at the start: whoever is elected or claims moves it on.
    controller_epoch: Option<ZkVersion>,
    secure: bool,
}

impl HeldBrokers {
    /// Opens a session and registers the brokers as Kafka does: each is created without data and then set, in one multi.
    /// So a registration has version 1, and its czxid is the broker's epoch. The first broker takes `/controller` where
    /// nobody has it and the cluster has had a controller.
    ///
    /// # Errors
    /// [`Exit::Blocked`](crate::cli::Exit::Blocked) if one is registered already; otherwise ZooKeeper can't be reached or
    /// refuses. Those that were registered before it go with the session.
    pub async fn register(
        connector: &dyn ZkConnector,
        brokers: Vec<SeedBroker>,
        secure: bool,
    ) -> Result<Self, Failure> {
        let session = connector.connect().await?;
        let controller_epoch = session.exists(CONTROLLER_EPOCH).await?.map(|stat| stat.version);
        let held = Self { session, brokers, controller_epoch, secure };
        for broker in &held.brokers {
            held.register_one(broker, Duration::ZERO).await.map_err(|error| not_registered(broker, error))?;
        }
        held.take_controller().await?;
        Ok(held)
    }

    /// Makes the first broker the controller, unless there is one, or has been one since this began: a broker whose
    /// controllership was claimed does not take it back.
    async fn take_controller(&self) -> Result<(), ZkError> {
        let (Some(broker), Some(epoch)) = (self.brokers.first(), self.controller_epoch) else { return Ok(()) };
        let create = ZkOp::Create {
            path: CONTROLLER.to_owned(),
            data: controller(broker).into(),
            acl: acl(CONTROLLER, self.secure),
            mode: CreateMode::Ephemeral,
        };
        match self.session.multi(vec![ZkOp::check(CONTROLLER_EPOCH, epoch), create]).await {
            Err(error) if !matches!(error.code(), Some(ZkCode::NodeExists | ZkCode::BadVersion | ZkCode::NoNode)) => {
                Err(error)
            }
            _ => Ok(()),
        }
    }

    /// Keeps the brokers registered through lost connections and expired sessions. Returns only when ZooKeeper refuses us
    /// for good, or another process has taken a broker's place.
    pub async fn keep(&mut self, connector: &dyn ZkConnector) -> Failure {
        loop {
            let mut state = self.session.state();
            // It ends in an error when the session is gone, which is an end too.
            let ended = state.wait_for(|state| *state != SessionState::Connected).await.map(|state| *state);
            tracing::warn!(?ended, "lost the session that holds the brokers");
            if let Err(failure) = self.recover(connector).await {
                return failure.while_doing("the brokers are not registered any more");
            }
        }
    }

    async fn recover(&mut self, connector: &dyn ZkConnector) -> Result<(), Failure> {
        self.session = self.next_session(connector).await?;
        // The ephemerals of an expired session may outlive it for a moment.
        let patience = self.session.session_timeout() * 2;
        for broker in &self.brokers {
            match self.register_one(broker, patience).await {
                Ok(()) => {}
                // The connection is lost again: the state says so too, and all starts over.
                Err(ZkError::Unknown { .. }) => return Ok(()),
                Err(error) => return Err(not_registered(broker, error)),
            }
        }
        match self.take_controller().await {
            Ok(()) | Err(ZkError::Unknown { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        tracing::warn!("the brokers are registered again");
        Ok(())
    }

    /// The old session over a new connection, or a new one where ZooKeeper has dropped the old one.
    async fn next_session(&self, connector: &dyn ZkConnector) -> Result<Arc<dyn ZkSession>, Failure> {
        loop {
            let error = match self.session.resume().await {
                Ok(session) => return Ok(session),
                Err(error) => error,
            };
            match error.cause() {
                Some(UnknownCause::ConnectionLost) => {}
                Some(UnknownCause::SessionExpired) => match connector.connect().await {
                    Ok(session) => return Ok(session),
                    Err(ConnectError::Unreachable { .. }) => {}
                    Err(error) => return Err(error.into()),
                },
                _ => return Err(error.into()),
            }
            sleep(RETRY_INTERVAL).await;
        }
    }

    /// Registers a broker unless our session has done it already. Waits for `patience` while another session holds it.
    async fn register_one(&self, broker: &SeedBroker, patience: Duration) -> Result<(), ZkError> {
        let SeedBroker { path, data, .. } = broker;
        let deadline = Instant::now() + patience;
        loop {
            let stat = self.session.exists(path).await?;
            if stat.is_some_and(|stat| stat.ephemeral_owner == self.session.session_id().0) {
                return Ok(());
            }
            let create = ZkOp::Create {
                path: path.clone(),
                data: Default::default(),
                acl: acl(path, self.secure),
                mode: CreateMode::Ephemeral,
            };
            let set = ZkOp::set_data(path.clone(), data.clone(), ZkVersion(0));
            match self.session.multi(vec![create, set]).await {
                Ok(_) => return Ok(()),
                Err(error) if error.code() == Some(ZkCode::NodeExists) && Instant::now() < deadline => {
                    sleep(RETRY_INTERVAL).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Ends the session, and with it the registrations, at once.
    pub async fn release(self) {
        close(self.session.as_ref()).await;
    }
}

/// What a broker of Kafka 3.4 to 3.9 writes into `/controller` once it is elected.
fn controller(broker: &SeedBroker) -> String {
    let SeedBroker { id, registered_ms, .. } = broker;
    format!(r#"{{"version":2,"brokerid":{id},"timestamp":"{registered_ms}","kraftControllerEpoch":-1}}"#)
}

fn not_registered(broker: &SeedBroker, error: ZkError) -> Failure {
    match error.code() {
        Some(ZkCode::NodeExists) => Failure::blocked(format!("{} is there already", broker.path))
            .why("another process holds this broker, or held it and its session has not expired yet")
            .next("stop the other process, or wait for its session to expire, and try again"),
        _ => Failure::from(error).while_doing(format!("can't register {}", broker.path)),
    }
}

#[cfg(test)]
mod on_the_fake {
    use store_zk::client::ZkAcl;
    use store_zk::testkit::fake::FakeZooKeeper;

    use super::*;
    use crate::cli::Exit;
    use crate::seed::{Blueprint, SeedOptions};

    fn zookeeper() -> FakeZooKeeper {
        let zookeeper = FakeZooKeeper::new();
        let create = |path: &str| ZkOp::create(path, "", ZkAcl::world_all());
        zookeeper.foreign(vec![create("/brokers"), create("/brokers/ids")]).unwrap();
        zookeeper
    }

    fn brokers() -> Vec<SeedBroker> {
        Blueprint::new(SeedOptions::default()).unwrap().brokers().collect()
    }

    /// Paths and versions of the registrations, and the sessions that hold them.
    fn registered(zookeeper: &FakeZooKeeper) -> Vec<(String, i32, i64)> {
        let nodes = zookeeper.dump().into_iter().filter(|(path, _)| path.starts_with("/brokers/ids/"));
        nodes.map(|(path, node)| (path, node.stat.version.0, node.stat.ephemeral_owner)).collect()
    }

    #[tokio::test]
    async fn brokers_are_registered_as_kafka_does_it_and_go_with_the_session() {
        let zookeeper = zookeeper();
        let held = HeldBrokers::register(&zookeeper.connector(), brokers(), false).await.unwrap();
        let owner = held.session.session_id().0;
        let expected: Vec<_> = (1..=6).map(|id| (format!("/brokers/ids/{id}"), 1, owner)).collect();
        assert_eq!(registered(&zookeeper), expected);
        held.release().await;
        assert_eq!(registered(&zookeeper), []);
    }

    #[tokio::test]
    async fn a_broker_that_another_session_holds_is_not_taken() {
        let zookeeper = zookeeper();
        let held = HeldBrokers::register(&zookeeper.connector(), brokers(), false).await.unwrap();
        let failure = HeldBrokers::register(&zookeeper.connector(), brokers(), false).await.err().unwrap();
        assert_eq!((failure.exit(), failure.what()), (Exit::Blocked, "/brokers/ids/1 is there already"));
        assert_eq!(registered(&zookeeper).len(), 6);
        held.release().await;
    }

    /// Runs `keep` until the registrations satisfy `done`.
    async fn keep_until(
        held: &mut HeldBrokers,
        zookeeper: &FakeZooKeeper,
        done: impl Fn(&[(String, i32, i64)]) -> bool,
    ) {
        let connector = zookeeper.connector();
        let wait = async {
            while !done(&registered(zookeeper)) {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            failure = held.keep(&connector) => panic!("{failure}"),
            () = wait => {}
        }
    }

    #[tokio::test]
    async fn brokers_survive_a_lost_connection_under_their_old_session() {
        let zookeeper = zookeeper();
        let mut held = HeldBrokers::register(&zookeeper.connector(), brokers(), false).await.unwrap();
        let id = held.session.session_id();
        zookeeper.disconnect(id);
        // One registration is lost on the way, so that there is something to wait for.
        zookeeper.foreign(vec![ZkOp::delete("/brokers/ids/3", None)]).unwrap();
        keep_until(&mut held, &zookeeper, |brokers| brokers.len() == 6).await;
        assert!(registered(&zookeeper).iter().all(|(_, version, owner)| (*version, *owner) == (1, id.0)));
        held.release().await;
    }

    /// The broker in `/controller`, and the session that holds it.
    fn held_controller(zookeeper: &FakeZooKeeper) -> Option<(i64, i64)> {
        let node = zookeeper.dump().remove(CONTROLLER)?;
        let json: serde_json::Value = serde_json::from_slice(&node.data).unwrap();
        assert_eq!((&json["version"], &json["kraftControllerEpoch"]), (&2.into(), &(-1).into()));
        assert!(json["timestamp"].as_str().unwrap().parse::<i64>().unwrap() > 0);
        Some((json["brokerid"].as_i64().unwrap(), node.stat.ephemeral_owner))
    }

    #[tokio::test]
    async fn the_first_broker_is_the_controller_until_somebody_claims() {
        let zookeeper = zookeeper();
        zookeeper.foreign(vec![ZkOp::create(CONTROLLER_EPOCH, "7", ZkAcl::world_all())]).unwrap();
        let mut held = HeldBrokers::register(&zookeeper.connector(), brokers(), false).await.unwrap();
        let first = held.session.session_id();
        assert_eq!(held_controller(&zookeeper), Some((1, first.0)));

        // Without a claim it is taken back with the rest.
        zookeeper.expire(first);
        keep_until(&mut held, &zookeeper, |brokers| brokers.len() == 6).await;
        held.take_controller().await.unwrap();
        let second = held.session.session_id();
        assert_eq!(held_controller(&zookeeper), Some((1, second.0)));

        let claim = vec![ZkOp::set_data(CONTROLLER_EPOCH, "8", None), ZkOp::delete(CONTROLLER, None)];
        zookeeper.foreign(claim).unwrap();
        held.take_controller().await.unwrap();
        assert_eq!(held_controller(&zookeeper), None, "whoever claimed it decides what is there");
        held.release().await;
    }

    #[tokio::test]
    async fn a_controller_that_is_there_stays() {
        let zookeeper = zookeeper();
        let [epoch, other] = [(CONTROLLER_EPOCH, "7"), (CONTROLLER, "another")];
        let create = |(path, data): (&str, &'static str)| ZkOp::create(path, data, ZkAcl::world_all());
        zookeeper.foreign(vec![create(epoch), create(other)]).unwrap();
        let held = HeldBrokers::register(&zookeeper.connector(), brokers(), false).await.unwrap();
        assert_eq!(zookeeper.dump()[CONTROLLER].data, "another");
        held.release().await;
    }

    #[tokio::test]
    async fn brokers_are_registered_anew_when_their_session_expired() {
        let zookeeper = zookeeper();
        let mut held = HeldBrokers::register(&zookeeper.connector(), brokers(), false).await.unwrap();
        let old = held.session.session_id();
        zookeeper.expire(old);
        keep_until(&mut held, &zookeeper, |brokers| brokers.len() == 6).await;
        assert!(registered(&zookeeper).iter().all(|(_, version, owner)| *version == 1 && *owner != old.0));
        held.release().await;
    }
}
