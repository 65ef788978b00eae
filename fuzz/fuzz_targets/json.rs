//! Objects in JSON, on lines and in an array.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wgrad::data::{DataOptions, open_bytes};

fuzz_target!(|bytes: &[u8]| {
    for begin in [&b"{\"a\":1,\"b\":2}\n{"[..], b"[{\"a\":1,\"b\":2},{", b"{\"", b"[{"] {
        let _ = open_bytes("fuzz.json", &[begin, bytes].concat(), &DataOptions::default());
    }
});
