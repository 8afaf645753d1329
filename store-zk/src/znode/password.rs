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
    BlockCipherDecrypt, BlockCipherEncrypt, BlockModeDecrypt as _, BlockModeEncrypt as _, BlockSizeUser,
    InnerIvInit as _, Key, KeyInit, KeyIvInit as _,
};
use aes::{Aes128, Aes192, Aes256};
use aes_gcm::AesGcm;
use aes_gcm::aead::Aead as _;
use pbkdf2::pbkdf2_hmac;
use sha1::Sha1;
use sha2::{Sha224, Sha256, Sha384, Sha512};

use super::config::ConfigZnode;
use super::{Malformed, base64};

/// Kafka's `password.encoder.*`: the secret, which is equal on all brokers and controllers, the one before it, and how
/// to encrypt with it. Neither secret is ever shown.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordSecret {
    secret: String,
    old: Option<String>,
    encoding: PasswordEncoding,
}

impl PasswordSecret {
    /// The secret with this text, no earlier one, and Kafka's default encoding.
    pub fn new(secret: impl Into<String>) -> Self {
        Self { secret: secret.into(), old: None, encoding: PasswordEncoding::default() }
    }

    /// With the secret that was used before this one (`password.encoder.old.secret`): what this one does not decrypt
    /// may still be encrypted with it.
    #[must_use]
    pub fn with_old(self, old: Option<String>) -> Self {
        Self { old, ..self }
    }

    /// With another encoding. It only matters for what is written: whatever is read says how it was made.
    #[must_use]
    pub fn with_encoding(self, encoding: PasswordEncoding) -> Self {
        Self { encoding, ..self }
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

const SALT_BYTES: usize = 256;
const VECTOR_BYTES: usize = 16;

/// What Kafka makes of GCM: the only length of its vector, and of its tag in bits.
const GCM_VECTOR_BYTES: usize = 12;
const GCM_TAG_BITS: &str = "128";

/// More rounds than this are refused: a damaged number must not keep a controller busy for minutes.
const ITERATIONS_MAX: u32 = 1_000_000;

/// How passwords are encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PasswordEncoding {
    key_factory: KeyFactory,
    mode: Mode,
    key_length: KeyLength,
    iterations: u32,
}

/// Kafka's defaults (`PasswordEncoderConfigs.java`).
impl Default for PasswordEncoding {
    fn default() -> Self {
        Self { key_factory: KeyFactory::Sha512, mode: Mode::Cbc, key_length: KeyLength::Bits128, iterations: 4096 }
    }
}

impl PasswordEncoding {
    /// What the values of `password.encoder.*` say; `None` is Kafka's default.
    ///
    /// # Errors
    /// Names the key whose value is not one that we can encrypt with, and the values that are.
    pub fn new(
        key_factory: Option<&str>,
        cipher: Option<&str>,
        key_bits: Option<u32>,
        iterations: Option<u32>,
    ) -> Result<Self, Malformed> {
        let default = Self::default();
        let unknown = |key: &str, value: &str, known: &str| {
            Malformed::new(format!("password.encoder.{key} is {value:?}, which is not known here: use {known}"))
        };
        let key_factory = match key_factory {
            None => default.key_factory,
            Some(name) => KeyFactory::of(name)
                .ok_or_else(|| unknown("keyfactory.algorithm", name, "PBKDF2WithHmacSHA512, SHA384, SHA256 or SHA1"))?,
        };
        let mode = match cipher {
            None => default.mode,
            Some(name) => Mode::of(name).ok_or_else(|| {
                unknown("cipher.algorithm", name, "AES/CBC/PKCS5Padding, AES/GCM/NoPadding, or AES with CFB or OFB")
            })?,
        };
        let key_length = match key_bits {
            None => default.key_length,
            Some(bits) => KeyLength::of(bits)
                .ok_or_else(|| unknown("key.length", &bits.to_string(), "one of AES: 128, 192 or 256"))?,
        };
        let iterations = iterations.unwrap_or(default.iterations);
        if !(1..=ITERATIONS_MAX).contains(&iterations) {
            return Err(unknown("iterations", &iterations.to_string(), &format!("1 to {ITERATIONS_MAX}")));
        }
        Ok(Self { key_factory, mode, key_length, iterations })
    }
}

/// Encrypts a password. `path` and `key` say where it will stand; they only make the salt differ between places.
pub fn encode(password: &str, path: &str, key: &str, secret: &PasswordSecret) -> String {
    let PasswordEncoding { key_factory, mode, key_length, iterations } = secret.encoding;
    let derived = derive(password, path, key, secret);
    let (salt, rest) = derived.split_at(SALT_BYTES);
    let mut block: Block = [0; VECTOR_BYTES];
    block.iter_mut().zip(rest).for_each(|(target, byte)| *target = *byte);
    let job = Encryption { key_factory, mode, salt, iterations, secret: secret.secret.as_bytes(), block };
    let encrypted = match key_length {
        KeyLength::Bits128 => job.encrypt::<Aes128>(password.as_bytes()),
        KeyLength::Bits192 => job.encrypt::<Aes192>(password.as_bytes()),
        KeyLength::Bits256 => job.encrypt::<Aes256>(password.as_bytes()),
    };
    let mut parameters = vec![
        (KEY_FACTORY, key_factory.name().to_owned()),
        (CIPHER, mode.name().to_owned()),
        (KEY_LENGTH, (key_length.bytes() * 8).to_string()),
        (SALT, base64::encode(salt)),
        (ITERATIONS, iterations.to_string()),
        (ENCRYPTED, base64::encode(&encrypted)),
        (LENGTH, utf16_len(password).to_string()),
        (VECTOR, base64::encode(mode.vector(&block))),
    ];
    if mode == Mode::Gcm {
        parameters.push((TAG_LENGTH, GCM_TAG_BITS.to_owned()));
    }
    let parameters: Vec<String> = parameters.iter().map(|(name, value)| format!("{name}:{value}")).collect();
    parameters.join(",")
}

/// One password's encryption, but for the size of the key.
struct Encryption<'a> {
    key_factory: KeyFactory,
    mode: Mode,
    salt: &'a [u8],
    iterations: u32,
    secret: &'a [u8],
    block: Block,
}

