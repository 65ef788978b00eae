//! An exported ONNX file is run by another runtime, tract, before it is written.

use crate::base::error::{Error, Result};
use crate::cli::arguments::args::ExportArgs;
use crate::cli::arguments::terminal::{count, say};
use crate::cli::setup::open::Trained;
use crate::data::{self, ColumnOptions, DataOptions, Preprocessing};
use crate::files::export::description::Inputs;
use crate::files::export::rows::{Given, Rows};
use crate::files::export::{Bare, Description, compare, runtime};

/// The number of random rows that a file is tested on, and the most rows of the run's data.
const ROWS: usize = 256;

/// Runs an ONNX file on random rows and on rows of the run's own data, and compares its predictions.
pub(in crate::cli) fn try_out(
    bytes: &[u8],
    trained: &Trained,
    description: &Description,
    args: &ExportArgs,
) -> Result<()> {
    let bare = Bare(args.bare);
    let mut sets = vec![("drawn", Rows::draw(description, &trained.model.preprocessing, ROWS)?)];
    if !args.bare {
        match own_rows(trained, description, args) {
            Ok(rows) => sets.push(("own", rows)),
            Err(why) => say(format_args!("note: tested on random rows only: {why}")),
        }
    }
    let mut said = Vec::new();
    let mut largest = 0.0f64;
    for (what, rows) in &sets {
        let expected = compare::expected(&trained.model, bare, rows)?;
        let found = runtime::run(bytes, description, rows)?;
        largest = largest.max(compare::compare(description, &expected, &found)?);
        let (drawn, own) = if *what == "own" { ("", " of its data") } else { ("random ", "") };
        said.push(format!("{}{own}", count(rows.count(), &format!("{drawn}row"))));
    }
    say(format_args!(
        "checked by tract on {}: largest relative difference {largest:.1e}",
        said.join(" and ")
    ));
    Ok(())
}

/// Rows of the data that a run was trained on, or the reason why there are none.
fn own_rows(
    trained: &Trained,
    description: &Description,
    args: &ExportArgs,
) -> std::result::Result<Rows, String> {
    let text = |e: Error| e.brief();
    let config = trained.config().map_err(text)?;
    let config = config.ok_or("the model file doesn't name its training data")?;
    let name = config.data.data.clone().ok_or("the model file doesn't name its training data")?;
    if name == "-" {
        return Err("it was trained on standard input".into());
    }
    let options = DataOptions {
        data_dir: args.data_dir.clone().or(config.data.data_dir.clone()),
        columns: ColumnOptions::default(),
        seed: config.data.seed.unwrap_or(0),
        text: config.text.options(),
        ..DataOptions::default()
    };
    let preprocessing: &Preprocessing = &trained.model.preprocessing;
    let table = data::read_columns(&name, preprocessing, &options, ROWS).map_err(text)?;
    if let (Some((frame, features)), Some(encoding)) = (&table, &preprocessing.encoding)
        && matches!(description.inputs, Inputs::Columns(_))
    {
        let given = Given::Columns(encoding.raw(frame).map_err(text)?);
        return Ok(Rows { given, features: features.clone() });
    }
    let features = match table {
        Some((_, features)) => features,
        None => data::open_inputs(&name, preprocessing, &options).map_err(text)?.features,
    };
    let first: Vec<usize> = (0..features.rows().min(ROWS)).collect();
    Ok(Rows::of_features(&std::sync::Arc::new(features.select_rows(&first))))
}
