//! `wgrad export`: a model for other programs, tried before it is written.

use super::args::ExportArgs;
use super::open::Trained;
use super::{count, say};
use crate::data::{self, ColumnOptions, DataOptions, Preprocessing};
use crate::error::{Error, Result};
use crate::export::code::{self, Language};
use crate::export::rows::{Given, Rows};
use crate::export::{Bare, Description, Format, onnx, pytorch, wgsl};
use crate::files::write_atomically;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The rows that a file is tried on: drawn ones, and as many of the run's data at most.
const ROWS: usize = 256;

pub(super) fn export(args: &ExportArgs) -> Result<ExitCode> {
    let format = match args.format {
        Some(format) => format,
        None => Format::of(&args.output)?,
    };
    check_name(&args.output, format)?;
    let trained = Trained::open(&args.run)?;
    let model = &trained.model;
    let description = Description::new(model, Bare(args.bare))?;
    let path = &args.output;
    match format {
        Format::Onnx => {
            let bytes = onnx::write(&description)?;
            try_out(&bytes, &trained, &description, args)?;
            write(args, path, &bytes)?;
        }
        Format::C | Format::Rust => {
            let language = if format == Format::C { Language::C } else { Language::Rust };
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            write(args, path, code::write(&description, language, &name).as_bytes())?;
        }
        Format::Wgsl => write(args, path, wgsl::write(&description)?.as_bytes())?,
        Format::Pytorch => {
            let (weights, readme) = pytorch_paths(path)?;
            let name = weights.file_name().unwrap_or_default().to_string_lossy();
            let (bytes, text) = pytorch::write(&description, &name)?;
            write(args, &weights, &bytes)?;
            write(args, &readme, text.as_bytes())?;
        }
    }
    say(format_args!("exported as {}: {}", format.name(), path.display()));
    Ok(ExitCode::SUCCESS)
}

/// Refuses a file whose name says something else than the format: it would be read as that, and what is there
/// under such a name is of another kind.
fn check_name(path: &Path, format: Format) -> Result<()> {
    let is_directory = path.is_dir() || path.extension().is_none() && format == Format::Pytorch;
    if is_directory && format == Format::Pytorch || Format::of(path).is_ok_and(|of| of == format) {
        return Ok(());
    }
    Err(Error::usage(format!("{} as the name of an export as {}", path.display(), format.name()))
        .help("end it in .onnx, .safetensors, .rs, .c or .wgsl, as the format is; PyTorch's may be a directory"))
}

/// Writes a file of an export, but not over the model that is exported or another file of its run.
fn write(args: &ExportArgs, path: &Path, bytes: &[u8]) -> Result<()> {
    let whole = |path: &Path| std::fs::canonicalize(path).ok();
    let is_own = whole(path).is_some_and(|file| {
        let run = whole(&args.run);
        run.as_ref() == Some(&file) || run.as_deref() == file.parent()
    });
    if is_own {
        return Err(Error::usage(format!(
            "the export would replace {} of the run",
            path.display()
        ))
        .help("give another file with -o"));
    }
    write_atomically(path, |out| out.write_all(bytes))
}

/// Where the weights and their README go: into a directory, or beside each other.
fn pytorch_paths(path: &Path) -> Result<(PathBuf, PathBuf)> {
    let (weights, directory) = match path.extension() {
        Some(_) if !path.is_dir() => {
            (path.to_path_buf(), path.parent().unwrap_or(Path::new("")).to_path_buf())
        }
        _ => {
            std::fs::create_dir_all(path).map_err(|e| crate::files::write_error(path, &e))?;
            (path.join("model.safetensors"), path.to_path_buf())
        }
    };
    let readme = directory.join("README.md");
    let is_foreign =
        std::fs::read_to_string(&readme).is_ok_and(|text| !text.starts_with(pytorch::TITLE));
    if is_foreign {
        return Err(Error::usage(format!("{} is there already", readme.display()))
            .help("give a new directory: a README is written beside the weights"));
    }
    Ok((weights, readme))
}

/// Runs an ONNX file over drawn rows and rows of the run's own data, and compares its predictions.
#[cfg(feature = "tract")]
fn try_out(
    bytes: &[u8],
    trained: &Trained,
    description: &Description,
    args: &ExportArgs,
) -> Result<()> {
    use crate::export::{compare, runtime};
    let bare = Bare(args.bare);
    let mut sets = vec![("drawn", Rows::draw(description, &trained.model.preprocessing, ROWS)?)];
    if !args.bare {
        match own_rows(trained, description, args) {
            Ok(rows) => sets.push(("own", rows)),
            Err(why) => say(format_args!("note: tried on drawn rows alone: {why}")),
        }
    }
    let mut said = Vec::new();
    let mut largest = 0.0f64;
    for (what, rows) in &sets {
        let expected = compare::expected(&trained.model, bare, rows)?;
        let found = runtime::run(bytes, description, rows)?;
        largest = largest.max(compare::compare(description, &expected, &found)?);
        let of = if *what == "own" { "of its data" } else { "drawn" };
        said.push(format!("{} {of}", count(rows.count(), "row")));
    }
    say(format_args!(
        "checked by tract on {}: largest relative difference {largest:.1e}",
        said.join(" and ")
    ));
    Ok(())
}

#[cfg(not(feature = "tract"))]
fn try_out(_: &[u8], _: &Trained, _: &Description, _: &ExportArgs) -> Result<()> {
    say("warning: not checked by another runtime: this wgrad was built without the feature tract");
    Ok(())
}

/// Rows of the data that a run was trained on, those that are tried first; why there are none.
#[cfg(feature = "tract")]
fn own_rows(
    trained: &Trained,
    description: &Description,
    args: &ExportArgs,
) -> std::result::Result<Rows, String> {
    use crate::export::description::Inputs;
    let text = |e: Error| e.brief();
    let config = trained.config().map_err(text)?;
    let config = config.ok_or("the model doesn't say what it was trained on")?;
    let name = config.data.data.clone().ok_or("the model doesn't say what it was trained on")?;
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
