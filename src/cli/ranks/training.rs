//! Trainers of ranks.

use super::launch;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::words::thousands;
use crate::cli::arguments::terminal::{count, say};
use crate::cli::runs::run_directory::RunDirectory;
use crate::cli::runs::watched::{held_out, train_watched};
use crate::cli::setup::job::Job;
use crate::cli::setup::memory::human;
use crate::files::config::{Reproducible, Shard};
use crate::observe::Interrupt;
use crate::train::event::Ending;
use crate::train::ranks::{Alone, BLOCKS, Reduction, Shards};
use crate::train::trainer::Trainer;
use std::process::ExitCode;

/// With blocks of at least this many rows, fixed sums are assumed to cost less than 5% of a step (not yet
/// measured on a quiet machine) and are the default.
const ROWS_WORTH_A_BLOCK: usize = 128;

/// Splits the training rows over the ranks, if `--shard` asks for it: before they are encoded.
pub(in crate::cli) fn shard(job: &mut Job) -> Result<()> {
    let place = launch::place();
    let [_, size] = place;
    let chosen = reproducible(job, size);
    let count = match (job.config.run.shard, chosen) {
        (None | Some(Shard::No), _) => return Ok(()),
        (Some(Shard::Into(count)), _) => count,
        (Some(Shard::Auto), Reproducible::Blocks(blocks)) => blocks,
        (Some(Shard::Auto), Reproducible::No) => size,
    };
    if count > 1 && !job.spec.shuffle {
        let what = "--shard cannot be used with --no-shuffle: a batch takes rows from every shard";
        return Err(Error::usage(what).help("omit one of them"));
    }
    let shards = Shards::new(&job.spec, job.rows().0, count, place)?;
    shards.check_blocks(reduction(chosen))?;
    job.shards = Some(shards);
    job.config.run.shard = Some(Shard::Into(count));
    Ok(())
}

/// Says which part of the training rows each rank has stored.
pub(in crate::cli) fn say_held(job: &Job) {
    let Some((stored, shards)) = job.stored.as_ref().zip(job.shards.as_ref()) else { return };
    let [_, size] = launch::place();
    let held = |rank: usize| shards.held_by([rank, size]).len();
    let least = (0..size).map(held).min().unwrap_or_default();
    let most = (0..size).map(held).max().unwrap_or_default();
    let each = match least == most {
        true => thousands(most as f64),
        false => format!("{} to {}", thousands(least as f64), thousands(most as f64)),
    };
    let bytes = (most * stored.training.row_bytes()) as f64;
    say(format_args!(
        "shards: {}: {each} of {} on the disk of each rank ({})",
        shards.count(),
        count(shards.rows(), "training row"),
        human(bytes)
    ));
}

/// The order of sums for `size` ranks: fixed, where it costs little.
fn reproducible(job: &Job, size: usize) -> Reproducible {
    let rows = job.spec.batch_size.min(job.rows().0).div_ceil(BLOCKS);
    job.config.run.reproducible.unwrap_or(match (size, job.config.run.shard) {
        (1, _) => Reproducible::No,
        // Blocks are shards.
        (_, Some(Shard::Into(shards))) if shards != BLOCKS => Reproducible::No,
        _ if size > BLOCKS => Reproducible::No,
        _ if rows >= ROWS_WORTH_A_BLOCK || size == BLOCKS => Reproducible::Blocks(BLOCKS),
        _ => Reproducible::No,
    })
}

/// Connects the trainer with the other ranks, if any, or sets up blocks if they are asked for.
pub(in crate::cli) fn join(job: &mut Job, trainer: &mut Trainer) -> Result<()> {
    let Some(ranks) = launch::transport() else { return join_alone(job, trainer) };
    let size = ranks.size();
    let chosen = reproducible(job, size);
    let reduction = reduction(chosen);
    trainer.set_ranks(ranks, reduction)?;
    job.config.run.reproducible = Some(chosen);
    let overlaps = if trainer.overlaps() { ", overlapping with the backward pass" } else { "" };
    say(format_args!(
        "ranks: {size}{overlaps}, {}",
        match reduction {
            Reduction::Reproducible { blocks } => format!(
                "gradients are summed over {blocks} blocks of each batch in a fixed order (--reproducible)"
            ),
            Reduction::Fastest => "gradients are summed in the fastest order; use --reproducible to get the same model for any number of ranks".into(),
        }
    ));
    Ok(())
}

/// Sets up blocks or shards for a net that a single rank trains, if they are asked for.
pub(in crate::cli) fn join_alone(job: &Job, trainer: &mut Trainer) -> Result<()> {
    match job.config.run.reproducible {
        Some(Reproducible::Blocks(blocks)) => {
            trainer.set_ranks(Box::new(Alone), Reduction::Reproducible { blocks })
        }
        _ if job.shards.as_ref().is_some_and(|shards| shards.count() > 1) => {
            trainer.set_ranks(Box::new(Alone), Reduction::Fastest)
        }
        _ => Ok(()),
    }
}

fn reduction(chosen: Reproducible) -> Reduction {
    match chosen {
        Reproducible::Blocks(blocks) => Reduction::Reproducible { blocks },
        Reproducible::No => Reduction::Fastest,
    }
}

/// Trains as a rank that follows: it writes nothing.
pub(in crate::cli) fn follow(job: &Job, trainer: &mut Trainer) -> Result<ExitCode> {
    // Rank 0 decides whether an interrupted run ends.
    let _interrupt = Interrupt::watch(|| {})?;
    let end = train_watched(job, trainer, held_out(job), &mut ())?;
    Ok(match end.ending {
        Ending::Interrupted => ExitCode::from(ErrorKind::Interrupted.exit_code()),
        _ => ExitCode::SUCCESS,
    })
}

/// The run directory that rank 0 made, for another rank.
pub(in crate::cli) fn shared_directory() -> Result<RunDirectory> {
    let path = launch::directory_of_first(None)?;
    RunDirectory::open(&path).map_err(|e| {
        e.help("the nets of --ensemble and --folds are distributed over the ranks, which write into one run directory: choose one with --out that all machines can access")
    })
}
