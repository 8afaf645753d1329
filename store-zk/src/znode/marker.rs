//! `/migration`: how far ZooKeeper is behind the metadata log (Kafka: `MigrationZNode`).
//!
//! Kafka's five keys are kept as Kafka writes them, so that a Kafka controller could read the node. Ours stand beside
//! them and Kafka ignores them; a node without them was written by Kafka ([`Marker::chain`] is `None`).

use bytes::Bytes;
pub use fencing::{QuorumIdentity, SyncState};
use metadata_core::id::{KRaftLeaderEpoch, NodeId, Offset, Position, TimestampMs, ZkVersion};

use super::Malformed;
use super::json::{Object, ObjectWriter};

/// The content of `/migration`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Marker {
    /// The last controller that wrote it; −1 in the node before the first.
    pub controller: Option<NodeId>,
    /// That controller's epoch; −1 in the node before the first.
    pub controller_epoch: Option<KRaftLeaderEpoch>,
    /// End of the last batch that is whole in ZooKeeper. The node holds the offset of the batch's last record
    /// (inclusive) and its epoch, −1 and −1 for [`Position::START`].
    pub position: Position,
    /// The write chain's own state.
    pub chain: Option<ChainState>,
}

/// Our keys of the marker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainState {
    /// The log that is projected.
    pub quorum: QuorumIdentity,
    /// Version of `/controller_epoch` as of the claim.
    pub epoch_zk_version: ZkVersion,
    /// When the epoch of the controller that wrote it began, by its log's LeaderChange record; `None` if that is not known.
    pub epoch_began: Option<TimestampMs>,
    /// Whether a full sync is under way.
    pub sync: SyncState,
    /// End (exclusive) of the batch that is half written, if one is.
    pub batch_end: Option<Offset>,
    /// How many ops of that batch's plan are in ZooKeeper.
    pub next_op: u32,
    /// Whether that batch's plan has notifications.
    pub notify: bool,
    /// Version of the planning code that made the plan.
    pub projection: u32,
}

impl Marker {
    /// Whether the copy from ZooKeeper into a log is complete, as Kafka tells it: an offset above 0.
    pub fn copy_is_complete(&self) -> bool {
        self.position.last().is_some_and(|offset| offset.0 > 0)
    }

    /// Decodes it.
    ///
    /// # Errors
    /// No data, not a JSON object, a version other than 0, a value missing or of the wrong type, only some of our keys.
    pub fn decode(data: Option<&[u8]>) -> Result<Self, Malformed> {
        let data = data.filter(|data| !data.is_empty()).ok_or_else(|| {
            Malformed::new(
                "there is no data, so nobody can tell how far the migration is; if no migration has begun, delete the node",
            )
        })?;
        let json = Object::parse(data)?;
        match json.int("version")? {
            0 => {}
            other => {
                return Err(Malformed::new(format!(
                    "version {other} is unknown, expected 0: a newer Kafka wrote it, which this library can't continue"
                )));
            }
        }
        let position = match (json.long("kraft_metadata_offset")?, json.int("kraft_metadata_epoch")?) {
            (..0, _) => Position::START,
            (offset, ..0) => {
                return Err(Malformed::new(format!("`kraft_metadata_offset` is {offset} and its epoch is missing")));
            }
            (i64::MAX, _) => return Err(Malformed::new("`kraft_metadata_offset` is out of range")),
            (offset, epoch) => Position::after(Offset(offset), KRaftLeaderEpoch(epoch)),
        };
        Ok(Self {
            controller: NodeId(json.int("kraft_controller_id")?).known(),
            controller_epoch: Some(json.int("kraft_controller_epoch")?)
                .filter(|epoch| *epoch >= 0)
                .map(KRaftLeaderEpoch),
            position,
            chain: ChainState::decode(&json)?,
        })
    }

