//! Kafka's own property names for ZooKeeper (`ZkConfigs`, `PasswordEncoderConfigs`), and two of ours for what Kafka
//! takes from a JAAS file:
//!
//! - `zookeeper.auth.sasl.file`: a file with `username=` and `password=`, for SASL DIGEST-MD5;
//! - `zookeeper.auth.digest.file`: the same, for ZooKeeper's digest scheme, which Kafka itself never uses.
//!
//! Relative paths are relative to the working directory, as in Kafka.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use crate::znode::password::{PasswordEncoding, PasswordSecret};

use super::{
    ConfigError, ConnectString, Credentials, Properties, SESSION_TIMEOUT_DEFAULT, Secret, TlsFiles, ZkClientConfig,
};

/// Kafka's default of `zookeeper.max.in.flight.requests`.
pub const MAX_IN_FLIGHT_DEFAULT: u32 = 10;

/// The class that Kafka's client needs for TLS.
const NETTY_SOCKET: &str = "org.apache.zookeeper.ClientCnxnSocketNetty";

/// Keys that are understood; any other `zookeeper.` key is reported.
const KNOWN_KEYS: &[&str] = &[
    "zookeeper.connect",
    "zookeeper.session.timeout.ms",
    "zookeeper.connection.timeout.ms",
    "zookeeper.max.in.flight.requests",
    "zookeeper.set.acl",
    "zookeeper.metadata.migration.enable",
    "zookeeper.clientCnxnSocket",
    "zookeeper.ssl.client.enable",
    "zookeeper.ssl.truststore.location",
    "zookeeper.ssl.truststore.password",
    "zookeeper.ssl.truststore.type",
    "zookeeper.ssl.keystore.location",
    "zookeeper.ssl.keystore.password",
    "zookeeper.ssl.keystore.type",
    "zookeeper.ssl.endpoint.identification.algorithm",
    "zookeeper.ssl.protocol",
    "zookeeper.ssl.enabled.protocols",
    "zookeeper.ssl.crl.enable",
    "zookeeper.ssl.ocsp.enable",
    "zookeeper.auth.sasl.file",
    "zookeeper.auth.digest.file",
];

const ENCODER_SECRET: &str = "password.encoder.secret";

/// What belongs to the secret; any other `password.encoder.` key is reported.
const ENCODER_KEYS: &[&str] = &[
    "password.encoder.old.secret",
    "password.encoder.keyfactory.algorithm",
    "password.encoder.cipher.algorithm",
    "password.encoder.key.length",
    "password.encoder.iterations",
];

/// Keys of Kafka's that change nothing here, with the reason.
const IGNORED_KEYS: &[(&str, &str)] = &[
    ("zookeeper.metadata.migration.min.batch.size", "batches are cut by size here"),
    ("zookeeper.ssl.cipher.suites", "the TLS library's own list of safe suites is used"),
];

/// How Kafka encodes password configs (`PasswordEncoder`). Must equal the brokers' values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasswordEncoderSettings {
    /// `password.encoder.secret`.
    pub secret: Secret,
    /// `password.encoder.old.secret`: the one before the last change.
    pub old_secret: Option<Secret>,
    /// `password.encoder.keyfactory.algorithm`, `.cipher.algorithm`, `.key.length` and `.iterations`.
    pub encoding: PasswordEncoding,
}

impl PasswordEncoderSettings {
    /// What passwords are decrypted and encrypted with.
    pub fn password_secret(&self) -> PasswordSecret {
        let old = self.old_secret.as_ref().map(|old| old.expose().to_owned());
        PasswordSecret::new(self.secret.expose()).with_old(old).with_encoding(self.encoding)
    }
}

/// What a Kafka configuration file says about ZooKeeper.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZkSettings {
    /// How to open a session.
    pub client: ZkClientConfig,
    /// `zookeeper.set.acl`: nodes are created with the creator's ACL ("secure mode").
    pub secure_acls: bool,
    /// `zookeeper.max.in.flight.requests`, at least 1.
    pub max_in_flight: u32,
    /// `zookeeper.metadata.migration.enable`; `None` when the file doesn't say.
    pub migration_enable: Option<bool>,
    /// `password.encoder.*`; `None` without a secret.
    pub password_encoder: Option<PasswordEncoderSettings>,
    /// What the operator should know: keys that are unknown or have no effect here.
    pub notes: Vec<String>,
}

