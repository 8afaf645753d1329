//! Progress of long work, with rate and time left.

use std::fmt::Write;
use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};

/// Least time between two lines where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(2);

/// Work in progress: a bar on a terminal, a line now and then elsewhere, both on stderr. Dropping it takes the bar away.
#[derive(Debug)]
pub struct Progress(Kind);

#[derive(Debug)]
enum Kind {
    Hidden,
    Bar(ProgressBar),
    Lines(Mutex<Lines>),
}

impl Progress {
    /// Shows nothing.
    pub fn hidden() -> Self {
        Self(Kind::Hidden)
    }

    pub(super) fn start(bars: &MultiProgress, label: &'static str, unit: &'static str, total: u64) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self(Kind::Lines(Mutex::new(Lines::new(label, unit, total))));
        }
        let template =
            format!("{{prefix}} [{{bar:30}}] {{done}} of {{total}} {unit}, {{rate}}/s, {{eta}} left{{wide_msg}}");
        // The template is our own; should it be wrong, the plain bar does.
        let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
        // Numbers as in the lines. What can't be written is not shown.
        let style = style
            .progress_chars("=> ")
            .with_key("done", |state: &ProgressState, text: &mut dyn Write| _ = text.write_str(&grouped(state.pos())))
            .with_key("total", move |_: &ProgressState, text: &mut dyn Write| _ = text.write_str(&grouped(total)))
            .with_key("rate", |state: &ProgressState, text: &mut dyn Write| {
                _ = text.write_str(&grouped(state.per_sec() as u64));
            });
        let bar = bars.add(ProgressBar::new(total).with_style(style).with_prefix(label));
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(Kind::Bar(bar))
    }

    /// `count` more are done.
    pub fn advance(&self, count: u64) {
        match &self.0 {
            Kind::Hidden => {}
            Kind::Bar(bar) => bar.inc(count),
            Kind::Lines(lines) => {
                let line = match lines.lock() {
                    Ok(mut lines) => lines.advance(count, Instant::now()),
                    Err(_) => None,
                };
                if let Some(line) = line {
                    // Nobody may be reading any more.
                    drop(std::io::Write::write_all(&mut std::io::stderr(), format!("{line}\n").as_bytes()));
                }
            }
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Kind::Bar(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// Decides when a line is due and what it says.
#[derive(Debug)]
struct Lines {
    label: &'static str,
    unit: &'static str,
    total: u64,
    done: u64,
    started: Option<Instant>,
    last: Option<Instant>,
}

impl Lines {
    fn new(label: &'static str, unit: &'static str, total: u64) -> Self {
        Self { label, unit, total, done: 0, started: None, last: None }
    }

    /// The line that is due, if one is. Time starts with the first call.
    fn advance(&mut self, count: u64, now: Instant) -> Option<String> {
        self.done += count;
        let started = *self.started.get_or_insert(now);
        let since = now.saturating_duration_since(self.last.unwrap_or(started));
        if since < LINE_INTERVAL {
            return None;
        }
        self.last = Some(now);
        Some(line(self.label, self.unit, self.done, self.total, now.saturating_duration_since(started)))
    }
}

fn line(label: &str, unit: &str, done: u64, total: u64, elapsed: Duration) -> String {
    let mut line = format!("{label}: {} of {} {unit}", grouped(done), grouped(total));
    let seconds = elapsed.as_secs_f64();
    if seconds > 0.0 && done > 0 {
        let rate = done as f64 / seconds;
        let left = total.saturating_sub(done) as f64 / rate;
        // Writing to a String can't fail.
        let _ = write!(line, ", {}/s, {} s left", grouped(rate as u64), grouped(left.ceil() as u64));
    }
    line
}

/// Digits in groups of three.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_how_fast_and_how_long() {
        for (done, total, seconds, expected) in [
            (0, 10, 0, "seed: 0 of 10 znodes"),
            (50_000, 2_000_000, 2, "seed: 50 000 of 2 000 000 znodes, 25 000/s, 78 s left"),
            (999, 1000, 999, "seed: 999 of 1 000 znodes, 1/s, 1 s left"),
            (1200, 1000, 1, "seed: 1 200 of 1 000 znodes, 1 200/s, 0 s left"),
        ] {
            assert_eq!(line("seed", "znodes", done, total, Duration::from_secs(seconds)), expected);
        }
    }

    #[test]
    fn lines_come_at_most_every_two_seconds() {
        let start = Instant::now();
        let mut lines = Lines::new("seed", "znodes", 1000);
        let due: Vec<u64> =
            (0..100).filter(|i| lines.advance(1, start + Duration::from_millis(100 * i)).is_some()).collect();
        assert_eq!(due, [20, 40, 60, 80]);
    }
}
