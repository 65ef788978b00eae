//! Values of options that have no type elsewhere, and how options are written in TOML.

use crate::activation::Activation;
use crate::error::{Error, Result, serde_as_text, unknown};
use crate::metrics::Metrics;
use crate::spec::{Layer, Units, parse_layers};
use std::collections::BTreeSet;
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
        parse_layers(text, &Activation::Relu.into())?;
        Ok(HiddenLayers(text.to_string()))
    }
}

/// A metric, and the value at which a run may end.
#[derive(Debug, Clone, PartialEq)]
pub struct StopAt {
    /// The name of the metric, `loss` among them.
    pub metric: String,
    /// Good enough.
    pub value: f64,
}

impl StopAt {
    /// Whether a metric of `found` is good enough.
    #[must_use]
    pub fn is_met(&self, found: f64) -> bool {
        match Metrics::larger_is_better(&self.metric) {
            true => found >= self.value,
            false => found <= self.value,
        }
    }
}

impl fmt::Display for StopAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.metric, self.value)
    }
}

impl FromStr for StopAt {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let help = "write for example accuracy=0.98";
        let (metric, value) = text
            .split_once('=')
            .ok_or_else(|| Error::usage(format!("{text:?} is not METRIC=VALUE")).help(help))?;
        let metric = metric.trim();
        if Metrics::all_names().all(|known| known != metric) {
            let known: BTreeSet<&str> = Metrics::all_names().collect();
            return Err(unknown("metric", metric, &known.into_iter().collect::<Vec<_>>()));
        }
        match value.trim().parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(StopAt { metric: metric.into(), value }),
            _ => Err(Error::usage(format!("{value:?} is not a number")).help(help)),
        }
    }
}

/// A time in seconds, written as in `90s`, `1.5h`, `10m` or `500ms`; a number alone is in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TimeSpan(pub f64);

impl TimeSpan {
    const UNITS: [(&'static str, f64); 4] = [("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
}

impl fmt::Display for TimeSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = |unit: &&(&str, f64)| self.0 > 0.0 && self.0 % unit.1 == 0.0;
        match Self::UNITS[1..].iter().rev().find(whole) {
            Some((unit, seconds)) => write!(f, "{}{unit}", self.0 / seconds),
            None => write!(f, "{}s", self.0),
        }
    }
}

impl FromStr for TimeSpan {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = text[digits.len()..].to_lowercase();
        let seconds = match Self::UNITS.iter().find(|(name, _)| *name == unit) {
            Some((_, seconds)) => Some(*seconds),
            None => unit.is_empty().then_some(1.0),
        };
        match (digits.trim().parse::<f64>(), seconds) {
            (Ok(number), Some(seconds)) if number.is_finite() && number >= 0.0 => {
                Ok(TimeSpan(number * seconds))
            }
            _ => Err(Error::usage(format!("{text:?} is not a time"))
                .help("write for example 90s, 10m or 2h")),
        }
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

/// How often something is done.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Every {
    /// When so many seconds have passed.
    Seconds(f64),
    /// After so many epochs.
    Epochs(usize),
}

impl fmt::Display for Every {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Every::Seconds(seconds) => TimeSpan(*seconds).fmt(f),
            Every::Epochs(1) => f.write_str("1epoch"),
            Every::Epochs(n) => write!(f, "{n}epochs"),
        }
    }
}

impl FromStr for Every {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let count = ["epochs", "epoch"].iter().find_map(|unit| text.trim().strip_suffix(unit));
        match count.map(|n| n.trim().parse::<usize>()) {
            None => text.parse().map(|span: TimeSpan| Every::Seconds(span.0)),
            Some(Ok(n)) if n > 0 => Ok(Every::Epochs(n)),
            Some(_) => Err(Error::usage(format!("{text:?} is not a number of epochs"))
                .help("write for example 60s, 10m or 5epochs")),
        }
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

serde_as_text!(HiddenLayers, StopAt);

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
    fn times_read_back() {
        for (text, seconds) in
            [("90s", 90.0), ("10m", 600.0), ("1.5h", 5400.0), ("250ms", 0.25), ("7", 7.0)]
        {
            let span: TimeSpan = text.parse().unwrap();
            assert_eq!(span.0, seconds);
            assert_eq!(span.to_string().parse(), Ok(span));
        }
        assert_eq!(TimeSpan(600.0).to_string(), "10m");
        for (text, every) in [
            ("5epochs", Every::Epochs(5)),
            ("1 epoch", Every::Epochs(1)),
            ("0", Every::Seconds(0.0)),
            ("2m", Every::Seconds(120.0)),
        ] {
            assert_eq!(text.parse(), Ok(every));
            assert_eq!(every.to_string().parse(), Ok(every));
        }
        assert!("0 epochs".parse::<Every>().is_err());
        for wrong in ["", "m", "ten", "5 days", "-3s", "NaN", "infs"] {
            assert!(wrong.parse::<TimeSpan>().is_err(), "{wrong}");
        }
    }

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
