//! Decoders of other crates, which panic on some inconsistent files.

use std::any::Any;
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};

thread_local!(static DECODING: Cell<bool> = const { Cell::new(false) });

/// Whether this thread is in a decoder of Parquet, Arrow or images. They trust some numbers of a file and
/// panic if one is impossible, which becomes an error of the file. The process's panic hook is called
/// before that: with this function it can ignore such a panic, as the hook of the program does.
#[must_use]
pub fn is_decoding() -> bool {
    DECODING.get()
}

/// The result of a decoder, or the text of its panic. `decode` must not call code of this crate:
/// its panic would be reported as a fault of the file.
pub(in crate::data) fn guarded<T>(decode: impl FnOnce() -> T) -> Result<T, String> {
    DECODING.set(true);
    let result = panic::catch_unwind(AssertUnwindSafe(decode));
    DECODING.set(false);
    result.map_err(|cause: Box<dyn Any + Send>| {
        let text = cause.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| cause.downcast_ref::<&str>().copied());
        text.unwrap_or("its content is inconsistent").to_string()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error_and_only_within_is_decoding_said() {
        assert_eq!(guarded(is_decoding), Ok(true));
        assert!(!is_decoding());
        assert_eq!(guarded(|| panic!("offset {}", 7)).map(|()| 0), Err("offset 7".to_string()));
        assert!(!is_decoding());
    }
}
