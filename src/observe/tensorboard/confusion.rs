//! The confusion matrix as an image and as a table in Markdown.

use super::messages::{Image, Kind, Value, text, value};
use crate::base::error::{Error, Result};
use crate::train::evaluation::Confusion;
use embedded_graphics::Pixel;
use embedded_graphics::mono_font::MonoTextStyle;
use embedded_graphics::mono_font::iso_8859_1::FONT_6X10;
use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::{DrawTarget, Drawable, OriginDimensions, Point, RgbColor, Size};
use embedded_graphics::text::{Alignment, Baseline, Text, TextStyle, TextStyleBuilder};
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder, Rgb, RgbImage};
use std::convert::Infallible;
use std::fmt::Write;

/// The most classes for which cells show a count and the table is a matrix.
const WITH_COUNTS: usize = 20;
/// The most classes of an image, a pixel each.
const MOST: usize = 1024;
/// The number of confusions in a table if the matrix is too large.
const MISTAKES: usize = 20;
/// A character of the font: (width, height) in pixels.
const CHARACTER: (u32, u32) = (6, 10);
/// The most characters of a class's name beside its row.
const NAME: usize = 12;

/// The values for a confusion matrix: an image under `tag`, and a table in the text plugin under
/// `tag/table`: a tag has one kind of value.
///
/// # Errors
/// When the image can't be encoded.
pub fn values(tag: &str, confusion: &Confusion, names: &[String]) -> Result<Vec<Value>> {
    let mut all = vec![text(format!("{tag}/table"), table(confusion, names))];
    if confusion.classes() <= MOST {
        all.push(value(tag, Kind::Image(encode(&draw(confusion, names))?)));
    }
    Ok(all)
}

fn name(names: &[String], class: usize) -> String {
    names.get(class).cloned().unwrap_or_else(|| class.to_string())
}

/// The matrix as a table, rows by actual class; with many classes, the most frequent confusions.
fn table(confusion: &Confusion, names: &[String]) -> String {
    let cell = |class: usize| name(names, class).replace('|', "\\|").replace(['\n', '\r'], " ");
    let mut out = String::new();
    if confusion.classes() > WITH_COUNTS {
        out += "| actual | predicted | rows |\n|---|---|---:|\n";
        for (actual, predicted, weight) in confusion.most_confused(MISTAKES) {
            let _ = writeln!(out, "| {} | {} | {weight} |", cell(actual), cell(predicted));
        }
        return out;
    }
    let all = 0..confusion.classes();
    let heads: String = all.clone().map(|class| format!(" {} |", cell(class))).collect();
    let rules = "---:|".repeat(confusion.classes());
    let _ = writeln!(out, "| actual \\ predicted |{heads}\n|---|{rules}");
    for actual in all.clone() {
        let counts = all.clone().map(|p| format!(" {} |", confusion.get(actual, p)));
        let _ = writeln!(out, "| {} |{}", cell(actual), counts.collect::<String>());
    }
    out
}

/// An image that text can be drawn on.
struct Canvas(RgbImage);

impl OriginDimensions for Canvas {
    fn size(&self) -> Size {
        Size::new(self.0.width(), self.0.height())
    }
}

impl DrawTarget for Canvas {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<Rgb888>>>(
        &mut self,
        pixels: I,
    ) -> std::result::Result<(), Infallible> {
        for Pixel(at, color) in pixels {
            let (Ok(x), Ok(y)) = (u32::try_from(at.x), u32::try_from(at.y)) else { continue };
            if let Some(pixel) = self.0.get_pixel_mut_checked(x, y) {
                *pixel = Rgb([color.r(), color.g(), color.b()]);
            }
        }
        Ok(())
    }
}

impl Canvas {
    fn text(&mut self, text: &str, x: u32, y: u32, alignment: Alignment, color: Rgb888) {
        let style: TextStyle =
            TextStyleBuilder::new().alignment(alignment).baseline(Baseline::Middle).build();
        let at = Point::new(x.cast_signed(), y.cast_signed());
        let Ok(_) = Text::with_text_style(text, at, MonoTextStyle::new(&FONT_6X10, color), style)
            .draw(self);
    }

    fn fill(&mut self, [x, y]: [u32; 2], side: u32, color: Rgb<u8>) {
        for (dx, dy) in (0..side).flat_map(|dy| (0..side).map(move |dx| (dx, dy))) {
            if let Some(pixel) = self.0.get_pixel_mut_checked(x + dx, y + dy) {
                *pixel = color;
            }
        }
    }
}

/// From white to dark blue: the fraction of a class's rows.
fn shade(share: f64) -> Rgb<u8> {
    let (light, dark) = ([255.0, 255.0, 255.0], [8.0, 48.0, 107.0]);
    Rgb(std::array::from_fn(|i| (light[i] + (dark[i] - light[i]) * share.sqrt()).round() as u8))
}