impl Encryption<'_> {
    fn encrypt<C>(&self, plain: &[u8]) -> Vec<u8>
    where
        C: KeyInit + BlockCipherEncrypt + BlockSizeUser<BlockSize = U16>,
    {
        let mut key = Key::<C>::default();
        self.key_factory.derive(self.secret, self.salt, self.iterations, &mut key);
        self.mode.encrypt(C::new(&key), &self.block, plain)
    }
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
    pbkdf2_hmac::<Sha512>(secret.secret.as_bytes(), &content, 1, &mut derived);
    derived
}

/// Kafka counts Java's chars.
fn utf16_len(text: &str) -> usize {
    text.encode_utf16().count()
}

/// Decrypts a password with the parameters that stand beside it, and with the secret before this one if this one does
/// not do it. AES in the modes CBC, CFB, OFB and GCM is understood.
///
/// # Errors
/// A parameter is missing or unknown, or the secret is not the one it was encrypted with. Nothing of the text is shown.
pub fn decode(encoded: &str, secret: &PasswordSecret) -> Result<String, Malformed> {
    Parameters::parse(encoded)?.decode(secret)
}

/// The passwords in a config node which `secret` does not decrypt, by key, each with the reason: those that Kafka has
/// encrypted, and with another secret or in a way that is not known here. To be asked before anything is written: whoever
/// encrypts over such a password has destroyed it for the brokers.
pub fn undecryptable(config: &ConfigZnode, secret: Option<&PasswordSecret>) -> BTreeMap<String, Malformed> {
    let passwords = config.0.iter().filter(|(key, _)| is_password_key(key));
    let refused = passwords.filter_map(|(key, text)| {
        let parameters = Parameters::parse(text).ok()?;
        let reason = match secret {
            Some(secret) => parameters.decode(secret).err()?,
            None => no_secret(),
        };
        Some((key.clone(), reason))
    });
    refused.collect()
}

/// The reason for a password that nobody gave us the secret for.
pub(crate) fn no_secret() -> Malformed {
    Malformed::new("the value is encrypted: set password.encoder.secret to the one that the brokers have")
}

fn wrong_secret() -> Malformed {
    Malformed::new(
        "the password can't be decrypted: neither `password.encoder.secret` nor `password.encoder.old.secret` is the \
         one that it was encrypted with; set them to those that the brokers have",
    )
}

