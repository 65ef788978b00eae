//! Small PNG images as data URIs: pixels of rows, weights of units.

use crate::base::error::{Error, Result};
use crate::data::{Features, Preprocessing};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use image::{DynamicImage, ImageFormat, RgbaImage, imageops::FilterType};
use serde::{Deserialize, Serialize};
use std::io::Cursor;

/// The most pixels in a row or a column of an image in a report.
const SIDE: u32 = 96;

/// An image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Picture {
    /// The image, as `data:image/png;base64,…`.
    pub uri: String,
    /// Its width in pixels.
    pub width: u32,
    /// Its height in pixels.
    pub height: u32,
    /// A description of what it shows.
    pub about: String,
}

impl Picture {
    /// An image whose pixels are `pixel(x, y)`, in red, green, blue and alpha.
    ///
    /// # Errors
    /// When it can't be written as PNG.
    pub fn new(
        width: u32,
        height: u32,
        about: String,
        pixel: impl Fn(u32, u32) -> [u8; 4],
    ) -> Result<Self> {
        let image = RgbaImage::from_fn(width, height, |x, y| image::Rgba(pixel(x, y)));
        Self::of(DynamicImage::ImageRgba8(image), about)
    }

    fn of(image: DynamicImage, about: String) -> Result<Self> {
        let image = match image.width().max(image.height()) > SIDE && about.is_empty() {
            true => image.resize(SIDE, SIDE, FilterType::Triangle),
            false => image,
        };
        let mut bytes = Cursor::new(Vec::new());
        image
            .write_to(&mut bytes, ImageFormat::Png)
            .map_err(|e| Error::failed(format!("cannot write a PNG image: {e}")))?;
        let uri = format!("data:image/png;base64,{}", BASE64_STANDARD.encode(bytes.into_inner()));
        Ok(Picture { uri, width: image.width(), height: image.height(), about })
    }
}

/// How the inputs of a net are laid out as an image: pixels row by row, with interleaved
/// channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    pub width: u32,
    pub height: u32,
    pub channels: usize,
    has_alpha: bool,
}

impl Layout {
    /// The layout of a model of images: that of its preprocessing, or a square of gray pixels if the number of
    /// inputs is a square.
    pub fn of(preprocessing: &Preprocessing, is_image: bool, inputs: usize) -> Option<Self> {
        if let Some(shape) = preprocessing.image {
            return Some(Layout {
                width: shape.width,
                height: shape.height,
                channels: shape.colour.channels(),
                has_alpha: shape.colour.has_alpha(),
            });
        }
        let is_image = is_image || preprocessing.encoding.as_ref().is_some_and(|e| e.pixels);
        let side = (inputs as f64).sqrt().round() as usize;
        (is_image && side > 1 && side * side == inputs).then_some(Layout {
            width: side as u32,
            height: side as u32,
            channels: 1,
            has_alpha: false,
        })
    }

    fn value(&self, row: usize, features: &Features, x: u32, y: u32, channel: usize) -> f32 {
        let pixel = y as usize * self.width as usize + x as usize;
        features.value(row, pixel * self.channels + channel)
    }

    /// A row as an image; values from `range.0` to `range.1`.
    ///
    /// # Errors
    /// When it can't be written as PNG.
    pub fn picture(&self, features: &Features, row: usize, range: (f32, f32)) -> Result<Picture> {
        let byte = |x: f32| {
            let share = (x - range.0) / (range.1 - range.0).max(f32::MIN_POSITIVE);
            (share.clamp(0.0, 1.0) * 255.0).round() as u8
        };
        Picture::new(self.width, self.height, String::new(), |x, y| {
            let of = |channel: usize| byte(self.value(row, features, x, y, channel));
            let alpha = if self.has_alpha { of(self.channels - 1) } else { 255 };
            // Channels are premultiplied by alpha.
            let plain = |channel: usize| match alpha {
                0 => 0,
                255 => of(channel),
                alpha => (u32::from(of(channel)) * 255 / u32::from(alpha)).min(255) as u8,
            };
            match self.channels {
                1 | 2 => [plain(0), plain(0), plain(0), alpha],
                _ => [plain(0), plain(1), plain(2), alpha],
            }
        })
    }

