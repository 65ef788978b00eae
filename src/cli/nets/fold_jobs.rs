//! The runs of a cross-validation before they are trained: a net for each fold, and a last one.

use crate::base::error::Result;
use crate::cli::judging::judgement::Judgement;
use crate::cli::setup::job::Job;
use crate::cli::setup::source::Source;
use crate::cli::setup::splitting;
use crate::data::Dataset;

/// The runs of a cross-validation.
pub(super) struct FoldJobs {
    /// The held-out rows of each fold.
    pub folds: Vec<Vec<usize>>,
    /// All rows, on which the columns are profiled and all folds are evaluated together. It isn't trained.
    pub whole: Job,
    /// The run of the last net, whose epoch is chosen like those of the folds.
    pub last: Job,
}

impl FoldJobs {
    /// The runs for a source's options.
    ///
    /// # Errors
    /// For contradictory options, or options that don't fit the data.
    pub fn new(source: &mut Source, k: usize) -> Result<Self> {
        let data = source.data.clone();
        let folds = splitting::folds(&mut source.config, &data, k)?;
        let subsets = splitting::fold_subsets(&mut source.config, &data, &[])?;
        let whole = source.job_of_all()?;
        let last = source.job_with(&subsets, Some(&whole.preprocessing))?;
        Ok(FoldJobs { folds, whole, last })
    }

    /// The run of fold `fold`, counted from 0.
    ///
    /// # Errors
    /// For options that don't fit its rows.
    pub fn fold(&self, source: &mut Source, fold: usize) -> Result<Job> {
        let data = source.data.clone();
        let subsets = splitting::fold_subsets(&mut source.config, &data, &self.folds[fold])?;
        let mut job = source.job(&subsets)?;
        job.config.run.fold = Some(fold + 1);
        Ok(job)
    }

    /// The evaluation of a fold's net on the fold, with its rows: its test rows, or its validation rows if no
    /// epoch was chosen by other rows.
    pub fn judged(job: Job, [valid, test]: [Option<Judgement>; 2]) -> Option<(Judgement, Dataset)> {
        match job.held_out_rows[1].is_empty() {
            true => valid.zip(job.validation),
            false => test.zip(job.test),
        }
    }
}
