//! Puts a seed into a ZooKeeper.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use metadata_core::id::ZkVersion;
use store_zk::client::config::ZkClientConfig;
use store_zk::client::{
    MULTI_FRAME_OVERHEAD, OpResult, UnknownCause, ZkAcl, ZkCode, ZkError, ZkFuture, ZkOp, ZkSession,
};

use super::node::SeedNode;
use super::{Blueprint, Manifest};
use crate::cli::{Failure, Interrupt, Progress};

/// Ops in one multi. Beyond this only latency grows.
const OPS_PER_MULTI: usize = 150;
/// Bytes in one multi; a single op above it goes alone.
const BYTES_PER_MULTI: usize = 512 * 1024;
/// Multis that wait for their answer.
const WINDOW: usize = 8;
/// Lost connections that one multi may suffer.
const LOSSES_MAX: usize = 10;
/// Names that a refusal lists.
const NAMES_SHOWN: usize = 10;

/// Prefixes of paths that only their creator may read when ACLs are on (`ZkData.SensitiveZkRootPaths`).
const SENSITIVE: [&str; 3] = ["/config/users", "/config/brokers", "/delegation_token/tokens"];

/// Creates the chroot of the connect string, and its parents, where they are absent. Without a chroot there is nothing
/// to do.
///
/// # Errors
/// ZooKeeper can't be reached or refuses.
pub async fn ensure_chroot(config: &ZkClientConfig, secure: bool) -> Result<(), Failure> {
    let chroot = config.connect.chroot();
    if chroot.is_empty() {
        return Ok(());
    }
    let root = ZkClientConfig { connect: config.connect.with_chroot("")?, ..config.clone() };
    let session = root.connector()?.connect().await?;
    for (end, _) in chroot.match_indices('/').skip(1).chain([(chroot.len(), "")]) {
        let Some(path) = chroot.get(..end) else { continue };
        if session.exists(path).await?.is_some() {
            continue;
        }
        match session.multi(vec![ZkOp::create(path, "", acl(path, secure))]).await {
            Ok(_) => {}
            Err(error) if error.code() == Some(ZkCode::NodeExists) => {}
            Err(error) => return Err(Failure::from(error).while_doing(format!("can't create the chroot {path}"))),
        }
    }
    close(session.as_ref()).await;
    Ok(())
}

/// Writes all znodes of the blueprint through a session, into a path that is empty, and returns the account of them. Lost
/// connections are resumed; the session given is of no more use then.
///
/// `secure` creates them with the ACLs of Kafka's `zookeeper.set.acl`, world-writable ones otherwise.
///
/// # Errors
/// [`Exit::Blocked`](crate::cli::Exit::Blocked) if anything is there already, but for ZooKeeper's own `/zookeeper`:
/// nothing is written then. Every other failure, an interrupt too, leaves a part of the seed behind, and says so.
pub async fn write(
    session: &dyn ZkSession,
    blueprint: &Blueprint,
    secure: bool,
    progress: &Progress,
    interrupt: &Interrupt,
) -> Result<Manifest, Failure> {
    refuse_unless_empty(session).await?;
    let mut manifest = blueprint.empty_manifest();
    let mut pipeline = Pipeline::new(session, progress);
    let written = interrupt.unless_requested(async {
        for node in blueprint.nodes() {
            manifest.count(&node);
            pipeline.add(node, secure).await?;
        }
        Ok(pipeline.finish().await?)
    });
    match written.await {
        Ok(()) => Ok(manifest),
        Err(failure) => Err(left_behind(session, failure, interrupt)),
    }
}

async fn refuse_unless_empty(session: &dyn ZkSession) -> Result<(), Failure> {
    let mut found = session.get_children("/").await?.names;
    if session.chroot().is_empty() {
        found.retain(|name| name != "zookeeper");
    }
    if found.is_empty() {
        return Ok(());
    }
    let shown: Vec<_> = found.iter().take(NAMES_SHOWN).map(|name| format!("/{name}")).collect();
    let more = match found.len() - shown.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Err(Failure::blocked(format!("{} is not empty", place(session)))
        .why(format!("it has {}{more}", shown.join(", ")))
        .next("name an empty chroot, as --zookeeper HOST:PORT/seed; it is created if it is absent")
        .field("found", found))
}

