//! What a full sync must get right, one claim a test.

use std::collections::BTreeMap;

use metadata_core::image::MetadataImage;
use metadata_core::record::{MetadataRecord, ProducerIdsRecord};
use store_zk::project::{Entity, PADDING_MAX, Plan, ProjectionContext, Projector, SyncPlan, plan_sync};
use store_zk::znode::Znode;
use store_zk::znode::password::{self, PasswordSecret};

use crate::project_traps::{acl, config, context, image, lines, partition, quota, scram, topic};
use crate::tree::Tree;

/// The tree of an image with changes by hand: a path and its data, `None` to delete it and all below.
fn tree(image: &MetadataImage, edits: &[(&str, Option<&str>)]) -> Tree {
    let mut tree = Tree::of(image, &context());
    for (path, data) in edits {
        match data {
            Some(data) => {
                let version = tree.znodes.get(*path).map_or(0, |znode| znode.version.0);
                tree.znodes.insert((*path).to_owned(), Znode::new((*data).to_owned(), version.into()));
            }
            None => tree.znodes.retain(|found, _| found != path && !found.starts_with(&format!("{path}/"))),
        }
    }
    tree
}

fn sync(image: &MetadataImage, tree: &Tree, entity: &Entity) -> SyncPlan {
    sync_with(&context(), image, tree, entity)
}

fn sync_with(context: &ProjectionContext, image: &MetadataImage, tree: &Tree, entity: &Entity) -> SyncPlan {
    let projector = Projector::new(image, context);
    let actual: BTreeMap<String, Znode> = tree.below(&entity.roots(), *entity != Entity::Containers);
    plan_sync(&projector, entity, &actual)
}

fn ops(plan: &SyncPlan) -> Vec<String> {
    lines(&Plan { ops: plan.ops.clone(), ..Plan::default() })
}

fn short(plan: &SyncPlan) -> Vec<String> {
    ops(plan).iter().map(|line| line.split(" {").next().unwrap().to_owned()).collect()
}

fn t() -> Entity {
    Entity::Topic("t".into())
}

const STATE: &str = "/brokers/topics/t/partitions/0/state";

fn one_topic(epoch: i32) -> MetadataImage {
    image([topic("t", 7), partition(7, 0, epoch)])
}

/// L7, G6: Kafka sets such a state, in vain, for ever.
#[test]
fn a_missing_state_is_created_and_padded() {
    let image = one_topic(2);
    let plan = sync(&image, &tree(&image, &[("/brokers/topics/t/partitions/0", None)]), &t());
    let expected = [
        "create /brokers/topics/t/partitions/0",
        &format!("create {STATE}"),
        &format!("set {STATE}"),
        &format!("set {STATE}"),
    ];
    assert_eq!(short(&plan), expected);
    assert_eq!((plan.written, plan.deleted), (2, 0));
}

