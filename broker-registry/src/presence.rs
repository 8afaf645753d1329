//! Successive states of `/brokers/ids` as changes with names.

use std::collections::BTreeMap;

use metadata_core::brokers::BrokerPresence;
use metadata_core::id::NodeId;

/// What happened to one broker between two states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PresenceChange {
    /// It is there now and was not.
    Appeared(NodeId),
    /// It was there and is not.
    Vanished(NodeId),
    /// It is there and was, but its entry was made anew: it restarted, perhaps in between two looks.
    Restarted(NodeId),
    /// The same entry says something else (endpoints, rack).
    Changed(NodeId),
}

/// Who is there, as last reported.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Presence {
    brokers: BTreeMap<NodeId, BrokerPresence>,
}

impl Presence {
    /// Nobody is known yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Who is there.
    pub fn brokers(&self) -> &BTreeMap<NodeId, BrokerPresence> {
        &self.brokers
    }

    /// Takes the present state and names what changed, by id.
    pub fn update(&mut self, now: BTreeMap<NodeId, BrokerPresence>) -> Vec<PresenceChange> {
        let mut changes: Vec<_> = now
            .iter()
            .filter_map(|(id, broker)| match self.brokers.get(id) {
                None => Some((*id, PresenceChange::Appeared(*id))),
                Some(before) if before.incarnation != broker.incarnation => Some((*id, PresenceChange::Restarted(*id))),
                Some(before) if before != broker => Some((*id, PresenceChange::Changed(*id))),
                Some(_) => None,
            })
            .collect();
        let vanished = self.brokers.keys().filter(|id| !now.contains_key(id));
        changes.extend(vanished.map(|id| (*id, PresenceChange::Vanished(*id))));
        changes.sort_by_key(|(id, _)| *id);
        self.brokers = now;
        changes.into_iter().map(|(_, change)| change).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broker(czxid: i64, rack: Option<&str>) -> BrokerPresence {
        BrokerPresence { rack: rack.map(str::to_owned), ..BrokerPresence::in_zookeeper(czxid) }
    }

    #[test]
    fn each_kind_of_change_has_its_name() {
        let mut presence = Presence::new();
        let first = [(NodeId(1), broker(10, None)), (NodeId(2), broker(11, None)), (NodeId(3), broker(12, None))];
        assert_eq!(presence.update(first.into()), [1, 2, 3].map(|id| PresenceChange::Appeared(NodeId(id))).to_vec());
        let second = [(NodeId(1), broker(10, None)), (NodeId(2), broker(20, None)), (NodeId(4), broker(21, None))];
        assert_eq!(
            presence.update(second.into()),
            vec![
                PresenceChange::Restarted(NodeId(2)),
                PresenceChange::Vanished(NodeId(3)),
                PresenceChange::Appeared(NodeId(4)),
            ]
        );
        let third = [(NodeId(1), broker(10, Some("a"))), (NodeId(2), broker(20, None)), (NodeId(4), broker(21, None))];
        assert_eq!(presence.update(third.into()), vec![PresenceChange::Changed(NodeId(1))]);
    }

    #[test]
    fn the_same_state_again_is_no_change() {
        let mut presence = Presence::new();
        let state = BTreeMap::from([(NodeId(1), broker(10, None))]);
        presence.update(state.clone());
        assert!(presence.update(state).is_empty());
    }
}
