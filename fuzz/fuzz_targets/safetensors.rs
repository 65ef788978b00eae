//! Model files and weights: any bytes, and any metadata in a valid header.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;
use wgrad::files::checkpoint::{load_model, load_weights};
use wgrad::{Activation, Net};

static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    std::env::temp_dir().join(format!("wgrad-fuzz-{}.safetensors", std::process::id()))
});

fuzz_target!(|bytes: &[u8]| {
    let net = Net::new(2).layer(1, Activation::Identity);
    let behind_its_length = [&(bytes.len() as u64).to_le_bytes()[..], bytes].concat();
    for content in [bytes, &behind_its_length] {
        fs::write(&*FILE, content).unwrap();
        let _ = load_model(&FILE);
        let _ = load_weights(&FILE, &net);
    }
});
