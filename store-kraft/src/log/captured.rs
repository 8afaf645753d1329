//! What real controllers of Kafka 3.9 and 4.4 wrote, read: `testdata/captured`, whose README says how to capture it again.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use metadata_core::id::{DirectoryId, NodeId, Offset};
use metadata_core::image::{ImageLoader, MetadataDelta, MetadataImage};
use metadata_core::metadata_version::MetadataVersion;
use metadata_core::record::{ControlRecord, VersionedRecord};

use super::dump::{Dump, DumpItem, DumpedBatch, RecordContent};
use super::layout::SnapshotId;
use super::quorum_state::FoundQuorumState;
use super::snapshot::SnapshotReader;

const FOLDERS: [(&str, MetadataVersion); 4] = [
    ("3.9.2-static", MetadataVersion::V3_9_IV0),
    ("3.9.2-dynamic", MetadataVersion::V3_9_IV0),
    ("4.4.0-static", MetadataVersion::V4_4_IV2),
    ("4.4.0-dynamic", MetadataVersion::V4_4_IV2),
];

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/captured").join(name)
}

fn files(folder: &Path, end: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.to_str().unwrap().ends_with(end));
    files.sort();
    files
}

/// The batches of a file or folder; each record must be readable.
fn batches(path: &Path) -> Vec<(DumpedBatch, Vec<VersionedRecord>)> {
    let whole = |item| match item {
        Ok(DumpItem::Batch(batch)) => batch,
        other => panic!("{}: {other:?}", path.display()),
    };
    let metadata = |batch: &DumpedBatch| {
        let records = batch.records.iter().filter_map(|record| match record.content.as_ref().unwrap() {
            RecordContent::Metadata(record) => Some(record.clone()),
            RecordContent::Control(_) => None,
        });
        records.collect()
    };
    let pair = |batch: DumpedBatch| {
        let records = metadata(&batch);
        (batch, records)
    };
    Dump::open(path).unwrap().map(whole).map(pair).collect()
}

#[test]
fn every_record_is_read_and_counted_as_kafka_counts_it() {
    for (name, _) in FOLDERS {
        let folder = folder(name);
        let mut kafkas: BTreeMap<(String, String, i16), u64> = BTreeMap::new();
        for line in fs::read_to_string(folder.join("counts.tsv")).unwrap().lines().skip(1) {
            let [file, kind, version, count] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
            kafkas.insert((file.to_owned(), kind.to_owned(), version.parse().unwrap()), count.parse().unwrap());
        }
        let mut ours = BTreeMap::new();
        for file in [files(&folder, ".log"), files(&folder, ".checkpoint")].concat() {
            let file_name = file.file_name().unwrap().to_str().unwrap().to_owned();
            for (batch, _) in batches(&file) {
                for record in batch.records {
                    let (kind, version) = match record.content.unwrap() {
                        RecordContent::Metadata(record) => (record.record.name(), record.version),
                        RecordContent::Control(record) => (record.name(), 0),
                    };
                    *ours.entry((file_name.clone(), kind.to_owned(), version)).or_insert(0) += 1;
                }
            }
        }
        assert_eq!(ours, kafkas, "{name}");
        assert!(ours.len() > 30, "{name}: {}", ours.len());
    }
}

/// The whole log replayed, on top of the snapshot that it begins with if there is one.
fn from_the_start(folder: &Path) -> (MetadataImage, BTreeMap<Offset, MetadataImage>) {
    let first = files(folder, ".checkpoint").into_iter().next().filter(|file| at(file).end_offset == Offset::ZERO);
    let image = first.map(|file| SnapshotReader::open(&file).unwrap().load(at(&file).position()).unwrap());
    let mut loader = ImageLoader::new(image.unwrap_or_default());
    let mut passed = BTreeMap::new();
    for (batch, records) in batches(folder) {
        let header = batch.header;
        let (base, end) = (header.base_offset, header.end_offset());
        loader.replay_batch(base, end, header.epoch, header.timestamp, &records).unwrap();
        passed.insert(end, loader.image().clone());
    }
    (loader.image().clone(), passed)
}

fn at(snapshot: &Path) -> SnapshotId {
    SnapshotId::from_file_name(snapshot.file_name().unwrap().to_str().unwrap()).unwrap()
}

#[test]
fn a_snapshot_is_the_image_of_the_log_before_it() {
    let mut compared = 0;
    for (name, version) in FOLDERS {
        let (image, passed) = from_the_start(&folder(name));
        assert_eq!(image.features().metadata_version(), Some(version), "{name}");
        assert!(image.topics().id("orders").is_some() && image.topics().id("gone").is_none(), "{name}");
        for snapshot in files(&folder(name), ".checkpoint") {
            let id = at(&snapshot);
            let Some(expected) = passed.get(&id.end_offset) else { continue };
            let found = SnapshotReader::open(&snapshot).unwrap().load(id.position()).unwrap();
            assert!(found.same_metadata(expected), "{name}: {}", snapshot.display());
            assert_eq!(found.timestamp(), expected.timestamp(), "{name}: {}", snapshot.display());
            compared += 1;
        }
    }
    assert!(compared >= FOLDERS.len(), "{compared}");
}

#[test]
fn an_image_of_kafkas_is_written_and_read_again_unchanged() {
    for (name, _) in FOLDERS {
        let (image, _) = from_the_start(&folder(name));
        let mut delta = MetadataDelta::new(&MetadataImage::empty());
        for record in image.to_records().unwrap() {
            let mut bytes = Vec::new();
            record.encode(&mut bytes).unwrap();
            delta.replay(&VersionedRecord::decode(&bytes).unwrap().record).unwrap();
        }
        assert!(delta.image().same_metadata(&image), "{name}");
    }
}

#[test]
fn quorum_state_and_the_voters_in_the_log_name_the_same_voter() {
    let me = NodeId(3000);
    for (name, _) in FOLDERS {
        let found = FoundQuorumState::read(&folder(name).join("quorum-state")).unwrap();
        assert_eq!(found.leader, Some(me), "{name}");
        let mut voters: Vec<(NodeId, DirectoryId)> = Vec::new();
        for file in [files(&folder(name), ".checkpoint"), files(&folder(name), ".log")].concat() {
            for record in batches(&file).into_iter().flat_map(|(batch, _)| batch.records) {
                if let Ok(RecordContent::Control(ControlRecord::Voters(record))) = record.content {
                    voters = record.voters.iter().map(|voter| (voter.voter_id, voter.voter_directory_id)).collect();
                }
            }
        }
        if name.ends_with("static") {
            assert_eq!((found.version, found.voters, voters), (0, vec![me], vec![]), "{name}");
        } else {
            let [(voter, directory)] = voters[..] else { panic!("{name}: {voters:?}") };
            assert_eq!((found.version, found.voters, voter), (1, vec![], me), "{name}");
            assert!(found.voted.is_none() || found.voted_directory == Some(directory), "{name}");
        }
    }
}
