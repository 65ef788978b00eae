//! Delimited text with all options for its columns; compressed if it begins so.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wgrad::data::{DataOptions, Task, open_bytes};

fuzz_target!(|bytes: &[u8]| {
    let Some((&first, rest)) = bytes.split_first() else { return };
    let mut options = DataOptions { task: Task::ALL[first as usize % 4], ..DataOptions::default() };
    if first & 4 != 0 {
        options.columns.categorical = vec!["1".into()];
    }
    if first & 8 != 0 {
        options.columns.numeric = vec!["2".into()];
    }
    let _ = open_bytes("fuzz.csv", rest, &options);
});
