//! Whether a file holds more frames or pages than the first, which is read.

use image::codecs::{gif::GifDecoder, png::PngDecoder, webp::WebPDecoder};
use image::{AnimationDecoder, ImageFormat};
use std::io::Cursor;

/// Whether a file of that format, which was decoded before, holds several frames or pages.
pub(super) fn has_more_frames(format: ImageFormat, bytes: &[u8]) -> bool {
    let file = Cursor::new(bytes);
    match format {
        ImageFormat::Gif => {
            GifDecoder::new(file).is_ok_and(|gif| gif.into_frames().take(2).flatten().count() > 1)
        }
        ImageFormat::WebP => WebPDecoder::new(file).is_ok_and(|webp| webp.has_animation()),
        ImageFormat::Png => PngDecoder::new(file).is_ok_and(|png| png.is_apng().unwrap_or(false)),
        ImageFormat::Tiff => tiff_directory_follows(bytes).unwrap_or(false),
        _ => false,
    }
}

/// Whether a second directory follows the first one of a TIFF: its offset follows the entries
/// of 12 bytes each (TIFF 6.0, section 2).
fn tiff_directory_follows(bytes: &[u8]) -> Option<bool> {
    let is_little = bytes.starts_with(b"II");
    let number = |at: usize, len: usize| -> Option<usize> {
        let bytes = bytes.get(at..at.checked_add(len)?)?;
        let join = |all: usize, byte: &u8| all << 8 | usize::from(*byte);
        Some(match is_little {
            true => bytes.iter().rev().fold(0, join),
            false => bytes.iter().fold(0, join),
        })
    };
    let first = number(4, 4)?;
    let entries = number(first, 2)?;
    Some(number(first.checked_add(2 + 12 * entries)?, 4)? != 0)
}
