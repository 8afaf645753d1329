//! Topics, their partitions and their configs.

use super::json::{Object, numbers};
use super::node::{Family, RecordCounts, SeedNode};
use super::random::Random;
use super::{configs, options::SeedOptions};

/// Kafka's limit for a topic's name (`Topic.java`).
const NAME_LENGTH_MAX: usize = 249;
/// Partitions that Kafka gives its internal topics unless told otherwise.
const INTERNAL_PARTITIONS: u32 = 50;
/// Partitions of the awkward topics: enough for every case, few enough to read.
const AWKWARD_PARTITIONS: u32 = 4;

const SUBJECTS: [&str; 10] =
    ["orders", "payments", "invoices", "inventory", "shipping", "search", "clicks", "audit", "ledger", "sensors"];
const KINDS: [&str; 6] = ["created", "changed", "events", "commands", "snapshot", "dead-letter"];
const SEPARATORS: [&str; 3] = [".", "_", "-"];

/// Overrides that ordinary topics may have.
const OVERRIDES: [(&str, [&str; 3]); 8] = [
    ("retention.ms", ["60000", "604800000", "-1"]),
    ("cleanup.policy", ["compact", "delete", "compact,delete"]),
    ("min.insync.replicas", ["1", "2", "2"]),
    ("compression.type", ["zstd", "producer", "lz4"]),
    ("max.message.bytes", ["1048588", "5242880", "10485760"]),
    ("segment.bytes", ["104857600", "536870912", "1073741824"]),
    ("message.timestamp.type", ["CreateTime", "LogAppendTime", "CreateTime"]),
    ("unclean.leader.election.enable", ["false", "true", "false"]),
];

/// What is unusual about a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quirk {
    None,
    /// As Kafka 2.4 to 2.7 wrote it, with the id that a newer controller added: version 2, no maps of replicas that
    /// come and go.
    OldJson,
    /// Keys that Kafka doesn't know, and ignores.
    UnknownKeys,
    /// Replicas that come and go.
    Reassigning,
    /// Partitions whose last in-sync replica is down.
    Leaderless,
    /// Partitions whose leader was elected uncleanly and is not recovered yet.
    Recovering,
    /// Many changes of leader, hence a high znode version.
    OftenChanged,
    /// Created, but no controller has made its partitions yet.
    JustCreated,
    /// Being deleted, and all of it is still there.
    BeingDeleted,
}

/// What is written of one topic.
#[derive(Debug, Clone)]
struct Topic {
    name: String,
    partitions: u32,
    quirk: Quirk,
    overrides: Vec<(String, String)>,
    why: Option<&'static str>,
}

impl Topic {
    fn awkward(name: &str, quirk: Quirk, why: &'static str) -> Self {
        Self { name: name.to_owned(), partitions: AWKWARD_PARTITIONS, quirk, overrides: Vec::new(), why: Some(why) }
    }

    fn with(mut self, overrides: &[(&str, &str)]) -> Self {
        self.overrides = overrides.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        self
    }
}

/// Writes topics for one set of options.
#[derive(Debug, Clone, Copy)]
pub(super) struct Topics<'a> {
    pub(super) options: &'a SeedOptions,
    /// The present number in `/controller_epoch`; partition states hold this one or an earlier one.
    pub(super) controller_epoch: i32,
}

impl<'a> Topics<'a> {
    /// Znodes of one ordinary topic without its partitions', plus two for each partition.
    pub(super) fn znodes_of_ordinary(options: &SeedOptions) -> u64 {
        u64::from(options.topics) * (3 + 2 * u64::from(options.partitions_per_topic))
    }

