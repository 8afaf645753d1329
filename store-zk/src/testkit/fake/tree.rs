//! The tree of nodes: what ZooKeeper's request processors check, in their order, and what its data tree does.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use metadata_core::id::ZkVersion;

use crate::client::{
    AclEntry, Children, CreateMode, NodeData, OpResult, Permissions, ReadOutcome, Stat, ZkAcl, ZkCode, ZkOp, ZkRead,
    check,
};

/// Who asks.
#[derive(Debug, Clone, Default)]
pub(super) struct Actor {
    /// Owner of the ephemerals that it creates; 0 for none.
    pub(super) session: i64,
    /// Its identities as (scheme, id).
    pub(super) identities: Vec<(String, String)>,
    /// No list applies to it.
    pub(super) superuser: bool,
}

/// What a transaction did, for watches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    Created(String),
    Deleted(String),
    DataChanged(String),
}

#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) data: Bytes,
    pub(super) acl: ZkAcl,
    version: ZkVersion,
    czxid: i64,
    mzxid: i64,
    ctime_ms: i64,
    mtime_ms: i64,
    /// Children ever created. Numbers sequential names; ZooKeeper shows it as `cversion` with the deletions added.
    creates: i32,
    children: BTreeSet<String>,
    ephemeral_owner: i64,
}

impl Node {
    pub(super) fn stat(&self) -> Stat {
        let count = |length: usize| i32::try_from(length).unwrap_or(i32::MAX);
        let num_children = count(self.children.len());
        Stat {
            czxid: self.czxid,
            mzxid: self.mzxid,
            ctime_ms: self.ctime_ms,
            mtime_ms: self.mtime_ms,
            version: self.version,
            // Each child that was created was deleted too, except for those that are still there (`DataNode.copyStat`).
            cversion: self.creates.wrapping_mul(2).wrapping_sub(num_children),
            ephemeral_owner: self.ephemeral_owner,
            data_length: count(self.data.len()),
            num_children,
        }
    }

    fn node_data(&self) -> NodeData {
        NodeData { data: self.data.clone(), stat: self.stat() }
    }

    fn allows(&self, actor: &Actor, wanted: Permissions) -> bool {
        let matches = |entry: &AclEntry| {
            (entry.scheme == "world" && entry.id == "anyone")
                || actor.identities.iter().any(|(scheme, id)| entry.scheme == *scheme && entry.id == *id)
        };
        actor.superuser
            || self.acl.entries().iter().any(|entry| entry.permissions.bits() & wanted.bits() != 0 && matches(entry))
    }
}

/// How to take one change back.
enum Undo {
    Create { path: String },
    SetData { path: String, before: Box<Node> },
    Delete { path: String, before: Box<Node> },
}

pub(super) struct Tree {
    nodes: BTreeMap<String, Node>,
    zxid: i64,
    pub(super) now_ms: i64,
}

/// The parent's path and the last name. `None` for the root.
pub(super) fn split(path: &str) -> Option<(&str, &str)> {
    let (parent, name) = path.rsplit_once('/')?;
    if name.is_empty() {
        return None;
    }
    Some((if parent.is_empty() { "/" } else { parent }, name))
}

impl Tree {
    /// A fresh server's tree: the root and ZooKeeper's own nodes.
    pub(super) fn new() -> Self {
        let mut tree = Self { nodes: BTreeMap::new(), zxid: 0, now_ms: 0 };
        tree.nodes.insert("/".to_owned(), tree.node(Bytes::new(), ZkAcl::world_all(), 0));
        for path in ["/zookeeper", "/zookeeper/config", "/zookeeper/quota"] {
            let node = tree.node(Bytes::new(), ZkAcl::world_all(), 0);
            tree.attach(path, node);
        }
        tree
    }

    pub(super) fn next_zxid(&mut self) -> i64 {
        self.zxid += 1;
        self.zxid
    }

    pub(super) fn get(&self, path: &str) -> Option<&Node> {
        self.nodes.get(path)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&String, &Node)> {
        self.nodes.iter()
    }

    fn node(&self, data: Bytes, acl: ZkAcl, ephemeral_owner: i64) -> Node {
        Node {
            data,
            acl,
            version: ZkVersion(0),
            czxid: self.zxid,
            mzxid: self.zxid,
            ctime_ms: self.now_ms,
            mtime_ms: self.now_ms,
            creates: 0,
            children: BTreeSet::new(),
            ephemeral_owner,
        }
    }

    fn attach(&mut self, path: &str, node: Node) {
        if let Some((parent, name)) = split(path)
            && let Some(parent) = self.nodes.get_mut(parent)
        {
            parent.children.insert(name.to_owned());
            parent.creates = parent.creates.wrapping_add(1);
        }
        self.nodes.insert(path.to_owned(), node);
    }

