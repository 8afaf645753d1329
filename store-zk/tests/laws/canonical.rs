//! The canonical form of a tree, written down a second time: from the documentation (lines C1 to C12 of
//! `store_zk::project`), on JSON, without our codecs. Only what passwords say is asked of them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use store_zk::project::ExpectedZnode;
use store_zk::znode::Znode;
use store_zk::znode::password::{self, PasswordSecret};

/// Content by path, and the version of partition states. Containers have null.
pub(crate) type Canonical = BTreeMap<String, (Value, Option<i32>)>;

/// C11.
const CONTAINERS: [&str; 37] = [
    "/admin",
    "/admin/delete_topics",
    "/brokers",
    "/brokers/ids",
    "/brokers/seqid",
    "/brokers/topics",
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
    "/kafka-acl",
    "/kafka-acl/Cluster",
    "/kafka-acl/DelegationToken",
    "/kafka-acl/Group",
    "/kafka-acl/Topic",
    "/kafka-acl/TransactionalId",
    "/kafka-acl/User",
    "/kafka-acl-changes",
    "/kafka-acl-extended",
    "/kafka-acl-extended/prefixed",
    "/kafka-acl-extended/prefixed/Cluster",
    "/kafka-acl-extended/prefixed/DelegationToken",
    "/kafka-acl-extended/prefixed/Group",
    "/kafka-acl-extended/prefixed/Topic",
    "/kafka-acl-extended/prefixed/TransactionalId",
    "/kafka-acl-extended/prefixed/User",
    "/kafka-acl-extended-changes",
    "/latest_producer_id_block",
    "/log_dir_event_notification",
];

/// Endings of the keys whose values are encrypted.
const PASSWORDS: [&str; 3] = ["ssl.keystore.password", "ssl.key.password", "sasl.jaas.config"];

/// Kafka's JSON; some notifications are texts.
fn parsed(znode: &Znode) -> Value {
    match znode.content() {
        Some(data) if data.starts_with(b"{") => serde_json::from_slice(data).unwrap(),
        _ => Value::Null,
    }
}

/// What a tree is once it was imported and projected.
pub(crate) fn canonical(tree: &BTreeMap<String, Znode>, zk_epoch: i32, secret: &PasswordSecret) -> Canonical {
    let mut out: Canonical = CONTAINERS.iter().map(|path| ((*path).to_owned(), (Value::Null, None))).collect();
    let pending: BTreeSet<&str> = tree.keys().filter_map(|path| path.strip_prefix("/admin/delete_topics/")).collect();
    for (path, znode) in tree {
        let json = parsed(znode);
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        match parts[..] {
            // C3.
            ["brokers", "topics", topic] if !pending.contains(topic) => {
                topic_znodes(&mut out, tree, topic, &json, zk_epoch);
            }
            ["config", "brokers", _] => {
                if let Some(properties) = properties(&json) {
                    out.insert(path.clone(), (clear(json!({"version": 1, "config": properties}), secret), None));
                }
            }
            ["config", "users" | "clients" | "ips", _] => {
                if let Some(properties) = properties(&json) {
                    out.insert(path.clone(), (json!({"version": 1, "config": numbers(properties)}), None));
                }
            }
            ["config", "users", user, "clients", _] => {
                if let Some(properties) = properties(&json) {
                    let user = format!("/config/users/{user}");
                    out.insert(format!("{user}/clients"), (Value::Null, None));
                    // C6. The user itself came before it, if it has anything.
                    out.entry(user).or_insert((json!({"version": 1, "config": {}}), None));
                    out.insert(path.clone(), (json!({"version": 1, "config": numbers(properties)}), None));
                }
            }
            ["latest_producer_id_block"] if !json.is_null() => {
                // C10.
                let last: i64 = json["block_end"].as_str().unwrap().parse().unwrap();
                let block = json!({
                    "version": 1, "broker": -1,
                    "block_start": (last - 999).to_string(), "block_end": last.to_string(),
                });
                out.insert(path.clone(), (block, None));
            }
            // C7.
            ["kafka-acl", _, _] | ["kafka-acl-extended", "prefixed", _, _] if has_entries(&json) => {
                let acl = json!({"version": 1, "acls": sorted(json["acls"].clone())});
                out.insert(path.clone(), (acl, None));
            }
            // C12.
            ["delegation_token", "tokens", _] if !json.is_null() => {
                let requester = json.get("tokenRequester").unwrap_or(&json["owner"]);
                let token = json!({
                    "version": 3, "owner": json["owner"], "tokenRequester": requester, "renewers": json["renewers"],
                    "issueTimestamp": json["issueTimestamp"], "maxTimestamp": json["maxTimestamp"],
                    "expiryTimestamp": json["expiryTimestamp"], "tokenId": json["tokenId"],
                });
                out.insert(path.clone(), (token, None));
            }
            _ => {}
        }
    }
    out
}

