//! `cargo xtask ci`: every check, and nothing written.

use clap::ValueEnum as _;

use crate::ci::{self, Stage};
use crate::cli::{Failure, Interrupt, Shell, VerbResult};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run only these
    #[arg(value_enum)]
    stages: Vec<Stage>,
}

pub(crate) async fn run(args: Args, shell: &Shell) -> VerbResult {
    let interrupt = Interrupt::listen().map_err(|error| Failure::failed("can't listen for Ctrl-C").because(&error))?;
    let stages = if args.stages.is_empty() { Stage::value_variants() } else { &args.stages };
    ci::run(stages, shell, &interrupt).await
}
