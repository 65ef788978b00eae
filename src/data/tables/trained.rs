//! Tables for a trained model: its columns, found by name.

use super::missing_target::Complete;
use super::roles::places_of;
use crate::base::error::{Error, Result};
use crate::data::columns::frame::{Frame, Header};
use crate::data::formats::read;
use crate::data::formats::want::{Known, OnError, Rows, Selection};
use crate::data::streams::stream::Source;
use crate::data::tables::memory::wants;
use crate::data::{DataOptions, DateFormat, Encoder, Encoding, Preprocessing};
use std::cell::OnceCell;

/// Columns that are copied to the output.
#[derive(Debug, Clone, Copy, Default)]
pub struct Keep<'a> {
    /// Their names.
    pub names: &'a [String],
    /// Whether those of a text file become numbers or booleans if all their values are; otherwise they are
    /// unchanged texts. This needs another pass over the text.
    pub typed: bool,
}

/// The columns of a table that are read for a trained model.
pub(in crate::data) struct Reading<'a> {
    pub(in crate::data) preprocessing: &'a Preprocessing,
    pub(in crate::data) options: &'a DataOptions,
    /// Whether the targets and the weights of the rows are read too.
    pub(in crate::data) with_targets: bool,
    /// The columns that are copied to the output.
    pub(in crate::data) keep: Keep<'a>,
}

impl Reading<'_> {
    /// Passes the rows to `take` chunk by chunk, with the preprocessing by which they are encoded. `take`
    /// decides about rows that can't be read.
    ///
    /// # Errors
    /// When the table can't be read, or doesn't match the model; and what `take` returns.
    pub(in crate::data) fn pass(
        &self,
        source: &Source,
        mut take: impl FnMut(&Preprocessing, Rows) -> Result<()>,
    ) -> Result<()> {
        let known = match self.preprocessing.encoding {
            Some(_) => self.preprocessing.clone(),
            None => self.preprocessing.with_plain_columns(),
        };
        let Some(mut encoding) = known.encoding.clone() else {
            return Err(Error::failed("a model of a table without its columns"));
        };
        if let Some(DateFormat(format)) = &self.options.text.date_format {
            for feature in &mut encoding.features {
                if let Encoder::Moment(moment) = &mut feature.encoder {
                    moment.read_first(format);
                }
            }
        }
        let names = if encoding.header.named { encoding.header.names.clone() } else { Vec::new() };
        let (text, forms) =
            (self.options.text.with_marks(&encoding.header.missing), encoding.header.forms.clone());
        let unnamed = !encoding.header.named;
        let (text, forms) = (&text, Some(&forms));
        let hint = Known { names: &names, unnamed, text, forms, on_error: OnError::Stop };
        let chosen = OnceCell::new();
        let choose = |header: &Header| -> Result<Selection> {
            let mut encoding = encoding;
            let target = &self.options.columns.target;
            if !target.is_empty() && self.with_targets {
                encoding.rename_targets(target, header)?;
            }
            let known = Preprocessing { encoding: Some(encoding), ..known };
            let selection = self.selection(header, &known)?;
            // Set once: the header is asked for once.
            let _ = chosen.set(known);
            Ok(selection)
        };
        read::pass(source, hint, choose, |rows| match chosen.get() {
            Some(known) => take(known, rows),
            None => Ok(()),
        })
    }

    /// Passes the rows to `take` chunk by chunk, without those whose targets are read and missing; returns a
    /// message about these.
    ///
    /// # Errors
    /// As [`Reading::pass`], for a row that can't be read, and for a missing target unless the options
    /// drop such rows.
    pub(in crate::data) fn complete(
        &self,
        source: &Source,
        mut take: impl FnMut(&Preprocessing, Rows) -> Result<()>,
    ) -> Result<Option<String>> {
        let mut complete = Complete::new(self.options.columns.missing_target);
        self.pass(source, |known, rows| {
            let rows = rows.sound()?;
            let places = self.complete_places(known, &rows.frame.header)?;
            match complete.take(rows, &places) {
                Some(rows) => take(known, rows),
                None => Ok(()),
            }
        })?;
        complete.finish().map_err(|e| e.at(source.path().display()))
    }

    /// The indices of the targets that must not be missing.
    fn complete_places(&self, known: &Preprocessing, header: &Header) -> Result<Vec<usize>> {
        // If labels are in one column, an empty cell means no labels.
        let one_column = |e: &Encoding| known.labels.is_some() && e.separator.is_some();
        match &known.encoding {
            Some(encoding) if self.with_targets && !one_column(encoding) => {
                Ok(encoding.locate(header)?.targets.unwrap_or_default())
            }
            _ => Ok(Vec::new()),
        }
    }

    /// All rows at once, as from [`Reading::complete`].
    ///
    /// # Errors
    /// As [`Reading::complete`].
    pub(in crate::data) fn whole(
        &self,
        source: &Source,
    ) -> Result<(Preprocessing, Frame, Option<String>)> {
        let mut all: Option<(Preprocessing, Frame)> = None;
        let dropped = self.complete(source, |known, rows| {
            match &mut all {
                Some((_, frame)) if rows.first > 0 => frame.append(rows.frame),
                all => *all = Some((known.clone(), rows.frame)),
            }
            Ok(())
        })?;
        let all = all.map(|(known, frame)| (known, frame, dropped));
        all.ok_or_else(|| Error::data("the table has no rows").at(source.path().display()))
    }

    fn selection(&self, header: &Header, known: &Preprocessing) -> Result<Selection> {
        let wanted = wants(header, known, self.with_targets)?;
        let kept = self.kept_places(header)?;
        Ok(Selection { wanted, kept, typed: self.keep.typed })
    }

    /// The indices of the columns that are copied to the output, each once.
    ///
    /// # Errors
    /// When there is no such column.
    pub(in crate::data) fn kept_places(&self, header: &Header) -> Result<Vec<usize>> {
        let mut kept = Vec::new();
        for place in places_of(header, "column to keep", self.keep.names)? {
            if !kept.contains(&place) {
                kept.push(place);
            }
        }
        Ok(kept)
    }
}
