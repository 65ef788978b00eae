//! From files to rows that a net takes.
//!
//! ```text
//! file ─ read ─▶ Frame ─ understand ─▶ Table ─ fit on training rows ─▶ Encoding ─▶ Dataset
//! ```
//!
//! - A **reader** for each format (`read`, `delimited`, …) turns bytes into a [`Frame`]: columns
//!   of typed [`Values`], each row with its line where the file is text. It is told what is wanted
//!   of each column, and reads no other.
//! - A [`Table`] is a frame whose columns are understood, from the values and from what the user
//!   says ([`ColumnOptions`]): what each is for ([`Role`]) and what it holds ([`Kind`]), with the
//!   [`Targets`] of all rows. Nothing is fitted yet, so that a split can be chosen by any column:
//!   it says which rows are trained on, as a list of them.
//! - An [`Encoding`] is fitted to these rows: for each column an [`Encoder`] with medians, scales,
//!   quantiles, categories. It is saved with the model, and finds its columns by name in any other
//!   table.
//! - A [`Dataset`] is what it makes: (rows, inputs) in f32, or bytes where they are pixels, with
//!   targets and, where asked for, a weight for each row.
//!
//! A table larger than memory is a [`StreamedTable`]: a seeded sample of its rows is understood and
//! fitted to as a table is, and every pass over it gives encoded chunks in order.
//!
//! Sets that are matrices from the start (digits, images, generated sets) are a [`Dataset`] at
//! once; [`Data`] is either. [`Preprocessing`] is what a model keeps of both ways: the encoding of
//! a table, the scaling of a matrix, the scaling of the targets, the names of the classes.

mod archive;
mod arrays;
mod census;
mod class_names;
mod class_shares;
mod columnar;
mod dataset;
mod decoding;
mod delimited;
mod digits;
mod doubts;
mod download;
mod encode;
mod find;
mod fingerprint;
mod fitting;
mod form_evidence;
mod frame;
mod generated;
mod idx;
mod idx_set;
mod images;
mod inputs;
mod json_lines;
mod json_record;
mod keys;
mod kind;
mod known;
mod lines;
mod matrix_scaling;
mod missing;
mod missing_target;
mod npy;
mod number_form;
mod passes;
mod predictions;
mod prepare;
mod read;
mod recognize;
mod roles;
mod samples;
mod scaling;
mod slabs;
mod source;
pub mod split;
mod stored;
mod stream;
mod table;
mod target;
mod target_scaling;
mod task;
mod task_guess;
mod text_options;
mod time;
mod trained;
mod weights;
pub use arrays::TableParts;
pub use census::{Census, RowParts};
pub use dataset::{Dataset, Features, Targets};
pub use decoding::is_decoding;
pub use digits::digits;
pub use encode::{
    Categories, CategoryEncoder, Encoder, Encoding, Feature, HashEncoder, Hashes, Located, Lookup,
    MomentEncoder, NumberEncoder, OnUnknown, RawColumn, Scaler, Seen, UnknownCategories,
    UnknownColumn, UnknownExample,
};
pub use fitting::Fitting;
pub use frame::{Frame, Header, MISSING, Texts, Values, Words};
pub use generated::{moons, spiral, xor};
pub use idx::{IdxArray, IdxValues, read_idx, read_idx_bytes};
pub use idx_set::{read_idx_directory, read_idx_pair};
pub use images::{Colour, ImageOptions, ImageShape, ImageSize};
pub use inputs::{InputChunk, Inputs, open_inputs, pass_inputs, read_columns};
pub use kind::Kind;
pub use lines::Lines;
pub use missing_target::MissingTarget;
pub use number_form::{Decimal, NumberForm, Thousands, Unit};
pub use passes::{EncodedChunk, StreamedTable, pass_measured};
pub use predictions::Predictions;
pub use prepare::Data;
pub use roles::{ColumnOptions, Role};
pub use samples::{Preprocessing, Samples, Storage};
pub use scaling::{Affine, Scaling};
pub use slabs::SlabOrder;
pub use source::{
    DataOptions, Measured, NAMES, TrainTest, is_generated, is_table, open, open_bytes,
    open_measured,
};
pub use stored::{StoredSet, StoredWriter};
pub use stream::Pipes;
pub use table::{Column, Table};

pub use target_scaling::{DoubleAffine, TargetScaling, is_exact_enough};
pub use task::Task;
pub use text_options::{DateFormat, Grouping, HasHeader, Separator, TextOptions};
pub use trained::Keep;
pub use weights::ClassWeight;
