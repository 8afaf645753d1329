//! The simulator: the real driver, runner, write chain, fencing rules and registry of several controllers, in virtual time,
//! over one model of ZooKeeper and one of the quorum's log.
//!
//! A *history* follows from its seed alone. It has a phase with faults, then the faults stop and the migration must finish,
//! or name what forbids it. After each step of the world the rules in `invariants` are checked; the first that is
//! broken ends the history.
//!
//! - `world` has the nodes and lets time pass; `traffic` carries requests out, one by one, in any order between sessions;
//!   `chance` draws what goes wrong; `mistake` is what an operator does by hand; `finish` is the end.
//! - `session`, `quorum`, `store`: the ports, each call of which may be late, lost, or the last one of its process.
//! - `truth`: what is really there; `invariants`: what may never be.
//! - `mutant`, `tamper`: known bugs, put in on purpose. A simulator that does not find them proves nothing.

mod chance;
mod content;
mod finish;
mod invariants;
mod mistake;
mod mutant;
mod net;
mod process;
mod quorum;
pub(crate) mod seeds;
mod session;
mod store;
mod tamper;
mod trace;
mod traffic;
mod truth;
mod world;

#[cfg(test)]
mod tests;

pub(crate) use chance::KINDS;
pub(crate) use mutant::Mutant;
pub(crate) use trace::Coverage;

/// What became of one history.
#[derive(Debug, Clone)]
pub(crate) struct History {
    pub(crate) seed: u64,
    /// A number that differs when anything in the history does.
    pub(crate) digest: u64,
    pub(crate) events: u64,
    /// How long it took in its own time.
    pub(crate) virtual_ms: u128,
    pub(crate) coverage: Coverage,
    /// How it ended, in a word.
    pub(crate) end: String,
    /// The rule that was broken, and how.
    pub(crate) broken: Option<Broken>,
    /// The last events.
    pub(crate) last: Vec<String>,
}

/// A rule that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Broken {
    pub(crate) id: &'static str,
    pub(crate) never: &'static str,
    pub(crate) how: String,
}

/// Runs one history from its beginning to its end, in a runtime of its own.
///
/// # Errors
/// The runtime can't be made, or the cluster before the migration could not be.
pub(crate) fn run(seed: u64, mutant: Option<Mutant>) -> Result<History, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .map_err(|error| format!("no runtime for a history: {error}"))?;
    runtime.block_on(async { world::World::new(seed, mutant).await?.history().await })
}

/// Every rule: its id and what it forbids.
pub(crate) fn rules() -> Vec<(&'static str, &'static str)> {
    invariants::all().iter().map(|rule| (rule.id(), rule.never())).collect()
}
