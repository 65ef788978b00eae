//! Messages about how images were read.

use super::decode::Head;
use crate::base::words::{part, verb};
use crate::data::{Colour, ImageShape};
use image::ImageFormat;
use std::path::Path;

/// The number of images of a kind, and the first one.
#[derive(Debug, Clone, Default, PartialEq)]
struct Group {
    count: usize,
    example: String,
}

impl Group {
    fn add(&mut self, name: impl FnOnce() -> String) {
        if self.count == 0 {
            self.example = name();
        }
        self.count += 1;
    }
}

/// Counts of the properties of images.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::data) struct Tally {
    images: usize,
    /// The sizes of the images with the fewest and the most pixels.
    smallest: Option<(u32, u32)>,
    largest: Option<(u32, u32)>,
    resized: usize,
    turned: usize,
    colored: usize,
    sixteen_bit: usize,
    transparent: usize,
    animated: Group,
    misnamed: Group,
    /// The smallest and the largest 16-bit value that was kept.
    range: Option<(f32, f32)>,
}

/// Properties of an image that its header doesn't tell.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Seen {
    /// Whether any pixel isn't opaque.
    pub is_transparent: bool,
    /// Whether the file holds more frames or pages than the first.
    pub has_more_frames: bool,
}

impl Tally {
    /// Counts an image that was converted to `shape`.
    pub(super) fn add(
        &mut self,
        name: impl Fn() -> String,
        head: &Head,
        seen: Seen,
        shape: ImageShape,
    ) {
        let pixels = |(width, height): (u32, u32)| u64::from(width) * u64::from(height);
        self.images += 1;
        if self.smallest.is_none_or(|least| pixels(head.size) < pixels(least)) {
            self.smallest = Some(head.size);
        }
        if self.largest.is_none_or(|most| pixels(head.size) > pixels(most)) {
            self.largest = Some(head.size);
        }
        self.resized += usize::from(head.size != (shape.width, shape.height));
        self.turned += usize::from(head.is_turned);
        self.colored += usize::from(head.color.has_color());
        self.sixteen_bit += usize::from(head.is_sixteen_bit());
        self.transparent += usize::from(seen.is_transparent);
        if seen.has_more_frames {
            self.animated.add(&name);
        }
        let named = ImageFormat::from_path(name()).ok();
        if named.is_some_and(|named| named != head.format) {
            self.misnamed.add(|| format!("{} ({:?})", name(), head.format));
        }
    }

    /// Widens the range of values to these.
    pub(super) fn add_values(&mut self, values: &[f32]) {
        for &value in values {
            let (least, most) = self.range.unwrap_or((value, value));
            self.range = Some((least.min(value), most.max(value)));
        }
    }

    /// Whether any image has a pixel that isn't opaque.
    pub(super) fn any_transparent(&self) -> bool {
        self.transparent > 0
    }

    /// A line for each conversion of the images at `place`; `is_given` says whether their
    /// shape is that of a model.
    pub fn lines(&self, place: &Path, shape: ImageShape, is_given: bool) -> Vec<String> {
        let place = place.display();
        let of_all = |count: usize| part(count, self.images, "image");
        let mut lines = Vec::new();
        let mut line = |kind: &str, text: String| lines.push(format!("{kind}: {place}: {text}"));
        if let (1.., Some(least), Some(most)) = (self.resized, self.smallest, self.largest) {
            let size = |(width, height): (u32, u32)| format!("{width} × {height}");
            let from = match least == most {
                true => size(least),
                false => format!("{} to {}", size(least), size(most)),
            };
            let to = size((shape.width, shape.height));
            let why = match is_given {
                true => "as the model needs",
                false => "--image-size WxH chooses another size",
            };
            let text =
                format!("{} resized from {from} pixels to {to}; {why}", of_all(self.resized));
            line("note", text);
        }
        if self.turned > 0 {
            let text = format!("{} rotated or mirrored", of_all(self.turned));
            line("note", format!("{text} according to their EXIF orientation"));
        }
        self.describe_depth(shape, is_given, &mut line);
        self.describe_alpha(shape, is_given, &mut line);
        if is_given && self.colored > 0 && !shape.colour.has_color() {
            let text =
                format!("{} {} in color", of_all(self.colored), verb(self.colored, ["is", "are"]));
            line("note", format!("{text}, and converted to gray as the model needs"));
        }
        if self.animated.count > 0 {
            let (count, example) = (self.animated.count, &self.animated.example);
            let text = format!("{} {} several frames or pages", of_all(count), has(count));
            line("note", format!("{text}, such as {example}: only the first is used"));
        }
        if self.misnamed.count > 0 {
            let (count, example) = (self.misnamed.count, &self.misnamed.example);
            let text = format!("{} {} the extension of another format", of_all(count), has(count));
            line("note", format!("{text}, such as {example}: read by content"));
        }
        lines
    }

    fn describe_depth(
        &self,
        shape: ImageShape,
        is_given: bool,
        line: &mut impl FnMut(&str, String),
    ) {
        let (sixteen, all) = (self.sixteen_bit, self.images);
        let images = format!("{} {}", part(sixteen, all, "image"), has(sixteen));
        if shape.sixteen_bit && !is_given {
            let range = self.range.map_or(String::new(), |(least, most)| {
                format!(": their values range from {least} to {most} of 65535")
            });
            let text = format!("{images} 16 bits per channel, which are kept{range}");
            let others = match sixteen < all {
                true => "; those of 8 bits are multiplied by 257",
                false => "",
            };
            line("note", format!("{text}{others}"));
        } else if sixteen > 0 && !shape.sixteen_bit {
            line(
                "warning",
                format!(
                    "{images} 16 bits per channel, but the model needs 8: \
                     their values are divided by 257; train on 16-bit images to keep them"
                ),
            );
        }
    }

    fn describe_alpha(
        &self,
        shape: ImageShape,
        is_given: bool,
        line: &mut impl FnMut(&str, String),
    ) {
        let transparent = self.transparent;
        if transparent == 0 {
            return;
        }
        let text = format!(
            "{} {} transparent pixels",
            part(transparent, self.images, "image"),
            has(transparent)
        );
        let what = match (shape.colour, is_given) {
            (Colour::GreyAlpha | Colour::Rgba, true) => return,
            (Colour::GreyAlpha | Colour::Rgba, false) => {
                "alpha is kept as a channel, and colors are multiplied by it; --image-color grey or \
                 rgb composites them over white"
            }
            (Colour::Grey | Colour::Rgb, _) => "they are composited over white",
        };
        line("note", format!("{text}: {what}"));
    }
}

/// `has` or `have`.
fn has(count: usize) -> &'static str {
    verb(count, ["has", "have"])
}
