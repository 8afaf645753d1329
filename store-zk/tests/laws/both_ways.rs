//! The laws of import and projection, over random images and trees.

use std::collections::{BTreeMap, BTreeSet};

use crate::edits::{Edit, Editor, edit, edits};
use crate::kafka_tree::{Choices, KafkaTree};
use crate::normal::normal;
use crate::tree::Tree;
use metadata_core::id::{Position, TimestampMs, ZkControllerEpoch};
use metadata_core::image::{ConfigResourceType, MetadataDelta, MetadataImage};
use metadata_core::metadata_version::MetadataVersion;
use proptest::prelude::*;
use store_zk::compare::{Comparer, compare_trees};
use store_zk::import::{ImportContext, Imported, import_tree};
use store_zk::project::{Entity, EntityKind, ExpectedZnode, ProjectionContext, Projector, ZnodeOp, plan_sync, project};
use store_zk::znode::Znode;
use store_zk::znode::password::PasswordSecret;
use store_zk::znode::path::{Place, walk_order};

fn secret() -> PasswordSecret {
    PasswordSecret::new("encoder-secret")
}

fn context() -> ProjectionContext {
    ProjectionContext { zk_epoch: ZkControllerEpoch(9), secret: Some(secret()), secure: true, notify: true }
}

/// Nobody told us the secret.
fn blind() -> ProjectionContext {
    ProjectionContext { secret: None, ..context() }
}

fn import(znodes: &BTreeMap<String, Znode>) -> (MetadataImage, Imported) {
    import_with(Some(secret()), znodes)
}

fn import_with(secret: Option<PasswordSecret>, znodes: &BTreeMap<String, Znode>) -> (MetadataImage, Imported) {
    let context = ImportContext { secret, metadata_version: MetadataVersion::V3_9_IV0 };
    let (records, imported) = import_tree(znodes, context).unwrap_or_else(|error| panic!("{error:#?}"));
    let mut delta = MetadataDelta::new(&MetadataImage::empty());
    delta.replay_all(&records).unwrap();
    (delta.apply(Position::START, TimestampMs(0)), imported)
}

fn projected(image: &MetadataImage) -> Vec<ExpectedZnode> {
    Projector::new(image, &context()).znodes().collect()
}

/// Trees as texts, so that a failure can be read.
fn texts(image: &MetadataImage) -> BTreeMap<String, (String, Option<i32>)> {
    let text = |node: &ExpectedZnode| String::from_utf8_lossy(node.data.as_deref().unwrap_or_default()).into_owned();
    let nodes = projected(image).into_iter();
    nodes.map(|node| (node.path.to_string(), (text(&node), node.partition_epoch.map(|epoch| epoch.0)))).collect()
}

fn kafka_tree(image: &MetadataImage, seed: u64) -> BTreeMap<String, Znode> {
    let secret = secret();
    let mut tree = KafkaTree {
        choices: Choices::new(seed),
        secret: &secret,
        zk_epoch: context().zk_epoch,
        znodes: BTreeMap::new(),
    };
    tree.write(image);
    tree.litter(image);
    tree.znodes
}

/// Every entity that is in the image or in the tree, in the order in which a full sync takes them.
fn all_entities(projector: &Projector<'_>, tree: &Tree) -> Vec<Entity> {
    let mut all = Vec::new();
    for kind in EntityKind::ALL {
        let there = tree.znodes.keys().filter_map(|path| Entity::at(path)).filter(|entity| entity.kind() == kind);
        let entities: BTreeSet<Entity> = projector.entities(kind).chain(there).collect();
        all.extend(entities);
    }
    all
}

/// A full sync as the write chain does it. Returns how many operations it took, and the warnings.
fn full_sync(image: &MetadataImage, tree: &mut Tree) -> (usize, Vec<String>) {
    full_sync_with(&context(), image, tree)
}

fn full_sync_with(context: &ProjectionContext, image: &MetadataImage, tree: &mut Tree) -> (usize, Vec<String>) {
    let (ops, warnings) = full_sync_ops(context, image, tree);
    (ops.len(), warnings)
}

