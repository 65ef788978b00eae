//! A plot with two axes.

use super::{Scale, cut, round, svg};
use maud::{Markup, html};
use std::fmt::Write;

/// The size of a drawing: it stays legible on the narrowest phones, and two fit side by side on a screen.
const SIZE: [f64; 2] = [360.0, 232.0];
/// The margins: left, top, right, bottom.
const MARGINS: [f64; 4] = [50.0, 26.0, 20.0, 40.0];
/// The series that are told apart by color and by dashes or shape; more begin again.
const SERIES: usize = 4;

/// The shape of a point of a series: never color alone tells series apart.
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
    marks: Vec<Markup>,
}

impl Chart {
    /// An empty plot with what its axes show, a title and a description in words.
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
        round(MARGINS[0] + (SIZE[0] - MARGINS[0] - MARGINS[2]) * self.x.at(x))
    }

    fn py(&self, y: f64) -> f64 {
        round(SIZE[1] - MARGINS[3] - (SIZE[1] - MARGINS[1] - MARGINS[3]) * self.y.at(y))
    }

    fn points(&self, points: &[[f64; 2]]) -> String {
        let mut text = String::new();
        for [x, y] in points {
            let _ = write!(text, "{},{} ", self.px(*x), self.py(*y));
        }
        text
    }

    /// A line of a series.
    pub fn line(mut self, series: usize, points: &[[f64; 2]]) -> Self {
        let points: Vec<[f64; 2]> =
            points.iter().copied().filter(|p| p.iter().all(|x| x.is_finite())).collect();
        let class = format!("line s{}", series % SERIES);
        let mark = match points[..] {
            [] => return self,
            [[x, y]] => {
                html! { circle class={ "dot s" (series % SERIES) } cx=(self.px(x)) cy=(self.py(y)) r="3" {} }
            }
            _ => html! { polyline class=(class) points=(self.points(&points)) {} },
        };
        self.marks.push(mark);
        self
    }

    /// A thin straight line for comparison.
    pub fn guide(mut self, from: [f64; 2], to: [f64; 2]) -> Self {
        let (x1, y1, x2, y2) = (self.px(from[0]), self.py(from[1]), self.px(to[0]), self.py(to[1]));
        self.marks.push(html! { line class="guide" x1=(x1) y1=(y1) x2=(x2) y2=(y2) {} });
        self
    }

    /// Points of a series.
    pub fn points_of(mut self, series: usize, mark: Mark, points: &[[f64; 2]]) -> Self {
        let class = format!("dot s{}", series % SERIES);
        let mut path = String::new();
        for &[x, y] in points.iter().filter(|p| p.iter().all(|x| x.is_finite())) {
            let (x, y) = (self.px(x), self.py(y));
            let shape = if mark == Mark::Dot { 0 } else { series % SERIES };
            path += &shape_at(shape, x, y, if mark == Mark::Dot { 2.6 } else { 3.6 });
        }
        if !path.is_empty() {
            self.marks.push(html! { path class=(class) d=(path) {} });
        }
        self
    }

    /// Bars from 0, or from the bottom, over neighboring stretches from `range[0]` to `range[1]`.
    pub fn bars(mut self, range: [f64; 2], heights: &[f64]) -> Self {
        let width = (range[1] - range[0]) / heights.len().max(1) as f64;
        let bottom = self.py(0.0);
        let mut path = String::new();
        for (i, height) in heights.iter().enumerate() {
            let left = self.px(range[0] + width * i as f64);
            let right = self.px(range[0] + width * (i + 1) as f64);
            let top = self.py(*height);
            if top < bottom {
                let _ = write!(path, "M{left} {bottom}V{top}H{right}V{bottom}Z");
            }
        }
        self.marks.push(html! { path class="bar s0" d=(path) {} });
        self
    }

    /// A marked value on the horizontal axis.
    pub fn mark_x(mut self, x: f64, text: &str) -> Self {
        let place = self.px(x);
        let is_right = place > SIZE[0] - 110.0;
        let (anchor, at) = if is_right { ("end", place) } else { ("start", place + 5.0) };
        // Above the plot, but where what the axis shows is written there.
        let is_free = place > MARGINS[0] + 130.0;
        let y = if is_free { MARGINS[1] - 6.0 } else { SIZE[1] - MARGINS[3] - 7.0 };
        self.marks.push(html! {
            line class="mark" x1=(place) y1=(MARGINS[1]) x2=(place) y2=(SIZE[1] - MARGINS[3]) {}
            text class="note" x=(round(at)) y=(y) text-anchor=(anchor) { (text) }
        });
        self
    }

    /// The drawing.
    pub fn draw(&self) -> Markup {
        let (left, right) = (MARGINS[0], SIZE[0] - MARGINS[2]);
        let (top, bottom) = (MARGINS[1], SIZE[1] - MARGINS[3]);
        let along = self.names.clone().unwrap_or_else(|| self.x.ticks());
        let content = html! {
            @for (y, text) in self.y.ticks() {
                line class="grid" x1=(left) y1=(self.py(y)) x2=(right) y2=(self.py(y)) {}
                text class="tick" x=(left - 6.0) y=(self.py(y) + 4.0) text-anchor="end" { (text) }
            }
            line class="axis" x1=(left) y1=(bottom) x2=(right) y2=(bottom) {}
            @for (x, text) in fitting(&along, |x| self.px(x)) {
                line class="axis" x1=(self.px(x)) y1=(bottom) x2=(self.px(x)) y2=(bottom + 4.0) {}
                text class="tick" x=(self.px(x)) y=(bottom + 16.0) text-anchor="middle" { (text) }
            }
            @for mark in &self.marks { (mark) }
            text class="label" x="2" y=(top - 12.0) { (self.labels[1]) }
            text class="label" x=(right) y=(SIZE[1] - 6.0) text-anchor="end" { (self.labels[0]) }
        };
        svg(SIZE[0], SIZE[1], &self.title, &self.about, &content)
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

/// A path of a shape around a place: circle, triangle, square, diamond.
pub(in crate::report) fn shape_at(shape: usize, x: f64, y: f64, r: f64) -> String {
    let [x, y] = [round(x), round(y)];
    match shape {
        0 => format!(
            "M{} {y}a{r} {r} 0 1 0 {} 0a{r} {r} 0 1 0 -{} 0Z",
            round(x - r),
            2.0 * r,
            2.0 * r
        ),
        1 => format!("M{x} {}l{} {}h-{}Z", round(y - 1.2 * r), 1.2 * r, 2.2 * r, 2.4 * r),
        2 => format!("M{} {}h{}v{}h-{}Z", round(x - r), round(y - r), 2.0 * r, 2.0 * r, 2.0 * r),
        _ => format!(
            "M{x} {}l{} {}l-{} {}l-{} -{}Z",
            round(y - 1.4 * r),
            1.4 * r,
            1.4 * r,
            1.4 * r,
            1.4 * r,
            1.4 * r,
            1.4 * r
        ),
    }
}
