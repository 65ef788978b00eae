//! The role and the kind of a column.

use crate::data::columns::kind::Kind;
use crate::data::columns::time::Dates;
use crate::data::tables::roles::Role;

/// The role and the kind of a column.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its role.
    pub role: Role,
    /// Its kind; none if it wasn't read.
    pub kind: Option<Kind>,
    /// The reason for the kind.
    pub why: String,
    /// The number of rows in which its value is missing.
    pub missing: usize,
    /// The format of its dates and times, if they are text.
    pub(in crate::data) dates: Option<Dates>,
}
