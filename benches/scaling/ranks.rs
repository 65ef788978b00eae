//! The time of a training step on several ranks, and of a sum over them.
//!
//! `mpirun -n 2 target/release/deps/ranks-… [THREADS] [CASE[@BATCH]…]`: a line of JSON for each case, from rank 0.
//! Without `mpirun`, the steps of one process. `benches/scaling/measure` runs both in turns.

use std::time::Instant;
use wgrad::backend::cpu::Cpu;
use wgrad::data::{Preprocessing, Scaling};
use wgrad::train::bench::Case;
use wgrad::train::ranks::mpi::{self, Mpi};
use wgrad::train::ranks::{Ranks, Reduction};
use wgrad::{Result, Trainer};

/// Seconds for which a case is timed.
const SECONDS: f64 = 3.0;
/// Sums that are timed: their elements, powers of four.
const SUMS: std::ops::RangeInclusive<u32> = 0..=12;

/// The seconds of a step: the median of blocks of steps that take about a tenth of a second each.
fn step(trainer: &mut Trainer, ranks: &mut Option<Mpi>) -> Result<f64> {
    trainer.run_steps(3)?;
    let begin = Instant::now();
    trainer.run_steps(3)?;
    let one = begin.elapsed().as_secs_f64() / 3.0;
    let mut counts = [(0.1 / one).clamp(1.0, 1e4).round(), (SECONDS / 0.1).round()];
    if one > 0.1 {
        counts = [1.0, (SECONDS / one).max(3.0).round()];
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

fn run() -> Result<()> {
    let mut arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let threads = arguments.first().and_then(|first| first.parse::<usize>().ok());
    if threads.is_some() {
        arguments.remove(0);
    }
    if arguments.is_empty() {
        arguments = ["S64", "M", "H", "L"].map(String::from).to_vec();
    }
    let is_launched = std::env::var_os("OMPI_COMM_WORLD_SIZE").is_some();
    let mut ranks = if is_launched { Mpi::start(|| ()) } else { None };
    let (rank, size) = ranks.as_ref().map_or((0, 1), |ranks| (ranks.rank(), ranks.size()));
    for name in &arguments {
        let (case, batch) = name.split_once('@').unwrap_or((name, ""));
        let case = Case::find(case)?;
        let (mut spec, data) = (case.spec(), case.data()?);
        spec.batch_size = batch.parse().unwrap_or(spec.batch_size);
        let mut kinds = vec![("one process", None)];
        if size > 1 {
            kinds = vec![
                ("fastest", Some(Reduction::Fastest)),
                ("reproducible", Some(Reduction::Reproducible { blocks: 8 })),
            ];
        }
        for (kind, reduction) in kinds {
            let scaling = Preprocessing::fit(&data, Scaling::Minmax);
            let backend = Box::new(Cpu::<f32>::new(threads)?);
            let mut trainer = Trainer::new(&spec, &data, scaling, backend)?;
            if let (Some(ranks), Some(reduction)) = (&ranks, reduction) {
                trainer.set_ranks(Box::new(ranks.clone()), reduction)?;
            }
            let seconds = step(&mut trainer, &mut ranks)?;
            if rank == 0 {
                println!(
                    "{{\"case\":\"{name}\",\"ranks\":{size},\"kind\":\"{kind}\",\"parameters\":{},\"seconds\":{seconds:e}}}",
                    spec.net.parameters()
                );
            }
        }
    }
    if let Some(ranks) = &mut ranks {
        for power in SUMS {
            let mut values = vec![1.0_f32; 4_usize.pow(power)];
            let rounds = ((1 << 22) / values.len().max(1 << 12)).max(3);
            ranks.sum(&mut values)?;
            let begin = Instant::now();
            for _ in 0..rounds {
                ranks.sum(&mut values)?;
                values.fill(1.0);
            }
            let seconds = begin.elapsed().as_secs_f64() / rounds as f64;
            if rank == 0 {
                println!("{{\"sum\":{},\"ranks\":{size},\"seconds\":{seconds:e}}}", values.len());
            }
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