/// What a failure on the way means for the path.
fn left_behind(session: &dyn ZkSession, failure: Failure, interrupt: &Interrupt) -> Failure {
    // When Ctrl-C stopped our ZooKeeper together with us, its loss is not the reason.
    let failure = if interrupt.is_requested() { Failure::failed("interrupted") } else { failure };
    failure
        .while_doing("the seed is not complete")
        .next(format!("a seed can't be continued: delete what is in {}, or name another chroot", place(session)))
}

fn place(session: &dyn ZkSession) -> String {
    match session.chroot() {
        "" => "ZooKeeper's root".to_owned(),
        chroot => format!("ZooKeeper's {chroot}"),
    }
}

/// Ends a session at once instead of letting it expire; nothing depends on it.
pub(super) async fn close(session: &dyn ZkSession) {
    if let Err(error) = session.close().await {
        tracing::debug!("the session was not closed: {error}");
    }
}

/// Collects ops into multis and keeps a window of them on their way, in order. A lost connection is resumed: multis of one
/// session are applied whole and in order, so those that were applied are the first of the window.
struct Pipeline<'a> {
    first_session: &'a dyn ZkSession,
    resumed: Option<Arc<dyn ZkSession>>,
    progress: &'a Progress,
    chroot_length: usize,
    ops: Vec<ZkOp>,
    bytes: usize,
    nodes: u64,
    waiting: VecDeque<Waiting>,
}

/// A multi on its way.
struct Waiting {
    ops: Vec<ZkOp>,
    answer: ZkFuture<Vec<OpResult>>,
    nodes: u64,
}

impl<'a> Pipeline<'a> {
    fn new(session: &'a dyn ZkSession, progress: &'a Progress) -> Self {
        Self {
            first_session: session,
            resumed: None,
            progress,
            chroot_length: session.chroot().len(),
            ops: Vec::with_capacity(OPS_PER_MULTI),
            bytes: MULTI_FRAME_OVERHEAD,
            nodes: 0,
            waiting: VecDeque::with_capacity(WINDOW),
        }
    }

    fn session(&self) -> &dyn ZkSession {
        self.resumed.as_deref().unwrap_or(self.first_session)
    }

    async fn add(&mut self, node: SeedNode, secure: bool) -> Result<(), ZkError> {
        let acl = acl(&node.path, secure);
        let data = Bytes::from(node.data);
        self.push(ZkOp::create(node.path.clone(), data.clone(), acl)).await?;
        for version in 0..node.version {
            // Versions are expected ones: a stranger's write in between is noticed.
            self.push(ZkOp::set_data(node.path.clone(), data.clone(), ZkVersion(version))).await?;
        }
        self.nodes += 1;
        Ok(())
    }

    async fn push(&mut self, op: ZkOp) -> Result<(), ZkError> {
        let size = op.wire_size(self.chroot_length);
        if self.ops.len() == OPS_PER_MULTI || self.bytes + size > BYTES_PER_MULTI {
            self.send().await?;
        }
        self.bytes += size;
        self.ops.push(op);
        Ok(())
    }

    async fn send(&mut self) -> Result<(), ZkError> {
        if self.ops.is_empty() {
            return Ok(());
        }
        if self.waiting.len() == WINDOW {
            self.wait_for_first().await?;
        }
        let ops = std::mem::replace(&mut self.ops, Vec::with_capacity(OPS_PER_MULTI));
        let answer = self.session().multi(ops.clone());
        self.waiting.push_back(Waiting { ops, answer, nodes: std::mem::take(&mut self.nodes) });
        self.bytes = MULTI_FRAME_OVERHEAD;
        Ok(())
    }

    async fn finish(&mut self) -> Result<(), ZkError> {
        self.send().await?;
        while !self.waiting.is_empty() {
            self.wait_for_first().await?;
        }
        Ok(())
    }

