//! Delegation tokens.

use metadata_core::metadata_version::MetadataVersion;
use metadata_core::record::DelegationTokenRecord;

use super::{Importer, Step};
use crate::znode::token::TokenZnode;
use crate::znode::{Malformed, Znode};

impl Importer {
    /// A znode without data gives no record, as in Kafka: it is a token that was being made.
    pub(super) fn token(&mut self, id: &str, znode: &Znode) -> Step {
        let Some(data) = znode.content() else { return Ok(Vec::new()) };
        let version = self.context.metadata_version;
        if !version.supports_delegation_tokens() {
            return Err(Malformed::new(format!(
                "metadata.version {version} can't hold delegation tokens: use {} or later",
                MetadataVersion::V3_6_IV2
            )));
        }
        let token = TokenZnode::decode(data)?;
        if token.token_id != id {
            return Err(Malformed::new(format!("`tokenId` {:?} is not the znode's name", token.token_id)));
        }
        let record = DelegationTokenRecord {
            owner: token.owner,
            requester: token.requester,
            renewers: token.renewers,
            issue_timestamp: token.issue_timestamp,
            max_timestamp: token.max_timestamp,
            expiration_timestamp: token.expiry_timestamp,
            token_id: token.token_id,
            ..Default::default()
        };
        Ok(vec![record.into()])
    }
}
