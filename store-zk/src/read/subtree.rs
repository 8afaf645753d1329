//! Whole subtrees, level by level: every node of a level in a few requests.

use std::collections::BTreeMap;

use metadata_core::error::Result;

use super::BulkReader;
use crate::znode::Znode;

/// Levels below a root that are followed. Kafka's deepest path has seven; what is deeper is nobody's, and a limit keeps
/// a strange tree from holding us for ever.
const DEPTH_MAX: usize = 32;

impl BulkReader {
    /// Every znode at and below `roots` that `enter` does not exclude, by path. An excluded one is not read, nor what is
    /// below it. Roots that are not there are left out.
    pub(crate) async fn walk(
        &self,
        roots: Vec<String>,
        enter: impl Fn(&str) -> bool,
    ) -> Result<BTreeMap<String, Znode>> {
        let mut found = BTreeMap::new();
        let mut level = roots;
        for _ in 0..DEPTH_MAX {
            if level.is_empty() {
                break;
            }
            let nodes = self.nodes_with_children(level.clone()).await?;
            let mut parents = Vec::new();
            for (path, node) in level.into_iter().zip(nodes) {
                let Some((znode, has_children)) = node else { continue };
                if has_children {
                    parents.push(path.clone());
                }
                found.insert(path, znode);
            }
            let children = self.children_of(parents.clone()).await?;
            level = parents
                .iter()
                .zip(children)
                .flat_map(|(parent, names)| {
                    let parent = if parent == "/" { "" } else { parent };
                    names.into_iter().flatten().map(move |name| format!("{parent}/{name}"))
                })
                .filter(|path| enter(path))
                .collect();
        }
        Ok(found)
    }
}
