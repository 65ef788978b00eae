//! A table with the roles and kinds of its columns: features and targets.

use super::doubts;
use super::fitting::Fitting;
use super::missing_target::Complete;
use super::roles::{ColumnOptions, Role, Said, names_like_numbers, roles};
use super::target::{self, Learnt};
use super::target_columns::Columns;
use crate::base::error::{Error, Result};
use crate::base::parallel::*;
use crate::data::columns::frame::{Frame, Header, Values};
use crate::data::columns::kind::{Found, Kind};
use crate::data::encode::{Encoder, Encoding, Feature, out_of_scale};
use crate::data::formats::want::{Rows, Want};
use crate::data::tables::column::{Column, compact_days, understand};
use crate::data::{DataOptions, Targets, Task};

/// The fewest columns of bytes that count as an image.
const LEAST_PIXELS: usize = 64;

/// A table in memory with all rows, before anything is fitted.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    name: String,
    frame: Frame,
    columns: Vec<Column>,
    targets: Targets,
    separator: Option<char>,
    weights: Option<Vec<f32>>,
    pixels: bool,
    notes: Vec<String>,
    warnings: Vec<String>,
}

/// The indices of the targets of a table for training, in the order of the outputs.
pub(in crate::data) fn target_places(
    header: &Header,
    options: &ColumnOptions,
) -> Result<Vec<usize>> {
    let mut places: Vec<(usize, usize)> = Vec::new();
    for (place, (role, _)) in roles(header, options)?.into_iter().enumerate() {
        if let Role::Target(k) = role {
            places.push((k, place));
        }
    }
    places.sort_unstable();
    Ok(places.into_iter().map(|(_, place)| place).collect())
}

/// The indices of the targets that must not be missing in a training row. If labels are in one column, an
/// empty cell means no labels.
pub(in crate::data) fn complete_places(
    header: &Header,
    options: &ColumnOptions,
    task: Task,
) -> Result<Vec<usize>> {
    let mut places = target_places(header, options)?;
    if task == Task::Multilabel && places.len() == 1 {
        places.clear();
    }
    Ok(places)
}

/// What to read of each column, by the user's options.
pub(in crate::data) fn wanted(
    header: &Header,
    options: &ColumnOptions,
    task: Task,
) -> Result<Vec<Want>> {
    if header.names.len() == 1 {
        return Err(Error::data("there is only one column")
            .help("give features and a target, separated by commas, semicolons, tabs or bars"));
    }
    let roles = roles(header, options)?;
    let several = roles.iter().filter(|(role, _)| matches!(role, Role::Target(_))).count() > 1;
    let want = |(role, said): (Role, Said)| match (role, said) {
        (Role::Ignored, _) => Want::Nothing,
        (Role::Weight, _) | (_, Said::Numbers) => Want::Number,
        (_, Said::Categories) => Want::Text,
        (Role::Target(_), _) => match task {
            Task::Classification | Task::Multilabel => Want::Class,
            Task::Regression => Want::Number,
            Task::Auto if several => Want::Number,
            Task::Auto => Want::Target,
        },
        _ => Want::Guess,
    };
    Ok(roles.into_iter().map(want).collect())
}

impl Table {
    /// Finds the kinds of the columns of a frame that was read according to [`wanted`]; rows without a
    /// target are refused or dropped according to the options.
    ///
    /// # Errors
    /// With line and column, for invalid values, and when no feature is
    /// left.
    pub(in crate::data) fn new(name: String, frame: Frame, options: &DataOptions) -> Result<Self> {
        let places = complete_places(&frame.header, &options.columns, options.task)?;
        let mut complete = Complete::new(options.columns.missing_target);
        let rows = Rows::of_frame(frame);
        let rows = complete.take(rows, &places);
        let dropped = complete.finish()?;
        let frame = rows.map(|rows| rows.frame).unwrap_or_default();
        let mut table = Self::of_complete(name, frame, options, None)?;
        table.add_notes(dropped);
        Ok(table)
    }

