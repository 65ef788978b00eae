//! Tables that are read for a trained model: its columns, found by name.

use super::frame::{Frame, Header};
use super::read::{self, Known, Rows, Selection, Want};
use super::stream::Source;
use super::{DataOptions, Encoder, Encoding, Preprocessing};
use crate::error::{Error, Result};
use std::cell::OnceCell;

/// Columns that are carried along.
#[derive(Debug, Clone, Copy, Default)]
pub struct Keep<'a> {
    /// Their names.
    pub names: &'a [String],
    /// Whether those of a text become numbers or booleans where all their values are; else they stay
    /// texts as they stand. This takes another pass over the text.
    pub typed: bool,
}

/// What of a table is read for a trained model.
pub(super) struct Reading<'a> {
    pub(super) preprocessing: &'a Preprocessing,
    pub(super) options: &'a DataOptions,
    /// Whether the targets and the weights of the rows are read too.
    pub(super) with_targets: bool,
    /// The columns that are carried along.
    pub(super) keep: Keep<'a>,
}

impl Reading<'_> {
    /// Takes the rows chunk by chunk, with the preprocessing by which they are encoded. What to do
    /// about rows that can't be read is up to `take`.
    ///
    /// # Errors
    /// When the table can't be read, or isn't what the model needs; and what `take` returns.
    pub(super) fn pass(
        &self,
        source: &Source,
        mut take: impl FnMut(&Preprocessing, Rows) -> Result<()>,
    ) -> Result<()> {
        let known = match self.preprocessing.encoding {
            Some(_) => self.preprocessing.clone(),
            None => self.preprocessing.with_plain_columns(),
        };
        let Some(encoding) = known.encoding.clone() else {
            return Err(Error::failed("a model of a table without its columns"));
        };
        let names = if encoding.header.named { encoding.header.names.clone() } else { Vec::new() };
        let (text, forms) =
            (self.options.text.with_marks(&encoding.header.missing), encoding.header.forms.clone());
        let unnamed = !encoding.header.named;
        let hint = Known { names: &names, unnamed, text: &text, forms: Some(&forms) };
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

    /// All rows at once.
    ///
    /// # Errors
    /// As [`Reading::pass`], and for a row that can't be read.
    pub(super) fn whole(&self, source: &Source) -> Result<(Preprocessing, Frame)> {
        let mut all: Option<(Preprocessing, Frame)> = None;
        self.pass(source, |known, rows| {
            let rows = rows.sound()?;
            match &mut all {
                Some((_, frame)) if rows.first > 0 => frame.append(rows.frame),
                all => *all = Some((known.clone(), rows.frame)),
            }
            Ok(())
        })?;
        all.ok_or_else(|| Error::data("the table has no rows").at(source.path().display()))
    }

    fn selection(&self, header: &Header, known: &Preprocessing) -> Result<Selection> {
        let mut wanted = vec![Want::Nothing; header.names.len()];
        if let Some(encoding) = &known.encoding {
            self.want(header, encoding, known, &mut wanted)?;
        }
        let place = |name: &String| {
            header.place(name).ok_or_else(|| {
                Error::usage(format!("there is no column {name:?} to keep"))
                    .help(super::encode::suggestion(name, &header.names))
            })
        };
        let kept = self.keep.names.iter().map(place).collect::<Result<_>>()?;
        Ok(Selection { wanted, kept, typed: self.keep.typed })
    }

    fn want(
        &self,
        header: &Header,
        encoding: &Encoding,
        known: &Preprocessing,
        wanted: &mut [Want],
    ) -> Result<()> {
        let located = encoding.locate(header)?;
        for (feature, &place) in encoding.features.iter().zip(&located.features) {
            wanted[place] = match &feature.encoder {
                Encoder::Moment(_) => Want::Moment,
                encoder if encoder.takes_numbers() => Want::Number,
                _ => Want::Text,
            };
        }
        if self.with_targets {
            let is_class = known.classes.is_some() || known.labels.is_some();
            for &place in located.targets.iter().flatten() {
                wanted[place] = if is_class { Want::Class } else { Want::Number };
            }
            if let Some(place) = located.weight {
                wanted[place] = Want::Number;
            }
        }
        Ok(())
    }
}