    /// Waits until the first multi of the window is applied.
    async fn wait_for_first(&mut self) -> Result<(), ZkError> {
        let mut losses = 0;
        loop {
            let Some(first) = self.waiting.front_mut() else { return Ok(()) };
            let mut result = (&mut first.answer).await.map(drop);
            if result.is_ok() {
                self.first_is_applied();
                return Ok(());
            }
            // A loss while resuming is one more loss.
            while let Err(error) = result {
                losses += 1;
                if error.cause() != Some(UnknownCause::ConnectionLost) || losses > LOSSES_MAX {
                    return Err(error);
                }
                tracing::warn!("{error}; resuming");
                result = self.resume().await;
            }
        }
    }

    /// Continues the session over a new connection, and sends again what was not applied.
    async fn resume(&mut self) -> Result<(), ZkError> {
        let session = self.session().resume().await?;
        // Behind this nothing of the lost connection is applied any more.
        session.sync("/").await?;
        while let Some(first) = self.waiting.front() {
            if !is_applied(session.as_ref(), first).await? {
                break;
            }
            self.first_is_applied();
        }
        for waiting in &mut self.waiting {
            waiting.answer = session.multi(waiting.ops.clone());
        }
        self.resumed = Some(session);
        Ok(())
    }

    fn first_is_applied(&mut self) {
        if let Some(first) = self.waiting.pop_front() {
            self.progress.advance(first.nodes);
        }
    }
}

/// Whether a multi was applied, told by its first op: a multi is applied as a whole.
async fn is_applied(session: &dyn ZkSession, waiting: &Waiting) -> Result<bool, ZkError> {
    let Some(op) = waiting.ops.first() else { return Ok(true) };
    let stat = session.exists(op.path()).await?;
    Ok(match (stat, op) {
        (Some(stat), ZkOp::SetData { version: Some(version), .. }) => stat.version > *version,
        (stat, _) => stat.is_some(),
    })
}

