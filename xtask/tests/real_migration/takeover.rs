//! From a broker that governs the cluster to the quorum's controller.

use serde_json::Value;

use super::harness::Cluster;

#[tokio::test]
async fn the_governing_broker_is_replaced_by_the_controller() {
    let cluster = Cluster::seeded(80).await;
    let mut brokers = cluster.hold_brokers().await;
    let session = cluster.session().await;
    let before = session.get_data("/controller").await.unwrap();
    let json: Value = serde_json::from_slice(&before.data).unwrap();
    assert_eq!((&json["brokerid"], &json["kraftControllerEpoch"]), (&1.into(), &(-1).into()), "{json}");
    assert_ne!(before.stat.ephemeral_owner, 0);
    let epoch = session.get_data("/controller_epoch").await.unwrap();

    let connector = cluster.connector().await;
    let ended = tokio::select! {
        ended = cluster.migrate(&["--unserved-brokers", "--until", "dual-write"]) => ended,
        failure = brokers.keep(connector.as_ref()) => panic!("{failure}"),
    };
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let after = session.get_data("/controller").await.unwrap();
    let json: Value = serde_json::from_slice(&after.data).unwrap();
    assert_eq!((&json["brokerid"], after.stat.ephemeral_owner), (&3000.into(), 0), "{json}");
    assert_eq!(json["kraftControllerEpoch"], ended.object["log_epoch"], "{json}");
    let claimed = session.get_data("/controller_epoch").await.unwrap();
    assert!(claimed.stat.version > epoch.stat.version);
    // The brokers themselves stay.
    assert_eq!(session.get_children("/brokers/ids").await.unwrap().names.len(), cluster.manifest.brokers.len());
    brokers.release().await;
}
