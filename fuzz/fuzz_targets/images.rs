//! Images: a folder of two classes, one image of which is the input, behind the first bytes of each format.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;
use wgrad::data::{DataOptions, ImageOptions, ImageSize, open};

/// A folder whose second class is a sound image (BMP of one pixel).
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = std::env::temp_dir().join(format!("wgrad-fuzz-images-{}", std::process::id()));
    for class in ["a", "b"] {
        fs::create_dir_all(folder.join(class)).unwrap();
    }
    let mut bmp = b"BM\x3A\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\x18\0".to_vec();
    bmp.resize(58, 0);
    fs::write(folder.join("b/b.bmp"), bmp).unwrap();
    folder
});

fuzz_target!(|bytes: &[u8]| {
    let image = ImageOptions { size: Some(ImageSize(8, 8)), ..ImageOptions::default() };
    let options = DataOptions { image, ..DataOptions::default() };
    for (name, magic) in [
        ("a.png", &b"\x89PNG\r\n\x1a\n"[..]),
        ("a.jpg", b"\xFF\xD8\xFF"),
        ("a.gif", b"GIF89a"),
        ("a.bmp", b"BM"),
        ("a.webp", b"RIFF"),
        ("a.png", b""),
    ] {
        let file = FOLDER.join("a").join(name);
        fs::write(&file, [magic, bytes].concat()).unwrap();
        let _ = open(&FOLDER.to_string_lossy(), &options);
        fs::remove_file(&file).unwrap();
    }
});
