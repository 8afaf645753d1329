//! What `migrate` refuses, with which exit code, and that nothing is written then.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};

use metadata_core::id::ZkVersion;
use store_zk::client::config::ZkClientConfig;
use store_zk::client::{ZkAcl, ZkOp, ZkSession};

use super::harness::{Cluster, Ended, Running, owner, place, xtask};

/// A failure says what, why and the next step, in words and in JSON.
fn assert_refused(ended: &Ended, code: i32, expected: &[&str]) {
    assert_eq!(ended.code, Some(code), "{ended:#?}");
    assert_eq!((&ended.object["ok"], &ended.object["exit_code"]), (&false.into(), &code.into()), "{ended:#?}");
    assert!(!ended.object["next"].as_array().unwrap().is_empty(), "{ended:#?}");
    for text in expected {
        assert!(ended.stderr.contains(text), "{text}: {}", ended.stderr);
    }
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
}

fn assert_nothing_was_made(cluster: &Cluster) {
    assert!(!cluster.file("data").exists(), "a data directory was made");
}

#[tokio::test]
async fn a_zookeeper_that_does_not_answer_is_named_in_bounded_time() {
    let cluster = Cluster::seeded(20).await;
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let closed = format!("127.0.0.1:{port}");
    let quick = cluster.path("quick.properties");
    fs::write(&quick, format!("zookeeper.connect={closed}\nzookeeper.connection.timeout.ms=1500\n")).unwrap();
    let flags = ["migrate", "--json", "--zookeeper-config", &quick, "--data-dir", &cluster.data_dir()];
    assert_refused(&xtask(&flags).await, 1, &[&closed, "check that the servers run"]);
    assert_nothing_was_made(&cluster);
}

#[tokio::test]
async fn a_chroot_that_is_not_there_or_holds_no_cluster_is_named() {
    let cluster = Cluster::seeded(21).await;
    let data_dir = cluster.data_dir();
    let at =
        async |zookeeper: &str| xtask(&["migrate", "--json", "--zookeeper", zookeeper, "--data-dir", &data_dir]).await;
    assert_refused(&at(&format!("{}/absent", cluster.place)).await, 1, &["/absent"]);

    // A cluster one level further down is pointed at.
    let outer = place().await;
    let (server, path) = outer.split_at(outer.find('/').unwrap());
    let session = ZkClientConfig::from_connect_string(server).unwrap().connector().unwrap().connect().await.unwrap();
    let create = |path: String, data: &'static str| ZkOp::create(path, data, ZkAcl::world_all());
    session.multi(vec![create(path.to_owned(), "")]).await.unwrap();
    assert_refused(&at(&outer).await, 1, &["there is no Kafka cluster", "check the address and the chroot"]);
    let id = r#"{"version":"1","id":"x"}"#;
    let below = ["/kafka", "/kafka/cluster"].map(|it| create(format!("{path}{it}"), ""));
    session.multi(below.into_iter().chain([create(format!("{path}/kafka/cluster/id"), id)]).collect()).await.unwrap();
    assert_refused(&at(&outer).await, 1, &["there is no Kafka cluster", &format!("{outer}/kafka")]);
    assert_nothing_was_made(&cluster);
}

#[tokio::test]
async fn credentials_that_are_refused_are_said_to_be() {
    let cluster = Cluster::seeded_as(22, Some(owner())).await;
    let ended = cluster.migrate(&["--unserved-brokers", "--until", "dual-write"]).await;
    assert_refused(&ended, 1, &["credentials"]);
    let session = cluster.session().await;
    assert_eq!(session.exists("/migration").await.unwrap(), None, "nothing was claimed");
    // With them it goes.
    let credentials = cluster.path("credentials");
    fs::write(&credentials, "username=kafka\npassword=kafkas-own\n").unwrap();
    let file = cluster.file("kafka.properties");
    let properties = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{properties}zookeeper.auth.digest.file={credentials}\n")).unwrap();
    let ended = cluster.migrate(&["--unserved-brokers", "--until", "dual-write"]).await;
    assert_eq!(ended.code, Some(0), "{ended:#?}");
}

