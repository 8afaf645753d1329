//! Images of the recent past, to go on from where a store that lags behind is.
//!
//! A new leader needs the image at ZooKeeper's position, which is nearly always a little behind its own. Images share what they have
//! in common, so keeping them costs what changed between them, while replaying one from the last snapshot costs as much as the
//! cluster is large.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use metadata_core::id::Offset;
use metadata_core::image::MetadataImage;

/// Images that are kept, at most. When there are more, the one goes that leaves the smallest gap: what lies in it is replayed.
const KEPT_MAX: usize = 512;

/// See the module. Positions ascend.
#[derive(Debug, Default)]
pub(crate) struct RecentImages(Mutex<VecDeque<MetadataImage>>);

impl RecentImages {
    fn images(&self) -> MutexGuard<'_, VecDeque<MetadataImage>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps an image. One that is not newer than the last means that the log began anew, and is the only one then.
    pub(crate) fn keep(&self, image: &MetadataImage) {
        let mut images = self.images();
        let end = image.position().end_offset;
        match images.back().map(|last| last.position().end_offset) {
            Some(last) if last == end => return,
            Some(last) if last > end => images.clear(),
            _ => {}
        }
        images.push_back(image.clone());
        if images.len() > KEPT_MAX {
            let end = |number: usize| images.get(number).map_or(0, |image| image.position().end_offset.0);
            let least = (1..images.len() - 1).min_by_key(|number| end(number + 1) - end(number - 1));
            least.and_then(|number| images.remove(number));
        }
    }

    /// Forgets what lies before the newest image at or below `offset` (exclusive end).
    pub(crate) fn forget_before(&self, offset: Offset) {
        let mut images = self.images();
        while images.get(1).is_some_and(|second| second.position().end_offset <= offset) {
            images.pop_front();
        }
    }

    /// Forgets all.
    pub(crate) fn clear(&self) {
        self.images().clear();
    }

    /// The newest image at or below `offset` (exclusive end).
    pub(crate) fn at_most(&self, offset: Offset) -> Option<MetadataImage> {
        self.images().iter().rev().find(|image| image.position().end_offset <= offset).cloned()
    }
}

#[cfg(test)]
mod tests {
    use metadata_core::id::{KRaftLeaderEpoch, Position, TimestampMs};
    use metadata_core::image::MetadataDelta;

    use super::*;

    fn image(end: i64) -> MetadataImage {
        let position = Position { epoch: KRaftLeaderEpoch(1), end_offset: Offset(end) };
        MetadataDelta::new(&MetadataImage::empty()).apply(position, TimestampMs(0))
    }

    fn at_most(recent: &RecentImages, offset: i64) -> Option<i64> {
        recent.at_most(Offset(offset)).map(|image| image.position().end_offset.0)
    }

    #[test]
    fn the_newest_that_is_old_enough_is_found_and_what_nobody_needs_goes() {
        let recent = RecentImages::default();
        assert_eq!(at_most(&recent, 100), None);
        for end in [10, 20, 20, 30] {
            recent.keep(&image(end));
        }
        for (offset, expected) in [(9, None), (10, Some(10)), (19, Some(10)), (20, Some(20)), (99, Some(30))] {
            assert_eq!(at_most(&recent, offset), expected, "{offset}");
        }
        recent.forget_before(Offset(25));
        assert_eq!((at_most(&recent, 19), at_most(&recent, 20)), (None, Some(20)));
        recent.forget_before(Offset(500));
        assert_eq!((at_most(&recent, 29), at_most(&recent, 30)), (None, Some(30)), "the newest stays");
        // A snapshot of others, older than what was here.
        recent.keep(&image(7));
        assert_eq!(at_most(&recent, 99), Some(7));
    }

    #[test]
    fn however_many_come_few_are_kept_and_none_is_far_from_another() {
        let recent = RecentImages::default();
        for end in 1..5_000 {
            recent.keep(&image(end));
        }
        assert!(recent.images().len() <= KEPT_MAX);
        for offset in 1..5_000 {
            let found = at_most(&recent, offset).unwrap();
            assert!(offset - found < 40, "{offset}: {found}");
        }
    }
}