    /// The topics that were asked for, by name as their index orders them. Nothing is kept in memory but the present one.
    pub(super) fn ordinary(self) -> impl Iterator<Item = SeedNode> + use<'a> {
        (0..self.options.topics).flat_map(move |index| self.nodes(self.ordinary_topic(index)))
    }

    /// Kafka's own topics, and the awkward ones if they are wanted.
    pub(super) fn special(self) -> impl Iterator<Item = SeedNode> + use<'a> {
        let internal = [
            (
                "__consumer_offsets",
                &[("cleanup.policy", "compact"), ("compression.type", "producer"), ("segment.bytes", "104857600")][..],
            ),
            (
                "__transaction_state",
                &[
                    ("cleanup.policy", "compact"),
                    ("compression.type", "uncompressed"),
                    ("min.insync.replicas", "1"),
                    ("segment.bytes", "104857600"),
                    ("unclean.leader.election.enable", "false"),
                ][..],
            ),
        ]
        .map(|(name, overrides)| {
            let name = name.to_owned();
            Topic { name, partitions: INTERNAL_PARTITIONS, quirk: Quirk::None, overrides: Vec::new(), why: None }
                .with(overrides)
        });
        let awkward = if self.options.awkward { self.awkward_topics() } else { Vec::new() };
        let left_over = self.options.awkward.then(|| self.config_without_topic());
        internal.into_iter().chain(awkward).flat_map(move |topic| self.nodes(topic)).chain(left_over)
    }

    fn ordinary_topic(self, index: u32) -> Topic {
        let mut random = Random::of(self.options.seed, "topic", u64::from(index));
        let separator = random.pick(SEPARATORS);
        let name = format!("{}{separator}{}{separator}{index:06}", random.pick(SUBJECTS), random.pick(KINDS));
        let quirk = match random.below(100) {
            0..4 if self.options.awkward => Quirk::OldJson,
            4..6 if self.options.awkward => Quirk::UnknownKeys,
            _ => Quirk::None,
        };
        let mut overrides = OVERRIDES;
        random.shuffle(&mut overrides);
        let count = if random.percent(30) { 1 + random.below(4) as usize } else { 0 };
        let overrides = overrides
            .iter()
            .take(count)
            .map(|(key, values)| ((*key).to_owned(), random.pick(*values).to_owned()))
            .collect();
        Topic { name, partitions: self.options.partitions_per_topic, quirk, overrides, why: None }
    }

    fn awkward_topics(self) -> Vec<Topic> {
        let longest = format!("{:x<NAME_LENGTH_MAX$}", "the.longest_name-that-a-topic-may-have.");
        let mut topics = vec![
            Topic::awkward("Every.kind_of-character.0-9", Quirk::None, "dots, underscores, dashes and capitals"),
            Topic::awkward(&longest, Quirk::None, "a name of 249 characters"),
            Topic::awkward("...", Quirk::None, "a name that looks like a path and is none"),
            Topic::awkward("old-format", Quirk::OldJson, "version 2, without adding_replicas and removing_replicas"),
            Topic::awkward("unknown-keys", Quirk::UnknownKeys, "keys that Kafka doesn't know, in topic and partitions"),
            Topic::awkward("leaderless", Quirk::Leaderless, "leader -1, and the last in-sync replica is down"),
            Topic::awkward("recovering", Quirk::Recovering, "leader_recovery_state 1 after an unclean election"),
            Topic::awkward("often-changed", Quirk::OftenChanged, "partition epochs (znode versions) far above 0"),
            Topic::awkward("just-created", Quirk::JustCreated, "no partition znodes yet: no controller has seen it"),
            Topic::awkward("being-deleted", Quirk::BeingDeleted, "being deleted, and all of it is still there"),
            Topic::awkward("strange-configs", Quirk::None, "config values with quotes, backslashes and other letters")
                .with(&[
                    ("follower.replication.throttled.replicas", "0:1,1:2"),
                    ("leader.replication.throttled.replicas", "*"),
                    ("retention.bytes", "9223372036854775807"),
                    ("x.owner", "\"Größe\" \\ 日本, =:;\t{}"),
                    ("x.empty", ""),
                ]),
        ];
        // One replica can't go anywhere and one broker has no place for it.
        if self.options.brokers > 1 {
            topics.push(Topic::awkward("reassigning", Quirk::Reassigning, "replicas being added and removed"));
        }
        topics
    }

    fn config_without_topic(self) -> SeedNode {
        let mut random = Random::of(self.options.seed, "config without topic", 0);
        let overrides = [("retention.ms".to_owned(), "1000".to_owned())];
        let data = configs::entity(&overrides, &mut random);
        let why = "overrides left behind by a topic that is no more";
        SeedNode::new(Family::TopicConfigs, "/config/topics/retired", data).awkward(Some(why))
    }

    fn nodes(self, topic: Topic) -> impl Iterator<Item = SeedNode> + use<'a> {
        let path = format!("/brokers/topics/{}", topic.name);
        let deleted = topic.quirk == Quirk::BeingDeleted;
        let mut random = Random::of(self.options.seed, &topic.name, u64::MAX);
        let first_broker = random.below(self.options.brokers);
        let counted = |counts: RecordCounts| if deleted { RecordCounts::default() } else { counts };

        // A topic's znode makes the records of its partitions too: their own znodes may be absent.
        let counts =
            RecordCounts { topic_record: 1, partition_record: u64::from(topic.partitions), ..Default::default() };
        let node = SeedNode::new(Family::Topics, path.clone(), self.topic_json(&topic, first_broker, &mut random))
            .making(counted(counts))
            .awkward(topic.why);
        let config_data = configs::entity(&topic.overrides, &mut random);
        let config = SeedNode::new(Family::TopicConfigs, format!("/config/topics/{}", topic.name), config_data)
            .making(counted(RecordCounts::configs(topic.overrides.len())));
        let parent = SeedNode::parent(Family::Topics, format!("{path}/partitions"));
        let pending = deleted.then(|| {
            SeedNode::parent(Family::PendingDeletions, format!("/admin/delete_topics/{}", topic.name))
                .awkward(Some("a topic that is being deleted: an import leaves it out"))
        });

        let has_partitions = topic.quirk != Quirk::JustCreated;
        let partitions = if has_partitions { topic.partitions } else { 0 };
        [node, config]
            .into_iter()
            .chain(has_partitions.then_some(parent))
            .chain((0..partitions).flat_map(move |partition| {
                let parent = SeedNode::parent(Family::Partitions, format!("{path}/partitions/{partition}"));
                [parent, self.state(&topic, first_broker, partition)]
            }))
            .chain(pending)
    }

    fn topic_json(self, topic: &Topic, first_broker: u32, random: &mut Random) -> String {
        let mut replicas = Object::default();
        let mut adding = Object::default();
        let mut removing = Object::default();
        for partition in 0..topic.partitions {
            let id = partition.to_string();
            let assignment = self.assignment(topic, first_broker, partition);
            replicas = replicas.raw(&id, numbers(&assignment.replicas));
            if !assignment.adding.is_empty() {
                adding = adding.raw(&id, numbers(&assignment.adding));
            }
            if !assignment.removing.is_empty() {
                removing = removing.raw(&id, numbers(&assignment.removing));
            }
        }
        let json = Object::default().text("topic_id", &random.uuid()).raw("partitions", replicas.shuffled(random));
        let json = match topic.quirk {
            Quirk::OldJson => json.number("version", 2),
            _ => json
                .number("version", 3)
                .raw("adding_replicas", adding.shuffled(random))
                .raw("removing_replicas", removing.shuffled(random)),
        };
        let json = match topic.quirk {
            Quirk::UnknownKeys => json.raw("provisioning", r#"{"ticket":null,"tags":["a",1,true]}"#),
            _ => json,
        };
        json.shuffled(random)
    }

    fn assignment(self, topic: &Topic, first_broker: u32, partition: u32) -> Assignment {
        let SeedOptions { brokers, replication_factor, .. } = *self.options;
        let mut replicas = spread(first_broker, partition, replication_factor, brokers);
        let (mut adding, mut removing) = (Vec::new(), Vec::new());
        if topic.quirk == Quirk::Reassigning {
            // By turns: move a replica, add one, remove one, nothing. Where there is no room to add, remove.
            let can_add = brokers > replication_factor;
            if matches!(partition % 4, 0 | 1) && can_add {
                let wider = spread(first_broker, partition, replication_factor + 1, brokers);
                adding.extend(wider.into_iter().filter(|broker| !replicas.contains(broker)));
            }
            if matches!(partition % 4, 0 | 2) && replication_factor > 1 {
                removing.extend(replicas.last());
            }
            // Kafka lists the target first, then what goes.
            replicas = adding.iter().chain(&replicas).copied().collect();
        }
        Assignment { replicas, adding, removing }
    }

    fn state(self, topic: &Topic, first_broker: u32, partition: u32) -> SeedNode {
        let mut random = Random::of(self.options.seed, &topic.name, u64::from(partition));
        let Assignment { mut replicas, adding, .. } = self.assignment(topic, first_broker, partition);
        // Replicas that are being added aren't in sync yet.
        replicas.retain(|broker| !adding.contains(broker));
        let mut state = State::fresh(replicas);
        let chance = random.below(1000);
        match topic.quirk {
            Quirk::Leaderless => state.lose_leader(),
            Quirk::Recovering => state.elect_uncleanly(),
            Quirk::OftenChanged => {
                state.version = 40 + at_most(&mut random, 30);
                state.leader_epoch = state.version - at_most(&mut random, 10);
            }
            // As on a cluster that has seen some years.
            _ => match chance {
                0 if self.options.awkward => state.lose_leader(),
                1 if self.options.awkward => state.elect_uncleanly(),
                2..30 => state.shrink_isr(&mut random),
                30..100 => state.move_leader(&mut random),
                _ => {}
            },
        }
        let controller_epoch = 1 + at_most(&mut random, self.controller_epoch - 1);
        let json = state.json().number("controller_epoch", controller_epoch);
        let json = match topic.quirk {
            Quirk::UnknownKeys => json.raw("last_moved_by", "null").number("moves", 3),
            _ => json,
        };
        let path = format!("/brokers/topics/{}/partitions/{partition}/state", topic.name);
        SeedNode::new(Family::Partitions, path, json.shuffled(&mut random)).at_version(state.version)
    }
}

