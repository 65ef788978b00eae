//! The role and the kind of a column.

use super::roles::{Role, Said};
use crate::base::error::{Error, Result};
use crate::data::columns::frame::{Frame, Values, texts_of};
use crate::data::columns::kind::{Found, Kind, kind_of};
use crate::data::columns::texts::MISSING;
use crate::data::columns::time::{self, Dates};

/// Numbers among texts count as mistakes if they are at most this fraction.
const STRAY: f64 = 0.001;

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

/// Converts whole numbers that are all days, written as 20240131, to texts, which are read as dates.
pub(super) fn compact_days(role: Role, said: Said, values: &mut Option<Values>) {
    if let (Role::Feature | Role::Reserved, Said::Nothing) = (role, said)
        && let Some(Values::Numbers(numbers)) = &values
        && time::are_compact_days(numbers.iter().copied().filter(|x| !x.is_nan()))
    {
        *values = values.as_ref().map(|numbers| Values::Texts(texts_of(numbers).into_owned()));
    }
}

/// The kind of a column.
pub(super) fn understand(
    frame: &Frame,
    place: usize,
    values: &Values,
    (role, said): (Role, Said),
    date_format: Option<&str>,
) -> Result<Found> {
    let name = &frame.header.names[place];
    let asked = |kind| Ok(Found { kind, why: "given by an option".into(), dates: None });
    match said {
        Said::Categories => return asked(Kind::Category),
        Said::Numbers => return asked(Kind::Number),
        Said::Nothing => {}
    }
    let mut found = kind_of(name, place, values, date_format);
    let form = frame.header.forms.get(name).and_then(|form| form.describe());
    if let (Kind::Number | Kind::Boolean, Some(form)) = (found.kind, form) {
        found.why = format!("{} with {form}", found.why);
    }
    if let (Kind::Category, Role::Feature, Values::Texts(texts)) = (found.kind, role, values) {
        let is_number: Vec<bool> = texts.words.iter().map(|w| w.parse::<f64>().is_ok()).collect();
        let of = |code: u32| is_number.get(code as usize).copied().unwrap_or(false);
        let numbers = texts.codes.iter().filter(|&&code| of(code)).count();
        let present = texts.codes.iter().filter(|&&code| code != MISSING).count();
        if numbers > 0 && numbers as f64 <= STRAY * present as f64 {
            let row = texts.codes.iter().position(|&code| of(code)).unwrap_or(0);
            let text = texts.words.get(texts.codes[row]);
            return Err(Error::data(format!("{text} is a number among texts"))
                .at(format!("{}, {}", frame.describe_row(row), frame.header.describe(place)))
                .help(format!("correct it, leave the cell empty if the value is missing, or use --categorical {name} if it is a category like the others")));
        }
    }
    Ok(found)
}