impl ZkSettings {
    /// Reads a configuration file of a Kafka broker or controller, and the files of credentials that it names.
    ///
    /// # Errors
    /// The file, the key, the reason and the remedy.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        let in_file = |error: ConfigError| ConfigError::new(format!("{}: {error}", file.display()));
        let properties = Properties::parse(&read_text(file)?).map_err(in_file)?;
        Self::from_properties(&properties, &read_text).map_err(in_file)
    }

    /// The same from properties that were read already. `read` returns the text of a file of credentials.
    ///
    /// # Errors
    /// The key, the reason and the remedy.
    pub fn from_properties(
        properties: &Properties,
        read: &dyn Fn(&Path) -> Result<String, ConfigError>,
    ) -> Result<Self, ConfigError> {
        let keys = Keys(properties);
        let connect: ConnectString =
            keys.required("zookeeper.connect", "HOST:PORT[,HOST:PORT][/chroot] of the brokers' ZooKeeper")?.parse()?;
        let session_timeout = keys.millis("zookeeper.session.timeout.ms")?.unwrap_or(SESSION_TIMEOUT_DEFAULT);
        let connection_timeout = keys.millis("zookeeper.connection.timeout.ms")?.unwrap_or(session_timeout);
        let credentials = |key| keys.text(key)?.map(|file| read_credentials(key, Path::new(file), read)).transpose();
        let client = ZkClientConfig {
            session_timeout,
            connection_timeout,
            sasl: credentials("zookeeper.auth.sasl.file")?,
            digest: credentials("zookeeper.auth.digest.file")?,
            tls: tls(&keys)?,
            ..ZkClientConfig::new(connect)
        };
        let secure_acls = keys.flag("zookeeper.set.acl")?.unwrap_or(false);
        if secure_acls && client.sasl.is_none() && client.tls.as_ref().is_none_or(|tls| tls.keystore.is_none()) {
            return Err(ConfigError::new(
                "zookeeper.set.acl=true needs an identity to give the nodes to: configure SASL \
                 (zookeeper.auth.sasl.file) or TLS client authentication (zookeeper.ssl.client.enable=true and \
                 zookeeper.ssl.keystore.location), as the brokers have it",
            ));
        }
        Ok(Self {
            client,
            secure_acls,
            max_in_flight: keys.at_least("zookeeper.max.in.flight.requests", 1)?.unwrap_or(MAX_IN_FLIGHT_DEFAULT),
            migration_enable: keys.flag("zookeeper.metadata.migration.enable")?,
            password_encoder: password_encoder(&keys)?,
            notes: notes(&keys)?,
        })
    }
}

fn read_text(file: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(file)
        .map_err(|error| ConfigError::new(format!("{} can't be read: {error}", file.display())))
}

/// Typed access that names the key in every error. Values are not shown: the wrong one may be a secret.
struct Keys<'a>(&'a Properties);

impl<'a> Keys<'a> {
    /// The value, trimmed; `None` if it is absent or empty.
    fn text(&self, key: &str) -> Result<Option<&'a str>, ConfigError> {
        let Some(value) = self.0.get(key).map(str::trim) else { return Ok(None) };
        if value.contains("${") {
            return Err(ConfigError::new(format!(
                "{key} refers to a config provider (\"${{...}}\"), which is not supported: write the value itself"
            )));
        }
        Ok((!value.is_empty()).then_some(value))
    }

    fn required(&self, key: &str, what: &str) -> Result<&'a str, ConfigError> {
        self.text(key)?.ok_or_else(|| ConfigError::new(format!("{key} is missing: set it to {what}")))
    }

    fn number<N: FromStr>(&self, key: &str) -> Result<Option<N>, ConfigError> {
        let number = |text: &str| text.parse().map_err(|_| ConfigError::new(format!("{key} is no number in range")));
        self.text(key)?.map(number).transpose()
    }

    fn at_least(&self, key: &str, least: u32) -> Result<Option<u32>, ConfigError> {
        match self.number::<u32>(key)? {
            Some(number) if number < least => Err(ConfigError::new(format!("{key} must be at least {least}"))),
            number => Ok(number),
        }
    }

    /// Kafka keeps these in a signed 32-bit number.
    fn millis(&self, key: &str) -> Result<Option<Duration>, ConfigError> {
        match self.number::<i32>(key)? {
            None => Ok(None),
            Some(millis) => match u64::try_from(millis) {
                Ok(millis) if millis > 0 => Ok(Some(Duration::from_millis(millis))),
                _ => Err(ConfigError::new(format!("{key} must be above 0 (milliseconds)"))),
            },
        }
    }

    fn flag(&self, key: &str) -> Result<Option<bool>, ConfigError> {
        match self.text(key)?.map(str::to_ascii_lowercase).as_deref() {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(ConfigError::new(format!("{key} must be true or false"))),
        }
    }
}

