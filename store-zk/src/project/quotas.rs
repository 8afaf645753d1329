//! Quotas of users, client ids and IP addresses, and the credentials of users.
//!
//! A user's quotas and credentials share one znode, and each write has both. A node exists exactly as long as the image has
//! something for it: Kafka's migration leaves empty nodes behind, but then nobody could tell from an image whether a node
//! must be created or set. ZooKeeper-mode brokers delete such nodes, too, and take a missing one for "no quotas".

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use imbl::ordmap::DiffItem;
use metadata_core::image::{MetadataImage, QuotaEntity, QuotaEntries, ScramKey};
use metadata_core::store::Unrepresentable;

use super::planner::{Planner, loss};
use super::{Entity, ExpectedZnode};
use crate::znode::name::{self, not_a_component};
use crate::znode::quota::{self, CLIENT_ID, IP, QuotaType, USER};
use crate::znode::{config, path, scram};

/// Properties of one node; never empty where an `Option` is used.
type Properties = BTreeMap<String, String>;

/// Where an entity's quotas stand: names of znodes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum QuotaPlace {
    User(Arc<str>),
    UserClient(Arc<str>, Arc<str>),
    Client(Arc<str>),
    Ip(Arc<str>),
}

fn znode_name(name: Option<&str>) -> Result<Arc<str>, String> {
    let znode = name::entity(name);
    match not_a_component(&znode) {
        Some(reason) => Err(format!("its name is no znode: {reason}")),
        None => Ok(znode.into()),
    }
}

fn place_of(entity: &QuotaEntity) -> Result<QuotaPlace, String> {
    let name = |kind: &str| entity.0.get(kind).map(|name| znode_name(name.as_deref())).transpose();
    let place = match (name(USER)?, name(CLIENT_ID)?, name(IP)?) {
        (Some(user), None, None) => QuotaPlace::User(user),
        (Some(user), Some(client), None) => QuotaPlace::UserClient(user, client),
        (None, Some(client), None) => QuotaPlace::Client(client),
        (None, None, Some(ip)) => QuotaPlace::Ip(ip),
        _ => return Err("ZooKeeper has no such combination".to_owned()),
    };
    if entity.0.keys().all(|kind| [USER, CLIENT_ID, IP].contains(&&**kind)) {
        Ok(place)
    } else {
        Err("ZooKeeper has no such combination".to_owned())
    }
}

/// An entity in words: `user "alice", client-id default`.
fn describe(entity: &QuotaEntity) -> String {
    let parts = entity.0.iter().rev().map(|(kind, name)| match name {
        Some(name) => format!("{kind} {name:?}"),
        None => format!("{kind} default"),
    });
    parts.collect::<Vec<_>>().join(", ")
}

/// The texts of an entity's quotas, and what has no place.
fn quota_properties(entity: &QuotaEntity, entries: &QuotaEntries) -> (Properties, Vec<Unrepresentable>) {
    let place = match place_of(entity) {
        Ok(place) => place,
        Err(reason) => return (Properties::new(), vec![loss(format!("quotas of {}", describe(entity)), reason)]),
    };
    let known: fn(&str) -> Option<QuotaType> = match place {
        QuotaPlace::Ip(_) => quota::ip_quota,
        QuotaPlace::User(_) | QuotaPlace::UserClient(..) | QuotaPlace::Client(_) => quota::user_or_client_quota,
    };
    let mut properties = Properties::new();
    let mut losses = Vec::new();
    for (key, value) in entries {
        let text = match known(key) {
            Some(quota) => quota::text(quota, value.0),
            None => Err("ZooKeeper has no such quota"),
        };
        match text {
            Ok(text) => {
                properties.insert(key.to_string(), text);
            }
            Err(reason) => losses.push(loss(format!("{key} of {}", describe(entity)), reason)),
        }
    }
    (properties, losses)
}

fn quotas_of(image: &MetadataImage, entity: &QuotaEntity) -> (Properties, Vec<Unrepresentable>) {
    image.quotas().get(entity).map(|entries| quota_properties(entity, entries)).unwrap_or_default()
}

/// The quotas and credentials of one user; `None` is the default user, which has no credentials.
fn user_properties(image: &MetadataImage, user: Option<&Arc<str>>) -> (Properties, Vec<Unrepresentable>) {
    let (mut properties, mut losses) = quotas_of(image, &QuotaEntity::of([(USER, user.map(|name| &**name))]));
    let Some(user) = user else { return (properties, losses) };
    let key = |mechanism| ScramKey { user: Arc::clone(user), mechanism };
    for (key, credential) in image.scram().range(key(i8::MIN)..=key(i8::MAX)) {
        let reason = match (scram::mechanism_name(key.mechanism), znode_name(Some(user))) {
            (Some(mechanism), Ok(_)) => {
                properties.insert(mechanism.to_owned(), scram::encode(credential));
                continue;
            }
            (_, Err(reason)) => reason,
            (None, _) => "ZooKeeper has no such mechanism".to_owned(),
        };
        losses.push(loss(format!("SCRAM credential of mechanism {} of user {user:?}", key.mechanism), reason));
    }
    (properties, losses)
}

