//! A table whose columns are understood: what is learnt from, what is to be learnt.

use super::encode::{Categories, Encoder, Encoding, Feature, out_of_scale, suggestion};
use super::frame::{Frame, Header, MISSING, Values};
use super::kind::{Found, Kind, kind_of};
use super::read::Want;
use super::roles::{ColumnOptions, Role, Said, roles};
use super::target::{self, Columns};
use super::{Scaling, Targets, Task};
use crate::error::{Error, Result};
use rayon::prelude::*;
use std::collections::BTreeMap;

/// A number among texts is a mistake where it is at most this share of them.
const STRAY: f64 = 0.001;
/// Fewer columns of bytes than this are no image.
const LEAST_PIXELS: usize = 64;

/// A table in memory, every row of it, as it was read: nothing is fitted yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    name: String,
    frame: Frame,
    columns: Vec<Column>,
    targets: Targets,
    separator: Option<char>,
    weights: Option<Vec<f32>>,
    pixels: bool,
}

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
}

/// How a table's columns are turned into inputs.
#[derive(Debug, Clone, PartialEq)]
pub struct Fitting {
    /// The scaling of numbers.
    pub scaling: Scaling,
    /// The columns whose logarithms are taken.
    pub log: Vec<String>,
    /// The columns of categories that become an input for each category, however many they have; without
    /// being named, those of up to 100.
    pub one_hot: Vec<String>,
    /// The columns of categories that are embedded, however few categories they have.
    pub embed: Vec<String>,
    /// The columns of categories that are hashed into shared inputs, however few categories they have.
    pub hash: Vec<String>,
    /// The dimensions of embeddings, by default [`crate::embedding::Embedding::default_dims`]; with 0
    /// many categories are hashed into shared inputs instead.
    pub embedding_dims: Option<usize>,
    /// Categories of columns that were counted in more rows than those at hand, by the columns' names:
    /// see [`StreamedTable`](super::StreamedTable).
    pub counted: BTreeMap<String, Categories>,
}

impl Fitting {
    /// Numbers scaled so, and all else as it is by default.
    #[must_use]
    pub fn new(scaling: Scaling) -> Self {
        Fitting {
            scaling,
            log: Vec::new(),
            one_hot: Vec::new(),
            embed: Vec::new(),
            hash: Vec::new(),
            embedding_dims: None,
            counted: BTreeMap::new(),
        }
    }
}

/// What to read of each column, by what the user said of them.
pub(super) fn wanted(header: &Header, options: &ColumnOptions, task: Task) -> Result<Vec<Want>> {
    if header.names.len() == 1 {
        return Err(Error::data("there is one column only")
            .help("give features and a target, separated by commas, semicolons, tabs or bars"));
    }
    let roles = roles(header, options)?;
    let several = roles.iter().filter(|(role, _)| matches!(role, Role::Target(_))).count() > 1;
    let want = |(role, said): (Role, Said)| match (role, said) {
        (Role::Ignored, _) => Want::Nothing,
        (Role::Weight, _) | (_, Said::Numbers) => Want::Number,
        (_, Said::Categories) => Want::Text,
        (Role::Target(_), _) => match task {
            Task::Classification | Task::Multilabel => Want::Text,
            Task::Regression => Want::Number,
            Task::Auto if several => Want::Number,
            Task::Auto => Want::Target,
        },
        _ => Want::Guess,
    };
    Ok(roles.into_iter().map(want).collect())
}

