//! What holds for every seed.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::*;

fn blueprint(change: impl FnOnce(&mut SeedOptions)) -> Blueprint {
    let mut options = SeedOptions { topics: 300, partitions_per_topic: 3, ..SeedOptions::default() };
    change(&mut options);
    Blueprint::new(options).unwrap()
}

/// Sizes of clusters, among them the smallest ones.
fn blueprints() -> Vec<Blueprint> {
    let sizes = [(6, 3), (1, 1), (2, 1), (3, 3), (40, 5)];
    let sized = sizes.map(|(brokers, replication_factor)| {
        blueprint(|o| (o.brokers, o.replication_factor, o.seed) = (brokers, replication_factor, u64::from(brokers)))
    });
    sized.into_iter().chain([blueprint(|o| o.awkward = false), blueprint(|o| o.topics = 0)]).collect()
}

fn json(node: &SeedNode) -> Value {
    serde_json::from_slice(&node.data).unwrap_or_else(|error| panic!("{}: {error}", node.path))
}

#[test]
fn the_same_options_give_the_same_bytes_and_another_seed_gives_others() {
    let nodes = |seed| blueprint(|o| o.seed = seed).nodes().collect::<Vec<_>>();
    assert_eq!(nodes(1), nodes(1));
    let (one, two) = (nodes(1), nodes(2));
    // The shape is the same, names and contents are not.
    assert_eq!(one.len(), two.len());
    let data = |nodes: &[SeedNode]| {
        nodes.iter().map(|node| (node.path.clone(), node.data.clone())).collect::<BTreeMap<_, _>>()
    };
    let (one, two) = (data(&one), data(&two));
    for path in ["/cluster/id", "/brokers/topics/__consumer_offsets", "/config/users/billing"] {
        assert_ne!(one[path], two[path], "{path}");
    }
    let brokers = |seed| blueprint(|o| o.seed = seed).brokers().collect::<Vec<_>>();
    assert_eq!(brokers(1), brokers(1));
    assert_ne!(brokers(1), brokers(2));
}

/// The digest of one seed, so that a change of the generator is noticed: it invalidates manifests that people keep.
#[test]
fn the_bytes_of_seed_one_are_those_of_yesterday() {
    let digest = blueprint(|_| {}).nodes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, node| {
        let version = node.version.to_be_bytes();
        let bytes = node.path.as_bytes().iter().chain(&node.data).chain(&version);
        bytes.fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
    });
    assert_eq!(format!("{digest:016x}"), "e05e762b537a4dc9");
}

#[test]
fn every_path_stands_once_and_behind_its_parent() {
    for blueprint in blueprints() {
        let mut seen = BTreeSet::new();
        for node in blueprint.nodes() {
            let (parent, name) = node.path.rsplit_once('/').unwrap();
            assert!(parent.is_empty() || seen.contains(parent), "{} has no parent", node.path);
            assert!(!name.is_empty() && name != "." && name != "..", "{}", node.path);
            assert!(!node.path.chars().any(char::is_control), "{}", node.path);
            assert!(seen.insert(node.path.clone()), "{} stands twice", node.path);
        }
        for broker in blueprint.brokers() {
            assert!(seen.contains("/brokers/ids") && !seen.contains(&broker.path));
        }
    }
}

#[test]
fn the_number_of_znodes_is_known_beforehand() {
    for blueprint in blueprints() {
        assert_eq!(blueprint.node_count(), blueprint.nodes().count() as u64, "{:?}", blueprint.options());
    }
}

/// Counts once more what an import should make, from paths and data alone.
fn recount(blueprint: &Blueprint) -> (RecordCounts, BTreeSet<String>) {
    let nodes: BTreeMap<String, SeedNode> = blueprint.nodes().map(|node| (node.path.clone(), node)).collect();
    let pending: BTreeSet<String> =
        nodes.keys().filter_map(|path| path.strip_prefix("/admin/delete_topics/")).map(str::to_owned).collect();
    let mut counts = RecordCounts::default();
    for (path, node) in &nodes {
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        let config = || json(node)["config"].as_object().unwrap().clone();
        match parts.as_slice() {
            ["brokers", "topics", topic] if !pending.contains(*topic) => {
                counts.topic_record += 1;
                counts.partition_record += json(node)["partitions"].as_object().unwrap().len() as u64;
            }
            ["config", "topics", topic]
                if nodes.contains_key(&format!("/brokers/topics/{topic}")) && !pending.contains(*topic) =>
            {
                counts.config_record += config().len() as u64;
            }
            ["config", "brokers", _] => counts.config_record += config().len() as u64,
            ["config", "users" | "clients" | "ips", ..] if !node.data.is_empty() && parts.len() > 2 => {
                for key in config().keys() {
                    if key.starts_with("SCRAM-") {
                        counts.user_scram_credential_record += 1;
                    } else {
                        counts.client_quota_record += 1;
                    }
                }
            }
            ["kafka-acl", _, _] | ["kafka-acl-extended", "prefixed", _, _] => {
                counts.access_control_entry_record += json(node)["acls"].as_array().unwrap().len() as u64;
            }
            ["delegation_token", "tokens", _] => counts.delegation_token_record += 1,
            ["latest_producer_id_block"] => counts.producer_ids_record += 1,
            _ => {}
        }
    }
    (counts, pending)
}

