//! A drawing as shapes, rendered as SVG in a page, or as pixels in a separate file.

use super::{cut, round};
use crate::math::random::text_hash;
use maud::{Markup, html};
use std::fmt::Write;

/// The height of a line of the legend.
const LEGEND: f64 = 18.0;

/// A drawing with a title and a description.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::report) struct Drawing {
    /// Its width and height.
    pub size: [f64; 2],
    pub title: String,
    pub about: String,
    /// Its shapes, from back to front.
    pub shapes: Vec<Shape>,
}

/// A shape of a drawing. Its style class decides how it looks: from `plots.css`, and for pixels `Look`.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::report) enum Shape {
    /// A straight line.
    Line { class: &'static str, from: [f64; 2], to: [f64; 2] },
    /// Straight lines from point to point.
    Polyline { class: String, points: Vec<[f64; 2]> },
    /// A rectangle: its least corner and its size.
    Rect { class: &'static str, at: [f64; 2], size: [f64; 2], opacity: Option<f64> },
    /// Parts with the same fill.
    Parts { class: String, opacity: Option<f64>, parts: Vec<Part> },
    /// A text at a place of its baseline.
    Text { class: &'static str, at: [f64; 2], anchor: Anchor, is_upright: bool, text: String },
}

/// A filled figure.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::report) enum Part {
    /// From left to right and from top to bottom.
    Rect([f64; 4]),
    /// Its middle and its radius.
    Circle([f64; 2], f64),
    /// Its corners.
    Polygon(Vec<[f64; 2]>),
}

/// Which end of a text is at its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::report) enum Anchor {
    Start,
    Middle,
    End,
}

impl Shape {
    /// A text along the drawing's width.
    pub fn text(
        class: &'static str,
        at: [f64; 2],
        anchor: Anchor,
        text: impl Into<String>,
    ) -> Self {
        Shape::Text { class, at, anchor, is_upright: false, text: text.into() }
    }

    /// The shape as an element of SVG.
    pub fn svg(&self) -> Markup {
        match self {
            Shape::Line { class, from: [x1, y1], to: [x2, y2] } => {
                html! { line class=(class) x1=(round(*x1)) y1=(round(*y1)) x2=(round(*x2)) y2=(round(*y2)) {} }
            }
            Shape::Polyline { class, points } => {
                let point = |text: String, [x, y]: &[f64; 2]| {
                    text + &format!("{},{} ", round(*x), round(*y))
                };
                html! { polyline class=(class) points=(points.iter().fold(String::new(), point)) {} }
            }
            Shape::Rect { class, at: [x, y], size: [width, height], opacity } => html! {
                rect class=(class) x=(round(*x)) y=(round(*y)) width=(round(*width)) height=(round(*height))
                    fill-opacity=[opacity.map(|opacity| format!("{opacity:.3}"))] {}
            },
            Shape::Parts { class, opacity, parts } => html! {
                path class=(class) d=(parts.iter().map(Part::path).collect::<String>())
                    fill-opacity=[opacity.map(|opacity| format!("{opacity:.2}"))] {}
            },
            Shape::Text { class, at: [x, y], anchor, is_upright, text } => {
                let [x, y] = [round(*x), round(*y)];
                let turned = is_upright.then(|| format!("rotate(-90 {x} {y})"));
                let anchor = match anchor {
                    Anchor::Start => None,
                    Anchor::Middle => Some("middle"),
                    Anchor::End => Some("end"),
                };
                html! { text class=(class) x=(x) y=(y) text-anchor=[anchor] transform=[turned] { (text) } }
            }
        }
    }
}

impl Part {
    /// A shape around a place: circle, triangle, square, diamond.
    pub fn mark(shape: usize, [x, y]: [f64; 2], r: f64) -> Self {
        match shape {
            0 => Part::Circle([x, y], r),
            1 => Part::Polygon(vec![[x, y - 1.2 * r], [x + 1.2 * r, y + r], [x - 1.2 * r, y + r]]),
            2 => Part::Rect([x - r, y - r, x + r, y + r]),
            _ => {
                let r = 1.4 * r;
                Part::Polygon(vec![[x, y - r], [x + r, y], [x, y + r], [x - r, y]])
            }
        }
    }

