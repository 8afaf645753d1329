//! The arrows between our crates, which only point downwards, judged on what `cargo metadata` says.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// Every crate of ours, and which of ours it may use. Development dependencies count.
const ARROWS: [(&str, &[&str]); 8] = [
    ("metadata-core", &[]),
    ("fencing", &["metadata-core"]),
    ("broker-registry", &["fencing", "metadata-core"]),
    ("store-zk", &["fencing", "metadata-core"]),
    ("store-kraft", &["fencing", "metadata-core"]),
    ("migration", &["broker-registry", "fencing", "metadata-core"]),
    ("controller", &["broker-registry", "fencing", "metadata-core", "migration", "store-kraft", "store-zk"]),
    ("xtask", &["broker-registry", "controller", "fencing", "metadata-core", "migration", "store-kraft", "store-zk"]),
];

/// What must not be anywhere below `migration`: it names no store.
const NOT_BELOW_MIGRATION: [&str; 5] = ["openraft", "sled", "store-kraft", "store-zk", "zookeeper-client"];

/// The packages and who uses whom.
#[derive(Debug, Default)]
struct Graph {
    /// The names, by package id.
    names: BTreeMap<String, String>,
    /// Our own packages.
    ours: BTreeSet<String>,
    /// Used packages by package, with whether it is only for development.
    edges: BTreeMap<String, Vec<(String, bool)>>,
}

/// Everything that is wrong with the arrows; empty when nothing is.
///
/// # Errors
/// What the metadata lack.
pub(crate) fn wrong_arrows(metadata: &Value) -> Result<Vec<String>, String> {
    let graph = Graph::read(metadata).ok_or("what cargo metadata prints is not understood")?;
    let mut wrong = graph.between_our_crates();
    wrong.extend(graph.below_migration());
    Ok(wrong)
}

impl Graph {
    fn read(metadata: &Value) -> Option<Self> {
        let mut graph = Self::default();
        for package in metadata["packages"].as_array()? {
            graph.names.insert(text(&package["id"])?, text(&package["name"])?);
        }
        for id in metadata["workspace_members"].as_array()? {
            graph.ours.insert(text(id)?);
        }
        for node in metadata["resolve"]["nodes"].as_array()? {
            let mut edges = Vec::new();
            for edge in node["deps"].as_array()? {
                let kinds = edge["dep_kinds"].as_array()?;
                edges.push((text(&edge["pkg"])?, kinds.iter().all(|kind| kind["kind"] == "dev")));
            }
            graph.edges.insert(text(&node["id"])?, edges);
        }
        Some(graph)
    }

    fn name<'a>(&'a self, id: &'a str) -> &'a str {
        self.names.get(id).map_or(id, String::as_str)
    }

    fn edges(&self, id: &str) -> &[(String, bool)] {
        self.edges.get(id).map_or(&[], Vec::as_slice)
    }

    fn between_our_crates(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for user in &self.ours {
            let name = self.name(user);
            let Some((_, allowed)) = ARROWS.iter().find(|(known, _)| *known == name) else {
                wrong.push(format!("{name} is not among the crates that ARCHITECTURE.md names"));
                continue;
            };
            let used = self.edges(user).iter().map(|(id, _)| id).filter(|id| *id != user && self.ours.contains(*id));
            for used in used.map(|id| self.name(id)).filter(|used| !allowed.contains(used)) {
                wrong.push(format!("{name} must not use {used}"));
            }
        }
        wrong
    }

    fn below_migration(&self) -> Vec<String> {
        let Some(migration) = self.ours.iter().find(|id| self.name(id) == "migration") else {
            return vec!["there is no crate migration".to_owned()];
        };
        // Development dependencies count for the crate itself; nobody else's are built for it.
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        let mut next: Vec<&str> = self.edges(migration).iter().map(|(id, _)| id.as_str()).collect();
        while let Some(id) = next.pop() {
            if seen.insert(id) {
                next.extend(self.edges(id).iter().filter(|(_, dev)| !dev).map(|(id, _)| id.as_str()));
            }
        }
        let names: BTreeSet<&str> = seen.into_iter().map(|id| self.name(id)).collect();
        let found = NOT_BELOW_MIGRATION.into_iter().filter(|name| names.contains(name));
        found.map(|name| format!("{name} must not be below migration")).collect()
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A workspace of these edges: user, used, kind. Names without a row of their own in `ARROWS` are others' crates,
    /// but for those in `ours`.
    fn metadata(edges: &[(&str, &str, Option<&str>)], ours: &[&str]) -> Value {
        let mut names: BTreeSet<&str> = ARROWS.iter().map(|(name, _)| *name).chain(ours.iter().copied()).collect();
        let members: Vec<_> = names.iter().map(|name| format!("{name}-id")).collect();
        names.extend(edges.iter().flat_map(|(user, used, _)| [*user, *used]));
        let packages: Vec<_> = names.iter().map(|name| json!({"id": format!("{name}-id"), "name": name})).collect();
        let node = |name: &&str| {
            let deps: Vec<_> = edges
                .iter()
                .filter(|(user, ..)| user == name)
                .map(|(_, used, kind)| json!({"pkg": format!("{used}-id"), "dep_kinds": [{"kind": kind}]}))
                .collect();
            json!({"id": format!("{name}-id"), "deps": deps})
        };
        let nodes: Vec<_> = names.iter().map(node).collect();
        json!({"packages": packages, "workspace_members": members, "resolve": {"nodes": nodes}})
    }

    fn wrong(edges: &[(&str, &str, Option<&str>)]) -> Vec<String> {
        wrong_arrows(&metadata(edges, &[])).unwrap()
    }

    #[test]
    fn arrows_downwards_are_right() {
        let edges = [
            ("xtask", "store-zk", None),
            ("xtask", "controller", None),
            ("controller", "migration", None),
            ("store-zk", "store-zk", Some("dev")),
            ("store-zk", "fencing", None),
            ("store-zk", "zookeeper-client", None),
            ("migration", "fencing", None),
            ("migration", "tokio", None),
            ("tokio", "sled", Some("dev")),
        ];
        assert_eq!(wrong(&edges), Vec::<String>::new());
    }

    #[test]
    fn each_kind_of_wrong_arrow_is_named() {
        assert_eq!(wrong(&[("store-zk", "store-kraft", None)]), ["store-zk must not use store-kraft"]);
        assert_eq!(wrong(&[("metadata-core", "fencing", Some("dev"))]), ["metadata-core must not use fencing"]);
        let through_another = [("migration", "helper", Some("dev")), ("helper", "sled", None)];
        assert_eq!(wrong(&through_another), ["sled must not be below migration"]);
        let twice = ["migration must not use store-zk", "store-zk must not be below migration"];
        assert_eq!(wrong(&[("migration", "store-zk", Some("dev"))]), twice);
        assert_eq!(wrong(&[("migration", "controller", None)]), ["migration must not use controller"]);
        let stranger = wrong_arrows(&metadata(&[], &["tools"])).unwrap();
        assert_eq!(stranger, ["tools is not among the crates that ARCHITECTURE.md names"]);
    }

    #[test]
    fn what_is_no_metadata_is_refused() {
        assert!(wrong_arrows(&json!({"packages": []})).is_err());
    }
}
