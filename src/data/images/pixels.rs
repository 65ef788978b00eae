//! From a decoded image to the features of a net: alpha, size, channels.

use crate::data::{Colour, ImageShape};
use image::imageops::{self, FilterType};
use image::{DynamicImage, ImageBuffer, Pixel, Primitive, Rgba};
use num_traits::NumCast;

/// A channel as a feature: a byte of 8 bits, or a number of 16.
pub(super) trait Value: Copy + Default + Send + Sync {
    /// The features of an image in that shape, and whether any of its pixels isn't opaque.
    fn of(image: DynamicImage, shape: ImageShape) -> (Vec<Self>, bool);
}

impl Value for u8 {
    fn of(image: DynamicImage, shape: ImageShape) -> (Vec<Self>, bool) {
        let (image, is_transparent) = fitted(image.into_rgba8(), shape);
        let image = DynamicImage::from(image);
        let values = match shape.colour {
            Colour::Grey => image.into_luma8().into_raw(),
            Colour::Rgb => image.into_rgb8().into_raw(),
            Colour::GreyAlpha => image.into_luma_alpha8().into_raw(),
            Colour::Rgba => image.into_rgba8().into_raw(),
        };
        (values, is_transparent)
    }
}

impl Value for f32 {
    fn of(image: DynamicImage, shape: ImageShape) -> (Vec<Self>, bool) {
        let (image, is_transparent) = fitted(image.into_rgba16(), shape);
        let image = DynamicImage::from(image);
        let values = match shape.colour {
            Colour::Grey => image.into_luma16().into_raw(),
            Colour::Rgb => image.into_rgb16().into_raw(),
            Colour::GreyAlpha => image.into_luma_alpha16().into_raw(),
            Colour::Rgba => image.into_rgba16().into_raw(),
        };
        (values.into_iter().map(|value| value.into()).collect(), is_transparent)
    }
}

/// The image in the width and height of `shape`, and whether any of its pixels isn't opaque. If
/// alpha is a channel, colors are multiplied by it, so that invisible colors can't be learned;
/// otherwise the image is composited over white.
fn fitted<S>(
    mut image: ImageBuffer<Rgba<S>, Vec<S>>,
    shape: ImageShape,
) -> (ImageBuffer<Rgba<S>, Vec<S>>, bool)
where
    S: Primitive + Into<u64> + 'static,
    Rgba<S>: Pixel<Subpixel = S>,
{
    let opaque = S::DEFAULT_MAX_VALUE;
    let is_transparent = image.pixels().any(|pixel| pixel.0[3] != opaque);
    if is_transparent {
        let most: u64 = opaque.into();
        for pixel in image.pixels_mut() {
            let [colors @ .., alpha] = &mut pixel.0;
            let cover: u64 = (*alpha).into();
            let behind = if shape.colour.has_alpha() { 0 } else { most * (most - cover) };
            for color in colors {
                let value: u64 = (*color).into();
                let mixed = (value * cover + behind + most / 2) / most;
                *color = <S as NumCast>::from(mixed).unwrap_or(opaque);
            }
            if !shape.colour.has_alpha() {
                *alpha = opaque;
            }
        }
    }
    let ImageShape { width, height, .. } = shape;
    if image.dimensions() != (width, height) {
        image = imageops::resize(&image, width, height, FilterType::Triangle);
    }
    (image, is_transparent)
}