fn read_credentials(
    key: &str,
    file: &Path,
    read: &dyn Fn(&Path) -> Result<String, ConfigError>,
) -> Result<Credentials, ConfigError> {
    let in_file = |reason: &str| ConfigError::new(format!("{key}: {}: {reason}", file.display()));
    let properties =
        read(file).and_then(|text| Properties::parse(&text)).map_err(|error| in_file(&error.to_string()))?;
    let field = |name: &str| match properties.get(name) {
        Some(value) if !value.is_empty() => Ok(value.to_owned()),
        _ => Err(in_file(&format!("the line {name}=... is missing"))),
    };
    Ok(Credentials { user: field("username")?, password: Secret::new(field("password")?) })
}

fn tls(keys: &Keys<'_>) -> Result<Option<TlsFiles>, ConfigError> {
    if !keys.flag("zookeeper.ssl.client.enable")?.unwrap_or(false) {
        return Ok(None);
    }
    let identification = "zookeeper.ssl.endpoint.identification.algorithm";
    match keys.0.get(identification).map(str::trim) {
        None => {}
        Some(algorithm) if algorithm.eq_ignore_ascii_case("https") => {}
        Some(_) => {
            return Err(ConfigError::new(format!(
                "{identification} can only be HTTPS: host names are always verified. Give the servers certificates \
                 that name their hosts"
            )));
        }
    }
    for key in ["zookeeper.ssl.protocol", "zookeeper.ssl.enabled.protocols"] {
        let versions = keys.text(key)?.unwrap_or("TLSv1.2");
        if !versions.split(',').any(|version| matches!(version.trim(), "TLS" | "TLSv1.2" | "TLSv1.3")) {
            return Err(ConfigError::new(format!("{key}: only TLSv1.2 and TLSv1.3 are spoken")));
        }
    }
    if keys.flag("zookeeper.ssl.crl.enable")?.unwrap_or(false) {
        return Err(ConfigError::new(
            "zookeeper.ssl.crl.enable is not supported: append the revocation lists (PEM) to the truststore's file, \
             where they are honoured, and remove the key",
        ));
    }
    if keys.flag("zookeeper.ssl.ocsp.enable")?.unwrap_or(false) {
        return Err(ConfigError::new("zookeeper.ssl.ocsp.enable is not supported: remove the key to go without OCSP"));
    }
    let truststore = pem_store(keys, "truststore", "-nokeys")?.ok_or_else(|| {
        ConfigError::new(
            "zookeeper.ssl.truststore.location is missing: name a PEM file with the certificates of the authorities \
             that signed the servers' certificates",
        )
    })?;
    Ok(Some(TlsFiles { truststore, keystore: pem_store(keys, "keystore", "-nodes")? }))
}

