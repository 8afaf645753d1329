//! What a member shows of its applied state.

use metadata_core::id::Offset;
use metadata_core::image::MetadataImage;
use metadata_core::leadership::LogExtent;

use super::apply::Started;
/// The applied state, as of one moment. Whoever reads the log looks at nothing behind its end.
#[derive(Debug, Clone, Default)]
pub(crate) struct View {
    /// The image at the committed end.
    pub(crate) image: MetadataImage,
    /// First offset of the log (inclusive): below it there are only snapshots.
    pub(crate) start: Offset,
    /// Epochs and end.
    pub(crate) extent: LogExtent,
    /// The last leader whose first entry was applied by this process.
    pub(crate) started: Option<Started>,
    /// Counts the snapshots that were finished by this process, also those that were there already.
    pub(crate) snapshots_finished: u64,
    /// Counts the snapshots that could not be written, with the reason of the last one.
    pub(crate) snapshots_failed: (u64, String),
    /// So much was written since the last snapshot that another is due.
    pub(crate) snapshot_due: bool,
    /// Something was removed that the store that lags behind would need.
    pub(crate) hold_given_up: bool,
}
