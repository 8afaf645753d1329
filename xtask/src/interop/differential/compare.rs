//! Two sets of records, compared without regard to their order.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::entry::{Entry, same, same_fields};

/// What Kafka and we made of the same znodes.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    /// Records that both have, the same to the bit.
    pub(super) equal: u64,
    /// Everything else.
    pub(super) differences: Vec<Difference>,
}

/// One difference, as small as it can be: records that differ in two fields have two.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Difference {
    /// In what they differ.
    pub(super) what: What,
    /// Kafka's record.
    pub(super) kafka: Option<Entry>,
    /// Ours.
    pub(super) ours: Option<Entry>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// We have no such record.
    Missing,
    /// Kafka has no such record.
    Extra,
    /// It is written in another version.
    Version,
    /// This field has another value, or only one of the versions has it.
    Field(&'static str),
    /// All fields are the same, the bytes are not.
    Bytes,
}

impl Difference {
    /// For people, secrets redacted.
    pub(super) fn object(&self) -> Value {
        let what = match self.what {
            What::Missing => "we lack it".to_owned(),
            What::Extra => "Kafka lacks it".to_owned(),
            What::Version => "version".to_owned(),
            What::Field(name) => format!("field {name}"),
            What::Bytes => "bytes".to_owned(),
        };
        let of = |entry: &Option<Entry>| entry.as_ref().map(Entry::object);
        json!({"difference": what, "kafka": of(&self.kafka), "ours": of(&self.ours)})
    }
}

/// Compares as multisets: a record that one has twice and the other once is a difference.
pub(super) fn compare(kafka: &[Entry], ours: &[Entry]) -> Comparison {
    let mut groups: BTreeMap<String, (Vec<&Entry>, Vec<&Entry>)> = BTreeMap::new();
    for entry in kafka {
        groups.entry(entry.identity()).or_default().0.push(entry);
    }
    for entry in ours {
        groups.entry(entry.identity()).or_default().1.push(entry);
    }
    let mut comparison = Comparison::default();
    groups.into_values().for_each(|(kafka, ours)| comparison.group(kafka, ours));
    comparison
}

impl Comparison {
    /// Records with one identity. Those that are equal go first, so that the rest is as small as it can be.
    fn group(&mut self, kafka: Vec<&Entry>, mut ours: Vec<&Entry>) {
        let mut rest = Vec::new();
        for entry in kafka {
            match ours.iter().position(|other| differing(entry, other).is_empty()) {
                Some(at) => {
                    ours.remove(at);
                    self.equal += 1;
                }
                None => rest.push(entry),
            }
        }
        let mut ours = ours.into_iter();
        for entry in rest {
            match ours.next() {
                Some(other) => {
                    for what in differing(entry, other) {
                        self.add(what, Some(entry), Some(other));
                    }
                }
                None => self.add(What::Missing, Some(entry), None),
            }
        }
        for other in ours {
            self.add(What::Extra, None, Some(other));
        }
    }

    fn add(&mut self, what: What, kafka: Option<&Entry>, ours: Option<&Entry>) {
        self.differences.push(Difference { what, kafka: kafka.cloned(), ours: ours.cloned() });
    }
}

/// All in which two records differ.
fn differing(kafka: &Entry, ours: &Entry) -> Vec<What> {
    let mut found = Vec::new();
    if kafka.record.version != ours.record.version {
        found.push(What::Version);
    }
    let (theirs, own) = (kafka.record.fields(), ours.record.fields());
    if !same_fields(&theirs, &own) {
        for (name, value) in &theirs {
            let other = own.iter().find_map(|(known, value)| (known == name).then_some(value));
            if !other.is_some_and(|other| same(value, other)) {
                found.push(What::Field(name));
            }
        }
        let only_ours = own.iter().filter(|(name, _)| theirs.iter().all(|(known, _)| known != name));
        found.extend(only_ours.map(|(name, _)| What::Field(name)));
    }
    // Fields that the schema does not know are in the bytes alone.
    if found.is_empty() && kafka.size != ours.size {
        found.push(What::Bytes);
    }
    found
}

