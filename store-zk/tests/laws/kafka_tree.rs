//! A tree as a Kafka cluster with a history leaves it: shuffled keys, old versions, nulls, random salts, leftovers. The
//! JSON is written here, literally, so that a bug in an encoder can't hide behind the same bug in its decoder.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use metadata_core::id::ZkControllerEpoch;
use metadata_core::image::{ConfigResourceType, MetadataImage, PartitionRegistration};
use store_zk::znode::Znode;
use store_zk::znode::password::{self, PasswordSecret, is_password_key};

/// A reproducible source of choices (xorshift).
pub(crate) struct Choices(u64);

impl Choices {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 11) % bound
    }

    fn yes(&mut self) -> bool {
        self.below(2) == 0
    }

    fn one_of<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len() as u64) as usize]
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// An object with its keys in random order, random blanks, and sometimes a key that nobody knows.
fn object(choices: &mut Choices, mut keys: Vec<(String, String)>) -> String {
    for index in (1..keys.len()).rev() {
        keys.swap(index, choices.below(index as u64 + 1) as usize);
    }
    let blank = choices.one_of(&["", " ", "\n\t"]);
    let keys: Vec<String> = keys.iter().map(|(key, value)| format!("{blank}{}:{blank}{value}", quoted(key))).collect();
    format!("{{{}{blank}}}", keys.join(","))
}

fn node(choices: &mut Choices, keys: &[(&str, String)]) -> String {
    let mut keys: Vec<(String, String)> = keys.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    if choices.below(4) == 0 {
        keys.push(("added_by_a_later_version".to_owned(), "{\"x\":[1,null]}".to_owned()));
    }
    object(choices, keys)
}

fn ids(list: &[metadata_core::id::NodeId]) -> String {
    format!("[{}]", list.iter().map(|id| id.to_string()).collect::<Vec<_>>().join(","))
}

pub(crate) struct KafkaTree<'a> {
    pub(crate) choices: Choices,
    pub(crate) secret: &'a PasswordSecret,
    pub(crate) zk_epoch: ZkControllerEpoch,
    pub(crate) znodes: BTreeMap<String, Znode>,
}

