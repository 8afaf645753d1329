//! Quotas and SCRAM credentials: `/config/users`, `/config/clients`, `/config/ips`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::configs;
use super::name::{self, entity};
use super::node::{Family, RecordCounts, SeedNode};
use super::random::Random;

/// Quota keys and their values, spelled as Kafka spells them: whole numbers for rates of bytes and connections, Java's
/// doubles for the others.
type Quotas = &'static [(&'static str, &'static str)];

#[derive(Debug, Clone, Copy)]
enum Mechanism {
    Sha256,
    Sha512,
}
use Mechanism::{Sha256, Sha512};

/// One znode below `/config/users`, and those below it.
struct User {
    /// None is the default user.
    name: Option<&'static str>,
    quotas: Quotas,
    scram: &'static [Mechanism],
    /// Quotas of the user and a client id together; the client id's name, or none for the default client.
    clients: &'static [(Option<&'static str>, Quotas)],
    why: Option<&'static str>,
}

const PLAIN_USER: User = User { name: None, quotas: &[], scram: &[], clients: &[], why: None };

const USERS: &[User] = &[
    User { quotas: &[("consumer_byte_rate", "20971520"), ("producer_byte_rate", "10485760")], ..PLAIN_USER },
    User { name: Some("billing"), scram: &[Sha256, Sha512], ..PLAIN_USER },
    User {
        name: Some("checkout"),
        quotas: &[("producer_byte_rate", "52428800"), ("request_percentage", "58.58")],
        scram: &[Sha512],
        clients: &[
            (Some("checkout-web"), &[("producer_byte_rate", "1048576")]),
            (None, &[("consumer_byte_rate", "2097152"), ("request_percentage", "200.0")]),
        ],
        ..PLAIN_USER
    },
    User {
        name: Some("provisioning"),
        quotas: &[("controller_mutation_rate", "12.5")],
        scram: &[Sha256],
        ..PLAIN_USER
    },
    User { name: Some("reporting"), clients: &[(Some("nightly"), &[("consumer_byte_rate", "1024")])], ..PLAIN_USER },
];

const AWKWARD_USERS: &[User] = &[
    User {
        name: Some("user/1@EXAMPLE.COM"),
        quotas: &[("consumer_byte_rate", "4096")],
        scram: &[Sha256],
        clients: &[(Some("client/1@domain"), &[("request_percentage", "0.01")])],
        why: Some("a Kerberos principal: slash and at sign are encoded in the path"),
    },
    User {
        name: Some("CN=Größe 1,OU=日本,O=Example"),
        quotas: &[("controller_mutation_rate", "1.0E7")],
        why: Some("a certificate's name: letters of several bytes, and a number as Java prints it"),
        ..PLAIN_USER
    },
    User {
        name: Some("a b+c*d~e%f"),
        scram: &[Sha512],
        why: Some("each of the characters that form encoding treats in a way of its own"),
        ..PLAIN_USER
    },
    User {
        name: Some(name::DEFAULT),
        quotas: &[("producer_byte_rate", "1")],
        why: Some("a user who is really called <default>"),
        ..PLAIN_USER
    },
    User { name: Some("former"), why: Some("all properties were removed, the znode stays"), ..PLAIN_USER },
];

const CLIENTS: &[(Option<&str>, Quotas, Option<&str>)] = &[
    (None, &[("consumer_byte_rate", "10485760"), ("producer_byte_rate", "10485760")], None),
    (Some("mirror-maker"), &[("request_percentage", "400.0")], None),
    (Some("nightly"), &[("consumer_byte_rate", "9223372036854775807")], None),
];

const AWKWARD_CLIENTS: &[(Option<&str>, Quotas, Option<&str>)] = &[
    (Some("web shop #1 (50%)"), &[("producer_byte_rate", "1000")], Some("spaces and punctuation in a client id")),
    (Some("former"), &[], Some("all properties were removed, the znode stays")),
];

const IPS: &[(Option<&str>, Quotas, Option<&str>)] = &[
    (None, &[("connection_creation_rate", "100")], None),
    (Some("192.0.2.7"), &[("connection_creation_rate", "20")], None),
];

const AWKWARD_IPS: &[(Option<&str>, Quotas, Option<&str>)] =
    &[(Some("2001:db8::7"), &[("connection_creation_rate", "2147483647")], Some("colons of an IPv6 address"))];

