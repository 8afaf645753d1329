//! Delegation tokens, in the three versions of their JSON.

use super::json::{Object, array, quote};
use super::name::sanitised;
use super::node::{Family, RecordCounts, SeedNode};
use super::random::Random;

const HOUR_MS: i64 = 3_600_000;
/// Kafka's default lifetime of a token.
const LIFETIME_MS: i64 = 7 * 24 * HOUR_MS;

struct Token {
    version: i64,
    owner: &'static str,
    /// Written from version 3 on; before that the owner was always the requester.
    requester: Option<&'static str>,
    renewers: &'static [&'static str],
    why: Option<&'static str>,
}

const TOKENS: &[Token] = &[
    Token {
        version: 3,
        owner: "User:reporting",
        requester: Some("User:provisioning"),
        renewers: &["User:provisioning", "User:billing"],
        why: None,
    },
    Token { version: 3, owner: "User:billing", requester: Some("User:billing"), renewers: &[], why: None },
];

const AWKWARD_TOKENS: &[Token] = &[
    Token {
        version: 1,
        owner: "User:checkout",
        requester: None,
        renewers: &["User:provisioning"],
        why: Some("version 1, without a requester"),
    },
    Token {
        version: 2,
        owner: "User:user/1@EXAMPLE.COM",
        requester: None,
        renewers: &[],
        why: Some("version 2, without a requester; the owner is encoded"),
    },
    Token {
        version: 3,
        owner: "User:CN=Größe 1,OU=日本,O=Example",
        requester: Some("User:a b+c*d~e%f"),
        renewers: &["User:CN=Größe 1,OU=日本,O=Example"],
        why: Some("principals of several words and bytes, encoded"),
    },
];

/// The tokens' znodes. `now_ms` is the moment at which the cluster is frozen.
pub(super) fn nodes(seed: u64, awkward: bool, now_ms: i64) -> impl Iterator<Item = SeedNode> {
    TOKENS.iter().chain(if awkward { AWKWARD_TOKENS } else { &[] }).enumerate().map(move |(index, token)| {
        let mut random = Random::of(seed, "delegation token", index as u64);
        let id = random.uuid();
        let issued = now_ms - HOUR_MS * i64::from(random.below(100));
        let json = Object::default()
            .number("version", token.version)
            .raw("owner", principal(token.owner))
            .raw("renewers", array(token.renewers.iter().copied().map(principal)))
            .number("issueTimestamp", issued)
            .number("maxTimestamp", issued + LIFETIME_MS)
            .number("expiryTimestamp", issued + 24 * HOUR_MS)
            .text("tokenId", &id);
        let json = match token.requester {
            Some(requester) => json.raw("tokenRequester", principal(requester)),
            None => json,
        };
        SeedNode::new(Family::DelegationTokens, format!("/delegation_token/tokens/{id}"), json.shuffled(&mut random))
            .making(RecordCounts { delegation_token_record: 1, ..Default::default() })
            .awkward(token.why)
    })
}

fn principal(name: &str) -> String {
    quote(&sanitised(name))
}