#[tokio::test]
async fn brokers_that_nobody_would_serve_are_all_listed() {
    let cluster = Cluster::seeded(23).await;
    // Nobody is alive, and their replicas are: found by the driver, before any claim.
    let missing = cluster.migrate(&[]).await;
    assert_refused(&missing, 3, &["broker 1 has", "broker 6 has", "--unserved-brokers"]);
    assert_eq!(missing.object["reasons"].as_array().unwrap().len(), cluster.manifest.brokers.len());
    let session = cluster.session().await;
    assert_eq!(session.exists("/migration").await.unwrap(), None, "nothing was claimed");
    fs::remove_dir_all(cluster.file("data")).unwrap();

    let brokers = cluster.hold_brokers().await;
    let alive = cluster.migrate(&[]).await;
    assert_refused(&alive, 3, &["broker 1 is alive", "broker 6 is alive", "--unserved-brokers"]);
    assert_eq!(alive.object["reasons"].as_array().unwrap().len(), cluster.manifest.brokers.len());
    let taken = cluster.migrate(&["--unserved-brokers", "--node-id", "2"]).await;
    assert_refused(&taken, 3, &["node id 2 is that of a broker"]);
    assert_nothing_was_made(&cluster);
    brokers.release().await;
}

#[tokio::test]
async fn another_clusters_directory_is_refused_by_name() {
    let (one, other) = (Cluster::seeded(24).await, Cluster::seeded(25).await);
    assert_eq!(one.migrate(&["--unserved-brokers", "--until", "dual-write"]).await.code, Some(0));
    let config = other.path("kafka.properties");
    let data_dir = one.data_dir();
    let flags = ["migrate", "--json", "--unserved-brokers", "--zookeeper-config", &config, "--data-dir", &data_dir];
    let ids = [one.manifest.cluster_id.as_str(), other.manifest.cluster_id.as_str()];
    assert_refused(&xtask(&flags).await, 1, &ids);
    let verify = ["verify", "--json", "--zookeeper-config", &config, "--data-dir", &data_dir];
    assert_refused(&xtask(&verify).await, 1, &ids);
    let session = other.session().await;
    assert_eq!(session.exists("/migration").await.unwrap(), None, "nothing was claimed");
    let node = one.migrate(&["--unserved-brokers", "--node-id", "3001"]).await;
    assert_refused(&node, 1, &["node 3000", "3001"]);
}

/// Whoever begins anew with another log learns whose the ZooKeeper is, and does not wait for a turn that never comes.
#[tokio::test]
async fn a_zookeeper_that_another_log_has_claimed_is_refused_and_its_advice_works() {
    let cluster = Cluster::seeded(34).await;
    let until = ["--unserved-brokers", "--until", "dual-write"];
    // Twice, so that the new log's first epoch is below that of the role's holder.
    for _ in 0..2 {
        assert_eq!(cluster.migrate(&until).await.code, Some(0));
    }
    let (other, config) = (cluster.path("other"), cluster.path("kafka.properties"));
    let begin = |node: &'static str| {
        let flags = ["migrate", "--json", "--zookeeper-config", &config, "--data-dir", &other, "--node-id", node];
        let flags: Vec<String> = flags.into_iter().chain(until).map(str::to_owned).collect();
        async move { xtask(&flags.iter().map(String::as_str).collect::<Vec<_>>()).await }
    };
    assert_refused(&begin("3001").await, 3, &["/migration was written by cluster", "not by this quorum"]);
    let session = cluster.session().await;
    session.multi(vec![ZkOp::delete("/migration", None)]).await.unwrap();
    assert_refused(
        &begin("3001").await,
        3,
        &["a controller of another log claimed this ZooKeeper", "delete /controller"],
    );
    session.multi(vec![ZkOp::delete("/controller", None)]).await.unwrap();
    assert_eq!(begin("3001").await.code, Some(0));
}

