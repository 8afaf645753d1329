//! Where the controllers of a fleet have their directories.

use std::path::{Path, PathBuf};

use metadata_core::id::NodeId;

use super::look_at;
use super::view::{FleetView, MemberView};
use crate::cli::Failure;
use crate::controller::{LogOnDisk, who_holds};

/// What the name of each data directory begins with.
const PREFIX: &str = "controller-";

pub(super) fn data_dir(folder: &Path, id: NodeId) -> PathBuf {
    folder.join(format!("{PREFIX}{id}"))
}

/// A controller of a fleet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetMember {
    /// Its id.
    pub id: NodeId,
    /// Its data directory.
    pub data_dir: PathBuf,
}

/// The controllers whose data directories lie in `folder`, by id; none if it is a data directory itself, or holds none.
pub fn members_in(folder: &Path) -> Vec<FleetMember> {
    if folder.join("meta.properties").exists() {
        return Vec::new();
    }
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let member = |entry: std::fs::DirEntry| {
        let name = entry.file_name();
        let id = name.to_str()?.strip_prefix(PREFIX)?.parse().ok().map(NodeId)?;
        let data_dir = entry.path();
        data_dir.join("meta.properties").exists().then_some(FleetMember { id, data_dir })
    };
    let mut members: Vec<_> = entries.filter_map(member).collect();
    members.sort_unstable_by_key(|member| member.id);
    members
}

/// Asks all controllers whose data directories lie in `folder`.
pub async fn look_in(folder: &Path) -> FleetView {
    let mut members = std::collections::BTreeMap::new();
    for FleetMember { id, data_dir } in members_in(folder) {
        let running = who_holds(&data_dir).is_some();
        let view = match look_at(&data_dir).await {
            MemberView::Silent(_) if !running => MemberView::Absent,
            view => view,
        };
        members.insert(id, view);
    }
    FleetView { members }
}

/// The data directory to ask: that of the leader, if `path` is the folder of a fleet, else `path` itself.
///
/// # Errors
/// Several controllers have their directories there, and none of those that run leads.
pub async fn leader_dir(path: &Path) -> Result<PathBuf, Failure> {
    let members = members_in(path);
    if members.is_empty() {
        return Ok(path.to_owned());
    }
    let (mut said, mut running) = (Vec::new(), false);
    for member in &members {
        match look_at(&member.data_dir).await {
            MemberView::Answers(status) => {
                let quorum = status.quorum.as_ref();
                if quorum.is_some_and(|quorum| quorum.leader == Some(member.id.0)) {
                    return Ok(member.data_dir.clone());
                }
                running = true;
                said.push(format!("controller {} does not lead", member.id));
            }
            other => {
                running |= who_holds(&member.data_dir).is_some();
                said.push(format!("controller {}: {}", member.id, other.word()));
            }
        }
    }
    if !running {
        return Ok(longest_log(members));
    }
    Err(Failure::blocked(format!("no controller in {} leads", path.display()))
        .whys(said)
        .next("start those that are missing, or wait for an election; --data-dir with the directory of one asks just that one"))
}

/// The directory with the longest log, while nobody runs: it has what was acknowledged, if anyone has.
fn longest_log(members: Vec<FleetMember>) -> PathBuf {
    let end = |member: &FleetMember| LogOnDisk::read(&member.data_dir, None).map(|log| log.end).unwrap_or_default();
    members
        .into_iter()
        .max_by_key(|member| (end(member).epoch, end(member).end_offset))
        .map(|it| it.data_dir)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_fleet_is_found_by_its_directories() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(members_in(folder.path()), []);
        assert_eq!(leader_dir(folder.path()).await.unwrap(), folder.path());
        for name in ["controller-3001", "controller-3000", "controller-x", "other-3002"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
            std::fs::write(folder.path().join(name).join("meta.properties"), "").unwrap();
        }
        std::fs::create_dir(folder.path().join("controller-3003")).unwrap();
        let ids: Vec<_> = members_in(folder.path()).into_iter().map(|member| member.id.0).collect();
        assert_eq!(ids, [3000, 3001]);
        // Nobody runs: one of them is as good as the other.
        assert!(leader_dir(folder.path()).await.unwrap().starts_with(folder.path()));

        let one = folder.path().join("controller-3000");
        assert_eq!(leader_dir(&one).await.unwrap(), one);
    }
}
