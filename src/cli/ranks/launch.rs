//! The processes started together by a launcher: their number, the rank of this one, and how they end.

#[cfg(feature = "mpi")]
use super::mpi as processes;
#[cfg(not(feature = "mpi"))]
use super::none as processes;

use crate::backend::device::Device;
use crate::backend::gpu;
use crate::base::error::{Error, ErrorKind, Result};
use crate::cli::arguments::terminal::mute;
use crate::train::ranks::Ranks;
use std::path::{Path, PathBuf, absolute};
use std::thread;

/// Variables with which launchers pass the number of processes and the rank of this one.
const LAUNCHERS: [[&str; 2]; 4] = [
    ["OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"],
    ["PMI_SIZE", "PMI_RANK"],
    ["MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_RANK"],
    ["SLURM_STEP_NUM_TASKS", "SLURM_PROCID"],
];

/// The number of processes and the rank of this one; none if there is only one.
fn launched() -> Option<[usize; 2]> {
    let number = |name: &str| std::env::var(name).ok()?.trim().parse::<usize>().ok();
    let of = |[size, rank]: [&str; 2]| Some([number(size)?, number(rank)?]);
    LAUNCHERS.into_iter().find_map(of).filter(|[size, _]| *size > 1)
}

/// Joins the other processes that `mpirun` or `srun` started, if any.
pub(in crate::cli) fn start() -> Result<()> {
    let Some(launched) = launched() else { return Ok(()) };
    processes::start(launched)?;
    if follows() {
        mute(true);
    }
    Ok(())
}

/// The rank of this process, and the number of ranks.
pub(super) fn place() -> [usize; 2] {
    [processes::rank(), processes::size()]
}

/// Whether several ranks run.
pub(in crate::cli) fn are_several() -> bool {
    processes::size() > 1
}

/// Whether this rank isn't rank 0.
pub(in crate::cli) fn follows() -> bool {
    processes::rank() > 0
}

/// Refuses what only a single process can do.
pub(in crate::cli) fn refuse(what: &str) -> Result<()> {
    match are_several() {
        true => Err(Error::usage(format!("{what} cannot be used with several ranks"))
            .help("start it without mpirun and srun")),
        false => Ok(()),
    }
}

/// The threads of this rank: those requested, else its share of the machine's processors.
pub(in crate::cli) fn threads(asked: Option<usize>) -> Option<usize> {
    let [_, local] = processes::local();
    if asked.is_some() || local < 2 {
        return asked;
    }
    let usable = thread::available_parallelism().map_or(1, usize::from);
    // Launchers often bind each rank to its own processors.
    let is_bound = processes::processors().is_some_and(|all| usable < all);
    Some(if is_bound { usable } else { (usable / local).max(1) })
}

/// Ends all ranks with an error of this one, printed by `report`. Returns if there is no other rank.
pub(in crate::cli) fn fail(error: &Error, report: impl FnOnce(&Error)) {
    if !are_several() {
        // Wrong arguments are wrong for all ranks, before they are connected.
        let is_first = !cfg!(feature = "mpi") || launched().is_none_or(|[_, rank]| rank == 0);
        if error.kind() == ErrorKind::Usage && !is_first {
            std::process::exit(error.kind().exit_code().into());
        }
        return;
    }
    processes::fail(error, |rank| {
        mute(false);
        match rank {
            0 => report(error),
            rank => report(&error.clone().at(format!("rank {rank}"))),
        }
    });
}

/// Waits for the other ranks at the end of the process.
pub(in crate::cli) fn finish() {
    processes::finish();
}

/// A condition, as evaluated by rank 0.
pub(in crate::cli) fn as_first(holds: bool) -> Result<bool> {
    let mut value = [f64::from(u8::from(holds))];
    if let Some(mut ranks) = transport() {
        ranks.broadcast(&mut value)?;
    }
    Ok(value != [0.0])
}

/// The connection to the other ranks, if any.
pub(super) fn transport() -> Option<Box<dyn Ranks>> {
    processes::transport()
}

/// The device of this rank, if one is to be chosen: each rank of a machine gets its own GPU, if there are
/// enough.
pub(in crate::cli) fn device(asked: Device) -> Device {
    let local = processes::local();
    if local[1] < 2 || !matches!(asked, Device::Auto | Device::Gpu) {
        return asked;
    }
    let real = gpu::adapters().into_iter().filter(|adapter| !adapter.is_software);
    of_several(asked, &real.map(|adapter| adapter.index).collect::<Vec<_>>(), local)
}

/// The device of rank `rank` of the `count` ranks of a machine that has these GPUs.
fn of_several(asked: Device, gpus: &[usize], [rank, count]: [usize; 2]) -> Device {
    match gpus.get(rank) {
        Some(&gpu) if gpus.len() >= count => Device::Index(gpu),
        _ => asked,
    }
}

/// Whether this rank trains net `net` of several, counted from 0, which are distributed over the ranks.
pub(in crate::cli) fn is_own(net: usize) -> bool {
    net % processes::size() == processes::rank()
}

/// The run directory of rank 0, which it sends to the others.
pub(in crate::cli) fn directory_of_first(path: Option<&Path>) -> Result<PathBuf> {
    let Some(mut ranks) = transport() else { return Ok(path.unwrap_or(Path::new("")).into()) };
    let full = path
        .map(absolute)
        .transpose()
        .map_err(|e| Error::failed(format!("cannot find the working directory: {e}")))?;
    let text = full.as_deref().unwrap_or(Path::new("")).to_string_lossy().into_owned();
    let all = ranks.gather(text.as_bytes())?;
    let first = all.first().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    Ok(first.unwrap_or_default().into())
}

/// A barrier: waits for all ranks.
pub(in crate::cli) fn meet() -> Result<()> {
    match transport() {
        Some(mut ranks) => ranks.gather(&[]).map(|_| ()),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rank_of_a_machine_gets_its_own_gpu_where_there_are_enough() {
        let of = |gpus: &[usize], rank| of_several(Device::Auto, gpus, [rank, 2]);
        assert_eq!([of(&[0, 3], 0), of(&[0, 3], 1)], [Device::Index(0), Device::Index(3)]);
        assert!([of(&[1], 0), of(&[1], 1), of(&[], 0)].iter().all(|of| *of == Device::Auto));
    }
}
