//! Shows how far a controller is with what it was asked.

use crate::cli::{Progress, Shell};
use crate::control::Progressed;

/// A progress bar that appears with the first word from the controller.
pub(super) struct Told<'a> {
    shell: &'a Shell,
    label: &'static str,
    unit: &'static str,
    bar: Option<Progress>,
    done: u64,
}

impl<'a> Told<'a> {
    pub(super) fn new(shell: &'a Shell, label: &'static str, unit: &'static str) -> Self {
        Self { shell, label, unit, bar: None, done: 0 }
    }

    /// Takes a word. What comes late or twice moves nothing back.
    pub(super) fn hear(&mut self, progress: &Progressed) {
        let Self { shell, label, unit, .. } = *self;
        let total = progress.total.unwrap_or_default();
        let bar = self.bar.get_or_insert_with(|| shell.progress(label, unit, total));
        bar.advance(progress.done.saturating_sub(self.done));
        self.done = self.done.max(progress.done);
    }
}