#[tokio::test]
async fn a_directory_that_a_process_holds_is_left_to_it() {
    let cluster = Cluster::seeded(26).await;
    let running = Running::start(&cluster).await;
    let second = cluster.migrate(&["--unserved-brokers"]).await;
    assert_refused(&second, 3, &["is in use by process"]);
    // The first one noticed nothing.
    assert_eq!(cluster.get("status", &[]).await["driver_state"], "DUAL_WRITE");
    assert_eq!(running.stop().await.code, Some(0));
}

#[tokio::test]
async fn znodes_that_cannot_be_copied_are_all_named() {
    let cluster = Cluster::seeded(27).await;
    let session = cluster.session().await;
    let topics = session.get_children("/brokers/topics").await.unwrap().names;
    for name in &topics[..2] {
        session.multi(vec![ZkOp::set_data(format!("/brokers/topics/{name}"), "{broken", None)]).await.unwrap();
    }
    let ended = cluster.migrate(&["--unserved-brokers", "--until", "dual-write"]).await;
    assert_refused(&ended, 3, &[&topics[0], &topics[1]]);
    assert_eq!(ended.object["migration_state"], "PRE_MIGRATION");
    let reasons = ended.object["reasons"].as_array().unwrap();
    assert!(topics[..2].iter().all(|name| reasons.iter().any(|reason| reason.as_str().unwrap().contains(name))));
}

/// Data and version of the znodes that a claim writes.
async fn claim_znodes(session: &dyn ZkSession) -> Vec<Option<(Vec<u8>, ZkVersion)>> {
    let mut found = Vec::new();
    for path in ["/controller", "/controller_epoch", "/migration"] {
        found.push(match session.exists(path).await.unwrap() {
            Some(stat) => Some((session.get_data(path).await.unwrap().data.to_vec(), stat.version)),
            None => None,
        });
    }
    found
}

