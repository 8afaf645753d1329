//! What a test runs on, told by where it stands.
//!
//! The convention: a word in the name of the test program or of a module around the test says it, whole words only, the
//! first of this table that occurs:
//!
//! | word | backend |
//! | --- | --- |
//! | `jars` | Apache Kafka's own jars |
//! | `ensemble` | three real ZooKeepers |
//! | `real` | a real ZooKeeper |
//! | `fake` | the in-memory ZooKeeper |
//! | `files` | files in a temporary folder, sockets, small processes |
//! | `memory` | nothing but memory |
//!
//! So `mod on_a_real_server` and a test file `tests/real_seed.rs` are on a real ZooKeeper, and `tests/kafkas_jars.rs` is on
//! Kafka. Where no word occurs, the longest entry of [`PLACES`] that fits decides, and without one the test is taken to
//! run in memory. The test's own name does not count, but for one thing: `ensemble` in it tells a test on three servers
//! from its neighbours on one.

use std::fmt;

/// What a test runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Backend {
    /// Nothing but memory.
    Memory,
    /// Files in a temporary folder, sockets, small processes.
    Files,
    /// The in-memory ZooKeeper of `store_zk::testkit`.
    FakeZooKeeper,
    /// A real ZooKeeper server.
    ZooKeeper,
    /// Three real ZooKeeper servers.
    Ensemble,
    /// Apache Kafka's own jars.
    Kafka,
}

impl Backend {
    /// All of them.
    pub(crate) const ALL: [Self; 6] =
        [Self::Memory, Self::Files, Self::FakeZooKeeper, Self::ZooKeeper, Self::Ensemble, Self::Kafka];
}

const ENSEMBLE: &str = "ensemble";

const WORDS: [(&str, Backend); 6] = [
    ("jars", Backend::Kafka),
    (ENSEMBLE, Backend::Ensemble),
    ("real", Backend::ZooKeeper),
    ("fake", Backend::FakeZooKeeper),
    ("files", Backend::Files),
    ("memory", Backend::Memory),
];

/// Places whose tests run on one backend, whatever their modules are called.
const PLACES: [(&str, Backend); 29] = [
    ("controller::serving", Backend::Files),
    ("store-kraft", Backend::Files),
    ("store-kraft::doc", Backend::Memory),
    ("store-kraft::lib::batch", Backend::Memory),
    ("store-kraft::lib::codec", Backend::Memory),
    ("store-kraft::lib::quorum::shape", Backend::Memory),
    ("store-zk::chain::brokers", Backend::FakeZooKeeper),
    ("store-zk::client_suite", Backend::ZooKeeper),
    ("store-zk::lib::testkit::install", Backend::Files),
    ("xtask::lib::ci::captured", Backend::Files),
    ("xtask::lib::cli::zookeeper", Backend::Files),
    ("xtask::lib::control", Backend::Files),
    ("xtask::lib::controller::data_dir", Backend::Files),
    ("xtask::lib::controller::on_disk", Backend::Files),
    ("xtask::lib::controller::seal", Backend::Files),
    ("xtask::lib::fleet::place", Backend::Files),
    ("xtask::lib::fragment", Backend::Files),
    ("xtask::lib::interop::capture", Backend::Files),
    ("xtask::lib::interop::differential::content", Backend::Files),
    ("xtask::lib::kafka::properties", Backend::Files),
    ("xtask::lib::suite::run", Backend::Files),
    ("xtask::lib::verb::change", Backend::Files),
    ("xtask::lib::verb::dump_log", Backend::Files),
    ("xtask::lib::verb::export", Backend::FakeZooKeeper),
    ("xtask::lib::verb::finalize", Backend::Files),
    ("xtask::lib::verb::seed", Backend::Files),
    ("xtask::lib::seed::hold", Backend::FakeZooKeeper),
    ("xtask::lib::seed::write", Backend::FakeZooKeeper),
    ("xtask::lib::sim", Backend::FakeZooKeeper),
];

impl Backend {
    /// By the convention above. `path` is crate, test program, modules and the test's own name.
    pub(crate) fn of(path: &str) -> Self {
        let (place, name) = path.rsplit_once("::").unwrap_or(("", path));
        match Self::of_place(place) {
            Self::ZooKeeper if words(name).any(|word| word == ENSEMBLE) => Self::Ensemble,
            backend => backend,
        }
    }

    fn of_place(place: &str) -> Self {
        let (_, behind_the_crate) = place.split_once("::").unwrap_or_default();
        let has = |wanted: &str| words(behind_the_crate).any(|word| word == wanted);
        if let Some((_, backend)) = WORDS.iter().find(|(word, _)| has(word)) {
            return *backend;
        }
        let fits =
            |start: &str| place.strip_prefix(start).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
        let places = PLACES.iter().filter(|(start, _)| fits(start));
        places.max_by_key(|(start, _)| start.len()).map_or(Self::Memory, |(_, backend)| *backend)
    }

    /// Whether its tests start Java processes, a ZooKeeper among them, of which only a few should run at once.
    pub(crate) fn needs_java(self) -> bool {
        matches!(self, Self::ZooKeeper | Self::Ensemble | Self::Kafka)
    }

