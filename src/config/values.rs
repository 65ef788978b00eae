//! Values of options that have no type elsewhere, and how options are written in TOML.

use crate::activation::Activation;
use crate::error::{Error, Result, serde_as_text, unknown};
use crate::spec::{Layer, Units, parse_layers};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// What is held out for validation.
#[derive(Debug, Clone, PartialEq)]
pub enum Validation {
    /// A seeded random part of the training rows; 0 for none.
    Fraction(f64),
    /// Data of their own.
    Path(PathBuf),
}

impl fmt::Display for Validation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Validation::Fraction(fraction) => write!(f, "{fraction}"),
            Validation::Path(path) => write!(f, "{}", path.display()),
        }
    }
}

impl FromStr for Validation {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.trim().parse::<f64>() {
            Ok(fraction) if (0.0..1.0).contains(&fraction) => Ok(Validation::Fraction(fraction)),
            Ok(_) => Err(Error::usage(format!("{text} is no part of the rows"))
                .help("give a fraction from 0 to below 1, or the path of other data")),
            Err(_) if text.is_empty() => Err(Error::usage("no validation data are named")),
            Err(_) => Ok(Validation::Path(text.into())),
        }
    }
}

/// The hidden layers as text, known to be well formed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HiddenLayers(String);

impl HiddenLayers {
    /// The layers, `default` where none is given.
    ///
    /// # Errors
    /// None that weren't found when the text was read.
    pub fn layers(&self, default: &Units) -> Result<Vec<Layer>> {
        parse_layers(&self.0, default)
    }

    /// The text that reads as these layers.
    #[must_use]
    pub fn of(layers: &[Layer]) -> Self {
        let parts: Vec<_> =
            layers.iter().map(|l| format!("{}:{}", l.units, l.activation)).collect();
        HiddenLayers(if parts.is_empty() { "none".into() } else { parts.join(",") })
    }
}

impl fmt::Display for HiddenLayers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for HiddenLayers {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text.trim().is_empty() {
            return Err(Error::usage("no layers are named").help(
                "write for example 128:relu,64:tanh, or none for a net without hidden layers",
            ));
        }
        parse_layers(text, &Activation::Relu.into())?;
        Ok(HiddenLayers(text.to_string()))
    }
}

/// Settings that suit the kind of data at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// A result in seconds.
    Quick,
    /// A good result in minutes.
    Strong,
    /// The best that is known, however long it takes.
    Best,
}

impl Preset {
    /// Every preset once.
    pub const ALL: [Preset; 3] = [Preset::Quick, Preset::Strong, Preset::Best];

    /// The name used in files and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Preset::Quick => "quick",
            Preset::Strong => "strong",
            Preset::Best => "best",
        }
    }
}

serde_as_text!(Preset);

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Preset {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|p| p.name() == name)
            .ok_or_else(|| unknown("preset", name, &Self::ALL.map(Self::name)))
    }
}

/// A number of bytes, written as in `256M` or `2G` (powers of 1024); a number alone is in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteSize(pub u64);

impl ByteSize {
    const UNITS: [&'static str; 4] = ["K", "M", "G", "T"];
    /// Less than this holds nothing.
    const LEAST: u64 = 1 << 20;
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = |i: &usize| self.0 > 0 && self.0.is_multiple_of(1 << (10 * (i + 1)));
        match (0..Self::UNITS.len()).rev().find(whole) {
            Some(i) => write!(f, "{}{}", self.0 >> (10 * (i + 1)), Self::UNITS[i]),
            None => write!(f, "{}", self.0),
        }
    }
}

impl FromStr for ByteSize {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let upper = text.trim().to_uppercase();
        let upper = upper.strip_suffix("IB").or(upper.strip_suffix('B')).unwrap_or(&upper);
        let unit = (0..Self::UNITS.len()).find(|&i| upper.ends_with(Self::UNITS[i]));
        let digits = if unit.is_some() { &upper[..upper.len() - 1] } else { upper };
        let scale = unit.map_or(1.0, |i| 1024f64.powi(i as i32 + 1));
        match digits.trim().parse::<f64>() {
            Ok(number)
                if number * scale >= Self::LEAST as f64 && number * scale < 2f64.powi(63) =>
            {
                Ok(ByteSize((number * scale) as u64))
            }
            _ => Err(Error::usage(format!("{text:?} is no size of memory"))
                .help("write for example 256M or 2G; at least 1M")),
        }
    }
}

serde_as_text!(HiddenLayers);

/// An option that is read from its text, or from a number in its place.
pub(super) mod text {
    use serde::de::{Error, Visitor};
    use serde::{Deserializer, Serializer};
    use std::fmt::{self, Display};
    use std::marker::PhantomData;
    use std::str::FromStr;

    pub(crate) fn serialize<T: Display, S: Serializer>(
        value: &Option<T>,
        s: S,
    ) -> Result<S::Ok, S::Error> {
        let Some(value) = value else { return s.serialize_none() };
        let text = value.to_string();
        match (text.parse::<i64>(), text.parse::<f64>()) {
            (Ok(number), _) => s.serialize_i64(number),
            (_, Ok(number)) => s.serialize_f64(number),
            _ => s.serialize_str(&text),
        }
    }

    pub(crate) fn deserialize<'de, T, D>(d: D) -> Result<Option<T>, D::Error>
    where
        T: FromStr<Err = crate::error::Error>,
        D: Deserializer<'de>,
    {
        d.deserialize_any(TextOrNumber(PhantomData)).map(Some)
    }

    struct TextOrNumber<T>(PhantomData<T>);

    impl<T: FromStr<Err = crate::error::Error>> Visitor<'_> for TextOrNumber<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a text or a number")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
            text.parse().map_err(E::custom)
        }

        fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
            self.visit_str(&number.to_string())
        }

        fn visit_f64<E: Error>(self, number: f64) -> Result<T, E> {
            self.visit_str(&number.to_string())
        }
    }
}

/// A list of names, or one text in which commas separate them.
pub(super) mod names {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a name or a list of names")]
    enum Names {
        One(String),
        Several(Vec<String>),
    }

    pub(crate) fn serialize<S: Serializer>(
        names: &Option<Vec<String>>,
        s: S,
    ) -> Result<S::Ok, S::Error> {
        names.serialize(s)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        d: D,
    ) -> Result<Option<Vec<String>>, D::Error> {
        Ok(Some(match Names::deserialize(d)? {
            Names::One(text) => text.split(',').map(str::to_string).collect(),
            Names::Several(names) => names,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_memory_have_units() {
        for (text, bytes) in
            [("256M", 256 << 20), ("2g", 2 << 30), ("1.5GiB", 3 << 29), ("2000000", 2_000_000)]
        {
            let size: ByteSize = text.parse().unwrap();
            assert_eq!(size.0, bytes, "{text}");
            assert_eq!(size.to_string().parse(), Ok(size));
        }
        assert_eq!(ByteSize(256 << 20).to_string(), "256M");
        for wrong in ["", "M", "-1G", "12", "0", "1e300G", "NaN", "infM"] {
            assert!(wrong.parse::<ByteSize>().is_err(), "{wrong}");
        }
    }
}
