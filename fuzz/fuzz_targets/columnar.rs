//! Parquet and Arrow IPC: whole files that were changed, or rubbish behind the first bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wgrad::data::{DataOptions, open_bytes};

fuzz_target!(|bytes: &[u8]| {
    let _ = open_bytes("fuzz", bytes, &DataOptions::default());
    for magic in [&b"PAR1"[..], b"ARROW1\0\0", b"\xFF\xFF\xFF\xFF"] {
        let _ = open_bytes("fuzz", &[magic, bytes].concat(), &DataOptions::default());
    }
});