fn data(properties: &Properties) -> Bytes {
    config::encode(properties.iter().map(|(key, text)| (key.as_str(), text.as_str())))
}

/// All quotas and credentials of an image, by znode.
#[derive(Debug, Default)]
pub(super) struct QuotaTree {
    users: BTreeMap<Arc<str>, UserNodes>,
    clients: BTreeMap<Arc<str>, Properties>,
    ips: BTreeMap<Arc<str>, Properties>,
    pub(super) losses: Vec<Unrepresentable>,
}

#[derive(Debug, Default)]
struct UserNodes {
    own: Properties,
    clients: BTreeMap<Arc<str>, Properties>,
}

impl QuotaTree {
    pub(super) fn new(image: &MetadataImage) -> Self {
        let mut tree = Self::default();
        let mut users: BTreeSet<Option<Arc<str>>> =
            image.scram().keys().map(|key| Some(Arc::clone(&key.user))).collect();
        for (entity, entries) in image.quotas() {
            if let Ok(QuotaPlace::User(_)) = place_of(entity) {
                users.extend(entity.0.values().cloned());
                continue;
            }
            let (properties, losses) = quota_properties(entity, entries);
            tree.losses.extend(losses);
            match place_of(entity) {
                Ok(_) | Err(_) if properties.is_empty() => {}
                Ok(QuotaPlace::UserClient(user, client)) => {
                    tree.users.entry(user).or_default().clients.insert(client, properties);
                }
                Ok(QuotaPlace::Client(client)) => {
                    tree.clients.insert(client, properties);
                }
                Ok(QuotaPlace::Ip(ip)) => {
                    tree.ips.insert(ip, properties);
                }
                Ok(QuotaPlace::User(_)) | Err(_) => {}
            }
        }
        for user in users {
            let (own, losses) = user_properties(image, user.as_ref());
            tree.losses.extend(losses);
            if let (false, Ok(znode)) = (own.is_empty(), znode_name(user.as_deref())) {
                tree.users.entry(znode).or_default().own = own;
            }
        }
        tree
    }

    /// Names of znodes, in order.
    pub(super) fn users(&self) -> impl Iterator<Item = &Arc<str>> {
        self.users.keys()
    }

    /// Names of znodes, in order.
    pub(super) fn clients(&self) -> impl Iterator<Item = &Arc<str>> {
        self.clients.keys()
    }

    /// Names of znodes, in order.
    pub(super) fn ips(&self) -> impl Iterator<Item = &Arc<str>> {
        self.ips.keys()
    }

    /// The znodes of one user, in the order of a walk.
    pub(super) fn user_nodes(&self, znode: &str) -> Vec<ExpectedZnode> {
        let Some(user) = self.users.get(znode) else { return Vec::new() };
        let mut nodes = vec![ExpectedZnode::with_data(path::user(znode), data(&user.own))];
        if !user.clients.is_empty() {
            nodes.push(ExpectedZnode::container(path::user_clients(znode)));
        }
        for (client, properties) in &user.clients {
            nodes.push(ExpectedZnode::with_data(path::user_client(znode, client), data(properties)));
        }
        nodes
    }

    pub(super) fn client_node(&self, znode: &str) -> Option<ExpectedZnode> {
        self.clients.get(znode).map(|properties| ExpectedZnode::with_data(path::client(znode), data(properties)))
    }

    pub(super) fn ip_node(&self, znode: &str) -> Option<ExpectedZnode> {
        self.ips.get(znode).map(|properties| ExpectedZnode::with_data(path::ip(znode), data(properties)))
    }
}

/// Properties before and after.
#[derive(Debug, Default, PartialEq, Eq)]
struct Change {
    before: Properties,
    after: Properties,
}

impl Change {
    fn created(&self) -> bool {
        self.before.is_empty() && !self.after.is_empty()
    }

    fn deleted(&self) -> bool {
        !self.before.is_empty() && self.after.is_empty()
    }

    fn replace(&self, entity: &Entity, znode_path: &str, planner: &mut Planner<'_>) {
        let present = |properties: &'_ Properties| !properties.is_empty();
        let before = Some(&self.before).filter(|properties| present(properties));
        let after = Some(&self.after).filter(|properties| present(properties));
        planner.replace(entity, znode_path, before, after, data);
    }
}

/// What happened to one user.
#[derive(Debug, Default)]
struct UserChange {
    own: Change,
    clients: BTreeMap<Arc<str>, Change>,
}

impl UserChange {
    /// Whether a node appears or goes, so that it matters whether the user has other client ids.
    fn moves_nodes(&self) -> bool {
        let mut changes = self.clients.values().chain([&self.own]);
        changes.any(|change| change.created() || change.deleted())
    }
}