    /// As [`Table::new`], where each row has its target: all rows, or a sample of `rows` rows in which every
    /// class has a row.
    pub(in crate::data) fn of_complete(
        name: String,
        mut frame: Frame,
        options: &DataOptions,
        sample_of: Option<usize>,
    ) -> Result<Self> {
        let DataOptions { columns: options, task, text, .. } = options;
        let (task, date_format) = (*task, text.date_format.as_ref().map(|form| form.0.as_str()));
        let roles = roles(&frame.header, options)?;
        for ((role, said), values) in roles.iter().zip(&mut frame.columns) {
            compact_days(*role, *said, values);
        }
        let places = target_places(&frame.header, options)?;
        let understand = || -> Vec<Option<Result<(Found, usize)>>> {
            let found = |(place, (&(role, said), values)): (usize, (&(Role, Said), &_))| {
                let values: &Values = Option::as_ref(values)?;
                let missing = values.len() - values.present();
                let found = understand(&frame, place, values, (role, said), date_format);
                Some(found.map(|found| (found, missing)))
            };
            roles.par_iter().zip(&frame.columns).enumerate().map(found).collect()
        };
        let learn = || target::learn(Columns { frame: &frame, places: &places }, task, sample_of);
        let (found, learnt) = join(understand, learn);
        let mut weights = None;
        let mut columns = Vec::with_capacity(roles.len());
        for (place, ((role, _), found)) in roles.into_iter().zip(found).enumerate() {
            let values = frame.columns[place].as_ref();
            if let (Role::Weight, Some(values)) = (role, values) {
                weights = Some(row_weights(&frame, place, values)?);
            }
            let name = frame.header.names[place].clone();
            columns.push(match found.transpose()? {
                Some((Found { kind, why, dates }, missing)) => {
                    Column { name, role, kind: Some(kind), why, missing, dates }
                }
                None => {
                    let asked = role == Role::Ignored;
                    let why =
                        if asked { "given by an option" } else { "no numbers, texts or times" }
                            .into();
                    Column { name, role, kind: None, why, missing: 0, dates: None }
                }
            });
        }
        let Learnt { targets, separator, note, warning } = learnt?;
        let (mut notes, mut warnings) = (Vec::from_iter(note), frame.header.renamed.clone());
        notes.extend(doubts::of_marks(&frame, &columns));
        for names in options.lists() {
            notes.extend(names_like_numbers(&frame.header, names));
        }
        warnings.extend(frame.warnings.iter().cloned().chain(warning));
        let mut table = Table {
            name,
            frame,
            columns,
            targets,
            separator,
            weights,
            pixels: false,
            notes,
            warnings,
        };
        table.pixels = table.is_image();
        if !table.pixels {
            let values = table.columns.par_iter().zip(&table.frame.columns);
            let doubts: Vec<Vec<String>> =
                values.map(|(column, values)| doubts::of(column, values.as_ref())).collect();
            table.warnings.extend(doubts.into_iter().flatten());
        }
        table.keep_something()?;
        Ok(table)
    }

