//! IDX, and random bytes after the magic bytes of IDX.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wgrad::data::read_idx_bytes;

fuzz_target!(|bytes: &[u8]| {
    let _ = read_idx_bytes("fuzz", bytes);
    let _ = read_idx_bytes("fuzz", &[&[0, 0, 8, 3], bytes].concat());
});
