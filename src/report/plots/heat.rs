//! Plots of cells: a confusion matrix, the predictions over a plane.

use super::chart::shape_at;
use super::{Scale, cut, round, svg};
use crate::report::Regions;
use maud::{Markup, html};
use std::fmt::Write;

/// The width of a drawing.
const WIDTH: f64 = 360.0;
/// More cells in a row than this have no room for their numbers.
const NUMBERED: usize = 12;
/// The deepest a cell is filled, so that its number stays legible.
const DEEPEST: f64 = 0.45;
/// The bands of a predicted value.
const BANDS: usize = 8;
/// The classes that are told apart by color and shape.
const CLASSES: usize = 4;

/// A matrix of shares.
pub(in crate::report) struct Heat<'a> {
    pub title: &'a str,
    pub about: &'a str,
    /// The names of rows and columns.
    pub names: &'a [String],
    /// What rows and columns are.
    pub axes: [&'a str; 2],
    pub values: &'a [Vec<f64>],
}

impl Heat<'_> {
    /// The drawing: each cell is filled by its share of its row.
    pub fn draw(&self) -> Markup {
        let count = self.values.len().max(1);
        let longest = self.names.iter().map(|n| n.chars().count()).max().unwrap_or(0).min(12);
        let names = 22.0 + longest as f64 * 6.6 + 8.0;
        let side = ((WIDTH - names - 4.0) / count as f64).min(72.0);
        // Few cells stand in the middle.
        let left = names.max((WIDTH - side * count as f64) / 2.0);
        // Names stand upright where they don't fit into the width of a cell.
        let is_upright = longest as f64 * 6.6 > side - 4.0;
        let top = if is_upright { 26.0 + longest as f64 * 6.6 } else { 40.0 };
        let height = top + side * count as f64 + 4.0;
        // Of many classes each second or third name has room.
        let every = (13.0 / side).ceil().max(1.0) as usize;
        let named = |i: usize| cut(&self.names[i], 12);
        let content = html! {
            text class="label" x=(left + side * count as f64 / 2.0) y="13" text-anchor="middle" { (self.axes[1]) }
            text class="label" x=(left - names + 12.0) y=(top + side * count as f64 / 2.0) text-anchor="middle"
                transform=(format!("rotate(-90 {} {})", round(left - names + 12.0), round(top + side * count as f64 / 2.0))) { (self.axes[0]) }
            @for i in (0..count.min(self.names.len())).step_by(every) {
                @let middle = round(side * (i as f64 + 0.5));
                text class="tick" x=(left - 6.0) y=(round(top + middle + 4.0)) text-anchor="end" { (named(i)) }
                @if is_upright {
                    @let at = format!("rotate(-90 {} {})", round(left + middle + 4.0), top - 6.0);
                    text class="tick" x=(round(left + middle + 4.0)) y=(top - 6.0) transform=(at) { (named(i)) }
                } @else {
                    text class="tick" x=(round(left + middle)) y=(top - 7.0) text-anchor="middle" { (named(i)) }
                }
            }
            @for (r, row) in self.values.iter().enumerate() {
                @let sum: f64 = row.iter().sum();
                @for (c, &value) in row.iter().enumerate() {
                    @let share = if sum > 0.0 { value / sum } else { 0.0 };
                    @let (x, y) = (round(left + side * c as f64), round(top + side * r as f64));
                    @if value > 0.0 || count <= NUMBERED {
                        rect class=(if r == c { "cell s0" } else { "cell s1" }) x=(x) y=(y)
                            width=(round(side - 1.0)) height=(round(side - 1.0))
                            fill-opacity=(format!("{:.3}", (DEEPEST * share.sqrt()).min(DEEPEST))) {}
                    }
                    @if count <= NUMBERED && value > 0.0 {
                        text class="value" x=(round(x + side / 2.0)) y=(round(y + side / 2.0 + 4.0))
                            text-anchor="middle" { (number(value, side)) }
                    }
                }
            }
            rect class="frame" x=(round(left - 0.5)) y=(round(top - 0.5)) width=(round(side * count as f64))
                height=(round(side * count as f64)) {}
        };
        svg(WIDTH, height, self.title, self.about, &content)
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

/// The predictions over a plane, with training rows as points; `is_class` where cells hold classes.
pub(in crate::report) fn plane(
    regions: &Regions,
    is_class: bool,
    title: &str,
    about: &str,
) -> Markup {
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
    // Neighboring cells of one band make one rectangle of a row.
    let bands = if is_class { 1 + most.max(0.0) as usize } else { BANDS };
    let mut paths = vec![String::new(); bands];
    for row in 0..regions.side {
        let cells = &regions.cells[row * regions.side..(row + 1) * regions.side];
        let mut begin = 0;
        for run in cells.chunk_by(|a, b| band(*a) == band(*b)) {
            let (from, to) = (left + cell * begin as f64, left + cell * (begin + run.len()) as f64);
            let (low, high) = (bottom - cell * row as f64, bottom - cell * (row + 1) as f64);
            let path = &mut paths[band(run[0]).min(bands - 1)];
            // A little overlap, so that no seam shows.
            let _ = write!(
                path,
                "M{:.1} {:.1}H{:.1}V{:.1}H{:.1}Z",
                from,
                low,
                to + 0.3,
                high - 0.3,
                from
            );
            begin += run.len();
        }
    }
    let class_of = |i: usize| match is_class {
        true => format!("region s{}", i % CLASSES),
        false => "region s0".to_string(),
    };
    let opacity = |i: usize| match is_class {
        true => 0.28,
        false => 0.06 + 0.6 * i as f64 / (BANDS - 1) as f64,
    };
    let mut points = vec![String::new(); if is_class { CLASSES } else { 1 }];
    for &[a, b, target] in &regions.points {
        let (a, b) = (left + size * x.at(a), bottom - size * y.at(b));
        let series = if is_class { target.max(0.0) as usize % CLASSES } else { 0 };
        points[series] += &shape_at(series, a, b, 2.6);
    }
    let content = html! {
        @for (i, path) in paths.iter().enumerate() {
            @if !path.is_empty() {
                path class=(class_of(i)) d=(path) fill-opacity=(format!("{:.2}", opacity(i))) {}
            }
        }
        @for (i, path) in points.iter().enumerate() {
            @if !path.is_empty() {
                path class=(if is_class { format!("point s{i}") } else { "point ink".into() }) d=(path) {}
            }
        }
        rect class="frame" x=(left) y=(top) width=(size) height=(size) {}
        @for (value, text) in x.ticks() {
            text class="tick" x=(round(left + size * x.at(value))) y=(bottom + 16.0) text-anchor="middle" { (text) }
        }
        @for (value, text) in y.ticks() {
            text class="tick" x=(left - 6.0) y=(round(bottom - size * y.at(value) + 4.0)) text-anchor="end" { (text) }
        }
        text class="label" x="2" y=(top - 12.0) { (cut(&regions.columns[1], 44)) }
        text class="label" x=(left + size) y=(bottom + 34.0) text-anchor="end" { (cut(&regions.columns[0], 44)) }
    };
    svg(WIDTH, bottom + 40.0, title, about, &content)
}