    fn detach(&mut self, path: &str) -> Option<Node> {
        if let Some((parent, name)) = split(path)
            && let Some(parent) = self.nodes.get_mut(parent)
        {
            parent.children.remove(name);
        }
        self.nodes.remove(path)
    }

    /// One transaction: all ops or none. A failed one takes a zxid too, as in ZooKeeper.
    pub(super) fn multi(
        &mut self,
        actor: &Actor,
        ops: &[ZkOp],
    ) -> Result<(Vec<OpResult>, Vec<Change>), (usize, ZkCode)> {
        self.next_zxid();
        let (mut results, mut changes, mut undo) = (Vec::with_capacity(ops.len()), Vec::new(), Vec::new());
        for (index, op) in ops.iter().enumerate() {
            match self.apply(actor, op, &mut changes, &mut undo) {
                Ok(result) => results.push(result),
                Err(code) => {
                    self.roll_back(undo);
                    return Err((index, code));
                }
            }
        }
        Ok((results, changes))
    }

    fn apply(
        &mut self,
        actor: &Actor,
        op: &ZkOp,
        changes: &mut Vec<Change>,
        undo: &mut Vec<Undo>,
    ) -> Result<OpResult, ZkCode> {
        if let Some(code) = check::refusal(op) {
            return Err(code);
        }
        match op {
            ZkOp::Check { path, version } => {
                self.guarded(actor, path, Permissions::READ, Some(*version))?;
                Ok(OpResult::Check)
            }
            ZkOp::Create { path, data, acl, mode } => {
                let path = self.create(actor, path, data, acl, *mode)?;
                undo.push(Undo::Create { path: path.clone() });
                changes.push(Change::Created(path.clone()));
                Ok(OpResult::Create { path })
            }
            ZkOp::SetData { path, data, version } => {
                let (zxid, now_ms) = (self.zxid, self.now_ms);
                let node = self.guarded(actor, path, Permissions::WRITE, *version)?;
                undo.push(Undo::SetData { path: path.clone(), before: Box::new(copy_without_children(node)) });
                node.data = data.clone();
                node.version = node.version.next();
                node.mzxid = zxid;
                node.mtime_ms = now_ms;
                let stat = node.stat();
                changes.push(Change::DataChanged(path.clone()));
                Ok(OpResult::SetData { stat })
            }
            ZkOp::Delete { path, version } => {
                let (parent, _) = split(path).ok_or(ZkCode::BadArguments)?;
                let allowed = self.nodes.get(parent).ok_or(ZkCode::NoNode)?.allows(actor, Permissions::DELETE);
                let node = self.nodes.get(path).ok_or(ZkCode::NoNode)?;
                if !allowed {
                    return Err(ZkCode::NoAuth);
                }
                if version.is_some_and(|version| version != node.version) {
                    return Err(ZkCode::BadVersion);
                }
                if !node.children.is_empty() {
                    return Err(ZkCode::NotEmpty);
                }
                if let Some(before) = self.detach(path) {
                    undo.push(Undo::Delete { path: path.clone(), before: Box::new(before) });
                }
                changes.push(Change::Deleted(path.clone()));
                Ok(OpResult::Delete)
            }
        }
    }

    /// A node that is there, that the actor may use so, at the right version: checked in this order.
    fn guarded(
        &mut self,
        actor: &Actor,
        path: &str,
        wanted: Permissions,
        version: Option<ZkVersion>,
    ) -> Result<&mut Node, ZkCode> {
        let node = self.nodes.get_mut(path).ok_or(ZkCode::NoNode)?;
        if !node.allows(actor, wanted) {
            return Err(ZkCode::NoAuth);
        }
        if version.is_some_and(|version| version != node.version) {
            return Err(ZkCode::BadVersion);
        }
        Ok(node)
    }

    fn create(
        &mut self,
        actor: &Actor,
        path: &str,
        data: &Bytes,
        acl: &ZkAcl,
        mode: CreateMode,
    ) -> Result<String, ZkCode> {
        let acl = resolved(acl, actor)?;
        let sequential = matches!(mode, CreateMode::PersistentSequential | CreateMode::EphemeralSequential);
        if path == "/" && !sequential {
            return Err(ZkCode::NodeExists);
        }
        let parent = path.rsplit_once('/').map_or("/", |(parent, _)| if parent.is_empty() { "/" } else { parent });
        let parent = self.nodes.get(parent).ok_or(ZkCode::NoNode)?;
        if !parent.allows(actor, Permissions::CREATE) {
            return Err(ZkCode::NoAuth);
        }
        let parent_is_ephemeral = parent.ephemeral_owner != 0;
        let path = if sequential { format!("{path}{:010}", parent.creates) } else { path.to_owned() };
        if self.nodes.contains_key(&path) {
            return Err(ZkCode::NodeExists);
        }
        if parent_is_ephemeral {
            return Err(ZkCode::NoChildrenForEphemerals);
        }
        let ephemeral = matches!(mode, CreateMode::Ephemeral | CreateMode::EphemeralSequential);
        let node = self.node(data.clone(), acl, if ephemeral { actor.session } else { 0 });
        self.attach(&path, node);
        Ok(path)
    }

