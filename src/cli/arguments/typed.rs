//! The raw command-line arguments.

/// Whether an option is among the arguments.
pub(super) fn is_flag(option: &str) -> bool {
    let begin = format!("{option}=");
    std::env::args_os()
        .any(|argument| argument.to_str().is_some_and(|a| a == option || a.starts_with(&begin)))
}
