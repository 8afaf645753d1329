//! Whether `password.encoder.secret` is the one with which the cluster's passwords are encrypted.
//!
//! The log has passwords in clear text and ZooKeeper has them encrypted. Before the copy a wrong secret shows, since nothing
//! can be read with it. After it everything could be written with it: brokers would then find passwords that they can't read.

use std::collections::BTreeMap;

use metadata_core::image::{ConfigResource, ConfigResourceType, MetadataImage};
use metadata_core::record::ZkMigrationState;
use store_zk::client::config::{PasswordEncoderSettings, ZkSettings};
use store_zk::client::{ReadOutcome, ZkConnector, ZkRead, ZkSession};
use store_zk::znode::config::ConfigZnode;
use store_zk::znode::name::DEFAULT;
use store_zk::znode::password::{PasswordSecret, decode, is_password_key};
use store_zk::znode::path;

use crate::cli::Failure;

/// Znodes read in one request.
const READS_PER_REQUEST: usize = 500;

/// The config keys of a log that are passwords, by the znode that has them encrypted.
type Passwords<'a> = BTreeMap<String, Vec<&'a str>>;

/// The secret in the configuration, with all that says how passwords are encrypted.
pub(crate) fn secret_of(settings: &ZkSettings) -> Option<PasswordSecret> {
    settings.password_encoder.as_ref().map(PasswordEncoderSettings::password_secret)
}

/// Refuses to go on from a log in state MIGRATION that has passwords, without the secret or with another one. Reads only.
///
/// # Errors
/// Blocked, for every password that the secret does not read; or ZooKeeper can't be read.
pub(super) async fn check_secret(
    image: &MetadataImage,
    secret: Option<&PasswordSecret>,
    connector: &dyn ZkConnector,
) -> Result<(), Failure> {
    let passwords = passwords(image);
    if image.zk_migration_state() != ZkMigrationState::Migration || passwords.is_empty() {
        return Ok(());
    }
    let Some(secret) = secret else {
        let names = passwords.iter().flat_map(|(path, keys)| keys.iter().map(move |key| format!("`{key}` of {path}")));
        return Err(Failure::blocked("the log holds passwords, and ZooKeeper must have them encrypted")
            .why("password.encoder.secret is not set")
            .whys(names)
            .next("set password.encoder.secret in --zookeeper-config to the one that the brokers have"));
    };
    let session = connector.connect().await.map_err(Failure::from)?;
    let judged = unreadable(session.as_ref(), &passwords, secret).await;
    if let Err(error) = session.close().await {
        tracing::debug!("the session of the look at the passwords was not closed: {error}");
    }
    match judged? {
        unreadable if unreadable.is_empty() => Ok(()),
        unreadable => Err(Failure::blocked("ZooKeeper's passwords are encrypted with another secret")
            .whys(unreadable)
            .next("set password.encoder.secret in --zookeeper-config to the one that the brokers have")),
    }
}

fn passwords(image: &MetadataImage) -> Passwords<'_> {
    let mut found = Passwords::new();
    for (resource, entries) in image.configs() {
        let Some(znode) = znode_of(resource) else { continue };
        let keys: Vec<_> = entries.0.keys().map(String::as_str).filter(|key| is_password_key(key)).collect();
        if !keys.is_empty() {
            found.insert(znode, keys);
        }
    }
    found
}

fn znode_of(resource: &ConfigResource) -> Option<String> {
    match resource.resource_type {
        ConfigResourceType::Topic => Some(path::topic_config(&resource.name)),
        ConfigResourceType::Broker if resource.name.is_empty() => Some(path::broker_config(DEFAULT)),
        ConfigResourceType::Broker => Some(path::broker_config(&resource.name)),
        _ => None,
    }
}

