//! The held-out rows that a run is evaluated on.

use crate::base::error::Result;
use crate::cli::setup::job::Job;
use crate::observe::HeldOut;
use crate::train::event::{End, Observer};
use crate::train::trainer::Trainer;

/// The rows that a run is evaluated on; stopping by a metric needs some.
pub(in crate::cli) fn held_out(job: &Job) -> HeldOut {
    match (&job.validation, &job.test) {
        (None, Some(_)) if job.config.run.stop_at.is_some() => HeldOut::Test,
        _ => HeldOut::Validation,
    }
}

/// Trains to the end, evaluating on the held-out rows.
pub(in crate::cli) fn train_watched(
    job: &Job,
    trainer: &mut Trainer,
    held_out: HeldOut,
    observers: &mut dyn Observer,
) -> Result<End> {
    let stored = job.stored.as_ref();
    let (stored, data) = match held_out {
        HeldOut::Validation => (stored.and_then(|s| s.validation.as_ref()), &job.validation),
        HeldOut::Test => (stored.and_then(|s| s.test.as_ref()), &job.test),
    };
    match stored {
        Some(set) => trainer.fit_stored(set.clone(), observers),
        None => trainer.fit(data.as_ref(), observers),
    }
}
