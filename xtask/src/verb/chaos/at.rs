//! `cargo xtask chaos --at`: a controller that dies of kill -9 at each step of the migration, is started again, and must end as
//! one that nobody disturbed.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;

use serde_json::{Value, json};
use tokio::process::Child;

use super::end_state::EndState;
use super::{Args, Cluster};
use crate::cli::{Failure, Outcome, Shell, VerbResult};
use crate::columns::columns;
use crate::controller::{DIE_AT, Moment, Step, When};
use crate::own::{end, finished, wait_for_dual_write};

/// Of a step that repeats so many are tried one after the other, and from there on each at twice the number.
const ONE_BY_ONE: u32 = 4;

/// The change that is dual-written. Making it twice is making it once.
const CHANGE: [&str; 5] = ["quota", "set", "--user", "chaos", "producer_byte_rate=1048576"];

const SIGKILL: i32 = 9;

/// What came of a kill.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Killed {
    moment: Moment,
    /// Znodes in which the end differs from the undisturbed one, and whether the images do.
    differences: Vec<String>,
    compared: u64,
    divergent: u64,
}

/// The moments, for people and programs.
pub(super) fn list() -> Outcome {
    let mut rows = vec![["at", "effect", "what"].map(str::to_owned)];
    let mut names = Vec::new();
    for step in Step::ALL {
        let number = if step.repeats() { "-N" } else { "" };
        rows.push([
            format!("{}{number}:before, :after", step.name()),
            step.effect().to_owned(),
            step.what().to_owned(),
        ]);
        names.extend(When::ALL.map(|when| Moment { step, number: 1, when }.to_string()));
    }
    let outcome = columns(&rows, 3).into_iter().fold(Outcome::done(), Outcome::say);
    outcome.field("moments", names)
}

pub(super) async fn run(args: &Args, text: &str, servers: &str, folder: &Path, shell: &Shell) -> VerbResult {
    let selected = Moment::selected(text)
        .map_err(|reason| Failure::usage("--at names no moment").why(reason).next("cargo xtask chaos --list"))?;
    let undisturbed = Cluster::seeded(args, servers, folder, "undisturbed").await?;
    let (expected, counts) = undisturbed.finish().await?;
    shell.say(format!("undisturbed: {} znodes, {} compared", expected.znodes(), counts.compared));
    let mut killed = Vec::new();
    let progress = shell.progress("kills", "moments", selected.len() as u64);
    for (first, goes_on) in selected {
        let mut moment = first;
        loop {
            let label = |failure: Failure| failure.while_doing(format!("at {moment}"));
            let cluster = Cluster::seeded(args, servers, folder, &moment.to_string().replace(':', "-")).await?;
            if !cluster.die_at(moment).await.map_err(label)? {
                if moment == first {
                    let why = "the migration went on to its end without coming there";
                    let next = "a smaller number, or a larger cluster, with --topics and --partitions-per-topic";
                    return Err(Failure::failed(format!("{moment} was never reached")).why(why).next(next));
                }
                break;
            }
            let (found, counts) = cluster.finish().await.map_err(label)?;
            let differences = found.differences_from(&expected);
            let (compared, divergent) = (counts.compared, counts.divergent);
            killed.push(Killed { moment, differences, compared, divergent });
            if !goes_on {
                break;
            }
            moment.number += if moment.number < ONE_BY_ONE { 1 } else { moment.number };
        }
        progress.advance(1);
    }
    drop(progress);
    conclude(&killed, shell)
}

fn conclude(killed: &[Killed], shell: &Shell) -> VerbResult {
    let mut rows = vec![["killed at", "effect", "end", "znodes compared", "divergent"].map(str::to_owned)];
    for Killed { moment, differences, compared, divergent } in killed {
        let end = if differences.is_empty() { "as undisturbed".to_owned() } else { "differs".to_owned() };
        let effect = moment.step.effect().to_owned();
        rows.push([moment.to_string(), effect, end, compared.to_string(), divergent.to_string()]);
    }
    columns(&rows, 3).into_iter().for_each(|line| shell.say(line));
    let moments: Vec<Value> = killed
        .iter()
        .map(|it| {
            json!({
                "at": it.moment.to_string(),
                "effect": it.moment.step.effect(),
                "differences": it.differences,
                "compared": it.compared,
                "divergent": it.divergent,
            })
        })
        .collect();
    let differing: Vec<&Killed> = killed.iter().filter(|it| !it.differences.is_empty() || it.divergent > 0).collect();
    let fields: [(&str, Value); 4] = [
        ("moments", moments.into()),
        ("kills", killed.len().into()),
        ("compared_znodes", killed.iter().map(|it| it.compared).sum::<u64>().into()),
        ("divergent_znodes", killed.iter().map(|it| it.divergent + it.differences.len() as u64).sum::<u64>().into()),
    ];
    if !differing.is_empty() {
        let reasons = differing.iter().flat_map(|it| {
            it.differences.iter().take(5).map(|difference| format!("killed at {}: {difference}", it.moment))
        });
        let failure = Failure::divergent("a killed controller ended otherwise than one that nobody disturbed")
            .whys(reasons)
            .next("run it again with --at and that moment");
        return Err(fields.into_iter().fold(failure, |failure, (key, value)| failure.field(key, value)));
    }
    let outcome = Outcome::done().say(format!(
        "{} kills, and every one ended as the run that nobody disturbed: the same znodes, the same image",
        killed.len()
    ));
    Ok(fields.into_iter().fold(outcome, |outcome, (key, value)| outcome.field(key, value)))
}