    fn roll_back(&mut self, undo: Vec<Undo>) {
        for step in undo.into_iter().rev() {
            match step {
                Undo::Create { path } => {
                    self.detach(&path);
                    if let Some((parent, _)) = split(&path)
                        && let Some(parent) = self.nodes.get_mut(parent)
                    {
                        parent.creates = parent.creates.wrapping_sub(1);
                    }
                }
                Undo::SetData { path, before } => {
                    if let Some(node) = self.nodes.get_mut(&path) {
                        let children = std::mem::take(&mut node.children);
                        *node = Node { children, ..*before };
                    }
                }
                Undo::Delete { path, before } => {
                    if let Some((parent, name)) = split(&path)
                        && let Some(parent) = self.nodes.get_mut(parent)
                    {
                        parent.children.insert(name.to_owned());
                    }
                    self.nodes.insert(path, *before);
                }
            }
        }
    }

    /// The end of a session: its ephemerals go, in one transaction.
    pub(super) fn end_session(&mut self, session: i64) -> Vec<Change> {
        self.next_zxid();
        let owned: Vec<_> = self
            .nodes
            .iter()
            .filter(|(_, node)| session != 0 && node.ephemeral_owner == session)
            .map(|(path, _)| path.clone())
            .collect();
        for path in &owned {
            self.detach(path);
        }
        owned.into_iter().map(Change::Deleted).collect()
    }

    fn readable(&self, actor: &Actor, path: &str) -> Result<&Node, ZkCode> {
        if !check::is_path(path) {
            return Err(ZkCode::BadArguments);
        }
        let node = self.nodes.get(path).ok_or(ZkCode::NoNode)?;
        if !node.allows(actor, Permissions::READ) {
            return Err(ZkCode::NoAuth);
        }
        Ok(node)
    }

    pub(super) fn read_data(&self, actor: &Actor, path: &str) -> Result<NodeData, ZkCode> {
        self.readable(actor, path).map(Node::node_data)
    }

    pub(super) fn read_children(&self, actor: &Actor, path: &str) -> Result<Children, ZkCode> {
        let node = self.readable(actor, path)?;
        Ok(Children { names: node.children.iter().cloned().collect(), stat: node.stat() })
    }

    pub(super) fn read_acl(&self, actor: &Actor, path: &str) -> Result<(ZkAcl, Stat), ZkCode> {
        let node = self.nodes.get(path).ok_or(ZkCode::NoNode)?;
        if !node.allows(actor, Permissions::READ | Permissions::ADMIN) {
            return Err(ZkCode::NoAuth);
        }
        Ok((node.acl.clone(), node.stat()))
    }

    pub(super) fn read(&self, actor: &Actor, read: &ZkRead) -> ReadOutcome {
        let outcome = match read {
            ZkRead::Data(path) => self.read_data(actor, path).map(ReadOutcome::Data),
            ZkRead::Children(path) => {
                self.read_children(actor, path).map(|children| ReadOutcome::Children(children.names))
            }
        };
        outcome.unwrap_or_else(ReadOutcome::Failed)
    }
}

/// What a set-data may change; the children are no part of it, and may be many.
fn copy_without_children(node: &Node) -> Node {
    Node {
        data: node.data.clone(),
        acl: node.acl.clone(),
        children: BTreeSet::new(),
        version: node.version,
        czxid: node.czxid,
        mzxid: node.mzxid,
        ctime_ms: node.ctime_ms,
        mtime_ms: node.mtime_ms,
        creates: node.creates,
        ephemeral_owner: node.ephemeral_owner,
    }
}

/// The list as ZooKeeper stores it: `auth` becomes the identities of the creator (`PrepRequestProcessor.fixupACL`).
fn resolved(acl: &ZkAcl, actor: &Actor) -> Result<ZkAcl, ZkCode> {
    let mut entries = Vec::with_capacity(acl.entries().len());
    for entry in acl.entries() {
        match entry.scheme.as_ref() {
            "auth" => {
                if actor.identities.is_empty() {
                    return Err(ZkCode::InvalidAcl);
                }
                entries.extend(actor.identities.iter().map(|(scheme, id)| AclEntry {
                    permissions: entry.permissions,
                    scheme: scheme.clone().into(),
                    id: id.clone().into(),
                }));
            }
            "world" if entry.id != "anyone" => return Err(ZkCode::InvalidAcl),
            "world" | "digest" | "sasl" | "ip" | "x509" => entries.push(entry.clone()),
            _ => return Err(ZkCode::InvalidAcl),
        }
    }
    if entries.is_empty() {
        return Err(ZkCode::InvalidAcl);
    }
    Ok(ZkAcl::new(entries))
}
