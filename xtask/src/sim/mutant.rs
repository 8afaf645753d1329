//! Bugs that somebody nearly made, or that Kafka made, put into the path between the real code and its ports. A simulator
//! that does not find them proves nothing.

use std::fmt;

/// One bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Mutant {
    BumpInsteadOfReclaim,
    LostAnswerTakenForSuccess,
    BlindRetry,
    ResumeOneOpLate,
    ResumeOneOpEarly,
    ClaimUnconditional,
    NoEpochCheck,
    MarkerApart,
    StaleMarkerAtClaim,
    InterruptedSyncTakenForDone,
    ImageAheadOfMarker,
    EpochRefreshedWhenFenced,
    GovernedIgnored,
    OwnClaimNotRecognised,
    PollStops,
    MarkerFirst,
    CopyShownEarly,
}

/// What is told of a bug.
pub(crate) struct Story {
    pub(crate) name: &'static str,
    /// What it does, and who made it or nearly did.
    pub(crate) story: &'static str,
    /// The invariants that may see it, by id.
    pub(crate) caught_by: &'static [&'static str],
}

impl Mutant {
    pub(crate) const ALL: [Self; 17] = [
        Self::BumpInsteadOfReclaim,
        Self::LostAnswerTakenForSuccess,
        Self::BlindRetry,
        Self::ResumeOneOpLate,
        Self::ResumeOneOpEarly,
        Self::ClaimUnconditional,
        Self::NoEpochCheck,
        Self::MarkerApart,
        Self::StaleMarkerAtClaim,
        Self::InterruptedSyncTakenForDone,
        Self::ImageAheadOfMarker,
        Self::EpochRefreshedWhenFenced,
        Self::GovernedIgnored,
        Self::OwnClaimNotRecognised,
        Self::PollStops,
        Self::MarkerFirst,
        Self::CopyShownEarly,
    ];

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mutant| mutant.story().name == name)
    }

    pub(crate) fn story(self) -> Story {
        let told = |name, story, caught_by| Story { name, story, caught_by };
        match self {
            Self::BumpInsteadOfReclaim => told(
                "bump-instead-of-reclaim",
                "after a new session the marker is only bumped; late multis of the old session pass (our first design)",
                &["MIG-1", "MIG-3"],
            ),
            Self::LostAnswerTakenForSuccess => told(
                "lost-answer-taken-for-success",
                "a multi whose answer was lost counts as applied (L10)",
                &["MIG-3", "MIG-4", "MIG-11", "MIG-12"],
            ),
            Self::BlindRetry => told(
                "blind-retry",
                "no version is expected of the marker, and a multi whose answer was lost is sent again (Kafka: \
                 retryMigrationRequestsUntilConnected)",
                &["MIG-3", "MIG-4", "MIG-7", "MIG-10", "MIG-11", "MIG-12"],
            ),
            Self::ResumeOneOpLate => told(
                "resume-one-op-late",
                "a successor goes on one op behind next_op",
                &["MIG-3", "MIG-4", "MIG-10", "MIG-11"],
            ),
            Self::ResumeOneOpEarly => told(
                "resume-one-op-early",
                "a successor repeats the op before next_op",
                &["MIG-3", "MIG-4", "MIG-10", "MIG-11"],
            ),
            Self::ClaimUnconditional => told(
                "claim-unconditional",
                "the claim sets its nodes at whatever version they have, as a plain set-data would",
                &["MIG-1", "MIG-3", "MIG-7", "MIG-8", "MIG-10"],
            ),
            Self::NoEpochCheck => told(
                "no-epoch-check",
                "multis do not check /controller_epoch: only the marker's version keeps late ones out",
                &["MIG-1", "MIG-8"],
            ),
            Self::MarkerApart => told(
                "marker-apart",
                "the marker is set by a request of its own behind the ops (Kafka, L11)",
                &["MIG-3"],
            ),
            Self::StaleMarkerAtClaim => told(
                "stale-marker-at-claim",
                "the marker is read without a barrier and not checked by the claim (KAFKA-16171)",
                &["MIG-1", "MIG-3", "MIG-4", "MIG-7", "MIG-10", "MIG-11"],
            ),
            Self::InterruptedSyncTakenForDone => told(
                "interrupted-sync-taken-for-done",
                "a sync that was interrupted is not run again: the batches go on from the marker",
                &["MIG-3", "MIG-4", "MIG-11"],
            ),
            Self::ImageAheadOfMarker => told(
                "image-ahead-of-marker",
                "the successor plans from its newest image in place of the one at the marker",
                &["MIG-3", "MIG-4", "MIG-10", "MIG-11"],
            ),
            Self::EpochRefreshedWhenFenced => told(
                "epoch-refreshed-when-fenced",
                "a writer that was deposed reads the new versions and sends its multi again",
                &["MIG-1", "MIG-8"],
            ),
            Self::GovernedIgnored => told(
                "governed-ignored",
                "another version of /controller_epoch than the marker's is taken for ours (Kafka knows no ZK_GOVERNED)",
                &["MIG-8"],
            ),
            Self::OwnClaimNotRecognised => told(
                "own-claim-not-recognised",
                "our own /controller is taken for that of a newer controller (Kafka, L9)",
                &["MIG-11"],
            ),
            Self::PollStops => {
                told("poll-stops", "an order whose answer is lost is waited for without end", &["MIG-11"])
            }
            Self::MarkerFirst => told(
                "marker-first",
                "the marker names the batch's end with the first of its multis",
                &["MIG-3", "MIG-10"],
            ),
            Self::CopyShownEarly => told(
                "copy-shown-early",
                "the copy's batches are committed as they come (Kafka before KIP-868)",
                &["MIG-5"],
            ),
        }
    }
}

impl fmt::Display for Mutant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.story().name)
    }
}
