//! Drawings as pixels: shapes filled by tiny-skia, in the light scheme on white, two pixels for each unit.

use super::drawing::{Drawing, Part, Shape};
use super::letters::{self, Face};
use super::{COLORS, SERIES};
use crate::base::error::{Error, Result};
use crate::report::plots::drawing::SCALE;
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};
use tiny_skia::{
    Color, FillRule, LineCap, LineJoin, Paint, Path, PathBuilder, Pixmap, Stroke, StrokeDash,
    Transform,
};

/// The look of shapes of a class, as `plots.css` has it for SVG.
#[derive(Debug, Clone, PartialEq, Default)]
struct Look {
    /// The color that it is filled with, and how opaque.
    fill: Option<([u8; 3], f64)>,
    /// The color of its outline, and how wide that is.
    stroke: Option<([u8; 3], f32)>,
    /// Lengths of dashes and gaps.
    dashes: &'static [f32],
}

impl Look {
    fn of(class: &str) -> Self {
        let (kind, series) = class.split_once(' ').unwrap_or((class, ""));
        let number = series.strip_prefix('s').and_then(|n| n.parse::<usize>().ok());
        let number = number.unwrap_or_default() % SERIES;
        let own = match series {
            "ink" => color("--ink"),
            _ => color(["--c0", "--c1", "--c2", "--c3"][number]),
        };
        let filled = |opacity: f64| Look { fill: Some((own, opacity)), ..Look::default() };
        let outlined =
            |name: &str, width: f32| Look { stroke: Some((color(name), width)), ..Look::default() };
        let card = color("--card");
        match kind {
            "line" => {
                const DASHES: [&[f32]; SERIES] =
                    [&[], &[7.0, 4.0], &[2.0, 4.0], &[9.0, 3.0, 2.0, 3.0]];
                Look { stroke: Some((own, 2.0)), dashes: DASHES[number], ..Look::default() }
            }
            "dot" => filled(0.55),
            "bar" => Look { stroke: Some((card, 0.6)), ..filled(0.75) },
            "cell" | "region" => filled(1.0),
            "point" => Look { stroke: Some((card, 0.7)), ..filled(1.0) },
            "whisker" => outlined("--ink", 1.4),
            "grid" => outlined("--grid", 1.0),
            "guide" => Look { dashes: &[4.0, 4.0], ..outlined("--soft", 1.0) },
            "mark" => Look { dashes: &[3.0, 3.0], ..outlined("--ink", 1.2) },
            _ => outlined("--line", 1.0),
        }
    }
}

/// A color by its name.
fn color(name: &str) -> [u8; 3] {
    let hex = COLORS.iter().find(|(own, _)| *own == name).map_or("#000000", |(_, hex)| *hex);
    let byte = |i: usize| u8::from_str_radix(&hex[2 * i + 1..2 * i + 3], 16).unwrap_or_default();
    [byte(0), byte(1), byte(2)]
}

/// A drawing as a PNG file.
///
/// # Errors
/// When it is too large, or can't be encoded.
pub(in crate::report) fn png(drawing: &Drawing) -> Result<Vec<u8>> {
    let pixels = draw(drawing)?;
    let rgb: Vec<u8> =
        pixels.pixels().iter().flat_map(|p| [p.red(), p.green(), p.blue()]).collect();
    let mut out = Vec::new();
    let encoder = PngEncoder::new(&mut out);
    encoder
        .write_image(&rgb, pixels.width(), pixels.height(), ExtendedColorType::Rgb8)
        .map_err(|e| Error::failed(format!("cannot write the plot as PNG: {e}")))?;
    Ok(out)
}

fn draw(drawing: &Drawing) -> Result<Pixmap> {
    let [width, height] = drawing.size.map(|x| (x as f32 * SCALE).ceil() as u32);
    let mut pixels = Pixmap::new(width, height)
        .ok_or_else(|| Error::failed(format!("a plot of {width} × {height} pixels has no room")))?;
    pixels.fill(Color::WHITE);
    for shape in &drawing.shapes {
        match shape {
            Shape::Line { class, from, to } => outline(&mut pixels, class, &[*from, *to]),
            Shape::Polyline { class, points } => outline(&mut pixels, class, points),
            Shape::Rect { class, at: [x, y], size: [width, height], opacity } => {
                let part = Part::Rect([*x, *y, x + width, y + height]);
                fill(&mut pixels, class, *opacity, &[part]);
            }
            Shape::Parts { class, opacity, parts } => fill(&mut pixels, class, *opacity, parts),
            Shape::Text { class, at, anchor, is_upright, text } => {
                let (face, ink) = match *class {
                    "note" => (Face::Bold, color("--ink")),
                    "value" => (Face::Plain, color("--ink")),
                    _ => (Face::Plain, color("--soft")),
                };
                let halo = (*class == "note").then(|| color("--card"));
                letters::write(&mut pixels, text, *at, (*anchor, *is_upright), (face, ink, halo));
            }
        }
    }
    Ok(pixels)
}

/// Draws lines from point to point.
fn outline(pixels: &mut Pixmap, class: &str, points: &[[f64; 2]]) {
    let mut path = PathBuilder::new();
    for (i, [x, y]) in points.iter().enumerate() {
        match i {
            0 => path.move_to(*x as f32, *y as f32),
            _ => path.line_to(*x as f32, *y as f32),
        }
    }
    // There is no line through fewer than two points.
    if let Some(path) = path.finish() {
        stroke(pixels, &Look::of(class), &path);
    }
}

