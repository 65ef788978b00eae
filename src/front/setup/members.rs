//! The nets of an ensemble, before they are trained.

use crate::backend::Backend;
use crate::backend::session::Session;
use crate::base::error::{Error, Result};
use crate::files::config::Ensemble;
use crate::front::setup::job::Job;
use crate::front::setup::source::Source;
use crate::front::setup::splitting;
use crate::train::choose::Work;
use crate::train::model::Model;

/// The nets of an ensemble before they are trained: their common settings, and the held-out rows of
/// each.
pub(crate) struct Nets {
    pub ensemble: Ensemble,
    /// The run as for one net: over the rows on which all nets train; with folds, over all rows.
    pub whole: Job,
    /// The held-out rows of each net, if they differ.
    pub folds: Option<Vec<Vec<usize>>>,
}

impl Nets {
    /// The nets for a source's options. With folds, the columns are profiled on all rows: a model has one
    /// preprocessing for all its nets.
    ///
    /// # Errors
    /// For contradictory options, or options that don't fit the data.
    pub fn new(source: &mut Source) -> Result<Self> {
        let run = &source.config.run;
        let member = run.member.map_or(String::new(), |member| format!("--member {member}"));
        let Some(ensemble) = run.ensemble.filter(|ensemble| ensemble.nets > 1) else {
            return Err(Error::usage(format!("{member} needs --ensemble"))
                .help("give the number of nets with --ensemble"));
        };
        if run.member.is_some_and(|member| !(1..=ensemble.nets).contains(&member)) {
            return Err(Error::usage(format!(
                "{member} is out of range for --ensemble {ensemble}"
            ))
            .help(format!("its nets are counted from 1 to {}", ensemble.nets)));
        }
        if run.folds.is_some() {
            return Err(Error::usage(format!("--folds cannot be used with --ensemble {ensemble}"))
                .help("omit --folds: --ensemble N:folds keeps the nets of the folds"));
        }
        if let Some(reason) = source.reason_to_stream() {
            return Err(reason.refuse(&format!("--ensemble {ensemble}")));
        }
        if !ensemble.by_folds {
            let subsets = source.subsets()?;
            return Ok(Nets { ensemble, whole: source.job(&subsets)?, folds: None });
        }
        let data = source.data.clone();
        let folds = splitting::folds(&mut source.config, &data, ensemble.nets)?;
        let whole = source.job_of_all()?;
        Ok(Nets { ensemble, whole, folds: Some(folds) })
    }

    /// The run of a net, counted from 1.
    ///
    /// # Errors
    /// For options that don't fit its rows.
    pub fn job(&self, source: &Source, member: usize) -> Result<Job> {
        let Some(held_out) = self.folds.as_ref().map(|folds| &folds[member - 1]) else {
            return Ok(self.whole.of_member(member));
        };
        let subsets = splitting::subsets_of(&self.whole.training_rows, held_out);
        Ok(source.job_with(&subsets, Some(&self.whole.preprocessing))?.of_member(member))
    }

    /// The model of all nets, and a session on `backend` that holds the first of them.
    ///
    /// # Errors
    /// When the device can't hold it.
    pub fn together(
        &self,
        nets: Vec<Model>,
        backend: Box<dyn Backend>,
    ) -> Result<(Model, Session)> {
        let first = nets.first().ok_or_else(|| Error::failed("an ensemble without nets"))?.clone();
        let members = nets.into_iter().flat_map(|net| net.members).collect();
        let model = Model { members, ..first };
        let session = model.session(backend, usize::MAX)?;
        Ok((model, session))
    }

    /// The training of all of them, for choosing a device.
    pub(crate) fn work(&self) -> Work<'_> {
        match self.whole.work() {
            Work::Training { spec, data, preprocessing, rows, steps } => {
                let steps = steps.saturating_mul(self.ensemble.nets);
                Work::Training { spec, data, preprocessing, rows, steps }
            }
            other => other,
        }
    }
}