impl Table {
    /// Understands the columns of a frame that was read as [`wanted`] says.
    ///
    /// # Errors
    /// With line and column, for values that make no sense, and where nothing is left to learn
    /// from.
    pub(super) fn new(
        name: String,
        frame: Frame,
        options: &ColumnOptions,
        task: Task,
    ) -> Result<Self> {
        let roles = roles(&frame.header, options)?;
        let mut places: Vec<(usize, usize)> = Vec::new();
        for (place, (role, _)) in roles.iter().enumerate() {
            if let Role::Target(k) = role {
                places.push((*k, place));
            }
        }
        places.sort_unstable();
        let places: Vec<usize> = places.into_iter().map(|(_, place)| place).collect();
        let understand = || -> Vec<Option<Result<(Found, usize)>>> {
            let found = |(place, (&(role, said), values)): (usize, (&(Role, Said), &_))| {
                let values: &Values = Option::as_ref(values)?;
                let missing = values.len() - values.present();
                Some(understand(&frame, place, values, role, said).map(|found| (found, missing)))
            };
            roles.par_iter().zip(&frame.columns).enumerate().map(found).collect()
        };
        let learn = || target::learn(Columns { frame: &frame, places: &places }, task);
        let (found, learnt) = rayon::join(understand, learn);
        let mut weights = None;
        let mut columns = Vec::with_capacity(roles.len());
        for (place, ((role, _), found)) in roles.into_iter().zip(found).enumerate() {
            let values = frame.columns[place].as_ref();
            if let (Role::Weight, Some(values)) = (role, values) {
                weights = Some(row_weights(&frame, place, values)?);
            }
            let (kind, why, missing) = match found.transpose()? {
                Some((Found { kind, why }, missing)) => (Some(kind), why, missing),
                // A reader leaves out what can't be learnt from.
                None if role == Role::Feature => (None, "no numbers, texts or times".into(), 0),
                None => (None, "as asked for".into(), 0),
            };
            let name = frame.header.names[place].clone();
            columns.push(Column { name, role, kind, why, missing });
        }
        let (targets, separator) = learnt?;
        let mut table = Table { name, frame, columns, targets, separator, weights, pixels: false };
        table.pixels = table.is_image();
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

    /// What was understood of each column.
    #[must_use]
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// What is to be learnt, row by row.
    #[must_use]
    pub fn targets(&self) -> &Targets {
        &self.targets
    }

    /// The rows' weights, where a column gives them.
    #[must_use]
    pub fn weights(&self) -> Option<&[f32]> {
        self.weights.as_deref()
    }

    /// Whether the features are the pixels of one image.
    #[must_use]
    pub fn pixels(&self) -> bool {
        self.pixels
    }

    /// Fits what turns the columns into inputs to the training rows.
    ///
    /// # Errors
    /// For a logarithm of a column that holds no numbers, an embedding of one that holds no
    /// categories, and numbers so far apart that they can't be scaled.
    pub fn fit(&self, rows: &[usize], fitting: &Fitting) -> Result<Encoding> {
        for name in &fitting.log {
            self.check_log(name)?;
        }
        self.check_categories(fitting)?;
        let fit = |(place, column): (usize, &Column)| {
            let (Role::Feature, Some(kind), Some(values)) =
                (column.role, column.kind, &self.frame.columns[place])
            else {
                return None;
            };
            let encoder = match self.pixels {
                true => Encoder::Plain,
                false => Encoder::fit(kind, values, rows, &column.name, fitting)?,
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
        let named =
            |role: Role| self.columns.iter().find(|c| c.role == role).map(|c| c.name.clone());
        Ok(Encoding {
            header: (*self.frame.header).clone(),
            features,
            targets: (0..).map_while(|k| named(Role::Target(k))).collect(),
            separator: self.separator,
            weight: named(Role::Weight),
            pixels: self.pixels,
        })
    }

    fn check_log(&self, name: &str) -> Result<()> {
        let Some(column) = self.columns.iter().find(|c| c.name == name) else {
            return Err(Error::usage(format!("there is no column {name:?} for --log"))
                .help(suggestion(name, &self.frame.header.names)));
        };
        match (column.role, column.kind) {
            (Role::Feature, Some(Kind::Number)) if !self.pixels => Ok(()),
            (Role::Feature, Some(kind)) => Err(Error::usage(format!(
                "--log {name}: the column holds no numbers, but is of the kind {kind}"
            ))
            .help("logarithms are for numbers; --numeric says that a column holds them")),
            _ => Err(Error::usage(format!("--log {name}: nothing is learnt from this column"))
                .help("name a column that is learnt from")),
        }
    }

    /// Refuses a way with categories for a column that holds none, and two ways for one.
    fn check_categories(&self, fitting: &Fitting) -> Result<()> {
        let ways = [
            ("--one-hot", &fitting.one_hot),
            ("--embed", &fitting.embed),
            ("--hash", &fitting.hash),
        ];
        for (i, (option, names)) in ways.into_iter().enumerate() {
            for name in names {
                let Some(column) = self.columns.iter().find(|c| c.name == *name) else {
                    let error = Error::usage(format!("there is no column {name:?} for {option}"));
                    return Err(error.help(suggestion(name, &self.frame.header.names)));
                };
                let is_category =
                    (column.role, column.kind) == (Role::Feature, Some(Kind::Category));
                if !is_category || self.pixels {
                    return Err(Error::usage(format!("{option} {name}: it is no column of categories"))
                        .help("this is for categories that are learnt from; --categorical says that a column holds them"));
                }
                if let Some((other, _)) = ways[..i].iter().find(|(_, all)| all.contains(name)) {
                    return Err(Error::usage(format!("{other} {name} beside {option} {name}"))
                        .help("take one of the two"));
                }
            }
        }
        if fitting.embedding_dims == Some(0) && !fitting.embed.is_empty() {
            return Err(Error::usage("--embed with --embedding-dims 0")
                .help("0 dimensions stand for no embeddings: leave one of the two out"));
        }
        Ok(())
    }

    /// Whether all columns that are learnt from are bytes, as many as a square image has pixels.
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

    /// Takes identifiers for numbers where nothing else is there to learn from.
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
                column.why = "there is nothing else to learn from".into();
                some = true;
            }
        }
        let list = |c: &Column| format!("{}: {} ({})", c.name, c.kind.unwrap_or(Kind::Text), c.why);
        let listed: Vec<String> =
            self.columns.iter().filter(|c| c.role == Role::Feature).take(8).map(list).collect();
        match some {
            true => Ok(()),
            false => Err(Error::data("no column is left to learn from")
                .at(listed.join("; "))
                .help("say of a column --categorical or --numeric to take it all the same")),
        }
    }
}

/// What a column holds.
fn understand(
    frame: &Frame,
    place: usize,
    values: &Values,
    role: Role,
    said: Said,
) -> Result<Found> {
    let name = &frame.header.names[place];
    let asked = |kind| Ok(Found { kind, why: "as asked for".into() });
    match said {
        Said::Categories => return asked(Kind::Category),
        Said::Numbers => return asked(Kind::Number),
        Said::Nothing => {}
    }
    let found = kind_of(name, place, values);
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
                .help(format!("correct it, leave it empty if the value is missing, or say --categorical {name}, if it is a category like the others")));
        }
    }
    Ok(found)
}

/// The weights of some rows of a table, which may all be 0: numbers from 0 on.
pub(super) fn row_weights(frame: &Frame, place: usize, values: &Values) -> Result<Vec<f32>> {
    let mut weights = Vec::with_capacity(values.len());
    for row in 0..values.len() {
        let weight = values.number(row) as f32;
        if !(weight >= 0.0 && weight.is_finite()) {
            let what = if values.is_missing(row) { "missing".into() } else { weight.to_string() };
            return Err(Error::data(format!("the weight of a row is {what}"))
                .at(format!("{}, {}", frame.describe_row(row), frame.header.describe(place)))
                .help("weights are numbers from 0 on"));
        }
        weights.push(weight);
    }
    Ok(weights)
}
