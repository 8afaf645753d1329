//! The differences that are as they should be, each with its reason.

use std::collections::BTreeMap;

use metadata_core::image::AccessControlEntry;
use metadata_core::record::MetadataRecord;
use store_zk::import::acl_id;

use super::compare::{Difference, What};

/// A kind of difference that is as it should be.
pub(super) struct Explanation {
    /// Names it, in the output too.
    pub(super) name: &'static str,
    /// Why it is right.
    pub(super) reason: &'static str,
    /// Whether a difference is of this kind, and of nothing more.
    explains: fn(&Difference) -> bool,
}

/// All of them. A difference that none of them explains is a bug, of ours or of Kafka's.
pub(super) const EXPLANATIONS: &[Explanation] = &[Explanation {
    name: "acl-id",
    reason: "ZooKeeper has no ids for entries of access control lists: Kafka takes a random one at each migration, we \
             derive one from the content",
    explains: is_acl_id,
}];

/// Only the id differs, and ours is the one that follows from the content.
fn is_acl_id(difference: &Difference) -> bool {
    let Some(MetadataRecord::AccessControlEntry(ours)) = difference.ours.as_ref().map(|entry| &entry.record.record)
    else {
        return false;
    };
    difference.what == What::Field("id") && ours.id == acl_id(&AccessControlEntry::from(ours))
}

/// Differences, told apart.
#[derive(Debug, Default)]
pub(super) struct Explained {
    /// How many there are of each kind.
    pub(super) counts: BTreeMap<&'static str, u64>,
    /// Those that nothing explains.
    pub(super) unexplained: Vec<Difference>,
}

/// Explains what can be explained.
pub(super) fn explain(differences: Vec<Difference>) -> Explained {
    let mut explained = Explained::default();
    for difference in differences {
        match EXPLANATIONS.iter().find(|explanation| (explanation.explains)(&difference)) {
            Some(explanation) => *explained.counts.entry(explanation.name).or_default() += 1,
            None => explained.unexplained.push(difference),
        }
    }
    explained
}

#[cfg(test)]
mod tests {
    use metadata_core::id::NodeId;
    use metadata_core::record::{AccessControlEntryRecord, MetadataRecord};

    use super::super::compare::compare;
    use super::super::entry::tests::{acl, entry, partition, topic};
    use super::*;

    /// Kafka's record, and ours.
    struct Pair(MetadataRecord, MetadataRecord);

    /// The same entry with the id that we give it.
    fn derived(mut record: AccessControlEntryRecord) -> AccessControlEntryRecord {
        record.id = acl_id(&AccessControlEntry::from(&record));
        record
    }

    /// For each explanation a pair that it explains, and pairs that are nearly the same and that nothing explains.
    fn cases() -> Vec<(&'static str, Pair, Vec<Pair>)> {
        let kafka = || MetadataRecord::from(acl("User:a", 1));
        let mut denied = acl("User:a", 2);
        denied.permission_type = 2;
        let near = vec![
            Pair(kafka(), derived(denied).into()),
            Pair(kafka(), derived(acl("User:b", 1)).into()),
            Pair(kafka(), acl("User:a", 2).into()),
            Pair(derived(acl("User:a", 1)).into(), kafka()),
            Pair(topic("a", 1).into(), topic("a", 2).into()),
        ];
        vec![("acl-id", Pair(kafka(), derived(acl("User:a", 2)).into()), near)]
    }

    fn explained(Pair(kafka, ours): Pair) -> Explained {
        explain(compare(&[entry(kafka)], &[entry(ours)]).differences)
    }

    #[test]
    fn each_explanation_explains_its_case_and_no_near_one() {
        let mut tested = Vec::new();
        for (name, case, near) in cases() {
            let found = explained(case);
            assert_eq!((found.counts, found.unexplained.len()), ([(name, 1)].into(), 0));
            for pair in near {
                assert!(!explained(pair).unexplained.is_empty(), "{name}");
            }
            tested.push(name);
        }
        assert_eq!(tested, EXPLANATIONS.iter().map(|explanation| explanation.name).collect::<Vec<_>>());
    }

    #[test]
    fn nothing_explains_a_missing_an_extra_or_a_doubled_record() {
        for record in [entry(acl("User:a", 1)), entry(topic("a", 1)), entry(partition(1, 0))] {
            let none = [].as_slice();
            let one = std::slice::from_ref(&record);
            for (kafka, ours) in [(one, none), (none, one), (&[record.clone(), record.clone()], one)] {
                assert_eq!(explain(compare(kafka, ours).differences).unexplained.len(), 1);
            }
        }
    }

    #[test]
    fn what_is_explained_does_not_hide_what_is_not() {
        let mut moved = partition(1, 0);
        moved.leader = NodeId(2);
        let kafka = [entry(acl("User:a", 1)), entry(partition(1, 0))];
        let ours = [entry(derived(acl("User:a", 2))), entry(moved)];
        let found = explain(compare(&kafka, &ours).differences);
        assert_eq!(found.counts, [("acl-id", 1)].into());
        assert_eq!(
            found.unexplained.iter().map(|difference| difference.what).collect::<Vec<_>>(),
            [What::Field("leader")]
        );
    }
}
