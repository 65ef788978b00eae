//! The style sheet of pages.

/// It, as it stands in the head of a page.
pub(super) fn style() -> String {
    format!("{}{}", include_str!("page.css"), super::super::plots::STYLE)
}
