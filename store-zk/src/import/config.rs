//! Configs of topics and brokers. Passwords are decrypted: the metadata log has them in clear text, as Kafka's has.

use metadata_core::id::NodeId;
use metadata_core::image::ConfigResourceType;
use metadata_core::record::{ConfigRecord, MetadataRecord};

use super::{Importer, Step};
use crate::znode::config::ConfigZnode;
use crate::znode::name::DEFAULT;
use crate::znode::password::{self, is_password_key};
use crate::znode::{Malformed, Znode};

/// What configs belong to.
#[derive(Debug, Clone, Copy)]
pub(super) enum Resource<'a> {
    Topic(&'a str),
    Broker(Option<NodeId>),
}

impl Importer {
    pub(super) fn broker_config(&mut self, name: &str, znode_path: &str, znode: &Znode) -> Step {
        let broker = if name == DEFAULT {
            None
        } else {
            let id = name.parse().ok().filter(|id: &i32| *id >= 0 && id.to_string() == name);
            Some(NodeId(id.ok_or_else(|| {
                Malformed::new(format!("the znode's name is neither a broker id nor {DEFAULT}: delete it"))
            })?))
        };
        self.configs(Resource::Broker(broker), znode_path, znode)
    }

    /// One record for each property, by name. Each password that can't be decrypted is a problem of its own.
    pub(super) fn configs(&mut self, resource: Resource<'_>, znode_path: &str, znode: &Znode) -> Step {
        let properties = ConfigZnode::decode(znode.content())?;
        let (resource_type, resource_name) = match resource {
            Resource::Topic(name) => (ConfigResourceType::Topic, name.to_owned()),
            Resource::Broker(id) => (ConfigResourceType::Broker, id.map(|id| id.to_string()).unwrap_or_default()),
        };
        let mut records = Vec::with_capacity(properties.0.len());
        for (name, text) in properties.0 {
            match self.clear_text(&name, text) {
                Ok(value) => records.push(MetadataRecord::from(ConfigRecord {
                    resource_type: resource_type.code(),
                    resource_name: resource_name.clone(),
                    name,
                    value: Some(value),
                    ..Default::default()
                })),
                Err(reason) => self.findings.problem(znode_path, format!("`{name}`: {reason}")),
            }
        }
        Ok(records)
    }

    fn clear_text(&self, name: &str, text: String) -> Result<String, Malformed> {
        if !is_password_key(name) {
            return Ok(text);
        }
        let secret = self.context.secret.as_ref().ok_or_else(password::no_secret)?;
        password::decode(&text, secret)
    }
}
