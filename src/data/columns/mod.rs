//! Columns of typed values, and the forms in which texts write them.

pub(super) mod form_evidence;
pub(super) mod frame;
pub(super) mod kind;
pub(super) mod lines;
pub(super) mod missing;
pub(super) mod number_form;
pub(super) mod text_options;
pub(super) mod texts;
pub(super) mod time;
