//! Threads that run a program together: every one runs all of it, each op is cut into pieces that
//! are dealt out among them, and a barrier stands behind each op.
//!
//! A thread takes the same part of an op's pieces in every step, so that it finds in its own cache
//! what it wrote, and then helps the others with theirs. What the pieces are depends on the shape
//! alone, so results depend on neither the number of threads nor their timing.

use crate::error::{Error, Result};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// A fixed number of threads.
#[derive(Debug)]
pub(super) struct Team {
    pool: Option<rayon::ThreadPool>,
    threads: usize,
}

/// A thread at work in a team.
pub(super) struct Worker<'a> {
    table: &'a Table,
    /// Which of the threads it is.
    index: usize,
}

/// What the threads of a team share while they run.
struct Table {
    /// For each thread, how many of its pieces of the current op are taken.
    taken: Vec<Taken>,
    /// Threads that are done with the current op.
    arrived: AtomicUsize,
    /// Ops that all threads are done with.
    round: AtomicUsize,
    /// Set when a thread panics, so that the others don't wait for it.
    broken: AtomicBool,
}

/// A counter that shares no cache line with another.
#[derive(Default)]
#[repr(align(128))]
struct Taken(AtomicUsize);

/// Turns at spinning before a waiting thread gives its processor away.
const PATIENCE: usize = 1024;

impl Team {
    /// A team of `threads` threads.
    pub(super) fn new(threads: usize) -> Result<Self> {
        let threads = threads.max(1);
        let start = || {
            let name = |i| format!("wgrad-{i}");
            rayon::ThreadPoolBuilder::new().num_threads(threads).thread_name(name).build()
        };
        let pool = (threads > 1).then(start).transpose().map_err(|e| {
            Error::failed(format!("cannot start {threads} threads: {e}"))
                .help("choose fewer with --threads")
        })?;
        // rayon has a most of its own.
        let threads = pool.as_ref().map_or(1, rayon::ThreadPool::current_num_threads);
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
            taken: (0..threads).map(|_| Taken::default()).collect(),
            arrived: AtomicUsize::new(0),
            round: AtomicUsize::new(0),
            broken: AtomicBool::new(false),
        };
        let work = |index: usize| {
            let guard = Guard(&table);
            work(&Worker { table: &table, index });
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
    /// How many threads there are.
    pub(super) fn threads(&self) -> usize {
        self.table.taken.len()
    }

    /// Does `pieces` pieces of work together with the other threads: each calls `piece` with the
    /// numbers that it gets. Returns when all are done, on every thread.
    pub(super) fn share(&self, pieces: usize, piece: impl Fn(usize)) {
        self.share_groups(1, |_| pieces, |_, i| piece(i));
    }

    /// Does groups of pieces of work together with the other threads, each its part of every group:
    /// `pieces` tells how many a group has, `piece` is called with the group and the number in it.
    pub(super) fn share_groups(
        &self,
        groups: usize,
        pieces: impl Fn(usize) -> usize,
        piece: impl Fn(usize, usize),
    ) {
        let table = self.table;
        let threads = self.threads();
        for owner in (self.index..threads).chain(0..self.index) {
            // The pieces of `owner` in one row: where a group ends in it, and where it began.
            let part = |group: usize| {
                owner * pieces(group) / threads..(owner + 1) * pieces(group) / threads
            };
            let (mut group, mut before) = (0, 0);
            loop {
                let i = table.taken[owner].0.fetch_add(1, Ordering::Relaxed);
                while group < groups && i >= before + part(group).len() {
                    before += part(group).len();
                    group += 1;
                }
                if group == groups {
                    break;
                }
                piece(group, part(group).start + i - before);
            }
        }
        let round = table.round.load(Ordering::Acquire);
        if table.arrived.fetch_add(1, Ordering::AcqRel) + 1 == threads {
            // The last to arrive opens the next op; nobody deals out pieces meanwhile.
            table.taken.iter().for_each(|taken| taken.0.store(0, Ordering::Relaxed));
            table.arrived.store(0, Ordering::Relaxed);
            table.round.store(round + 1, Ordering::Release);
            return;
        }
        let mut turns = 0;
        while table.round.load(Ordering::Acquire) == round {
            assert!(!table.broken.load(Ordering::Acquire), "another thread of the team panicked");
            turns += 1;
            if turns < PATIENCE {
                std::hint::spin_loop();
            } else {
                std::thread::yield_now();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_piece_is_done_once_before_the_next_op_begins() {
        for threads in 1..5 {
            let team = Team::new(threads).unwrap();
            let counts: Vec<AtomicUsize> = (0..100).map(|_| AtomicUsize::new(0)).collect();
            team.run(threads, |worker| {
                for round in 0..50 {
                    worker.share(100, |i| {
                        assert_eq!(counts[i].fetch_add(1, Ordering::Relaxed), round);
                        // The op before is over for every piece.
                        assert!(counts[99 - i].load(Ordering::Relaxed) >= round);
                    });
                }
            });
            assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) == 50));
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
