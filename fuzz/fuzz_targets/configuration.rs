//! Configuration files: valid ones are written and read again without a change.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wgrad::files::config::TrainConfig;

fuzz_target!(|text: &str| {
    let Ok(config) = TrainConfig::from_toml(text) else { return };
    let written = config.to_toml().expect("what was read can be written");
    let again = TrainConfig::from_toml(&written).expect("what was written can be read");
    assert_eq!(written, again.to_toml().expect("and written again"));
});
