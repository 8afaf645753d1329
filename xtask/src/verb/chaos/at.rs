//! `cargo xtask chaos --at`: a controller that dies of kill -9 at each step of the migration, of finalization and of the way
//! back, is started again, and must end as one that nobody disturbed.

mod finalization;
mod life;
mod registration;
mod rollback;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::Path;

use serde_json::{Value, json};

use self::life::{Ended, Life, Story, must_leave};
use super::Args;
use super::end_state::EndState;
use crate::cli::{Failure, Outcome, Shell, VerbResult};
use crate::columns::columns;
use crate::controller::{Moment, Step, When};

/// Of a step that repeats so many are tried one after the other, and from there on each at twice the number.
const ONE_BY_ONE: u32 = 4;

/// What came of a kill.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Killed {
    moment: Moment,
    /// What there was before anybody went on.
    left: String,
    /// Where the story ends.
    end: &'static str,
    /// Znodes in which the end differs from the undisturbed one, whether the images do, and what else is not as it must be.
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
    let mut expected = BTreeMap::new();
    for story in selected.iter().map(|(moment, _)| Story::of(moment.step)) {
        if let Entry::Vacant(unknown) = expected.entry(story) {
            unknown.insert(undisturbed(args, story, servers, folder, shell).await?);
        }
    }
    let mut killed = Vec::new();
    let progress = shell.progress("kills", "moments", selected.len() as u64);
    for (first, goes_on) in selected {
        let mut moment = first;
        loop {
            let label = |failure: Failure| failure.while_doing(format!("at {moment}"));
            let story = Story::of(moment.step);
            let name = moment.to_string().replace(':', "-");
            let mut life = Life::begin(story, args, servers, folder, &name).await.map_err(label)?;
            let Some(left) = life.die_at(moment).await.map_err(label)? else {
                if moment == first {
                    let why = "the migration went on to its end without coming there";
                    let next = "a smaller number, or a larger cluster, with --topics and --partitions-per-topic";
                    return Err(Failure::failed(format!("{moment} was never reached")).why(why).next(next));
                }
                break;
            };
            let ended = life.finish().await.map_err(label)?;
            let expected = expected.get(&story);
            killed.push(Killed::judged(moment, left, ended, expected.map(|ended| &ended.state)));
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

/// The end of a story that nobody disturbs.
async fn undisturbed(args: &Args, story: Story, servers: &str, folder: &Path, shell: &Shell) -> Result<Ended, Failure> {
    let name = format!("undisturbed-{}", story.name());
    let label = |failure: Failure| failure.while_doing(format!("{}, undisturbed", story.name()));
    let life = Life::begin(story, args, servers, folder, &name).await.map_err(label)?;
    let ended = life.finish().await.map_err(label)?;
    if !ended.broken.is_empty() {
        let failure = Failure::damaged("it is not as it must be though nobody disturbed it");
        return Err(label(failure.whys(ended.broken).next("report this")));
    }
    shell.say(format!(
        "{}, undisturbed: {}; {} znodes, {} compared",
        story.name(),
        story.end(),
        ended.state.znodes(),
        ended.counts.compared
    ));
    Ok(ended)
}

impl Killed {
    fn judged(moment: Moment, left: String, ended: Ended, expected: Option<&EndState>) -> Self {
        let mut differences = ended.broken;
        differences.extend(left_wrong(moment, &left));
        differences.extend(expected.into_iter().flat_map(|expected| ended.state.differences_from(expected)));
        let (compared, divergent) = (ended.counts.compared, ended.counts.divergent);
        Self { moment, left, end: Story::of(moment.step).end(), differences, compared, divergent }
    }
}

fn left_wrong(moment: Moment, left: &str) -> Option<String> {
    let must = must_leave(moment).filter(|must| *must != left)?;
    Some(format!("it left {left}, and must leave {must}"))
}

fn conclude(killed: &[Killed], shell: &Shell) -> VerbResult {
    let mut rows =
        vec![["killed at", "effect", "left behind", "end", "znodes compared", "divergent"].map(str::to_owned)];
    for Killed { moment, left, end, differences, compared, divergent } in killed {
        let end = if differences.is_empty() { format!("as undisturbed: {end}") } else { "differs".to_owned() };
        let effect = moment.step.effect().to_owned();
        rows.push([moment.to_string(), effect, left.clone(), end, compared.to_string(), divergent.to_string()]);
    }
    columns(&rows, 4).into_iter().for_each(|line| shell.say(line));
    let moments: Vec<Value> = killed
        .iter()
        .map(|it| {
            json!({
                "at": it.moment.to_string(),
                "effect": it.moment.step.effect(),
                "left": it.left,
                "end": it.end,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Exit;

    fn killed(differences: &[&str], divergent: u64) -> Killed {
        let moment = Moment { step: Step::CopyEnd, number: 1, when: When::After };
        let differences = differences.iter().map(|it| (*it).to_owned()).collect();
        Killed { moment, left: "MIGRATION".to_owned(), end: "in dual write", differences, compared: 9, divergent }
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
    fn what_was_answered_must_be_there_and_what_was_not_sent_must_not() {
        let moment = |when| Moment { step: Step::FinalizeAppend, number: 1, when };
        for (when, left, wrong) in [
            (When::Before, "MIGRATION", false),
            (When::Before, "POST_MIGRATION", true),
            (When::After, "POST_MIGRATION", false),
            (When::After, "MIGRATION", true),
        ] {
            assert_eq!(left_wrong(moment(when), left).is_some(), wrong, "{when:?} {left}");
        }
    }

    #[test]
    fn the_list_has_every_moment() {
        let fields = list().into_fields().unwrap();
        assert_eq!(fields["moments"].as_array().unwrap().len(), 2 * Step::ALL.len());
        crate::documents::assert_fields_are_documented(fields.keys().map(String::as_str));
    }
}
