//! Tests that need a GPU adapter pass over where there is none, and say so by name.

use std::io::Write;

/// Whether there is an adapter. Without one `test` fails under `WGRAD_REQUIRE_GPU=1`, and otherwise
/// says that it is skipped, past the test harness, which would keep it to itself.
pub fn has_gpu(test: &str) -> bool {
    let found = !wgrad::backend::gpu::adapters().is_empty();
    let required = std::env::var("WGRAD_REQUIRE_GPU").is_ok_and(|v| v == "1");
    assert!(found || !required, "no GPU adapter for {test}");
    if !found {
        say(&format!("skipped: no GPU adapter: {test}\n"));
    }
    found
}

/// Writes to standard error past the test harness.
pub fn say(line: &str) {
    let _ = std::io::stderr().write_all(line.as_bytes());
}
