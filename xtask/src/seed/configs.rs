//! Configs of brokers, and the shape that all config znodes share.

use super::json::Object;
use super::name;
use super::node::{Family, RecordCounts, SeedNode};
use super::random::Random;

/// The secret that reads the encoded passwords of the seed. It protects nothing: set `password.encoder.secret` to it.
pub const PASSWORD_ENCODER_SECRET: &str = "seed-demo-secret";

/// `keystore-demo-password`, as Kafka's `PasswordEncoder` writes it with [`PASSWORD_ENCODER_SECRET`] and its defaults.
///
/// Made once, apart from this repository's own encoder: PBKDF2 with HMAC-SHA-512 over the secret by Python's `hashlib`,
/// AES-128 in CBC mode by `openssl enc`. Kafka 3.9.1 decodes it.
const ENCODED_KEYSTORE_PASSWORD: &str = "keyFactoryAlgorithm:PBKDF2WithHmacSHA512,\
    initializationVector:pFstIXpJljynRf1quxOEjQ==,cipherAlgorithm:AES/CBC/PKCS5Padding,keyLength:128,\
    salt:N2DMwJYnxM2vPht06jg9SKs53xe7Ien+RVAM4xu1iAPd0aedWsJyLTSMAPKb0tU9fyb73gyEV5bR6GUkwRH7tnZS17gt/E9Fhqanqcb+xNRQ\
    pBsMDthQT05D9RVxUwLziPReYi3iYRfhR/7VOsVuN89bbXELhvLGzO+JCJjYtceBbxhfomOpRB4m3Ez/FLsGb5M6qgFU1w4U5S1BH0isx6aksNtj\
    UcJOw7sJTzVbawqacMCF/7zshywsP1NBhNnpv5fxKCFQP9gnQHTW77AVXNKKLFUdLULkSxgZRHArYX7+bKVLd6H1lnd6Jq/ZCEeZekk6HuA9rfOC\
    gegTJJExpw==,iterations:4096,encryptedPassword:kbzqWpwADBlvjf5AjRmS1xIl+lFod+pX3DhjtBe9H4E=,passwordLength:22";

/// A login for brokers, as the last one. Its text holds what a parser could trip over: spaces, quotes, a semicolon.
///
/// `org.apache.kafka.common.security.scram.ScramLoginModule required username="demo" password="jaas-demo-password";`
const ENCODED_JAAS_CONFIG: &str = "keyFactoryAlgorithm:PBKDF2WithHmacSHA512,\
    initializationVector:kT3WS5o1ebMYc97XaV9YDw==,cipherAlgorithm:AES/CBC/PKCS5Padding,keyLength:128,\
    salt:m0oZuZUqzm/RLRYrUEwpAd3ZGB90M/+xFX/EQZU8t5U3Wa2tfB++ANDkeQKqaRJHF2EbyQAPUcYKPWhYveajlC0/k+drH/JMzaGxQrTmJPvI\
    jSimqlEDFkj+bRmf+iXgyL1qpXrOQk8UJjUvaQSeimastIKIYCuqs1503G9aHd8UdRfqxP/bWXKpTzUZZ7o0tbGu3Nfo24p09ql+vou7pAc23CpY\
    eDiidZdMjYvdLbmme5f1GpZyNh254iSJKWcHqBlHFmqI2+GlbPAnmI6rmU7Dtq+5b7hXBiVDgKDQWHHtJYW2oLOzxK3f8fczFT609ip4sXa5iE7z\
    9ckr0ZHrEQ==,iterations:4096,encryptedPassword:rh1Zrdgm33IFtUJ4IR9WkWuYbABtIEKsr0lCKZYOM9eLbb2Z5FBLXvX0OuCfc8g5LG\
    UkTyR3CMg4+52vEKwAxghKoAOiUyp5vVv03pLBIIvy7sgkJ7dPN2a0ringqRfmi5yWYw53S7y6q5ZuyY2bjQ==,passwordLength:111";

/// A config znode: `{"version":1,"config":{...}}`, every value a text.
pub(super) fn entity(entries: &[(String, String)], random: &mut Random) -> String {
    let config = entries.iter().fold(Object::default(), |config, (key, value)| config.text(key, value));
    let config = config.shuffled(random);
    Object::default().number("version", 1).raw("config", config).shuffled(random)
}

/// Broker 1 (or the default), its configs, and what is unusual about them.
type BrokerConfig = (Option<u32>, &'static [(&'static str, &'static str)], Option<&'static str>);

const BROKERS: &[BrokerConfig] = &[
    (
        None,
        &[
            ("log.cleaner.threads", "2"),
            ("message.max.bytes", "2097152"),
            ("num.io.threads", "16"),
            ("sasl.enabled.mechanisms", "SCRAM-SHA-256,SCRAM-SHA-512"),
        ],
        None,
    ),
    (
        Some(1),
        &[
            ("leader.replication.throttled.rate", "10485760"),
            ("listener.name.external.ssl.keystore.location", "/etc/kafka/broker-1.p12"),
            ("listener.name.external.ssl.keystore.password", ENCODED_KEYSTORE_PASSWORD),
            ("listener.name.internal.scram-sha-512.sasl.jaas.config", ENCODED_JAAS_CONFIG),
        ],
        Some("encoded passwords: reading them needs the password encoder's secret"),
    ),
    (Some(2), &[], Some("no overrides: the last one was removed")),
    (Some(3), &[("log.retention.ms", "86400000"), ("max.connections.per.ip", "200")], None),
];

/// Configs of brokers that exist.
pub(super) fn brokers(seed: u64, brokers: u32) -> impl Iterator<Item = SeedNode> {
    BROKERS.iter().enumerate().filter(move |(_, (id, ..))| id.is_none_or(|id| id <= brokers)).map(
        move |(index, (id, entries, why))| {
            let mut random = Random::of(seed, "broker config", index as u64);
            let entries: Vec<_> = entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            let name = id.map_or_else(|| name::DEFAULT.to_owned(), |id| id.to_string());
            SeedNode::new(Family::BrokerConfigs, format!("/config/brokers/{name}"), entity(&entries, &mut random))
                .making(RecordCounts::configs(entries.len()))
                .awkward(*why)
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoded_passwords_have_kafkas_fields() {
        for encoded in [ENCODED_KEYSTORE_PASSWORD, ENCODED_JAAS_CONFIG] {
            assert!(!encoded.contains(' '));
            let mut keys: Vec<_> = encoded.split(',').map(|pair| pair.rsplit_once(':').unwrap().0).collect();
            keys.sort_unstable();
            assert_eq!(
                keys,
                [
                    "cipherAlgorithm",
                    "encryptedPassword",
                    "initializationVector",
                    "iterations",
                    "keyFactoryAlgorithm",
                    "keyLength",
                    "passwordLength",
                    "salt"
                ]
            );
        }
    }

    #[test]
    fn only_brokers_that_exist_have_configs() {
        let paths = |count| brokers(1, count).map(|node| node.path).collect::<Vec<_>>();
        assert_eq!(paths(1), ["/config/brokers/<default>", "/config/brokers/1"]);
        assert_eq!(paths(9).len(), BROKERS.len());
    }
}
