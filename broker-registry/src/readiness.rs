//! May the controller role be claimed with these brokers?
//!
//! | brokers there | who serves them | replicas on absent brokers | verdict |
//! | --- | --- | --- | --- |
//! | none | nobody | none | ready: the cluster is empty |
//! | none | nobody | some | not ready: those brokers are missing |
//! | some | nobody | any | not ready: claiming would leave them without a controller |
//! | any | nobody, and the operator knows | any | ready, and the report keeps naming the unserved |
//! | any | any | on the controller's own id | not ready: that id is a broker's, alive or not |

use std::collections::BTreeMap;
use std::fmt;

use metadata_core::brokers::BrokerPresence;
use metadata_core::id::NodeId;

/// Who sends the brokers in ZooKeeper mode their requests once we hold the controller role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Service {
    /// Nobody. Brokers that are there would get no leaders elected any more, so their presence blocks the claim.
    None,
    /// Nobody, and the operator has said that this is right here.
    NoneByOperatorsWord,
}

/// Why a broker keeps the migration waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum UnreadyReason {
    /// It is alive in ZooKeeper, and nobody would serve it.
    Unserved,
    /// It has replicas and is not there.
    Missing {
        /// How many.
        replicas: u64,
    },
    /// It has the id of the controller that would claim.
    HasTheControllersId {
        /// How many replicas it has; 0 when only its entry in `/brokers/ids` tells.
        replicas: u64,
    },
}

impl fmt::Display for UnreadyReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unserved => f.write_str(
                "is alive in /brokers/ids and would be left without a controller: no broker channel is wired in",
            ),
            Self::HasTheControllersId { replicas } => write!(
                f,
                "is a broker with {replicas} replicas, and its id is this controller's too: choose another node id"
            ),
            Self::Missing { replicas } => write!(f, "has {replicas} replicas and is not in /brokers/ids"),
        }
    }
}

/// A broker that keeps the migration waiting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadyBroker {
    /// Which.
    pub id: NodeId,
    /// Why.
    pub reason: UnreadyReason,
}

impl fmt::Display for UnreadyBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "broker {} {}", self.id, self.reason)
    }
}

/// The verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// The claim may go on.
    Ready {
        /// Brokers that are there and served.
        served: usize,
        /// Brokers that are there and that nobody serves, by the operator's word.
        unserved: Vec<NodeId>,
    },
    /// It may not, for these reasons, by broker id; never empty.
    Waiting(Vec<UnreadyBroker>),
}

/// Judges by the table above. `assigned` counts the replicas of each broker id in any assignment; `controller` is who
/// would claim.
pub fn readiness(
    present: &BTreeMap<NodeId, BrokerPresence>,
    assigned: &BTreeMap<NodeId, u64>,
    controller: NodeId,
    service: Service,
) -> Readiness {
    if present.contains_key(&controller) || assigned.contains_key(&controller) {
        let replicas = assigned.get(&controller).copied().unwrap_or_default();
        let reason = UnreadyReason::HasTheControllersId { replicas };
        return Readiness::Waiting(vec![UnreadyBroker { id: controller, reason }]);
    }
    if service == Service::NoneByOperatorsWord {
        return Readiness::Ready { served: 0, unserved: present.keys().copied().collect() };
    }
    let unserved = present.keys().map(|id| UnreadyBroker { id: *id, reason: UnreadyReason::Unserved });
    let missing = assigned
        .iter()
        .filter(|(id, _)| !present.contains_key(id))
        .map(|(id, replicas)| UnreadyBroker { id: *id, reason: UnreadyReason::Missing { replicas: *replicas } });
    let mut waiting: Vec<_> = unserved.chain(missing).collect();
    waiting.sort_by_key(|broker| broker.id);
    if waiting.is_empty() { Readiness::Ready { served: 0, unserved: Vec::new() } } else { Readiness::Waiting(waiting) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn present(ids: &[i32]) -> BTreeMap<NodeId, BrokerPresence> {
        ids.iter().map(|id| (NodeId(*id), BrokerPresence::in_zookeeper(1))).collect()
    }

    fn assigned(counts: &[(i32, u64)]) -> BTreeMap<NodeId, u64> {
        counts.iter().map(|(id, count)| (NodeId(*id), *count)).collect()
    }

    fn waiting(unready: &[(i32, UnreadyReason)]) -> Readiness {
        Readiness::Waiting(
            unready.iter().map(|(id, reason)| UnreadyBroker { id: NodeId(*id), reason: *reason }).collect(),
        )
    }

    #[test]
    fn each_row_of_the_table() {
        let missing = |replicas| UnreadyReason::Missing { replicas };
        let ready = |unserved: &[i32]| Readiness::Ready {
            served: 0,
            unserved: unserved.iter().map(|id| NodeId(*id)).collect(),
        };
        let word = Service::NoneByOperatorsWord;
        let taken = |id, replicas| waiting(&[(id, UnreadyReason::HasTheControllersId { replicas })]);
        type Row = (&'static [i32], &'static [(i32, u64)], Service, Readiness);
        let table: [Row; 9] = [
            (&[], &[], Service::None, ready(&[])),
            (&[], &[(1, 3), (2, 1)], Service::None, waiting(&[(1, missing(3)), (2, missing(1))])),
            (&[1], &[(1, 3)], Service::None, waiting(&[(1, UnreadyReason::Unserved)])),
            (&[2], &[(1, 3)], Service::None, waiting(&[(1, missing(3)), (2, UnreadyReason::Unserved)])),
            (&[2], &[(1, 3)], word, ready(&[2])),
            (&[], &[(1, 3)], word, ready(&[])),
            (&[], &[(1, 3), (3000, 7)], Service::None, taken(3000, 7)),
            (&[1], &[(3000, 7)], word, taken(3000, 7)),
            (&[3000], &[], word, taken(3000, 0)),
        ];
        for (there, replicas, service, verdict) in table {
            let judged = readiness(&present(there), &assigned(replicas), NodeId(3000), service);
            assert_eq!(judged, verdict, "{there:?} {replicas:?}");
        }
    }

    #[test]
    fn every_reason_names_the_broker_and_what_is_wrong() {
        let Readiness::Waiting(unready) = readiness(&present(&[2]), &assigned(&[(1, 3)]), NodeId(3000), Service::None)
        else {
            panic!("two brokers are not ready");
        };
        let texts: Vec<_> = unready.iter().map(ToString::to_string).collect();
        assert_eq!(texts[0], "broker 1 has 3 replicas and is not in /brokers/ids");
        assert!(texts[1].starts_with("broker 2 is alive"), "{}", texts[1]);
    }
}
