use super::{Findings, Lab, PartOptions};
use crate::cli::Failure;

pub(super) async fn run(_lab: &Lab, _options: PartOptions) -> Result<Findings, Failure> {
    Err(Failure::failed("this part is not there yet"))
}
