//! A small cluster in memory.

use std::collections::BTreeMap;

use broker_registry::*;
use metadata_core::brokers::{BrokerListener, BrokerPresence};
use metadata_core::id::*;
use metadata_core::image::{Endpoint, FeatureRange, MetadataDelta, MetadataImage};
use metadata_core::metadata_version::MetadataVersion;
use metadata_core::record::{FeatureLevelRecord, VersionedRecord, ZkMigrationState};
use metadata_core::uuid::Uuid;

pub(crate) const CLUSTER: &str = "MkU3OEVBNTcwNTJENDM2Qg";
pub(crate) const CONTROLLER: NodeId = NodeId(3000);

/// A log, the two sources of brokers, and the settings.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) image: MetadataImage,
    pub(crate) watched: Option<BTreeMap<NodeId, BrokerPresence>>,
    pub(crate) sessions: BrokerSessions,
    pub(crate) settings: RegistrySettings,
}

impl World {
    /// In `state` at this version, and nobody there.
    pub(crate) fn at(version: MetadataVersion, state: ZkMigrationState) -> Self {
        let level = FeatureLevelRecord {
            name: MetadataVersion::FEATURE_NAME.into(),
            feature_level: version.level(),
            ..Default::default()
        };
        let mut world = Self {
            image: MetadataImage::empty(),
            watched: Some(BTreeMap::new()),
            sessions: BrokerSessions::new(),
            settings: RegistrySettings::new(CLUSTER, version, CONTROLLER),
        };
        world.append(&[VersionedRecord::new(level, 0), VersionedRecord::new(state.to_record(), 0)]);
        world
    }

    /// What most tests begin with.
    pub(crate) fn new() -> Self {
        Self::at(MetadataVersion::V3_9_IV0, ZkMigrationState::PreMigration)
    }

    pub(crate) fn view(&self) -> ClusterView<'_> {
        ClusterView {
            image: &self.image,
            watched: self.watched.as_ref(),
            sessions: &self.sessions,
            settings: &self.settings,
        }
    }

    pub(crate) fn append(&mut self, records: &[VersionedRecord]) {
        let mut delta = MetadataDelta::new(&self.image);
        delta.replay_all(records).expect("the log takes what it is given");
        let end = self.image.position().end_offset.plus(records.len() as i64);
        self.image = delta.apply(Position { epoch: KRaftLeaderEpoch(1), end_offset: end }, TimestampMs(end.0));
    }

    /// Writes what is planned now, and returns it.
    pub(crate) fn settle_once(&mut self) -> Registrations {
        let planned = registrations(&self.view());
        let base = self.image.position().end_offset;
        let written = records(&planned.changes, base, self.view().metadata_version());
        // Whatever is planned can be encoded as Kafka has it, and lands where its epoch says.
        let mut bytes = Vec::new();
        written.iter().for_each(|record| record.encode(&mut bytes).expect("a record that Kafka can read"));
        assert_eq!(written.len(), planned.changes.iter().map(PlannedChange::len).sum::<usize>());
        if !written.is_empty() {
            self.append(&written);
        }
        planned
    }

    /// Writes until nothing is planned any more.
    pub(crate) fn settle(&mut self) {
        for _ in 0..10 {
            if self.settle_once().changes.is_empty() {
                return;
            }
        }
        panic!("it never comes to rest: {:?}", registrations(&self.view()));
    }

    pub(crate) fn come(&mut self, id: i32, czxid: i64) {
        self.watch(id, znode(id, czxid));
    }

    pub(crate) fn watch(&mut self, id: i32, presence: BrokerPresence) {
        self.watched.get_or_insert_default().insert(NodeId(id), presence);
    }

    pub(crate) fn go(&mut self, id: i32) {
        self.watched.get_or_insert_default().remove(&NodeId(id));
    }

    pub(crate) fn ask(&mut self, request: RegistrationRequest) -> Result<(), RegistrationRefusal> {
        let Self { image, watched, sessions, settings } = self;
        sessions.register(request, Surroundings { image, watched: watched.as_ref(), settings })
    }

    pub(crate) fn beat(&mut self, id: i32, heartbeat: Heartbeat) -> Result<(), ResponseError> {
        let Self { image, watched, sessions, settings } = self;
        sessions.heartbeat(NodeId(id), heartbeat, Surroundings { image, watched: watched.as_ref(), settings })
    }

    /// How a broker is registered: `None`, or whether it is fenced and whether it is a migrating ZooKeeper broker.
    pub(crate) fn registered(&self, id: i32) -> Option<(bool, bool)> {
        self.image.cluster().broker(NodeId(id)).map(|it| (it.fenced, it.is_migrating_zk_broker))
    }

    pub(crate) fn epoch(&self, id: i32) -> BrokerEpoch {
        self.image.cluster().broker(NodeId(id)).expect("a registered broker").epoch
    }

    /// Why a broker is kept out.
    pub(crate) fn kept_out(&self, id: i32) -> Vec<UnreadyReason> {
        let planned = registrations(&self.view());
        planned.kept_out.into_iter().filter(|it| it.id == NodeId(id)).map(|it| it.reason).collect()
    }
}

pub(crate) fn znode(id: i32, czxid: i64) -> BrokerPresence {
    let listener =
        BrokerListener { host: Some(format!("b{id}.example")), port: 9092, security_protocol: "PLAINTEXT".into() };
    BrokerPresence { endpoints: [("PLAINTEXT".into(), listener)].into(), ..BrokerPresence::in_zookeeper(czxid) }
}

pub(crate) fn incarnation(number: u64) -> IncarnationId {
    IncarnationId(Uuid::from_u64_pair(0x4000, number))
}

pub(crate) fn directory(number: u64) -> DirectoryId {
    DirectoryId(Uuid::from_u64_pair(7, number))
}

pub(crate) fn features(level: i16) -> BTreeMap<String, FeatureRange> {
    [(MetadataVersion::FEATURE_NAME.to_owned(), FeatureRange { min: level, max: level })].into()
}

/// What a broker in ZooKeeper mode asks for, at 3.9.
pub(crate) fn zk_request(id: i32, number: u64) -> RegistrationRequest {
    let endpoint = Endpoint { host: format!("b{id}.example"), port: 9092, security_protocol: 0 };
    RegistrationRequest {
        id: NodeId(id),
        incarnation_id: incarnation(number),
        is_migrating_zk_broker: true,
        cluster_id: CLUSTER.into(),
        listeners: [("PLAINTEXT".to_owned(), endpoint)].into(),
        features: features(21),
        log_dirs: vec![directory(id as u64)],
        rack: None,
    }
}

pub(crate) fn kraft_request(id: i32, number: u64) -> RegistrationRequest {
    let features = [(MetadataVersion::FEATURE_NAME.to_owned(), FeatureRange { min: 1, max: 21 })].into();
    RegistrationRequest { is_migrating_zk_broker: false, features, ..zk_request(id, number) }
}

pub(crate) fn heartbeat(epoch: BrokerEpoch) -> Heartbeat {
    Heartbeat { epoch, metadata_offset: Offset(epoch.0), want_fence: false, want_shutdown: false }
}
