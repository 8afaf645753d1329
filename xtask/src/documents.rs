//! The documents at the root, checked against what is there.

use std::collections::BTreeSet;
use std::fs;

use crate::dispatch::verbs;
use crate::repository_root;

/// Each document with its text.
fn documents() -> Vec<(String, String)> {
    let root = repository_root();
    let entries =
        [root.clone(), root.join("docs")].into_iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten();
    let files = entries.map(|entry| entry.unwrap().path()).filter(|file| file.extension().is_some_and(|it| it == "md"));
    let documents: Vec<_> =
        files.map(|file| (file.display().to_string(), fs::read_to_string(&file).unwrap())).collect();
    assert!(documents.len() >= 4, "README, ARCHITECTURE, CONTRIBUTING and CHANGELOG are there");
    documents
}

/// The words behind each `cargo xtask`.
fn verbs_named(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices("cargo xtask ").filter_map(|(at, prefix)| {
        let rest = text.get(at + prefix.len()..)?;
        let word = rest.split(|c: char| !c.is_ascii_lowercase() && c != '-').next()?;
        (!word.is_empty() && !word.starts_with('-')).then_some(word)
    })
}

/// What stands between backticks and names a file of the repository: it starts with a crate, or lies at the root.
fn files_named(text: &str) -> impl Iterator<Item = &str> {
    let quoted = text.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
    quoted.filter(|word| {
        let in_a_crate = word
            .split_once('/')
            .is_some_and(|(first, _)| !first.is_empty() && repository_root().join(first).join("Cargo.toml").exists());
        in_a_crate || (!word.contains('/') && [".md", ".toml"].iter().any(|end| word.ends_with(end)))
    })
}

#[test]
fn every_verb_that_the_documents_name_exists() {
    let known: BTreeSet<String> = verbs().into_iter().collect();
    for (document, text) in documents() {
        for verb in verbs_named(&text) {
            assert!(known.contains(verb), "{document} names `cargo xtask {verb}`, which does not exist");
        }
    }
}

#[test]
fn every_file_that_the_documents_name_exists() {
    for (document, text) in documents() {
        for file in files_named(&text) {
            assert!(repository_root().join(file).exists(), "{document} names {file}, which does not exist");
        }
    }
}

#[test]
fn what_the_documents_name_is_found() {
    let text = "`cargo xtask test`, cargo xtask --help, cargo xtask ci [STAGE..]\n`fencing/src/lib.rs` `a/b` `/migration` `LICENSE` `deny.toml`";
    assert_eq!(verbs_named(text).collect::<Vec<_>>(), ["test", "ci"]);
    assert_eq!(files_named(text).collect::<Vec<_>>(), ["fencing/src/lib.rs", "deny.toml"]);
}