/// The same, with the operations.
pub(crate) fn full_sync_ops(
    context: &ProjectionContext,
    image: &MetadataImage,
    tree: &mut Tree,
) -> (Vec<ZnodeOp>, Vec<String>) {
    let projector = Projector::new(image, context);
    let (mut ops, mut warnings) = (Vec::new(), Vec::new());
    for entity in all_entities(&projector, tree) {
        let actual = tree.below(&entity.roots(), entity != Entity::Containers);
        let plan = plan_sync(&projector, &entity, &actual);
        assert!(plan.ops.iter().all(|op| op.entity == entity));
        tree.apply_all(&plan.ops);
        ops.extend(plan.ops.into_iter().map(|op| op.op));
        warnings.extend(plan.warnings);
    }
    (ops, warnings)
}

fn divergent(image: &MetadataImage, tree: &Tree) -> (u64, Comparer) {
    let context = context();
    let mut comparer = Comparer::new((&context).into(), 10);
    compare_trees(Projector::new(image, &context).znodes(), tree.walk(), &mut comparer);
    let (comparison, _) = std::mem::replace(&mut comparer, Comparer::new((&context).into(), 10)).finish();
    assert!(comparison.total().compared > 0);
    (comparison.total().divergent, comparer)
}

/// Edits after which a broker has a password.
fn edits_with_password() -> impl Strategy<Value = Vec<Edit>> {
    edits().prop_map(|mut edits| {
        edits.push(Edit::Config { resource: 1, key: 3, value: Some("hunter2".to_owned()) });
        edits
    })
}