/// The ACL that Kafka gives a new znode (`ZkData.defaultAcls`).
pub(super) fn acl(path: &str, secure: bool) -> ZkAcl {
    if !secure || path == "/consumers" {
        ZkAcl::world_all()
    } else if SENSITIVE.iter().any(|prefix| path.starts_with(prefix)) {
        ZkAcl::creator_all()
    } else {
        ZkAcl::creator_all_world_read()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acls_are_kafkas() {
        for (path, secure, expected) in [
            ("/config/users/billing", false, ZkAcl::world_all()),
            ("/config/users/billing", true, ZkAcl::creator_all()),
            ("/config/brokers", true, ZkAcl::creator_all()),
            ("/delegation_token/tokens/x", true, ZkAcl::creator_all()),
            ("/delegation_token/token_changes", true, ZkAcl::creator_all_world_read()),
            ("/config/topics/payments", true, ZkAcl::creator_all_world_read()),
            ("/consumers", true, ZkAcl::world_all()),
            ("/consumers/x", true, ZkAcl::creator_all_world_read()),
        ] {
            assert_eq!(acl(path, secure), expected, "{path} {secure}");
        }
    }
}

#[cfg(test)]
mod on_the_fake {
    use store_zk::client::ZkConnector;
    use store_zk::testkit::fake::{FakeZooKeeper, Fault};

    use super::super::SeedOptions;
    use super::*;
    use crate::cli::Exit;

    fn blueprint() -> Blueprint {
        Blueprint::new(SeedOptions { topics: 40, ..SeedOptions::default() }).unwrap()
    }

    async fn seed(zookeeper: &FakeZooKeeper, chroot: &str, interrupt: &Interrupt) -> Result<Manifest, Failure> {
        let session = zookeeper.connector().with_chroot(chroot).connect().await.unwrap();
        write(session.as_ref(), &blueprint(), false, &Progress::hidden(), interrupt).await
    }

    #[tokio::test]
    async fn what_was_generated_is_what_is_there() {
        let zookeeper = FakeZooKeeper::new();
        let manifest = seed(&zookeeper, "", &Interrupt::never()).await.unwrap();
        assert_eq!(manifest, blueprint().manifest());
        let mut there = zookeeper.dump();
        for node in blueprint().nodes() {
            let found = there.remove(&node.path).unwrap();
            assert_eq!(
                (found.data.as_ref(), found.stat.version.0),
                (node.data.as_slice(), node.version),
                "{}",
                node.path
            );
        }
        there.retain(|path, _| path != "/" && !path.starts_with("/zookeeper"));
        assert!(there.is_empty(), "{:?}", there.keys());
    }

    #[tokio::test]
    async fn multis_keep_their_limits() {
        let zookeeper = FakeZooKeeper::new();
        zookeeper.set_request_size_limit(BYTES_PER_MULTI);
        seed(&zookeeper, "", &Interrupt::never()).await.unwrap();
        let sizes: Vec<_> = zookeeper.history().iter().map(|applied| applied.ops.len()).collect();
        assert!(sizes.len() > WINDOW && sizes.iter().all(|size| (1..=OPS_PER_MULTI).contains(size)), "{sizes:?}");
    }

    #[tokio::test]
    async fn a_path_that_is_not_empty_is_refused_and_left_alone() {
        for (chroot, existing) in [("", "/brokers"), ("", "/x"), ("/kafka", "/kafka/x"), ("/kafka", "/kafka/zookeeper")]
        {
            let zookeeper = FakeZooKeeper::new();
            let create = |path: &str| ZkOp::create(path, "", ZkAcl::world_all());
            if !chroot.is_empty() {
                zookeeper.foreign(vec![create(chroot)]).unwrap();
            }
            zookeeper.foreign(vec![create(existing)]).unwrap();
            let before = zookeeper.dump();
            let failure = seed(&zookeeper, chroot, &Interrupt::never()).await.unwrap_err();
            assert_eq!(failure.exit(), Exit::Blocked);
            let name = existing.strip_prefix(chroot).unwrap();
            assert!(failure.reasons().iter().any(|reason| reason.contains(name)), "{failure}");
            assert_eq!(zookeeper.dump(), before);
        }
    }

    #[tokio::test]
    async fn a_lost_connection_changes_nothing_about_the_result() {
        let undisturbed = FakeZooKeeper::new();
        seed(&undisturbed, "", &Interrupt::never()).await.unwrap();
        let tree = |zookeeper: &FakeZooKeeper| -> Vec<_> {
            let nodes = zookeeper.dump().into_iter();
            nodes.map(|(path, node)| (path, node.data, node.stat.version)).collect()
        };
        let multis = undisturbed.multi_count() as u64;
        for skip in 0..multis {
            for fault in [Fault::DropRequest, Fault::LoseReply] {
                let zookeeper = FakeZooKeeper::new();
                zookeeper.fail_multi(skip, fault);
                seed(&zookeeper, "", &Interrupt::never()).await.unwrap();
                assert_eq!(tree(&zookeeper), tree(&undisturbed), "{fault:?} of multi {skip}");
            }
        }
    }

    #[tokio::test]
    async fn a_connection_that_is_always_lost_ends_it() {
        let zookeeper = FakeZooKeeper::new();
        for multi in (0..).take(LOSSES_MAX + 1) {
            zookeeper.fail_multi(multi, Fault::DropRequest);
        }
        let failure = seed(&zookeeper, "", &Interrupt::never()).await.unwrap_err();
        assert!(failure.to_string().contains("connection lost"), "{failure}");
    }

    #[tokio::test]
    async fn what_is_left_behind_half_done_is_said() {
        let zookeeper = FakeZooKeeper::new();
        zookeeper.set_request_size_limit(4000);
        let failure = seed(&zookeeper, "", &Interrupt::never()).await.unwrap_err();
        assert_eq!((failure.exit(), failure.what()), (Exit::Failed, "the seed is not complete"));
        assert!(failure.lines().iter().any(|line| line.contains("can't be continued")), "{failure}");

        let failure = seed(&FakeZooKeeper::new(), "", &Interrupt::already_requested()).await.unwrap_err();
        assert_eq!(failure.reasons(), ["interrupted"]);
    }
}
