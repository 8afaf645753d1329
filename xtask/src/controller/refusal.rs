//! When a migration has stopped for good, and how its process ends then.

use metadata_core::error::ErrorKind;
use migration::{State, Status};

use crate::cli::Failure;

/// Refusals in a row after which waiting for better credentials makes no sense any more.
const REFUSALS_MAX: u32 = 3;

/// Why a migration doesn't go on by itself; `None` while it may. What passes (a ZooKeeper that is away, say) is waited
/// for.
pub fn why_it_stopped(status: &Status) -> Option<Failure> {
    let reasons = reasons_of(status);
    match (status.state, status.blocked_by) {
        (State::Blocked, Some(ErrorKind::Corrupt)) => Some(
            Failure::damaged("the metadata log and ZooKeeper contradict each other")
                .whys(reasons)
                .next("change nothing by hand; find the newest copy of the data directory and start with that"),
        ),
        (State::Blocked, _) => Some(
            Failure::blocked("the migration can't go on")
                .whys(reasons)
                .next("mend what is named, then run the same command again"),
        ),
        (State::ZkGoverned, _) => Some(
            Failure::blocked("ZooKeeper was governed by someone else since this log was last written to it")
                .whys(reasons)
                .next(
                    "find out what was changed there and decide which side is right; to begin anew from ZooKeeper, delete \
                     /migration and use a new data directory",
                ),
        ),
        // Not a failure to look at them, which passes, but what was seen.
        (State::WaitForBrokers, None) if status.reason.is_some() => Some(
            Failure::blocked("the brokers don't allow the migration")
                .whys(reasons)
                .next(
                    "while no broker channel is wired in, no broker can be served: use --unserved-brokers only if nobody \
                     needs them, as in a rehearsal",
                ),
        ),
        (_, Some(ErrorKind::Unauthorized)) if status.attempt >= REFUSALS_MAX => Some(
            Failure::failed("ZooKeeper refuses us")
                .whys(reasons)
                .next("check the credentials in --zookeeper-config: they must be the brokers'"),
        ),
        _ => None,
    }
}

/// The reasons in a status, one each: the driver joins those of several brokers, and an import lists its problems in lines.
pub fn reasons_of(status: &Status) -> Vec<String> {
    let Some(reason) = &status.reason else { return Vec::new() };
    if status.state == State::WaitForBrokers {
        return reason.split("; ").map(str::to_owned).collect();
    }
    reason.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
}
