//! `wgrad import`: a net from elsewhere as a run directory.

use super::args::ImportArgs;
use crate::error::Result;
use std::process::ExitCode;

pub(super) fn import(_: &ImportArgs) -> Result<ExitCode> {
    Err(crate::error::Error::usage("not yet"))
}
