//! What the active controller decides, as pure functions: an image in, records and an answer out. Nothing here waits, knows
//! the time, or writes.

pub mod alter_partition;
pub mod assign_directories;
pub mod elections;
pub mod partition;
pub mod producer_ids;
#[cfg(test)]
pub(crate) mod testkit;
pub mod unregister;

use metadata_core::image::MetadataImage;
use metadata_core::record::{MetadataRecord, VersionedRecord, record_version};

/// Records to be written, in one append, and what is answered once they are.
#[derive(Debug, Clone, PartialEq)]
pub struct Decided<A> {
    /// None if nothing needs to be written.
    pub records: Vec<MetadataRecord>,
    /// The answer.
    pub answer: A,
}

impl<A> Decided<A> {
    /// An answer for which nothing is written.
    pub fn answer(answer: A) -> Self {
        Self { records: Vec::new(), answer }
    }
}

/// The records in the versions that the image's metadata version has.
pub fn versioned(records: Vec<MetadataRecord>, image: &MetadataImage) -> Vec<VersionedRecord> {
    let version = image.metadata_version_or_lowest();
    let versioned = |record: MetadataRecord| {
        let version = record_version(&record, version);
        VersionedRecord::new(record, version)
    };
    records.into_iter().map(versioned).collect()
}
