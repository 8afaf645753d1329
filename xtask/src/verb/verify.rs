//! `cargo xtask verify`: ZooKeeper against the metadata log, znode by znode.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use metadata_core::id::Position;
use metadata_core::store::MetadataStore as _;

use super::told::Told;
use super::{directory, status};
use crate::cli::{Failure, Fields, Outcome, Shell, VerbResult, ZooKeeperArgs};
use crate::control::{Reporter, Request, ask};
use crate::controller::{Compared, DirectoryHold, LogOnDisk, Showing, VerifyReport, compare, look_first, zk_store};
use crate::fleet::leader_dir;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The controller's directory
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,

    /// Used when no process holds the directory; a running controller knows its own
    #[command(flatten)]
    zookeeper: ZooKeeperArgs,

    /// List so many znodes that differ; all are counted
    #[arg(long, default_value_t = 100, value_name = "N")]
    differences: usize,

    /// Show passwords and keys in what differs
    #[arg(long)]
    show_secrets: bool,
}

pub(crate) async fn run(mut args: Args, shell: &Shell) -> VerbResult {
    args.data_dir = leader_dir(&args.data_dir).await?;
    let request = Request::Verify { differences_max: args.differences, show_secrets: args.show_secrets };
    let mut told = Told::new(shell, "verify", "znodes");
    let report = match ask::<VerifyReport>(&args.data_dir, &request, |progress| told.hear(&progress)).await? {
        Some(report) => report,
        None => by_itself(&args, shell).await?,
    };
    conclude(&report, shell)
}

/// Compares without a controller: the log as it lies, at the position that ZooKeeper says it has.
async fn by_itself(args: &Args, shell: &Shell) -> Result<VerifyReport, Failure> {
    let data_dir = directory::open(&args.data_dir)?;
    // Until the end: a controller that starts meanwhile would write to both sides.
    let _hold = DirectoryHold::take(&args.data_dir)?;
    let zookeeper = directory::zookeeper(&args.zookeeper, &args.data_dir, shell).await?;
    let seen = look_first(zookeeper.connector.as_ref()).await?;
    directory::of_one_cluster(&data_dir, &seen)?;
    let whole = read(&args.data_dir, None).await?;
    let version = whole.image.metadata_version_or_lowest();
    let store = zk_store(Arc::clone(&zookeeper.connector), &zookeeper.settings, data_dir.quorum(), version, None);
    let position = store.position().await.map_err(Failure::from)?;
    if position.last().is_none() {
        return Err(Failure::failed("there is nothing to compare with")
            .why("ZooKeeper was never written from this log: /migration says so, or is not there")
            .next("start `migrate`"));
    }
    if let Some(failure) =
        status::damage_of(&whole, &args.data_dir).filter(|_| position.end_offset > whole.end.end_offset)
    {
        return Err(failure);
    }
    if position.end_offset > whole.end.end_offset {
        return Err(Failure::damaged("ZooKeeper has more than the log")
            .why(format!("ZooKeeper is at {position}, the log on disk ends at {}", whole.end))
            .next("if the machine lost power, start `migrate` once; else find the newest copy of the data directory"));
    }
    let log = read(&args.data_dir, Some(position.end_offset)).await?;
    if log.image.position().epoch != position.epoch {
        return Err(Failure::damaged("ZooKeeper was written from another branch of the log")
            .why(format!("ZooKeeper is at {position}, the log has {}", log.image.position()))
            .next("find the newest copy of the data directory"));
    }
    let (reporter, mut reports) = Reporter::new();
    let mut told = Told::new(shell, "verify", "znodes");
    let compared = Compared { store: &store, connector: zookeeper.connector.as_ref(), settings: &zookeeper.settings };
    let showing = Showing { differences_max: args.differences, secrets: args.show_secrets };
    let comparing = compare(compared, &log.image, whole.end.end_offset.0, showing, &reporter);
    tokio::pin!(comparing);
    let report = loop {
        tokio::select! {
            report = &mut comparing => break report?,
            Some(progress) = reports.recv() => told.hear(&progress),
        }
    };
    stood_still(position, store.position().await.map_err(Failure::from)?)?;
    Ok(report)
}

