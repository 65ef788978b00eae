//! The texts of options, and configuration files.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wgrad::files::config::TrainConfig;
use wgrad::data::{ClassWeight, ImageSize};

fuzz_target!(|text: &str| {
    let _ = TrainConfig::from_toml(text);
    let _ = text.parse::<ClassWeight>();
    let _ = text.parse::<ImageSize>();
});
