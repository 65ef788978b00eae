//! An image file in a folder, in any format; the first byte decides whether it is called TGA,
//! which has no magic bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::fs;
use wgrad::data::{DataOptions, open};

fuzz_target!(|bytes: &[u8]| {
    let Some((first, bytes)) = bytes.split_first() else { return };
    let dir = std::env::temp_dir().join(format!("wgrad-fuzz-images-{}", std::process::id()));
    let extension = ["png", "tga"][*first as usize % 2];
    for class in ["a", "b"] {
        fs::create_dir_all(dir.join(class)).unwrap();
        for other in ["png", "tga"] {
            let _ = fs::remove_file(dir.join(class).join(format!("x.{other}")));
        }
        fs::write(dir.join(class).join(format!("x.{extension}")), bytes).unwrap();
    }
    let options = DataOptions { memory: Some(256 << 20), ..DataOptions::default() };
    let _ = open(&dir.to_string_lossy(), &options);
});