/// What was compared is a result only if nobody wrote to ZooKeeper meanwhile.
fn stood_still(before: Position, after: Position) -> Result<(), Failure> {
    if before == after {
        return Ok(());
    }
    Err(Failure::blocked("ZooKeeper was written while it was compared, so the comparison says nothing")
        .why(format!("/migration was at {before} before and is at {after} now: a controller runs somewhere"))
        .next("ask that controller: `cargo xtask verify` with its --data-dir"))
}

async fn read(data_dir: &Path, at: Option<metadata_core::id::Offset>) -> Result<LogOnDisk, Failure> {
    let data_dir = data_dir.to_owned();
    let reading = tokio::task::spawn_blocking(move || LogOnDisk::read(&data_dir, at));
    reading.await.map_err(|error| Failure::failed("the log was not read").because(&error))?
}

/// The verdict. "Divergent 0" is never said without the other counts.
pub(super) fn conclude(report: &VerifyReport, shell: &Shell) -> VerbResult {
    let fields: Fields = super::fields_of(report).into_iter().collect();
    let total = report.total;
    let verdict = format!(
        "compared {} znodes at offset {}: divergent {}, masked {}, ignored {}",
        total.compared, report.offset, total.divergent, total.masked, total.ignored
    );
    if total.divergent == 0 {
        let outcome = report.lines().into_iter().fold(Outcome::done(), Outcome::say).say(verdict);
        let outcome = match report.behind_records {
            0 => outcome,
            behind => outcome.say(format!("dual writing is behind: the log has {behind} records after that offset")),
        };
        return Ok(fields.into_iter().fold(outcome, |outcome, (key, value)| outcome.field(&key, value)));
    }
    for line in report.lines() {
        shell.say(line);
    }
    let failure = Failure::divergent(verdict).next(
        "find out who wrote there; to make ZooKeeper equal to the log again, stop `migrate`, delete /migration, and start it: \
         a full sync follows (a restart alone goes on where it was)",
    );
    Err(fields.into_iter().fold(failure, |failure, (key, value)| failure.field(&key, value)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Exit;
    use crate::controller::{DifferenceReport, FamilyReport};

    fn report(divergent: u64) -> VerifyReport {
        let total = FamilyReport { compared: 10, masked: 2, ignored: 3, divergent };
        VerifyReport {
            offset: 7,
            behind_records: 0,
            total,
            families: [("topics".to_owned(), total)].into(),
            differences: vec![DifferenceReport { path: "/a".into(), expected: None, found: Some("x".into()) }],
            unknown: Vec::new(),
            unrepresentable: Vec::new(),
        }
    }

    #[test]
    fn the_verdict_comes_with_all_counts() {
        let shell = Shell::new("verify", false);
        let outcome = conclude(&report(0), &shell).unwrap();
        assert_eq!(outcome.text().last().unwrap(), "compared 10 znodes at offset 7: divergent 0, masked 2, ignored 3");
        let fields = outcome.into_fields().unwrap();
        for (key, expected) in [("compared", 10), ("masked", 2), ("ignored", 3), ("divergent", 0)] {
            assert_eq!(
                (&fields[key], &fields["families"]["topics"][key]),
                (&expected.into(), &expected.into()),
                "{key}"
            );
        }
    }

    #[test]
    fn a_zookeeper_that_moved_meanwhile_gives_no_result() {
        use metadata_core::id::{KRaftLeaderEpoch, Offset};
        let at = |offset| Position::after(Offset(offset), KRaftLeaderEpoch(1));
        stood_still(at(7), at(7)).unwrap();
        assert_eq!(stood_still(at(7), at(8)).unwrap_err().exit(), Exit::Blocked);
    }

    #[test]
    fn a_divergence_ends_with_its_own_code_and_the_znodes() {
        let failure = conclude(&report(1), &Shell::new("verify", true)).unwrap_err();
        assert_eq!(failure.exit(), Exit::Divergent);
        let fields = failure.into_fields();
        assert_eq!((&fields["divergent"], &fields["differences"][0]["path"]), (&1.into(), &"/a".into()));
    }
}
