//! `cargo xtask sim`: runs histories of the simulator and says what they showed.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::cli::{Failure, Outcome, Shell, VerbResult};
use crate::sim::{self, Coverage, History, Mutant};

/// So many seeds are tried for a mutant. Each is found within far fewer.
const SEEDS_FOR_A_MUTANT: u64 = 600;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run this history alone
    #[arg(long, value_name = "N", conflicts_with = "seconds")]
    seed: Option<u64>,

    /// Run fresh histories for so long, after those that have failed once
    #[arg(long, value_name = "N", default_value_t = 10)]
    seconds: u64,

    /// Put a known bug in; without --seed, seeds are tried until it is found
    #[arg(long, value_name = "NAME")]
    mutant: Option<String>,

    /// Tell of the known bugs, and which rule is to find each
    #[arg(long)]
    list_mutants: bool,
}

pub(crate) fn run(args: &Args, shell: &Shell) -> VerbResult {
    if args.list_mutants {
        return Ok(list_mutants());
    }
    let mutant = args.mutant.as_deref().map(mutant_named).transpose()?;
    match (args.seed, mutant) {
        (Some(seed), mutant) => one(seed, mutant),
        (None, Some(mutant)) => find(mutant, shell),
        (None, None) => many(Duration::from_secs(args.seconds), shell),
    }
}

fn mutant_named(name: &str) -> Result<Mutant, Failure> {
    Mutant::named(name).ok_or_else(|| {
        Failure::usage(format!("there is no mutant {name}")).next("see `cargo xtask sim --list-mutants`")
    })
}

fn list_mutants() -> Outcome {
    let mut outcome = Outcome::done();
    let mut listed = Vec::new();
    for mutant in Mutant::ALL {
        let story = mutant.story();
        outcome = outcome.say(format!("{}: {} [{}]", story.name, story.story, story.caught_by.join(", ")));
        listed.push(json!({"mutant": story.name, "story": story.story, "caught_by": story.caught_by}));
    }
    for (id, never) in sim::rules() {
        outcome = outcome.say(format!("{id}: it may never happen that {never}"));
    }
    outcome.field("mutants", listed)
}

fn not_run(reason: String) -> Failure {
    Failure::failed("a history can't be run").why(reason)
}

/// What is typed to see a history again.
fn replay(history: &History, mutant: Option<Mutant>) -> String {
    let mutant = mutant.map_or_else(String::new, |mutant| format!(" --mutant {mutant}"));
    format!("cargo xtask sim --seed {}{mutant}", history.seed)
}

fn broken(history: &History, mutant: Option<Mutant>) -> Option<Failure> {
    let broken = history.broken.as_ref()?;
    let failure = Failure::damaged(format!("{} is broken in the history of seed {}", broken.id, history.seed))
        .why(format!("it may never happen that {}", broken.never))
        .why(broken.how.clone())
        .whys(history.last.iter().cloned())
        .next(format!("see it again with `{}`", replay(history, mutant)))
        .field("seed", history.seed)
        .field("invariant", broken.id)
        .field("how", &broken.how)
        .field("replay", replay(history, mutant))
        .field("last_events", &history.last);
    Some(failure)
}

fn one(seed: u64, mutant: Option<Mutant>) -> VerbResult {
    let history = sim::run(seed, mutant).map_err(not_run)?;
    if let Some(failure) = broken(&history, mutant) {
        return Err(failure);
    }
    let mut outcome = Outcome::done().say(format!(
        "seed {seed}: {} after {} ms of its time and {} events; digest {:016x}",
        history.end, history.virtual_ms, history.events, history.digest
    ));
    for (kind, count) in &history.coverage {
        outcome = outcome.say(format!("{count:>8} {kind}"));
    }
    Ok(outcome
        .field("seed", seed)
        .field("end", &history.end)
        .field("virtual_ms", u64::try_from(history.virtual_ms).unwrap_or(u64::MAX))
        .field("events", history.events)
        .field("digest", format!("{:016x}", history.digest))
        .field("coverage", &history.coverage))
}

/// Runs histories without the log of all that goes wrong in them.
fn quietly<T>(histories: impl FnOnce() -> T) -> T {
    tracing::subscriber::with_default(tracing::subscriber::NoSubscriber::default(), histories)
}

