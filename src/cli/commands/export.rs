//! `wgrad export`: a model for other programs, tested before it is written.

#[cfg(feature = "tract")]
use super::export_check::try_out;
use crate::base::atomic::write_atomically;
use crate::base::error::{Error, Result};
use crate::cli::arguments::args::ExportArgs;
use crate::cli::arguments::terminal::say;
use crate::cli::setup::open::Trained;
use crate::files::export::code::{self, Language};
use crate::files::export::{Bare, Description, Format, onnx, pytorch, wgsl};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

pub(in crate::cli) fn export(args: &ExportArgs) -> Result<ExitCode> {
    let format = match args.format {
        Some(format) => format,
        None => Format::of(&args.out)?,
    };
    check_name(&args.out, format)?;
    let trained = Trained::open(&args.run)?;
    let model = &trained.model;
    let description = Description::new(model, Bare(args.bare))?;
    let path = &args.out;
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

/// Refuses a file whose extension is that of another format: it would be read as that, and might replace a file
/// of that kind.
fn check_name(path: &Path, format: Format) -> Result<()> {
    let is_directory = path.is_dir() || path.extension().is_none() && format == Format::Pytorch;
    if is_directory && format == Format::Pytorch || Format::of(path).is_ok_and(|of| of == format) {
        return Ok(());
    }
    Err(Error::usage(format!("{} is not a valid name for an export to {}", path.display(), format.name()))
        .help("use the extension of the format: .onnx, .safetensors, .rs, .c or .wgsl; for PyTorch it can be a directory"))
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

/// The paths of the weights and their README: in a directory, or beside each other.
fn pytorch_paths(path: &Path) -> Result<(PathBuf, PathBuf)> {
    let (weights, directory) = match path.extension() {
        Some(_) if !path.is_dir() => {
            (path.to_path_buf(), path.parent().unwrap_or(Path::new("")).to_path_buf())
        }
        _ => {
            std::fs::create_dir_all(path)
                .map_err(|e| crate::base::atomic::write_error(path, &e))?;
            (path.join("model.safetensors"), path.to_path_buf())
        }
    };
    let readme = directory.join("README.md");
    let is_foreign =
        std::fs::read_to_string(&readme).is_ok_and(|text| !text.starts_with(pytorch::TITLE));
    if is_foreign {
        return Err(Error::usage(format!("{} already exists", readme.display()))
            .help("give a new directory: a README is written next to the weights"));
    }
    Ok((weights, readme))
}

#[cfg(not(feature = "tract"))]
fn try_out(_: &[u8], _: &Trained, _: &Description, _: &ExportArgs) -> Result<()> {
    say("warning: not tested with another runtime: this wgrad was built without the feature tract");
    Ok(())
}