/// C1, C2, C4 and C5. Every listed partition must have a state.
fn topic_znodes(out: &mut Canonical, tree: &BTreeMap<String, Znode>, topic: &str, json: &Value, zk_epoch: i32) {
    let path = format!("/brokers/topics/{topic}");
    let map = |key: &str| json.get(key).filter(|map| !map.is_null()).cloned().unwrap_or_else(|| json!({}));
    let content = json!({
        "version": 3, "topic_id": json["topic_id"], "partitions": map("partitions"),
        "adding_replicas": map("adding_replicas"), "removing_replicas": map("removing_replicas"),
    });
    out.insert(path.clone(), (content, None));
    out.insert(format!("{path}/partitions"), (Value::Null, None));
    for partition in map("partitions").as_object().unwrap().keys() {
        let partition = format!("{path}/partitions/{partition}");
        let state_path = format!("{partition}/state");
        let znode = tree.get(&state_path).unwrap_or_else(|| panic!("{state_path} is not there"));
        let mut state = parsed(znode);
        state["controller_epoch"] = json!(zk_epoch);
        out.insert(partition, (Value::Null, None));
        out.insert(state_path, (state, Some(znode.version.0)));
    }
    let config = tree.get(&format!("/config/topics/{topic}")).map(parsed).unwrap_or_default();
    let properties = properties(&config).unwrap_or_else(|| json!({}));
    out.insert(format!("/config/topics/{topic}"), (json!({"version": 1, "config": properties}), None));
}

/// Those that there are.
fn properties(json: &Value) -> Option<Value> {
    json.get("config").filter(|map| map.as_object().is_some_and(|map| !map.is_empty())).cloned()
}

/// C9: numbers as brokers write them. Those of captured trees are the same in Java and in Rust.
fn numbers(mut properties: Value) -> Value {
    for (key, value) in properties.as_object_mut().unwrap() {
        let text = value.as_str().unwrap().to_owned();
        *value = match key.as_str() {
            "SCRAM-SHA-256" | "SCRAM-SHA-512" => continue,
            "request_percentage" | "controller_mutation_rate" => json!(format!("{:?}", text.parse::<f64>().unwrap())),
            "producer_byte_rate" | "consumer_byte_rate" | "connection_creation_rate" => {
                json!(text.parse::<i64>().unwrap().to_string())
            }
            other => panic!("{other} is no quota"),
        };
    }
    properties
}

fn has_entries(json: &Value) -> bool {
    json["acls"].as_array().is_some_and(|entries| !entries.is_empty())
}

/// The order of access control entries says nothing.
fn sorted(mut entries: Value) -> Value {
    entries.as_array_mut().unwrap().sort_by_key(Value::to_string);
    entries
}

/// C8: passwords as what they say.
fn clear(mut json: Value, secret: &PasswordSecret) -> Value {
    for (key, value) in json["config"].as_object_mut().unwrap() {
        if PASSWORDS.iter().any(|ending| key.ends_with(ending)) {
            let encoded = value.as_str().unwrap().to_owned();
            assert!(encoded.contains("encryptedPassword:"), "{key} is not encrypted");
            *value = json!(password::decode(&encoded, secret).unwrap());
        }
    }
    json
}

/// A projection in the terms of this page.
pub(crate) fn readable(projected: impl IntoIterator<Item = ExpectedZnode>, secret: &PasswordSecret) -> Canonical {
    let node = |node: ExpectedZnode| {
        let mut json = match &node.data {
            Some(data) => serde_json::from_slice(data).unwrap(),
            None => Value::Null,
        };
        if json.get("acls").is_some() {
            json["acls"] = sorted(json["acls"].take());
        }
        if node.path.starts_with("/config/brokers/") {
            json = clear(json, secret);
        }
        (node.path.to_string(), (json, node.partition_epoch.map(|epoch| epoch.0)))
    };
    projected.into_iter().map(node).collect()
}
