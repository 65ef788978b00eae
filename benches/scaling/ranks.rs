//! The time of a training step on several ranks, and of a sum over them.
//!
//! `mpirun -n 2 target/release/deps/ranks-… [THREADS] [CASE[@BATCH]… | sums | overlap]`: lines of JSON for each case, from rank 0.
//! Without `mpirun`, the steps of one process. `benches/scaling/measure` runs both in turns. `WGRAD_BENCH_SECONDS` says
//! for how long each is timed, 3 by default.
//!
//! The kinds of a step: `one process` as anyone trains; `alone`, the steps of data-parallel training by a single rank,
//! for the whole batch and for an eighth of it; `apart`, the same by every rank at once for its part of the batch,
//! without any sum; `fastest` and `reproducible`, all ranks together.

use std::time::Instant;
use wgrad::backend::cpu::Cpu;
use wgrad::data::{Preprocessing, Scaling};
use wgrad::net::spec::Spec;
use wgrad::train::bench::Case;
use wgrad::train::ranks::mpi::{self, Mpi};
use wgrad::train::ranks::{Alone, Ranks, Reduction, Tree, reduce_in_place};
use wgrad::{Result, Trainer};

/// Sums that are timed: their elements, powers of four.
const SUMS: std::ops::RangeInclusive<u32> = 0..=12;
/// The elements of a sum that is cut into buckets, and those of a bucket, powers of four.
const CUT: usize = 1 << 20;
const BUCKETS: std::ops::RangeInclusive<u32> = 5..=10;

/// Seconds for which a case is timed.
fn seconds() -> f64 {
    let said = std::env::var("WGRAD_BENCH_SECONDS").ok();
    said.and_then(|text| text.parse().ok()).unwrap_or(3.0)
}

/// The seconds of a step: the median of blocks of steps that take about a tenth of a second each.
fn step(trainer: &mut Trainer, ranks: &mut Option<Mpi>) -> Result<f64> {
    trainer.run_steps(3)?;
    let begin = Instant::now();
    trainer.run_steps(3)?;
    let one = begin.elapsed().as_secs_f64() / 3.0;
    let mut counts = [(0.1 / one).clamp(1.0, 1e4).round(), (seconds() / 0.1).ceil().max(3.0)];
    if one > 0.1 {
        counts = [1.0, (seconds() / one).max(3.0).round()];
    }
    // All ranks take as many.
    if let Some(ranks) = ranks {
        ranks.broadcast(&mut counts)?;
    }
    let mut seconds = Vec::new();
    for _ in 0..counts[1] as usize {
        let begin = Instant::now();
        trainer.run_steps(counts[0] as usize)?;
        seconds.push(begin.elapsed().as_secs_f64() / counts[0]);
    }
    seconds.sort_by(f64::total_cmp);
    Ok(seconds[seconds.len() / 2])
}

/// Times the steps of a case in all ways that the number of ranks allows.
fn time_case(name: &str, threads: Option<usize>, ranks: &mut Option<Mpi>) -> Result<()> {
    let (rank, size) = place(ranks);
    let (case, batch) = name.split_once('@').unwrap_or((name, ""));
    let case = Case::find(case)?;
    let (mut spec, data) = (case.spec(), case.data()?);
    spec.batch_size = batch.parse().unwrap_or(spec.batch_size);
    let rows = spec.batch_size;
    let [fastest, blocks] = [Reduction::Fastest, Reduction::Reproducible { blocks: 8 }];
    let kinds = match size {
        1 => vec![
            ("one process", rows, None),
            ("alone", rows, Some(fastest)),
            ("alone", rows.div_ceil(8), Some(fastest)),
            ("reproducible", rows, Some(blocks)),
        ],
        _ => vec![
            ("apart", rows.div_ceil(size), Some(fastest)),
            ("fastest", rows, Some(fastest)),
            ("reproducible", rows, Some(blocks)),
        ],
    };
    for (kind, rows, reduction) in kinds {
        let scaling = Preprocessing::fit(&data, Scaling::Minmax);
        let backend = Box::new(Cpu::<f32>::new(threads)?);
        let spec = Spec { batch_size: rows, ..spec.clone() };
        let mut trainer = Trainer::new(&spec, &data, scaling, backend)?;
        if let Some(reduction) = reduction {
            let together: Box<dyn Ranks> = match ranks {
                Some(ranks) if kind != "apart" => Box::new(ranks.clone()),
                _ => Box::new(Alone),
            };
            trainer.set_ranks(together, reduction)?;
        }
        let seconds = step(&mut trainer, ranks)?;
        if rank == 0 {
            println!(
                "{{\"case\":\"{name}\",\"ranks\":{size},\"kind\":\"{kind}\",\"rows\":{rows},\"parameters\":{},\"seconds\":{seconds:e}}}",
                spec.net.parameters()
            );
        }
    }
    Ok(())
}

