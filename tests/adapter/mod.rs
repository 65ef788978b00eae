//! Tests that need a GPU adapter are skipped with a message if there is none.

use std::io::Write;

/// Whether there is an adapter. Without one `test` fails under `WGRAD_REQUIRE_GPU=1`, and otherwise
/// reports that it is skipped, bypassing the test harness, which would capture the message.
pub fn has_gpu(test: &str) -> bool {
    let found = !wgrad::backend::gpu::adapters().is_empty();
    let required = std::env::var("WGRAD_REQUIRE_GPU").is_ok_and(|v| v == "1");
    assert!(found || !required, "no GPU adapter for {test}");
    if !found {
        say(&format!("skipped: no GPU adapter: {test}\n"));
    }
    found
}

/// Writes to standard error, bypassing the test harness.
pub fn say(line: &str) {
    let _ = std::io::stderr().write_all(line.as_bytes());
}
