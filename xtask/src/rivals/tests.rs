//! The log server and its members, on sockets in temporary folders.

mod on_files {
    use std::sync::Arc;

    use async_trait::async_trait;
    use metadata_core::contract::{LogHarness, StoreHarness, Workload};
    use metadata_core::error::{ErrorKind, Outcome};
    use metadata_core::id::NodeId;
    use metadata_core::image::MetadataImage;
    use metadata_core::leadership::KraftLeadership;
    use metadata_core::log::{Append, LeaderAndEpoch, LogStore, MetadataLog};
    use metadata_core::store::{MetadataStore, Txn};
    use metadata_core::{contract_tests, log_contract_tests};
    use tempfile::TempDir;

    use super::super::remote::RemoteLog;
    use super::super::server::LogServer;

    const NODE: NodeId = NodeId(3000);
    const OTHER: NodeId = NodeId(3001);

    struct Harness {
        server: LogServer,
        member: Arc<RemoteLog>,
        _folder: TempDir,
    }

    impl Harness {
        async fn start() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let server = LogServer::start(&folder.path().join("log.sock")).unwrap();
            let member = Arc::new(RemoteLog::join(server.socket(), NODE).await.unwrap());
            Self { server, member, _folder: folder }
        }
    }

    /// Waits until the member has heard of the present epoch.
    async fn hears(member: &RemoteLog, server: &LogServer, node: NodeId) -> LeaderAndEpoch {
        let epoch = server.elect(node);
        let mut known = None;
        loop {
            let leader = member.leadership(known).await.unwrap();
            if leader.epoch == epoch {
                return leader;
            }
            known = Some(leader);
        }
    }

    #[async_trait]
    impl LogHarness for Harness {
        async fn log(&mut self) -> Arc<dyn MetadataLog> {
            Arc::<RemoteLog>::clone(&self.member)
        }

        async fn next_leader(&mut self) -> LeaderAndEpoch {
            hears(&self.member, &self.server, NODE).await
        }
    }

    #[async_trait]
    impl StoreHarness for Harness {
        async fn store(&mut self) -> Arc<dyn MetadataStore> {
            Arc::new(LogStore::new(Arc::clone(&self.member)))
        }

        async fn next_leadership(&mut self) -> KraftLeadership {
            KraftLeadership { id: NODE, epoch: hears(&self.member, &self.server, NODE).await.epoch }
        }

        fn takes_made_up_leadership(&self) -> bool {
            false
        }
    }

    log_contract_tests!(remote_log, async { Harness::start().await });
    contract_tests!(remote_log_as_a_store, async { Harness::start().await });

    fn assert_same(found: &MetadataImage, expected: &MetadataImage) {
        assert_eq!(found.position(), expected.position());
        assert!(found.same_metadata(expected));
    }

    async fn changes(server: &LogServer, count: usize) {
        for change in Workload::new(1).changes(&server.image(), count) {
            server.append(change).await.unwrap();
        }
    }

    fn append(member: &RemoteLog, leader: LeaderAndEpoch) -> Append {
        let records = Workload::new(2).next_change(&member.image());
        let expected = Some(member.image().position().end_offset);
        Append { epoch: leader.epoch, expected, txn: Txn::None, records }
    }

    #[tokio::test]
    async fn only_the_leader_may_append() {
        let harness = Harness::start().await;
        let other = RemoteLog::join(harness.server.socket(), OTHER).await.unwrap();
        let leader = hears(&harness.member, &harness.server, OTHER).await;
        assert!(!leader.active && leader.leader == Some(OTHER), "{leader:?}");
        let error = harness.member.append(append(&harness.member, leader)).await.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::ControllerFenced, Outcome::NotApplied));
        let known = LeaderAndEpoch { leader: None, active: false, ..leader };
        assert!(other.leadership(Some(known)).await.unwrap().active);
        other.append(append(&other, leader)).await.unwrap();
    }

    #[tokio::test]
    async fn a_member_that_is_cut_off_believes_what_it_believed_and_learns_all_of_it_later() {
        let harness = Harness::start().await;
        let led = hears(&harness.member, &harness.server, NODE).await;
        harness.server.cut_off(NODE);
        harness.server.elect(OTHER);
        changes(&harness.server, 5).await;
        let late = harness.member.append(append(&harness.member, led));
        assert_eq!(harness.member.leadership(None).await.unwrap(), led, "nothing reaches it");
        harness.server.join(NODE);
        let error = late.await.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::ControllerFenced, Outcome::NotApplied));
        let now = harness.member.leadership(None).await.unwrap();
        assert_eq!((now.leader, now.active), (Some(OTHER), false), "told before the answer");
        assert_same(&harness.member.image(), &harness.server.image());
    }

    #[tokio::test]
    async fn whoever_joins_late_gets_a_long_log_in_pieces_and_whole() {
        let harness = Harness::start().await;
        harness.server.elect(NODE);
        changes(&harness.server, 2_500).await;
        let late = RemoteLog::join(harness.server.socket(), OTHER).await.unwrap();
        assert_eq!(late.end().await.unwrap(), harness.server.image().position());
        assert_same(&late.image(), &harness.server.image());
        assert_eq!(late.extent(), harness.member.extent());
    }

    #[tokio::test]
    async fn a_log_that_is_gone_says_so_to_everybody_who_waits() {
        let harness = Harness::start().await;
        let leader = hears(&harness.member, &harness.server, NODE).await;
        harness.server.cut_off(NODE);
        let late = harness.member.append(append(&harness.member, leader));
        let Harness { server, member, _folder } = harness;
        drop(server);
        let error = late.await.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unavailable, Outcome::Unknown));
        assert_eq!(member.leadership(Some(leader)).await.unwrap_err().kind(), ErrorKind::Unavailable);
        assert_eq!(member.committed(member.extent().end_offset).await.unwrap_err().kind(), ErrorKind::Unavailable);
        assert_eq!(member.end().await.unwrap_err().kind(), ErrorKind::Unavailable);
    }
}
