//! Brokers are registered while the copy's transaction is open: those appends take their offsets at once.

use metadata_core::error::{ErrorKind, Outcome};
use metadata_core::id::{BrokerEpoch, NodeId};
use metadata_core::log::MetadataLog;
use metadata_core::record::{BrokerRegistrationChangeRecord, RegisterBrokerRecord, VersionedRecord, ZkMigrationState};
use metadata_core::store::Txn;

use crate::common::*;

/// A migrating ZooKeeper broker whose record lands at `epoch`, and that is unfenced right behind.
fn registration(id: i32, epoch: i64) -> Vec<VersionedRecord> {
    let (broker_id, broker_epoch) = (NodeId(id), BrokerEpoch(epoch));
    let register = RegisterBrokerRecord {
        broker_id,
        broker_epoch,
        is_migrating_zk_broker: true,
        fenced: true,
        ..Default::default()
    };
    let unfence = BrokerRegistrationChangeRecord { broker_id, broker_epoch, fenced: -1, ..Default::default() };
    vec![VersionedRecord::new(register, 3), VersionedRecord::new(unfence, 0)]
}

#[tokio::test]
async fn brokers_register_while_a_transaction_is_open_and_survive_a_restart() {
    let dir = formatted();
    let log = open(dir.path()).await;
    let epoch = epoch(&log).await;
    log.append(within(epoch, Txn::Begin, vec![begin()])).await.unwrap();
    log.append(within(epoch, Txn::In, vec![topic(1)])).await.unwrap();
    let before = log.end().await.unwrap().end_offset.0;
    log.append(at(epoch, before, registration(1, before))).await.unwrap();
    log.append(within(epoch, Txn::In, vec![topic(2)])).await.unwrap();
    let behind = log.end().await.unwrap().end_offset.0;
    assert_eq!(behind, before + 2, "the transaction takes no offsets yet");
    let misplaced = log.append(at(epoch, before, registration(2, before))).await.unwrap_err();
    assert_eq!((misplaced.kind(), misplaced.outcome()), (ErrorKind::Conflict, Outcome::NotApplied));
    log.append(at(epoch, behind, registration(2, behind))).await.unwrap();
    let image = log.image();
    let serving = |id| image.cluster().broker(NodeId(id)).is_some_and(|it| !it.fenced && it.is_migrating_zk_broker);
    assert!(serving(1) && serving(2) && image.topics().is_empty() && image.is_free_of_cluster_metadata());
    let last = vec![VersionedRecord::new(ZkMigrationState::Migration.to_record(), 0), end()];
    log.append(within(epoch, Txn::End { batches: 4 }, last)).await.unwrap();
    let whole = log.image();
    assert_eq!((whole.topics().len(), whole.cluster().brokers().count()), (2, 2));
    log.shutdown().await.unwrap();
    let again = open(dir.path()).await;
    assert!(again.image().same_metadata(&whole));
    assert_eq!(again.image().cluster().broker(NodeId(2)).unwrap().epoch, BrokerEpoch(behind));
}

/// A registration outlives a transaction that is never ended.
#[tokio::test]
async fn a_registration_stays_when_the_open_transaction_is_discarded() {
    let dir = formatted();
    let log = open(dir.path()).await;
    let first = epoch(&log).await;
    log.append(within(first, Txn::Begin, vec![begin(), topic(1)])).await.unwrap();
    let at_end = log.end().await.unwrap().end_offset.0;
    log.append(at(first, at_end, registration(1, at_end))).await.unwrap();
    log.shutdown().await.unwrap();
    let log = open(dir.path()).await;
    assert!(epoch(&log).await > first);
    let image = log.image();
    assert!(image.topics().is_empty());
    assert_eq!(image.cluster().broker(NodeId(1)).unwrap().epoch, BrokerEpoch(at_end));
}
