//! `mpirun -n N wgrad train …`: rank 0 leads the run, writes all that is written and says all that is said; the others
//! follow it.

mod launch;
#[cfg(feature = "mpi")]
mod mpi;
#[cfg(not(feature = "mpi"))]
mod none;
mod training;

pub(in crate::cli) use launch::{as_first, fail, finish, follows, refuse, start, threads};
pub(in crate::cli) use training::{follow, join, join_alone};
