//! Kafka 3.9 boots from an exported directory, also when the export was killed on the way.

use std::path::Path;
use std::time::{Duration, Instant};

use store_kraft::log::{Occupancy, occupancy};
use tokio::time::sleep;

use crate::cli::Failure;
use crate::controller::fresh_bytes;
use crate::interop::boot::Booted;
use crate::interop::source::{Exported, Source};
use crate::interop::{Findings, Lab};
use crate::kafka::Release;
use crate::own::{end, finished};

/// How often the export is killed.
const KILLS: u32 = 3;

/// An export that is killed may have been done already; so often it is tried.
const TRIES_MAX: u32 = 40;

/// A real cluster is filled, stopped and exported by a process that is killed three times at random moments; then Kafka 3.9's
/// controller and brokers start on what was written, and everything is there, data included.
///
/// # Errors
/// Something of it can't be run. What is not as it should be is in the findings.
pub(super) async fn run(lab: &Lab, quick: bool, findings: &mut Findings) -> Result<(), Failure> {
    let kafka = lab.kafka(Release::V3_9).await?;
    let (brokers, partitions) = if quick { (1, 4) } else { (3, 12) };
    let mut source = Source::start(lab, "exported", &kafka, &kafka, brokers, partitions).await?;
    source.stop().await?;
    let exported = killed_and_done(lab, &source, findings).await?;
    lab.note("booting Kafka 3.9 on it");
    let mut booted = Booted::start(&source.boot(&kafka, &exported)).await?;
    for difference in booted.differences(&source.expected(&exported.object), &source.made).await? {
        findings.broken(difference);
    }
    booted.stop().await?;
    let shown = source.before.counts();
    findings.say(format!(
        "a controller and {brokers} brokers of Kafka {} boot from an export that was killed {KILLS} times: {} records, and {} \
         things that its tools show as before",
        kafka.release(),
        exported.object["records"],
        shown.values().sum::<usize>(),
    ));
    findings.field("boot_records", &exported.object["records"]);
    findings.field("boot_shown", shown);
    Ok(())
}

/// Exports once undisturbed, to know how long it takes and what it writes, without a change of the brokers' directories; then
/// with three kills, and to the end.
async fn killed_and_done(lab: &Lab, source: &Source, findings: &mut Findings) -> Result<Exported, Failure> {
    let folder = lab.folder("exports")?;
    let (dir, measured) = (folder.join("controller"), folder.join("measured"));
    let started = Instant::now();
    finished("the export alone", source.command(&measured, &[])?).await?;
    let takes = started.elapsed();
    lab.note(format_args!("killing the export {KILLS} times (it takes {:.2} s)", takes.as_secs_f64()));
    let (mut kills, mut begun) = (0, 0);
    for _ in 0..TRIES_MAX {
        if kills == KILLS {
            break;
        }
        let mut child = source
            .command(&dir, &["--convert-brokers"])?
            .spawn()
            .map_err(|error| Failure::failed("can't run this program again").because(&error))?;
        // The last one as soon as something is written, which is over within milliseconds; the others at any moment.
        if kills + 1 < KILLS {
            sleep(moment(takes)?).await
        } else {
            writing(&dir, takes).await
        }
        end(&mut child).await;
        match occupancy(&dir).map_err(Failure::from)? {
            Occupancy::Free => kills += 1,
            Occupancy::Begun => {
                kills += 1;
                begun += 1;
            }
            // It was faster than the kill: what it wrote is done anew.
            Occupancy::Formatted(_) => remove(&dir)?,
            Occupancy::Foreign(name) => {
                findings.broken(format!("after a kill {} holds {name}, and is not recognised", dir.display()));
                remove(&dir)?;
            }
        }
    }
    if kills < KILLS {
        findings.not_run(format!("of {TRIES_MAX} exports only {kills} were killed before they were done"));
    }
    findings.field("kills", kills);
    findings.field("kills_while_writing", begun);
    let object = finished("the export after the kills", source.command(&dir, &["--convert-brokers"])?).await?;
    Ok(Exported { dir, object })
}

/// Waits until something is being written into a directory, twice as long as all of it takes at most.
async fn writing(dir: &Path, takes: Duration) {
    let deadline = Instant::now() + takes * 2;
    while !matches!(occupancy(dir), Ok(Occupancy::Begun | Occupancy::Formatted(_))) && Instant::now() < deadline {
        tokio::task::yield_now().await;
    }
}

/// A random moment of something that takes so long.
fn moment(takes: Duration) -> Result<Duration, Failure> {
    let mut bytes = [0; 2];
    fresh_bytes(&mut bytes)?;
    Ok(takes.mul_f64(f64::from(u16::from_be_bytes(bytes)) / f64::from(u16::MAX)))
}

fn remove(dir: &Path) -> Result<(), Failure> {
    std::fs::remove_dir_all(dir)
        .map_err(|error| Failure::failed(format!("can't remove {}", dir.display())).because(&error))
}
