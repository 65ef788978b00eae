//! The processes of an MPI job.

use crate::base::atomic::give_up_temporary_files;
use crate::base::error::{Error, ErrorKind, Result};
use crate::cli::arguments::terminal::mute;
use crate::train::ranks::Ranks;
use crate::train::ranks::mpi::{self, Mpi};
use std::sync::OnceLock;

static JOINED: OnceLock<Mpi> = OnceLock::new();

pub(super) fn start([started, _]: [usize; 2]) -> Result<()> {
    let mpi = Mpi::start(end_quietly)
        .ok_or_else(|| Error::failed("MPI is already initialized, or has been finalized"))?;
    let found = mpi.size();
    if found != started {
        let what = format!("{started} processes were started, but MPI knows {found}");
        return Err(Error::failed(what).help(
            "start them with the mpirun of the MPI library that wgrad was built with; under Slurm with srun --mpi=pmix",
        ));
    }
    let _ = JOINED.set(mpi);
    Ok(())
}

/// What a rank leaves when another has failed.
fn end_quietly() {
    mute(true);
    crate::observe::restore();
    give_up_temporary_files();
}

pub(super) fn rank() -> usize {
    JOINED.get().map_or(0, Ranks::rank)
}

pub(super) fn size() -> usize {
    JOINED.get().map_or(1, Ranks::size)
}

/// The number of this rank on its machine, and the number of ranks there.
pub(super) fn local() -> [usize; 2] {
    JOINED.get().map_or([0, 1], Mpi::local)
}

/// The processors of the machine, whether this rank may use them or not.
pub(super) fn processors() -> Option<usize> {
    let online = std::fs::read_to_string("/sys/devices/system/cpu/online").ok()?;
    let ranges = online.trim().split(',').map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(last.parse::<usize>().ok()?.checked_sub(first.parse().ok()?)? + 1)
    });
    ranges.sum()
}

pub(super) fn transport() -> Option<Box<dyn Ranks>> {
    let joined = JOINED.get().filter(|joined| joined.size() > 1)?;
    Some(Box::new(joined.clone()))
}

pub(super) fn fail(error: &Error, say: impl FnOnce(usize)) {
    // All ranks have the same loss.
    let is_of_all = error.kind() == ErrorKind::Diverged;
    mpi::fail(error.kind().exit_code(), is_of_all, say)
}

pub(super) fn finish() {
    mpi::finish();
}
