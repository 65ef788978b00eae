//! Ranks that are the processes of an MPI job, as `mpirun` and `srun` start them.
//!
//! A rank that waits for another looks for notices of failure at the same time, so that an error of one rank ends all of
//! them, and is reported once: by the rank that has it, or by the lowest of several. A rank that dies without a
//! notice is detected by the launcher, which ends the job.

use super::Ranks;
use crate::base::error::Result;
use mpi::Threading;
use mpi::collective::SystemOperation;
use mpi::environment::Universe;
use mpi::request::{Request, Scope, StaticScope, scope};
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, CommunicatorCollectives, Destination, Root, Source};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The tags of messages.
const DATA: i32 = 1;
const FAILED: i32 = 2;
const DONE: i32 = 3;
/// The tags of notices of failure.
static NOTICE: [i32; 1] = [0];
/// The most elements of a message, as MPI counts them in 32 bits.
const MESSAGE: usize = 1 << 28;
/// The fewest elements of a bucket of gradients, 16 MiB, if ranks are on several machines: smaller ones are slower.
const BUCKET: usize = 4 << 20;
/// The environment variable with another number of elements, for tests: then also if all ranks are on one machine.
const TEST_BUCKET: &str = "WGRAD_TEST_BUCKET";
/// The number of polls of an operation between two checks for a failure.
const LOOKS: u32 = 64;
/// How long a rank polls without a pause: other ranks of the machine may need the processor.
const BUSY: Duration = Duration::from_millis(50);
/// The pause between polls from then on.
const PAUSE: Duration = Duration::from_micros(200);
/// How long a rank with an error waits for the same error of each lower rank, at most for ten of them.
const LOWER_RANK: Duration = Duration::from_millis(100);
/// How long it waits if rank 0 has the same error, and first saves what it can.
const SAME_ERROR: Duration = Duration::from_secs(60);
/// How long the other ranks have to notice a failure before the job is ended.
const GRACE: Duration = Duration::from_millis(500);
/// How long a rank waits for the end of the job after a failure of another.
const LONGEST: Duration = Duration::from_secs(10);

/// MPI, from its start to its end.
static UNIVERSE: Mutex<Option<Universe>> = Mutex::new(None);

/// Called by a rank before it waits for the end of a job that failed elsewhere.
static ON_FAILURE: Mutex<Option<fn()>> = Mutex::new(None);

/// This process, as one of an MPI job.
#[derive(Debug, Clone)]
pub struct Mpi {
    rank: usize,
    size: usize,
    local: [usize; 2],
    /// The send buffer of sums, which MPI reads while it writes the result.
    sent: Vec<f32>,
}

impl Mpi {
    /// Joins the job that the process was started in; none if MPI was started before, or has ended.
    /// `on_failure` is called in a rank that is ended by the failure of another.
    ///
    /// From then on MPI is called by one thread at a time, but not always the same one.
    #[must_use]
    pub fn start(on_failure: fn()) -> Option<Mpi> {
        let (universe, _) = mpi::initialize_with_threading(Threading::Serialized)?;
        let world = universe.world();
        let node = world.split_shared(world.rank());
        let local = [node.rank(), node.size()].map(|n| n as usize);
        let (rank, size) = (world.rank() as usize, world.size() as usize);
        *lock(&UNIVERSE) = Some(universe);
        *lock(&ON_FAILURE) = Some(on_failure);
        Some(Mpi { rank, size, local, sent: Vec::new() })
    }

    /// The number of this rank among those of its machine, and their number.
    #[must_use]
    pub fn local(&self) -> [usize; 2] {
        self.local
    }
}

/// Whether this process is a rank of a running job.
#[must_use]
pub fn is_running() -> bool {
    lock(&UNIVERSE).is_some()
}

/// Ends MPI when the run is done: the other ranks wait for rank 0, which may have work left.
pub fn finish() {
    let Some(universe) = lock(&UNIVERSE).take() else { return };
    let world = universe.world();
    if world.rank() == 0 {
        notify(&world, DONE);
    } else {
        let root = world.process_at_rank(0);
        while root.immediate_probe_with_tag(DONE).is_none() {
            end_if_failed();
            // Rank 0 then has the processors for itself.
            thread::sleep(Duration::from_millis(2));
        }
        let _ = root.receive_with_tag::<i32>(DONE);
    }
    drop(universe);
}

/// Ends the job with an error of this rank: `say` is called if no other rank has reported its error before.
/// `code` is the exit code of the job. `is_of_all`: rank 0 has the same error.
pub fn fail(code: u8, is_of_all: bool, say: impl FnOnce(usize)) -> ! {
    let world = SimpleCommunicator::world();
    let rank = world.rank();
    let wait = match is_of_all && rank > 0 {
        true => SAME_ERROR,
        false => LOWER_RANK * rank.min(10) as u32,
    };
    let begin = Instant::now();
    while begin.elapsed() < wait {
        end_if_failed();
        thread::sleep(Duration::from_millis(5));
    }
    end_if_failed();
    say(rank as usize);
    notify(&world, FAILED);
    thread::sleep(GRACE);
    world.abort(code.into())
}

