//! The example of a controller with a log of its own, run on a real ZooKeeper.

#[path = "../examples/custom_controller.rs"]
#[expect(dead_code, reason = "its main function is for the command line")]
mod custom_controller;

use broker_registry::Service;
use store_zk::client::config::ZkClientConfig;
use store_zk::testkit::{shared_server, unique_path};
use xtask::cli::{Interrupt, Progress};
use xtask::seed::{self, Blueprint, PASSWORD_ENCODER_SECRET, SeedOptions};

#[tokio::test]
async fn it_moves_a_cluster_and_a_second_log_is_refused() {
    let place = format!("{}{}", shared_server().await.unwrap().address(), unique_path());
    let client = ZkClientConfig::from_connect_string(&place).unwrap();
    let options = SeedOptions { topics: 20, partitions_per_topic: 3, awkward: false, ..SeedOptions::default() };
    let blueprint = Blueprint::new(options).unwrap();
    seed::ensure_chroot(&client, false).await.unwrap();
    let session = client.connector().unwrap().connect().await.unwrap();
    let (hidden, never) = (Progress::hidden(), Interrupt::never());
    let manifest = seed::write(session.as_ref(), &blueprint, false, &hidden, &never).await.unwrap();

    // Without the secret the encrypted passwords can't be copied, and nothing is claimed.
    let error = custom_controller::run(&place, Service::NoneByOperatorsWord, &mut Vec::new()).await.unwrap_err();
    assert!(error.to_string().contains("password.encoder.secret"), "{error}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kafka.properties");
    let properties = format!("zookeeper.connect={place}\npassword.encoder.secret={PASSWORD_ENCODER_SECRET}\n");
    std::fs::write(&file, properties).unwrap();
    let place = file.to_str().unwrap().to_owned();

    // Brokers are known by their replicas, and nobody would serve them.
    let error = custom_controller::run(&place, Service::None, &mut Vec::new()).await.unwrap_err().to_string();
    assert!(error.contains("broker 1"), "{error}");
    assert_eq!(session.exists("/migration").await.unwrap(), None, "nothing was claimed");

    let mut said = Vec::new();
    custom_controller::run(&place, Service::NoneByOperatorsWord, &mut said).await.unwrap();
    let said = String::from_utf8(said).unwrap();
    assert!(said.contains(&format!("cluster {}: DUAL_WRITE", manifest.cluster_id)), "{said}");
    assert!(said.contains("ZooKeeper lacks 0 records; MIGRATION"), "{said}");
    let topic = session.get_data("/brokers/topics/made-by-a-custom-controller").await.unwrap();
    assert!(String::from_utf8_lossy(&topic.data).contains("topic_id"));
    let marker = session.get_data("/migration").await.unwrap();

    // The log is gone, and another one, whatever it calls itself, has copied nothing.
    let again = custom_controller::run(&place, Service::NoneByOperatorsWord, &mut Vec::new()).await;
    let error = again.unwrap_err().to_string();
    assert!(error.contains("/migration"), "{error}");
    assert_eq!(session.get_data("/migration").await.unwrap().stat.version, marker.stat.version);
}

#[tokio::test]
async fn what_keeps_it_from_beginning_is_said() {
    let nowhere = custom_controller::run("127.0.0.1:1", Service::None, &mut Vec::new()).await.unwrap_err().to_string();
    assert!(nowhere.contains("127.0.0.1:1"), "{nowhere}");
    let wrong = custom_controller::run("127.0.0.1:port", Service::None, &mut Vec::new()).await.unwrap_err().to_string();
    assert!(wrong.contains("port"), "{wrong}");
}
