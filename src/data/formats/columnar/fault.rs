//! What decoders of Parquet and Arrow say of a file, and where they panic.

use super::Format;
use crate::base::error::Error;
use crate::data::streams::decoding::guarded;
use arrow_schema::ArrowError;
use parquet::errors::ParquetError;

/// What a decoder makes of a file. Nothing of ours is to be called in `decode`: its panic would be taken
/// for a fault of the file.
///
/// # Errors
/// What the decoder says is wrong, and for its panics.
pub(super) fn decoded<T>(
    decode: impl FnOnce() -> std::result::Result<T, ArrowError>,
) -> std::result::Result<T, ArrowError> {
    guarded(decode).unwrap_or_else(|panic| Err(ArrowError::ParseError(panic)))
}

/// An error of the Parquet decoder as one of Arrow, with what became of the file.
pub(super) fn of_parquet(error: ParquetError) -> ArrowError {
    match error {
        ParquetError::NYI(feature) => ArrowError::NotYetImplemented(feature),
        ParquetError::External(inner) => match inner.downcast::<std::io::Error>() {
            Ok(error) => ArrowError::from(*error),
            Err(other) => ArrowError::ExternalError(other),
        },
        other => ArrowError::from(other),
    }
}

/// Tells what the decoder lacks, and what the system refuses, from what is wrong with the file.
pub(super) fn fault(format: Format, error: &ArrowError) -> Error {
    /// How decoders say that they lack something, where the kind of the error doesn't.
    const LACKS: [&str; 5] = ["NYI", "upported", "ncrypt", "Disabled feature", "implemented"];
    let name = format.name();
    match error {
        // The decompressors' own errors have no number of the system.
        ArrowError::IoError(_, error) if error.raw_os_error().is_some() => {
            Error::failed(format!("the {name} file can't be read: {error}"))
        }
        ArrowError::MemoryError(what) => {
            Error::data(format!("the {name} file needs more memory than is available: {what}"))
                .help("write it in smaller batches or row groups")
        }
        ArrowError::NotYetImplemented(feature) => lacks(format, feature),
        other => {
            let text = other.to_string();
            match LACKS.iter().any(|lack| text.contains(lack)) {
                true => lacks(format, &text),
                false => Error::data(format!("the {name} file is cut short or damaged: {text}"))
                    .help("copy or download it again"),
            }
        }
    }
}

fn lacks(format: Format, feature: &str) -> Error {
    Error::data(format!("the {} file uses an unsupported feature: {feature}", format.name()))
        .help("write it without this feature, for example with pandas or polars and their defaults")
}
