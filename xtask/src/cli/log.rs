//! Logging, on stderr.

use std::io::{self, Write};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use super::shell;

/// Starts logging: warnings only, `--verbose` says more, and `RUST_LOG` says exactly what.
pub(crate) fn start(verbose: bool) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default_filter(verbose)));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(BesideTheBars)
        .with_ansi(io::IsTerminal::is_terminal(&io::stderr()))
        .with_target(verbose);
    // Without --verbose a line of the log is a remark to a person.
    let started = if verbose { log.try_init() } else { log.without_time().try_init() };
    // Somebody logs already, which only tests do.
    drop(started);
}

fn default_filter(verbose: bool) -> &'static str {
    if verbose {
        "info,xtask=debug,migration=debug,store_zk=debug,store_kraft=debug,broker_registry=debug,fencing=debug"
    } else {
        // The client tells of each server that it tries; the error at the end names them all. Raft tells of each message that
        // a peer does not answer; `status` says who is silent.
        "warn,zookeeper_client=error,openraft=off"
    }
}

/// Writes lines above a progress bar instead of through it.
struct BesideTheBars;

impl MakeWriter<'_> for BesideTheBars {
    type Writer = Line;

    fn make_writer(&self) -> Line {
        Line
    }
}

struct Line;

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        shell::beside_the_bars(|| io::stderr().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
