//! The port that compares a projection of the log, znode by znode, with what it should be.

use std::collections::BTreeMap;

use async_trait::async_trait;

use crate::error::Result;
use crate::image::MetadataImage;

/// Counts of one family of entities.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FamilyCounts {
    /// Entities whose content was compared.
    pub compared: u64,
    /// Of these, how many had a part that may differ and was left out of the comparison.
    pub masked: u64,
    /// Entities that are no part of the projection and were not compared (notifications, say).
    pub ignored: u64,
    /// Entities that differ, are missing, or should not be there.
    pub divergent: u64,
}

/// One entity that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Which: the znode's path.
    pub entity: String,
    /// What the image says, secrets redacted; `None` when it should not be there.
    pub oracle: Option<String>,
    /// What is there, secrets redacted; `None` when it is missing.
    pub candidate: Option<String>,
}

/// The result of a comparison. "Divergent 0" means nothing without the other counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Counts by family.
    pub families: BTreeMap<String, FamilyCounts>,
    /// The first differences, in the order of their paths; at most the limit asked for.
    pub differences: Vec<Difference>,
    /// What stands under the roots and is not understood, by path: compared with nothing.
    pub unknown: Vec<String>,
}

impl Comparison {
    /// The counts of all families together.
    pub fn total(&self) -> FamilyCounts {
        self.families.values().fold(FamilyCounts::default(), |sum, family| FamilyCounts {
            compared: sum.compared + family.compared,
            masked: sum.masked + family.masked,
            ignored: sum.ignored + family.ignored,
            divergent: sum.divergent + family.divergent,
        })
    }
}

/// A store whose content is a function of the image.
#[async_trait]
pub trait Projection: Send + Sync {
    /// Walks **everything** under the projection's roots and compares it with `image`. Reads only. At most
    /// `differences_max` differences are listed; all are counted.
    ///
    /// # Errors
    /// `Unavailable`, `Unauthorized`. A malformed entity is a difference, not an error.
    async fn compare(&self, image: &MetadataImage, differences_max: usize) -> Result<Comparison>;
}
