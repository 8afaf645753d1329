//! Shows how far a controller is with what it was asked.

use std::pin::pin;

use tokio::sync::mpsc;

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

    /// How much is done, as far as was heard.
    pub(super) fn done(&self) -> u64 {
        self.done
    }
}

/// Does `work` and tells what it reports meanwhile.
pub(super) async fn telling<T>(
    work: impl Future<Output = T>,
    mut reports: mpsc::Receiver<Progressed>,
    mut told: Told<'_>,
) -> T {
    let mut work = pin!(work);
    loop {
        tokio::select! {
            biased;
            done = &mut work => return done,
            Some(report) = reports.recv() => told.hear(&report),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Reporter;

    #[tokio::test]
    async fn work_is_done_while_its_reports_are_heard() {
        let shell = Shell::new("test", true);
        let (reporter, reports) = Reporter::new();
        // More than the channel holds: nobody may wait for the listener.
        let work = async {
            for done in 0..100 {
                reporter.report(done, Some(100), "changes");
                tokio::task::yield_now().await;
            }
            7
        };
        assert_eq!(telling(work, reports, Told::new(&shell, "x", "changes")).await, 7);
        let mut told = Told::new(&shell, "x", "changes");
        for (done, expected) in [(5, 5), (3, 5), (9, 9)] {
            told.hear(&Progressed { done, total: None, unit: "changes".to_owned() });
            assert_eq!(told.done(), expected);
        }
    }
}
