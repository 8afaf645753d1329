//! The documents at the root, checked against what is there.

use std::collections::BTreeSet;
use std::fs;

use crate::dispatch::{command_line, verbs};
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

/// docs/cli.md by its headings.
fn reference() -> Vec<(String, String)> {
    let text = fs::read_to_string(repository_root().join("docs/cli.md")).unwrap();
    let sections = text.split("\n## ").map(|section| section.split_once('\n').unwrap_or((section, "")));
    sections.map(|(heading, text)| (heading.to_owned(), text.to_owned())).collect()
}

/// The long flags of a verb and of everything below it.
fn flags(command: &clap::Command) -> Vec<String> {
    let own = command.get_arguments().filter(|it| !it.is_hide_set()).filter_map(clap::Arg::get_long);
    let own = own.map(|flag| format!("--{flag}")).collect::<Vec<_>>();
    own.into_iter().chain(command.get_subcommands().flat_map(flags)).collect()
}

#[test]
fn the_reference_has_every_verb_and_every_flag() {
    let sections = reference();
    let text_of = |heading: &str| sections.iter().find(|(found, _)| found == heading).map(|(_, text)| text.as_str());
    let shared = text_of("What all verbs share").unwrap();
    for verb in command_line().get_subcommands().filter(|verb| !verb.is_hide_set()) {
        let name = verb.get_name();
        let text =
            text_of(name).or_else(|| text_of("For developers").filter(|text| text.contains(&format!("| `{name}"))));
        let text = text.unwrap_or_else(|| panic!("docs/cli.md does not have {name}"));
        for flag in flags(verb) {
            let has = |text: &str| text.split(|c: char| c != '-' && !c.is_alphanumeric()).any(|word| word == flag);
            assert!(has(text) || has(shared), "docs/cli.md does not have {flag} of {name}");
        }
    }
}

/// Holds the fields that a verb prints against docs/cli.md.
pub(crate) fn assert_fields_are_documented<'a>(fields: impl IntoIterator<Item = &'a str>) {
    let sections = reference();
    for field in fields {
        let quoted = format!("`{field}`");
        assert!(sections.iter().any(|(_, text)| text.contains(&quoted)), "docs/cli.md does not have {quoted}");
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
