//! Passwords inside config nodes (Kafka: `EncryptingPasswordEncoder.java`).
//!
//! Values of some keys are encrypted with `password.encoder.secret`. In the metadata log they are in clear text, so they
//! are decoded on the way in and encoded on the way out. Kafka takes a random salt, so its text differs each time; ours
//! is derived from the content: the same password of the same entity always gives the same text, and whoever continues a
//! plan writes the same bytes.

use std::collections::BTreeMap;
use std::fmt;

use aes::cipher::block_padding::Pkcs7;
use aes::cipher::consts::{U12, U16};
use aes::cipher::{
    BlockCipherDecrypt, BlockCipherEncrypt, BlockModeDecrypt as _, BlockModeEncrypt as _, BlockSizeUser, KeyInit,
    KeyIvInit as _,
};
use aes::{Aes128, Aes192, Aes256};
use aes_gcm::AesGcm;
use aes_gcm::aead::Aead as _;
use pbkdf2::pbkdf2_hmac;
use sha1::Sha1;
use sha2::{Sha224, Sha256, Sha384, Sha512};

use super::{Malformed, base64};

/// Kafka's `password.encoder.secret`, equal on all brokers and controllers. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordSecret(String);

impl PasswordSecret {
    /// The secret with this text.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }
}

impl fmt::Debug for PasswordSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordSecret([redacted])")
    }
}

/// Keys that end so hold passwords (Kafka: `DynamicBrokerConfig.scala`, all configs of type PASSWORD).
const PASSWORD_SUFFIXES: [&str; 7] = [
    "ssl.keystore.password",
    "ssl.key.password",
    "ssl.truststore.password",
    "ssl.keystore.key",
    "ssl.keystore.certificate.chain",
    "ssl.truststore.certificates",
    "sasl.jaas.config",
];

/// Whether the values of a broker's config key are encrypted.
pub fn is_password_key(key: &str) -> bool {
    PASSWORD_SUFFIXES.iter().any(|suffix| key.ends_with(suffix))
}

const KEY_FACTORY: &str = "keyFactoryAlgorithm";
const CIPHER: &str = "cipherAlgorithm";
const KEY_LENGTH: &str = "keyLength";
const SALT: &str = "salt";
const ITERATIONS: &str = "iterations";
const ENCRYPTED: &str = "encryptedPassword";
const LENGTH: &str = "passwordLength";
const VECTOR: &str = "initializationVector";
const TAG_LENGTH: &str = "authenticationTagLength";

/// What we encode with: Kafka's defaults.
const OUR_KEY_FACTORY: &str = "PBKDF2WithHmacSHA512";
const OUR_CIPHER: &str = "AES/CBC/PKCS5Padding";
const OUR_ITERATIONS: u32 = 4096;
const SALT_BYTES: usize = 256;
const KEY_BYTES: usize = 16;
const VECTOR_BYTES: usize = 16;

/// More rounds than this are refused: a damaged number must not keep a controller busy for minutes.
const ITERATIONS_MAX: u32 = 1_000_000;

/// Encrypts a password. `path` and `key` say where it will stand; they only make the salt differ between places.
pub fn encode(password: &str, path: &str, key: &str, secret: &PasswordSecret) -> String {
    let derived = derive(password, path, key, secret);
    let (salt, vector) = derived.split_at(SALT_BYTES);
    let mut cipher_key = [0; KEY_BYTES];
    pbkdf2_hmac::<Sha512>(secret.0.as_bytes(), salt, OUR_ITERATIONS, &mut cipher_key);
    let mut block = [0; VECTOR_BYTES];
    block.iter_mut().zip(vector).for_each(|(target, byte)| *target = *byte);
    let encrypted = cbc::Encryptor::<Aes128>::new(&cipher_key.into(), &block.into())
        .encrypt_padded_vec::<Pkcs7>(password.as_bytes());
    [
        (KEY_FACTORY, OUR_KEY_FACTORY.to_owned()),
        (CIPHER, OUR_CIPHER.to_owned()),
        (KEY_LENGTH, (KEY_BYTES * 8).to_string()),
        (SALT, base64::encode(salt)),
        (ITERATIONS, OUR_ITERATIONS.to_string()),
        (ENCRYPTED, base64::encode(&encrypted)),
        (LENGTH, utf16_len(password).to_string()),
        (VECTOR, base64::encode(&block)),
    ]
    .map(|(name, value)| format!("{name}:{value}"))
    .join(",")
}

