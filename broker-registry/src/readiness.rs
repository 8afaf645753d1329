//! May the controller role be claimed with these brokers?
//!
//! | brokers there | who serves them | replicas on absent brokers | verdict |
//! | --- | --- | --- | --- |
//! | none | nobody | none | ready: the cluster is empty |
//! | any | anybody | some | not ready: those brokers are missing |
//! | some | nobody | any | not ready: claiming would leave them without a controller |
//! | all registered | a channel | none, or on registered ones | ready |
//! | some not registered | a channel | any | not ready: those are named |
//! | any | nobody, and the operator knows | any | ready, and the report keeps naming the unserved |
//! | any | any | on a controller's id | not ready: that id is a broker's, alive or not |
//! | one of another cluster, or two with one id | any | any | not ready |

use std::collections::{BTreeMap, BTreeSet};

use metadata_core::brokers::BrokerPresence;
use metadata_core::id::NodeId;

use crate::facts::{BrokerFacts, BrokerMode};
use crate::obstacles::{id_was_generated, obstacles};
use crate::reasons::{BrokerWarning, UnreadyBroker, UnreadyReason};
use crate::view::ClusterView;

/// Who sends the brokers in ZooKeeper mode their requests once we hold the controller role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Service {
    /// Nobody. Brokers that are there would get no leaders elected any more, so their presence blocks the claim.
    None,
    /// Nobody, and the operator has said that this is right here.
    NoneByOperatorsWord,
    /// A broker channel is wired in. It sends to brokers that are registered, so those that are there must be.
    Served,
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

/// Judges by who is there alone, before anything else is known of the brokers; [`assess`] judges by everything.
/// `assigned` counts the replicas of each broker id in any assignment; `controller` is who would claim.
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
    let ids: BTreeSet<_> = present.keys().chain(assigned.keys()).collect();
    let unready = |id: &&NodeId| match (present.contains_key(id), service) {
        (true, Service::None) => Some(UnreadyReason::Unserved),
        (false, Service::None | Service::Served) => {
            Some(UnreadyReason::Missing { replicas: assigned.get(id).copied().unwrap_or_default() })
        }
        _ => None,
    };
    let waiting: Vec<_> = ids.iter().filter_map(|id| Some(UnreadyBroker { id: **id, reason: unready(id)? })).collect();
    verdict(waiting, present.keys().copied().collect(), service)
}

fn verdict(waiting: Vec<UnreadyBroker>, present: Vec<NodeId>, service: Service) -> Readiness {
    match service {
        _ if !waiting.is_empty() => Readiness::Waiting(waiting),
        Service::Served => Readiness::Ready { served: present.len(), unserved: Vec::new() },
        Service::None | Service::NoneByOperatorsWord => Readiness::Ready { served: 0, unserved: present },
    }
}

/// A broker and how it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerStanding {
    /// What is known of it, with sources.
    pub facts: BrokerFacts,
    /// Its replicas in ZooKeeper's assignments.
    pub replicas: u64,
    /// Every reason for which it keeps the migration waiting.
    pub unready: Vec<UnreadyReason>,
    /// What its operator should know.
    pub warnings: Vec<BrokerWarning>,
}

/// All brokers and how they stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assessment {
    /// May the claim go on?
    pub verdict: Readiness,
    /// Everyone who is there, registered, or has replicas, by id.
    pub brokers: Vec<BrokerStanding>,
}

impl Assessment {
    /// The brokers that still run in ZooKeeper mode, as far as anybody knows, by id: what finalization must wait for.
    /// Those with replicas that nobody knows anything else of count too.
    pub fn in_zookeeper_mode(&self) -> Vec<NodeId> {
        let kraft = |facts: &BrokerFacts| facts.mode.is_some_and(|mode| mode.value == BrokerMode::KRaft);
        let brokers = self.brokers.iter().filter(|it| it.facts.in_zookeeper || !kraft(&it.facts));
        brokers.map(|it| it.facts.id).collect()
    }
}

/// Judges by everything that is known: who is there, who is registered, who has replicas (assignments are the only lasting
/// list of brokers that ZooKeeper has), and whether each may be registered. Total and pure. While who is in `/brokers/ids`
/// can't be told, do not ask.
///
/// Every broker is named with every reason; those that the operator's word waives become warnings.
pub fn assess(view: &ClusterView<'_>, assigned: &BTreeMap<NodeId, u64>, service: Service) -> Assessment {
    let watched = view.watched.into_iter().flat_map(|brokers| brokers.keys().copied());
    let registered = view.image.cluster().brokers().map(|(id, _)| id);
    let ids: BTreeSet<_> =
        watched.chain(registered).chain(view.sessions.ids()).chain(assigned.keys().copied()).collect();
    let brokers: Vec<_> =
        ids.into_iter().map(|id| standing(id, view, assigned.get(&id).copied().unwrap_or_default(), service)).collect();
    let waiting = brokers
        .iter()
        .flat_map(|it| it.unready.iter().map(|reason| UnreadyBroker { id: it.facts.id, reason: reason.clone() }))
        .collect();
    let present = view.watched.into_iter().flat_map(|brokers| brokers.keys().copied()).collect();
    Assessment { verdict: verdict(waiting, present, service), brokers }
}

