//! The moments, by name.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

/// A step of the migration that writes, or on which a write depends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    /// The first look at the log.
    Survey,
    /// The look at ZooKeeper that the decision table asks for.
    SurveyZooKeeper,
    /// The first records of an empty log.
    Bootstrap,
    /// The append that registers brokers.
    Register,
    /// The append that fences brokers.
    Fence,
    /// The count of assigned replicas.
    JudgeBrokers,
    /// Reading everything as the copy would.
    Rehearse,
    /// The claim as a whole.
    Claim,
    /// The claim's one multi.
    ClaimMulti,
    /// The transaction's first append.
    CopyBegin,
    /// Reading everything for the copy.
    CopyRead,
    /// An append within the transaction.
    CopyBatch,
    /// The append that ends it, with MIGRATION.
    CopyEnd,
    /// The full sync as a whole.
    Sync,
    /// A multi of it.
    SyncMulti,
    /// A multi of dual writing.
    DualWriteMulti,
    /// The comparison before the end.
    FinalizeCompare,
    /// The append of POST_MIGRATION.
    FinalizeAppend,
    /// The copy of what a rollback removes, and the note that one has begun.
    RollbackKeep,
    /// The one multi of a rollback.
    RollbackGiveBack,
    /// The note that it is done.
    RollbackSeal,
}

/// On which side of the step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum When {
    /// Nothing of it was sent.
    Before,
    /// It was answered, and nobody has seen the answer.
    After,
}

impl Step {
    /// All, in the order of a migration, and then of what may end it.
    pub(crate) const ALL: [Self; 21] = [
        Self::Survey,
        Self::SurveyZooKeeper,
        Self::Bootstrap,
        Self::Register,
        Self::Fence,
        Self::JudgeBrokers,
        Self::Rehearse,
        Self::Claim,
        Self::ClaimMulti,
        Self::CopyBegin,
        Self::CopyRead,
        Self::CopyBatch,
        Self::CopyEnd,
        Self::Sync,
        Self::SyncMulti,
        Self::DualWriteMulti,
        Self::FinalizeCompare,
        Self::FinalizeAppend,
        Self::RollbackKeep,
        Self::RollbackGiveBack,
        Self::RollbackSeal,
    ];

    /// As it is typed.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Survey => "survey",
            Self::SurveyZooKeeper => "survey-zookeeper",
            Self::Bootstrap => "bootstrap",
            Self::Register => "register",
            Self::Fence => "fence",
            Self::JudgeBrokers => "judge-brokers",
            Self::Rehearse => "rehearse",
            Self::Claim => "claim",
            Self::ClaimMulti => "claim-multi",
            Self::CopyBegin => "copy-begin",
            Self::CopyRead => "copy-read",
            Self::CopyBatch => "copy-batch",
            Self::CopyEnd => "copy-end",
            Self::Sync => "sync",
            Self::SyncMulti => "sync-multi",
            Self::DualWriteMulti => "dual-write-multi",
            Self::FinalizeCompare => "finalize-compare",
            Self::FinalizeAppend => "finalize-append",
            Self::RollbackKeep => "rollback-keep",
            Self::RollbackGiveBack => "rollback-give-back",
            Self::RollbackSeal => "rollback-seal",
        }
    }

    /// The driver's effect that it is part of, as `migration::driver::Effect` names it; in brackets what else it is part of.
    pub(crate) fn effect(self) -> &'static str {
        match self {
            Self::Survey | Self::SurveyZooKeeper => "Survey",
            Self::Bootstrap => "BootstrapMigration",
            Self::Register | Self::Fence => "(registrar)",
            Self::JudgeBrokers => "JudgeBrokers",
            Self::Rehearse => "Rehearse",
            Self::Claim | Self::ClaimMulti => "Claim",
            Self::CopyBegin | Self::CopyRead | Self::CopyBatch | Self::CopyEnd => "Copy",
            Self::Sync | Self::SyncMulti => "Sync",
            Self::DualWriteMulti => "DualWrite",
            Self::FinalizeCompare | Self::FinalizeAppend => "Finalize",
            Self::RollbackKeep | Self::RollbackGiveBack | Self::RollbackSeal => "(rollback)",
        }
    }

    /// What it is, in a few words.
    pub(crate) fn what(self) -> &'static str {
        match self {
            Self::Survey => "the first look at the log",
            Self::SurveyZooKeeper => "the first look at the marker and at who governs",
            Self::Bootstrap => "the append of the first records, PRE_MIGRATION among them",
            Self::Register => "the append that registers the brokers in /brokers/ids",
            Self::Fence => "the append that fences those that are gone",
            Self::JudgeBrokers => "the look at who has replicas",
            Self::Rehearse => "the read of everything before the claim",
            Self::Claim => "the claim, with its reads",
            Self::ClaimMulti => "the one multi of the claim",
            Self::CopyBegin => "the append that begins the copy's transaction",
            Self::CopyRead => "the read of everything within it",
            Self::CopyBatch => "the append number N within it",
            Self::CopyEnd => "the append that ends it, with MIGRATION",
            Self::Sync => "the full sync, as a whole",
            Self::SyncMulti => "its multi number N",
            Self::DualWriteMulti => "the multi number N of dual writing",
            Self::FinalizeCompare => "the comparison of every znode before the end",
            Self::FinalizeAppend => "the append of POST_MIGRATION",
            Self::RollbackKeep => "the copy of what goes, and the note that a rollback has begun",
            Self::RollbackGiveBack => "the one multi that gives the role back",
            Self::RollbackSeal => "the note that the rollback is done",
        }
    }

    /// Whether it happens as often as the cluster is large.
    pub(crate) fn repeats(self) -> bool {
        matches!(self, Self::CopyBatch | Self::SyncMulti | Self::DualWriteMulti)
    }
}