#[test]
fn the_manifest_agrees_with_a_count_of_what_was_made() {
    for blueprint in blueprints() {
        let manifest = blueprint.manifest();
        let (counts, pending) = recount(&blueprint);
        assert_eq!(manifest.expected_records, counts);
        assert_eq!(manifest.pending_deletions.iter().cloned().collect::<BTreeSet<_>>(), pending);
        assert_eq!((manifest.topics, manifest.partitions), (counts.topic_record, counts.partition_record));
        assert_eq!(manifest.znodes, blueprint.node_count());
        assert_eq!(manifest.znodes_by_family.values().sum::<u64>(), manifest.znodes);
        assert_eq!(manifest.bytes, blueprint.nodes().map(|node| node.data.len() as u64).sum::<u64>());
        assert!(manifest.expected_records.total() > 0);
        let named = serde_json::to_value(manifest.expected_records).unwrap();
        assert_eq!(serde_json::to_value(manifest.expected_records.by_type()).unwrap(), named);
        let again: Manifest = serde_json::from_str(&serde_json::to_string(&manifest).unwrap()).unwrap();
        assert_eq!(again, manifest);
    }
}

#[test]
fn every_family_is_there_unless_it_is_awkward() {
    let families = |blueprint: Blueprint| blueprint.manifest().znodes_by_family.len();
    // Three come with what is awkward: pending deletions, notifications, consumers.
    assert_eq!((families(blueprint(|_| {})), families(blueprint(|o| o.awkward = false))), (17, 14));
}

#[test]
fn data_are_json_where_kafka_has_json() {
    for node in blueprint(|_| {}).nodes() {
        let is_text = match node.family {
            Family::ControllerEpoch | Family::Consumers => true,
            Family::Notifications => !node.path.contains("/config_change_") && !node.path.contains("-extended-"),
            _ => node.data.is_empty(),
        };
        if is_text {
            assert!(std::str::from_utf8(&node.data).is_ok(), "{}", node.path);
        } else {
            assert!(json(&node).is_object(), "{}", node.path);
        }
    }
}

#[test]
fn partition_states_are_such_as_a_controller_writes() {
    for blueprint in blueprints() {
        let controller_epoch = i64::from(blueprint.manifest().controller_epoch);
        let topics: BTreeMap<String, Value> = blueprint
            .nodes()
            .filter(|node| node.family == Family::Topics && !node.data.is_empty())
            .map(|node| (node.path.clone(), json(&node)))
            .collect();
        for node in blueprint.nodes().filter(|node| node.path.ends_with("/state")) {
            let state = json(&node);
            let (topic, rest) = node.path.split_once("/partitions/").unwrap();
            let replicas = topics[topic]["partitions"][rest.strip_suffix("/state").unwrap()].as_array().unwrap();
            let isr = state["isr"].as_array().unwrap();
            assert!(!isr.is_empty() && isr.iter().all(|broker| replicas.contains(broker)), "{}", node.path);
            let leader = &state["leader"];
            assert!(leader == -1 && isr.len() == 1 || isr.contains(leader), "{}: {state}", node.path);
            // Each change of leader is a set-data.
            let leader_epoch = state["leader_epoch"].as_i64().unwrap();
            assert!((0..=i64::from(node.version)).contains(&leader_epoch), "{}: {state}", node.path);
            assert!((1..=controller_epoch).contains(&state["controller_epoch"].as_i64().unwrap()), "{}", node.path);
        }
    }
}

#[test]
fn what_is_promised_to_be_awkward_is_there() {
    let blueprint = blueprint(|o| o.topics = 1);
    let nodes: BTreeMap<String, SeedNode> = blueprint.nodes().map(|node| (node.path.clone(), node)).collect();
    let states = |topic: &str| {
        let prefix = format!("/brokers/topics/{topic}/partitions/");
        let states = nodes.iter().filter(|(path, _)| path.starts_with(&prefix) && path.ends_with("/state"));
        states.map(|(_, node)| (json(node), node.version)).collect::<Vec<_>>()
    };
    assert!(states("leaderless").iter().all(|(state, _)| state["leader"] == -1));
    assert!(states("recovering").iter().all(|(state, _)| state["leader_recovery_state"] == 1));
    assert!(states("often-changed").iter().all(|(_, version)| *version >= 40));
    assert!(states("just-created").is_empty());
    assert!(!states("being-deleted").is_empty() && nodes.contains_key("/admin/delete_topics/being-deleted"));
    assert!(nodes.keys().any(|path| path.strip_prefix("/brokers/topics/").is_some_and(|name| name.len() == 249)));
    let old = json(&nodes["/brokers/topics/old-format"]);
    assert_eq!((&old["version"], old.get("adding_replicas")), (&Value::from(2), None));
    let moving = json(&nodes["/brokers/topics/reassigning"]);
    assert!(!moving["adding_replicas"].as_object().unwrap().is_empty());
    assert!(!moving["removing_replicas"].as_object().unwrap().is_empty());
    let manifest = blueprint.manifest();
    assert_eq!(
        manifest.awkward.iter().map(|awkward| &awkward.path).collect::<BTreeSet<_>>().len(),
        manifest.awkward.len()
    );
    assert!(manifest.awkward.iter().all(|awkward| nodes.contains_key(&awkward.path)));
}

#[test]
fn a_plain_cluster_has_nothing_awkward_but_what_all_have() {
    let manifest = blueprint(|o| o.awkward = false).manifest();
    let paths: Vec<_> = manifest.awkward.iter().map(|awkward| awkward.path.as_str()).collect();
    assert_eq!(paths, ["/config/brokers/1", "/config/brokers/2"]);
    assert_eq!(manifest.pending_deletions, Vec::<String>::new());
}

#[test]
fn topics_at_the_limit_still_fit_into_a_request() {
    let blueprint = blueprint(|o| (o.topics, o.partitions_per_topic, o.brokers) = (1, 30_000, 10_000));
    let largest = blueprint.nodes().map(|node| node.data.len()).max().unwrap();
    assert!(largest < (1 << 20) - 4096, "{largest}");
}
