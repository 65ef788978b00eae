//! `wgrad predict`: chunk by chunk from the data to the file of predictions.

use crate::backend::session::Session;
use crate::base::atomic::{AtomicFile, write_error};
use crate::base::error::{Error, Result};
use crate::cli::arguments::args::{ModelArgs, PredictArgs};
use crate::cli::arguments::terminal::{count, printed, say};
use crate::cli::runs::begin::warn;
use crate::cli::setup::open::{Trained, open_device};
use crate::data::OnError;
use crate::data::{self, ColumnOptions, Features, InputChunk, Keep, UnknownCategories};
use crate::files::config::ColumnNames;
use crate::files::predictions::{Columns, Format, Rows, Writer};
use crate::train::choose;
use std::io::{self, BufWriter, Seek, SeekFrom, Stdout, Write};
use std::path::Path;
use std::process::ExitCode;

/// The most unreadable rows that are reported individually.
const NAMED: usize = 10;

pub(in crate::cli) fn predict(args: &PredictArgs) -> Result<ExitCode> {
    let trained = Trained::open(&args.model.run)?;
    let format = format(args)?;
    if let Some(path) = &args.out {
        refuse_own_data(path, &args.model.data)?;
    }
    let keep = ColumnNames::join(&args.keep_columns);
    let options = trained.data_options(&args.model, ColumnOptions::default());
    let mut work = Work {
        args,
        trained: &trained,
        format,
        state: None,
        skipped: 0,
        unknown: UnknownCategories::default(),
    };
    let preprocessing = &trained.model.preprocessing;
    let take = |chunk| work.predict(chunk);
    let kept = Keep { names: &keep, typed: matches!(format, Format::Parquet | Format::Jsonl) };
    data::pass_inputs(&args.model.data, preprocessing, &options, kept, take)?;
    let Work { state, skipped, unknown, .. } = work;
    let Some(State { writer, rows, .. }) = state else {
        return Err(Error::failed("there are no rows to predict").at(&args.model.data));
    };
    match (written(args, writer.finish())?, &args.out) {
        (Output::File(file), Some(path)) => {
            file.commit()?;
            say(format_args!("{} predicted: {}", count(rows, "row"), path.display()));
        }
        (Output::File(file), None) => file.commit()?,
        (Output::Standard(_), _) => {}
    }
    if skipped > 0 {
        let were = if skipped == 1 { "was" } else { "were" };
        say(format_args!("{} could not be read and {were} skipped", count(skipped, "row")));
    }
    trained.warn_of_unknown(&unknown);
    Ok(ExitCode::SUCCESS)
}

/// The requested format, or that of the file's extension.
fn format(args: &PredictArgs) -> Result<Format> {
    let format = match (args.format, &args.out) {
        (Some(format), _) => format,
        (None, Some(path)) => Format::of(path)?,
        (None, None) => Format::Csv,
    };
    if format == Format::Npy && !args.keep_columns.is_empty() {
        return Err(Error::usage(
            "--keep-columns cannot be used with a NumPy array, which holds numbers of one type",
        )
        .help("write Parquet, or omit --keep-columns: the rows are in the order of the data"));
    }
    if format == Format::Npy && args.out.is_none() {
        return Err(Error::usage("a NumPy array can't be written to standard output").help(
            "its header contains its length, which is known only at the end: give a file with -o",
        ));
    }
    Ok(format)
}

fn refuse_own_data(path: &Path, data: &str) -> Result<()> {
    let same = |path: &Path| std::fs::canonicalize(path).ok();
    if same(path).is_some() && same(path) == same(Path::new(data)) {
        return Err(Error::usage(format!(
            "the predictions would overwrite their input, {}",
            path.display()
        ))
        .help("give another file with -o"));
    }
    Ok(())
}

/// The state between chunks.
struct Work<'a> {
    args: &'a PredictArgs,
    trained: &'a Trained,
    format: Format,
    /// Created with the first chunk, once the data are known to be readable.
    state: Option<State>,
    skipped: usize,
    unknown: UnknownCategories,
}

struct State {
    session: Session,
    writer: Writer<Output>,
    rows: usize,
}

impl Work<'_> {
    fn predict(&mut self, chunk: InputChunk) -> Result<()> {
        warn(&chunk.warnings);
        for error in chunk.faults {
            if self.args.on_error == OnError::Stop {
                return Err(error.also("--on-error skip leaves out rows that can't be read"));
            }
            match self.skipped {
                n if n < NAMED => say(format_args!("skipped: {}", error.brief())),
                NAMED => say("skipped: more rows"),
                _ => {}
            }
            self.skipped += 1;
        }
        self.unknown.add(&chunk.unknown);
        let model = &self.trained.model;
        let state = match &mut self.state {
            Some(state) => state,
            none => {
                let ModelArgs { device, data, .. } = &self.args.model;
                let features = &chunk.features;
                let rows = about_rows(data, features);
                let work = choose::Work::Predictions { model, features, rows };
                let backend = open_device(device, &work)?.backend;
                let session = model.session(backend, usize::MAX)?;
                let output = Output::create(self.args.out.as_deref())?;
                let outputs = model.predicted_columns();
                let columns = Columns::new(&model.preprocessing, outputs, &chunk.kept_names);
                let writer = Writer::new(output, self.format, columns, &chunk.kept);
                let writer = written(self.args, writer)?;
                none.insert(State { session, writer, rows: 0 })
            }
        };
        if chunk.features.rows() == 0 {
            return Ok(());
        }
        let values = model.predict_in(&mut state.session, chunk.features)?;
        state.rows += values.rows();
        let rows = Rows { kept: &chunk.kept, values: &values };
        written(self.args, state.writer.write(&rows))
    }
}

/// About how many rows there are, by the size of the file: a value with its separator takes about five
/// bytes. None for a pipe.
fn about_rows(data: &str, features: &Features) -> Option<usize> {
    const VALUE: usize = 5;
    match std::fs::metadata(data) {
        _ if data == "-" => None,
        Ok(file) if file.is_file() => {
            let about = file.len() as usize / (VALUE * features.cols().max(1));
            Some(about.max(features.rows()))
        }
        Ok(pipe) if !pipe.is_dir() => None,
        // Data sets and folders of images arrive in one chunk.
        _ => Some(features.rows()),
    }
}

/// The destination of predictions.
enum Output {
    File(AtomicFile),
    Standard(BufWriter<Stdout>),
}

impl Output {
    fn create(path: Option<&Path>) -> Result<Self> {
        match path {
            Some(path) => AtomicFile::create(path).map(Output::File),
            None => Ok(Output::Standard(BufWriter::with_capacity(1 << 16, io::stdout()))),
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Output::File(file) => file.write(bytes),
            Output::Standard(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Output::File(file) => file.flush(),
            Output::Standard(out) => out.flush(),
        }
    }
}

impl Seek for Output {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match self {
            Output::File(file) => file.seek(to),
            Output::Standard(_) => Err(io::ErrorKind::NotSeekable.into()),
        }
    }
}

/// The result of writing. A closed pipe at standard output ends the process.
fn written<T>(args: &PredictArgs, result: io::Result<T>) -> Result<T> {
    match &args.out {
        Some(path) => result.map_err(|error| write_error(path, &error)),
        None => printed(result),
    }
}
