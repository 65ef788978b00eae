//! The style sheet of pages.

/// The style sheet for the head of a page.
pub(super) fn style() -> String {
    format!("{}{}", include_str!("page.css"), super::super::plots::STYLE)
}
