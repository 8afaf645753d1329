//! `/delegation_token/tokens/<id>` (Kafka: `DelegationTokenInfoZNode`). The token's HMAC is stored nowhere.

use bytes::Bytes;
use metadata_core::id::TimestampMs;

use super::acl::principal;
use super::json::{Object, ObjectWriter};
use super::{Malformed, name};

/// A delegation token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenZnode {
    /// Its id, as the data say; the same as the znode's name.
    pub token_id: String,
    /// `User:alice`.
    pub owner: String,
    /// Who asked for it; the owner below version 3.
    pub requester: String,
    /// Who may renew it.
    pub renewers: Vec<String>,
    /// When it was made.
    pub issue_timestamp: TimestampMs,
    /// When it can't be renewed any more.
    pub max_timestamp: TimestampMs,
    /// When it expires unless renewed.
    pub expiry_timestamp: TimestampMs,
}

/// Principals are sanitised inside the JSON too.
fn stored_principal(text: &str) -> Result<String, Malformed> {
    let decoded = name::desanitise(text)?;
    principal(&decoded)?;
    Ok(decoded)
}

impl TokenZnode {
    /// Decodes versions 1 to 3.
    ///
    /// # Errors
    /// Another version, not a JSON object, a value missing or of the wrong type, a principal that is none.
    pub fn decode(data: &[u8]) -> Result<Self, Malformed> {
        let json = Object::parse(data)?;
        let version = json.int("version")?;
        if !(1..=3).contains(&version) {
            return Err(Malformed::new(format!("version {version} is unknown, expected 1 to 3")));
        }
        let owner = stored_principal(json.string("owner")?)?;
        let requester = match version {
            3 => stored_principal(json.string("tokenRequester")?)?,
            _ => owner.clone(),
        };
        Ok(Self {
            token_id: json.string("tokenId")?.to_owned(),
            owner,
            requester,
            renewers: json.strings("renewers")?.into_iter().map(stored_principal).collect::<Result<_, _>>()?,
            issue_timestamp: TimestampMs(json.long("issueTimestamp")?),
            max_timestamp: TimestampMs(json.long("maxTimestamp")?),
            expiry_timestamp: TimestampMs(json.long("expiryTimestamp")?),
        })
    }

    /// Encodes it as version 3.
    pub fn encode(&self) -> Bytes {
        let renewers: Vec<String> = self.renewers.iter().map(|renewer| name::sanitise(renewer)).collect();
        ObjectWriter::new()
            .int("version", 3)
            .string("owner", &name::sanitise(&self.owner))
            .string("tokenRequester", &name::sanitise(&self.requester))
            .strings("renewers", renewers.iter().map(String::as_str))
            .int("issueTimestamp", self.issue_timestamp.0)
            .int("maxTimestamp", self.max_timestamp.0)
            .int("expiryTimestamp", self.expiry_timestamp.0)
            .string("tokenId", &self.token_id)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn kafkas_form_is_read_and_written() {
        let json = r#"{"version":3,"owner":"User%3Aalice","tokenRequester":"User%3Abob","renewers":["User%3Acarol"],"issueTimestamp":1729500000000,"maxTimestamp":1730104800000,"expiryTimestamp":1729586400000,"tokenId":"w2bZ9iV2T9W0k0Z3dCkO3A"}"#;
        let token = TokenZnode::decode(json.as_bytes()).unwrap();
        assert_eq!(token.owner, "User:alice");
        assert_eq!(token.requester, "User:bob");
        assert_eq!(token.renewers, ["User:carol"]);
        assert_eq!(token.expiry_timestamp, TimestampMs(1_729_586_400_000));
        assert_eq!(token.encode(), json);
    }

    #[test]
    fn below_version_3_the_owner_asked() {
        for version in [1, 2] {
            let json = format!(
                r#"{{"version":{version},"owner":"User%3Aalice","renewers":[],"issueTimestamp":1,"maxTimestamp":2,"expiryTimestamp":3,"tokenId":"t"}}"#
            );
            assert_eq!(TokenZnode::decode(json.as_bytes()).unwrap().requester, "User:alice");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let token = |version: &str, owner: &str, issued: &str| {
            format!(
                r#"{{"version":{version},"owner":"{owner}","renewers":[],"issueTimestamp":{issued},"maxTimestamp":2,"expiryTimestamp":3,"tokenId":"t"}}"#
            )
        };
        let cases = [
            (token("4", "User%3Aalice", "1"), "version 4"),
            (token("0", "User%3Aalice", "1"), "version 0"),
            (token("3", "User%3Aalice", "1"), "`tokenRequester`"),
            (token("1", "alice", "1"), "type:name"),
            (token("1", "User%3", "1"), "%"),
            (token("1", "User%3Aalice", "\"1\""), "`issueTimestamp`"),
        ];
        for (json, reason) in cases {
            let error = TokenZnode::decode(json.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(reason), "{json}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_token_survives_the_round_trip(
            token_id: String,
            people in proptest::collection::vec("[A-Z][a-z]*:.*", 2..5),
            times: (i64, i64, i64),
        ) {
            let token = TokenZnode {
                token_id,
                owner: people[0].clone(),
                requester: people[1].clone(),
                renewers: people[2..].to_vec(),
                issue_timestamp: TimestampMs(times.0),
                max_timestamp: TimestampMs(times.1),
                expiry_timestamp: TimestampMs(times.2),
            };
            prop_assert_eq!(TokenZnode::decode(&token.encode()), Ok(token));
        }
    }
}
