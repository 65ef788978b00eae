//! One image file: its header and its pixels.

use super::frames::has_more_frames;
use crate::base::error::{Error, Result};
use crate::base::memory::human;
use crate::data::streams::decoding;
use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};
use std::fs::{self, File};
use std::io::{BufReader, Cursor, ErrorKind, Read};
use std::path::Path;

/// Images with this many pixels or more, according to their headers, aren't decoded.
const TOO_MANY_PIXELS: u64 = 1 << 28;
/// The supported formats.
const FORMATS: &str = "supported formats: PNG, JPEG, TIFF, WebP, GIF, BMP, TGA, QOI and PNM";

/// The header of an image file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Head {
    /// Width and height of the upright image.
    pub size: (u32, u32),
    /// The channels and bits of a pixel.
    pub color: ColorType,
    /// The format, found from the file's content; only TGA, which has no magic bytes, from its extension.
    pub format: ImageFormat,
    /// Whether the pixels are turned or mirrored according to the file's metadata.
    pub is_turned: bool,
    /// The size of the file in bytes.
    length: u64,
}

impl Head {
    /// Reads the header of `file`, which may use `memory` bytes.
    ///
    /// # Errors
    /// With the file's name, when it isn't an image, has no pixels, or is too large.
    pub fn read(file: &Path, memory: u64) -> Result<Self> {
        guarded(file, || Self::read_unguarded(file, memory))
    }

    fn read_unguarded(file: &Path, memory: u64) -> Result<Self> {
        let length = fs::metadata(file).map_err(|e| Error::io("read", file, &e))?.len();
        // Some decoders read all of a file before its first pixel.
        if length > memory / 2 {
            return Err(too_large(file, format!("a file of {}", human(length as f64)), memory));
        }
        let bytes = File::open(file).map_err(|e| Error::io("open", file, &e))?;
        let reader = ImageReader::new(BufReader::new(bytes)).with_guessed_format();
        let mut reader = reader.map_err(|e| Error::io("read", file, &e))?;
        let is_tga = file.extension().is_some_and(|e| e.eq_ignore_ascii_case("tga"));
        let Some(format) = reader.format().or(is_tga.then_some(ImageFormat::Tga)) else {
            return Err(of_no_format(file, "its content has an unknown format"));
        };
        reader.set_format(format);
        reader.limits(limits(memory));
        let mut decoder = reader.into_decoder().map_err(|e| not_an_image(file, &e))?;
        let (width, height) = decoder.dimensions();
        let pixels = u64::from(width) * u64::from(height);
        if !(1..TOO_MANY_PIXELS).contains(&pixels) {
            return Err(Error::data(format!("an image of {width} × {height} pixels"))
                .at(file.display())
                .help("scale it down to fewer than 2²⁸ pixels, or remove it"));
        }
        let color = decoder.color_type();
        if matches!(color, ColorType::Rgb32F | ColorType::Rgba32F) {
            return Err(Error::data("an image of floating-point numbers")
                .at(file.display())
                .help("convert it to 8 or 16 bits per channel, or save arrays with numpy.savez"));
        }
        // Broken metadata say nothing about the pixels.
        let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
        let size = match is_sideways(orientation) {
            true => (height, width),
            false => (width, height),
        };
        let is_turned = orientation != Orientation::NoTransforms;
        Ok(Head { size, color, format, is_turned, length })
    }

    /// Whether channels have 16 bits.
    pub fn is_sixteen_bit(&self) -> bool {
        self.color.bytes_per_pixel() / self.color.channel_count() == 2
    }

    /// The bytes that decoding and resizing to `height` rows takes, an upper estimate: the file
    /// twice; the pixels three times, as progressive JPEG stores its coefficients and turning makes
    /// a copy; an RGBA copy; and the rows in f32 between both passes of resizing.
    pub fn memory(&self, height: u32) -> u64 {
        let (width, own_height) = (u64::from(self.size.0), u64::from(self.size.1));
        let of_channel: u64 = if self.is_sixteen_bit() { 2 } else { 1 };
        let of_pixel = 3 * u64::from(self.color.bytes_per_pixel()) + 4 * of_channel;
        let pixels = width * own_height * of_pixel;
        2 * self.length + pixels + 16 * width * u64::from(height)
    }