fn stroke(pixels: &mut Pixmap, look: &Look, path: &Path) {
    let Some((color, width)) = look.stroke else { return };
    let (line_cap, line_join) = match width == 2.0 {
        true => (LineCap::Round, LineJoin::Round),
        false => (LineCap::Butt, LineJoin::Miter),
    };
    let dash = StrokeDash::new(look.dashes.to_vec(), 0.0);
    let stroke = Stroke { width, line_cap, line_join, dash, ..Stroke::default() };
    pixels.stroke_path(path, &paint(color, 1.0), &stroke, scaled(), None);
}

/// Fills parts as one figure.
fn fill(pixels: &mut Pixmap, class: &str, opacity: Option<f64>, parts: &[Part]) {
    let mut path = PathBuilder::new();
    for part in parts {
        match part {
            Part::Rect(ends) => {
                let [left, top, right, bottom] = ends.map(|x| x as f32);
                let rect = tiny_skia::Rect::from_ltrb(left, top, right, bottom);
                // Shapes without width or height are invisible.
                rect.into_iter().for_each(|rect| path.push_rect(rect));
            }
            Part::Circle([x, y], r) => path.push_circle(*x as f32, *y as f32, *r as f32),
            Part::Polygon(corners) => {
                for (i, [x, y]) in corners.iter().enumerate() {
                    match i {
                        0 => path.move_to(*x as f32, *y as f32),
                        _ => path.line_to(*x as f32, *y as f32),
                    }
                }
                path.close();
            }
        }
    }
    let Some(path) = path.finish() else { return };
    let look = Look::of(class);
    if let Some((color, own)) = look.fill {
        let paint = paint(color, opacity.unwrap_or(own));
        pixels.fill_path(&path, &paint, FillRule::Winding, scaled(), None);
    }
    stroke(pixels, &look, &path);
}

fn scaled() -> Transform {
    Transform::from_scale(SCALE, SCALE)
}

fn paint([red, green, blue]: [u8; 3], opacity: f64) -> Paint<'static> {
    let mut paint = Paint { anti_alias: true, ..Paint::default() };
    paint.set_color_rgba8(red, green, blue, (opacity.clamp(0.0, 1.0) * 255.0).round() as u8);
    paint
}

#[cfg(test)]
mod tests {
    use super::super::drawing::Anchor;
    use super::*;

    fn drawn(shapes: Vec<Shape>) -> Pixmap {
        let (title, about) = (String::new(), String::new());
        draw(&Drawing { size: [40.0, 20.0], title, about, shapes }).unwrap()
    }

    /// The color at a place in units.
    fn at(pixels: &Pixmap, x: f32, y: f32) -> [u8; 3] {
        let pixel = pixels.pixel((x * SCALE) as u32, (y * SCALE) as u32).unwrap();
        [pixel.red(), pixel.green(), pixel.blue()]
    }

    const WHITE: [u8; 3] = [255; 3];

    #[test]
    fn shapes_have_the_colors_of_their_classes_and_stand_where_they_are_said_to() {
        let circle = |series: usize, x| Shape::Parts {
            class: format!("point s{series}"),
            opacity: None,
            parts: vec![Part::mark(series, [x, 10.0], 4.0)],
        };
        let pixels = drawn(vec![circle(0, 10.0), circle(1, 30.0)]);
        assert_eq!(
            (at(&pixels, 10.0, 10.0), at(&pixels, 30.0, 10.0)),
            ([0, 0x72, 0xb2], [0xc2, 0x4e, 0])
        );
        assert_eq!((at(&pixels, 20.0, 10.0), at(&pixels, 10.0, 15.0)), (WHITE, WHITE));
        assert_eq!([pixels.width(), pixels.height()], [80, 40]);
        // Half of black on white.
        let part = Part::Rect([0.0, 0.0, 40.0, 10.0]);
        let (class, opacity) = ("region ink".to_string(), Some(0.5));
        let pixels = drawn(vec![Shape::Parts { class, opacity, parts: vec![part] }]);
        let [red, ..] = at(&pixels, 20.0, 5.0);
        assert!(red.abs_diff(u8::midpoint(0x1b, 255)) <= 1, "{red}");
        assert_eq!(at(&pixels, 20.0, 12.0), WHITE);
    }

    #[test]
    fn series_are_told_apart_by_dashes() {
        let share = |series: usize| {
            let points = vec![[0.0, 10.0], [40.0, 10.0]];
            let pixels = drawn(vec![Shape::Polyline { class: format!("line s{series}"), points }]);
            (0..40).filter(|&x| at(&pixels, x as f32 + 0.25, 10.0) != WHITE).count()
        };
        let found = [0, 1, 2, 3].map(share);
        assert_eq!(found[0], 40);
        assert!(found[1..].iter().all(|&n| n < 40) && found[2] < found[1], "{found:?}");
    }

    #[test]
    fn a_file_reads_back_with_the_pixels_that_were_drawn() {
        let text = Shape::text("tick", [20.0, 14.0], Anchor::Middle, "8");
        let (title, about) = (String::new(), String::new());
        let drawing = Drawing { size: [40.0, 20.0], title, about, shapes: vec![text] };
        let file = png(&drawing).unwrap();
        let read = image::load_from_memory(&file).unwrap().to_rgb8();
        assert_eq!(read.dimensions(), (80, 40));
        let soft = color("--soft");
        assert!(read.pixels().any(|p| p.0 == soft));
        assert!(read.pixels().all(|p| p.0 == soft || p.0 == WHITE));
        let pixels = draw(&drawing).unwrap();
        let of = |x: u32, y: u32| at(&pixels, x as f32 / SCALE, y as f32 / SCALE);
        assert!(read.enumerate_pixels().all(|(x, y, p)| p.0 == of(x, y)));
    }
}