/// What stands beside an encrypted password.
struct Parameters<'t> {
    key_factory: &'t str,
    cipher: &'t str,
    key_bits: u32,
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
        Ok(Self {
            key_factory: get(KEY_FACTORY)?,
            cipher: get(CIPHER)?,
            key_bits: number(KEY_LENGTH)?,
            salt: bytes(SALT)?,
            iterations: number(ITERATIONS)?,
            encrypted: bytes(ENCRYPTED)?,
            password_length: number(LENGTH)? as usize,
            vector: bytes(VECTOR)?,
            tag_length: pairs.get(TAG_LENGTH).copied(),
        })
    }

    fn decode(&self, secret: &PasswordSecret) -> Result<String, Malformed> {
        let with = |secret: &str| {
            let password = String::from_utf8(self.decrypt(secret.as_bytes())?).map_err(|_| wrong_secret())?;
            if utf16_len(&password) == self.password_length { Ok(password) } else { Err(wrong_secret()) }
        };
        match (with(&secret.secret), &secret.old) {
            (Err(_), Some(old)) => with(old),
            (result, _) => result,
        }
    }

    fn decrypt(&self, secret: &[u8]) -> Result<Vec<u8>, Malformed> {
        let mode = Mode::of(self.cipher).ok_or_else(|| {
            Malformed::new(format!(
                "the password is encrypted with {:?}, which this library does not know: set \
                 `password.encoder.cipher.algorithm` to {} on the brokers and set the password again",
                self.cipher,
                Mode::Cbc.name()
            ))
        })?;
        if mode == Mode::Gcm && self.tag_length != Some(GCM_TAG_BITS) {
            return Err(Malformed::new(format!("`{TAG_LENGTH}` of the encrypted password should be {GCM_TAG_BITS}")));
        }
        if !(1..=ITERATIONS_MAX).contains(&self.iterations) {
            return Err(Malformed::new(format!(
                "`{ITERATIONS}` of the encrypted password is {}, expected 1 to {ITERATIONS_MAX}",
                self.iterations
            )));
        }
        let key_length = KeyLength::of(self.key_bits).ok_or_else(|| {
            Malformed::new(format!("`{KEY_LENGTH}` of the encrypted password should be 128, 192 or 256"))
        })?;
        let key_factory = KeyFactory::of(self.key_factory).ok_or_else(|| {
            Malformed::new(format!(
                "the password's key was derived with {:?}, which this library does not know: set \
                 `password.encoder.keyfactory.algorithm` to {} on the brokers and set the password again",
                self.key_factory,
                KeyFactory::Sha512.name()
            ))
        })?;
        let mut key = vec![0; key_length.bytes()];
        key_factory.derive(secret, &self.salt, self.iterations, &mut key);
        let decrypted = match key_length {
            KeyLength::Bits128 => mode.decrypt::<Aes128>(&key, &self.vector, &self.encrypted),
            KeyLength::Bits192 => mode.decrypt::<Aes192>(&key, &self.vector, &self.encrypted),
            KeyLength::Bits256 => mode.decrypt::<Aes256>(&key, &self.vector, &self.encrypted),
        };
        decrypted.ok_or_else(wrong_secret)
    }
}

/// How a key is made of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeyFactory {
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

impl KeyFactory {
    const ALL: [Self; 5] = [Self::Sha1, Self::Sha224, Self::Sha256, Self::Sha384, Self::Sha512];

    /// The words of Java's `SecretKeyFactory.getInstance`.
    fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "PBKDF2WithHmacSHA1",
            Self::Sha224 => "PBKDF2WithHmacSHA224",
            Self::Sha256 => "PBKDF2WithHmacSHA256",
            Self::Sha384 => "PBKDF2WithHmacSHA384",
            Self::Sha512 => "PBKDF2WithHmacSHA512",
        }
    }

    /// Java does not look at upper and lower case.
    fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|factory| factory.name().eq_ignore_ascii_case(name))
    }

    fn derive(self, secret: &[u8], salt: &[u8], iterations: u32, key: &mut [u8]) {
        match self {
            Self::Sha1 => pbkdf2_hmac::<Sha1>(secret, salt, iterations, key),
            Self::Sha224 => pbkdf2_hmac::<Sha224>(secret, salt, iterations, key),
            Self::Sha256 => pbkdf2_hmac::<Sha256>(secret, salt, iterations, key),
            Self::Sha384 => pbkdf2_hmac::<Sha384>(secret, salt, iterations, key),
            Self::Sha512 => pbkdf2_hmac::<Sha512>(secret, salt, iterations, key),
        }
    }
}

