//! The settings of both builders, under the field's names, before they are combined with the data.

use super::control::Control;
use super::fitted::Fitted;
use super::labels::named;
use super::rows::{Columns, Rows};
use super::setup::hooks::Hooks;
use super::training::{Given, Training};
use super::words::in_fields;
use crate::backend::Backend;
use crate::base::error::{Error, Result};
use crate::base::words::count;
use crate::data::{Data, Frame, Header, Table, Task, Values};
use crate::files::config::{ColumnNames, TrainConfig};

/// The settings of a builder.
#[derive(Default)]
pub(super) struct Settings {
    pub config: TrainConfig,
    pub control: Control,
    pub hooks: Hooks,
    pub backend: Option<Box<dyn Backend>>,
    pub column_names: Option<Vec<String>>,
    pub class_names: Option<Vec<String>>,
    pub categorical: Vec<usize>,
    pub sample_weight: Option<Vec<f32>>,
    pub has_missing: bool,
    /// The validation rows and their targets.
    pub validation: Option<(Columns, Vec<Values>)>,
    /// The first setting that makes no sense.
    pub wrong: Option<Error>,
}

impl Settings {
    /// Returns the value, or keeps the error for later.
    pub(super) fn take<T>(&mut self, value: Result<T>) -> Option<T> {
        match value {
            Ok(value) => Some(value),
            Err(error) => {
                self.wrong.get_or_insert(error);
                None
            }
        }
    }

    /// The settings of nets for a task.
    pub(super) fn of(task: Task) -> Self {
        let mut settings = Settings::default();
        settings.config.data.task = Some(task);
        settings
    }

    /// Trains on features and their targets, a column for each output.
    pub(super) fn fit(self, x: Columns, y: Vec<Values>) -> Result<Fitted> {
        self.fit_rows(x, y).map_err(in_fields)
    }

    fn fit_rows(mut self, x: Columns, y: Vec<Values>) -> Result<Fitted> {
        if let Some(error) = self.wrong.take() {
            return Err(error);
        }
        let header = self.header(&x, y.len())?;
        let cols = x.columns.len();
        let names = |places: &mut dyn Iterator<Item = usize>| -> Vec<ColumnNames> {
            vec![ColumnNames::new(places.map(|place| header.names[place].clone()).collect())]
        };
        if let Some(wrong) = self.categorical.iter().find(|place| **place >= cols) {
            return Err(Error::usage(format!("column {wrong} of {cols}, counted from 0"))
                .at("categorical_columns")
                .help("name columns of x"));
        }
        let data = &mut self.config.data;
        data.target = Some(names(&mut (cols..cols + y.len())));
        if !self.categorical.is_empty() {
            data.categorical = Some(names(&mut self.categorical.iter().copied()));
        }
        let validation = match self.validation.take() {
            None => None,
            Some(_) if self.config.run.validation.is_some() => {
                return Err(Error::usage(
                    "validation_data cannot be used with validation_fraction",
                )
                .help("omit one of them"));
            }
            Some((x, y)) => {
                x.check("the validation x", self.has_missing)?;
                if x.columns.len() != cols {
                    let found = x.columns.len();
                    return Err(Error::usage(format!(
                        "{}, where x has {cols}",
                        count(found, "column")
                    ))
                    .at("validation_data")
                    .help("give the validation rows the columns of x"));
                }
                let y = match &self.class_names {
                    None => y,
                    Some(names) => {
                        let named = |labels: Values| named(&labels, names);
                        y.into_iter().map(named).collect::<Result<_>>()?
                    }
                };
                Some(Frame::of_columns(header.clone(), [x.columns, y].concat())?)
            }
        };
        let weights = self.weights(x.rows)?;
        let options = self.config.data_options();
        let frame = Frame::of_columns(header, [x.columns, y].concat())?;
        let mut table = Table::of_frame("x", frame, weights, &options)?;
        if let Some(names) = &self.class_names {
            table = table.with_class_names(names)?;
        }
        let data = Box::new(Data::Table(Box::new(table)));
        self.train(Given::Rows { data, validation })
    }

    /// Trains on a table in a file.
    #[cfg(feature = "data")]
    pub(super) fn fit_named(mut self, name: &str) -> Result<Fitted> {
        if let Some(error) = self.wrong.take() {
            return Err(error);
        }
        let of_rows = [
            ("column_names", self.column_names.is_some()),
            ("class_names", self.class_names.is_some()),
            ("categorical_columns", !self.categorical.is_empty()),
            ("sample_weight", self.sample_weight.is_some()),
            ("validation_data", self.validation.is_some()),
        ];
        if let Some((what, _)) = of_rows.iter().find(|(_, is_given)| *is_given) {
            return Err(Error::usage(format!("{what} of a table in a file"))
                .at(*what)
                .help("it is for rows in memory: the table has its own columns"));
        }
        self.config.data.data = Some(name.into());
        self.train(Given::Named).map_err(in_fields)
    }

    fn train(self, given: Given) -> Result<Fitted> {
        let Settings { config, control, hooks, backend, has_missing, .. } = self;
        let trained = Training { config, given, control, backend, hooks }.run()?;
        Ok(Fitted::of(trained, has_missing))
    }

    /// The names of the columns of features and `targets` targets.
    fn header(&self, x: &Columns, targets: usize) -> Result<Header> {
        let cols = x.columns.len();
        let Some(names) = self.column_names.as_ref().or(x.names.as_ref()) else {
            return Ok(Header::numbered(cols + targets));
        };
        if names.len() != cols {
            return Err(Error::usage(format!(
                "{} for {}",
                count(names.len(), "name"),
                count(cols, "column")
            ))
            .at("column_names")
            .help("name each column of x"));
        }
        let target = |i: usize| match targets {
            1 => "y".to_string(),
            _ => format!("y{}", i + 1),
        };
        Ok(Header::of_names(names.iter().cloned().chain((0..targets).map(target)).collect()))
    }

    /// The sample weights of `rows` rows.
    fn weights(&mut self, rows: usize) -> Result<Option<Vec<f32>>> {
        let Some(weights) = self.sample_weight.take() else { return Ok(None) };
        if weights.len() != rows {
            return Err(Error::usage(format!(
                "{} for {}",
                count(weights.len(), "weight"),
                count(rows, "row")
            ))
            .at("sample_weight")
            .help("give the weight of each row"));
        }
        match weights.iter().position(|w| !(*w >= 0.0 && w.is_finite())) {
            None => Ok(Some(weights)),
            Some(row) => Err(Error::data(format!("the weight {}", weights[row]))
                .at(format!("sample_weight, row {}", row + 1))
                .help("weights must be finite and not negative")),
        }
    }
}

/// The columns of features and the targets of held-out rows.
pub(super) fn held_out(
    x: Rows<'_>,
    y: impl FnOnce(usize) -> Result<Vec<Values>>,
) -> Result<(Columns, Vec<Values>)> {
    let x = x.columns("the validation x", true)?;
    let y = y(x.rows).map_err(|e| e.at("validation_data"))?;
    Ok((x, y))
}
