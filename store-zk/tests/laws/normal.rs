//! The normal form of an image, written down a second time: from the documentation, not from the code.

use metadata_core::id::{Position, ProducerId, TimestampMs};
use metadata_core::image::{ConfigResourceType, MetadataDelta, MetadataImage, QuotaEntity};
use metadata_core::record::*;
use store_zk::import::acl_id;

const NOWHERE: [&str; 3] = ["", ".", ".."];

/// Lines N1 to N6 of `store_zk::project`.
pub(crate) fn normal(image: &MetadataImage, with_passwords: bool) -> MetadataImage {
    let mut records: Vec<MetadataRecord> = Vec::new();
    for (topic_id, name) in image.topics().iter() {
        records.push(TopicRecord { name: name.to_string(), topic_id, ..Default::default() }.into());
        for (partition, registration) in image.topics().partitions(topic_id) {
            // N2: version 0 has neither directories nor eligible leader replicas.
            records.push(registration.to_record(topic_id, partition, 0).into());
        }
    }
    for (resource, entries) in image.configs() {
        let placed = match resource.resource_type {
            ConfigResourceType::Topic => image.topics().id(&resource.name).is_some(),
            ConfigResourceType::Broker => resource.name.is_empty() || resource.name.parse::<i32>().is_ok(),
            _ => false,
        };
        let entries =
            entries.0.iter().filter(|(key, _)| placed && (with_passwords || !key.ends_with("ssl.key.password")));
        records.extend(entries.map(|(name, value)| {
            MetadataRecord::from(ConfigRecord {
                resource_type: resource.resource_type.code(),
                resource_name: resource.name.to_string(),
                name: name.clone(),
                value: Some(value.clone()),
                ..Default::default()
            })
        }));
    }
    for (entity, entries) in image.quotas() {
        for (key, value) in entries.iter() {
            if let Some(value) = normal_quota(entity, key, value.0) {
                let entity = entity.0.iter().map(|(kind, name)| QuotaEntityData {
                    entity_type: kind.to_string(),
                    entity_name: name.as_deref().map(str::to_owned),
                    ..Default::default()
                });
                let entity = entity.collect();
                records.push(ClientQuotaRecord { entity, key: key.to_string(), value, ..Default::default() }.into());
            }
        }
    }
    for (key, credential) in image.scram() {
        if [1, 2].contains(&key.mechanism) && !NOWHERE.contains(&&*key.user) {
            records.push(credential.to_record(key).into());
        }
    }
    for (_, entry) in image.acls().iter() {
        let pattern = &entry.pattern;
        let placed = (2..=7).contains(&pattern.resource_type)
            && [3, 4].contains(&pattern.pattern_type)
            && !pattern.name.contains('/')
            && !NOWHERE.contains(&&*pattern.name)
            && (0..=14).contains(&entry.operation)
            && entry.principal.contains(':');
        if placed {
            // N3.
            records.push(entry.to_record(acl_id(entry)).into());
        }
    }
    for (id, token) in image.tokens() {
        if !id.contains('/') && token.owner.contains(':') {
            records.push(token.to_record(id).into());
        }
    }
    // N5.
    if let Some(next_producer_id) = image.producer_id().filter(|next| *next > ProducerId(0)) {
        records.push(ProducerIdsRecord { next_producer_id, ..Default::default() }.into());
    }
    let mut delta = MetadataDelta::new(&MetadataImage::empty());
    for record in &records {
        delta.replay(record).unwrap();
    }
    delta.apply(Position::START, TimestampMs(0))
}

fn normal_quota(entity: &QuotaEntity, key: &str, value: f64) -> Option<f64> {
    let kinds: Vec<&str> = entity.0.keys().map(|kind| &**kind).collect();
    if entity.0.values().flatten().any(|name| NOWHERE.contains(&&**name)) || value.is_nan() {
        return None;
    }
    // N4.
    let integer = |max: f64| Some(value.round() + 0.0).filter(|int| (int - value).abs() <= 1e-6 && int.abs() <= max);
    match (kinds.as_slice(), key) {
        (["ip"], "connection_creation_rate") => integer(f64::from(i32::MAX)),
        (["user"] | ["client-id"] | ["client-id", "user"], "producer_byte_rate" | "consumer_byte_rate") => {
            integer(i64::MAX as f64)
        }
        (["user"] | ["client-id"] | ["client-id", "user"], "request_percentage" | "controller_mutation_rate") => {
            Some(value)
        }
        _ => None,
    }
}