    /// Weights of the inputs of `units` units as images side by side, `columns` of them in a row: blue
    /// below 0, orange above, white at 0, each unit scaled by its own largest. Channels are summed.
    ///
    /// # Errors
    /// When it can't be written as PNG.
    pub fn weights(&self, units: &[&[f32]], columns: usize, about: String) -> Result<Picture> {
        let (cell_w, cell_h) = (self.width + 1, self.height + 1);
        let columns = columns.clamp(1, units.len().max(1));
        let rows = units.len().div_ceil(columns);
        let scales: Vec<f32> = units
            .iter()
            .map(|unit| {
                let sums = unit.chunks_exact(self.channels).map(|c| c.iter().sum::<f32>().abs());
                sums.fold(f32::MIN_POSITIVE, f32::max)
            })
            .collect();
        let (width, height) = (columns as u32 * cell_w - 1, rows as u32 * cell_h - 1);
        Picture::new(width, height, about, |x, y| {
            let (column, row) = ((x / cell_w) as usize, (y / cell_h) as usize);
            let (x, y) = (x % cell_w, y % cell_h);
            let number = row * columns + column;
            if x == self.width || y == self.height || number >= units.len() {
                return [0, 0, 0, 0];
            }
            let pixel = y as usize * self.width as usize + x as usize;
            let begin = pixel * self.channels;
            let sum: f32 = units[number][begin..begin + self.channels].iter().sum();
            diverging(sum / scales[number])
        })
    }
}

/// A color for −1…1: blue, white, orange, which can be distinguished with any kind of color vision.
fn diverging(x: f32) -> [u8; 4] {
    let end: [f32; 3] = if x < 0.0 { [0.0, 114.0, 178.0] } else { [213.0, 94.0, 0.0] };
    let t = x.abs().min(1.0);
    let mix = |end: f32| (255.0 + (end - 255.0) * t).round() as u8;
    [mix(end[0]), mix(end[1]), mix(end[2]), 255]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::matrix::Matrix;

    fn decoded(picture: &Picture) -> RgbaImage {
        let bytes = picture.uri.strip_prefix("data:image/png;base64,").unwrap();
        let bytes = BASE64_STANDARD.decode(bytes).unwrap();
        image::load_from_memory(&bytes).unwrap().to_rgba8()
    }

    #[test]
    fn pixels_come_back_from_the_data_uri() {
        let layout = Layout { width: 2, height: 2, channels: 1, has_alpha: false };
        let features = Features::F32(Matrix::new(1, 4, vec![0.0, 16.0, 8.0, 16.0]).unwrap());
        let image = decoded(&layout.picture(&features, 0, (0.0, 16.0)).unwrap());
        assert_eq!(image.get_pixel(1, 0).0, [255, 255, 255, 255]);
        assert_eq!(image.get_pixel(0, 1).0, [128, 128, 128, 255]);
        let big = Layout { width: 200, height: 100, channels: 3, has_alpha: false };
        let features = Features::U8(Matrix::from_fn(1, 60_000, |_, c| (c % 3) as u8 * 100));
        let image = decoded(&big.picture(&features, 0, (0.0, 255.0)).unwrap());
        assert_eq!((image.dimensions(), image.get_pixel(9, 9).0), ((96, 48), [0, 100, 200, 255]));
    }

    #[test]
    fn units_stand_side_by_side_each_in_its_own_scale() {
        let layout = Layout { width: 1, height: 1, channels: 1, has_alpha: false };
        let units: [&[f32]; 3] = [&[2.0], &[-0.1], &[0.0]];
        let image = decoded(&layout.weights(&units, 2, "weights".into()).unwrap());
        assert_eq!(image.dimensions(), (3, 3));
        assert_eq!(image.get_pixel(0, 0).0, [213, 94, 0, 255]);
        assert_eq!(image.get_pixel(2, 0).0, [0, 114, 178, 255]);
        assert_eq!(image.get_pixel(0, 2).0, [255, 255, 255, 255]);
        assert_eq!((image.get_pixel(1, 0).0[3], image.get_pixel(2, 2).0[3]), (0, 0));
    }
}
