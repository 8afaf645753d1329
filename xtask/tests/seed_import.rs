//! The seed and the importer know nothing of each other. What the seed says that a correct import makes of it is what the
//! import makes of it.

use std::collections::BTreeMap;

use metadata_core::id::ZkVersion;
use metadata_core::metadata_version::MetadataVersion;
use store_zk::import::{ImportContext, import_tree};
use store_zk::znode::Znode;
use store_zk::znode::password::PasswordSecret;
use xtask::seed::{Blueprint, PASSWORD_ENCODER_SECRET, SeedOptions};

#[test]
fn the_importer_makes_what_the_manifest_expects() {
    let sizes = [(1, 6, 3, true), (2, 1, 1, true), (3, 2, 1, true), (4, 4, 4, true), (5, 6, 3, false)];
    for (seed, brokers, replication_factor, awkward) in sizes {
        let options = SeedOptions { topics: 200, brokers, replication_factor, seed, awkward, ..SeedOptions::default() };
        let blueprint = Blueprint::new(options).unwrap();
        let tree: BTreeMap<String, Znode> =
            blueprint.nodes().map(|node| (node.path, Znode::new(node.data, ZkVersion(node.version)))).collect();
        let secret = Some(PasswordSecret::new(PASSWORD_ENCODER_SECRET));
        let context = ImportContext { secret, metadata_version: MetadataVersion::V3_9_IV0 };
        let (records, imported) = import_tree(&tree, context).unwrap();

        let expected = blueprint.manifest();
        assert_eq!(imported.manifest.records, expected.expected_records.by_type());
        assert_eq!(records.len() as u64, expected.expected_records.total());
        assert_eq!(imported.manifest.pending_deletions, expected.pending_deletions.len() as u64);
    }
}
