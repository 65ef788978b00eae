//! The evaluation of trained nets for the command line.

pub(super) mod judgement;
pub(super) mod judgement_text;
pub(super) mod report_files;
pub(super) mod same_rows;
pub(super) mod warnings;
