//! Trainers of ranks.

use super::launch;
use crate::base::error::{ErrorKind, Result};
use crate::cli::arguments::terminal::say;
use crate::cli::runs::run_directory::RunDirectory;
use crate::cli::runs::watched::{held_out, train_watched};
use crate::cli::setup::job::Job;
use crate::files::config::Reproducible;
use crate::observe::Interrupt;
use crate::train::event::Ending;
use crate::train::ranks::{Alone, BLOCKS, Reduction};
use crate::train::trainer::Trainer;
use std::process::ExitCode;

/// With blocks of at least this many rows, fixed sums are assumed to cost less than 5% of a step (not yet
/// measured on a quiet machine) and are the default.
const ROWS_WORTH_A_BLOCK: usize = 128;

/// Connects the trainer with the other ranks, if any, or sets up blocks if they are asked for.
pub(in crate::cli) fn join(job: &mut Job, trainer: &mut Trainer) -> Result<()> {
    let Some(ranks) = launch::transport() else { return join_alone(job, trainer) };
    let size = ranks.size();
    let rows = job.spec.batch_size.min(job.rows().0).div_ceil(BLOCKS);
    let chosen = job.config.run.reproducible.unwrap_or(match size {
        _ if rows >= ROWS_WORTH_A_BLOCK || size == BLOCKS => Reproducible::Blocks(BLOCKS),
        _ => Reproducible::No,
    });
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

/// Sets up blocks for a net that a single rank trains, if they are asked for.
pub(in crate::cli) fn join_alone(job: &Job, trainer: &mut Trainer) -> Result<()> {
    match job.config.run.reproducible {
        Some(Reproducible::Blocks(blocks)) => {
            trainer.set_ranks(Box::new(Alone), Reduction::Reproducible { blocks })
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
