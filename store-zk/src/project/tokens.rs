//! Delegation tokens.

use std::sync::Arc;

use bytes::Bytes;
use imbl::ordmap::DiffItem;
use metadata_core::image::{DelegationToken, MetadataImage};
use metadata_core::store::Unrepresentable;

use super::planner::{Planner, loss};
use super::{Entity, ExpectedZnode};
use crate::znode::name::not_a_component;
use crate::znode::path;
use crate::znode::token::TokenZnode;

/// Why a token has no place, if it has none.
pub(super) fn lost(id: &str, token: &DelegationToken) -> Option<Unrepresentable> {
    let mut principals = [&token.owner, &token.requester].into_iter().chain(&token.renewers);
    let reason = if let Some(reason) = not_a_component(id) {
        format!("its id is no znode: {reason}")
    } else if !principals.all(|principal| principal.contains(':')) {
        "a principal is not of the form type:name".to_owned()
    } else {
        return None;
    };
    Some(loss(format!("delegation token {id:?}"), reason))
}

fn data(id: &str, token: &DelegationToken) -> Bytes {
    TokenZnode {
        token_id: id.to_owned(),
        owner: token.owner.to_string(),
        requester: token.requester.to_string(),
        renewers: token.renewers.iter().map(|renewer| renewer.to_string()).collect(),
        issue_timestamp: token.issue_timestamp,
        max_timestamp: token.max_timestamp,
        expiry_timestamp: token.expiration_timestamp,
    }
    .encode()
}

pub(super) fn node(image: &MetadataImage, id: &str) -> Option<ExpectedZnode> {
    let token = image.tokens().get(id).filter(|token| lost(id, token).is_none())?;
    Some(ExpectedZnode::with_data(path::token(id), data(id, token)))
}

pub(super) fn project(before: &MetadataImage, after: &MetadataImage, planner: &mut Planner<'_>) {
    for item in before.tokens().diff(after.tokens()) {
        let (id, old, new) = match item {
            DiffItem::Add(id, new) => (id, None, Some(new)),
            DiffItem::Remove(id, old) => (id, Some(old), None),
            DiffItem::Update { old: (id, old), new: (_, new) } => (id, Some(old), Some(new)),
        };
        let placed = |token: &&Arc<DelegationToken>| lost(id, token).is_none();
        let entity = Entity::Token(Arc::clone(id));
        planner.replace(&entity, &path::token(id), old.filter(placed), new.filter(placed), |token| data(id, token));
        planner.unrepresentable(new.and_then(|token| lost(id, token)));
    }
}
