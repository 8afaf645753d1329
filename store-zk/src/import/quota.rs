//! Quotas of users, client ids and IP addresses, and the SCRAM credentials that stand in the nodes of users.

use std::collections::BTreeMap;

use metadata_core::metadata_version::MetadataVersion;
use metadata_core::record::{ClientQuotaRecord, MetadataRecord, QuotaEntityData};

use super::{Importer, Step};
use crate::znode::config::ConfigZnode;
use crate::znode::name::parse_entity;
use crate::znode::quota::{self, CLIENT_ID, IP, QuotaType, USER};
use crate::znode::{Znode, scram};

/// Entity type and name; `None` is the default.
type Part = (&'static str, Option<String>);

type KnownQuota = fn(&str) -> Option<QuotaType>;

impl Importer {
    /// Credentials first, by mechanism, then quotas by key, as Kafka does.
    pub(super) fn user(&mut self, user: &str, znode_path: &str, znode: &Znode) -> Step {
        let name = parse_entity(user)?;
        let mut properties = ConfigZnode::decode(znode.content())?.0;
        let mut records = Vec::new();
        for (mechanism, key) in scram::MECHANISMS {
            if let Some(text) = properties.remove(key) {
                match self.credential(name.as_deref(), mechanism, &text) {
                    Ok(record) => records.push(record),
                    Err(reason) => self.findings.problem(znode_path, format!("`{key}`: {reason}")),
                }
            }
        }
        let entity = [(USER, name)];
        records.extend(self.quotas(&entity, properties, quota::user_or_client_quota, znode_path));
        Ok(records)
    }

    pub(super) fn client(&mut self, client: &str, znode_path: &str, znode: &Znode) -> Step {
        let entity = [(CLIENT_ID, parse_entity(client)?)];
        let properties = ConfigZnode::decode(znode.content())?.0;
        Ok(self.quotas(&entity, properties, quota::user_or_client_quota, znode_path))
    }

    pub(super) fn user_client(&mut self, user: &str, client: &str, znode_path: &str, znode: &Znode) -> Step {
        let entity = [(USER, parse_entity(user)?), (CLIENT_ID, parse_entity(client)?)];
        let properties = ConfigZnode::decode(znode.content())?.0;
        Ok(self.quotas(&entity, properties, quota::user_or_client_quota, znode_path))
    }

    pub(super) fn ip(&mut self, ip: &str, znode_path: &str, znode: &Znode) -> Step {
        let entity = [(IP, parse_entity(ip)?)];
        let properties = ConfigZnode::decode(znode.content())?.0;
        Ok(self.quotas(&entity, properties, quota::ip_quota, znode_path))
    }

    fn credential(&self, user: Option<&str>, mechanism: i8, text: &str) -> Result<MetadataRecord, String> {
        let user = user.ok_or("credentials of the default user belong to nobody: delete them")?;
        let version = self.context.metadata_version;
        if !version.supports_scram() {
            return Err(format!(
                "metadata.version {version} can't hold SCRAM credentials: use {} or later",
                MetadataVersion::V3_5_IV2
            ));
        }
        let credential = scram::decode(text).map_err(|reason| reason.to_string())?;
        let key = metadata_core::image::ScramKey { user: user.into(), mechanism };
        Ok(credential.to_record(&key).into())
    }

    /// Every property must be a number; a key that Kafka does not know is copied all the same.
    fn quotas(
        &mut self,
        entity: &[Part],
        properties: BTreeMap<String, String>,
        known: KnownQuota,
        znode_path: &str,
    ) -> Vec<MetadataRecord> {
        let mut records = Vec::with_capacity(properties.len());
        for (key, text) in properties {
            let Some(value) = quota::parse(&text) else {
                // The text is not shown: it may be a credential of a mechanism that nobody knows.
                self.findings.problem(znode_path, format!("`{key}` is not a number: repair or delete this property"));
                continue;
            };
            if known(&key).is_none() {
                self.findings.warn(
                    znode_path,
                    format!(
                        "`{key}` is no quota of this kind of entity, and no broker reads it: it is copied, and the first \
                         full sync takes it out of ZooKeeper"
                    ),
                );
            }
            let entity = entity.iter().map(|(kind, name)| QuotaEntityData {
                entity_type: (*kind).to_owned(),
                entity_name: name.clone(),
                ..Default::default()
            });
            records.push(ClientQuotaRecord { entity: entity.collect(), key, value, ..Default::default() }.into());
        }
        records
    }
}