/// Tries seeds until one finds the bug.
fn find(mutant: Mutant, shell: &Shell) -> VerbResult {
    let progress = shell.progress("histories", "histories", SEEDS_FOR_A_MUTANT);
    let found = quietly(|| first_broken(mutant, SEEDS_FOR_A_MUTANT, || progress.advance(1))).map_err(not_run)?;
    drop(progress);
    let Some((history, broken)) = found.and_then(|history| history.broken.clone().map(|broken| (history, broken)))
    else {
        return Err(Failure::failed(format!("{mutant} was not found"))
            .why(format!("{SEEDS_FOR_A_MUTANT} histories ran and no rule was broken"))
            .next("the rules or the faults of the simulator have a hole: report this")
            .field("mutant", mutant.story().name));
    };
    Ok(Outcome::done()
        .say(format!("{mutant} was found by {} in the history of seed {}: {}", broken.id, history.seed, broken.how))
        .say(format!("see it with `{}`", replay(&history, Some(mutant))))
        .field("mutant", mutant.story().name)
        .field("seed", history.seed)
        .field("invariant", broken.id)
        .field("how", &broken.how)
        .field("replay", replay(&history, Some(mutant))))
}

/// The first of the seeds from 1 on in whose history a rule is broken.
pub(crate) fn first_broken(mutant: Mutant, seeds: u64, ran: impl Fn()) -> Result<Option<History>, String> {
    for seed in 1..=seeds {
        let history = sim::run(seed, Some(mutant))?;
        ran();
        if history.broken.is_some() {
            return Ok(Some(history));
        }
    }
    Ok(None)
}

/// What all histories of a run came to.
#[derive(Default)]
struct Account {
    /// Shown so far.
    seconds: u64,
    histories: u64,
    coverage: Coverage,
    broken: Option<History>,
    error: Option<String>,
}

impl Account {
    fn take(&mut self, history: Result<History, String>) {
        match history {
            Ok(history) => {
                self.histories += 1;
                for (kind, count) in &history.coverage {
                    *self.coverage.entry(kind).or_default() += count;
                }
                if history.broken.is_some() && self.broken.is_none() {
                    self.broken = Some(history);
                }
            }
            Err(error) => self.error = Some(error),
        }
    }

    fn is_over(&self) -> bool {
        self.broken.is_some() || self.error.is_some()
    }
}

/// The kept seeds, then fresh ones.
fn many(time: Duration, shell: &Shell) -> VerbResult {
    let kept = sim::seeds::kept().map_err(not_run)?;
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).map_err(|error| not_run(format!("no random seed: {error}")))?;
    let first_fresh = u64::from(u32::from_le_bytes(bytes));
    shell.note(format!("{} kept seeds, then fresh ones from {first_fresh} on", kept.len()));
    let account = Mutex::new(Account::default());
    let began = Instant::now();
    let next = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let progress = shell.progress("histories", "seconds", time.as_secs());
    let work = || {
        while !stop.load(Ordering::Relaxed) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let old = usize::try_from(number).ok().and_then(|at| kept.get(at));
            if old.is_none() && began.elapsed() >= time {
                return;
            }
            let fresh = || first_fresh + number - u64::try_from(kept.len()).unwrap_or_default();
            let history = quietly(|| sim::run(old.map_or_else(fresh, |kept| kept.seed), None));
            let mut account = account.lock().unwrap_or_else(PoisonError::into_inner);
            account.take(history);
            stop.fetch_or(account.is_over(), Ordering::Relaxed);
            let seconds = began.elapsed().as_secs().min(time.as_secs());
            progress.advance(seconds.saturating_sub(std::mem::replace(&mut account.seconds, seconds)));
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    drop(progress);
    let account = account.into_inner().unwrap_or_else(PoisonError::into_inner);
    conclude(account, kept.len(), first_fresh, began.elapsed())
}

fn conclude(account: Account, kept: usize, first_fresh: u64, took: Duration) -> VerbResult {
    if let Some(error) = account.error {
        return Err(not_run(error));
    }
    let missing: Vec<&str> = sim::KINDS.into_iter().filter(|kind| !account.coverage.contains_key(kind)).collect();
    let rate = account.histories as f64 / took.as_secs_f64().max(0.001);
    let fields: [(&str, Value); 6] = [
        ("histories", account.histories.into()),
        ("kept_seeds", kept.into()),
        ("first_fresh_seed", first_fresh.into()),
        ("histories_per_second", json!((rate * 10.0).round() / 10.0)),
        ("coverage", json!(account.coverage)),
        ("never_happened", json!(missing)),
    ];
    if let Some(failure) = account.broken.as_ref().and_then(|history| broken(history, None)) {
        return Err(fields.into_iter().fold(failure, |failure, (key, value)| failure.field(key, value)));
    }
    let mut outcome = Outcome::done().say(format!(
        "{} histories, {kept} of them kept seeds, the fresh ones from seed {first_fresh} on: no rule broken ({rate:.1} a second)",
        account.histories
    ));
    for (kind, count) in &account.coverage {
        outcome = outcome.say(format!("{count:>9} {kind}"));
    }
    if !missing.is_empty() {
        outcome = outcome.say(format!("never happened in this run: {}", missing.join(", ")));
    }
    Ok(fields.into_iter().fold(outcome, |outcome, (key, value)| outcome.field(key, value)))
}