impl When {
    /// Both.
    pub(crate) const ALL: [Self; 2] = [Self::Before, Self::After];

    fn name(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::After => "after",
        }
    }
}

/// A moment: `claim:before`, `copy-batch-2:after`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Moment {
    pub(crate) step: Step,
    /// From 1; of a step that repeats.
    pub(crate) number: u32,
    pub(crate) when: When,
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { step, number, when } = self;
        if step.repeats() {
            write!(f, "{}-{number}:{}", step.name(), when.name())
        } else {
            write!(f, "{}:{}", step.name(), when.name())
        }
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unknown = || format!("{text:?} is no moment; `chaos --list` names them");
        let (step, when) = text.split_once(':').ok_or_else(unknown)?;
        let when = When::ALL.into_iter().find(|it| it.name() == when).ok_or_else(unknown)?;
        let (step, number) = numbered(step).ok_or_else(unknown)?;
        let number = number.map_or(1, NonZeroU32::get);
        Ok(Self { step, number, when })
    }
}

/// A step, and its number if it has one: `sync-multi-3`. `sync-multi` alone names the step.
pub(super) fn numbered(text: &str) -> Option<(Step, Option<NonZeroU32>)> {
    let named = |name: &str| Step::ALL.into_iter().find(|step| step.name() == name);
    if let Some(step) = named(text) {
        return Some((step, None));
    }
    let (name, number) = text.rsplit_once('-')?;
    let step = named(name).filter(|step| step.repeats())?;
    Some((step, Some(number.parse().ok()?)))
}

impl Moment {
    /// All moments that `text` asks for: everything (`all`), a step's, or one. Of steps that repeat it is the first of
    /// each: `true` beside it asks for those behind it too.
    pub(crate) fn selected(text: &str) -> Result<Vec<(Self, bool)>, String> {
        let both = |step: Step| When::ALL.map(|when| (Self { step, number: 1, when }, step.repeats()));
        if text == "all" {
            return Ok(Step::ALL.into_iter().flat_map(both).collect());
        }
        match numbered(text) {
            Some((step, None)) => Ok(both(step).to_vec()),
            Some((step, Some(number))) => {
                Ok(When::ALL.map(|when| (Self { step, number: number.get(), when }, false)).to_vec())
            }
            None => text.parse().map(|moment| vec![(moment, false)]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_moment_is_read_as_it_is_written() {
        for step in Step::ALL {
            for when in When::ALL {
                let number = if step.repeats() { 12 } else { 1 };
                let moment = Moment { step, number, when };
                assert_eq!(moment.to_string().parse(), Ok(moment));
                assert!(!step.what().is_empty() && !step.effect().is_empty());
            }
        }
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for text in ["", "claim", "claim:", "claim:now", "claim-2:before", "sync-multi-0:after", "sync-multi-x:after"] {
            assert!(text.parse::<Moment>().unwrap_err().contains("--list"), "{text}");
        }
    }

    #[test]
    fn a_selection_is_everything_a_step_or_a_moment() {
        let names = |text: &str| -> Vec<String> {
            let selected = Moment::selected(text).unwrap();
            selected.iter().map(|(moment, on)| format!("{moment}{}", if *on { ".." } else { "" })).collect()
        };
        assert_eq!(names("all").len(), 2 * Step::ALL.len());
        assert_eq!(names("copy-end"), ["copy-end:before", "copy-end:after"]);
        assert_eq!(names("sync-multi"), ["sync-multi-1:before..", "sync-multi-1:after.."]);
        assert_eq!(names("sync-multi-3"), ["sync-multi-3:before", "sync-multi-3:after"]);
        assert_eq!(names("sync-multi-3:after"), ["sync-multi-3:after"]);
        assert!(Moment::selected("tomorrow").is_err());
    }
}
