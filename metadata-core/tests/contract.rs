//! The suite on the reference store and on the in-memory log; and the suite itself: each store that is broken on
//! purpose must fail at least one case.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use async_trait::async_trait;
use metadata_core::contract::{MemLog, MemStore, Mutant, StoreHarness, case_names, leadership, run_case};
use metadata_core::contract_tests;
use metadata_core::id::NodeId;
use metadata_core::leadership::KraftLeadership;
use metadata_core::log::LogStore;
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
}

contract_tests!(memory, async { Memory::of(MemStore::new()) });
contract_tests!(memory_log, async { Log::default() });

#[test]
fn every_mutant_is_killed_by_a_case() {
    // The panics of killed mutants are the point; their messages would drown everything else.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let killers: Vec<(Mutant, Vec<&str>)> = Mutant::ALL
        .into_iter()
        .map(|mutant| {
            let fails = |case: &&str| {
                let run = || run_case(case, async { Memory::of(MemStore::broken(mutant)) });
                catch_unwind(AssertUnwindSafe(run)).is_err()
            };
            (mutant, case_names().into_iter().filter(fails).collect())
        })
        .collect();
    std::panic::set_hook(hook);
    for (mutant, cases) in &killers {
        println!("{mutant:?} is killed by {cases:?}");
        assert!(!cases.is_empty(), "{mutant:?} survives the whole suite");
    }
    // And no case is idle: each kills something.
    for case in case_names() {
        assert!(killers.iter().any(|(_, cases)| cases.contains(&case)), "{case} kills no mutant");
    }
}