/// The location of a store, if its type is PEM. Java's own formats are refused with the way out.
fn pem_store(keys: &Keys<'_>, store: &str, export: &str) -> Result<Option<PathBuf>, ConfigError> {
    let key = format!("zookeeper.ssl.{store}.location");
    let Some(location) = keys.text(&key)? else { return Ok(None) };
    let file = PathBuf::from(location);
    let suffix = file.extension().and_then(|suffix| suffix.to_str()).unwrap_or_default().to_ascii_lowercase();
    let declared = keys.text(&format!("zookeeper.ssl.{store}.type"))?.map(str::to_ascii_uppercase);
    let kind = match (declared.as_deref(), suffix.as_str()) {
        (Some(kind), _) => kind.to_owned(),
        (None, "jks") => "JKS".to_owned(),
        (None, "p12" | "pfx" | "pkcs12") => "PKCS12".to_owned(),
        (None, "bcfks") => "BCFKS".to_owned(),
        (None, _) => "PEM".to_owned(),
    };
    let to_pem = |from: &str| format!("openssl pkcs12 -in {from} {export} -out {store}.pem");
    let command = match kind.as_str() {
        "PEM" => return Ok(Some(file)),
        "PKCS12" => to_pem(location),
        _ => format!(
            "keytool -importkeystore -srckeystore {location} -destkeystore {store}.p12 -deststoretype PKCS12 && {}",
            to_pem(&format!("{store}.p12"))
        ),
    };
    Err(ConfigError::new(format!("{key} is a {kind} store, which can't be read here: convert to PEM with `{command}`")))
}

fn password_encoder(keys: &Keys<'_>) -> Result<Option<PasswordEncoderSettings>, ConfigError> {
    let secret = |key| Ok::<_, ConfigError>(keys.text(key)?.map(Secret::new));
    let Some(current) = secret(ENCODER_SECRET)? else { return Ok(None) };
    let encoding = PasswordEncoding::new(
        keys.text("password.encoder.keyfactory.algorithm")?,
        keys.text("password.encoder.cipher.algorithm")?,
        keys.at_least("password.encoder.key.length", 8)?,
        keys.at_least("password.encoder.iterations", 1024)?,
    )
    .map_err(|error| ConfigError::new(error.to_string()))?;
    let old_secret = secret("password.encoder.old.secret")?;
    Ok(Some(PasswordEncoderSettings { secret: current, old_secret, encoding }))
}

