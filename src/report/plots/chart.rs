//! A plot with two axes.

use super::drawing::{Anchor, Drawing, Part, Shape};
use super::{SERIES, Scale, cut};

/// The size of a drawing: it stays legible on the narrowest phones, and two fit side by side on a screen.
const SIZE: [f64; 2] = [360.0, 232.0];
/// The margins: left, top, right, bottom.
const MARGINS: [f64; 4] = [50.0, 26.0, 20.0, 40.0];
/// The shape of a point of a series: series are never distinguished by color alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::report) enum Mark {
    /// A dot.
    Dot,
    /// A dot for series 0, then triangle, square and diamond.
    BySeries,
}

/// A plot.
pub(in crate::report) struct Chart {
    title: String,
    about: String,
    x: Scale,
    y: Scale,
    labels: [String; 2],
    /// Texts along the horizontal axis instead of ticks: (value, text).
    names: Option<Vec<(f64, String)>>,
    marks: Vec<Shape>,
}

impl Chart {
    /// An empty plot with its axes, a title and a description.
    pub fn new(title: &str, about: &str, x: (Scale, &str), y: (Scale, &str)) -> Self {
        Chart {
            title: title.into(),
            about: about.into(),
            x: x.0,
            y: y.0,
            labels: [x.1, y.1].map(|label| cut(label, 44)),
            names: None,
            marks: Vec::new(),
        }
    }

    /// With these texts along the horizontal axis.
    pub fn named(mut self, names: Vec<(f64, String)>) -> Self {
        self.names = Some(names);
        self
    }

    fn px(&self, x: f64) -> f64 {
        MARGINS[0] + (SIZE[0] - MARGINS[0] - MARGINS[2]) * self.x.at(x)
    }

    fn py(&self, y: f64) -> f64 {
        SIZE[1] - MARGINS[3] - (SIZE[1] - MARGINS[1] - MARGINS[3]) * self.y.at(y)
    }

    /// The places of the finite points.
    fn places(&self, points: &[[f64; 2]]) -> Vec<[f64; 2]> {
        let finite = points.iter().filter(|p| p.iter().all(|x| x.is_finite()));
        finite.map(|&[x, y]| [self.px(x), self.py(y)]).collect()
    }

    /// A line of a series.
    pub fn line(mut self, series: usize, points: &[[f64; 2]]) -> Self {
        let points = self.places(points);
        let series = series % SERIES;
        self.marks.extend(match points[..] {
            [] => None,
            [one] => Some(Shape::Parts {
                class: format!("dot s{series}"),
                opacity: None,
                parts: vec![Part::Circle(one, 3.0)],
            }),
            _ => Some(Shape::Polyline { class: format!("line s{series}"), points }),
        });
        self
    }

    /// A thin straight line for comparison.
    pub fn guide(mut self, from: [f64; 2], to: [f64; 2]) -> Self {
        let [from, to] = [from, to].map(|[x, y]| [self.px(x), self.py(y)]);
        self.marks.push(Shape::Line { class: "guide", from, to });
        self
    }

    /// Points of a series.
    pub fn points_of(mut self, series: usize, mark: Mark, points: &[[f64; 2]]) -> Self {
        let (shape, r) = if mark == Mark::Dot { (0, 2.6) } else { (series % SERIES, 3.6) };
        let places = self.places(points).into_iter();
        let parts: Vec<Part> = places.map(|place| Part::mark(shape, place, r)).collect();
        if !parts.is_empty() {
            let class = format!("dot s{}", series % SERIES);
            self.marks.push(Shape::Parts { class, opacity: None, parts });
        }
        self
    }

    /// Bars from 0, or from the bottom, over neighboring intervals from `range[0]` to `range[1]`.
    pub fn bars(mut self, range: [f64; 2], heights: &[f64]) -> Self {
        let width = (range[1] - range[0]) / heights.len().max(1) as f64;
        let bottom = self.py(0.0);
        let bar = |(i, height): (usize, &f64)| {
            let [left, right] = [i, i + 1].map(|i| self.px(range[0] + width * i as f64));
            Part::Rect([left, self.py(*height), right, bottom])
        };
        let is_seen = |part: &Part| matches!(part, Part::Rect([_, top, ..]) if *top < bottom);
        let parts: Vec<Part> = heights.iter().enumerate().map(bar).filter(is_seen).collect();
        self.marks.push(Shape::Parts { class: "bar s0".into(), opacity: None, parts });
        self
    }

    /// A marked value on the horizontal axis.
    pub fn mark_x(mut self, x: f64, text: &str) -> Self {
        let place = self.px(x);
        let is_right = place > SIZE[0] - 110.0;
        let (anchor, at) =
            if is_right { (Anchor::End, place) } else { (Anchor::Start, place + 5.0) };
        // Above the plot, except where the axis label is.
        let is_free = place > MARGINS[0] + 130.0;
        let y = if is_free { MARGINS[1] - 6.0 } else { SIZE[1] - MARGINS[3] - 7.0 };
        let (from, to) = ([place, MARGINS[1]], [place, SIZE[1] - MARGINS[3]]);
        self.marks.push(Shape::Line { class: "mark", from, to });
        self.marks.push(Shape::text("note", [at, y], anchor, text));
        self
    }

    /// The drawing.
    pub fn draw(self) -> Drawing {
        let (left, right) = (MARGINS[0], SIZE[0] - MARGINS[2]);
        let (top, bottom) = (MARGINS[1], SIZE[1] - MARGINS[3]);
        let along = self.names.clone().unwrap_or_else(|| self.x.ticks());
        let mut shapes = Vec::new();
        for (value, text) in self.y.ticks() {
            let y = self.py(value);
            shapes.push(Shape::Line { class: "grid", from: [left, y], to: [right, y] });
            shapes.push(Shape::text("tick", [left - 6.0, y + 4.0], Anchor::End, text));
        }
        shapes.push(Shape::Line { class: "axis", from: [left, bottom], to: [right, bottom] });
        for (value, text) in fitting(&along, |x| self.px(x)) {
            let x = self.px(value);
            shapes.push(Shape::Line { class: "axis", from: [x, bottom], to: [x, bottom + 4.0] });
            shapes.push(Shape::text("tick", [x, bottom + 16.0], Anchor::Middle, text));
        }
        shapes.extend(self.marks);
        let [x, y] = self.labels;
        shapes.push(Shape::text("label", [2.0, top - 12.0], Anchor::Start, y));
        shapes.push(Shape::text("label", [right, SIZE[1] - 6.0], Anchor::End, x));
        Drawing { size: SIZE, title: self.title, about: self.about, shapes }
    }
}

/// The texts along an axis that don't overlap.
fn fitting(all: &[(f64, String)], place: impl Fn(f64) -> f64) -> Vec<(f64, String)> {
    /// About the width of a digit.
    const WIDTH: f64 = 6.6;
    let mut kept: Vec<(f64, String)> = Vec::new();
    let mut end = f64::NEG_INFINITY;
    for (x, text) in all {
        let text = cut(text, 14);
        let half = text.chars().count() as f64 * WIDTH / 2.0;
        if place(*x) - half > end + 6.0 {
            end = place(*x) + half;
            kept.push((*x, text));
        }
    }
    kept
}