struct Assignment {
    replicas: Vec<i32>,
    adding: Vec<i32>,
    removing: Vec<i32>,
}

/// What a controller last wrote of a partition. Each change raised the znode's version, so the leader epoch is never
/// above it.
struct State {
    leader: i32,
    leader_epoch: i32,
    isr: Vec<i32>,
    recovering: bool,
    version: i32,
}

impl State {
    /// The preferred replica leads and all are in sync.
    fn fresh(replicas: Vec<i32>) -> Self {
        let leader = replicas.first().copied().unwrap_or(-1);
        Self { leader, leader_epoch: 0, isr: replicas, recovering: false, version: 0 }
    }

    /// Every in-sync replica but one went, then that one.
    fn lose_leader(&mut self) {
        self.isr.truncate(1);
        (self.leader, self.leader_epoch, self.version) = (-1, 2, 3);
    }

    /// A replica that was not in sync took over, and has not yet said that it is done with what it lost.
    fn elect_uncleanly(&mut self) {
        self.isr = self.isr.last().copied().into_iter().collect();
        self.leader = self.isr.first().copied().unwrap_or(-1);
        (self.leader_epoch, self.version, self.recovering) = (3, 4, true);
    }

    /// A follower has fallen behind, and the leader may have changed before.
    fn shrink_isr(&mut self, random: &mut Random) {
        if self.isr.len() > 1 {
            self.isr.pop();
        }
        self.version = 1 + at_most(random, 2);
        self.leader_epoch = at_most(random, self.version);
    }