/// Times the sums of ranks: MPI's own and those by the tree, and MPI's own in buckets, one after the other.
fn time_sums(ranks: &mut Mpi) -> Result<()> {
    let mut tree = Tree::default();
    let mut time = |ranks: &mut Mpi, len: usize, bucket: usize, by_tree: bool| -> Result<()> {
        let mut values = vec![1.0_f32; len];
        let rounds = ((1 << 22) / len.max(1 << 12)).max(3);
        let mut found = Vec::new();
        for _ in 0..=rounds {
            values.fill(1.0);
            ranks.broadcast(&mut [0.0])?;
            let begin = Instant::now();
            for values in values.chunks_mut(bucket) {
                match by_tree {
                    true => reduce_in_place(ranks, &mut tree, values)?,
                    false => ranks.sum(values)?,
                }
            }
            found.push(begin.elapsed().as_secs_f64());
        }
        // The first one makes room.
        let mut found = found.split_off(1);
        found.sort_by(f64::total_cmp);
        let (seconds, size) = (found[found.len() / 2], ranks.size());
        let order = if by_tree { "tree" } else { "mpi" };
        if ranks.rank() == 0 {
            println!(
                "{{\"sum\":{len},\"bucket\":{bucket},\"order\":\"{order}\",\"ranks\":{size},\"seconds\":{seconds:e}}}"
            );
        }
        Ok(())
    };
    for len in SUMS.map(|power| 4_usize.pow(power)) {
        time(ranks, len, len, false)?;
        time(ranks, len, len, true)?;
    }
    for bucket in BUCKETS.map(|power| 4_usize.pow(power)) {
        time(ranks, CUT, bucket, false)?;
    }
    Ok(())
}

/// Times computing and a sum of the gradients of M one after the other, and at once on two threads of each rank: what
/// reductions could gain at most by overlapping with the backward pass on this machine.
fn time_overlap(ranks: &mut Mpi) -> Result<()> {
    const ELEMENTS: usize = 1_863_690;
    let mut values = vec![1.0_f32; ELEMENTS];
    let (rank, size) = (ranks.rank(), ranks.size());
    // Multiplications and additions that stay in the registers.
    let work = |rounds: u32| {
        let mut x = [1.0_f32; 64];
        for _ in 0..rounds {
            x.iter_mut().for_each(|x| *x = 0.999 * *x + 1e-3);
        }
        std::hint::black_box(x);
    };
    let mut target = [f64::INFINITY];
    for _ in 0..9 {
        let begin = Instant::now();
        ranks.sum(&mut values)?;
        target = [target[0].min(begin.elapsed().as_secs_f64())];
    }
    ranks.broadcast(&mut target)?;
    // About as long as the sum.
    let (mut count, mut taken) = (1000, 0.0);
    while taken < 1e-3 {
        count *= 2;
        let begin = Instant::now();
        work(count);
        taken = begin.elapsed().as_secs_f64();
    }
    let mut rounds = [f64::from(count) * target[0] / taken];
    ranks.broadcast(&mut rounds)?;
    let rounds = rounds[0] as u32;
    let mut found: [Vec<f64>; 4] = Default::default();
    for _ in 0..15 {
        for (way, found) in found.iter_mut().enumerate() {
            values.fill(1.0);
            ranks.broadcast(&mut [0.0])?;
            let begin = Instant::now();
            match way {
                0 => work(rounds),
                1 => ranks.sum(&mut values)?,
                2 => {
                    work(rounds);
                    ranks.sum(&mut values)?;
                }
                _ => std::thread::scope(|scope| {
                    let (ranks, values) = (&mut *ranks, &mut values);
                    let sum = scope.spawn(move || ranks.sum(values));
                    work(rounds);
                    sum.join().unwrap_or(Ok(()))
                })?,
            }
            ranks.broadcast(&mut [0.0])?;
            found.push(begin.elapsed().as_secs_f64());
        }
    }
    let names = ["compute", "sum", "one after the other", "at once"];
    for (name, mut found) in names.into_iter().zip(found) {
        found.sort_by(f64::total_cmp);
        let seconds = found[found.len() / 2];
        if rank == 0 {
            println!(
                "{{\"overlap\":\"{name}\",\"elements\":{ELEMENTS},\"ranks\":{size},\"seconds\":{seconds:e}}}"
            );
        }
    }
    Ok(())
}

/// The number of this rank, and of all.
fn place(ranks: &Option<Mpi>) -> (usize, usize) {
    ranks.as_ref().map_or((0, 1), |ranks| (ranks.rank(), ranks.size()))
}

fn run() -> Result<()> {
    let mut arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let threads = arguments.first().and_then(|first| first.parse::<usize>().ok());
    if threads.is_some() {
        arguments.remove(0);
    }
    if arguments.is_empty() {
        arguments = ["S64", "M", "H", "L", "sums"].map(String::from).to_vec();
    }
    let is_launched = std::env::var_os("OMPI_COMM_WORLD_SIZE").is_some();
    let mut ranks = if is_launched { Mpi::start(|| ()) } else { None };
    for name in &arguments {
        match (name.as_str(), &mut ranks) {
            ("sums", Some(ranks)) => time_sums(ranks)?,
            ("overlap", Some(ranks)) => time_overlap(ranks)?,
            ("sums" | "overlap", None) => (),
            _ => time_case(name, threads, &mut ranks)?,
        }
    }
    Ok(())
}

fn main() {
    if let Err(error) = run() {
        eprintln!("error: {error}");
        std::process::exit(1);
    }
    mpi::finish();
}
