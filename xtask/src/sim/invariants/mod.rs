//! What may never happen, a file each. The id is in the check, in the docs and in the line that reports it.

mod mig_1;
mod mig_10;
mod mig_11;
mod mig_12;
mod mig_2;
mod mig_3;
mod mig_4;
mod mig_5;
mod mig_6;
mod mig_7;
mod mig_8;
mod mig_9;

use metadata_core::id::Position;
use metadata_core::projection::Difference;

use super::truth::{AppendStep, MultiStep};

/// ZooKeeper's tree held against the image at the marker, at a moment when the marker says that it is that image.
pub(super) struct WholeStep<'a> {
    /// Where the marker is.
    pub(super) at: Position,
    /// What just happened that makes the tree whole.
    pub(super) by: Completion,
    /// Znodes that differ.
    pub(super) divergent: u64,
    /// The first of them.
    pub(super) differences: &'a [Difference],
}

/// Why a tree was compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Completion {
    /// A batch ended.
    Batch,
    /// A full sync ended.
    Sync,
    /// The copy ended.
    Copy,
}

/// What a controller tells of itself.
pub(super) struct BeliefStep {
    pub(super) node: metadata_core::id::NodeId,
    /// Where it says that ZooKeeper is.
    pub(super) zookeeper_at: Position,
    /// The furthest that ZooKeeper's marker ever said.
    pub(super) furthest: Position,
}

/// How a rule was broken.
pub(super) type Broken = Result<(), String>;

/// A rule. It sees every step of the world, and may remember.
pub(super) trait Invariant {
    /// The id, as the docs have it.
    fn id(&self) -> &'static str;

    /// What may never happen, in a sentence, and where that comes from.
    fn never(&self) -> &'static str;

    /// After each multi that was applied.
    fn multi(&mut self, _step: &MultiStep<'_>) -> Broken {
        Ok(())
    }

    /// After each batch that was committed.
    fn append(&mut self, _step: &AppendStep<'_>) -> Broken {
        Ok(())
    }

    /// Whenever the tree was compared.
    fn whole(&mut self, _step: &WholeStep<'_>) -> Broken {
        Ok(())
    }

    /// After each step of the world, for each controller that runs.
    fn belief(&mut self, _step: &BeliefStep) -> Broken {
        Ok(())
    }
}

/// All of them.
pub(super) fn all() -> Vec<Box<dyn Invariant>> {
    vec![
        Box::new(mig_1::OneWriter::default()),
        Box::new(mig_2::NoDeltaBeforeItsTime),
        Box::new(mig_3::ExactPrefix),
        Box::new(mig_4::SidesAgree),
        Box::new(mig_5::AbortedCopyIsInvisible),
        Box::new(mig_6::PostMigrationIsFinal),
        Box::new(mig_7::NothingGoesBack),
        Box::new(mig_8::GovernedIsKept),
        Box::new(mig_9::OneCopy::default()),
        Box::new(mig_10::PlanAsMade::default()),
        Box::new(mig_11::Finishes),
        Box::new(mig_12::NobodyBelievesMore),
    ]
}

/// Whether the tree is the image's; if not, how it differs.
fn equal(step: &WholeStep<'_>) -> Broken {
    if step.divergent == 0 {
        return Ok(());
    }
    let shown: Vec<String> = step
        .differences
        .iter()
        .map(|it| {
            let of = |text: &Option<String>| text.clone().unwrap_or_else(|| "absent".to_owned());
            format!("{} is {}, the image says {}", it.entity, of(&it.candidate), of(&it.oracle))
        })
        .collect();
    Err(format!("{} znodes differ: {}", step.divergent, shown.join("; ")))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn ids_are_one_of_each_and_every_rule_says_what_it_forbids() {
        let all = super::all();
        let ids: BTreeSet<_> = all.iter().map(|rule| rule.id()).collect();
        assert_eq!(ids.len(), all.len());
        assert!(all.iter().all(|rule| rule.never().len() > 20));
        let known: Vec<_> = crate::sim::Mutant::ALL.iter().flat_map(|it| it.story().caught_by).collect();
        assert!(known.iter().all(|id| ids.contains(*id)), "{known:?}");
    }
}
