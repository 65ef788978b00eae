//! The path from files to the rows of a net.
//!
//! ```text
//! file ─ read ─▶ Frame ─ understand ─▶ Table ─ fit on training rows ─▶ Encoding ─▶ Dataset
//! ```
//!
//! - A **reader** for each format (`read`, `delimited`, …) converts bytes to a [`Frame`]: columns
//!   of typed [`Values`], with the line of each row if the file is text. It reads only the columns that are
//!   needed.
//! - A [`Table`] is a frame with a [`Role`] and a [`Kind`] for each column, found from the values and from
//!   the user's options ([`ColumnOptions`]), with the
//!   [`Targets`] of all rows. Nothing is fitted yet, so that rows can be split by any column:
//!   a split lists the training rows.
//! - An [`Encoding`] is fitted to these rows: for each column an [`Encoder`] with medians, scales,
//!   quantiles, categories. It is saved with the model, and finds its columns by name in any other
//!   table.
//! - A [`Dataset`] is the encoded result: (rows, inputs) in f32, or bytes for pixels, with
//!   targets and optionally a weight for each row.
//!
//! A table larger than memory is a [`StreamedTable`]: a seeded sample of its rows is analyzed and
//! fitted like a table, and every pass over it gives encoded chunks in order.
//!
//! Data sets that are matrices from the start (digits, images, generated sets) are a [`Dataset`]
//! directly; [`Data`] is either. [`Preprocessing`] is the part that a model stores: the encoding of
//! a table, the scaling of a matrix, the scaling of the targets, the names of the classes.

mod columns;
mod encode;
mod formats;
#[cfg(feature = "data")]
mod images;
mod large;
mod sets;
mod sources;
pub mod split;
#[cfg(feature = "data")]
mod streams;
mod tables;
pub use columns::frame::{Frame, Header, Values};
pub use columns::kind::Kind;
pub use columns::lines::Lines;
pub use columns::number_form::{Decimal, NumberForm, Thousands, Unit};
pub use columns::texts::{MISSING, Texts, Words};
pub use encode::{
    Categories, CategoryEncoder, Encoder, Encoding, Feature, HashEncoder, Hashes, Located,
    MomentEncoder, NumberEncoder, OnUnknown, Scaler, Seen, UnknownCategories, UnknownColumn,
    UnknownExample,
};
#[cfg(feature = "data")]
pub use encode::{Lookup, RawColumn};
#[cfg(feature = "arrow")]
pub(crate) use formats::columnar::columns_of;
#[cfg(feature = "data")]
pub use formats::idx::{IdxArray, IdxValues, read_idx, read_idx_bytes};
pub use formats::want::OnError;
#[cfg(feature = "data")]
pub use large::census::{Census, RowSubsets};
#[cfg(feature = "data")]
pub use large::passes::{EncodedChunk, StreamedTable, pass_measured};
pub use large::slabs::SlabOrder;
pub use large::stored::{StoredSet, StoredWriter};
pub use sets::dataset::Dataset;
#[cfg(feature = "data")]
pub use sets::digits::digits;
pub use sets::features::Features;
pub use sets::generated::{moons, spiral, xor};
pub use sets::image_shape::{Colour, ImageOptions, ImageShape, ImageSize};
pub use sets::predictions::Predictions;
pub use sets::samples::{Preprocessing, Samples, Storage};
pub use sets::scaling::{Affine, Scaling};
pub use sets::targets::Targets;
#[cfg(feature = "data")]
pub use sources::arrays::TableParts;
#[cfg(feature = "data")]
pub use sources::idx_set::{read_idx_directory, read_idx_pair};
#[cfg(feature = "data")]
pub use sources::inputs::{InputChunk, open_inputs, pass_inputs, read_columns};
#[cfg(feature = "data")]
pub use sources::source::{TrainTest, is_table, open, open_bytes, open_measured};
#[cfg(feature = "data")]
pub use streams::decoding::is_decoding;
#[cfg(feature = "data")]
pub use streams::stream::Pipes;
pub use tables::fitting::Fitting;
pub use tables::missing_target::MissingTarget;
pub use tables::prepare::Data;
pub use tables::roles::{ColumnOptions, Role};
pub use tables::table::Table;

pub use columns::text_options::{DateFormat, Grouping, HasHeader, Separator, TextOptions};
pub use sets::fingerprint::Fingerprint;
pub use sets::target_scaling::{DoubleAffine, TargetScaling, is_exact_enough};
pub use sets::weights::ClassWeight;
pub use sources::options::{DataOptions, is_generated};
#[cfg(feature = "data")]
pub use sources::options::{Measured, NAMES};
pub use tables::column::Column;
pub use tables::task::Task;
#[cfg(feature = "data")]
pub use tables::trained::Keep;