/// Rows by actual class, columns by predicted class; the shade is the fraction of the row's class.
fn draw(confusion: &Confusion, names: &[String]) -> RgbImage {
    let classes = confusion.classes() as u32;
    let with_counts = confusion.classes() <= WITH_COUNTS;
    let side = if with_counts { 7 * CHARACTER.0 } else { (512 / classes).max(1) };
    let shown = |class: usize, most: usize| -> String {
        let name = name(names, class);
        match name.chars().count() > most {
            true => name.chars().take(most - 1).chain(['~']).collect(),
            false => name,
        }
    };
    let longest = (0..confusion.classes()).map(|c| shown(c, NAME).chars().count()).max();
    let left = match with_counts {
        true => (longest.unwrap_or_default() as u32 + 1) * CHARACTER.0,
        false => CHARACTER.0,
    };
    let top = 3 * CHARACTER.1;
    let width = (left + classes * side + 2).max(28 * CHARACTER.0);
    let mut canvas = Canvas(RgbImage::from_pixel(width, top + classes * side + 2, shade(0.0)));
    let black = Rgb888::BLACK;
    canvas.text("rows: actual, columns: predicted", 2, 7, Alignment::Left, black);
    for actual in 0..confusion.classes() {
        let row: f64 = (0..confusion.classes()).map(|p| confusion.get(actual, p)).sum();
        let y = top + actual as u32 * side;
        for predicted in 0..confusion.classes() {
            let (x, count) = (left + predicted as u32 * side, confusion.get(actual, predicted));
            let share = if row > 0.0 { count / row } else { 0.0 };
            canvas.fill([x, y], side, shade(share));
            if with_counts && count > 0.0 {
                let color = if share > 0.4 { Rgb888::WHITE } else { black };
                let digits =
                    if count < 1e6 { count.round().to_string() } else { format!("{count:.0e}") };
                canvas.text(&digits, x + side / 2, y + side / 2, Alignment::Center, color);
            }
        }
        if with_counts {
            let end = left - CHARACTER.0 / 2;
            canvas.text(&shown(actual, NAME), end, y + side / 2, Alignment::Right, black);
            let x = left + actual as u32 * side + side / 2;
            canvas.text(&shown(actual, 6), x, top - 8, Alignment::Center, black);
        }
    }
    canvas.0
}

fn encode(image: &RgbImage) -> Result<Image> {
    let mut encoded = Vec::new();
    let (width, height) = image.dimensions();
    PngEncoder::new(&mut encoded)
        .write_image(image, width, height, ExtendedColorType::Rgb8)
        .map_err(|e| Error::failed(format!("cannot encode the confusion matrix as PNG: {e}")))?;
    let [width, height] = [width, height].map(u32::cast_signed);
    Ok(Image { height, width, colorspace: 3, encoded })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn confusion(classes: usize) -> Confusion {
        let right = (0..classes as u32).map(|c| (c, c, 3.0));
        Confusion::new(classes, right.chain([(0, 1, 1.0)]))
    }

    #[test]
    fn the_table_has_rows_by_actual_class_and_quotes_names() {
        let names = ["a|b", "c"].map(String::from);
        assert_eq!(
            table(&confusion(2), &names),
            "| actual \\ predicted | a\\|b | c |\n|---|---:|---:|\n| a\\|b | 3 | 1 |\n| c | 0 | 3 |\n"
        );
        let many = table(&confusion(50), &[]);
        assert!(many.ends_with("| 0 | 1 | 1 |\n") && many.lines().count() == 3, "{many}");
    }

    #[test]
    fn cells_are_shaded_by_the_share_of_their_row() {
        let names: Vec<String> = (0..3).map(|i| format!("class {i}")).collect();
        let image = draw(&confusion(3), &names);
        let (left, top, side) = (8 * 6, 30, 42);
        // A corner of a cell, where no text is.
        let corner = |r: u32, c: u32| *image.get_pixel(left + c * side + 1, top + r * side + 1);
        assert_eq!(corner(1, 1), shade(1.0));
        assert_eq!(corner(0, 0), shade(0.75));
        assert_eq!(corner(0, 1), shade(0.25));
        assert_eq!(corner(2, 0), shade(0.0));
        let dark = image.pixels().filter(|p| p.0 == [0, 0, 0]).count();
        assert!(dark > 100, "names and counts are drawn: {dark} pixels");
        let back = image::load_from_memory(&encode(&image).unwrap().encoded).unwrap();
        assert_eq!(back.to_rgb8(), image);
        for classes in [1, 21, 1000] {
            let image = draw(&confusion(classes.max(2)), &[]);
            assert!(image.width() < 1200 && image.height() < 1200, "{classes}");
        }
    }
}