/// Everything below `/config/users`, `/config/clients` and `/config/ips`.
pub(super) fn nodes(seed: u64, awkward: bool) -> impl Iterator<Item = SeedNode> {
    let mut random = Random::of(seed, "quotas and credentials", 0);
    let mut nodes = Vec::new();
    for user in USERS.iter().chain(if awkward { AWKWARD_USERS } else { &[] }) {
        nodes.extend(user_nodes(user, &mut random));
    }
    let families = [
        (Family::Clients, "/config/clients", CLIENTS, AWKWARD_CLIENTS),
        (Family::Ips, "/config/ips", IPS, AWKWARD_IPS),
    ];
    for (family, root, plain, strange) in families {
        for (name, quotas, why) in plain.iter().chain(if awkward { strange } else { &[] }) {
            let path = format!("{root}/{}", entity(*name));
            nodes.push(quota_node(family, path, quotas, &mut random).awkward(*why));
        }
    }
    nodes.into_iter()
}

fn user_nodes(user: &User, random: &mut Random) -> Vec<SeedNode> {
    let path = format!("/config/users/{}", entity(user.name));
    let mut properties = owned(user.quotas);
    properties.extend(user.scram.iter().map(|mechanism| credential(*mechanism, random)));
    let records = RecordCounts {
        client_quota_record: user.quotas.len() as u64,
        user_scram_credential_record: user.scram.len() as u64,
        ..Default::default()
    };
    // Kafka makes a user's znode without data when only its clients have quotas.
    let parent_only = properties.is_empty() && !user.clients.is_empty();
    let data = if parent_only { String::new() } else { configs::entity(&properties, random) };
    let mut nodes = vec![SeedNode::new(Family::Users, path.clone(), data).making(records).awkward(user.why)];
    if !user.clients.is_empty() {
        nodes.push(SeedNode::parent(Family::Users, format!("{path}/clients")));
    }
    for (client, quotas) in user.clients {
        let path = format!("{path}/clients/{}", entity(*client));
        nodes.push(quota_node(Family::Users, path, quotas, random));
    }
    nodes
}

fn quota_node(family: Family, path: String, quotas: Quotas, random: &mut Random) -> SeedNode {
    let records = RecordCounts { client_quota_record: quotas.len() as u64, ..Default::default() };
    SeedNode::new(family, path, configs::entity(&owned(quotas), random)).making(records)
}

fn owned(quotas: Quotas) -> Vec<(String, String)> {
    quotas.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// A credential as Kafka writes it (`ScramCredentialUtils`). Salt and keys are mere numbers: they belong to no password.
fn credential(mechanism: Mechanism, random: &mut Random) -> (String, String) {
    let (name, length, iterations) = match mechanism {
        Sha256 => ("SCRAM-SHA-256", 32, 8192),
        Sha512 => ("SCRAM-SHA-512", 64, 4096),
    };
    let mut base64 = |length| STANDARD.encode(random.bytes(length));
    let (salt, stored_key, server_key) = (base64(26), base64(length), base64(length));
    let mut fields = [
        format!("salt={salt}"),
        format!("stored_key={stored_key}"),
        format!("server_key={server_key}"),
        format!("iterations={iterations}"),
    ];
    random.shuffle(&mut fields);
    (name.to_owned(), fields.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_entity_is_there_with_and_without_a_name() {
        let paths: Vec<_> = nodes(1, true).map(|node| node.path).collect();
        for path in [
            "/config/users/<default>",
            "/config/users/%3Cdefault%3E",
            "/config/users/checkout/clients/<default>",
            "/config/users/user%2F1%40EXAMPLE.COM/clients/client%2F1%40domain",
            "/config/clients/<default>",
            "/config/ips/2001%3Adb8%3A%3A7",
        ] {
            assert!(paths.iter().any(|p| p == path), "{path}");
        }
    }

    #[test]
    fn credentials_have_kafkas_four_fields_and_keys_of_their_hash() {
        for (mechanism, length) in [(Sha256, 32), (Sha512, 64)] {
            let (_, text) = credential(mechanism, &mut Random::of(1, "test", 0));
            let fields: std::collections::BTreeMap<_, _> =
                text.split(',').map(|field| field.split_once('=').unwrap()).collect();
            assert_eq!(fields.keys().copied().collect::<Vec<_>>(), ["iterations", "salt", "server_key", "stored_key"]);
            for key in ["server_key", "stored_key"] {
                assert_eq!(STANDARD.decode(fields[key]).unwrap().len(), length);
            }
        }
    }
}