#[cfg(test)]
mod tests {
    use metadata_core::id::{NodeId, PartitionEpoch};
    use metadata_core::record::ClientQuotaRecord;

    use super::super::entry::tests::{acl, entry, partition, topic};
    use super::*;

    fn whats(kafka: &[Entry], ours: &[Entry]) -> (u64, Vec<What>) {
        let comparison = compare(kafka, ours);
        (comparison.equal, comparison.differences.iter().map(|difference| difference.what).collect())
    }

    fn log() -> Vec<Entry> {
        vec![entry(topic("a", 1)), entry(partition(1, 0)), entry(partition(1, 1)), entry(acl("User:a", 1))]
    }

    #[test]
    fn the_same_records_in_another_order_are_the_same() {
        let mut other = log();
        other.reverse();
        assert_eq!(whats(&log(), &other), (4, vec![]));
    }

    #[test]
    fn a_record_that_we_lack_and_one_that_kafka_lacks_are_found() {
        for at in 0..log().len() {
            let mut fewer = log();
            let gone = fewer.remove(at);
            assert_eq!(whats(&log(), &fewer), (3, vec![What::Missing]), "{at}");
            assert_eq!(whats(&fewer, &log()), (3, vec![What::Extra]), "{at}");
            let found = compare(&log(), &fewer).differences;
            assert_eq!((found[0].kafka.as_ref(), found[0].ours.as_ref()), (Some(&gone), None));
        }
    }

    #[test]
    fn a_duplicate_is_found_on_either_side() {
        for at in 0..log().len() {
            let mut more = log();
            more.push(more[at].clone());
            assert_eq!(whats(&more, &log()), (4, vec![What::Missing]), "{at}");
            assert_eq!(whats(&log(), &more), (4, vec![What::Extra]), "{at}");
        }
    }

    #[test]
    fn each_field_that_differs_is_a_difference_of_its_own() {
        let mut changed = partition(1, 0);
        changed.leader = NodeId(2);
        changed.partition_epoch = PartitionEpoch(7);
        let expected = (0, vec![What::Field("leader"), What::Field("partitionEpoch")]);
        assert_eq!(whats(&[entry(partition(1, 0))], &[entry(changed)]), expected);
        // The order of replicas says who is preferred.
        let mut reordered = partition(1, 0);
        reordered.replicas.reverse();
        assert_eq!(whats(&[entry(partition(1, 0))], &[entry(reordered)]).1, [What::Field("replicas")]);
    }

    #[test]
    fn another_version_is_found_with_the_fields_that_only_one_has() {
        let mut newer = entry(partition(1, 0));
        newer.record.version = 1;
        assert_eq!(whats(&[entry(partition(1, 0))], &[newer.clone()]).1, [What::Version, What::Field("directories")]);
        assert_eq!(whats(&[newer], &[entry(partition(1, 0))]).1, [What::Version, What::Field("directories")]);
    }

    #[test]
    fn bytes_that_no_field_shows_are_found() {
        let mut longer = entry(topic("a", 1));
        longer.size += 2;
        assert_eq!(whats(&[entry(topic("a", 1))], &[longer]).1, [What::Bytes]);
    }

    #[test]
    fn equal_records_are_matched_before_others() {
        let quota = |value| entry(ClientQuotaRecord { key: "k".into(), value, ..Default::default() });
        let (kafka, ours) = ([quota(1.0), quota(2.0)], [quota(2.0), quota(3.0)]);
        let comparison = compare(&kafka, &ours);
        assert_eq!(comparison.equal, 1);
        let (first, last) = (quota(1.0), quota(3.0));
        let expected = Difference { what: What::Field("value"), kafka: Some(first), ours: Some(last) };
        assert_eq!(comparison.differences, [expected]);
    }
}
