//! Client quotas (Kafka: `ClientQuotaControlManager`, `QuotaConfigs`).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use metadata_core::image::{MetadataImage, QuotaEntity};
use metadata_core::record::{ClientQuotaRecord, MetadataRecord, QuotaEntityData};
use serde::{Deserialize, Serialize};

use super::{Draft, Refusal, count, refuse};

/// Whose quotas. `Some(None)` is the default of that kind, `None` leaves the kind out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct QuotaOwner {
    /// A user.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "present")]
    pub user: Option<Option<String>>,
    /// A client id.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "present")]
    pub client_id: Option<Option<String>>,
    /// An address; stands alone.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "present")]
    pub ip: Option<Option<String>>,
}

/// Tells "null" from "not there": serde alone reads both as `None`.
mod present {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &Option<Option<String>>, to: S) -> Result<S::Ok, S::Error> {
        value.as_ref().and_then(Option::as_ref).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Option<String>>, D::Error> {
        Option::<String>::deserialize(from).map(Some)
    }
}

impl QuotaOwner {
    fn parts(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        [("user", &self.user), ("client-id", &self.client_id), ("ip", &self.ip)]
            .into_iter()
            .filter_map(|(kind, name)| name.as_ref().map(|name| (kind, name.as_deref())))
    }

    fn in_image(&self) -> QuotaEntity {
        QuotaEntity::of(self.parts())
    }

    fn check(&self) -> Result<(), Refusal> {
        if self.parts().next().is_none() {
            return refuse("nobody is named", "name a user, a client id or an address, or the default of one");
        }
        if self.ip.is_some() && (self.user.is_some() || self.client_id.is_some()) {
            return refuse("an address has quotas of its own", "name either the address or user and client id");
        }
        if let Some((kind, _)) = self.parts().find(|(_, name)| *name == Some("")) {
            return refuse(format!("the {kind} is empty"), format!("name one, or ask for the default {kind}"));
        }
        match &self.ip {
            Some(Some(ip)) if ip.parse::<IpAddr>().is_err() => {
                refuse(format!("{ip:?} is no address"), "write it as 10.0.0.1 or 2001:db8::1")
            }
            _ => Ok(()),
        }
    }

    fn record(&self, key: &str, value: Option<f64>) -> MetadataRecord {
        let part = |(kind, name): (&str, Option<&str>)| QuotaEntityData {
            entity_type: kind.to_owned(),
            entity_name: name.map(str::to_owned),
            ..QuotaEntityData::default()
        };
        ClientQuotaRecord {
            entity: self.parts().map(part).collect(),
            key: key.to_owned(),
            value: value.unwrap_or_default(),
            remove: value.is_none(),
            ..ClientQuotaRecord::default()
        }
        .into()
    }
}

impl fmt::Display for QuotaOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |(kind, name): (&str, Option<&str>)| match name {
            Some(name) => format!("{kind} {name}"),
            None => format!("default {kind}"),
        };
        f.write_str(&self.parts().map(part).collect::<Vec<_>>().join(" with "))
    }
}

/// What numbers a quota takes; none is negative.
#[derive(Debug, Clone, Copy)]
enum Numbers {
    /// Any.
    Fractions,
    /// Whole ones up to this, inclusive.
    WholeUpTo(f64),
}

/// Keys that each kind of owner may have, with the numbers they take (`QuotaConfigs.java`).
fn numbers(owner: &QuotaOwner, key: &str) -> Result<Numbers, Refusal> {
    const USERS: &str = "producer_byte_rate, consumer_byte_rate, request_percentage, controller_mutation_rate";
    const ADDRESSES: &str = "connection_creation_rate";
    let (known, all) = if owner.ip.is_some() {
        ((key == ADDRESSES).then_some(Numbers::WholeUpTo(2_147_483_647.0)), ADDRESSES)
    } else {
        let known = match key {
            "producer_byte_rate" | "consumer_byte_rate" => Some(Numbers::WholeUpTo(9.0e18)),
            "request_percentage" | "controller_mutation_rate" => Some(Numbers::Fractions),
            _ => None,
        };
        (known, USERS)
    };
    known.map_or_else(|| refuse(format!("{owner} can have no quota {key:?}"), format!("choose from {all}")), Ok)
}

pub(super) fn set(owner: &QuotaOwner, values: &BTreeMap<String, f64>) -> Draft {
    owner.check()?;
    if values.is_empty() {
        return refuse("no quota is named", "add at least one KEY=NUMBER");
    }
    for (key, value) in values {
        let numbers = numbers(owner, key)?;
        if !value.is_finite() || *value < 0.0 {
            return refuse(format!("{key} can't be {value}"), "use a number of 0 or more");
        }
        match numbers {
            Numbers::WholeUpTo(max) if value.fract() != 0.0 || *value > max => {
                return refuse(format!("{key} can't be {value}"), format!("use a whole number up to {max}"));
            }
            _ => {}
        }
    }
    let records = values.iter().map(|(key, value)| owner.record(key, Some(*value))).collect();
    let shown: Vec<_> = values.iter().map(|(key, value)| format!("{key}={value}")).collect();
    Ok((records, format!("{} of {owner} set: {}", count(values.len(), "quota"), shown.join(", "))))
}

pub(super) fn delete(image: &MetadataImage, owner: &QuotaOwner, keys: &BTreeSet<String>) -> Draft {
    owner.check()?;
    if keys.is_empty() {
        return refuse("no quota is named", "add at least one KEY");
    }
    let present = image.quotas().get(&owner.in_image());
    let missing = |key: &&String| present.is_none_or(|present| !present.contains_key(key.as_str()));
    if let Some(key) = keys.iter().find(missing) {
        return refuse(format!("{owner} has no quota {key:?}"), "check the key and the names");
    }
    let records = keys.iter().map(|key| owner.record(key, None)).collect();
    let shown: Vec<_> = keys.iter().map(String::as_str).collect();
    Ok((records, format!("{} of {owner} deleted: {}", count(keys.len(), "quota"), shown.join(", "))))
}