    /// Encodes it: Kafka's keys, then ours.
    pub fn encode(&self) -> Bytes {
        let (offset, epoch) = match self.position.last() {
            Some(offset) => (offset.0, self.position.epoch.0),
            None => (-1, -1),
        };
        let json = ObjectWriter::new()
            .int("version", 0)
            .int("kraft_controller_id", self.controller.unwrap_or(NodeId::NONE).0)
            .int("kraft_controller_epoch", self.controller_epoch.map_or(-1, |epoch| epoch.0))
            .int("kraft_metadata_offset", offset)
            .int("kraft_metadata_epoch", epoch);
        match &self.chain {
            Some(chain) => chain.encode(json).finish(),
            None => json.finish(),
        }
    }
}

const OUR_KEYS: [&str; 8] =
    ["quorum", "epoch_zk_version", "epoch_began", "sync", "batch_end", "next_op", "notify", "projection"];

fn count(json: &Object, key: &str) -> Result<u32, Malformed> {
    let value = json.long(key)?;
    u32::try_from(value).map_err(|_| Malformed::new(format!("`{key}` {value} is out of range")))
}

impl ChainState {
    fn decode(json: &Object) -> Result<Option<Self>, Malformed> {
        if !OUR_KEYS.iter().any(|key| json.has(key)) {
            return Ok(None);
        }
        let quorum = json.opt_object("quorum")?.ok_or_else(|| Malformed::new("`quorum` is missing"))?;
        let sync = match json.string("sync")? {
            "running" => SyncState::Running,
            "done" => SyncState::Done,
            other => return Err(Malformed::new(format!("`sync` {other:?} is unknown"))),
        };
        let batch_end = json.opt_long("batch_end")?;
        if let Some(end) = batch_end.filter(|end| *end < 0) {
            return Err(Malformed::new(format!("`batch_end` {end} is out of range")));
        }
        Ok(Some(Self {
            quorum: QuorumIdentity {
                cluster_id: quorum.string("cluster_id")?.to_owned(),
                log_id: quorum.string("log_id")?.to_owned(),
            },
            epoch_zk_version: ZkVersion(json.int("epoch_zk_version")?),
            epoch_began: json.opt_long("epoch_began")?.map(TimestampMs),
            sync,
            batch_end: batch_end.map(Offset),
            next_op: count(json, "next_op")?,
            notify: json.bool("notify")?,
            projection: count(json, "projection")?,
        }))
    }

