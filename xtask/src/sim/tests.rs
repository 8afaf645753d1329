//! The simulator itself: the same seed is the same history, known bugs are found, and the code has none of them.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// Histories that the plain code must survive here. `cargo xtask sim` runs as many as there is time for.
const SEEDS: u64 = 60;

/// Seeds that are tried for each mutant.
const SEEDS_FOR_A_MUTANT: u64 = 600;

#[test]
fn the_same_seed_is_the_same_history() {
    for seed in [1, 2, 3, 7, 11, 19, 23, 42, 101, 999] {
        let (one, other) = (run(seed, None).unwrap(), run(seed, None).unwrap());
        assert!(one.events > 10, "seed {seed} has {} events", one.events);
        assert_eq!(
            (one.digest, one.events, one.virtual_ms, &one.end, &one.coverage),
            (other.digest, other.events, other.virtual_ms, &other.end, &other.coverage),
            "seed {seed}"
        );
    }
}

#[test]
fn seeds_differ() {
    let digests: std::collections::BTreeSet<u64> = (1..=10).map(|seed| run(seed, None).unwrap().digest).collect();
    assert_eq!(digests.len(), 10);
}

#[test]
fn no_rule_is_broken() {
    let kept = seeds::kept().unwrap().into_iter().map(|kept| kept.seed);
    for seed in kept.chain(1..=SEEDS) {
        let history = run(seed, None).unwrap();
        assert_eq!(history.broken, None, "seed {seed}: {:#?}", history.last);
    }
}

#[test]
fn every_mutant_is_found_by_a_rule_that_is_to_find_it() {
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(mutant) = Mutant::ALL.get(next.fetch_add(1, Ordering::Relaxed)).copied() {
            let histories = (1..=SEEDS_FOR_A_MUTANT).map(|seed| run(seed, Some(mutant)).unwrap());
            let found = histories.filter_map(|history| history.broken).next();
            let broken = found.unwrap_or_else(|| panic!("{mutant} was not found"));
            assert!(
                mutant.story().caught_by.contains(&broken.id),
                "{mutant} was found by {}: {}",
                broken.id,
                broken.how
            );
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(work);
        }
    });
}