/// Salt and initialization vector: HMAC-SHA512, keyed with the secret, over place and password. PBKDF2 of one round is
/// that HMAC with a block counter.
fn derive(password: &str, path: &str, key: &str, secret: &PasswordSecret) -> [u8; SALT_BYTES + VECTOR_BYTES] {
    let mut content = Vec::new();
    for part in ["store-zk password salt", path, key, password] {
        content.extend((part.len() as u64).to_be_bytes());
        content.extend(part.as_bytes());
    }
    let mut derived = [0; SALT_BYTES + VECTOR_BYTES];
    pbkdf2_hmac::<Sha512>(secret.0.as_bytes(), &content, 1, &mut derived);
    derived
}

/// Kafka counts Java's chars.
fn utf16_len(text: &str) -> usize {
    text.encode_utf16().count()
}

/// Decrypts a password with the parameters that stand beside it. AES in the modes CBC, CFB, OFB and GCM is understood.
///
/// # Errors
/// A parameter is missing or unknown, or the secret is not the one it was encrypted with. Nothing of the text is shown.
pub fn decode(encoded: &str, secret: &PasswordSecret) -> Result<String, Malformed> {
    let parameters = Parameters::parse(encoded)?;
    let decrypted = parameters.decrypt(secret)?;
    let password = String::from_utf8(decrypted).map_err(|_| wrong_secret())?;
    if utf16_len(&password) == parameters.password_length { Ok(password) } else { Err(wrong_secret()) }
}

fn wrong_secret() -> Malformed {
    Malformed::new(
        "the password can't be decrypted: `password.encoder.secret` must be the one that the brokers have \
         (`password.encoder.old.secret` is not tried)",
    )
}

/// What stands beside an encrypted password.
struct Parameters<'t> {
    key_factory: &'t str,
    cipher: &'t str,
    key_bytes: usize,
    salt: Vec<u8>,
    iterations: u32,
    encrypted: Vec<u8>,
    password_length: usize,
    vector: Vec<u8>,
    tag_length: Option<&'t str>,
}

impl<'t> Parameters<'t> {
    /// Comma-separated `name:value` pairs in any order; a value may contain colons, so the last one splits.
    fn parse(encoded: &'t str) -> Result<Self, Malformed> {
        let pairs: BTreeMap<&str, &str> = encoded
            .split(',')
            .map(|pair| pair.rsplit_once(':').map(|(name, value)| (name.trim(), value.trim())))
            .collect::<Option<_>>()
            .ok_or_else(|| Malformed::new("the value of a password key is not encrypted as Kafka encrypts it"))?;
        let get = |name: &str| {
            pairs
                .get(name)
                .copied()
                .ok_or_else(|| Malformed::new(format!("`{name}` of the encrypted password is missing")))
        };
        let number = |name: &str| {
            get(name)?
                .parse::<u32>()
                .map_err(|_| Malformed::new(format!("`{name}` of the encrypted password is not a number")))
        };
        let bytes = |name: &str| {
            base64::decode(get(name)?)
                .ok_or_else(|| Malformed::new(format!("`{name}` of the encrypted password is not base64")))
        };
        let iterations = number(ITERATIONS)?;
        if !(1..=ITERATIONS_MAX).contains(&iterations) {
            return Err(Malformed::new(format!(
                "`{ITERATIONS}` of the encrypted password is {iterations}, expected 1 to {ITERATIONS_MAX}"
            )));
        }
        Ok(Self {
            key_factory: get(KEY_FACTORY)?,
            cipher: get(CIPHER)?,
            key_bytes: number(KEY_LENGTH)? as usize / 8,
            salt: bytes(SALT)?,
            iterations,
            encrypted: bytes(ENCRYPTED)?,
            password_length: number(LENGTH)? as usize,
            vector: bytes(VECTOR)?,
            tag_length: pairs.get(TAG_LENGTH).copied(),
        })
    }