fn standing(id: NodeId, view: &ClusterView<'_>, replicas: u64, service: Service) -> BrokerStanding {
    let facts = BrokerFacts::gather(id, view);
    let mut reasons = match view.present(id) {
        Some(presence) => reasons_of_present(id, presence, &facts, view, service),
        None => reasons_of_absent(&facts, replicas),
    };
    let controller = view.settings.controllers.contains(&id);
    reasons.retain(|reason| !matches!(reason, UnreadyReason::HasTheControllersId { .. }));
    if controller && (facts.in_zookeeper || facts.registered.is_some() || replicas > 0) {
        reasons.push(UnreadyReason::HasTheControllersId { replicas });
    }
    let waived = |reason: &UnreadyReason| service == Service::NoneByOperatorsWord && reason.is_waived_when_unserved();
    let (waived, unready): (Vec<_>, Vec<_>) = reasons.into_iter().partition(waived);
    let mut warnings: Vec<_> = waived.into_iter().map(BrokerWarning::Waived).collect();
    if facts.in_zookeeper {
        warnings.extend(doubts(&facts, view));
    }
    BrokerStanding { facts, replicas, unready, warnings }
}

fn reasons_of_present(
    id: NodeId,
    presence: &BrokerPresence,
    facts: &BrokerFacts,
    view: &ClusterView<'_>,
    service: Service,
) -> Vec<UnreadyReason> {
    let mut reasons = obstacles(id, presence, view);
    if service != Service::Served {
        reasons.push(UnreadyReason::Unserved);
    } else if reasons.is_empty() && !facts.registered.is_some_and(|it| it.is_migrating_zk_broker) {
        reasons.push(UnreadyReason::NotRegistered);
    }
    reasons
}

/// As in Kafka, being registered is enough, fenced or not: brokers that are down now will be told when they come back.
fn reasons_of_absent(facts: &BrokerFacts, replicas: u64) -> Vec<UnreadyReason> {
    let missing = replicas > 0 && facts.registered.is_none();
    missing.then_some(UnreadyReason::Missing { replicas }).into_iter().collect()
}

/// What can't be told for sure of a broker in `/brokers/ids`.
fn doubts(facts: &BrokerFacts, view: &ClusterView<'_>) -> Vec<BrokerWarning> {
    let metadata_version = view.metadata_version();
    let mut doubts = Vec::new();
    // A broker that asked was started with the flag, which it would not be with a generated id.
    if !facts.has_session && id_was_generated(facts.id, view).is_none() {
        doubts.push(BrokerWarning::PerhapsGeneratedId { reserved_max: view.settings.operator.reserved_max() });
    }
    if facts.metadata_versions.is_none() {
        doubts.push(BrokerWarning::MetadataVersionUnknown { expected: metadata_version });
    }
    if facts.log_dirs.is_none() && !metadata_version.supports_directories() {
        doubts.push(BrokerWarning::DirectoriesUnknown { metadata_version });
    }
    let claimed = view.sessions.refused(facts.id).filter(|_| view.refused_itself(facts.id).is_none());
    doubts.extend(claimed.map(|it| BrokerWarning::Refused(it.refusal.clone())));
    doubts
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
            unready.iter().map(|(id, reason)| UnreadyBroker { id: NodeId(*id), reason: reason.clone() }).collect(),
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
        let served = |served| Readiness::Ready { served, unserved: vec![] };
        let table: [Row; 12] = [
            (&[], &[], Service::None, ready(&[])),
            (&[], &[(1, 3), (2, 1)], Service::None, waiting(&[(1, missing(3)), (2, missing(1))])),
            (&[1], &[(1, 3)], Service::None, waiting(&[(1, UnreadyReason::Unserved)])),
            (&[2], &[(1, 3)], Service::None, waiting(&[(1, missing(3)), (2, UnreadyReason::Unserved)])),
            (&[2], &[(1, 3)], word, ready(&[2])),
            (&[], &[(1, 3)], word, ready(&[])),
            (&[], &[(1, 3), (3000, 7)], Service::None, taken(3000, 7)),
            (&[1], &[(3000, 7)], word, taken(3000, 7)),
            (&[3000], &[], word, taken(3000, 0)),
            (&[1, 2], &[(1, 3)], Service::Served, served(2)),
            (&[2], &[(1, 3)], Service::Served, waiting(&[(1, missing(3))])),
            (&[], &[], Service::Served, served(0)),
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
