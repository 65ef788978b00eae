//! What was understood of a column.

use crate::data::columns::kind::Kind;
use crate::data::columns::time::Dates;
use crate::data::tables::roles::Role;

/// What was understood of a column.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// What it holds; none where it wasn't read.
    pub kind: Option<Kind>,
    /// What the kind was concluded from.
    pub why: String,
    /// The rows in which its value is missing.
    pub missing: usize,
    /// The form of its dates and times, where they are text.
    pub(in crate::data) dates: Option<Dates>,
}
