//! `wgrad import`: a net from elsewhere as a run directory.

use crate::base::error::{Error, Result, unknown};
use crate::cli::arguments::args::ImportArgs;
use crate::cli::arguments::terminal::say;
use crate::cli::runs::run_directory::RunDirectory;
use crate::files::checkpoint::{Provenance, save_model_with};
use crate::files::import::{self, Options, Outputs};
use std::process::ExitCode;

pub(in crate::cli) fn import(args: &ImportArgs) -> Result<ExitCode> {
    let outputs = match args.task.as_deref() {
        None => None,
        Some("classification") => Some(Outputs::Classes),
        Some("regression") => Some(Outputs::Numbers),
        Some(other) => return Err(unknown("task", other, &["classification", "regression"])),
    };
    if args.out.symlink_metadata().is_ok() {
        let what = format!("{} already exists", args.out.display());
        return Err(Error::usage(what).help("choose another --out"));
    }
    let model = import::read(&args.file, &Options { activation: args.activation, outputs })?;
    let run = RunDirectory::create(Some(&args.out), "", false)?;
    save_model_with(&model, &Provenance::default(), &run.model())?;
    let layers: Vec<String> = model.net.layers.iter().map(|l| l.units.to_string()).collect();
    say(format_args!(
        "imported: {} inputs, layers of {}; {}",
        model.net.inputs,
        layers.join(", "),
        match &model.preprocessing.classes {
            Some(names) => format!("classes {}", names.join(", ")),
            None => "outputs are numbers".into(),
        }
    ));
    say(format_args!("model       {}", run.model().display()));
    say(format_args!("next        wgrad predict {} DATA -o FILE.csv", args.out.display()));
    Ok(ExitCode::SUCCESS)
}
