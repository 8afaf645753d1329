//! SCRAM credentials (Kafka: `ScramControlManager`, `ScramFormatter`; RFC 5802).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::ValueEnum;
use hmac::Hmac;
use metadata_core::image::{MetadataImage, ScramCredential, ScramKey};
use metadata_core::record::RemoveUserScramCredentialRecord;
use pbkdf2::pbkdf2_hmac;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256, Sha512};

use super::{Draft, refuse};

/// Least rounds that Kafka takes, inclusive (`ScramMechanism.minIterations`).
pub const ITERATIONS_MIN: u32 = 4096;
/// Most rounds that Kafka's controller takes, inclusive (`ScramControlManager.MAX_ITERATIONS`).
pub const ITERATIONS_MAX: u32 = 16_384;

/// How keys are derived from a password. The codes are Kafka's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
pub enum Mechanism {
    /// Code 1.
    #[value(name = "SCRAM-SHA-256")]
    #[serde(rename = "SCRAM-SHA-256")]
    Sha256 = 1,
    /// Code 2.
    #[value(name = "SCRAM-SHA-512")]
    #[serde(rename = "SCRAM-SHA-512")]
    Sha512 = 2,
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sha256 => "SCRAM-SHA-256",
            Self::Sha512 => "SCRAM-SHA-512",
        })
    }
}

/// The keys of a credential. Not the password, and secret all the same: `Debug` hides them.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ScramKeys {
    #[serde(serialize_with = "to_base64", deserialize_with = "from_base64")]
    salt: Vec<u8>,
    #[serde(serialize_with = "to_base64", deserialize_with = "from_base64")]
    stored_key: Vec<u8>,
    #[serde(serialize_with = "to_base64", deserialize_with = "from_base64")]
    server_key: Vec<u8>,
    iterations: u32,
}

impl fmt::Debug for ScramKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ScramKeys {{ iterations: {}, keys: [redacted] }}", self.iterations)
    }
}

impl ScramKeys {
    /// Derives the keys of a password, as the server stores them (RFC 5802, section 3). Like Kafka, it takes the
    /// password's bytes as they are, without SASLprep.
    ///
    /// The time it takes grows with `iterations`.
    pub fn derive(mechanism: Mechanism, password: &str, salt: Vec<u8>, iterations: u32) -> Self {
        let (stored_key, server_key) = match mechanism {
            Mechanism::Sha256 => {
                let mut salted = [0; 32];
                pbkdf2_hmac::<Sha256>(password.as_bytes(), &salt, iterations, &mut salted);
                let client = sign::<Hmac<Sha256>>(&salted, b"Client Key");
                (Sha256::digest(client).to_vec(), sign::<Hmac<Sha256>>(&salted, b"Server Key"))
            }
            Mechanism::Sha512 => {
                let mut salted = [0; 64];
                pbkdf2_hmac::<Sha512>(password.as_bytes(), &salt, iterations, &mut salted);
                let client = sign::<Hmac<Sha512>>(&salted, b"Client Key");
                (Sha512::digest(client).to_vec(), sign::<Hmac<Sha512>>(&salted, b"Server Key"))
            }
        };
        Self { salt, stored_key, server_key, iterations }
    }
}

/// HMAC of `message`. It takes keys of any length, so there is always an answer.
fn sign<M: hmac::Mac + hmac::KeyInit>(key: &[u8], message: &[u8]) -> Vec<u8> {
    <M as hmac::KeyInit>::new_from_slice(key)
        .map(|mac| mac.chain_update(message).finalize().into_bytes().to_vec())
        .unwrap_or_default()
}

fn to_base64<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&STANDARD.encode(bytes))
}

fn from_base64<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(from)?;
    STANDARD.decode(text).map_err(|_| serde::de::Error::custom("a key of a credential is no base64"))
}

pub(super) fn set(image: &MetadataImage, user: &str, mechanism: Mechanism, keys: &ScramKeys) -> Draft {
    check_user(user)?;
    let version = image.metadata_version_or_lowest();
    if !version.supports_scram() {
        return refuse(
            format!("metadata version {version} can't hold SCRAM credentials"),
            "raise the metadata version to 3.5-IV2 or newer",
        );
    }
    if !(ITERATIONS_MIN..=ITERATIONS_MAX).contains(&keys.iterations) {
        return refuse(
            format!("{} iterations are too few or too many", keys.iterations),
            format!("use {ITERATIONS_MIN} to {ITERATIONS_MAX}"),
        );
    }
    let length = match mechanism {
        Mechanism::Sha256 => 32,
        Mechanism::Sha512 => 64,
    };
    if keys.salt.is_empty() || keys.stored_key.len() != length || keys.server_key.len() != length {
        return refuse(
            format!("these are no keys of {mechanism}"),
            format!("derive them anew: a salt, and two keys of {length} bytes"),
        );
    }
    let credential = ScramCredential {
        salt: keys.salt.clone(),
        stored_key: keys.stored_key.clone(),
        server_key: keys.server_key.clone(),
        iterations: i32::try_from(keys.iterations).unwrap_or(i32::MAX),
    };
    let record = credential.to_record(&key(user, mechanism));
    Ok((vec![record.into()], format!("{mechanism} credential of {user} set")))
}

pub(super) fn delete(image: &MetadataImage, user: &str, mechanism: Mechanism) -> Draft {
    check_user(user)?;
    if !image.scram().contains_key(&key(user, mechanism)) {
        return refuse(format!("{user} has no {mechanism} credential"), "check the user and the mechanism");
    }
    let record = RemoveUserScramCredentialRecord {
        name: user.to_owned(),
        mechanism: mechanism as i8,
        ..RemoveUserScramCredentialRecord::default()
    };
    Ok((vec![record.into()], format!("{mechanism} credential of {user} deleted")))
}

fn check_user(user: &str) -> Result<(), super::Refusal> {
    if user.is_empty() { refuse("the user has no name", "name one") } else { Ok(()) }
}

fn key(user: &str, mechanism: Mechanism) -> ScramKey {
    ScramKey { user: user.into(), mechanism: mechanism as i8 }
}