/// Users first, then client ids, then IP addresses, each by the name of its znode.
pub(super) fn project(before: &MetadataImage, after: &MetadataImage, planner: &mut Planner<'_>) {
    let mut users: BTreeMap<Arc<str>, UserChange> = BTreeMap::new();
    let mut clients: BTreeMap<Arc<str>, Change> = BTreeMap::new();
    let mut ips: BTreeMap<Arc<str>, Change> = BTreeMap::new();
    // Users by name, and whether their own quotas or credentials changed: not only those of the user with a client id.
    let mut touched: BTreeMap<Option<Arc<str>>, bool> = BTreeMap::new();
    for item in before.quotas().diff(after.quotas()) {
        let entity = match item {
            DiffItem::Add(entity, _) | DiffItem::Remove(entity, _) | DiffItem::Update { new: (entity, _), .. } => {
                entity
            }
        };
        let user = entity.0.get(USER).cloned();
        let place = place_of(entity);
        if let (Some(user), Ok(QuotaPlace::User(_))) = (&user, &place) {
            touched.insert(user.clone(), true);
            continue;
        }
        let (old, (new, losses)) = (quotas_of(before, entity).0, quotas_of(after, entity));
        planner.unrepresentable(losses);
        let change = Change { before: old, after: new };
        match (place, user) {
            (Ok(QuotaPlace::UserClient(znode, client)), Some(user)) => {
                users.entry(znode).or_default().clients.insert(client, change);
                touched.entry(user).or_insert(false);
            }
            (Ok(QuotaPlace::Client(client)), _) => {
                clients.insert(client, change);
            }
            (Ok(QuotaPlace::Ip(ip)), _) => {
                ips.insert(ip, change);
            }
            _ => {}
        }
    }
    for item in before.scram().diff(after.scram()) {
        let key = match item {
            DiffItem::Add(key, _) | DiffItem::Remove(key, _) | DiffItem::Update { new: (key, _), .. } => key,
        };
        touched.insert(Some(Arc::clone(&key.user)), true);
    }
    for (user, own_changed) in touched {
        let (old, (new, losses)) = (user_properties(before, user.as_ref()).0, user_properties(after, user.as_ref()));
        if own_changed {
            planner.unrepresentable(losses);
        }
        if let Ok(znode) = znode_name(user.as_deref()) {
            users.entry(znode).or_default().own = Change { before: old, after: new };
        }
    }
    project_users(before, after, &users, planner);
    for (znode, change) in clients {
        change.replace(&Entity::Client(Arc::clone(&znode)), &path::client(&znode), planner);
    }
    for (znode, change) in ips {
        change.replace(&Entity::Ip(Arc::clone(&znode)), &path::ip(&znode), planner);
    }
}

fn project_users(
    before: &MetadataImage,
    after: &MetadataImage,
    users: &BTreeMap<Arc<str>, UserChange>,
    planner: &mut Planner<'_>,
) {
    let moving: BTreeSet<&Arc<str>> =
        users.iter().filter(|(_, change)| change.moves_nodes()).map(|(znode, _)| znode).collect();
    let (had_clients, has_clients) = (users_with_clients(before, &moving), users_with_clients(after, &moving));
    for (znode, change) in users {
        let clients = (had_clients.contains(znode), has_clients.contains(znode));
        project_user(znode, change, clients, planner);
    }
}

/// Which of these users have quotas together with a client id.
fn users_with_clients(image: &MetadataImage, users: &BTreeSet<&Arc<str>>) -> BTreeSet<Arc<str>> {
    if users.is_empty() {
        return BTreeSet::new();
    }
    let with_clients = image.quotas().iter().filter_map(|(entity, entries)| match place_of(entity) {
        Ok(QuotaPlace::UserClient(user, _)) if users.contains(&user) => {
            (!quota_properties(entity, entries).0.is_empty()).then_some(user)
        }
        _ => None,
    });
    with_clients.collect()
}

/// Leaves go first and come last. `clients` says whether the user has client ids before and after; it is only right,
/// and only needed, where nodes appear or go.
fn project_user(znode: &Arc<str>, change: &UserChange, clients: (bool, bool), planner: &mut Planner<'_>) {
    let entity = Entity::User(Arc::clone(znode));
    let (had_clients, has_clients) = clients;
    for (client, change) in change.clients.iter().filter(|(_, change)| change.deleted()) {
        change.replace(&entity, &path::user_client(znode, client), planner);
    }
    if had_clients && !has_clients {
        planner.delete(&entity, path::user_clients(znode));
    }
    let own = &change.own;
    let znode_path = path::user(znode);
    let (existed, exists) = (had_clients || !own.before.is_empty(), has_clients || !own.after.is_empty());
    match (existed, exists) {
        (false, true) => planner.create(&entity, znode_path.as_str(), Some(data(&own.after))),
        (true, true) if own.before != own.after => planner.set(&entity, znode_path.as_str(), Some(data(&own.after))),
        (true, false) => planner.delete(&entity, znode_path.as_str()),
        _ => {}
    }
    if own.before != own.after {
        planner.notify(&entity, &znode_path);
    }
    if !had_clients && has_clients {
        planner.create(&entity, path::user_clients(znode), None);
    }
    for (client, change) in change.clients.iter().filter(|(_, change)| !change.deleted()) {
        change.replace(&entity, &path::user_client(znode, client), planner);
    }
}