fn notes(keys: &Keys<'_>) -> Result<Vec<String>, ConfigError> {
    let mut notes = Vec::new();
    for key in keys.0.keys().filter(|key| key.starts_with("zookeeper.") && !KNOWN_KEYS.contains(key)) {
        match IGNORED_KEYS.iter().find(|(ignored, _)| *ignored == key) {
            Some((_, reason)) => notes.push(format!("{key} has no effect: {reason}")),
            None => notes.push(format!("{key} is not a key that is known here: it has no effect")),
        }
    }
    let secret = keys.text(ENCODER_SECRET)?.is_some();
    for key in keys.0.keys().filter(|key| key.starts_with("password.encoder.") && *key != ENCODER_SECRET) {
        if !ENCODER_KEYS.contains(&key) {
            notes.push(format!("{key} is not a key that is known here: it has no effect"));
        } else if !secret {
            notes.push(format!("{key} has no effect: {ENCODER_SECRET} is not set"));
        }
    }
    if let Some(socket) = keys.text("zookeeper.clientCnxnSocket")?
        && socket != NETTY_SOCKET
        && keys.flag("zookeeper.ssl.client.enable")?.unwrap_or(false)
    {
        notes.push(format!("zookeeper.clientCnxnSocket is not {NETTY_SOCKET}: Kafka's own client won't speak TLS"));
    }
    if keys.text("zookeeper.ssl.keystore.location")?.is_some()
        && !keys.flag("zookeeper.ssl.client.enable")?.unwrap_or(false)
    {
        notes.push("zookeeper.ssl.keystore.location has no effect: zookeeper.ssl.client.enable is not true".to_owned());
    }
    Ok(notes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::znode::password;

    fn settings(text: &str) -> Result<ZkSettings, String> {
        let read = |file: &Path| match file.to_str() {
            Some("good") => Ok("username=kafka\npassword=secret word".to_owned()),
            Some("half") => Ok("username=kafka".to_owned()),
            _ => Err(ConfigError::new("no such file")),
        };
        let properties = Properties::parse(text).map_err(|error| error.to_string())?;
        ZkSettings::from_properties(&properties, &read).map_err(|error| error.to_string())
    }

    #[test]
    fn absent_keys_have_kafkas_defaults() {
        let settings = settings("zookeeper.connect=zk:2181/kafka").unwrap();
        assert_eq!(settings.client.connect.to_string(), "zk:2181/kafka");
        assert_eq!(settings.client.session_timeout, Duration::from_millis(18_000));
        assert_eq!(settings.client.connection_timeout, Duration::from_millis(18_000));
        assert_eq!((settings.secure_acls, settings.max_in_flight, settings.migration_enable), (false, 10, None));
        assert_eq!((settings.password_encoder, settings.client.tls, settings.notes), (None, None, vec![]));
    }

    #[test]
    fn the_connection_timeout_follows_the_session_timeout_unless_it_is_set() {
        let followed = settings("zookeeper.connect=zk\nzookeeper.session.timeout.ms=6000").unwrap();
        assert_eq!(followed.client.connection_timeout, Duration::from_millis(6000));
        let set =
            settings("zookeeper.connect=zk\nzookeeper.session.timeout.ms=6000\nzookeeper.connection.timeout.ms=1500");
        assert_eq!(set.unwrap().client.connection_timeout, Duration::from_millis(1500));
    }

    #[test]
    fn everything_that_is_understood_is_taken_over() {
        let settings = settings(
            "zookeeper.connect=zk\nzookeeper.set.acl=TRUE\nzookeeper.max.in.flight.requests=20\n\
             zookeeper.metadata.migration.enable=true\nzookeeper.auth.sasl.file=good\nzookeeper.ssl.client.enable=true\n\
             zookeeper.clientCnxnSocket=org.apache.zookeeper.ClientCnxnSocketNetty\n\
             zookeeper.ssl.truststore.location=/t.pem\nzookeeper.ssl.keystore.location=/k\n\
             zookeeper.ssl.keystore.type=pem\npassword.encoder.secret=s\npassword.encoder.iterations=2048",
        )
        .unwrap();
        assert!(settings.secure_acls);
        assert_eq!((settings.max_in_flight, settings.migration_enable), (20, Some(true)));
        assert_eq!(settings.client.sasl.map(|sasl| sasl.password.expose().to_owned()).as_deref(), Some("secret word"));
        assert_eq!(settings.client.tls, Some(TlsFiles { truststore: "/t.pem".into(), keystore: Some("/k".into()) }));
        let encoder = settings.password_encoder.unwrap();
        assert_eq!(encoder.secret.expose(), "s");
        assert_eq!(encoder.encoding, PasswordEncoding::new(None, None, None, Some(2048)).unwrap());
        assert_eq!(settings.notes, Vec::<String>::new());
    }

    #[test]
    fn passwords_are_encoded_as_it_is_configured() {
        let settings = settings(
            "zookeeper.connect=zk\npassword.encoder.secret=new\npassword.encoder.old.secret=old\n\
             password.encoder.keyfactory.algorithm=PBKDF2WithHmacSHA256\n\
             password.encoder.cipher.algorithm=AES/GCM/NoPadding\npassword.encoder.key.length=256\n\
             password.encoder.iterations=10000",
        )
        .unwrap();
        let secret = settings.password_encoder.unwrap().password_secret();
        let text = password::encode("hunter2", "/config/brokers/1", "k", &secret);
        for part in ["PBKDF2WithHmacSHA256", "AES/GCM/NoPadding", "keyLength:256", "iterations:10000"] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        let old = password::encode("hunter2", "/config/brokers/1", "k", &PasswordSecret::new("old"));
        assert_eq!(password::decode(&old, &secret).as_deref(), Ok("hunter2"));
    }

    #[test]
    fn what_cannot_be_honoured_is_refused_with_the_remedy() {
        let tls = "zookeeper.ssl.client.enable=true\nzookeeper.ssl.truststore.location=/t.pem\n";
        for (text, parts) in [
            ("zookeeper.connec=zk".to_owned(), &["zookeeper.connect is missing"][..]),
            ("zookeeper.connect=${file:/a:b}".to_owned(), &["config provider"]),
            ("zookeeper.session.timeout.ms=0".to_owned(), &["must be above 0"]),
            ("zookeeper.session.timeout.ms=-1".to_owned(), &["must be above 0"]),
            ("zookeeper.session.timeout.ms=99999999999".to_owned(), &["no number in range"]),
            ("zookeeper.max.in.flight.requests=0".to_owned(), &["at least 1"]),
            ("zookeeper.set.acl=yes".to_owned(), &["must be true or false"]),
            ("zookeeper.set.acl=true".to_owned(), &["needs an identity"]),
            // Neither a digest identity nor TLS without our own certificate is one that the brokers can share.
            ("zookeeper.set.acl=true\nzookeeper.auth.digest.file=good".to_owned(), &["needs an identity"]),
            (format!("zookeeper.set.acl=true\n{tls}"), &["needs an identity"]),
            ("zookeeper.auth.sasl.file=gone".to_owned(), &["zookeeper.auth.sasl.file", "no such file"]),
            ("zookeeper.auth.sasl.file=half".to_owned(), &["password=... is missing"]),
            ("zookeeper.ssl.client.enable=true".to_owned(), &["truststore.location is missing"]),
            (format!("{tls}zookeeper.ssl.endpoint.identification.algorithm="), &["always verified"]),
            (format!("{tls}zookeeper.ssl.enabled.protocols=TLSv1.1"), &["only TLSv1.2 and TLSv1.3"]),
            (format!("{tls}zookeeper.ssl.crl.enable=true"), &["revocation lists"]),
            (format!("{tls}zookeeper.ssl.ocsp.enable=true"), &["OCSP"]),
            (
                format!("{tls}zookeeper.ssl.keystore.location=/k.p12"),
                &["PKCS12", "`openssl pkcs12 -in /k.p12 -nodes -out keystore.pem`"],
            ),
            (
                format!("{tls}zookeeper.ssl.truststore.type=JKS"),
                &["JKS", "keytool -importkeystore -srckeystore /t.pem", "-nokeys -out truststore.pem"],
            ),
            ("password.encoder.secret=s\npassword.encoder.iterations=10".to_owned(), &["at least 1024"]),
            (
                "password.encoder.secret=s\npassword.encoder.cipher.algorithm=DES/CBC/PKCS5Padding".to_owned(),
                &["password.encoder.cipher.algorithm", "use AES/CBC/PKCS5Padding"],
            ),
            (
                "password.encoder.secret=s\npassword.encoder.keyfactory.algorithm=PBEWithMD5AndDES".to_owned(),
                &["password.encoder.keyfactory.algorithm", "use PBKDF2WithHmacSHA512"],
            ),
            ("password.encoder.secret=s\npassword.encoder.key.length=64".to_owned(), &["password.encoder.key.length"]),
        ] {
            let text = if text.contains("connec") { text } else { format!("zookeeper.connect=zk\n{text}") };
            let error = settings(&text).unwrap_err();
            for part in parts {
                assert!(error.contains(part), "{text}\n{error}");
            }
        }
    }

    #[test]
    fn keys_without_effect_are_reported() {
        let settings = settings(
            "zookeeper.connect=zk\nzookeeper.sesion.timeout.ms=1\nzookeeper.ssl.cipher.suites=A\n\
             zookeeper.ssl.keystore.location=/k.pem\nbroker.id=1\npassword.encoder.iterations=2048\n\
             password.encoder.itterations=1",
        )
        .unwrap();
        let all = settings.notes.join("\n");
        assert_eq!(settings.notes.len(), 5, "{all}");
        assert!(all.contains("password.encoder.iterations has no effect: password.encoder.secret is not set"));
        assert!(all.contains("password.encoder.itterations is not a key"));
        assert!(all.contains("zookeeper.sesion.timeout.ms is not a key"));
        assert!(all.contains("zookeeper.ssl.cipher.suites has no effect"));
        assert!(all.contains("zookeeper.ssl.keystore.location has no effect"));
    }

    #[test]
    fn no_secret_is_shown_by_debug_or_errors() {
        let shown = settings("zookeeper.connect=zk\nzookeeper.auth.sasl.file=good\npassword.encoder.secret=hunter2");
        let shown = format!("{:?}", shown.unwrap());
        assert!(!shown.contains("secret word") && !shown.contains("hunter2"), "{shown}");
        let error = settings("zookeeper.connect=zk\nzookeeper.max.in.flight.requests=hunter2").unwrap_err();
        assert!(!error.contains("hunter2"));
    }
}
