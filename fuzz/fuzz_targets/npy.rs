//! Random bytes after the magic bytes of NPY.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wgrad::data::{DataOptions, open_bytes};

fuzz_target!(|bytes: &[u8]| {
    let _ = open_bytes("fuzz.npy", &[b"\x93NUMPY", bytes].concat(), &DataOptions::default());
});
