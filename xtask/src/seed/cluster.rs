//! What a cluster has once: the paths that Kafka makes, its id, its controller's epoch, and what lies about.

use super::acls::{LITERAL_ROOT, PREFIXED_ROOT, RESOURCE_TYPES};
use super::json::Object;
use super::node::{Family, RecordCounts, SeedNode};
use super::random::Random;

/// Paths that brokers, the authorizer and the token store make at start-up, parents first.
const PARENTS: [&str; 23] = [
    "/admin",
    "/admin/delete_topics",
    "/brokers",
    "/brokers/ids",
    "/brokers/topics",
    "/cluster",
    "/config",
    "/config/brokers",
    "/config/changes",
    "/config/clients",
    "/config/ips",
    "/config/topics",
    "/config/users",
    "/consumers",
    "/delegation_token",
    "/delegation_token/token_changes",
    "/delegation_token/tokens",
    "/isr_change_notification",
    LITERAL_ROOT,
    "/kafka-acl-changes",
    "/kafka-acl-extended",
    PREFIXED_ROOT,
    "/kafka-acl-extended-changes",
];

/// Producer ids are handed out in blocks of this many.
const PRODUCER_ID_BLOCK: i64 = 1000;

/// What is decided once and used in many places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cluster {
    pub(super) id: String,
    pub(super) controller_epoch: i32,
    /// The moment at which the cluster is frozen, in milliseconds since 1970: some time in 2024.
    pub(super) now_ms: i64,
}

impl Cluster {
    pub(super) fn of(seed: u64) -> Self {
        let mut random = Random::of(seed, "cluster", 0);
        let id = random.uuid();
        let controller_epoch = 5 + i32::try_from(random.below(60)).unwrap_or_default();
        let now_ms = 1_704_067_200_000 + 1000 * i64::from(random.below(366 * 86_400));
        Self { id, controller_epoch, now_ms }
    }

    /// The parents of everything else, and what stands alone.
    pub(super) fn nodes(&self, seed: u64, brokers: u32) -> impl Iterator<Item = SeedNode> + use<> {
        let mut random = Random::of(seed, "cluster nodes", 0);
        let parents = PARENTS.map(|path| SeedNode::parent(Family::Parents, path)).into_iter();
        let directories = [LITERAL_ROOT, PREFIXED_ROOT]
            .into_iter()
            .flat_map(|root| RESOURCE_TYPES.map(|kind| SeedNode::parent(Family::Parents, format!("{root}/{kind}"))));

        let id = Object::default().text("version", "1").text("id", &self.id).shuffled(&mut random);
        let block_start = PRODUCER_ID_BLOCK * i64::from(random.below(10_000));
        let broker = 1 + random.below(brokers);
        let block = Object::default()
            .number("version", 1)
            .number("broker", broker)
            .text("block_start", &block_start.to_string())
            .text("block_end", &(block_start + PRODUCER_ID_BLOCK - 1).to_string())
            .shuffled(&mut random);
        let blocks = i32::try_from(block_start / PRODUCER_ID_BLOCK).unwrap_or_default();
        let feature =
            Object::default().number("version", 2).number("status", 1).raw("features", "{}").shuffled(&mut random);
        let single = [
            SeedNode::new(Family::ClusterId, "/cluster/id", id),
            // Each election sets it once more, so that number and znode version go together.
            SeedNode::new(Family::ControllerEpoch, "/controller_epoch", self.controller_epoch.to_string())
                .at_version(self.controller_epoch),
            // Each block is a set-data; a number of them stand for all.
            SeedNode::new(Family::ProducerIds, "/latest_producer_id_block", block)
                .at_version(1 + blocks.min(20))
                .making(RecordCounts { producer_ids_record: 1, ..Default::default() }),
            SeedNode::parent(Family::Parents, "/log_dir_event_notification"),
            SeedNode::parent(Family::Parents, "/brokers/seqid").at_version(2),
            SeedNode::new(Family::Features, "/feature", feature),
        ];
        parents.chain(directories).chain(single)
    }
}

/// What nobody has cleared away yet: notifications of changes, and the offsets of consumers of old. None of it migrates.
pub(super) fn left_overs(seed: u64) -> impl Iterator<Item = SeedNode> {
    let mut random = Random::of(seed, "left-overs", 0);
    let mut json = |object: Object| object.shuffled(&mut random);
    let notification = |path: &str, data: String| SeedNode::new(Family::Notifications, path, data);
    let consumer = |path: &str, data: &str| SeedNode::new(Family::Consumers, path, data);
    [
        // Numbered as ZooKeeper numbers them: from 0, by the children made so far. So the next one gets a free name.
        notification(
            "/config/changes/config_change_0000000000",
            json(Object::default().number("version", 2).text("entity_path", "users/checkout/clients/checkout-web")),
        ),
        notification(
            "/config/changes/config_change_0000000001",
            json(Object::default().number("version", 1).text("entity_type", "topics").text("entity_name", "retired")),
        )
        .awkward(Some("a notification in the format of version 1")),
        notification("/kafka-acl-changes/acl_changes_0000000000", "TOPIC:payments".to_owned()),
        notification(
            "/kafka-acl-extended-changes/acl_changes_0000000000",
            json(
                Object::default()
                    .number("version", 1)
                    .text("resourceType", "TOPIC")
                    .text("name", "audit.")
                    .text("patternType", "PREFIXED"),
            ),
        ),
        notification("/delegation_token/token_changes/token_change_0000000000", "b2xkLXRva2VuLTAwMDAwMA".to_owned()),
        consumer("/consumers/mirror-0.8", "").awkward(Some("offsets of a consumer of Kafka 0.8")),
        consumer("/consumers/mirror-0.8/ids", ""),
        consumer("/consumers/mirror-0.8/offsets", ""),
        consumer("/consumers/mirror-0.8/offsets/retired", ""),
        consumer("/consumers/mirror-0.8/offsets/retired/0", "41523"),
        consumer("/consumers/mirror-0.8/owners", ""),
    ]
    .into_iter()
}
