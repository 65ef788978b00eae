//! Plots of cells: a confusion matrix, the predictions over a plane.

use super::drawing::{Anchor, Drawing, Part, Shape};
use super::{SERIES, Scale, cut};
use crate::report::Regions;

/// The width of a drawing.
const WIDTH: f64 = 360.0;
/// More cells in a row than this have no room for their numbers.
const NUMBERED: usize = 12;
/// The deepest a cell is filled, so that its number stays legible.
const DEEPEST: f64 = 0.45;
/// The bands of a predicted value.
const BANDS: usize = 8;

/// A matrix of counts, shaded by their fraction of the row.
pub(in crate::report) struct Heat<'a> {
    pub title: &'a str,
    pub about: &'a str,
    /// The names of rows and columns.
    pub names: &'a [String],
    /// The labels of rows and columns.
    pub axes: [&'a str; 2],
    pub values: &'a [Vec<f64>],
}

impl Heat<'_> {
    /// The drawing: each cell is filled by its fraction of its row.
    pub fn draw(&self) -> Drawing {
        let count = self.values.len().max(1);
        let longest = self.names.iter().map(|n| n.chars().count()).max().unwrap_or(0).min(12);
        let names = 22.0 + longest as f64 * 6.6 + 8.0;
        let side = ((WIDTH - names - 4.0) / count as f64).min(72.0);
        // Few cells are centered.
        let left = names.max((WIDTH - side * count as f64) / 2.0);
        // Names are vertical if they don't fit the width of a cell.
        let is_upright = longest as f64 * 6.6 > side - 4.0;
        let top = if is_upright { 26.0 + longest as f64 * 6.6 } else { 40.0 };
        let height = top + side * count as f64 + 4.0;
        // With many classes only every second or third name fits.
        let every = (13.0 / side).ceil().max(1.0) as usize;
        let named = |i: usize| cut(&self.names[i], 12);
        let whole = side * count as f64;
        let mut shapes = Vec::new();
        let upright = |class, at, anchor, text: &str| Shape::Text {
            class,
            at,
            anchor,
            is_upright: true,
            text: text.to_string(),
        };
        let place = [left + whole / 2.0, 13.0];
        shapes.push(Shape::text("label", place, Anchor::Middle, self.axes[1]));
        let place = [left - names + 12.0, top + whole / 2.0];
        shapes.push(upright("label", place, Anchor::Middle, self.axes[0]));
        for i in (0..count.min(self.names.len())).step_by(every) {
            let middle = side * (i as f64 + 0.5);
            let place = [left - 6.0, top + middle + 4.0];
            shapes.push(Shape::text("tick", place, Anchor::End, named(i)));
            shapes.push(match is_upright {
                true => {
                    let place = [left + middle + 4.0, top - 6.0];
                    upright("tick", place, Anchor::Start, &named(i))
                }
                false => Shape::text("tick", [left + middle, top - 7.0], Anchor::Middle, named(i)),
            });
        }
        for (r, row) in self.values.iter().enumerate() {
            let sum: f64 = row.iter().sum();
            for (c, &value) in row.iter().enumerate() {
                let share = if sum > 0.0 { value / sum } else { 0.0 };
                let at = [left + side * c as f64, top + side * r as f64];
                if value > 0.0 || count <= NUMBERED {
                    let class = if r == c { "cell s0" } else { "cell s1" };
                    let opacity = Some((DEEPEST * share.sqrt()).min(DEEPEST));
                    shapes.push(Shape::Rect { class, at, size: [side - 1.0; 2], opacity });
                }
                if count <= NUMBERED && value > 0.0 {
                    let place = [at[0] + side / 2.0, at[1] + side / 2.0 + 4.0];
                    let text = number(value, side);
                    shapes.push(Shape::text("value", place, Anchor::Middle, text));
                }
            }
        }
        let (at, size) = ([left - 0.5, top - 0.5], [whole; 2]);
        shapes.push(Shape::Rect { class: "frame", at, size, opacity: None });
        let (title, about) = (self.title.into(), self.about.into());
        Drawing { size: [WIDTH, height], title, about, shapes }
    }
}

