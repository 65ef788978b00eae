//! The equations of the five source documents, evaluated literally in f64 and compared with the
//! plain program on every backend. The oracles share no code with the library.

mod algebra;
mod digits_notes;
mod explanation;
mod functions;
mod lecture;
mod matrix_form;
mod matrix_form_checks;
mod support;
mod vector_calculus;
