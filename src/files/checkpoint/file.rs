//! Reads a safetensors file, after checking its header against its length.

use crate::base::error::{Error, Result};
use crate::base::memory::Budget;
use crate::files::tensors::{Fault, Header, LENGTH, LONGEST};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

/// The bytes of a file. Nothing after the header is read before the declared size is compared with the
/// file's length.
///
/// # Errors
/// When it can't be read, isn't a file, isn't a safetensors file of that length, or needs more memory than
/// there is.
pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
    let io = |e: io::Error| Error::io("read", path, &e);
    let metadata = fs::metadata(path).map_err(io)?;
    if !metadata.is_file() {
        return Err(Error::data(format!("{} is not a file", path.display()))
            .help("give a safetensors file"));
    }
    let mut file = File::open(path).map_err(io)?;
    let mut bytes = Vec::new();
    let mut more = |count: u64, bytes: &mut Vec<u8>| -> Result<()> {
        file.by_ref().take(count).read_to_end(bytes).map(|_| ()).map_err(io)
    };
    more(LENGTH as u64, &mut bytes)?;
    let fail = |e: Fault| not_safetensors(&e).at(path.display());
    let Some(length) = bytes.first_chunk::<LENGTH>().map(|b| u64::from_le_bytes(*b)) else {
        return Err(fail(Fault::HeaderTooSmall));
    };
    if length > LONGEST {
        return Err(fail(Fault::HeaderTooLarge));
    }
    more(length, &mut bytes)?;
    let header = Header::parse(&bytes[LENGTH..]).map_err(fail)?;
    let whole = (bytes.len() as u64).saturating_add(header.data_len() as u64);
    if whole != metadata.len() {
        return Err(fail(Fault::Incomplete));
    }
    // The bytes, and the numbers decoded from them.
    let need = whole.saturating_mul(2);
    Budget::default().check(need, "the model").map_err(|e| e.at(path.display()))?;
    more(header.data_len() as u64, &mut bytes)?;
    Ok(bytes)
}

pub(super) fn not_safetensors(error: &Fault) -> Error {
    Error::data(format!("not a complete safetensors file: {error}"))
        .help("give a complete model.safetensors")
}
