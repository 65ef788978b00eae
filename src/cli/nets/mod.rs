//! Several nets of one task: ensembles and folds.

pub(super) mod ensemble;
pub(super) mod ensemble_judgement;
mod ensemble_nets;
pub(super) mod ensemble_report;
pub(super) mod fold_jobs;
pub(super) mod fold_judgement;
pub(super) mod folds;
pub(super) mod held_out;
