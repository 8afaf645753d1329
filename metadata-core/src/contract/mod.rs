//! The suite that any [`MetadataStore`] can run: what the trait's docs promise, case by case.
//!
//! A backend supplies a [`StoreHarness`] and calls [`contract_tests!`](crate::contract_tests), which makes one `#[test]`
//! of each case. A case that the backend's [`Capability`](crate::store::Capability) excludes prints why it was skipped. The
//! suite itself is tested: each case passes on [`MemStore`], and fails on every [`Mutant`] of it that the case names.
//!
//! A [`MetadataLog`](crate::log::MetadataLog) has a suite of its own in the same manner: a [`LogHarness`] and
//! [`log_contract_tests!`](crate::log_contract_tests), tested on [`MemLog`] and every [`LogMutant`] of it.

mod cases;
mod log_cases;
mod mem_log;
mod mem_store;
mod mutant;
mod workload;

use std::sync::Arc;

use async_trait::async_trait;

pub use cases::{CASES, Case, CaseOutcome};
pub use log_cases::{LogHarness, check_log_case, log_case_names, run_log_case};
pub use mem_log::{LogMutant, MemLog};
pub use mem_store::{MemStore, leadership};
pub use mutant::{Family, KraftOnly, Mutant};
pub use workload::Workload;

use crate::leadership::KraftLeadership;
use crate::store::MetadataStore;

/// An empty store for one case, and the power to elect leaders for it. Dropping it cleans up.
#[async_trait]
pub trait StoreHarness: Send {
    /// The store, as a process that just started sees it.
    async fn store(&mut self) -> Arc<dyn MetadataStore>;

    /// A leadership newer than any before, of a node that differs from the last one where the backend has several.
    async fn next_leadership(&mut self) -> KraftLeadership;

    /// Whether a leadership that the harness did not hand out may be tried on the store: a projection judges any claim
    /// by itself, a log only knows real elections.
    fn takes_made_up_leadership(&self) -> bool {
        true
    }

    /// The answers to the next `count` writes get lost: they may happen, and the writer must not know. Returns whether
    /// this harness can do it.
    async fn lose_answers(&mut self, count: usize) -> bool {
        let _ = count;
        false
    }
}

/// Makes a module of tests, one for each case of the suite: `contract_tests!(memory, async { MyHarness::start().await })`.
///
/// The expression is evaluated for every case, inside a tokio runtime; it yields a [`StoreHarness`].
#[macro_export]
macro_rules! contract_tests {
    ($module:ident, $harness:expr) => {
        mod $module {
            #[allow(unused_imports, reason = "the harness expression may be self-contained")]
            use super::*;

            $crate::contract_tests!(@cases $harness;
                an_empty_store_loads_what_was_synced_into_it
                a_batch_is_visible_once_it_is_acknowledged
                receipts_resolve_in_the_order_of_the_calls
                a_batch_for_another_position_is_refused_and_changes_nothing
                a_failed_batch_takes_all_later_ones_with_it
                a_newer_claim_fences_the_earlier_writer
                what_is_in_flight_lands_before_a_newer_claim_or_never
                claiming_again_fences_our_own_earlier_writer
                an_older_epoch_cannot_claim
                another_node_cannot_claim_with_the_same_epoch
                a_store_ahead_of_the_log_is_not_claimed
                a_survey_says_what_a_claim_would_find_and_claims_nothing
                another_copy_of_the_log_does_not_claim
                a_barrier_settles_everything_submitted
                dropping_receipts_cancels_nothing
                after_a_barrier_no_outcome_is_open
                a_transaction_becomes_visible_as_a_whole
                an_incomplete_transaction_leaves_no_trace
                a_load_ends_with_the_error_of_its_sink
                a_second_sync_writes_nothing
                a_sync_makes_the_store_equal_to_the_image
                random_batches_arrive_as_written
            );
        }
    };
    (@cases $harness:expr; $($case:ident)*) => {
        $(
            #[test]
            fn $case() {
                $crate::contract::run_case(stringify!($case), $harness);
            }
        )*

        #[test]
        fn every_case_of_the_suite_is_listed() {
            assert_eq!([$(stringify!($case)),*].as_slice(), $crate::contract::case_names().as_slice());
        }
    };
}

/// The names of all cases, in order.
pub fn case_names() -> Vec<&'static str> {
    CASES.iter().map(|case| case.name).collect()
}

/// Runs one case by name on the store of a harness, in a runtime of its own.
///
/// # Panics
/// When the store breaks the promise that the case is about, or there is no such case.
#[expect(clippy::panic, reason = "a test fails by panicking")]
#[expect(clippy::print_stdout, reason = "a skipped case must be seen in the test's output")]
pub fn run_case<H: StoreHarness>(name: &str, harness: impl Future<Output = H>) {
    match check_case(name, harness) {
        Ok(CaseOutcome::Passed) => {}
        Ok(CaseOutcome::Skipped(reason)) => println!("contract case {name}: not run, {reason}"),
        Err(broken) => panic!("contract case {name}: {broken}"),
    }
}

/// As [`run_case`], and says what it found.
///
/// # Errors
/// How the store breaks the promise that the case is about.
///
/// # Panics
/// When there is no such case.
#[expect(clippy::panic, reason = "a test fails by panicking")]
pub fn check_case<H: StoreHarness>(name: &str, harness: impl Future<Output = H>) -> Result<CaseOutcome, String> {
    let case = CASES.iter().find(|case| case.name == name).unwrap_or_else(|| panic!("there is no case {name}"));
    in_a_runtime(async {
        let mut harness = harness.await;
        (case.run)(&mut harness).await
    })
}

/// Runs a case in a runtime of its own.
#[expect(clippy::expect_used, reason = "a test fails by panicking")]
fn in_a_runtime<T>(case: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime for the case").block_on(case)
}
