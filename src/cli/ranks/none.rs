//! The replacement for ranks in a program built without MPI.

use crate::base::error::{Error, Result};
use crate::cli::arguments::terminal::say;
use crate::train::ranks::Ranks;

pub(super) fn start([size, rank]: [usize; 2]) -> Result<()> {
    if rank == 0 {
        say(format_args!(
            "warning: this is one of {size} processes, but wgrad was built without the feature mpi: each trains its own net; build it with cargo build --release --features mpi"
        ));
    }
    Ok(())
}

pub(super) fn rank() -> usize {
    0
}

pub(super) fn size() -> usize {
    1
}

pub(super) fn local() -> [usize; 2] {
    [0, 1]
}

pub(super) fn processors() -> Option<usize> {
    None
}

pub(super) fn transport() -> Option<Box<dyn Ranks>> {
    None
}

pub(super) fn fail(_: &Error, _: impl FnOnce(usize)) {}

pub(super) fn finish() {}
