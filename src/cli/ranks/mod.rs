//! `mpirun -n N wgrad train …`: rank 0 leads the run, writes all files and prints all messages; the others
//! follow it.

mod launch;
#[cfg(feature = "mpi")]
mod mpi;
#[cfg(not(feature = "mpi"))]
mod none;
mod training;

pub(in crate::cli) use launch::{
    are_several, as_first, device, directory_of_first, fail, finish, follows, is_own, meet, refuse,
    start, threads,
};
pub(in crate::cli) use training::{follow, join, join_alone, say_held, shard, shared_directory};