/// A count that fits into a cell.
fn number(x: f64, side: f64) -> String {
    let whole = if x.fract() == 0.0 { format!("{x:.0}") } else { format!("{x:.1}") };
    match whole.chars().count() as f64 * 6.6 > side {
        false => whole,
        true if x >= 1e6 => format!("{:.0}M", x / 1e6),
        true if x >= 1e3 => format!("{:.0}k", x / 1e3),
        true => format!("{x:.0}"),
    }
}

/// The predictions over a plane, with training rows as points; `is_class` if cells hold classes.
pub(in crate::report) fn plane(
    regions: &Regions,
    is_class: bool,
    title: &str,
    about: &str,
) -> Drawing {
    let (left, top, size) = (50.0, 26.0, 290.0);
    let bottom = top + size;
    let [x, y] = regions.ranges.map(|[low, high]| Scale::exact(low, high));
    let cell = size / regions.side as f64;
    let least = regions.cells.iter().copied().fold(f64::INFINITY, f64::min);
    let most = regions.cells.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let band = |value: f64| match is_class {
        true => value as usize,
        false if most > least => {
            (((value - least) / (most - least) * BANDS as f64) as usize).min(BANDS - 1)
        }
        false => 0,
    };
    // Neighboring cells of a row in the same band become one rectangle.
    let bands = if is_class { 1 + most.max(0.0) as usize } else { BANDS };
    let mut cells = vec![Vec::new(); bands];
    for row in 0..regions.side {
        let values = &regions.cells[row * regions.side..(row + 1) * regions.side];
        let mut begin = 0;
        for run in values.chunk_by(|a, b| band(*a) == band(*b)) {
            let (from, to) = (left + cell * begin as f64, left + cell * (begin + run.len()) as f64);
            let (low, high) = (bottom - cell * row as f64, bottom - cell * (row + 1) as f64);
            // A little overlap, so that no seam shows.
            let part = Part::Rect([from, high - 0.3, to + 0.3, low]);
            cells[band(run[0]).min(bands - 1)].push(part);
            begin += run.len();
        }
    }
    let class_of = |i: usize| match is_class {
        true => format!("region s{}", i % SERIES),
        false => "region s0".to_string(),
    };
    let opacity = |i: usize| match is_class {
        true => 0.28,
        false => 0.06 + 0.6 * i as f64 / (BANDS - 1) as f64,
    };
    let mut points = vec![Vec::new(); if is_class { SERIES } else { 1 }];
    for &[a, b, target] in &regions.points {
        let place = [left + size * x.at(a), bottom - size * y.at(b)];
        let series = if is_class { target.max(0.0) as usize % SERIES } else { 0 };
        points[series].push(Part::mark(series, place, 2.6));
    }
    let cells = cells.into_iter().enumerate();
    let cells = cells.map(|(i, parts)| (class_of(i), Some(opacity(i)), parts));
    let points = points.into_iter().enumerate().map(|(i, parts)| {
        (if is_class { format!("point s{i}") } else { "point ink".into() }, None, parts)
    });
    let mut shapes: Vec<Shape> = cells
        .chain(points)
        .filter(|(.., parts)| !parts.is_empty())
        .map(|(class, opacity, parts)| Shape::Parts { class, opacity, parts })
        .collect();
    let (at, square) = ([left, top], [size; 2]);
    shapes.push(Shape::Rect { class: "frame", at, size: square, opacity: None });
    for (value, text) in x.ticks() {
        let place = [left + size * x.at(value), bottom + 16.0];
        shapes.push(Shape::text("tick", place, Anchor::Middle, text));
    }
    for (value, text) in y.ticks() {
        let place = [left - 6.0, bottom - size * y.at(value) + 4.0];
        shapes.push(Shape::text("tick", place, Anchor::End, text));
    }
    let [across, up] = [0, 1].map(|axis: usize| cut(&regions.columns[axis], 44));
    shapes.push(Shape::text("label", [2.0, top - 12.0], Anchor::Start, up));
    shapes.push(Shape::text("label", [left + size, bottom + 34.0], Anchor::End, across));
    Drawing { size: [WIDTH, bottom + 40.0], title: title.into(), about: about.into(), shapes }
}
