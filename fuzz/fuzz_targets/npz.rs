//! Random bytes after the magic bytes of NPZ.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wgrad::data::{DataOptions, open_bytes};

fuzz_target!(|bytes: &[u8]| {
    let _ = open_bytes("fuzz.npz", &[b"PK\x03\x04", bytes].concat(), &DataOptions::default());
});