    fn decrypt(&self, secret: &PasswordSecret) -> Result<Vec<u8>, Malformed> {
        let mode = Mode::of(self.cipher).ok_or_else(|| {
            Malformed::new(format!(
                "the password is encrypted with {:?}, which this library does not know: set \
                 `password.encoder.cipher.algorithm` to {OUR_CIPHER} on the brokers and set the password again",
                self.cipher
            ))
        })?;
        if mode == Mode::Gcm && self.tag_length != Some("128") {
            return Err(Malformed::new(format!("`{TAG_LENGTH}` of the encrypted password should be 128")));
        }
        if !matches!(self.key_bytes, 16 | 24 | 32) {
            return Err(Malformed::new(format!("`{KEY_LENGTH}` of the encrypted password should be 128, 192 or 256")));
        }
        let mut key = vec![0; self.key_bytes];
        self.derive_key(secret.0.as_bytes(), &mut key)?;
        let decrypted = match self.key_bytes {
            16 => mode.decrypt::<Aes128>(&key, &self.vector, &self.encrypted),
            24 => mode.decrypt::<Aes192>(&key, &self.vector, &self.encrypted),
            _ => mode.decrypt::<Aes256>(&key, &self.vector, &self.encrypted),
        };
        decrypted.ok_or_else(wrong_secret)
    }

    fn derive_key(&self, secret: &[u8], key: &mut [u8]) -> Result<(), Malformed> {
        match self.key_factory {
            "PBKDF2WithHmacSHA512" => pbkdf2_hmac::<Sha512>(secret, &self.salt, self.iterations, key),
            "PBKDF2WithHmacSHA384" => pbkdf2_hmac::<Sha384>(secret, &self.salt, self.iterations, key),
            "PBKDF2WithHmacSHA256" => pbkdf2_hmac::<Sha256>(secret, &self.salt, self.iterations, key),
            "PBKDF2WithHmacSHA224" => pbkdf2_hmac::<Sha224>(secret, &self.salt, self.iterations, key),
            "PBKDF2WithHmacSHA1" => pbkdf2_hmac::<Sha1>(secret, &self.salt, self.iterations, key),
            other => {
                return Err(Malformed::new(format!(
                    "the password's key was derived with {other:?}, which this library does not know: set \
                     `password.encoder.keyfactory.algorithm` to {OUR_KEY_FACTORY} on the brokers and set the password \
                     again"
                )));
            }
        }
        Ok(())
    }
}

/// How AES is chained. Kafka takes any transformation that the JVM has; these are the ones that make sense there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Cbc,
    Cfb { padded: bool },
    Ofb { padded: bool },
    Gcm,
}

type Block = [u8; 16];

impl Mode {
    /// The mode in the words of Java's `Cipher.getInstance`.
    fn of(cipher: &str) -> Option<Self> {
        match cipher.to_ascii_uppercase().as_str() {
            "AES/CBC/PKCS5PADDING" => Some(Self::Cbc),
            "AES/CFB/PKCS5PADDING" => Some(Self::Cfb { padded: true }),
            "AES/CFB/NOPADDING" => Some(Self::Cfb { padded: false }),
            "AES/OFB/PKCS5PADDING" => Some(Self::Ofb { padded: true }),
            "AES/OFB/NOPADDING" => Some(Self::Ofb { padded: false }),
            "AES/GCM/NOPADDING" => Some(Self::Gcm),
            _ => None,
        }
    }

    /// The plain text, `None` when vector, length, padding or tag are wrong.
    fn decrypt<C>(self, key: &[u8], vector: &[u8], encrypted: &[u8]) -> Option<Vec<u8>>
    where
        C: KeyInit + BlockCipherEncrypt + BlockCipherDecrypt + BlockSizeUser<BlockSize = U16>,
    {
        match self {
            Self::Gcm => {
                let nonce = vector.try_into().ok()?;
                AesGcm::<C, U12>::new_from_slice(key).ok()?.decrypt(nonce, encrypted).ok()
            }
            Self::Cbc => {
                cbc::Decryptor::<C>::new_from_slices(key, vector).ok()?.decrypt_padded_vec::<Pkcs7>(encrypted).ok()
            }
            Self::Cfb { padded } | Self::Ofb { padded } => {
                let plain = self.stream::<C>(key, vector, encrypted)?;
                if padded { unpad(plain) } else { Some(plain) }
            }
        }
    }