#[tokio::test]
async fn whatever_cannot_be_copied_is_found_before_the_claim() {
    let cluster = Cluster::seeded(29).await;
    let session = cluster.session().await;
    let before = claim_znodes(session.as_ref()).await;
    let first = async |parent: &str| {
        let names = session.get_children(parent).await.unwrap().names;
        format!("{parent}/{}", names.iter().min().unwrap())
    };
    let refused = async |flags: &[&str], expected: &[&str]| {
        let all: Vec<_> = ["--unserved-brokers", "--until", "dual-write"].iter().chain(flags).copied().collect();
        let ended = cluster.migrate(&all).await;
        assert_refused(&ended, 3, expected);
        assert_eq!(claim_znodes(session.as_ref()).await, before, "{expected:?}: ZooKeeper was claimed");
        fs::remove_dir_all(cluster.file("data")).unwrap();
    };
    let topic = first("/brokers/topics").await;
    let topic_without_id = r#"{"version":1,"partitions":{"0":[1]}}"#;
    for (path, broken, reason) in [
        (topic.clone(), topic_without_id, "the topic has no id"),
        (format!("{topic}/partitions/0/state"), "{", "state"),
        (first("/config/clients").await, r#"{"version":1,"config":{"producer_byte_rate":"many"}}"#, "is not a number"),
        (first("/config/brokers").await, "{", "/config/brokers/"),
        (first("/kafka-acl/Topic").await, "{", "/kafka-acl/Topic/"),
        (first("/delegation_token/tokens").await, "{", "/delegation_token/tokens/"),
    ] {
        let sound = session.get_data(&path).await.unwrap().data;
        session.multi(vec![ZkOp::set_data(path.as_str(), broken, None)]).await.unwrap();
        refused(&[], &[&path, reason]).await;
        session.multi(vec![ZkOp::set_data(path.as_str(), sound, None)]).await.unwrap();
    }
    refused(&["--metadata-version", "3.6-IV1"], &["can't hold delegation tokens"]).await;
    let properties = fs::read_to_string(cluster.file("kafka.properties")).unwrap();
    fs::write(cluster.file("kafka.properties"), format!("zookeeper.connect={}\n", cluster.place)).unwrap();
    refused(&[], &["set password.encoder.secret"]).await;
    fs::write(cluster.file("kafka.properties"), properties).unwrap();

    let ended = cluster.migrate(&["--unserved-brokers", "--until", "dual-write"]).await;
    assert_eq!(ended.code, Some(0), "{ended:#?}");
}

#[tokio::test]
async fn a_controller_that_could_not_write_the_passwords_does_not_go_on() {
    let cluster = Cluster::seeded(30).await;
    let ended = cluster.migrate(&["--unserved-brokers", "--until", "dual-write"]).await;
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let session = cluster.session().await;
    let before = claim_znodes(session.as_ref()).await;
    let properties = fs::read_to_string(cluster.file("kafka.properties")).unwrap();
    let connect = format!("zookeeper.connect={}\n", cluster.place);
    for (lines, reason) in [
        (connect.clone(), "password.encoder.secret is not set"),
        (format!("{connect}password.encoder.secret=another\n"), "can't be decrypted"),
    ] {
        fs::write(cluster.file("kafka.properties"), lines).unwrap();
        let ended = cluster.migrate(&["--unserved-brokers"]).await;
        assert_refused(&ended, 3, &[reason, "/config/brokers/", "set password.encoder.secret in --zookeeper-config"]);
        assert_eq!(claim_znodes(session.as_ref()).await, before, "{reason}: ZooKeeper was written");
    }
    fs::write(cluster.file("kafka.properties"), properties).unwrap();
    let ended = cluster.migrate(&["--unserved-brokers", "--until", "dual-write"]).await;
    assert_eq!(ended.code, Some(0), "{ended:#?}");
}

#[tokio::test]
async fn the_id_of_a_broker_that_is_away_is_not_the_controllers() {
    let cluster = Cluster::seeded(31).await;
    let ended = cluster.migrate(&["--unserved-brokers", "--node-id", "2"]).await;
    assert_refused(&ended, 3, &["broker 2 is a broker with", "choose another --node-id"]);
    let session = cluster.session().await;
    assert_eq!(session.exists("/migration").await.unwrap(), None, "nothing was claimed");
}

#[tokio::test]
async fn wrong_usage_tries_nothing() {
    let cluster = Cluster::seeded(28).await;
    let data_dir = cluster.data_dir();
    for flags in [
        &["migrate", "--json", "--data-dir", &data_dir][..],
        &["migrate", "--json", "--zookeeper", &cluster.place],
        &["migrate", "--json", "--zookeeper", "zk:port", "--data-dir", &data_dir],
        &["migrate", "--json", "--zookeeper", &cluster.place, "--data-dir", &data_dir, "--metadata-version", "3.4"],
        &["change", "--json", "topic", "delete", "t"],
        &["verify", "--json"],
    ] {
        let ended = xtask(flags).await;
        assert_eq!((ended.code, &ended.object["exit_code"]), (Some(2), &2.into()), "{flags:?}: {ended:#?}");
    }
    let config = cluster.file("kafka.properties");
    let properties = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("{properties}zookeeper.metadata.migration.enable=false\n")).unwrap();
    assert_refused(
        &cluster.migrate(&["--unserved-brokers"]).await,
        3,
        &["zookeeper.metadata.migration.enable is false"],
    );
    assert_nothing_was_made(&cluster);
}

/// IBP and metadata version are compared before anything is claimed, and never brought together in silence.
#[tokio::test]
async fn brokers_at_another_protocol_version_hold_the_claim_back_and_both_are_told() {
    let cluster = Cluster::seeded(97).await;
    let mut brokers = cluster.hold_brokers().await;
    let session = cluster.session().await;
    let before = session.get_data("/controller_epoch").await.unwrap().stat.version;
    let connector = cluster.connector().await;
    let flags = ["--unserved-brokers", "--inter-broker-protocol", "3.8", "--until", "dual-write"];
    let ended = tokio::select! {
        ended = cluster.migrate(&flags) => ended,
        failure = brokers.keep(connector.as_ref()) => panic!("{failure}"),
    };
    assert_eq!(ended.code, Some(3), "{ended:#?}");
    let said = ended.object["reasons"].to_string();
    assert!(said.contains("inter.broker.protocol.version 3.8") && said.contains("3.9-IV0"), "{said}");
    assert_eq!(session.get_data("/controller_epoch").await.unwrap().stat.version, before, "nothing was claimed");
    brokers.release().await;
}