    /// The part as a path of SVG.
    pub fn path(&self) -> String {
        match self {
            Part::Rect(ends) => {
                let [left, top, right, bottom] = ends.map(round);
                format!("M{left} {bottom}V{top}H{right}V{bottom}Z")
            }
            Part::Circle([x, y], r) => {
                let [x, y, d] = [round(x - r), round(*y), 2.0 * r];
                format!("M{x} {y}a{r} {r} 0 1 0 {d} 0a{r} {r} 0 1 0 -{d} 0Z")
            }
            Part::Polygon(corners) => {
                let mut path = String::new();
                for (i, [x, y]) in corners.iter().enumerate() {
                    let step = if i == 0 { 'M' } else { 'L' };
                    let _ = write!(path, "{step}{} {}", round(*x), round(*y));
                }
                path + "Z"
            }
        }
    }
}

impl Drawing {
    /// The drawing as an element of a page, an image with title and description for screen readers.
    pub fn svg(&self) -> Markup {
        let Drawing { size: [width, height], title, about, shapes } = self;
        let id = format!("p{:016x}", text_hash(&format!("{title}\n{about}")));
        let (of_title, of_about) = (format!("{id}t"), format!("{id}d"));
        html! {
            svg class="plot" role="img" viewBox={ "0 0 " (round(*width)) " " (round(*height)) }
                aria-labelledby=(of_title) aria-describedby=(of_about) {
                title id=(of_title) { (title) }
                desc id=(of_about) { (about) }
                @for shape in shapes { (shape.svg()) }
            }
        }
    }

    /// With a legend below; a page has the legend beside the drawing.
    pub fn with_legend(mut self, names: &[String]) -> Self {
        for (i, name) in names.iter().enumerate() {
            let y = self.size[1] + LEGEND * (i as f64 + 0.5);
            self.shapes.extend(key(i, [8.0, y]));
            self.shapes.push(Shape::text("tick", [40.0, y + 4.0], Anchor::Start, cut(name, 44)));
        }
        if !names.is_empty() {
            self.size[1] += LEGEND * names.len() as f64 + 4.0;
        }
        self
    }
}

/// The key of a series: its color, and its dashes and shape.
pub(in crate::report) fn key(series: usize, [x, y]: [f64; 2]) -> [Shape; 2] {
    let series = series % super::SERIES;
    [
        Shape::Polyline { class: format!("line s{series}"), points: vec![[x, y], [x + 24.0, y]] },
        Shape::Parts {
            class: format!("point s{series}"),
            opacity: None,
            parts: vec![Part::mark(series, [x + 12.0, y], 3.0)],
        },
    ]
}

/// Pixels for each unit of a drawing.
pub(super) const SCALE: f32 = 2.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_in_a_drawing_is_escaped() {
        let text = Shape::text("tick", [1.26, 2.0], Anchor::End, "<b>");
        let drawing = Drawing {
            size: [10.0, 5.0],
            title: "<script>".into(),
            about: "a \"b\" & c".into(),
            shapes: vec![text],
        };
        let drawn = drawing.svg().into_string();
        assert!(drawn.contains("&lt;script&gt;") && drawn.contains("&amp;"), "{drawn}");
        assert!(!drawn.contains("<script") && !drawn.contains("<b>"));
        assert!(
            drawn.contains("<text class=\"tick\" x=\"1.3\" y=\"2\" text-anchor=\"end\">&lt;b&gt;")
        );
    }

    #[test]
    fn parts_are_closed_paths() {
        let paths = (0..4).map(|shape| Part::mark(shape, [10.0, 20.0], 2.0).path());
        assert_eq!(
            paths.collect::<Vec<_>>(),
            [
                "M8 20a2 2 0 1 0 4 0a2 2 0 1 0 -4 0Z",
                "M10 17.6L12.4 22L7.6 22Z",
                "M8 22V18H12V22Z",
                "M10 17.2L12.8 20L10 22.8L7.2 20Z",
            ]
        );
    }

    #[test]
    fn a_legend_stands_below_and_nothing_where_there_is_none() {
        let drawing = Drawing {
            size: [10.0, 5.0],
            title: String::new(),
            about: String::new(),
            shapes: vec![],
        };
        assert_eq!(drawing.clone().with_legend(&[]), drawing);
        let with = drawing.with_legend(&["a".into(), "b".into()]);
        assert_eq!((with.size, with.shapes.len()), ([10.0, 45.0], 6));
    }
}