/// Sends a notice to all other ranks, without waiting for them.
fn notify(world: &SimpleCommunicator, tag: i32) {
    for rank in (0..world.size()).filter(|rank| *rank != world.rank()) {
        let to = world.process_at_rank(rank);
        let request = to.immediate_send_with_tag(StaticScope, &NOTICE[..], tag);
        // It is short enough to be sent eagerly, its buffer is static, and nothing waits for it.
        std::mem::forget(request);
    }
}

/// Waits for the end of the job if another rank has failed.
fn end_if_failed() {
    let world = SimpleCommunicator::world();
    if world.any_process().immediate_probe_with_tag(FAILED).is_none() {
        return;
    }
    if let Some(on_failure) = *lock(&ON_FAILURE) {
        on_failure();
    }
    thread::sleep(LONGEST);
    std::process::exit(1)
}

/// Waits for an operation, or for the end of the job if another rank fails.
fn wait<'a, D: ?Sized, S: Scope<'a>>(request: Request<'a, D, S>) {
    let mut request = request;
    let (begin, mut looks) = (Instant::now(), 0_u32);
    loop {
        request = match request.test() {
            Ok(_) => return,
            Err(request) => request,
        };
        looks = looks.wrapping_add(1);
        if looks.is_multiple_of(LOOKS) {
            end_if_failed();
            match begin.elapsed() > BUSY {
                true => thread::sleep(PAUSE),
                // If ranks share a processor, the other one may be the one that this one waits for.
                false => thread::yield_now(),
            }
        }
    }
}

fn lock<T>(mutex: &'static Mutex<T>) -> std::sync::MutexGuard<'static, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Ranks for Mpi {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn exchange(&mut self, to: usize, out: &[f32], from: usize, into: &mut [f32]) -> Result<()> {
        let world = SimpleCommunicator::world();
        let (to, from) = (world.process_at_rank(to as i32), world.process_at_rank(from as i32));
        let (mut outs, mut intos) = (out.chunks(MESSAGE), into.chunks_mut(MESSAGE));
        loop {
            let (out, into) = (outs.next(), intos.next());
            if out.is_none() && into.is_none() {
                return Ok(());
            }
            scope(|scope| {
                let received =
                    into.map(|into| from.immediate_receive_into_with_tag(scope, into, DATA));
                let sent = out.map(|out| to.immediate_send_with_tag(scope, out, DATA));
                received.into_iter().for_each(wait);
                sent.into_iter().for_each(wait);
            });
        }
    }

    fn sum(&mut self, values: &mut [f32]) -> Result<()> {
        let world = SimpleCommunicator::world();
        for values in values.chunks_mut(MESSAGE) {
            self.sent.clear();
            self.sent.extend_from_slice(values);
            let (sent, sum) = (&self.sent[..], SystemOperation::sum());
            scope(|scope| wait(world.immediate_all_reduce_into(scope, sent, values, sum)));
        }
        Ok(())
    }

    fn broadcast(&mut self, values: &mut [f64]) -> Result<()> {
        let world = SimpleCommunicator::world();
        let root = world.process_at_rank(0);
        for values in values.chunks_mut(MESSAGE) {
            scope(|scope| wait(root.immediate_broadcast_into(scope, values)));
        }
        Ok(())
    }

    fn gather(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>> {
        let world = SimpleCommunicator::world();
        let length = [bytes.len() as u64];
        let mut lengths = vec![0_u64; self.size];
        scope(|scope| {
            wait(world.immediate_all_gather_into(scope, &length[..], &mut lengths[..]));
        });
        let longest = lengths.iter().max().map_or(0, |&longest| longest as usize);
        if longest == 0 {
            return Ok(vec![Vec::new(); self.size]);
        }
        let mut padded = bytes.to_vec();
        padded.resize(longest, 0);
        let mut all = vec![0_u8; longest * self.size];
        scope(|scope| wait(world.immediate_all_gather_into(scope, &padded[..], &mut all[..])));
        let of = |(rank, length): (usize, &u64)| {
            all[rank * longest..rank * longest + *length as usize].to_vec()
        };
        Ok(lengths.iter().enumerate().map(of).collect())
    }

    fn bucket(&self) -> Option<usize> {
        let asked = std::env::var(TEST_BUCKET).ok().and_then(|text| text.parse().ok());
        let [_, on_machine] = self.local;
        asked.or((on_machine < self.size).then_some(BUCKET))
    }
}