    /// The name, as shown to users.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.frame.rows
    }

    /// The values as they were read.
    #[must_use]
    pub fn frame(&self) -> &Frame {
        &self.frame
    }

    /// The role and the kind of each column.
    #[must_use]
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The targets of all rows.
    #[must_use]
    pub fn targets(&self) -> &Targets {
        &self.targets
    }

    /// The rows' weights, if there is a column for them.
    #[must_use]
    pub fn weights(&self) -> Option<&[f32]> {
        self.weights.as_deref()
    }

    /// Notes about how the table is used.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The same with other weights.
    pub(super) fn with_weights(self, weights: Option<Vec<f32>>) -> Self {
        Table { weights: weights.or(self.weights), ..self }
    }

    /// The same with names for classes that are whole numbers: the first name is that of
    /// class 0.
    ///
    /// # Errors
    /// When a class isn't an index into `given`.
    pub(crate) fn with_class_names(mut self, given: &[String]) -> Result<Self> {
        let Targets::Classes { names, .. } = &mut self.targets else { return Ok(self) };
        if let Some(name) = (1..given.len()).find(|&i| given[..i].contains(&given[i])) {
            return Err(Error::usage(format!("two classes are called {:?}", given[name]))
                .at("class_names")
                .help("give each class a different name"));
        }
        let has_rows = |place: usize| names.iter().any(|name| name.parse() == Ok(place));
        if let Some(place) = (0..given.len()).find(|place| !has_rows(*place)) {
            return Err(Error::data(format!("no row has the class {:?}", given[place]))
                .at(format!("class_names, place {place}"))
                .help("give rows with that label, or omit class_names"));
        }
        for name in names {
            let place = name.parse::<usize>().ok().filter(|place| *place < given.len());
            let Some(place) = place else {
                let most = given.len().saturating_sub(1);
                return Err(Error::usage(format!(
                    "the label {name} is out of range for {} class names",
                    given.len()
                ))
                .at("class_names")
                .help(format!("labels must be 0 to {most}, the positions of the names")));
            };
            name.clone_from(&given[place]);
        }
        Ok(self)
    }

    pub(in crate::data) fn add_notes(&mut self, notes: impl IntoIterator<Item = String>) {
        self.notes.extend(notes);
    }

    /// Warnings about doubtful guesses.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Whether the features are the pixels of one image.
    #[must_use]
    pub fn pixels(&self) -> bool {
        self.pixels
    }

    /// Fits the encoding of the columns to the training rows.
    ///
    /// # Errors
    /// For a logarithm of a column without numbers, an embedding of one without
    /// categories, and numbers whose range is too large for scaling.
    pub fn fit(&self, rows: &[usize], fitting: &Fitting) -> Result<Encoding> {
        let fitting = &fitting.found_in(&self.frame.header)?;
        fitting.check(&self.columns, self.pixels)?;
        let fit = |(place, column): (usize, &Column)| {
            let (Role::Feature, Some(kind), Some(values)) =
                (column.role, column.kind, &self.frame.columns[place])
            else {
                return None;
            };
            let encoder = match self.pixels {
                true => Encoder::Plain,
                false => Encoder::fit(kind, values, rows, column, fitting)?,
            };
            if matches!(&encoder, Encoder::Number(numbers) if !numbers.is_sound()) {
                return Some(Err(out_of_scale(&self.frame, place, rows).at(&self.name)));
            }
            Some(Ok(Feature { column: column.name.clone(), encoder }))
        };
        let features: Vec<Result<Feature>> =
            self.columns.par_iter().enumerate().filter_map(fit).collect();
        let features: Vec<Feature> = features.into_iter().collect::<Result<_>>()?;
        let (embedded, mut features): (Vec<_>, Vec<_>) =
            features.into_iter().partition(|f| matches!(f.encoder, Encoder::Embedding(_)));
        features.extend(embedded);
        let mut targets: Vec<(usize, &String)> = Vec::new();
        for column in &self.columns {
            if let Role::Target(k) = column.role {
                targets.push((k, &column.name));
            }
        }
        targets.sort_unstable();
        let weight = self.columns.iter().find(|column| column.role == Role::Weight);
        Ok(Encoding {
            header: Header { renamed: Vec::new(), ..(*self.frame.header).clone() },
            features,
            targets: targets.into_iter().map(|(_, name)| name.clone()).collect(),
            separator: self.separator,
            weight: weight.map(|column| column.name.clone()),
            pixels: self.pixels,
        })
    }

    /// Whether all feature columns are bytes, and their number is that of a square image's pixels.
    fn is_image(&self) -> bool {
        let features = self.columns.iter().zip(&self.frame.columns).enumerate();
        let features: Vec<_> = features.filter(|(_, (c, _))| c.role == Role::Feature).collect();
        let is_square = |n: usize| n.isqrt().pow(2) == n;
        let count = features.len();
        count >= LEAST_PIXELS
            && (is_square(count) || count % 3 == 0 && is_square(count / 3))
            && features.iter().all(|(_, (column, values))| {
                matches!(values, Some(Values::Bytes(_)))
                    && matches!(column.kind, Some(Kind::Number | Kind::Boolean | Kind::Constant))
            })
    }

    /// Uses identifiers as numbers if there is no other feature.
    fn keep_something(&mut self) -> Result<()> {
        let is_learnt = |c: &Column| {
            c.role == Role::Feature && !matches!(c.kind, None | Some(Kind::Text | Kind::Constant))
        };
        if self.pixels || self.columns.iter().any(is_learnt) {
            return Ok(());
        }
        let mut some = false;
        for (column, values) in self.columns.iter_mut().zip(&self.frame.columns) {
            let is_number = matches!(values, Some(Values::Bytes(_) | Values::Numbers(_)));
            if column.role == Role::Feature && is_number && column.kind == Some(Kind::Text) {
                column.kind = Some(Kind::Number);
                column.why = "it is the only feature".into();
                some = true;
            }
        }
        let list = |c: &Column| format!("{}: {} ({})", c.name, c.kind.unwrap_or(Kind::Text), c.why);
        let listed: Vec<String> =
            self.columns.iter().filter(|c| c.role == Role::Feature).take(8).map(list).collect();
        match some {
            true => Ok(()),
            false => Err(Error::data("no column is left as a feature")
                .at(listed.join("; "))
                .help("use --categorical COL or --numeric COL to include one")),
        }
    }
}

/// The weights of some rows of a table, which may all be 0: numbers that aren't negative.
pub(super) fn row_weights(frame: &Frame, place: usize, values: &Values) -> Result<Vec<f32>> {
    let mut weights = Vec::with_capacity(values.len());
    for row in 0..values.len() {
        let weight = values.number(row) as f32;
        if !(weight >= 0.0 && weight.is_finite()) {
            let what = if values.is_missing(row) { "missing".into() } else { weight.to_string() };
            return Err(Error::data(format!("the weight of a row is {what}"))
                .at(format!("{}, {}", frame.describe_row(row), frame.header.describe(place)))
                .help("weights must be numbers that aren't negative"));
        }
        weights.push(weight);
    }
    Ok(weights)
}
