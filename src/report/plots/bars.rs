//! Horizontal bars with names, and the small histogram of a column.

use super::drawing::{Anchor, Drawing, Shape};
use super::{Scale, cut};
use crate::report::Distribution;
use maud::{Markup, html};
use std::fmt::Write;

/// The width of a drawing, and of the names in it.
const WIDTH: [f64; 2] = [360.0, 124.0];
/// The height of a bar with its margins.
const ROW: f64 = 22.0;
/// The size of a small histogram.
const SMALL: [f64; 2] = [112.0, 26.0];

/// A bar: its name, its length, the deviation around its end, and its value as text.
pub(in crate::report) struct Bar {
    pub name: String,
    pub value: f64,
    pub deviation: f64,
    pub text: String,
}

/// Horizontal bars from a common zero.
pub(in crate::report) fn bars(title: &str, about: &str, all: &[Bar]) -> Drawing {
    let ends = all.iter().flat_map(|bar| [bar.value - bar.deviation, bar.value + bar.deviation]);
    let (low, high) = ends.fold((0.0f64, 0.0f64), |(a, b), x| (a.min(x), b.max(x)));
    let scale = Scale::exact(low, high);
    let (left, right) = (WIDTH[1] + 6.0, WIDTH[0] - 58.0);
    let at = |x: f64| left + (right - left) * scale.at(x);
    let height = ROW * all.len() as f64 + 8.0;
    let mut shapes = Vec::new();
    for (i, bar) in all.iter().enumerate() {
        let y = 4.0 + ROW * i as f64;
        let [from, to] = [at(bar.value.min(0.0)), at(bar.value.max(0.0))];
        shapes.push(Shape::text("tick", [WIDTH[1], y + 15.0], Anchor::End, cut(&bar.name, 18)));
        let size = [(to - from).max(0.8), ROW - 8.0];
        shapes.push(Shape::Rect { class: "bar s0", at: [from, y + 4.0], size, opacity: None });
        if bar.deviation > 0.0 {
            let end = |x: f64| [at(x), y + ROW / 2.0];
            let (from, to) = (end(bar.value - bar.deviation), end(bar.value + bar.deviation));
            shapes.push(Shape::Line { class: "whisker", from, to });
        }
        let place = [WIDTH[0] - 2.0, y + 15.0];
        shapes.push(Shape::text("value", place, Anchor::End, &*bar.text));
    }
    let (from, to) = ([at(0.0), 2.0], [at(0.0), height - 2.0]);
    shapes.push(Shape::Line { class: "axis", from, to });
    Drawing { size: [WIDTH[0], height], title: title.into(), about: about.into(), shapes }
}

/// The histogram of a column, small enough for a row of a table; none for names.
pub(in crate::report) fn small_histogram(
    title: &str,
    distribution: &Distribution,
) -> Option<Markup> {
    let Distribution::Numbers { counts, .. } = distribution else { return None };
    let most = counts.iter().copied().max().filter(|most| *most > 0)? as f64;
    let width = SMALL[0] / counts.len() as f64;
    let mut path = String::new();
    for (i, &count) in counts.iter().enumerate() {
        if count > 0 {
            // Nonzero bins are always visible.
            let height = ((SMALL[1] - 1.0) * count as f64 / most).max(1.0);
            let (from, to) = (width * i as f64 + 0.4, width * (i + 1) as f64 - 0.4);
            let bottom = SMALL[1];
            let _ =
                write!(path, "M{:.1} {bottom}V{:.1}H{:.1}V{bottom}Z", from, bottom - height, to);
        }
    }
    Some(html! {
        svg class="plot small" role="img" viewBox={ "0 0 " (SMALL[0]) " " (SMALL[1]) } {
            title { (title) }
            path class="bar s0" d=(path) {}
        }
    })
}
