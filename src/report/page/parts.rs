//! The parts that pages are made of.

use super::super::figures::Figure;
pub(in crate::report) use super::super::plots::cut;
use super::super::plots::key;
use super::style::style;
use crate::report::{Evaluation, RunReport};
use maud::{DOCTYPE, Markup, PreEscaped, html};

/// A whole document with this title.
pub(in crate::report) fn document(title: &str, content: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                style { (PreEscaped(style())) }
            }
            body { (content) }
        }
    }
}

/// A section of the page.
pub(in crate::report) fn section(id: &str, name: &str, content: &Markup) -> Markup {
    let of = format!("{id}-title");
    html! {
        section id=(id) aria-labelledby=(of) {
            h2 id=(of) { (name) }
            (content)
        }
    }
}

/// Figures, side by side if there is room.
pub(in crate::report) fn figures(all: &[Figure]) -> Markup {
    html! {
        @if !all.is_empty() {
            div class="figures" {
                @for figure in all {
                    figure {
                        @if !figure.legend.is_empty() { (legend(&figure.legend)) }
                        (figure.drawing.svg())
                        figcaption { (figure.caption) }
                    }
                }
            }
        }
    }
}

/// The legend: the color, dashes and shape of each series.
fn legend(names: &[String]) -> Markup {
    html! {
        ul class="legend" {
            @for (i, name) in names.iter().enumerate() {
                li {
                    svg class="plot key" viewBox="0 0 26 10" aria-hidden="true" {
                        @for shape in key(i, [1.0, 5.0]) { (shape.svg()) }
                    }
                    (name)
                }
            }
        }
    }
}

/// Content that may be wider than the screen: it scrolls separately, also with the keyboard.
pub(in crate::report) fn scroll(label: &str, content: &Markup) -> Markup {
    html! { div class="scroll" tabindex="0" role="region" aria-label=(label) { (content) } }
}

/// A remark.
pub(in crate::report) fn note(text: &str) -> Markup {
    html! { p class="soft" { (text) } }
}

/// A text of many lines, of at most `most` characters.
pub(in crate::report) fn long(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}\n… (cut off here)", &text[..end]),
        None => text.into(),
    }
}

/// How much of long lists is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Detail {
    /// Rows of a table.
    pub rows: usize,
    /// Figures of a kind.
    pub figures: usize,
    /// Characters of a name.
    pub name: usize,
}

/// The part that comes first: test rows are more reliable than validation rows, on which an epoch was chosen.
pub(super) fn first(report: &RunReport) -> Option<&Evaluation> {
    report.evaluations.iter().find(|e| e.part == "test").or(report.evaluations.first())
}