/// The keys that AES has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeyLength {
    Bits128,
    Bits192,
    Bits256,
}

impl KeyLength {
    fn of(bits: u32) -> Option<Self> {
        [Self::Bits128, Self::Bits192, Self::Bits256].into_iter().find(|length| length.bytes() * 8 == bits as usize)
    }

    fn bytes(self) -> usize {
        match self {
            Self::Bits128 => 16,
            Self::Bits192 => 24,
            Self::Bits256 => 32,
        }
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

type Block = [u8; VECTOR_BYTES];

impl Mode {
    const ALL: [Self; 6] = [
        Self::Cbc,
        Self::Cfb { padded: true },
        Self::Cfb { padded: false },
        Self::Ofb { padded: true },
        Self::Ofb { padded: false },
        Self::Gcm,
    ];

    /// The words of Java's `Cipher.getInstance`.
    fn name(self) -> &'static str {
        match self {
            Self::Cbc => "AES/CBC/PKCS5Padding",
            Self::Cfb { padded: true } => "AES/CFB/PKCS5Padding",
            Self::Cfb { padded: false } => "AES/CFB/NoPadding",
            Self::Ofb { padded: true } => "AES/OFB/PKCS5Padding",
            Self::Ofb { padded: false } => "AES/OFB/NoPadding",
            Self::Gcm => "AES/GCM/NoPadding",
        }
    }

    /// Java does not look at upper and lower case.
    fn of(cipher: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.name().eq_ignore_ascii_case(cipher))
    }

    /// So much of a block as the mode begins with.
    fn vector(self, block: &Block) -> &[u8] {
        let (nonce, _) = block.split_at(GCM_VECTOR_BYTES);
        if self == Self::Gcm { nonce } else { block }
    }

    fn encrypt<C>(self, cipher: C, block: &Block, plain: &[u8]) -> Vec<u8>
    where
        C: BlockCipherEncrypt + BlockSizeUser<BlockSize = U16>,
    {
        match self {
            Self::Gcm => {
                let mut nonce = [0; GCM_VECTOR_BYTES];
                nonce.iter_mut().zip(block).for_each(|(target, byte)| *target = *byte);
                // Only a text of 64 GiB is refused.
                AesGcm::<C, U12>::from(cipher).encrypt(&nonce.into(), plain).unwrap_or_default()
            }
            Self::Cbc => cbc::Encryptor::inner_iv_init(cipher, &(*block).into()).encrypt_padded_vec::<Pkcs7>(plain),
            Self::Cfb { padded } | Self::Ofb { padded } => {
                let plain = if padded { pad(plain) } else { plain.to_vec() };
                self.stream(&cipher, *block, &plain, Direction::Encrypt)
            }
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
                let cipher = C::new_from_slice(key).ok()?;
                let plain = self.stream(&cipher, vector.try_into().ok()?, encrypted, Direction::Decrypt);
                if padded { unpad(plain) } else { Some(plain) }
            }
        }
    }

    /// CFB and OFB make a stream of key bytes by encrypting, block after block, what was encrypted last (CFB) or the
    /// stream's own last block (OFB).
    fn stream<C>(self, cipher: &C, vector: Block, text: &[u8], direction: Direction) -> Vec<u8>
    where
        C: BlockCipherEncrypt + BlockSizeUser<BlockSize = U16>,
    {
        let mut register = vector;
        let mut result = Vec::with_capacity(text.len());
        for chunk in text.chunks(VECTOR_BYTES) {
            let mut block = register.into();
            cipher.encrypt_block(&mut block);
            let stream: Block = block.into();
            let other: Vec<u8> = chunk.iter().zip(stream).map(|(byte, mask)| byte ^ mask).collect();
            let encrypted = match direction {
                Direction::Encrypt => &other,
                Direction::Decrypt => chunk,
            };
            // The last block may be short, and nothing follows it.
            register = match self {
                Self::Cfb { .. } => encrypted.try_into().unwrap_or(register),
                _ => stream,
            };
            result.extend(other);
        }
        result
    }
}

#[derive(Clone, Copy)]
enum Direction {
    Encrypt,
    Decrypt,
}