impl KafkaTree<'_> {
    fn put(&mut self, path: &str, data: Option<String>, version: i32) {
        let mut parent = path;
        while let Some((above, _)) = parent.rsplit_once('/').filter(|(above, _)| !above.is_empty()) {
            self.znodes.entry(above.to_owned()).or_insert_with(Znode::container);
            parent = above;
        }
        self.znodes.insert(path.to_owned(), Znode { data: data.map(Bytes::from), version: version.into() });
    }

    /// Writes a representable image in Kafka's various ways.
    pub(crate) fn write(&mut self, image: &MetadataImage) {
        for root in
            ["/brokers/topics", "/config/topics", "/config/users", "/latest_producer_id_block", "/admin/delete_topics"]
        {
            self.put(root, None, 0);
        }
        for (id, name) in image.topics().iter() {
            self.topic(image, id, name);
        }
        self.configs(image);
        self.quotas(image);
        self.producer_ids(image);
        self.acls(image);
        self.tokens(image);
    }

    fn topic(&mut self, image: &MetadataImage, id: metadata_core::id::TopicId, name: &str) {
        let choices = &mut self.choices;
        let partitions: Vec<_> = image.topics().partitions(id).collect();
        let map =
            |choices: &mut Choices, pick: fn(&PartitionRegistration) -> &[metadata_core::id::NodeId], all: bool| {
                let lists = partitions.iter().filter(|(_, partition)| all || !pick(partition).is_empty());
                let lists = lists.map(|(number, partition)| (number.to_string(), ids(pick(partition)))).collect();
                object(choices, lists)
            };
        let replicas = map(choices, |partition| &partition.replicas, true);
        let adding = map(choices, |partition| &partition.adding_replicas, false);
        let removing = map(choices, |partition| &partition.removing_replicas, false);
        let mut keys = vec![
            ("topic_id", quoted(&id.to_string())),
            ("version", choices.one_of(&["3", "2", "\"3\""]).to_owned()),
            ("partitions", replicas),
        ];
        for (key, map) in [("adding_replicas", adding), ("removing_replicas", removing)] {
            match map.contains('[') {
                false if choices.yes() => {}
                false if choices.yes() => keys.push((key, "null".to_owned())),
                _ => keys.push((key, map)),
            }
        }
        let data = node(choices, &keys);
        self.put(&format!("/brokers/topics/{name}"), Some(data), 3);
        for (number, partition) in partitions {
            self.state(&format!("/brokers/topics/{name}/partitions/{number}/state"), partition);
        }
    }

    fn state(&mut self, path: &str, partition: &PartitionRegistration) {
        let as_new = partition.partition_epoch.0 == 0
            && partition.leader_epoch.0 == 0
            && partition.leader == partition.replicas.first().copied()
            && partition.isr == partition.replicas
            && partition.leader_recovery_state.code() == 0;
        if as_new && self.choices.below(3) == 0 {
            return;
        }
        let epoch = 1 + self.choices.below(self.zk_epoch.0 as u64);
        let mut keys = vec![
            ("version", "1".to_owned()),
            ("leader", partition.leader.map_or(-1, |id| id.0).to_string()),
            ("leader_epoch", partition.leader_epoch.to_string()),
            ("controller_epoch", epoch.to_string()),
            ("isr", ids(&partition.isr)),
        ];
        let recovery = partition.leader_recovery_state.code();
        if recovery != 0 || self.choices.yes() {
            keys.push(("leader_recovery_state", recovery.to_string()));
        }
        let data = node(&mut self.choices, &keys);
        self.put(path, Some(data), partition.partition_epoch.0);
    }

    fn config(&mut self, path: &str, properties: BTreeMap<String, String>) {
        let config = properties.into_iter().map(|(key, text)| (key, quoted(&text))).collect();
        let config = object(&mut self.choices, config);
        let data = node(&mut self.choices, &[("version", "1".to_owned()), ("config", config)]);
        self.put(path, Some(data), 7);
    }

    fn configs(&mut self, image: &MetadataImage) {
        for (resource, entries) in image.configs() {
            let path = match (resource.resource_type, &*resource.name) {
                (ConfigResourceType::Topic, name) => format!("/config/topics/{name}"),
                (_, "") => "/config/brokers/<default>".to_owned(),
                (_, id) => format!("/config/brokers/{id}"),
            };
            let texts = entries.0.iter().map(|(key, value)| {
                // Another place, hence another salt than the projection's.
                let text = match is_password_key(key) {
                    true => password::encode(value, "elsewhere", key, self.secret),
                    false => value.clone(),
                };
                (key.clone(), text)
            });
            let texts = texts.collect();
            self.config(&path, texts);
        }
        for (_, name) in image.topics().iter() {
            let path = format!("/config/topics/{name}");
            if !self.znodes.contains_key(&path) {
                match self.choices.below(4) {
                    0 => self.config(&path, BTreeMap::new()),
                    1 => self.put(&path, Some("{\"version\":1}".to_owned()), 0),
                    2 => self.put(&path, None, 0),
                    _ => {}
                }
            }
        }
    }

    fn quota_text(&mut self, key: &str, value: f64) -> String {
        match (key.contains("byte_rate") || key.contains("connection"), self.choices.yes()) {
            (true, _) => (value as i64).to_string(),
            (false, true) => format!("{value:e}"),
            (false, false) => format!(" {value:?} "),
        }
    }

    fn quotas(&mut self, image: &MetadataImage) {
        let mut nodes: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        for (entity, entries) in image.quotas() {
            let part =
                |kind: &str| entity.0.get(kind).map(|name| name.as_deref().map_or("<default>".to_owned(), encoded));
            let path = match (part("user"), part("client-id"), part("ip")) {
                (Some(user), Some(client), _) => format!("/config/users/{user}/clients/{client}"),
                (Some(user), None, _) => format!("/config/users/{user}"),
                (None, Some(client), _) => format!("/config/clients/{client}"),
                (None, None, ip) => format!("/config/ips/{}", ip.unwrap()),
            };
            for (key, value) in entries.iter() {
                let text = self.quota_text(key, value.0);
                nodes.entry(path.clone()).or_default().insert(key.to_string(), text);
            }
        }
        for (key, credential) in image.scram() {
            use base64::Engine as _;
            let base64 = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
            let mechanism = if key.mechanism == 1 { "SCRAM-SHA-256" } else { "SCRAM-SHA-512" };
            let text = format!(
                "iterations={},server_key={},salt={},stored_key={}",
                credential.iterations,
                base64(&credential.server_key),
                base64(&credential.salt),
                base64(&credential.stored_key),
            );
            nodes
                .entry(format!("/config/users/{}", encoded(&key.user)))
                .or_default()
                .insert(mechanism.to_owned(), text);
        }
        for (path, properties) in nodes {
            self.config(&path, properties);
        }
    }

    fn producer_ids(&mut self, image: &MetadataImage) {
        if let Some(next) = image.producer_id() {
            let keys = [
                ("version", "1".to_owned()),
                ("broker", self.choices.below(4).to_string()),
                ("block_start", quoted(&(next.0 - 1).saturating_sub(999).max(0).to_string())),
                ("block_end", quoted(&(next.0 - 1).to_string())),
            ];
            let data = node(&mut self.choices, &keys);
            self.put("/latest_producer_id_block", Some(data), 12);
        }
    }

    fn acls(&mut self, image: &MetadataImage) {
        const OPERATIONS: [&str; 15] = [
            "Fly",
            "Any",
            "All",
            "Read",
            "Write",
            "Create",
            "Delete",
            "Alter",
            "Describe",
            "ClusterAction",
            "DescribeConfigs",
            "AlterConfigs",
            "IdempotentWrite",
            "CreateTokens",
            "DescribeTokens",
        ];
        const TYPES: [&str; 8] = ["", "", "Topic", "Group", "Cluster", "TransactionalId", "DelegationToken", "User"];
        for pattern in image.acls().patterns() {
            let mut entries = Vec::new();
            for (_, entry) in image.acls().about(pattern) {
                let operation = OPERATIONS[entry.operation as usize];
                let operation = if self.choices.yes() { operation.to_owned() } else { operation.to_lowercase() };
                let keys = [
                    ("principal", quoted(&entry.principal)),
                    ("permissionType", quoted(["Unknown", "Any", "Deny", "Allow"][entry.permission_type as usize])),
                    ("operation", quoted(&operation)),
                    ("host", quoted(&entry.host)),
                ];
                let text = node(&mut self.choices, &keys);
                if self.choices.below(4) == 0 {
                    entries.push(text.clone());
                }
                entries.insert(0, text);
            }
            let keys = [("acls", format!("[{}]", entries.join(","))), ("version", "1".to_owned())];
            let data = node(&mut self.choices, &keys);
            let root = if pattern.pattern_type == 3 { "/kafka-acl" } else { "/kafka-acl-extended/prefixed" };
            self.put(&format!("{root}/{}/{}", TYPES[pattern.resource_type as usize], pattern.name), Some(data), 1);
        }
    }

    fn tokens(&mut self, image: &MetadataImage) {
        for (id, token) in image.tokens() {
            let renewers: Vec<String> = token.renewers.iter().map(|renewer| quoted(&encoded(renewer))).collect();
            let mut keys = vec![
                ("owner", quoted(&encoded(&token.owner))),
                ("renewers", format!("[{}]", renewers.join(","))),
                ("issueTimestamp", token.issue_timestamp.to_string()),
                ("maxTimestamp", token.max_timestamp.to_string()),
                ("expiryTimestamp", token.expiration_timestamp.to_string()),
                ("tokenId", quoted(id)),
            ];
            if token.owner == token.requester && self.choices.yes() {
                keys.push(("version", self.choices.one_of(&["1", "2"]).to_owned()));
            } else {
                keys.push(("version", "3".to_owned()));
                keys.push(("tokenRequester", quoted(&encoded(&token.requester))));
            }
            let data = node(&mut self.choices, &keys);
            self.put(&format!("/delegation_token/tokens/{id}"), Some(data), 2);
        }
    }

    /// Adds what the canonical form of a tree drops, and what it does not look at.
    pub(crate) fn litter(&mut self, image: &MetadataImage) {
        let empty = "{\"version\":1,\"config\":{}}";
        let leftovers: [(&str, Option<&str>); 26] = [
            ("/admin/delete_topics/ghost", None),
            ("/brokers/topics/ghost", Some("{\"version\":1,\"partitions\":{\"0\":[1]}}")),
            ("/brokers/topics/ghost/partitions/0/state", Some("broken")),
            ("/config/topics/ghost", Some("{\"version\":1,\"config\":{\"a\":\"b\"}}")),
            ("/config/topics/gone", Some("{\"version\":1,\"config\":{\"retention.ms\":\"1\"}}")),
            ("/config/brokers/77", Some(empty)),
            ("/config/users/nobody", Some(empty)),
            ("/config/users/leftover/clients", None),
            ("/config/users/leftover2/clients/nothing", Some(empty)),
            ("/config/users/stray", Some("{\"version\":1,\"config\":{\"no_such_quota\":\"1.0\"}}")),
            ("/config/clients/none", None),
            ("/config/ips/10.0.0.1", Some("{}")),
            ("/kafka-acl/Topic/none", Some("{\"version\":1,\"acls\":[]}")),
            ("/kafka-acl-extended/prefixed/Group/none", None),
            ("/delegation_token/tokens/unfinished", None),
            ("/config/changes/config_change_0000000007", Some("{\"version\":2,\"entity_path\":\"topics/a\"}")),
            ("/controller", Some("{\"version\":2,\"brokerid\":1,\"timestamp\":\"1\",\"kraftControllerEpoch\":-1}")),
            ("/controller_epoch", Some("3")),
            ("/cluster/id", Some("{\"version\":\"1\",\"id\":\"MkU3OEVBNTcwNTJENDM2Qg\"}")),
            ("/brokers/ids/1", Some("{}")),
            ("/brokers/seqid", Some("")),
            ("/feature", Some("{\"version\":2,\"status\":1,\"features\":{}}")),
            ("/consumers/g/offsets/t/0", Some("5")),
            ("/isr_change_notification/isr_change_0000000000", Some("{}")),
            ("/log_dir_event_notification/log_dir_event_0000000000", Some("{}")),
            ("/kafka-acl-changes/acl_changes_0000000000", Some("TOPIC:a")),
        ];
        for (path, data) in leftovers {
            if self.choices.below(3) > 0 && !self.znodes.contains_key(path) {
                self.put(path, data.map(str::to_owned), 1);
            }
        }
        // A topic that is being deleted is not there for anybody.
        if self.znodes.contains_key("/brokers/topics/ghost") {
            self.put("/admin/delete_topics/ghost", None, 0);
        }
        let names: BTreeSet<String> = image.topics().iter().map(|(_, name)| name.to_string()).collect();
        if let Some(name) = names.first().filter(|_| self.choices.yes()) {
            self.put(&format!("/brokers/topics/{name}/partitions/99/state"), Some("{}".to_owned()), 4);
        }
    }
}

/// A name as Kafka encodes it, written down a second time.
fn encoded(name: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b".-_".contains(byte);
    name.bytes().map(|byte| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
