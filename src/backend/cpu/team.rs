//! Threads that run a program together: every one runs all of it, each op is cut into pieces that
//! are dealt out among them, and a barrier stands behind each op.
//!
//! Pieces that read what the same piece wrote in the step before are dealt: every thread has its
//! own, and finds it in its cache. Other pieces are shared: who is done helps. What the pieces are
//! depends on the shape alone, so results depend on neither the number of threads nor their timing.

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
    /// Which of the threads it is.
    index: usize,
    /// Ops that it is done with.
    round: Cell<usize>,
}

/// What the threads of a team share while they run.
struct Table {
    seats: Vec<Seat>,
    /// Set when a thread panics, so that the others don't wait for it.
    broken: AtomicBool,
}

/// What a thread shows to the others: each counter in a cache line of its own.
#[derive(Default)]
struct Seat {
    /// How many of its pieces of an op are taken: of ops with even and with odd numbers.
    taken: [Line<AtomicUsize>; 2],
    /// Ops that it is done with.
    done: Line<AtomicUsize>,
}

#[derive(Default)]
#[repr(align(128))]
struct Line<T>(T);

/// Turns at spinning before a waiting thread gives its processor away.
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
        // rayon has a most of its own.
        let threads = pool.as_ref().map_or(1, rayon_core::ThreadPool::current_num_threads);
        Ok(Team { pool, threads })
    }

    /// The number of threads.
    pub(super) fn threads(&self) -> usize {
        self.threads
    }

    /// Runs `work` on all threads at once, or on the caller's alone where `threads` is 1, and
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

/// Marks the table broken when it is dropped, which only a panic makes happen.
struct Guard<'a>(&'a Table);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.0.broken.store(true, Ordering::Release);
    }
}

impl Worker<'_> {
    /// Which of the threads it is.
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
    /// same part of a group: `pieces` tells how many a group has, `part` is called with the group
    /// and with the pieces of it that are this thread's, which lie side by side. Returns when all are
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
            // Single pieces go around.
            let index = if count == 1 { (self.index + group) % threads } else { self.index };
            let own = index * count / threads..(index + 1) * count / threads;
            if !own.is_empty() {
                part(group, own);
            }
        }
        self.meet();
    }

    /// Waits for the others.
    fn meet(&self) {
        let Table { seats, broken } = self.table;
        let round = self.round.get();
        // Nobody takes pieces of the next op before all are done with this one.
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