/// The passwords that the secret does not read; none if it reads most of them. A single one may be what somebody wrote by
/// hand, which is no reason to stop.
async fn unreadable(
    session: &dyn ZkSession,
    passwords: &Passwords<'_>,
    secret: &PasswordSecret,
) -> Result<Vec<String>, Failure> {
    let (mut read, mut unreadable) = (0, Vec::new());
    let all: Vec<_> = passwords.iter().collect();
    for chunk in all.chunks(READS_PER_REQUEST) {
        let reads = chunk.iter().map(|(path, _)| ZkRead::Data((*path).clone())).collect();
        for ((path, keys), outcome) in chunk.iter().zip(session.multi_read(reads).await.map_err(Failure::from)?) {
            let ReadOutcome::Data(node) = outcome else { continue };
            let Ok(ConfigZnode(properties)) = ConfigZnode::decode(Some(&node.data)) else { continue };
            for key in *keys {
                match properties.get(*key).map(|text| decode(text, secret)) {
                    Some(Ok(_)) => read += 1,
                    Some(Err(reason)) => unreadable.push(format!("`{key}` of {path}: {reason}")),
                    None => {}
                }
            }
        }
    }
    Ok(if unreadable.len() > read { unreadable } else { Vec::new() })
}

#[cfg(test)]
mod tests {
    use metadata_core::id::{Position, TimestampMs};
    use metadata_core::image::MetadataDelta;
    use metadata_core::record::{ConfigRecord, MetadataRecord};
    use store_zk::client::{ZkAcl, ZkOp};
    use store_zk::testkit::fake::FakeZooKeeper;
    use store_zk::znode::password::encode;

    use super::*;
    use crate::cli::Exit;

    const KEY: &str = "ssl.key.password";

    fn log(state: ZkMigrationState, key: &str) -> MetadataImage {
        let config = ConfigRecord {
            resource_type: ConfigResourceType::Broker.code(),
            resource_name: "1".into(),
            name: key.into(),
            value: Some("hunter2".into()),
            ..ConfigRecord::default()
        };
        let empty = MetadataImage::empty();
        let mut delta = MetadataDelta::new(&empty);
        delta.replay(&MetadataRecord::from(config)).unwrap();
        delta.replay(&MetadataRecord::from(state.to_record())).unwrap();
        delta.apply(Position::START, TimestampMs(0))
    }

    fn zookeeper(secret: &PasswordSecret) -> FakeZooKeeper {
        let zookeeper = FakeZooKeeper::new();
        let path = path::broker_config("1");
        let text = encode("hunter2", &path, KEY, secret);
        let data = ConfigZnode([(KEY.to_owned(), text)].into()).encode();
        let create = |path: &str, data: &[u8]| ZkOp::create(path, data.to_vec(), ZkAcl::world_all());
        let nodes = vec![create("/config", b""), create("/config/brokers", b""), create(&path, &data)];
        zookeeper.foreign(nodes).unwrap();
        zookeeper
    }

    #[tokio::test]
    async fn after_the_copy_the_secret_must_be_the_brokers() {
        let (right, wrong) = (PasswordSecret::new("the brokers' own"), PasswordSecret::new("another"));
        let zookeeper = zookeeper(&right);
        let connector = zookeeper.connector();
        let copied = log(ZkMigrationState::Migration, KEY);
        check_secret(&copied, Some(&right), &connector).await.unwrap();
        for (secret, reason) in [(None, "is not set"), (Some(&wrong), "can't be decrypted")] {
            let failure = check_secret(&copied, secret, &connector).await.unwrap_err();
            assert_eq!(failure.exit(), Exit::Blocked);
            let told = failure.lines().join("\n");
            for part in [reason, KEY, "/config/brokers/1", "next: set password.encoder.secret"] {
                assert!(told.contains(part), "{part}: {told}");
            }
            assert!(!told.contains("hunter2") && !told.contains("another\""), "{told}");
        }
    }

    #[tokio::test]
    async fn without_passwords_or_before_the_copy_it_does_not_matter_here() {
        let nobody = FakeZooKeeper::new();
        nobody.set_reachable(false);
        for image in [log(ZkMigrationState::Migration, "log.retention.ms"), log(ZkMigrationState::PreMigration, KEY)] {
            check_secret(&image, None, &nobody.connector()).await.unwrap();
        }
    }
}