/// The entities whose config holds a password.
fn with_passwords(image: &MetadataImage) -> BTreeSet<Entity> {
    let configs = image.configs().iter();
    let with = configs.filter(|(_, entries)| entries.0.keys().any(|key| key.ends_with("ssl.key.password")));
    with.filter_map(|(resource, _)| match (resource.resource_type, &*resource.name) {
        (ConfigResourceType::Topic, name) => image.topics().id(name).map(|_| Entity::Topic(name.into())),
        (ConfigResourceType::Broker, "") => Some(Entity::BrokerConfig("<default>".into())),
        (ConfigResourceType::Broker, id @ ("1" | "20")) => Some(Entity::BrokerConfig(id.into())),
        _ => None,
    })
    .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, max_shrink_iters: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn importing_a_projected_image_gives_its_normal_form(edits in edits()) {
        let image = Editor::new().apply(&edits);
        let tree = Tree::of(&image, &context());
        let (imported, findings) = import(&tree.znodes);
        let known = ["Unknown", "is no replica"];
        let other = findings.warnings.iter().filter(|warning| !known.iter().any(|known| warning.reason.contains(known)));
        prop_assert_eq!(other.count(), 0);
        let normal = normal(&image, true);
        prop_assert_eq!(texts(&imported), texts(&normal));
        prop_assert!(imported.same_metadata(&normal), "{:#?}\n{:#?}", imported, normal);
    }

    #[test]
    fn what_is_lost_is_reported_and_nothing_else(edits in edits()) {
        let image = Editor::new().apply(&edits);
        let context = context();
        let lost = Projector::new(&image, &context).unrepresentable();
        let kept = normal(&image, true);
        let counts = |image: &MetadataImage| {
            let configs: usize = image.configs().values().map(|entries| entries.0.len()).sum();
            let quotas: usize = image.quotas().values().map(|entries| entries.len()).sum();
            (configs, quotas, image.scram().len(), image.tokens().len())
        };
        prop_assert_eq!(lost.is_empty(), counts(&image) == counts(&kept) && {
            let entries: BTreeSet<_> = image.acls().iter().map(|(_, entry)| (**entry).clone()).collect();
            entries.len() == kept.acls().len()
        });
        prop_assert!(Projector::new(&kept, &context).unrepresentable().is_empty());
    }

    #[test]
    fn projecting_an_imported_kafka_tree_gives_its_canonical_form(edits in edits(), seed: u64) {
        let image = normal(&Editor::new().apply(&edits), true);
        let (imported, _) = import(&kafka_tree(&image, seed));
        prop_assert_eq!(texts(&imported), texts(&image));
    }

    #[test]
    fn a_full_sync_makes_any_tree_the_projection_and_a_second_one_writes_nothing(
        source in edits(), target in edits(), other_ids: bool, seed: u64,
    ) {
        let source = normal(&Editor::new().apply(&source), true);
        let target = Editor::numbering_from(if other_ids { 1000 } else { 0 }).apply(&target);
        let mut tree = Tree { znodes: kafka_tree(&source, seed), ..Tree::default() };
        let (_, warnings) = full_sync(&target, &mut tree);
        // A producer id that was handed out is never handed out again.
        let ahead = source.producer_id() > target.producer_id().filter(|next| next.0 > 0);
        prop_assert_eq!(divergent(&target, &tree).0, u64::from(ahead));
        prop_assert_eq!(warnings.iter().filter(|warning| warning.contains("next producer id")).count(), usize::from(ahead));
        for node in projected(&target) {
            let epoch = node.partition_epoch.map(|epoch| epoch.0);
            let version = tree.znodes[&*node.path].version.0;
            let warned = warnings.iter().any(|warning| warning.starts_with(&format!("{} has version", node.path)));
            if let Some(epoch) = epoch {
                prop_assert!(version == epoch || (version > epoch && warned), "{}: {version} {epoch}", node.path);
            }
        }
        prop_assert_eq!(full_sync(&target, &mut tree).0, 0);
    }

    #[test]
    fn without_a_secret_what_is_imported_has_no_passwords(edits in edits_with_password()) {
        let image = Editor::new().apply(&edits);
        let tree = Tree::of(&image, &blind());
        let (imported, _) = import_with(None, &tree.znodes);
        let normal = normal(&image, false);
        prop_assert!(imported.same_metadata(&normal), "{:#?}\n{:#?}", imported, normal);
    }

    #[test]
    fn a_sync_without_a_secret_leaves_configs_with_passwords_and_does_the_rest(
        source in edits(), target in edits_with_password(), seed: u64,
    ) {
        let source = normal(&Editor::new().apply(&source), true);
        let target = Editor::new().apply(&target);
        let mut tree = Tree { znodes: kafka_tree(&source, seed), ..Tree::default() };
        let before = tree.clone();
        full_sync_with(&blind(), &target, &mut tree);
        let withheld = with_passwords(&target);
        prop_assert!(!withheld.is_empty());
        for entity in withheld {
            prop_assert_eq!(tree.below(&entity.roots(), true), before.below(&entity.roots(), true), "{}", entity);
        }
        prop_assert_eq!(full_sync_with(&blind(), &target, &mut tree).0, 0);
    }

    #[test]
    fn a_change_without_a_secret_leaves_configs_with_passwords_and_does_the_rest(
        start in edits_with_password(), step in proptest::collection::vec(edit(), 1..8),
    ) {
        let mut editor = Editor::new();
        let before = editor.apply(&start);
        let after = editor.apply(&step);
        let mut tree = Tree::of(&before, &context());
        let there = tree.clone();
        let plan = project(&before, &after, &blind());
        tree.apply_plan(&plan);
        let mut expected = Tree::of(&after, &context());
        for entity in &plan.withheld {
            prop_assert!(with_passwords(&after).contains(entity), "{}", entity);
            expected.znodes.retain(|path, _| Entity::at(path).as_ref() != Some(entity));
            expected.znodes.extend(there.below(&entity.roots(), true));
        }
        prop_assert_eq!(tree.content(), expected.content());
    }

    #[test]
    fn a_sync_after_the_copy_changes_no_partition_state(edits in edits(), seed: u64) {
        let image = normal(&Editor::new().apply(&edits), true);
        let mut tree = Tree { znodes: kafka_tree(&image, seed), ..Tree::default() };
        let before = tree.clone();
        let (imported, _) = import(&tree.znodes);
        let (_, warnings) = full_sync(&imported, &mut tree);
        prop_assert!(warnings.is_empty(), "{warnings:?}");
        for (path, znode) in &before.znodes {
            let known = matches!(Place::of(path), Place::PartitionState(..)) && !path.contains("/99/") && !path.contains("/ghost/");
            if known {
                prop_assert_eq!(tree.znodes.get(path), Some(znode), "{}", path);
            }
        }
    }

    #[test]
    fn the_operations_of_a_change_make_the_tree_before_the_tree_after(
        start in edits(), steps in proptest::collection::vec(proptest::collection::vec(edit(), 1..8), 1..5),
    ) {
        let mut editor = Editor::new();
        let mut before = editor.apply(&start);
        let mut tree = Tree::of(&before, &context());
        for step in steps {
            let after = editor.apply(&step);
            let plan = project(&before, &after, &context());
            tree.apply_all(&plan.ops);
            prop_assert_eq!(tree.content(), Tree::of(&after, &context()).content());
            prop_assert!(plan.warnings.is_empty());
            before = after;
        }
    }

    #[test]
    fn a_change_that_changes_nothing_has_no_operations(edits in edits()) {
        let image = Editor::new().apply(&edits);
        let plan = project(&image, &image, &context());
        prop_assert!(plan.ops.is_empty() && plan.unrepresentable.is_empty());
        // Nor do images that share nothing.
        let again = Editor::new().apply(&edits);
        prop_assert!(project(&image, &again, &context()).ops.is_empty());
    }

    #[test]
    fn which_operations_a_plan_has_does_not_depend_on_claim_secret_or_access(start in edits(), step in edits()) {
        let mut editor = Editor::new();
        let before = editor.apply(&start);
        let after = editor.apply(&step);
        let shape = |context: &ProjectionContext| -> Vec<(String, Entity)> {
            let ops = project(&before, &after, context).ops;
            let name = |op: &store_zk::project::ZnodeOp| {
                let debug = format!("{op:?}");
                debug.split(" (").next().unwrap().to_owned()
            };
            ops.into_iter().map(|op| (name(&op.op), op.entity)).collect()
        };
        let shape_here = shape(&context());
        for other in [
            ProjectionContext { zk_epoch: ZkControllerEpoch(77), ..context() },
            ProjectionContext { secret: None, ..context() },
            ProjectionContext { secret: Some(PasswordSecret::new("another")), ..context() },
            ProjectionContext { secure: false, ..context() },
        ] {
            prop_assert_eq!(&shape(&other), &shape_here);
        }
        // Without notifications the rest is the same.
        let quiet = project(&before, &after, &ProjectionContext { notify: false, ..context() }).ops;
        let loud = project(&before, &after, &context()).ops;
        let loud: Vec<_> = loud.into_iter().filter(|op| !op.op.is_notification()).collect();
        prop_assert_eq!(quiet, loud);
    }

    #[test]
    fn the_whole_tree_is_a_walk_and_the_union_of_its_entities(edits in edits()) {
        let image = Editor::new().apply(&edits);
        let context = context();
        let projector = Projector::new(&image, &context);
        let whole: Vec<ExpectedZnode> = projector.znodes().collect();
        prop_assert!(whole.is_sorted_by(|one, other| walk_order(&one.path, &other.path).is_lt()));
        let mut parts: Vec<ExpectedZnode> = Vec::new();
        for kind in EntityKind::ALL {
            for entity in projector.entities(kind) {
                let nodes = projector.expected(&entity);
                prop_assert!(!nodes.is_empty(), "{entity} has no znodes");
                for node in &nodes {
                    prop_assert_eq!(Entity::at(&node.path), Some(entity.clone()));
                }
                parts.extend(nodes);
            }
        }
        parts.sort_by(|one, other| walk_order(&one.path, &other.path));
        prop_assert_eq!(whole, parts);
    }
}