    /// The name in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Files => "files",
            Self::FakeZooKeeper => "fake ZooKeeper",
            Self::ZooKeeper => "real ZooKeeper",
            Self::Ensemble => "ZooKeeper ensemble",
            Self::Kafka => "Kafka's jars",
        }
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric())
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::repository_root;

    #[test]
    fn each_row_of_the_convention() {
        for (path, backend) in [
            ("store-zk::client_suite::conformance::on_the_fake::sync_is_answered", Backend::FakeZooKeeper),
            ("store-zk::client_suite::conformance::on_a_real_server::sync_is_answered", Backend::ZooKeeper),
            ("store-zk::client_suite::fake::an_ensemble", Backend::FakeZooKeeper),
            ("store-zk::client_suite::kill::a_test", Backend::ZooKeeper),
            ("store-zk::client_suite::kill::the_leader_of_an_ensemble_dies", Backend::Ensemble),
            ("store-zk::chain::contract::real::a_newer_claim_fences_the_earlier_writer", Backend::ZooKeeper),
            ("store-zk::chain::brokers::a_test", Backend::FakeZooKeeper),
            ("store-zk::chain::on_an_ensemble::a_test", Backend::Ensemble),
            ("store-zk::lib::znode::path::tests::a_test", Backend::Memory),
            ("metadata-core::contract::memory_log::a_test", Backend::Memory),
            ("metadata-core::golden_records::a_test", Backend::Memory),
            ("store-kraft::crash::a_test", Backend::Files),
            ("store-kraft::lib::log::tests::a_torn_tail_is_cut", Backend::Files),
            ("store-kraft::lib::batch::tests::a_test", Backend::Memory),
            ("store-kraft::lib::batching::tests::a_test", Backend::Files),
            ("store-kraft::kafkas_jars::a_test", Backend::Kafka),
            ("xtask::real_seed::a_test", Backend::ZooKeeper),
            ("xtask::on_files::a_test", Backend::Files),
        ] {
            assert_eq!(Backend::of(path), backend, "{path}");
        }
    }

    /// The places of a source file's tests that make temporary files: crate, program and modules.
    fn places_with_files(crate_folder: &Path, file: &Path) -> BTreeSet<String> {
        let package = crate_folder.file_name().unwrap().to_str().unwrap();
        let inner = file.strip_prefix(crate_folder).unwrap().with_extension("");
        let mut place: Vec<_> = inner.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
        if place[0] == "src" {
            place[0] = "lib".to_owned();
        } else {
            place.remove(0);
        }
        place.retain(|part| !["mod", "main"].contains(&part.as_str()));
        place.insert(0, package.to_owned());
        let text = fs::read_to_string(file).unwrap();
        // A file of tests begins with them; elsewhere they come last.
        let all_tests = place[1] != "lib" || place.last().is_some_and(|name| name == "tests");
        let tests = if all_tests { Some(text.as_str()) } else { text.split_once("#[cfg(test)]").map(|it| it.1) };
        // In two parts, so that this file is none of those that it looks for.
        let temporary = ["tempdir", "()"].concat();
        let mut module = None;
        let mut found = BTreeSet::new();
        for line in tests.unwrap_or_default().lines() {
            if let Some(name) = line.strip_prefix("mod ").and_then(|rest| rest.strip_suffix(" {")) {
                module = Some(name);
            } else if line.contains(&temporary) {
                found.insert(place.iter().map(String::as_str).chain(module).collect::<Vec<_>>().join("::"));
            }
        }
        found
    }

    fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                rust_files(&path, found);
            } else if path.extension().is_some_and(|it| it == "rs") {
                found.push(path);
            }
        }
    }

    #[test]
    fn tests_that_make_files_are_not_said_to_run_in_memory() {
        let mut places = BTreeSet::new();
        for entry in fs::read_dir(repository_root()).unwrap() {
            let folder = entry.unwrap().path();
            if folder.join("Cargo.toml").exists() {
                let mut files = Vec::new();
                ["src", "tests"].iter().for_each(|part| rust_files(&folder.join(part), &mut files));
                places.extend(files.iter().flat_map(|file| places_with_files(&folder, file)));
            }
        }
        assert!(places.contains("xtask::lib::controller::data_dir::tests") && places.len() > 10, "{places:?}");
        let wrong: Vec<_> = places.iter().filter(|it| Backend::of(&format!("{it}::a")) == Backend::Memory).collect();
        assert!(wrong.is_empty(), "say what these run on: {wrong:#?}");
    }

    #[test]
    fn neither_the_tests_own_name_nor_the_crate_nor_a_part_of_a_word_counts() {
        for path in [
            "store-zk::lib::tests::a_real_ensemble_of_jars",
            "store-zk::lib::realm::a_test",
            "store-jars::lib::a_test",
            "migration::lib::a_test",
            "a_test",
        ] {
            assert_eq!(Backend::of(path), Backend::Memory, "{path}");
        }
    }
}
