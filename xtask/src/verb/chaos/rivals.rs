//! `cargo xtask chaos --rivals`: two controller processes fight for the leadership over one ZooKeeper.

use std::time::Duration;

use serde_json::{Value, json};

use super::Args;
use crate::cli::{Failure, Interrupt, Outcome, Shell, VerbResult};
use crate::rivals::{Arena, Fight, FightOptions};

/// The rivals' session timeout: short enough that a sleeper's expires in between.
const SESSION_TIMEOUT: Duration = Duration::from_secs(4);

pub(super) async fn run(args: &Args, epochs: u64, interrupt: &Interrupt, shell: &Shell) -> VerbResult {
    let program =
        std::env::current_exe().map_err(|error| Failure::failed("can't find this program").because(&error))?;
    let mut arena = interrupt.unless_requested(Arena::start(&program, args.cluster(), SESSION_TIMEOUT)).await?;
    let first = interrupt.unless_requested(arena.begin()).await?;
    shell.note("two controllers run; the first has copied and dual-writes");
    let options = FightOptions { epochs, seed: args.seed, session_timeout: SESSION_TIMEOUT };
    let progress = shell.progress("fight", "epochs", epochs);
    let fight = Fight::out(&mut arena, first, options, &progress, interrupt).await;
    drop(progress);
    conclude(epochs, &fight.map_err(|failure| failure.next(again(args, epochs)))?, &again(args, epochs))
}

fn again(args: &Args, epochs: u64) -> String {
    format!(
        "run the same again: cargo xtask chaos --rivals {epochs} --seed {} --topics {} --partitions-per-topic {}",
        args.seed, args.topics, args.partitions_per_topic
    )
}

/// A fight in which nothing bounced proves nothing, so it is no success.
fn conclude(epochs: u64, fight: &Fight, again: &str) -> VerbResult {
    let Fight { counts, judgement, verified } = fight;
    let total = verified.total;
    let fields: [(&str, Value); 13] = [
        ("epochs", epochs.into()),
        ("epochs_written", judgement.epochs_written().into()),
        ("epochs_passed_over", counts.passed_over.into()),
        ("turns", json!(counts.turns)),
        ("claims", judgement.claims.len().into()),
        ("claims_refused", counts.refused_claims.into()),
        ("resumes", counts.resumes.into()),
        ("full_syncs", counts.full_syncs.into()),
        ("multis", judgement.written.values().sum::<u64>().into()),
        ("multis_bounced", judgement.bounces().into()),
        ("broken", json!(judgement.broken)),
        ("compared_znodes", total.compared.into()),
        ("divergent_znodes", total.divergent.into()),
    ];
    let with_fields = |failure: Failure| {
        let fields = fields.clone().into_iter();
        fields.fold(failure.next(again.to_owned()), |failure, (key, value)| failure.field(key, value))
    };
    if !judgement.broken.is_empty() {
        let failure = Failure::damaged("more than one controller wrote, or one in another's name");
        return Err(with_fields(failure.whys(judgement.broken.clone())));
    }
    if total.divergent > 0 || total.compared == 0 {
        let what = format!("divergent {} of {} znodes", total.divergent, total.compared);
        return Err(with_fields(Failure::divergent(what).whys(verified.lines())));
    }
    let bounced = judgement.bounces();
    if epochs > 20 && bounced == 0 {
        let failure = Failure::failed("no write of a deposed controller ever came, so nothing was proven");
        return Err(with_fields(failure));
    }
    let turns: Vec<_> = counts.turns.iter().map(|(turn, count)| format!("{count} {turn}")).collect();
    let outcome = Outcome::done()
        .say(format!("{epochs} epochs, and {} that passed at once: {}", counts.passed_over, turns.join(", ")))
        .say(format!(
            "{} claims, {} refused; {} resumed, {} synced everything; the log ends at {}",
            judgement.claims.len(),
            counts.refused_claims,
            counts.resumes,
            counts.full_syncs,
            counts.log_end
        ))
        .say(format!(
            "by ZooKeeper's transaction log: {} multis, each by the one leader of its epoch; {bounced} of deposed leaders \
             came late and bounced",
            judgement.written.values().sum::<u64>()
        ))
        .say(format!("both in step: divergent {} of {} znodes", total.divergent, total.compared));
    Ok(fields.into_iter().fold(outcome, |outcome, (key, value)| outcome.field(key, value)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use metadata_core::id::{KRaftLeaderEpoch, NodeId};
    use metadata_core::image::MetadataImage;
    use metadata_core::projection::Comparison;

    use super::*;
    use crate::cli::Exit;
    use crate::controller::VerifyReport;
    use crate::rivals::{FightCounts, Judgement};

    fn fight(compared: u64, divergent: u64, bounced: u64, broken: &[&str]) -> Fight {
        let mut verified = VerifyReport::of(Comparison::default(), &MetadataImage::default(), 0);
        (verified.total.compared, verified.total.divergent) = (compared, divergent);
        let judgement = Judgement {
            written: BTreeMap::from([((KRaftLeaderEpoch(1), NodeId(3000)), 7)]),
            bounced: BTreeMap::from([(NodeId(3001), bounced)]),
            broken: broken.iter().map(|it| (*it).to_owned()).collect(),
            ..Judgement::default()
        };
        Fight { counts: FightCounts::default(), judgement, verified }
    }

    #[test]
    fn the_verdict_comes_with_all_counts() {
        let fields = conclude(100, &fight(9, 0, 3, &[]), "again").unwrap().into_fields().unwrap();
        assert_eq!((&fields["multis"], &fields["multis_bounced"]), (&7.into(), &3.into()));
        assert_eq!((&fields["compared_znodes"], &fields["divergent_znodes"]), (&9.into(), &0.into()));
        crate::documents::assert_fields_are_documented(fields.keys().map(String::as_str));
    }

    #[test]
    fn two_writers_are_worse_than_a_difference_and_a_fight_without_a_blow_is_none() {
        for (fight, exit) in [
            (fight(9, 0, 3, &["RIV-1: two"]), Exit::Damaged),
            (fight(9, 1, 3, &["RIV-1: two"]), Exit::Damaged),
            (fight(9, 1, 3, &[]), Exit::Divergent),
            (fight(0, 0, 3, &[]), Exit::Divergent),
            (fight(9, 0, 0, &[]), Exit::Failed),
        ] {
            let failure = conclude(100, &fight, "again").unwrap_err();
            assert_eq!(failure.exit(), exit);
            assert!(failure.lines().iter().any(|line| line.contains("again")), "{:?}", failure.lines());
        }
        assert!(conclude(3, &fight(9, 0, 0, &[]), "again").is_ok(), "a few epochs may pass in peace");
    }
}
