//! `/controller` and `/controller_epoch`: who is the controller as far as ZooKeeper-mode brokers know (Kafka:
//! `ControllerZNode`, `ControllerEpochZNode`).

use bytes::Bytes;
use metadata_core::id::{KRaftLeaderEpoch, NodeId, TimestampMs, ZkControllerEpoch};

use super::Malformed;
use super::json::{Object, ObjectWriter};

/// The content of `/controller`. Nobody ever sets its data: it is created and deleted, so its version is always 0 and a
/// version check can't tell one registration from the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControllerZnode {
    /// A ZooKeeper-mode broker, or the active KRaft controller.
    pub id: NodeId,
    /// When it registered; nobody reads it.
    pub timestamp: Option<TimestampMs>,
    /// The KRaft epoch; `None` for a ZooKeeper-mode controller (−1, or no such key before 3.4).
    pub kraft_epoch: Option<KRaftLeaderEpoch>,
}

impl ControllerZnode {
    /// Whether a KRaft controller is registered. An epoch of 0 does not count (Kafka:
    /// `KafkaZkClient.setOrCreateEntityConfigs`).
    pub fn is_kraft(&self) -> bool {
        self.kraft_epoch.is_some_and(|epoch| epoch.0 > 0)
    }

    /// Decodes versions 1 and 2.
    ///
    /// # Errors
    /// Not a JSON object, no `brokerid`, or a value of the wrong type.
    pub fn decode(data: &[u8]) -> Result<Self, Malformed> {
        let json = Object::parse(data)?;
        Ok(Self {
            id: NodeId(json.int("brokerid")?),
            // Kafka does not parse it, so a strange one must not hide who the controller is.
            timestamp: json.opt_string("timestamp").ok().flatten().and_then(|ms| ms.parse().ok()).map(TimestampMs),
            kraft_epoch: json.opt_int("kraftControllerEpoch")?.filter(|epoch| *epoch >= 0).map(KRaftLeaderEpoch),
        })
    }

    /// Encodes it as version 2.
    pub fn encode(&self) -> Bytes {
        ObjectWriter::new()
            .int("version", 2)
            .int("brokerid", self.id.0)
            .string("timestamp", &self.timestamp.unwrap_or_default().to_string())
            .int("kraftControllerEpoch", self.kraft_epoch.map_or(-1, |epoch| epoch.0))
            .finish()
    }
}

/// Decodes `/controller_epoch`: decimal text, no JSON.
///
/// # Errors
/// Not a decimal integer of 32 bits.
pub fn decode_epoch(data: &[u8]) -> Result<ZkControllerEpoch, Malformed> {
    std::str::from_utf8(data)
        .ok()
        .and_then(|text| text.parse().ok())
        .map(ZkControllerEpoch)
        .ok_or_else(|| Malformed::new("should be a decimal integer of 32 bits as text"))
}

/// Encodes `/controller_epoch`.
pub fn encode_epoch(epoch: ZkControllerEpoch) -> Bytes {
    epoch.to_string().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_of_the_controller_are_read() {
        let json = r#"{"version":2,"brokerid":3000,"timestamp":"1729500000123","kraftControllerEpoch":7}"#;
        let controller = ControllerZnode::decode(json.as_bytes()).unwrap();
        assert!(controller.is_kraft());
        assert_eq!(controller.encode(), json);

        let zk = ControllerZnode::decode(br#"{"version":1,"brokerid":1,"timestamp":"5"}"#).unwrap();
        assert_eq!((zk.id, zk.kraft_epoch, zk.is_kraft()), (NodeId(1), None, false));
        let zk =
            ControllerZnode::decode(br#"{"version":2,"brokerid":1,"timestamp":7,"kraftControllerEpoch":-1}"#).unwrap();
        assert_eq!((zk.timestamp, zk.kraft_epoch), (None, None));
        assert!(!ControllerZnode::decode(br#"{"brokerid":1,"kraftControllerEpoch":0}"#).unwrap().is_kraft());
    }

    #[test]
    fn a_controller_without_an_id_is_refused() {
        for bad in ["", "{}", r#"{"brokerid":"1"}"#, r#"{"brokerid":1,"kraftControllerEpoch":"7"}"#] {
            assert!(ControllerZnode::decode(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_epoch_is_decimal_text() {
        assert_eq!(decode_epoch(b"12"), Ok(ZkControllerEpoch(12)));
        assert_eq!(encode_epoch(ZkControllerEpoch(12)), "12");
        for bad in ["", " 12", "12\n", "0x1", "2147483648", "{}"] {
            assert!(decode_epoch(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }
}
