//! Threads that run a program together: every thread runs all of it, each op is split into pieces that
//! are distributed among them, and a barrier follows each op.
//!
//! Pieces that read what the same piece wrote in the previous step are dealt: every thread has its
//! own, with their data in its cache. Other pieces are shared: threads that finish early help. The pieces
//! depend on the shape alone, so results depend on neither the number of threads nor their timing.

use crate::base::error::{Error, Result};
use std::cell::Cell;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// A fixed number of threads.
#[derive(Debug)]
pub(super) struct Team {
    pool: Option<rayon_core::ThreadPool>,
    threads: usize,
}

/// A thread at work in a team.
pub(super) struct Worker<'a> {
    table: &'a Table,
    /// The index of the thread.
    index: usize,
    /// The number of ops that it has finished.
    round: Cell<usize>,
}

/// The state that the threads of a team share while they run.
struct Table {
    seats: Vec<Seat>,
    /// Set when a thread panics, so that the others don't wait for it.
    broken: AtomicBool,
}

/// The counters that a thread exposes to the others, each in its own cache line.
#[derive(Default)]
struct Seat {
    /// The number of its pieces of an op that are taken, for even and for odd ops.
    taken: [Line<AtomicUsize>; 2],
    /// The number of ops that it has finished.
    done: Line<AtomicUsize>,
}

#[derive(Default)]
#[repr(align(128))]
struct Line<T>(T);

/// The number of spins before a waiting thread yields its processor.
const PATIENCE: usize = 1024;

impl Team {
    /// A team of `threads` threads.
    pub(super) fn new(threads: usize) -> Result<Self> {
        let threads = threads.max(1);
        let start = || {
            let name = |i| format!("wgrad-{i}");
            rayon_core::ThreadPoolBuilder::new().num_threads(threads).thread_name(name).build()
        };
        let pool = (threads > 1).then(start).transpose().map_err(|e| {
            Error::failed(format!("cannot start {threads} threads: {e}"))
                .help("choose fewer with --threads")
        })?;
        // rayon has its own maximum.
        let threads = pool.as_ref().map_or(1, rayon_core::ThreadPool::current_num_threads);
        Ok(Team { pool, threads })
    }

    /// The number of threads.
    pub(super) fn threads(&self) -> usize {
        self.threads
    }

    /// Runs `work` on all threads at once, or only on the caller's if `threads` is 1, and
    /// returns when all are done.
    pub(super) fn run(&self, threads: usize, work: impl Fn(&Worker<'_>) + Sync) {
        let pool = self.pool.as_ref().filter(|_| threads > 1);
        let threads = if pool.is_some() { self.threads } else { 1 };
        let table = Table {
            seats: (0..threads).map(|_| Seat::default()).collect(),
            broken: AtomicBool::new(false),
        };
        let work = |index: usize| {
            let guard = Guard(&table);
            work(&Worker { table: &table, index, round: Cell::new(0) });
            std::mem::forget(guard);
        };
        match pool {
            None => work(0),
            Some(pool) => {
                pool.broadcast(|context| work(context.index()));
            }
        }
    }
}

/// Marks the table broken when it is dropped, which happens only in a panic.
struct Guard<'a>(&'a Table);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.0.broken.store(true, Ordering::Release);
    }
}

impl Worker<'_> {
    /// The index of the thread.
    pub(super) fn index(&self) -> usize {
        self.index
    }

    /// Does `pieces` pieces of work together with the other threads: each calls `piece` with the
    /// numbers that it gets. Returns when all are done, on every thread.
    pub(super) fn share(&self, pieces: usize, piece: impl Fn(usize)) {
        let seats = &self.table.seats;
        let threads = seats.len();
        let round = self.round.get();
        for owner in (self.index..threads).chain(0..self.index) {
            let seat = &seats[owner];
            if owner != self.index && seat.done.0.load(Ordering::Acquire) > round {
                continue;
            }
            let end = (owner + 1) * pieces / threads;
            loop {
                let taken = seat.taken[round % 2].0.fetch_add(1, Ordering::Relaxed);
                let i = owner * pieces / threads + taken;
                if i >= end {
                    break;
                }
                piece(i);
            }
        }
        self.meet();
    }

    /// Does groups of pieces of work together with the other threads, of which each always has the
    /// same part of a group: `pieces` is the number of pieces of a group, `part` is called with the group
    /// and with this thread's pieces of it, which are contiguous. Returns when all are
    /// done, on every thread.
    pub(super) fn deal(
        &self,
        groups: usize,
        pieces: impl Fn(usize) -> usize,
        part: impl Fn(usize, Range<usize>),
    ) {
        let threads = self.table.seats.len();
        for group in 0..groups {
            let count = pieces(group);
            // Single pieces are assigned in turn.
            let index = if count == 1 { (self.index + group) % threads } else { self.index };
            let own = index * count / threads..(index + 1) * count / threads;
            if !own.is_empty() {
                part(group, own);
            }
        }
        self.meet();
    }

    /// A barrier: waits for the others.
    fn meet(&self) {
        let Table { seats, broken } = self.table;
        let round = self.round.get();
        // No thread takes pieces of the next op before all have finished this one.
        let seat = &seats[self.index];
        seat.taken[(round + 1) % 2].0.store(0, Ordering::Relaxed);
        seat.done.0.store(round + 1, Ordering::Release);
        self.round.set(round + 1);
        for other in seats {
            let mut turns = 0;
            while other.done.0.load(Ordering::Acquire) <= round {
                assert!(!broken.load(Ordering::Acquire), "another thread of the team panicked");
                turns += 1;
                if turns < PATIENCE {
                    std::hint::spin_loop();
                } else {
                    std::thread::yield_now();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIECES: usize = if cfg!(miri) { 10 } else { 100 };

    #[test]
    fn every_piece_is_done_once_before_the_next_op_begins() {
        let (most, rounds) = if cfg!(miri) { (3, 3) } else { (4, 50) };
        for threads in 1..=most {
            let team = Team::new(threads).unwrap();
            let counts: Vec<AtomicUsize> = (0..PIECES).map(|_| AtomicUsize::new(0)).collect();
            team.run(threads, |worker| {
                for round in 0..rounds {
                    worker.share(PIECES, |i| {
                        assert_eq!(counts[i].fetch_add(1, Ordering::Relaxed), round);
                        // The op before is over for every piece.
                        assert!(counts[PIECES - 1 - i].load(Ordering::Relaxed) >= round);
                    });
                }
            });
            assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) == rounds));
        }
    }

    #[test]
    fn a_panic_on_one_thread_ends_the_others() {
        let team = Team::new(3).unwrap();
        let run = std::panic::AssertUnwindSafe(|| {
            team.run(3, |worker| worker.share(9, |i| assert_ne!(i, 4)));
        });
        assert!(std::panic::catch_unwind(run).is_err());
    }
}