/// G8, G26: directories, spelling and order are no differences.
#[test]
fn what_means_the_same_is_not_written() {
    let image = image([
        topic("t", 7),
        partition(7, 0, 2),
        config(2, "t", "a", Some("1")),
        quota(&[("user", Some("u"))], "request_percentage", Some(10.0)),
        scram("u", 1),
        config(4, "1", "ssl.key.password", Some("hunter2")),
        acl(1, 2, "x", 3, "User:a"),
    ]);
    let encoded = store_zk::znode::password::encode("hunter2", "elsewhere", "k", context().secret.as_ref().unwrap());
    let broker = format!(r#"{{"config":{{"ssl.key.password":"{encoded}"}}}}"#);
    let tree = tree(
        &image,
        &[
            (
                "/brokers/topics/t",
                Some(r#"{"partitions":{"0":[1,2]},"topic_id":"AAAAAAAAAAEAAAAAAAAABw","version":2}"#),
            ),
            (
                STATE,
                Some(r#"{"isr":[1,2],"leader":1,"leader_epoch":0,"controller_epoch":1,"leader_recovery_state":0}"#),
            ),
            ("/brokers/topics/t/partitions", Some("junk")),
            ("/config/topics/t", Some(r#"{"config":{"a":"1"},"version":9}"#)),
            (
                "/config/users/u",
                Some(
                    r#"{"config":{"request_percentage":"10","SCRAM-SHA-256":"iterations=4096,salt=c2FsdA,server_key=c2VydmVy,stored_key=c3RvcmVk"}}"#,
                ),
            ),
            ("/config/brokers/1", Some(&broker)),
            (
                "/kafka-acl/Topic/x",
                Some(
                    r#"{"version":1,"acls":[{"host":"*","operation":"read","permissionType":"ALLOW","principal":"User:a"}]}"#,
                ),
            ),
        ],
    );
    for entity in
        [t(), Entity::User("u".into()), Entity::BrokerConfig("1".into()), Entity::at("/kafka-acl/Topic/x").unwrap()]
    {
        let plan = sync(&image, &tree, &entity);
        assert_eq!(short(&plan), [] as [&str; 0], "{entity}");
        assert!(plan.compared > 0);
    }
}

#[test]
fn a_state_that_lags_is_padded_up_to_its_epoch() {
    let image = one_topic(5);
    let mut tree = tree(&image, &[]);
    tree.znodes.get_mut(STATE).unwrap().version = 3.into();
    let plan = sync(&image, &tree, &t());
    assert_eq!(short(&plan), [format!("set {STATE}"), format!("set {STATE}")]);
    assert_eq!((plan.written, plan.warnings.len()), (1, 0));
}

#[test]
fn a_state_that_differs_is_written_then_padded() {
    let image = one_topic(5);
    let mut tree =
        tree(&image, &[(STATE, Some(r#"{"version":1,"leader":2,"leader_epoch":0,"controller_epoch":9,"isr":[1]}"#))]);
    tree.znodes.get_mut(STATE).unwrap().version = 2.into();
    let plan = sync(&image, &tree, &t());
    assert_eq!(short(&plan), [format!("set {STATE}"), format!("set {STATE}"), format!("set {STATE}")]);
    tree.apply_all(&plan.ops);
    assert_eq!(tree.znodes[STATE].version.0, 5);
}

#[test]
fn a_version_above_the_epoch_can_only_be_reported() {
    let image = one_topic(5);
    let mut tree = tree(&image, &[]);
    tree.znodes.get_mut(STATE).unwrap().version = 6.into();
    let plan = sync(&image, &tree, &t());
    assert_eq!(short(&plan), [] as [&str; 0]);
    assert_eq!(
        plan.warnings,
        [
            "/brokers/topics/t/partitions/0/state has version 6, above its partition epoch 5: restart the brokers of this \
          partition after a rollback"
        ]
    );
    // Mending the content raises it once more.
    tree.znodes.insert(STATE.to_owned(), Znode::new("broken", 5.into()));
    let plan = sync(&image, &tree, &t());
    assert_eq!(short(&plan), [format!("set {STATE}")]);
    assert!(plan.warnings[0].contains("version 6, above its partition epoch 5"));
}

#[test]
fn a_controller_epoch_that_was_claimed_once_is_no_difference() {
    let image = one_topic(2);
    for (epoch, written) in [(1, 0), (8, 0), (9, 0), (10, 1), (0, 1)] {
        let data = format!(r#"{{"version":1,"leader":1,"leader_epoch":0,"controller_epoch":{epoch},"isr":[1,2]}}"#);
        assert_eq!(sync(&image, &tree(&image, &[(STATE, Some(&data))]), &t()).written, written, "{epoch}");
    }
}

/// L4: by id, not by name.
#[test]
fn a_topic_with_another_id_is_deleted_whole_before_it_is_created() {
    let stale = image([topic("t", 8), partition(8, 0, 40), partition(8, 1, 0)]);
    let image = one_topic(0);
    let mut tree = tree(&stale, &[]);
    let plan = sync(&image, &tree, &t());
    let expected = [
        "delete /config/topics/t",
        "delete /brokers/topics/t/partitions/1/state",
        "delete /brokers/topics/t/partitions/1",
        "delete /brokers/topics/t/partitions/0/state",
        "delete /brokers/topics/t/partitions/0",
        "delete /brokers/topics/t/partitions",
        "delete /brokers/topics/t",
        "create /brokers/topics/t",
        "create /brokers/topics/t/partitions",
        "create /brokers/topics/t/partitions/0",
        "create /brokers/topics/t/partitions/0/state",
        "create /config/topics/t",
    ];
    assert_eq!(short(&plan), expected);
    tree.apply_all(&plan.ops);
    assert_eq!(tree.content(), Tree::of(&image, &context()).content());
}

#[test]
fn a_topic_that_is_not_in_the_image_goes_and_its_pending_deletion_last() {
    let gone = one_topic(1);
    let mut tree = tree(&gone, &[("/admin/delete_topics/t", Some(""))]);
    let plan = sync(&MetadataImage::empty(), &tree, &t());
    let deleted = short(&plan);
    assert_eq!(deleted.len(), 6);
    assert_eq!(deleted.last().map(String::as_str), Some("delete /admin/delete_topics/t"));
    tree.apply_all(&plan.ops);
    assert_eq!(tree.content(), Tree::of(&MetadataImage::empty(), &context()).content());
}

#[test]
fn a_pending_deletion_of_a_topic_that_lives_is_dropped() {
    let image = one_topic(1);
    let plan = sync(&image, &tree(&image, &[("/admin/delete_topics/t", Some(""))]), &t());
    assert_eq!(short(&plan), ["delete /admin/delete_topics/t"]);
}

#[test]
fn a_config_without_its_topic_goes() {
    let tree = tree(&MetadataImage::empty(), &[("/config/topics/x", Some(r#"{"version":1,"config":{"a":"1"}}"#))]);
    let plan = sync(&MetadataImage::empty(), &tree, &Entity::Topic("x".into()));
    assert_eq!(short(&plan), ["delete /config/topics/x"]);
}

/// L13: a leftover config node is taken over, not tripped over.
#[test]
fn a_leftover_config_node_is_taken_over() {
    let image = image([topic("t", 7), config(2, "t", "a", Some("1"))]);
    let tree = tree(&image, &[("/brokers/topics/t", None), ("/config/topics/t", Some(r#"{"version":1,"config":{}}"#))]);
    let plan = sync(&image, &tree, &t());
    let expected =
        ["create /brokers/topics/t", "create /brokers/topics/t/partitions", "set /config/topics/t", "notify"];
    assert_eq!(short(&plan), expected);
}

#[test]
fn broken_data_is_mended() {
    let image = one_topic(1);
    let tree = tree(&image, &[("/brokers/topics/t", Some("{")), ("/config/topics/t", Some("[]"))]);
    let plan = sync(&image, &tree, &t());
    assert_eq!(short(&plan), ["set /brokers/topics/t", "set /config/topics/t", "notify"]);
}

/// L15: Kafka's first access control entry or token fails where there was never one before.
#[test]
fn containers_are_created_parents_first() {
    let empty = MetadataImage::empty();
    let mut bare = Tree::default();
    let plan = sync(&empty, &bare, &Entity::Containers);
    bare.apply_all(&plan.ops);
    for path in ["/kafka-acl/Topic", "/kafka-acl-extended/prefixed/User", "/delegation_token/tokens", "/config/changes"]
    {
        assert!(bare.znodes.contains_key(path), "{path}");
    }
    let plan = sync(&empty, &bare, &Entity::ProducerIds);
    assert_eq!(short(&plan), ["create /latest_producer_id_block"]);
    bare.apply_all(&plan.ops);
    assert_eq!(bare.content(), Tree::of(&empty, &context()).content());
    assert_eq!(short(&sync(&empty, &bare, &Entity::Containers)), [] as [&str; 0]);
}

#[test]
fn what_kafka_does_not_know_is_left_alone() {
    let image = image([topic("t", 7), scram("u", 1)]);
    let tree = tree(&image, &[("/brokers/topics/t/tool", Some("x")), ("/config/users/u/tool", Some("x"))]);
    assert_eq!(short(&sync(&image, &tree, &t())), [] as [&str; 0]);
    assert_eq!(short(&sync(&image, &tree, &Entity::User("u".into()))), [] as [&str; 0]);
    // Unless its parent must go.
    let plan = sync(&MetadataImage::empty(), &tree, &Entity::User("u".into()));
    assert_eq!(short(&plan), ["delete /config/users/u/tool", "delete /config/users/u", "notify"]);
}

#[test]
fn brokers_hear_of_what_a_sync_changes_and_of_nothing_else() {
    let user = |records: Vec<MetadataRecord>| image(records);
    let with = user(vec![quota(&[("user", Some("u"))], "request_percentage", Some(1.0))]);
    let empty = MetadataImage::empty();
    let entity = Entity::User("u".into());
    let notify = r#"notify {"version":2,"entity_path":"users/u"}"#;
    assert_eq!(ops(&sync(&with, &tree(&empty, &[]), &entity))[1], notify);
    assert_eq!(ops(&sync(&empty, &tree(&with, &[]), &entity)), ["delete /config/users/u", notify]);
    let leftover = tree(&empty, &[("/config/users/u", Some(r#"{"version":1,"config":{}}"#))]);
    assert_eq!(ops(&sync(&empty, &leftover, &entity)), ["delete /config/users/u"]);
}

fn broker() -> Entity {
    Entity::BrokerConfig("1".into())
}

fn with_password() -> MetadataImage {
    image([config(4, "1", "a", Some("1")), config(4, "1", "ssl.key.password", Some("hunter2"))])
}

/// The config of broker 1 as brokers with this secret have it, with another value of `a`.
fn encrypted_with(secret: &PasswordSecret) -> Tree {
    let encoded = password::encode("hunter2", "elsewhere", "k", secret);
    let data = format!(r#"{{"version":1,"config":{{"a":"2","ssl.key.password":"{encoded}"}}}}"#);
    tree(&with_password(), &[("/config/brokers/1", Some(&data))])
}

#[test]
fn a_config_with_passwords_is_left_alone_without_a_secret() {
    let blind = ProjectionContext { secret: None, ..context() };
    let tree = encrypted_with(&PasswordSecret::new("encoder-secret"));
    let plan = sync_with(&blind, &with_password(), &tree, &broker());
    assert_eq!((short(&plan), plan.compared, plan.written), (vec![], 1, 0));
    // Nor is it made where there is none.
    let plan = sync_with(&blind, &with_password(), &Tree::default(), &broker());
    assert_eq!(short(&plan), [] as [&str; 0]);
    // One that is gone from the log has no passwords to be kept.
    let plan = sync_with(&blind, &MetadataImage::empty(), &tree, &broker());
    assert_eq!(short(&plan), ["delete /config/brokers/1", "notify"]);
}

/// A wrong secret must not become the one of all brokers.
#[test]
fn passwords_that_the_secret_does_not_decrypt_are_left_alone_and_named() {
    let tree = encrypted_with(&PasswordSecret::new("another"));
    let plan = sync(&with_password(), &tree, &broker());
    assert_eq!((short(&plan), plan.written), (vec![], 0));
    assert_eq!(plan.unrepresentable.len(), 1);
    let lost = &plan.unrepresentable[0];
    assert_eq!(lost.entity, "config of broker 1");
    assert!(lost.reason.starts_with("/config/brokers/1: `ssl.key.password`: "), "{lost:?}");
    // The right one, or the one before it, mends what differs.
    assert_eq!(short(&sync(&with_password(), &encrypted_with(context().secret.as_ref().unwrap()), &broker())).len(), 2);
    let secret = context().secret.map(|secret| secret.with_old(Some("another".to_owned())));
    let plan = sync_with(&ProjectionContext { secret, ..context() }, &with_password(), &tree, &broker());
    assert_eq!(short(&plan), ["set /config/brokers/1", "notify"]);
    // And so does any secret where nothing is encrypted: no broker can use that.
    let plain = self::tree(
        &with_password(),
        &[("/config/brokers/1", Some(r#"{"version":1,"config":{"ssl.key.password":"hunter2"}}"#))],
    );
    assert_eq!(short(&sync(&with_password(), &plain, &broker())), ["set /config/brokers/1", "notify"]);
}

/// Ids that were handed out must not be handed out again.
#[test]
fn the_producer_id_block_never_goes_back() {
    let next = |next: i64| image([ProducerIdsRecord { next_producer_id: next.into(), ..Default::default() }.into()]);
    let block = r#"{"version":1,"broker":4,"block_start":"1000","block_end":"1999"}"#;
    let path = "/latest_producer_id_block";
    // What the log says, what ZooKeeper says, operations, warnings.
    let cases = [
        (next(1000), block, 0, 1),
        (MetadataImage::empty(), block, 0, 1),
        (MetadataImage::empty(), "broken", 0, 1),
        (MetadataImage::empty(), "", 0, 0),
        (next(2000), block, 0, 0),
        (next(3000), block, 1, 0),
        (next(1000), "", 1, 0),
        (next(1000), "broken", 1, 0),
    ];
    for (image, found, ops, warnings) in cases {
        let tree = tree(&MetadataImage::empty(), &[(path, Some(found))]);
        let plan = sync(&image, &tree, &Entity::ProducerIds);
        assert_eq!((plan.ops.len(), plan.warnings.len()), (ops, warnings), "{:?} {found}", image.producer_id());
        assert!(plan.warnings.iter().all(|warning| warning.starts_with(path)), "{:?}", plan.warnings);
    }
}

#[test]
fn a_gap_too_wide_to_pad_is_not_counted_as_written() {
    let image = one_topic(i32::try_from(PADDING_MAX).unwrap() + 1);
    let mut tree = tree(&image, &[]);
    tree.znodes.get_mut(STATE).unwrap().version = 0.into();
    let plan = sync(&image, &tree, &t());
    assert_eq!((plan.ops.len(), plan.written, plan.warnings.len()), (0, 0, 1));
    tree.znodes.get_mut(STATE).unwrap().version = 1.into();
    let plan = sync(&image, &tree, &t());
    assert_eq!((plan.ops.len(), plan.written, plan.warnings.len()), (PADDING_MAX as usize, 1, 0));
}
