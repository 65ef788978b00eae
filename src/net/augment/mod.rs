//! Augmentation: each time an image is used in training, it is randomly shifted, rotated, scaled, sheared,
//! deformed, partly covered and given noise (Simard, Steinkraus, Platt 2003; DeVries, Taylor 2017). The
//! arithmetic is in `image`.

mod image;
mod rows;

pub use image::{Augmentation, ELASTIC_DRAWS, Image, LARGEST, NOISE_DRAWS, ONE};
pub use rows::Canvas;

use crate::base::error::{Error, Result, serde_as_text, unknown};
use std::fmt;
use std::str::FromStr;

/// The transformations of an image, each drawn up to the given amount; 0 turns one off.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Augment {
    /// Pixels to each side.
    pub shift: f32,
    /// Degrees to each side, about the center.
    pub rotation: f32,
    /// The fraction by which it grows or shrinks.
    pub scale: f32,
    /// Degrees of shear to each side.
    pub shear: f32,
    /// The displacement of points in an elastic deformation, and the distance over which
    /// displacements vary, both in pixels.
    pub elastic: [f32; 2],
    /// The largest value added to or subtracted from a pixel, of 255.
    pub noise: f32,
    /// The side of a square that is covered with zeros, in pixels.
    pub cutout: f32,
}

/// The names of the amounts, with the largest that each may have.
const AMOUNTS: [(&str, f32); 7] = [
    ("shift", 64.0),
    ("rotation", 45.0),
    ("scale", 0.5),
    ("shear", 45.0),
    ("elastic", 32.0),
    ("noise", 255.0),
    ("cutout", 1024.0),
];

/// Amounts that suit digits and other small drawings.
const STANDARD: Augment = Augment {
    shift: 1.5,
    rotation: 10.0,
    scale: 0.1,
    shear: 8.0,
    elastic: [2.5, 7.0],
    noise: 0.0,
    cutout: 0.0,
};

impl Augment {
    fn amounts(&self) -> [f32; 7] {
        let Augment { shift, rotation, scale, shear, elastic, noise, cutout } = *self;
        [shift, rotation, scale, shear, elastic[0], noise, cutout]
    }

    /// Checks the amounts.
    ///
    /// # Errors
    /// For an amount that is negative or too large.
    pub fn check(&self) -> Result<()> {
        for ((name, most), amount) in AMOUNTS.into_iter().zip(self.amounts()) {
            if !(0.0..=most).contains(&amount) {
                return Err(Error::usage(format!("{name} by {amount}"))
                    .at("--augment")
                    .help(format!("it must be from 0 to {most}")));
            }
        }
        if !(1.0..=1024.0).contains(&self.elastic[1]) && self.elastic[0] > 0.0 {
            return Err(Error::usage(format!("elastic over {} pixels", self.elastic[1]))
                .at("--augment")
                .help(
                    "the distance must be from 1 to 1024 pixels, usually a quarter of the image",
                ));
        }
        Ok(())
    }
}

serde_as_text!(Augment);

impl fmt::Display for Augment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let given = AMOUNTS.into_iter().zip(self.amounts()).filter(|(_, amount)| *amount != 0.0);
        for (i, ((name, _), amount)) in given.enumerate() {
            let between = if i > 0 { "+" } else { "" };
            match name {
                "elastic" => write!(f, "{between}{name}({amount},{})", self.elastic[1])?,
                _ => write!(f, "{between}{name}({amount})")?,
            }
        }
        if *self == Augment::default() {
            f.write_str("none")?;
        }
        Ok(())
    }
}

impl FromStr for Augment {
    type Err = Error;

    /// Reads `standard`, `none`, or a sum such as `shift(2)+rotation(10)+elastic(3,7)`.
    fn from_str(text: &str) -> Result<Self> {
        let mut augment = match text.trim() {
            "standard" => return Ok(STANDARD),
            "none" => return Ok(Augment::default()),
            _ => Augment { elastic: [0.0, STANDARD.elastic[1]], ..Augment::default() },
        };
        for part in text.split('+').map(str::trim) {
            let (name, amount) = part.split_once('(').unwrap_or((part, ""));
            let names = AMOUNTS.map(|(name, _)| name);
            if !names.contains(&name) {
                return Err(unknown(
                    "augmentation",
                    name,
                    &[&names[..], &["standard", "none"]].concat(),
                ));
            }
            let place = |what: String| {
                Error::usage(what)
                    .at(part)
                    .help("write for example shift(2)+rotation(10)+elastic(3,7)")
            };
            let amounts = amount.strip_suffix(')').ok_or_else(|| place("no amount".into()))?;
            let mut amounts = amounts.split(',').map(|amount| {
                amount
                    .trim()
                    .parse::<f32>()
                    .map_err(|_| place(format!("{amount:?} is not a number")))
            });
            let first = amounts.next().unwrap_or(Ok(0.0))?;
            match name {
                "shift" => augment.shift = first,
                "rotation" => augment.rotation = first,
                "scale" => augment.scale = first,
                "shear" => augment.shear = first,
                "elastic" => {
                    augment.elastic[0] = first;
                    augment.elastic[1] = amounts.next().unwrap_or(Ok(augment.elastic[1]))?;
                }
                "noise" => augment.noise = first,
                _ => augment.cutout = first,
            }
            if amounts.next().is_some() {
                return Err(place("too many amounts".into()));
            }
        }
        if augment.elastic[0] == 0.0 {
            augment.elastic[1] = 0.0;
        }
        augment.check()?;
        Ok(augment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_read_back_and_mistakes_are_named() {
        for text in ["none", "shift(2)", "shift(1.5)+elastic(3,7)+noise(8)+cutout(6)"] {
            let augment: Augment = text.parse().unwrap();
            assert_eq!(augment.to_string(), text);
        }
        let standard: Augment = "standard".parse().unwrap();
        assert_eq!(standard.to_string().parse::<Augment>().unwrap(), standard);
        for (text, part) in [
            ("shft(2)", "did you mean shift?"),
            ("shift", "no amount"),
            ("shift(x)", "\"x\" is not a number"),
            ("shift(1,2)", "too many"),
            ("rotation(80)", "from 0 to 45"),
            ("elastic(3,0.5)", "over 0.5 pixels"),
        ] {
            let error = text.parse::<Augment>().unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