    /// Leadership has moved, and may have moved back.
    fn move_leader(&mut self, random: &mut Random) {
        random.shuffle(&mut self.isr);
        self.leader = self.isr.first().copied().unwrap_or(-1);
        random.shuffle(&mut self.isr);
        self.version = 1 + at_most(random, 3);
        self.leader_epoch = self.version;
    }

    fn json(&self) -> Object {
        let json = Object::default()
            .number("version", 1)
            .number("leader", self.leader)
            .number("leader_epoch", self.leader_epoch)
            .raw("isr", numbers(&self.isr));
        // Kafka leaves the key out when it is 0.
        if self.recovering { json.number("leader_recovery_state", 1) } else { json }
    }
}

/// From 0 to `most`, inclusive.
fn at_most(random: &mut Random, most: i32) -> i32 {
    let bound = u32::try_from(most).map_or(0, |most| most + 1);
    i32::try_from(random.below(bound)).unwrap_or_default()
}

/// Replicas of one partition: leaders go round the brokers, and followers shift by one more with each round, as Kafka
/// spreads them (`AdminUtils.java`). Broker ids start at 1. `count` is at most `brokers`.
fn spread(first: u32, partition: u32, count: u32, brokers: u32) -> Vec<i32> {
    let brokers = u64::from(brokers.max(1));
    let leader = (u64::from(first) + u64::from(partition)) % brokers;
    let round = u64::from(partition) / brokers;
    let follower = |n: u64| (leader + 1 + (round + n) % (brokers - 1).max(1)) % brokers;
    std::iter::once(leader)
        .chain((0..u64::from(count.saturating_sub(1))).map(follower))
        .map(|index| i32::try_from(index + 1).unwrap_or(i32::MAX))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn replicas_are_distinct_brokers_and_every_broker_leads() {
        for brokers in 1..=8 {
            for count in 1..=brokers {
                let mut leaders = BTreeSet::new();
                for partition in 0..40 {
                    let replicas = spread(3, partition, count, brokers);
                    let distinct: BTreeSet<_> = replicas.iter().copied().collect();
                    assert_eq!(distinct.len(), count as usize, "{replicas:?}");
                    assert!(distinct.iter().all(|broker| (1..=brokers as i32).contains(broker)));
                    leaders.insert(replicas[0]);
                }
                assert_eq!(leaders.len(), brokers as usize);
            }
        }
    }

    #[test]
    fn a_reassignment_adds_what_is_new_and_removes_what_was_there() {
        for (brokers, replication_factor) in [(6, 3), (3, 3), (2, 1), (4, 2)] {
            let options = SeedOptions { brokers, replication_factor, ..SeedOptions::default() };
            let topics = Topics { options: &options, controller_epoch: 9 };
            let topic = Topic::awkward("reassigning", Quirk::Reassigning, "");
            let plain = Topic { quirk: Quirk::None, ..topic.clone() };
            let mut moving = 0;
            for partition in 0..AWKWARD_PARTITIONS {
                let origin = topics.assignment(&plain, 1, partition).replicas;
                let Assignment { replicas, adding, removing } = topics.assignment(&topic, 1, partition);
                assert!(adding.iter().all(|broker| !origin.contains(broker) && replicas.contains(broker)));
                assert!(removing.iter().all(|broker| origin.contains(broker) && replicas.contains(broker)));
                assert_eq!(replicas.len(), origin.len() + adding.len());
                moving += adding.len() + removing.len();
            }
            assert!(moving > 0, "{brokers} brokers, {replication_factor} replicas");
        }
    }
}