    /// Decodes the first frame of `file`, which has this header, and turns it upright. Also returns
    /// whether there are more frames or pages.
    ///
    /// # Errors
    /// With the file's name, when it is truncated or damaged, or decoding it and resizing it to
    /// `height` rows needs more than `memory` bytes.
    pub fn decode(&self, file: &Path, height: u32, memory: u64) -> Result<(DynamicImage, bool)> {
        let needed = self.memory(height);
        if needed > memory {
            let (width, height) = self.size;
            let what = format!("an image of {width} × {height} pixels");
            return Err(too_large(file, what, memory));
        }
        let bytes = fs::read(file).map_err(|e| Error::io("read", file, &e))?;
        // The JPEG decoder fills in missing data.
        if self.format == ImageFormat::Jpeg && !jpeg_ends(&bytes) {
            return Err(truncated(file));
        }
        let (mut image, orientation, has_more_frames) = guarded(file, || {
            let refuse = |e: ImageError| not_an_image(file, &e);
            let mut reader = ImageReader::with_format(Cursor::new(&bytes), self.format);
            reader.limits(limits(memory));
            let mut decoder = reader.into_decoder().map_err(refuse)?;
            let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
            let image = DynamicImage::from_decoder(decoder).map_err(refuse)?;
            Ok((image, orientation, has_more_frames(self.format, &bytes)))
        })?;
        image.apply_orientation(orientation);
        // The file may have changed since its header was read.
        if (image.width(), image.height()) != self.size {
            return Err(Error::data("the image changed while it was read").at(file.display()));
        }
        Ok((image, has_more_frames))
    }
}

/// The result of a decoder; a panic becomes an error of the file.
fn guarded<T>(file: &Path, decode: impl FnOnce() -> Result<T>) -> Result<T> {
    decoding::guarded(decode).unwrap_or_else(|_| {
        Err(Error::data("not a readable image: its content is inconsistent")
            .at(file.display())
            .help(format!("repair the file or remove it; {FORMATS}")))
    })
}

fn is_sideways(orientation: Orientation) -> bool {
    use Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
    matches!(orientation, Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH)
}

fn limits(memory: u64) -> Limits {
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(memory);
    limits
}

/// Whether a JPEG has its end marker: after the last segment, not in a thumbnail within one
/// (ITU-T T.81, annex B).
fn jpeg_ends(bytes: &[u8]) -> bool {
    let mut at = 2;
    while let Some(skipped) = bytes.get(at..).and_then(|rest| memchr::memchr(0xFF, rest)) {
        at += skipped;
        match bytes.get(at + 1) {
            Some(0xD9) => return true,
            // Padding before a marker.
            Some(0xFF) => at += 1,
            // A byte of 255 in the entropy-coded data, and the markers without a segment.
            Some(0x00 | 0x01 | 0xD0..=0xD8) => at += 2,
            Some(_) => match bytes.get(at + 2..at + 4) {
                Some(&[high, low]) => at += 2 + usize::from(u16::from_be_bytes([high, low])),
                _ => return false,
            },
            None => return false,
        }
    }
    false
}

fn truncated(file: &Path) -> Error {
    Error::data("not a readable image: the file is truncated or damaged")
        .at(file.display())
        .help("copy or download it again, or remove it")
}

fn too_large(file: &Path, what: String, memory: u64) -> Error {
    let limit = human(memory as f64);
    Error::data(format!("{what}, which takes more than {limit} of memory to decode"))
        .at(file.display())
        .help("scale it down, remove it, or raise --memory-limit")
}

fn not_an_image(file: &Path, error: &ImageError) -> Error {
    if matches!(error, ImageError::IoError(e) if e.kind() == ErrorKind::UnexpectedEof) {
        return truncated(file);
    }
    of_no_format(file, &error.to_string())
}

/// The error for a file that isn't an image: `what`, unless its real content is recognized.
fn of_no_format(file: &Path, what: &str) -> Error {
    let (what, help) = match instead(file) {
        Some((what, help)) => (what, help.to_string()),
        None => (what, format!("repair the file or remove it; {FORMATS}")),
    };
    Error::data(format!("not a readable image: {what}")).at(file.display()).help(help)
}

/// Typical results of a failed download instead of an image, with advice.
fn instead(file: &Path) -> Option<(&'static str, &'static str)> {
    let mut head = Vec::new();
    File::open(file).ok()?.take(64).read_to_end(&mut head).ok()?;
    let head = head.trim_ascii_start().to_ascii_lowercase();
    if head.is_empty() {
        return Some(("the file is empty", "copy or download it again, or remove it"));
    }
    if head.starts_with(b"version https://git-lfs") {
        return Some(("a Git LFS pointer", "get the file itself with git lfs pull"));
    }
    let is_page = head.starts_with(b"<!doctype html") || head.starts_with(b"<html");
    is_page.then_some((
        "an HTML page",
        "download the image itself; the page may contain an error message",
    ))
}