/// Puts PKCS#5 padding behind a text: one to sixteen bytes, each of which says how many they are.
fn pad(plain: &[u8]) -> Vec<u8> {
    let padding = VECTOR_BYTES - plain.len() % VECTOR_BYTES;
    let byte = u8::try_from(padding).unwrap_or_default();
    plain.iter().copied().chain(std::iter::repeat_n(byte, padding)).collect()
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
        let text =
            encode("p", "/config/brokers/1", "k", &secret()).replace("AES/CBC/PKCS5Padding", "AES/GCM/NoPadding");
        assert!(decode(&text, &secret()).unwrap_err().to_string().contains(TAG_LENGTH));
    }

    #[test]
    fn the_secret_is_not_shown() {
        let shown = format!("{:?}", secret().with_old(Some("older-secret".to_owned())));
        assert!(!shown.contains("encoder-secret") && !shown.contains("older-secret"), "{shown}");
    }

    #[test]
    fn every_encoding_that_can_be_configured_is_written_and_read() {
        for factory in KeyFactory::ALL {
            for mode in Mode::ALL {
                for bits in [128, 192, 256] {
                    let encoding =
                        PasswordEncoding::new(Some(factory.name()), Some(mode.name()), Some(bits), Some(1024)).unwrap();
                    let secret = secret().with_encoding(encoding);
                    for password in ["", "hunter2", "sixteen bytes ok", "more than one block of bytes, ü"] {
                        let text = encode(password, "/config/brokers/1", "k", &secret);
                        assert!(text.contains(&format!("{KEY_LENGTH}:{bits},")), "{text}");
                        // Whoever reads it need not know the encoding.
                        assert_eq!(decode(&text, &self::secret()).as_deref(), Ok(password), "{text}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_configured_encoding_shows_in_the_text() {
        let encoding = PasswordEncoding::new(None, None, None, Some(10_000)).unwrap();
        let text = encode("p", "/config/brokers/1", "k", &secret().with_encoding(encoding));
        assert!(text.contains("iterations:10000,"), "{text}");
        assert!(text.starts_with("keyFactoryAlgorithm:PBKDF2WithHmacSHA512,cipherAlgorithm:AES/CBC/PKCS5Padding,"));
    }

    #[test]
    fn an_encoding_that_is_not_known_is_refused_by_the_name_of_its_key() {
        let cases = [
            (PasswordEncoding::new(Some("PBEWithMD5AndDES"), None, None, None), "keyfactory.algorithm"),
            (PasswordEncoding::new(None, Some("DES/CBC/PKCS5Padding"), None, None), "cipher.algorithm"),
            (PasswordEncoding::new(None, None, Some(64), None), "key.length"),
            (PasswordEncoding::new(None, None, None, Some(2_000_000)), "iterations"),
        ];
        for (refused, key) in cases {
            let error = refused.unwrap_err().to_string();
            assert!(error.starts_with(&format!("password.encoder.{key} is ")), "{error}");
        }
    }

    #[test]
    fn the_old_secret_is_tried_when_the_new_one_fails() {
        let text = encode("hunter2", "/config/brokers/1", "k", &PasswordSecret::new("before"));
        assert!(decode(&text, &secret()).is_err());
        assert_eq!(decode(&text, &secret().with_old(Some("before".to_owned()))).as_deref(), Ok("hunter2"));
        assert!(decode(&text, &secret().with_old(Some("another".to_owned()))).is_err());
        // And never used to encrypt.
        let with_old = secret().with_old(Some("before".to_owned()));
        assert_eq!(encode("p", "/a", "k", &with_old), encode("p", "/a", "k", &secret()));
    }

    #[test]
    fn what_a_secret_does_not_decrypt_is_named_by_key() {
        let text = |secret: &str| encode("hunter2", "/config/brokers/1", "k", &PasswordSecret::new(secret));
        let config = ConfigZnode(BTreeMap::from([
            ("a".to_owned(), text("another")),
            ("sasl.jaas.config".to_owned(), "never encrypted".to_owned()),
            ("ssl.key.password".to_owned(), text("encoder-secret")),
            ("ssl.keystore.password".to_owned(), text("another")),
        ]));
        let keys = |secret: Option<&PasswordSecret>| undecryptable(&config, secret).into_keys().collect::<Vec<_>>();
        assert_eq!(keys(Some(&secret())), ["ssl.keystore.password"]);
        assert_eq!(keys(Some(&PasswordSecret::new("third"))), ["ssl.key.password", "ssl.keystore.password"]);
        assert_eq!(keys(Some(&secret().with_old(Some("another".to_owned())))), [] as [&str; 0]);
        assert_eq!(keys(None), ["ssl.key.password", "ssl.keystore.password"]);
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
