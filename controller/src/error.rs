//! Kafka's errors, as far as a controller answers with them (`Errors.java`). kafka-protocol lacks some.

use std::fmt;

macro_rules! errors {
    ($($name:ident = $code:literal, $text:literal;)+) => {
        /// An error of Kafka's protocol.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        #[expect(missing_docs, reason = "the names are Kafka's")]
        pub enum KafkaError {
            $($name),+
        }

        impl KafkaError {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// Kafka's number.
            pub fn code(self) -> i16 {
                match self {
                    $(Self::$name => $code),+
                }
            }

            /// Kafka's name.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text),+
                }
            }
        }
    };
}

errors! {
    UnknownServerError = -1, "UNKNOWN_SERVER_ERROR";
    UnknownTopicOrPartition = 3, "UNKNOWN_TOPIC_OR_PARTITION";
    NotLeaderOrFollower = 6, "NOT_LEADER_OR_FOLLOWER";
    RequestTimedOut = 7, "REQUEST_TIMED_OUT";
    UnsupportedVersion = 35, "UNSUPPORTED_VERSION";
    NotController = 41, "NOT_CONTROLLER";
    InvalidRequest = 42, "INVALID_REQUEST";
    KafkaStorageError = 56, "KAFKA_STORAGE_ERROR";
    FencedLeaderEpoch = 74, "FENCED_LEADER_EPOCH";
    UnknownLeaderEpoch = 75, "UNKNOWN_LEADER_EPOCH";
    StaleBrokerEpoch = 77, "STALE_BROKER_EPOCH";
    InvalidUpdateVersion = 95, "INVALID_UPDATE_VERSION";
    SnapshotNotFound = 98, "SNAPSHOT_NOT_FOUND";
    PositionOutOfRange = 99, "POSITION_OUT_OF_RANGE";
    UnknownTopicId = 100, "UNKNOWN_TOPIC_ID";
    DuplicateBrokerRegistration = 101, "DUPLICATE_BROKER_REGISTRATION";
    BrokerIdNotRegistered = 102, "BROKER_ID_NOT_REGISTERED";
    InconsistentClusterId = 104, "INCONSISTENT_CLUSTER_ID";
    IneligibleReplica = 107, "INELIGIBLE_REPLICA";
    NewLeaderElected = 108, "NEW_LEADER_ELECTED";
    InvalidRegistration = 119, "INVALID_REGISTRATION";
}

impl KafkaError {
    /// The error with this number; `None` for one that no controller answers with.
    pub fn of_code(code: i16) -> Option<Self> {
        Self::ALL.iter().copied().find(|error| error.code() == code)
    }
}

impl fmt::Display for KafkaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_kafka_protocol_where_it_has_them() {
        assert!(KafkaError::ALL.is_sorted_by_key(|error| error.code()));
        let mut known = 0;
        for error in KafkaError::ALL {
            assert_eq!(KafkaError::of_code(error.code()), Some(*error));
            match kafka_protocol::ResponseError::try_from_code(error.code()) {
                Some(kafka_protocol::ResponseError::Unknown(_)) | None => {}
                Some(theirs) => {
                    let name = format!("{theirs:?}").to_uppercase();
                    assert_eq!(name, error.name().replace('_', ""));
                    known += 1;
                }
            }
        }
        assert!(known > 15, "{known}");
        assert_eq!(KafkaError::of_code(0), None);
    }
}