    fn encode(&self, json: ObjectWriter) -> ObjectWriter {
        let quorum =
            ObjectWriter::new().string("cluster_id", &self.quorum.cluster_id).string("log_id", &self.quorum.log_id);
        let sync = match self.sync {
            SyncState::Running => "running",
            SyncState::Done => "done",
        };
        let json = json.object("quorum", quorum).int("epoch_zk_version", self.epoch_zk_version.0);
        let json = match self.epoch_began {
            Some(began) => json.int("epoch_began", began.0),
            None => json,
        };
        let json = json.string("sync", sync);
        let json = match self.batch_end {
            Some(end) => json.int("batch_end", end.0),
            None => json.null("batch_end"),
        };
        json.int("next_op", self.next_op).bool("notify", self.notify).int("projection", self.projection)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn kafkas_marker_is_read_and_written() {
        let json = r#"{"version":0,"kraft_controller_id":3000,"kraft_controller_epoch":7,"kraft_metadata_offset":1042,"kraft_metadata_epoch":6}"#;
        let marker = Marker::decode(Some(json.as_bytes())).unwrap();
        assert_eq!(marker.controller, Some(NodeId(3000)));
        assert_eq!(marker.controller_epoch, Some(KRaftLeaderEpoch(7)));
        assert_eq!(marker.position, Position::after(Offset(1042), KRaftLeaderEpoch(6)));
        assert_eq!(marker.chain, None);
        assert!(marker.copy_is_complete());
        assert_eq!(marker.encode(), json);
    }

    #[test]
    fn the_first_marker_of_kafka_is_at_the_start() {
        let json = r#"{"version":0,"kraft_controller_id":-1,"kraft_controller_epoch":-1,"kraft_metadata_offset":-1,"kraft_metadata_epoch":-1}"#;
        let marker = Marker::decode(Some(json.as_bytes())).unwrap();
        assert_eq!(marker, Marker::default());
        assert!(!marker.copy_is_complete());
        assert_eq!(marker.encode(), json);
    }

    #[test]
    fn an_offset_of_zero_is_no_complete_copy() {
        let marker = Marker { position: Position::after(Offset(0), KRaftLeaderEpoch(1)), ..Default::default() };
        assert!(!marker.copy_is_complete());
        assert_eq!(Marker::decode(Some(&marker.encode())), Ok(marker));
    }

    #[test]
    fn a_marker_without_data_says_what_to_do() {
        for none in [None, Some("".as_bytes())] {
            assert!(Marker::decode(none).unwrap_err().to_string().contains("delete the node"));
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let kafka =
            r#""kraft_controller_id":1,"kraft_controller_epoch":1,"kraft_metadata_offset":1,"kraft_metadata_epoch":1"#;
        let cases = [
            (r#"{"version":1}"#.to_owned(), "version 1"),
            (r#"{"kraft_controller_id":1}"#.to_owned(), "`version`"),
            (r#"{"version":"0"}"#.to_owned(), "`version`"),
            (
                r#"{"version":0,"kraft_controller_id":1,"kraft_controller_epoch":1,"kraft_metadata_offset":5,"kraft_metadata_epoch":-1}"#
                    .to_owned(),
                "epoch is missing",
            ),
            (format!(r#"{{"version":0,{kafka},"sync":"done"}}"#), "`quorum`"),
            (format!(r#"{{"version":0,{kafka},"quorum":{{"cluster_id":"c","log_id":"l"}},"sync":"maybe"}}"#), "`sync`"),
            (
                format!(
                    r#"{{"version":0,{kafka},"quorum":{{"cluster_id":"c","log_id":"l"}},"sync":"done","epoch_zk_version":1,"batch_end":null,"next_op":-1,"notify":true,"projection":1}}"#
                ),
                "`next_op`",
            ),
        ];
        for (json, reason) in cases {
            let error = Marker::decode(Some(json.as_bytes())).unwrap_err().to_string();
            assert!(error.contains(reason), "{json}: {error}");
        }
    }

    #[test]
    fn keys_of_others_are_ignored() {
        let json = r#"{"version":0,"kraft_controller_id":1,"kraft_controller_epoch":1,"kraft_metadata_offset":1,"kraft_metadata_epoch":1,"later":{}}"#;
        assert_eq!(Marker::decode(Some(json.as_bytes())).unwrap().chain, None);
    }

    proptest! {
        #[test]
        fn any_marker_survives_the_round_trip(
            id in proptest::option::of(0..i32::MAX),
            epoch in proptest::option::of(0..i32::MAX),
            last in proptest::option::of((0..i64::MAX, 0..i32::MAX)),
            batch_end in proptest::option::of(0..i64::MAX),
            next_op: u32,
            notify: bool,
            running: bool,
            projection: u32,
            version: i32,
            began: Option<i64>,
            names: (String, String),
        ) {
            let marker = Marker {
                controller: id.map(NodeId),
                controller_epoch: epoch.map(KRaftLeaderEpoch),
                position: last.map_or(Position::START, |(o, e)| Position::after(Offset(o), KRaftLeaderEpoch(e))),
                chain: Some(ChainState {
                    quorum: QuorumIdentity { cluster_id: names.0, log_id: names.1 },
                    epoch_zk_version: ZkVersion(version),
                    epoch_began: began.map(TimestampMs),
                    sync: if running { SyncState::Running } else { SyncState::Done },
                    batch_end: batch_end.map(Offset),
                    next_op,
                    notify,
                    projection,
                }),
            };
            prop_assert_eq!(Marker::decode(Some(&marker.encode())), Ok(marker));
        }
    }
}
