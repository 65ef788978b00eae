//! Plots: shapes whose colors are classes, which a page styles for light, dark and print, and which are also
//! rendered as pixels for programs that can't show SVG.
//!
//! SVG is written with maud, which escapes all text; pixels are filled by tiny-skia. plotters, which the
//! benches use, writes fixed colors into each element and gives a plot no title and description for screen
//! readers.

mod bars;
mod chart;
mod drawing;
mod heat;
mod letters;
mod pixels;
mod scale;
pub(super) use bars::{Bar, bars, small_histogram};
pub(super) use chart::{Chart, Mark};
pub(super) use drawing::{Drawing, key};
pub(super) use heat::{Heat, plane};
pub(super) use pixels::png;
pub(super) use scale::Scale;

/// The styles of plots in a standalone file; a page has its own.
pub(super) const STYLE: &str = include_str!("plots.css");

/// The colors of a standalone drawing: those of the page's light scheme.
pub(super) const COLORS: [(&str, &str); 9] = [
    ("--card", "#ffffff"),
    ("--ink", "#1b1f23"),
    ("--soft", "#555c64"),
    ("--line", "#d8d6cf"),
    ("--grid", "#ebe9e3"),
    ("--c0", "#0072b2"),
    ("--c1", "#c24e00"),
    ("--c2", "#00795a"),
    ("--c3", "#98447a"),
];

/// The number of series with distinct color and dashes or shape; more start over.
const SERIES: usize = 4;

/// A coordinate with one decimal, which is precise enough.
pub(super) fn round(x: f64) -> f64 {
    (x * 10.0).round() / 10.0 + 0.0
}

/// A text of at most `most` characters; longer ones end with an ellipsis.
pub(super) fn cut(text: &str, most: usize) -> String {
    // Line breaks and control characters would break labels and rows.
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let mut kept: String = text.chars().take(most).map(plain).collect();
    if text.chars().nth(most).is_some() {
        kept.pop();
        kept.push('…');
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_short_and_coordinates_round() {
        assert_eq!((cut("a\nb", 5), cut("abcdef", 4)), ("a b".into(), "abc…".into()));
        assert_eq!((round(-0.01), round(1.26)), (0.0, 1.3));
    }
}