    /// CFB and OFB make a stream of key bytes by encrypting, block after block, what was encrypted last (CFB) or the
    /// stream's own last block (OFB).
    fn stream<C>(self, key: &[u8], vector: &[u8], encrypted: &[u8]) -> Option<Vec<u8>>
    where
        C: KeyInit + BlockCipherEncrypt + BlockSizeUser<BlockSize = U16>,
    {
        let cipher = C::new_from_slice(key).ok()?;
        let mut register: Block = vector.try_into().ok()?;
        let mut plain = Vec::with_capacity(encrypted.len());
        for chunk in encrypted.chunks(register.len()) {
            let mut block = register.into();
            cipher.encrypt_block(&mut block);
            let stream: Block = block.into();
            plain.extend(chunk.iter().zip(stream).map(|(byte, mask)| byte ^ mask));
            register = match self {
                Self::Cfb { .. } => chunk.try_into().unwrap_or(register),
                _ => stream,
            };
        }
        Some(plain)
    }
}

/// Takes PKCS#5 padding away: as many bytes as the last byte says, all equal to it.
fn unpad(mut plain: Vec<u8>) -> Option<Vec<u8>> {
    let padding = *plain.last()?;
    let length = plain.len().checked_sub(usize::from(padding))?;
    let valid = (1..=16).contains(&padding) && plain.get(length..)?.iter().all(|byte| *byte == padding);
    plain.truncate(length);
    valid.then_some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn secret() -> PasswordSecret {
        PasswordSecret::new("encoder-secret")
    }

    #[test]
    fn keys_are_passwords_by_their_ending() {
        for key in ["ssl.key.password", "listener.name.internal.ssl.key.password", "sasl.jaas.config"] {
            assert!(is_password_key(key), "{key}");
        }
        for key in ["ssl.keystore.location", "ssl.key.password.x", "password", ""] {
            assert!(!is_password_key(key), "{key}");
        }
    }

    #[test]
    fn the_same_password_at_the_same_place_has_the_same_text() {
        let text = encode("hunter2", "/config/brokers/1", "ssl.key.password", &secret());
        assert_eq!(text, encode("hunter2", "/config/brokers/1", "ssl.key.password", &secret()));
        for other in [
            encode("hunter3", "/config/brokers/1", "ssl.key.password", &secret()),
            encode("hunter2", "/config/brokers/2", "ssl.key.password", &secret()),
            encode("hunter2", "/config/brokers/1", "ssl.keystore.password", &secret()),
            encode("hunter2", "/config/brokers/1", "ssl.key.password", &PasswordSecret::new("other")),
        ] {
            let salt = |text: &str| text.split(',').find(|pair| pair.starts_with("salt:")).map(str::to_owned);
            assert_ne!(salt(&text), salt(&other));
        }
        assert!(!text.contains("hunter2"));
    }

    #[test]
    fn the_wrong_secret_and_damage_are_errors_without_the_text() {
        let text = encode("hunter2", "/config/brokers/1", "ssl.key.password", &secret());
        assert!(decode(&text, &PasswordSecret::new("wrong")).is_err());
        let cases = [
            String::new(),
            "hunter2".to_owned(),
            text.replace("iterations:4096", "iterations:0"),
            text.replace("iterations:4096", "iterations:4294967295"),
            text.replace("iterations:4096", "iterations:many"),
            text.replace("keyLength:128", "keyLength:64"),
            text.replace("passwordLength:7", "passwordLength:8"),
            text.replace("AES/CBC/PKCS5Padding", "DES/CBC/PKCS5Padding"),
            text.replace("SHA512", "MD5"),
            text.replace("salt:", "pepper:"),
            text.replace("initializationVector:", "initializationVector:AA"),
            text.replace("encryptedPassword:", "encryptedPassword:!"),
        ];
        for bad in cases {
            let error = decode(&bad, &secret()).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn gcm_needs_its_tag_length() {
        let text = encode("p", "/config/brokers/1", "k", &secret()).replace(OUR_CIPHER, "AES/GCM/NoPadding");
        assert!(decode(&text, &secret()).unwrap_err().to_string().contains(TAG_LENGTH));
    }

    #[test]
    fn the_secret_is_not_shown() {
        assert!(!format!("{:?}", secret()).contains("encoder-secret"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn any_password_survives_the_round_trip(password: String, path: String, key: String, secret: String) {
            let secret = PasswordSecret::new(secret);
            prop_assert_eq!(decode(&encode(&password, &path, &key, &secret), &secret), Ok(password));
        }

        #[test]
        fn any_text_never_panics(text: String) {
            let _ = decode(&text, &secret());
        }
    }
}
