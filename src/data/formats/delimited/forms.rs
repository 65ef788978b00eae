//! The number forms of a text, and how its columns are read if they aren't plain.

use super::Delimited;
use super::cells::Cells;
use super::dialect::{Look, look};
use crate::base::error::Result;
use crate::data::columns::form_evidence::{Decided, FormEvidence, FormHints, decide};
use crate::data::columns::frame::Header;
use crate::data::columns::missing::Marks;
use crate::data::columns::number_form::NumberForm;
use crate::data::formats::want::Want;
use std::sync::Arc;

/// The most columns that are named in one kind of warning.
const NAMED: usize = 5;

/// How the columns of a text are read.
pub(super) struct Reading {
    pub(super) cells: Vec<Cells>,
    /// The header, with the forms of numbers.
    pub(super) header: Arc<Header>,
    pub(super) warnings: Vec<String>,
    /// Whether the forms were found from all rows; otherwise all are assumed to be plain.
    pub(super) is_formed: bool,
}

impl Delimited {
    /// How the columns are read, with the number forms found from all rows if `is_formed` says that
    /// they matter.
    ///
    /// # Errors
    /// When the text can't be read.
    pub(super) fn reading(self: &Arc<Self>, wanted: &[Want], is_formed: bool) -> Result<Reading> {
        let mut reading = Reading {
            cells: self.cells(wanted),
            header: self.header.clone(),
            warnings: self.warnings.clone(),
            is_formed,
        };
        if !is_formed {
            return Ok(reading);
        }
        let mut header = (*self.header).clone();
        let mut open = Vec::new();
        for (place, decided) in self.forms()?.into_iter().enumerate() {
            let (Some(Decided { form, is_ambiguous }), Cells::Number(_)) =
                (decided, reading.cells[place])
            else {
                continue;
            };
            let name = &self.header.names[place];
            reading.cells[place] = Cells::Number(form);
            if form != NumberForm::PLAIN {
                header.forms.insert(name.clone(), form);
            }
            if is_ambiguous {
                open.push((name.as_str(), form));
            }
            reading.warnings.extend(self.other_unit(name, form));
        }
        reading.warnings.extend(doubts(&open));
        reading.header = Arc::new(header);
        Ok(reading)
    }

    /// The form of the numbers of each column, from all rows of all columns, so that it is the same
    /// for any selection.
    fn forms(self: &Arc<Self>) -> Result<Vec<Option<Decided>>> {
        let mut found = vec![FormEvidence::default(); self.header.names.len()];
        let cells = vec![Cells::Evidence; self.header.names.len()];
        let mut chunks = self.chunks(&cells, &self.header, &[])?;
        while let Some(chunk) = chunks.read()? {
            chunk.evidence.iter().for_each(|(place, more)| found[*place].merge(more));
        }
        let named: Vec<(&str, &FormEvidence)> =
            self.header.names.iter().map(String::as_str).zip(&found).collect();
        Ok(decide(&named, &FormHints { known: self.known_forms.as_ref(), ..self.hints }))
    }

    /// The warning for numbers with another unit than in training.
    fn other_unit(&self, name: &str, form: NumberForm) -> Option<String> {
        let trained = self.known_forms.as_ref()?.get(name).and_then(|form| form.unit);
        let is_other = match (form.unit, trained) {
            (Some(own), Some(trained)) => own != trained,
            // A currency may be omitted, a percent sign may not.
            (Some(unit), None) | (None, Some(unit)) => unit.is_share(),
            (None, None) => false,
        };
        is_other.then(|| {
            let [own, trained] =
                [form.unit, trained].map(|unit| unit.map_or("no unit", |unit| unit.text()));
            format!(
                "column {name}: numbers with {own}, but the training data have {trained}: they are \
                 used unchanged"
            )
        })
    }
}

/// Warnings for columns whose numbers are ambiguous.
fn doubts(open: &[(&str, NumberForm)]) -> Vec<String> {
    let doubt = |(name, form): &(&str, NumberForm)| {
        let [cell, read, other, decimal, right] = match (form.decimal, form.thousands) {
            (_, None) if *form == NumberForm::PLAIN => {
                ["1.234", "1.234", "1234", ",", "--thousands none"]
            }
            (_, None) => ["1,234", "1.234", "1234", ".", "--decimal ,"],
            (_, Some(_)) => ["1,234", "1234", "1.234", ",", "--decimal ."],
        };
        format!(
            "column {name}: {cell} is read as {read}, but could mean {other}: --decimal {decimal} selects that, {right} confirms the current reading"
        )
    };
    let mut all: Vec<String> = open.iter().take(NAMED).map(doubt).collect();
    if open.len() > NAMED {
        all.push(format!("the same applies to {} more columns", open.len() - NAMED));
    }
    all
}

/// Whether a cell is a number in some form.
pub(in crate::data) fn is_number(cell: &str) -> bool {
    let mut evidence = FormEvidence::default();
    evidence.take(cell);
    evidence.is_numeric()
}

/// Whether a cell is a number in that form, or plain and not finite.
pub(super) fn reads(form: NumberForm, cell: &str) -> bool {
    let cell = cell.trim();
    form.parse(cell).is_some() || form == NumberForm::PLAIN && cell.parse::<f64>().is_ok()
}

/// The evidence for a column's number form from some rows.
pub(super) fn evidence_of(rows: &[Vec<Vec<u8>>], place: usize, marks: &Marks) -> FormEvidence {
    let mut evidence = FormEvidence::default();
    let cells = rows.iter().filter_map(|row| row.get(place));
    for cell in cells.filter(|cell| look(cell, marks) != Look::Missing) {
        evidence.take(&String::from_utf8_lossy(cell));
    }
    evidence
}
