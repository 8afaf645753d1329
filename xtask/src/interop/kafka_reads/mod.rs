//! Kafka reads ours: its log tools read every file that our controller leaves, and a KRaft cluster boots from an export.

mod boots;
mod dumps;

use super::{Findings, Lab, PartOptions};
use crate::cli::Failure;

pub(super) async fn run(lab: &Lab, options: PartOptions) -> Result<Findings, Failure> {
    let mut findings = Findings::new();
    dumps::run(lab, options.quick, &mut findings).await?;
    boots::run(lab, options.quick, &mut findings).await?;
    Ok(findings)
}
