//! The suite on the reference store and on the in-memory log; and the suite itself: each case must fail on the stores that
//! break its promise on purpose.

use std::sync::Arc;

use async_trait::async_trait;
use metadata_core::contract::{CASES, CaseOutcome, MemLog, MemStore, Mutant, StoreHarness, check_case, leadership};
use metadata_core::contract::{LogHarness, LogMutant, check_log_case, log_case_names};
use metadata_core::contract_tests;
use metadata_core::id::NodeId;
use metadata_core::leadership::KraftLeadership;
use metadata_core::log::{LeaderAndEpoch, LogStore, MetadataLog};
use metadata_core::log_contract_tests;
use metadata_core::store::MetadataStore;

struct Memory {
    store: MemStore,
    epoch: i32,
}

impl Memory {
    fn of(store: MemStore) -> Self {
        Self { store, epoch: 0 }
    }
}

#[async_trait]
impl StoreHarness for Memory {
    async fn store(&mut self) -> Arc<dyn MetadataStore> {
        Arc::new(self.store.clone())
    }

    async fn next_leadership(&mut self) -> KraftLeadership {
        self.epoch += 1;
        leadership(3000 + self.epoch, self.epoch)
    }

    async fn lose_answers(&mut self, count: usize) -> bool {
        self.store.lose_answers(count);
        true
    }
}

#[derive(Default)]
struct Log {
    log: MemLog,
    elected: i32,
}

#[async_trait]
impl StoreHarness for Log {
    async fn store(&mut self) -> Arc<dyn MetadataStore> {
        Arc::new(LogStore::new(Arc::new(self.log.clone())))
    }

    async fn next_leadership(&mut self) -> KraftLeadership {
        self.elected += 1;
        let leader = self.log.elect(NodeId(3000 + self.elected));
        leadership(3000 + self.elected, leader.epoch.0)
    }

    fn takes_made_up_leadership(&self) -> bool {
        false
    }

    async fn lose_answers(&mut self, count: usize) -> bool {
        self.log.lose_replies(count);
        true
    }
}

contract_tests!(memory, async { Memory::of(MemStore::new()) });
contract_tests!(memory_log, async { Log::default() });

/// Each case for itself: that some other case would notice a bug is no excuse.
#[test]
fn every_case_fails_on_the_bugs_that_it_is_about() {
    let mut survivors = Vec::new();
    for case in CASES {
        for mutant in case.kills {
            if check_case(case.name, async { Memory::of(MemStore::broken(*mutant)) }).is_ok() {
                survivors.push((case.name, mutant));
            }
        }
    }
    assert!(survivors.is_empty(), "these cases find nothing wrong: {survivors:?}");
}

#[test]
fn every_bug_is_the_concern_of_a_case() {
    for mutant in Mutant::ALL {
        assert!(CASES.iter().any(|case| case.kills.contains(&mutant)), "no case is about {mutant:?}");
    }
}

#[test]
fn the_reference_store_skips_no_case() {
    for case in CASES {
        let outcome = check_case(case.name, async { Memory::of(MemStore::new()) });
        assert_eq!(outcome, Ok(CaseOutcome::Passed), "{}", case.name);
    }
}

#[async_trait]
impl LogHarness for Log {
    async fn log(&mut self) -> Arc<dyn MetadataLog> {
        Arc::new(self.log.clone())
    }

    async fn next_leader(&mut self) -> LeaderAndEpoch {
        self.elected += 1;
        self.log.elect(NodeId(3000 + self.elected))
    }
}

log_contract_tests!(memory_as_a_log, async { Log::default() });

#[test]
fn every_mutant_of_the_log_is_killed_by_a_case() {
    let killers: Vec<(LogMutant, Vec<&str>)> = LogMutant::ALL
        .into_iter()
        .map(|mutant| {
            let fails =
                |case: &&str| check_log_case(case, async { Log { log: MemLog::broken(mutant), elected: 0 } }).is_err();
            (mutant, log_case_names().into_iter().filter(fails).collect())
        })
        .collect();
    for (mutant, cases) in &killers {
        println!("{mutant:?} is killed by {cases:?}");
        assert!(!cases.is_empty(), "{mutant:?} survives the whole suite");
    }
    for case in log_case_names() {
        assert!(killers.iter().any(|(_, cases)| cases.contains(&case)), "{case} kills no mutant");
    }
}
