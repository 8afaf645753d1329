//! How both sides of a difference are shown.

use std::collections::BTreeMap;

use super::CompareContext;
use super::meaning::{Meaning, meaning};
use crate::project::ExpectedZnode;
use crate::znode::config::ConfigZnode;
use crate::znode::password::is_password_key;
use crate::znode::path::Place;
use crate::znode::{Znode, quota};

const REDACTED: &str = "[redacted]";
const REDACTED_OTHER: &str = "[redacted, another]";

/// So much of one side is shown.
const SHOWN_MAX: usize = 4096;

/// Both sides of a difference without secrets.
pub(super) fn sides(
    place: &Place<'_>,
    oracle: Option<&ExpectedZnode>,
    candidate: Option<&Znode>,
    context: &CompareContext,
) -> (Option<String>, Option<String>) {
    if let (Some(expected), Some(found)) = (oracle, candidate) {
        match meaning(place, expected, found, context) {
            Meaning::Malformed(reason) => {
                return (Some(show(place, expected.data.as_deref(), None)), Some(format!("malformed: {reason}")));
            }
            Meaning::Undecryptable(reason) => {
                return (Some(show(place, expected.data.as_deref(), None)), Some(reason.to_string()));
            }
            Meaning::VersionBehind { version, epoch } => {
                return (Some(format!("version {epoch}")), Some(format!("version {version}")));
            }
            _ => {}
        }
    }
    let expected = oracle.and_then(|oracle| oracle.data.as_deref());
    let found = candidate.and_then(|candidate| candidate.data.as_deref());
    (oracle.map(|_| show(place, expected, None)), candidate.map(|_| show(place, found, expected)))
}

fn show(place: &Place<'_>, data: Option<&[u8]>, other_side: Option<&[u8]>) -> String {
    let Some(data) = data.filter(|data| !data.is_empty()) else { return "no data".to_owned() };
    let secret: fn(&str, &str) -> bool = match place {
        Place::TopicConfig(_) | Place::BrokerConfig(_) => |key, _| sounds_secret(key),
        // Whatever is no number among quotas may be a credential.
        Place::User(_) | Place::UserClient(..) | Place::Client(_) | Place::Ip(_) => {
            |_, text| quota::parse(text).is_none()
        }
        _ => return shortened(&String::from_utf8_lossy(data)),
    };
    match ConfigZnode::decode(Some(data)) {
        Ok(config) => {
            let other = ConfigZnode::decode(other_side).unwrap_or_default().0;
            shortened(&String::from_utf8_lossy(&ConfigZnode(redacted(config.0, &other, secret)).encode()))
        }
        Err(reason) => format!("malformed: {reason}"),
    }
}

/// Kafka takes every config that it does not know for a secret. Who has plugins gives theirs names of their own, which by
/// custom say what they are.
fn sounds_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    is_password_key(&key) || ["password", "secret", "token", "credential"].iter().any(|word| key.contains(word))
}

fn redacted(
    properties: BTreeMap<String, String>,
    other: &BTreeMap<String, String>,
    secret: fn(&str, &str) -> bool,
) -> BTreeMap<String, String> {
    properties
        .into_iter()
        .map(|(key, text)| {
            let shown = match other.get(&key) {
                _ if !secret(&key, &text) => text,
                Some(other) if *other != text => REDACTED_OTHER.to_owned(),
                _ => REDACTED.to_owned(),
            };
            (key, shown)
        })
        .collect()
}

fn shortened(text: &str) -> String {
    if text.len() <= SHOWN_MAX {
        return text.to_owned();
    }
    let end = (0..=SHOWN_MAX).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    format!("{}… ({} bytes)", text.get(..end).unwrap_or_default(), text.len())
}
