//! Checkpoint files, complete or with a matching length in front.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;
use wgrad::files::checkpoint::load_checkpoint;

static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    std::env::temp_dir().join(format!("wgrad-fuzz-checkpoint-{}.safetensors", std::process::id()))
});

fuzz_target!(|bytes: &[u8]| {
    let behind_its_length = [&(bytes.len() as u64).to_le_bytes()[..], bytes].concat();
    for content in [bytes, &behind_its_length] {
        fs::write(&*FILE, content).unwrap();
        let _ = load_checkpoint(&FILE);
    }
});