impl Cluster {
    /// Runs a controller that kills itself at `moment`, through the migration and a change. Returns whether it came there.
    async fn die_at(&self, moment: Moment) -> Result<bool, Failure> {
        let mut command = self.migration(&[])?;
        command.env(DIE_AT, moment.to_string());
        let mut controller = command.spawn().map_err(|error| Failure::failed("can't start migrate").because(&error))?;
        let lived = self.live(&mut controller).await;
        let status = match controller.try_wait() {
            Ok(Some(status)) => status,
            // It lives, so it never came to the moment; what went wrong then is told.
            Ok(None) => {
                end(&mut controller).await;
                return lived.map(|()| false);
            }
            Err(error) => return Err(Failure::failed("can't watch migrate").because(&error)),
        };
        if status.signal() == Some(SIGKILL) {
            return Ok(true);
        }
        Err(Failure::failed("migrate ended by itself").why(status.to_string()))
    }

    /// The life of a controller, up to the comparison after a change. It fails when the controller dies.
    async fn live(&self, controller: &mut Child) -> Result<(), Failure> {
        wait_for_dual_write(&self.data_dir, controller).await?;
        let changed = finished("change", self.command("change", &CHANGE)?).await;
        let verified = match changed {
            Ok(_) => self.verify().await.map(drop),
            Err(failure) => Err(failure),
        };
        if verified.is_err() {
            // Whoever asked hears of the death before we do.
            drop(tokio::time::timeout(DEATH_MAX, controller.wait()).await);
        }
        verified
    }

    /// Runs an ordinary controller through the migration and the change, and says what there is in the end.
    async fn finish(&self) -> Result<(EndState, crate::own::Counts), Failure> {
        let mut controller = self.start_migration(&[])?;
        let lived = self.live(&mut controller).await;
        let counts = match lived {
            Ok(()) => self.verify().await,
            Err(failure) => Err(failure),
        };
        end(&mut controller).await;
        let state = EndState::read(&self.config, &self.data_dir).await?;
        Ok((state, counts?))
    }
}

/// A controller whose answer never came is dead within this time, or it lives.
const DEATH_MAX: std::time::Duration = std::time::Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Exit;

    fn killed(differences: &[&str], divergent: u64) -> Killed {
        let moment = Moment { step: Step::CopyEnd, number: 1, when: When::After };
        let differences = differences.iter().map(|it| (*it).to_owned()).collect();
        Killed { moment, differences, compared: 9, divergent }
    }

    #[test]
    fn an_end_that_differs_is_a_divergence_and_is_named() {
        let shell = Shell::new("chaos", true);
        let fine = conclude(&[killed(&[], 0), killed(&[], 0)], &shell).unwrap().into_fields().unwrap();
        assert_eq!(
            (&fine["kills"], &fine["compared_znodes"], &fine["divergent_znodes"]),
            (&2.into(), &18.into(), &0.into())
        );
        crate::documents::assert_fields_are_documented(fine.keys().map(String::as_str));
        for bad in [killed(&["/a: its data differ"], 0), killed(&[], 1)] {
            let failure = conclude(&[killed(&[], 0), bad.clone()], &shell).unwrap_err();
            assert_eq!(failure.exit(), Exit::Divergent);
            assert_eq!(failure.reasons().len(), bad.differences.len());
        }
    }

    #[test]
    fn the_list_has_every_moment() {
        let fields = list().into_fields().unwrap();
        assert_eq!(fields["moments"].as_array().unwrap().len(), 2 * Step::ALL.len());
        crate::documents::assert_fields_are_documented(fields.keys().map(String::as_str));
    }
}
