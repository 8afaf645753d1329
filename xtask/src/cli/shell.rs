//! What is printed where.

use std::fmt::Display;
use std::io::{self, Write};
use std::sync::LazyLock;
use std::time::Instant;

use indicatif::MultiProgress;

use super::outcome::{Fields, to_value};
use super::progress::Progress;
use super::{Exit, VerbResult};

/// All progress bars of the process, so that other lines can be written beside them.
static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// Runs `write` while no bar is in the way.
pub(super) fn beside_the_bars<T>(write: impl FnOnce() -> T) -> T {
    BARS.suspend(write)
}

/// The place where a verb speaks. People read stdout; with `--json` a program does: then the last line there is one JSON
/// object and everything else goes to stderr.
#[derive(Debug, Clone)]
pub struct Shell {
    verb: String,
    json: bool,
    started: Instant,
}

impl Shell {
    /// The shell of one verb, which starts now.
    pub fn new(verb: impl Into<String>, json: bool) -> Self {
        Self { verb: verb.into(), json, started: Instant::now() }
    }

    /// Whether a program reads stdout.
    pub fn json(&self) -> bool {
        self.json
    }

    /// A line of the result, for people: on stdout, or on stderr with `--json`.
    pub fn say(&self, line: impl Display) {
        if self.json {
            self.note(line);
        } else {
            print(&mut io::stdout(), line);
        }
    }

    /// A remark on the way: on stderr.
    pub fn note(&self, line: impl Display) {
        print(&mut io::stderr(), line);
    }

    /// The object of `--json`, on stdout: `ok` and the fields, and `verb` and `seconds`, which every object has. Without
    /// `--json` it prints nothing.
    pub fn object(&self, ok: bool, fields: Fields) {
        if self.json {
            print(&mut io::stdout(), object(&self.verb, ok, self.started.elapsed().as_secs_f64(), fields));
        }
    }

    /// A progress bar, or lines where there is no terminal. `total` is the number of `unit`s to do.
    pub fn progress(&self, label: &'static str, unit: &'static str, total: u64) -> Progress {
        Progress::start(&BARS, label, unit, total)
    }

    /// Prints how a verb ended.
    pub fn finish(&self, result: VerbResult) -> Exit {
        match result {
            Ok(outcome) => {
                for line in outcome.text() {
                    self.say(line);
                }
                if let Some(fields) = outcome.into_fields() {
                    self.object(true, fields);
                }
                Exit::Done
            }
            Err(failure) => {
                for line in failure.lines() {
                    self.note(line);
                }
                let exit = failure.exit();
                self.object(false, failure.into_fields());
                exit
            }
        }
    }
}

/// Nobody may be reading any more (`xtask ... | head`), which is no reason to fail.
///
/// The bars come first and the stream after them, as for a line of the log: in another order two threads would wait for each
/// other for ever. So nobody may have locked `stream`.
fn print(stream: &mut impl Write, line: impl Display) {
    let line = format!("{line}\n");
    let written = beside_the_bars(|| stream.write_all(line.as_bytes()).and_then(|()| stream.flush()));
    drop(written);
}

fn object(verb: &str, ok: bool, seconds: f64, mut fields: Fields) -> serde_json::Value {
    fields.insert("ok".to_owned(), ok.into());
    fields.insert("verb".to_owned(), verb.into());
    fields.insert("seconds".to_owned(), to_value((seconds * 1000.0).round() / 1000.0));
    fields.into()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::*;
    use crate::cli::{Failure, Outcome};

    #[test]
    fn a_remark_and_a_line_of_the_log_do_not_wait_for_each_other() {
        let (done, is_done) = channel();
        // Should they wait for each other, the threads are left to themselves.
        std::thread::spawn(move || {
            beside_the_bars(|| {
                let (_begun, never) = channel::<()>();
                std::thread::spawn(|| Shell::new("test", false).note("a remark"));
                // Meanwhile the remark has come as far as it can.
                _ = never.recv_timeout(Duration::from_millis(100));
                _ = io::stderr().write_all(b"a line of the log\n");
            });
            _ = done.send(());
        });
        assert!(is_done.recv_timeout(Duration::from_secs(30)).is_ok(), "they wait for each other");
    }

    #[test]
    fn every_object_has_ok_verb_and_seconds() {
        let fields = Outcome::done().say("for people").field("topics", 7).into_fields().unwrap();
        let expected = serde_json::json!({"ok": true, "verb": "seed", "seconds": 1.235, "topics": 7});
        assert_eq!(object("seed", true, 1.23456, fields), expected);
    }

    #[test]
    fn the_exit_follows_the_result() {
        let shell = Shell::new("test", false);
        assert_eq!(shell.finish(Ok(Outcome::done())), Exit::Done);
        assert_eq!(shell.finish(Err(Failure::divergent("this is a test"))), Exit::Divergent);
    }
}
