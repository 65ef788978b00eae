//! Errors and panics of the decoders of Parquet and Arrow.

use super::Format;
use crate::base::error::Error;
use crate::data::streams::decoding::guarded;
use arrow_schema::ArrowError;
use parquet::errors::ParquetError;

/// The result of a decoder. `decode` must not call code of this crate: its panic would be reported
/// as a fault of the file.
///
/// # Errors
/// The decoder's errors, and its panics.
pub(super) fn decoded<T>(
    decode: impl FnOnce() -> std::result::Result<T, ArrowError>,
) -> std::result::Result<T, ArrowError> {
    guarded(decode).unwrap_or_else(|panic| Err(ArrowError::ParseError(panic)))
}

/// An error of the Parquet decoder as one of Arrow, including the error of the file system.
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

/// Distinguishes unsupported features and errors of the system from a damaged file.
pub(super) fn fault(format: Format, error: &ArrowError) -> Error {
    /// Parts of decoders' messages about unsupported features, which have no error kind of their own.
    const LACKS: [&str; 5] = ["NYI", "upported", "ncrypt", "Disabled feature", "implemented"];
    let name = format.name();
    match error {
        // The decompressors' own errors have no OS error code.
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
                false => Error::data(format!("the {name} file is truncated or damaged: {text}"))
                    .help("copy or download it again"),
            }
        }
    }
}

fn lacks(format: Format, feature: &str) -> Error {
    Error::data(format!("the {} file uses an unsupported feature: {feature}", format.name()))
        .help("write it without this feature, for example with pandas or polars and their defaults")
}
