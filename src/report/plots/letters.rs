//! Texts in drawings as pixels, in the bitmap fonts of embedded-graphics: no system font is needed.

use super::drawing::Anchor;
use super::drawing::SCALE;
use embedded_graphics::Pixel;
use embedded_graphics::geometry::{OriginDimensions, Point, Size};
use embedded_graphics::mono_font::{
    MonoFont, MonoTextStyle, iso_8859_1, iso_8859_2, iso_8859_5, iso_8859_7,
};
use embedded_graphics::pixelcolor::BinaryColor;
use embedded_graphics::prelude::{DrawTarget, Drawable};
use embedded_graphics::text::{Baseline, Text};
use std::convert::Infallible;
use tiny_skia::{ColorU8, Pixmap};

/// A weight of letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Face {
    Plain,
    Bold,
}

/// The fonts of a weight: Western, Central European, Cyrillic and Greek letters.
fn fonts(face: Face) -> [&'static MonoFont<'static>; 4] {
    match face {
        Face::Plain => [
            &iso_8859_1::FONT_10X20,
            &iso_8859_2::FONT_10X20,
            &iso_8859_5::FONT_10X20,
            &iso_8859_7::FONT_10X20,
        ],
        Face::Bold => [
            &iso_8859_1::FONT_9X18_BOLD,
            &iso_8859_2::FONT_9X18_BOLD,
            &iso_8859_5::FONT_9X18_BOLD,
            &iso_8859_7::FONT_9X18_BOLD,
        ],
    }
}

/// Writes a text: anchored at the start, middle or end of its baseline, vertical if asked for; in a color,
/// outlined with another.
pub(super) fn write(
    pixels: &mut Pixmap,
    text: &str,
    [x, y]: [f64; 2],
    (anchor, is_upright): (Anchor, bool),
    (face, ink, halo): (Face, [u8; 3], Option<[u8; 3]>),
) {
    let text = simplified(text);
    let font = font_for(&text, face);
    let mut found = Dots(Vec::new());
    let style = MonoTextStyle::new(font, BinaryColor::On);
    let Ok(end) =
        Text::with_baseline(&text, Point::zero(), style, Baseline::Alphabetic).draw(&mut found);
    let before = match anchor {
        Anchor::Start => 0,
        Anchor::Middle => end.x / 2,
        Anchor::End => end.x,
    };
    let [x, y] = [x, y].map(|x| (x as f32 * SCALE).round() as i32);
    let mut dot = |at: Point, color: [u8; 3]| {
        let (along, across) = (at.x - before, at.y);
        let place = if is_upright { (x + across, y - along) } else { (x + along, y + across) };
        set(pixels, place, color);
    };
    if let Some(halo) = halo {
        for &at in &found.0 {
            for (dx, dy) in (-3..=3).flat_map(|dx| (-3..=3).map(move |dy| (dx, dy))) {
                dot(Point::new(at.x + dx, at.y + dy), halo);
            }
        }
    }
    found.0.iter().for_each(|&at| dot(at, ink));
}

fn set(pixels: &mut Pixmap, (x, y): (i32, i32), [red, green, blue]: [u8; 3]) {
    let (Ok(x), Ok(y)) = (usize::try_from(x), usize::try_from(y)) else { return };
    let width = pixels.width() as usize;
    if x < width
        && let Some(pixel) = pixels.pixels_mut().get_mut(y * width + x)
    {
        *pixel = ColorU8::from_rgba(red, green, blue, 255).premultiply();
    }
}

/// The font that has all letters of a text, or the first: it shows a question mark for others.
fn font_for(text: &str, face: Face) -> &'static MonoFont<'static> {
    let fonts = fonts(face);
    let has = |font: &MonoFont<'_>| {
        let unknown = font.glyph_mapping.index('?');
        text.chars().all(|c| c == '?' || font.glyph_mapping.index(c) != unknown)
    };
    fonts.into_iter().find(|font| has(font)).unwrap_or(fonts[0])
}

/// Replaces characters that no such font has.
fn simplified(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '…' => out += "...",
            '−' | '–' | '—' | '‐' | '‑' => out.push('-'),
            '→' => out += "->",
            '‘' | '’' => out.push('\''),
            '“' | '”' | '„' => out.push('"'),
            '≤' => out += "<=",
            '≥' => out += ">=",
            c => out.push(c),
        }
    }
    out
}

/// The places of a text's dots.
struct Dots(Vec<Point>);

impl OriginDimensions for Dots {
    fn size(&self) -> Size {
        Size::new(u32::MAX, u32::MAX)
    }
}

impl DrawTarget for Dots {
    type Color = BinaryColor;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<BinaryColor>>>(
        &mut self,
        pixels: I,
    ) -> Result<(), Infallible> {
        let on = pixels.into_iter().filter(|Pixel(_, color)| *color == BinaryColor::On);
        self.0.extend(on.map(|Pixel(at, _)| at));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tiny_skia::Color;

    /// The least and the greatest place of a text's dots, and their number.
    fn written(text: &str, anchor: Anchor, is_upright: bool) -> ([u32; 4], usize) {
        let mut pixels = Pixmap::new(200, 200).unwrap();
        pixels.fill(Color::WHITE);
        let ink = (Face::Plain, [0; 3], None);
        write(&mut pixels, text, [50.0, 50.0], (anchor, is_upright), ink);
        let (mut ends, mut count) = ([u32::MAX, u32::MAX, 0, 0], 0);
        for (i, pixel) in pixels.pixels().iter().enumerate() {
            if pixel.red() == 0 {
                let (x, y) = (i as u32 % 200, i as u32 / 200);
                ends = [ends[0].min(x), ends[1].min(y), ends[2].max(x), ends[3].max(y)];
                count += 1;
            }
        }
        (ends, count)
    }

    #[test]
    fn texts_stand_at_their_anchors_on_the_baseline_and_upright() {
        let ([left, top, right, bottom], count) = written("MMM", Anchor::Start, false);
        assert!(count > 50 && left >= 100 && right < 130, "{left} {right}");
        assert!(bottom <= 100 && bottom > 96 && top > 80, "{top} {bottom}");
        let ([left, _, right, _], _) = written("MMM", Anchor::End, false);
        assert!(left >= 70 && right < 100, "{left} {right}");
        let ([left, top, right, bottom], same) = written("MMM", Anchor::Start, true);
        assert_eq!(count, same);
        assert!(bottom <= 100 && top > 70 && left > 80 && right <= 100, "{top} {bottom}");
    }

    #[test]
    fn letters_of_several_scripts_are_written_and_others_are_question_marks() {
        let dots = |text: &str| written(text, Anchor::Middle, false).1;
        for text in ["Čech", "Мост", "Ωμέγα", "−1…"] {
            let unknown = "?".repeat(text.chars().count());
            assert_ne!(dots(text), dots(&unknown), "{text}");
        }
        assert_eq!(dots("東"), dots("?"));
        assert_eq!(dots("−1…"), dots("-1..."));
    }
}
