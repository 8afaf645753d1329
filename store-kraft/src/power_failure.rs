//! The power fails after any operation on the disk: only what was synced is there again.
//!
//! The other tests of crashes kill a process, whose writes the operating system keeps. Here a disk notes every operation in
//! order, and makes the directory that is left after each.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use metadata_core::id::Offset;
use metadata_core::image::ConfigResource;
use metadata_core::log::{Append, MetadataLog};
use metadata_core::metadata_version::MetadataVersion;
use metadata_core::store::Txn;

use crate::KraftLog;
use crate::disk::Disk;
use crate::full_disk::{NODE, config, options};

/// An operation on the disk that succeeded.
#[derive(Debug, Clone)]
pub(crate) enum Operation {
    /// The file is there and empty.
    Create(PathBuf),
    Write(PathBuf, u64, Vec<u8>),
    SetLen(PathBuf, u64),
    Sync(PathBuf),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
    SyncDir(PathBuf),
}

/// The operations of a disk, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Journal(Arc<Mutex<Vec<Operation>>>);

impl Journal {
    pub(crate) fn note(&self, operation: Operation) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(operation);
    }

    fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn operations(&self) -> Vec<Operation> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Files by number and names by path, each as written and as synced.
#[derive(Default)]
struct Platters {
    files: Vec<(Vec<u8>, Vec<u8>)>,
    names: BTreeMap<PathBuf, usize>,
    synced_names: BTreeMap<PathBuf, usize>,
}

impl Platters {
    /// What is in a directory now, all of it synced.
    fn of(dir: &Path) -> Self {
        let mut platters = Self::default();
        platters.take_in(dir);
        platters.synced_names = platters.names.clone();
        platters
    }

    fn take_in(&mut self, dir: &Path) {
        for path in std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                self.take_in(&path);
            } else {
                let bytes = std::fs::read(&path).unwrap();
                self.names.insert(path, self.files.len());
                self.files.push((bytes.clone(), bytes));
            }
        }
    }

    fn written(&mut self, path: &Path) -> &mut Vec<u8> {
        &mut self.files[self.names[path]].0
    }

    fn carry_out(&mut self, operation: Operation) {
        match operation {
            Operation::Create(path) => match self.names.get(&path) {
                Some(file) => self.files[*file].0.clear(),
                None => {
                    self.names.insert(path, self.files.len());
                    self.files.push(Default::default());
                }
            },
            Operation::Write(path, position, bytes) => {
                let file = self.written(&path);
                let start = position as usize;
                file.resize(file.len().max(start + bytes.len()), 0);
                file[start..start + bytes.len()].copy_from_slice(&bytes);
            }
            Operation::SetLen(path, length) => self.written(&path).resize(length as usize, 0),
            Operation::Sync(path) => {
                let (written, synced) = &mut self.files[self.names[&path]];
                synced.clone_from(written);
            }
            Operation::Rename(source, target) => {
                let file = self.names.remove(&source).unwrap();
                self.names.insert(target, file);
            }
            Operation::Remove(path) => {
                self.names.remove(&path);
            }
            Operation::SyncDir(dir) => {
                self.synced_names.retain(|path, _| path.parent() != Some(&dir));
                let names = self.names.iter().filter(|(path, _)| path.parent() == Some(&dir));
                self.synced_names.extend(names.map(|(path, file)| (path.clone(), *file)));
            }
        }
    }

    /// What is left of the directory `of` when the power fails now, made in `target`.
    fn leave(&self, of: &Path, target: &Path) {
        for (path, file) in &self.synced_names {
            let path = target.join(path.strip_prefix(of).unwrap());
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, &self.files[*file].1).unwrap();
        }
    }
}

/// An election that never ends must fail the test, not hold it up.
const OPEN_MAX: Duration = Duration::from_secs(30);

/// Appends, and returns the first offset of each append with how many operations there were when it was acknowledged.
async fn appended(disk: Disk, journal: &Journal, dir: &Path) -> Vec<(i64, usize)> {
    let log = KraftLog::open_on(disk, options(dir)).await.unwrap();
    let epoch = log.extent().epochs.last().unwrap().0;
    let mut acknowledged = Vec::new();
    for _ in 0..20 {
        let expected = log.extent().end_offset;
        let append = Append { epoch, expected: Some(expected), txn: Txn::None, records: vec![config(expected.0)] };
        log.append(append).await.unwrap();
        acknowledged.push((expected.0, journal.len()));
    }
    log.shutdown().await.unwrap();
    acknowledged
}

#[tokio::test]
async fn what_was_acknowledged_is_there_when_only_what_was_synced_is() {
    let dir = tempfile::tempdir().unwrap();
    KraftLog::format(dir.path(), NODE, "cluster", MetadataVersion::V3_9_IV0).unwrap();
    let mut platters = Platters::of(dir.path());
    let journal = Journal::default();
    let disk = Disk::noted_in(journal.clone());
    let mut acknowledged = appended(disk.clone(), &journal, dir.path()).await;
    // A second start, which finds what the first one left.
    acknowledged.extend(appended(disk, &journal, dir.path()).await);

    for (number, operation) in journal.operations().into_iter().enumerate() {
        let said = format!("{operation:?}").chars().take(120).collect::<String>();
        platters.carry_out(operation);
        // Each of the moments behind which something was acknowledged, and some of the others.
        let moment = number + 1;
        if !acknowledged.iter().any(|(_, count)| *count == moment) && moment % 7 != 0 {
            continue;
        }
        let left = tempfile::tempdir().unwrap();
        platters.leave(dir.path(), left.path());
        let opened = tokio::time::timeout(OPEN_MAX, KraftLog::open(options(left.path()))).await;
        let opened = opened.unwrap_or_else(|_| panic!("after {said}: nobody is elected"));
        let log = opened.unwrap_or_else(|error| panic!("after {said}: {error}"));
        for (offset, count) in &acknowledged {
            let there = log.image().config(&ConfigResource::topic(format!("topic-{offset}"))).is_some();
            assert!(there || *count > moment, "after {said}: offset {offset} was acknowledged");
        }
        assert!(log.extent().end_offset > Offset(0));
        log.shutdown().await.unwrap();
    }
}
