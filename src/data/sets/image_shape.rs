//! The shape to which images are converted, and the user's options for it.

use crate::base::error::{Error, Result, serde_as_text};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The largest width and height of a net's images.
pub(in crate::data) const MOST_PIXELS: u32 = 4096;

/// The channels of a pixel, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Colour {
    /// Luminance.
    Grey,
    /// Red, green and blue.
    Rgb,
    /// Luminance multiplied by alpha, and alpha.
    GreyAlpha,
    /// Red, green and blue multiplied by alpha, and alpha.
    Rgba,
}

impl Colour {
    /// Every layout once.
    pub const ALL: [Colour; 4] = [Colour::Grey, Colour::Rgb, Colour::GreyAlpha, Colour::Rgba];

    /// The number of channels.
    #[must_use]
    pub fn channels(self) -> usize {
        match self {
            Colour::Grey => 1,
            Colour::GreyAlpha => 2,
            Colour::Rgb => 3,
            Colour::Rgba => 4,
        }
    }

    /// Whether red, green and blue are separate channels.
    #[must_use]
    pub fn has_color(self) -> bool {
        matches!(self, Colour::Rgb | Colour::Rgba)
    }

    /// Whether alpha is a channel; otherwise images are composited over white.
    #[must_use]
    pub fn has_alpha(self) -> bool {
        matches!(self, Colour::GreyAlpha | Colour::Rgba)
    }

    /// The same colors, with alpha or without.
    #[must_use]
    pub(in crate::data) fn with_alpha(self, alpha: bool) -> Self {
        match (self.has_color(), alpha) {
            (false, false) => Colour::Grey,
            (true, false) => Colour::Rgb,
            (false, true) => Colour::GreyAlpha,
            (true, true) => Colour::Rgba,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Colour::Grey => "grey",
            Colour::Rgb => "rgb",
            Colour::GreyAlpha => "grey-alpha",
            Colour::Rgba => "rgba",
        }
    }
}

/// The shape of a model's images: pixels row by row, the channels of a pixel
/// contiguous.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageShape {
    /// The width in pixels.
    pub width: u32,
    /// The height in pixels.
    pub height: u32,
    /// The channels of a pixel.
    pub colour: Colour,
    /// Whether channels have 16 bits, as numbers from 0 to 65,535; otherwise they are bytes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sixteen_bit: bool,
}

impl ImageShape {
    /// The number of features.
    #[must_use]
    pub fn features(&self) -> usize {
        let pixels = (self.width as usize).saturating_mul(self.height as usize);
        pixels.saturating_mul(self.colour.channels())
    }

    /// The number of bytes of an image as features.
    pub(in crate::data) fn bytes(&self) -> u64 {
        let of_channel = if self.sixteen_bit { size_of::<f32>() } else { 1 };
        (self.features() as u64).saturating_mul(of_channel as u64)
    }

    /// Refuses a shape that doesn't match the number of inputs: it may come from a damaged
    /// file.
    ///
    /// # Errors
    /// When the shape has another number of features, or a side of 0 or more than 4096 pixels.
    pub fn check(&self, inputs: usize) -> Result<()> {
        let is_side = |pixels: u32| (1..=MOST_PIXELS).contains(&pixels);
        if is_side(self.width) && is_side(self.height) && self.features() == inputs {
            return Ok(());
        }
        Err(Error::data(format!(
            "the model has {inputs} inputs, but its images are {} × {} pixels of {} channels",
            self.width,
            self.height,
            self.colour.channels()
        ))
        .at("preprocessing in the model's metadata")
        .help("the model file is damaged: restore it, or train again"))
    }
}

/// The user's options for images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ImageOptions {
    /// Width and height.
    pub size: Option<ImageSize>,
    /// The channels of a pixel.
    pub colour: Option<Colour>,
}

/// Width and height in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageSize(pub u32, pub u32);

impl fmt::Display for ImageSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.0, self.1)
    }
}

impl FromStr for ImageSize {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (width, height) = text.split_once(['x', '×']).unwrap_or((text, text));
        match (width.trim().parse(), height.trim().parse()) {
            (Ok(w @ 1..=MOST_PIXELS), Ok(h @ 1..=MOST_PIXELS)) => Ok(ImageSize(w, h)),
            _ => Err(Error::usage(format!("{text:?} is not an image size"))
                .help("write for example 28x28, or 28 for both; at most 4096")),
        }
    }
}

impl fmt::Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Colour {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let text = text.replace("gray", "grey");
        Self::ALL.into_iter().find(|colour| colour.name() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            Error::usage(format!("{text:?} is not a channel layout"))
                .help(format!("known: {names}"))
        })
    }
}

serde_as_text!(ImageSize);
