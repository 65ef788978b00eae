//! Plots as SVG, whose colors are CSS classes: a page styles them for light, dark and print.
//!
//! Written with maud, which escapes all text. plotters, which the benches use, writes fixed colors into each
//! element and gives a plot no title and description for screen readers.

mod bars;
mod chart;
mod heat;
mod scale;
pub(super) use bars::{Bar, bars, small_histogram};
pub(super) use chart::{Chart, Mark, shape_at};
pub(super) use heat::{Heat, plane};
pub(super) use scale::Scale;

use crate::random::text_hash;
use maud::{Markup, html};

/// The styles that the classes of plots have in a standalone file; a page has its own.
pub(super) const STYLE: &str = include_str!("plots.css");

/// A drawing of `width` × `height` units with a title and a description in words, as an image.
pub(super) fn svg(width: f64, height: f64, title: &str, about: &str, content: &Markup) -> Markup {
    let id = format!("p{:016x}", text_hash(&format!("{title}\n{about}")));
    let (of_title, of_about) = (format!("{id}t"), format!("{id}d"));
    html! {
        svg class="plot" role="img" viewBox={ "0 0 " (round(width)) " " (round(height)) }
            aria-labelledby=(of_title) aria-describedby=(of_about) {
            title id=(of_title) { (title) }
            desc id=(of_about) { (about) }
            (content)
        }
    }
}

/// A coordinate with one decimal, which is exact enough.
pub(super) fn round(x: f64) -> f64 {
    (x * 10.0).round() / 10.0 + 0.0
}

/// A text of at most `most` characters; what is left out shows as an ellipsis.
pub(super) fn cut(text: &str, most: usize) -> String {
    // Line breaks and control characters would tear labels and rows apart.
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
    fn text_in_a_drawing_is_escaped_and_short() {
        let drawn = svg(10.0, 5.0, "<script>", "a \"b\" & c", &html! {}).into_string();
        assert!(drawn.contains("&lt;script&gt;") && drawn.contains("&amp;"), "{drawn}");
        assert!(!drawn.contains("<script"));
        assert_eq!((cut("a\nb", 5), cut("abcdef", 4)), ("a b".into(), "abc…".into()));
        assert_eq!((round(-0.01), round(1.26)), (0.0, 1.3));
    }
}
