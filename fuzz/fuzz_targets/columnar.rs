//! Parquet and Arrow IPC: modified complete files, or random bytes after the magic bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wgrad::data::{DataOptions, open_bytes};

fuzz_target!(init: {
    // A decoder's panic is caught and becomes an error: only other panics are findings.
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !wgrad::data::is_decoding() {
            usual(info);
        }
    }));
}, |bytes: &[u8]| {
    let _ = open_bytes("fuzz", bytes, &DataOptions::default());
    for magic in [&b"PAR1"[..], b"ARROW1\0\0", b"\xFF\xFF\xFF\xFF"] {
        let _ = open_bytes("fuzz", &[magic, bytes].concat(), &DataOptions::default());
    }
});