/// The generator must reach what the laws are about, or they hold for the wrong reason.
#[test]
fn the_generated_images_are_not_trivial() {
    use proptest::strategy::{Strategy, ValueTree};
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
    for _ in 0..200 {
        let edits: Vec<Edit> = edits().new_tree(&mut runner).unwrap().current();
        let image = Editor::new().apply(&edits);
        let context = context();
        let projector = Projector::new(&image, &context);
        let mut count = |what, there: bool| *seen.entry(what).or_default() += u32::from(there);
        count("topics", image.topics().len() > 1);
        count(
            "partition epochs",
            image.topics().all_partitions().any(|(_, partition)| partition.partition_epoch.0 > 6),
        );
        count("broker configs", projector.entities(EntityKind::BrokerConfigs).next().is_some());
        count("users", projector.entities(EntityKind::Users).next().is_some());
        count("user clients", projector.znodes().any(|node| matches!(Place::of(&node.path), Place::UserClient(..))));
        count("clients", projector.entities(EntityKind::Clients).next().is_some());
        count("ips", projector.entities(EntityKind::Ips).next().is_some());
        count("acls", projector.entities(EntityKind::Acls).next().is_some());
        count("tokens", projector.entities(EntityKind::Tokens).next().is_some());
        count("credentials", !image.scram().is_empty());
        count("producer ids", image.producer_id().is_some());
        count("losses", !projector.unrepresentable().is_empty());
    }
    for (what, times) in seen {
        assert!(times >= 20, "{what}: only {times} of 200 images");
    }
}
