//! Types of options that aren't defined elsewhere, and their form in TOML.

use crate::base::error::{Error, Result, serde_as_text};
use crate::base::names::names;
use crate::math::activation::Activation;
use crate::net::spec::{Layer, Units, parse_layers};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Data that are held out, for validation or for a test.
#[derive(Debug, Clone, PartialEq)]
pub enum HeldOutData {
    /// A fraction of the rows, drawn as the split says; 0 for none.
    Fraction(f64),
    /// Other data.
    Path(PathBuf),
}

impl fmt::Display for HeldOutData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HeldOutData::Fraction(fraction) => write!(f, "{fraction}"),
            HeldOutData::Path(path) => write!(f, "{}", path.display()),
        }
    }
}

impl FromStr for HeldOutData {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.trim().parse::<f64>() {
            Ok(fraction) if (0.0..1.0).contains(&fraction) => Ok(HeldOutData::Fraction(fraction)),
            Ok(_) => Err(Error::usage(format!("{text} is not a fraction of the rows"))
                .help("give a fraction of at least 0 and below 1, or the path of other data")),
            Err(_) if text.is_empty() => Err(Error::usage("no fraction and no data were given")),
            Err(_) => Ok(HeldOutData::Path(text.into())),
        }
    }
}

/// The hidden layers as validated text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HiddenLayers(String);

impl HiddenLayers {
    /// The layers, with the activation `default` where none is given.
    ///
    /// # Errors
    /// None: the text was validated before.
    pub fn layers(&self, default: &Units) -> Result<Vec<Layer>> {
        parse_layers(&self.0, default)
    }

    /// The text of these layers.
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
            return Err(Error::usage("no layers were given").help(
                "write for example 128:relu,64:tanh, or none for a net without hidden layers",
            ));
        }
        parse_layers(text, &Activation::Relu.into())?;
        Ok(HiddenLayers(text.to_string()))
    }
}

/// Several nets whose predictions are averaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ensemble {
    /// The number of nets.
    pub nets: usize,
    /// Whether each holds out a different fold; else they differ only in their seeds.
    pub by_folds: bool,
}

impl Ensemble {
    /// More nets than this are a mistake.
    pub const MOST: usize = 1000;
}

impl fmt::Display for Ensemble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.nets, if self.by_folds { ":folds" } else { "" })
    }
}

impl FromStr for Ensemble {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let fail = |what: String| {
            Err(Error::usage(what).help("write for example 5, or 5:folds for nets that each hold out a different fifth of the rows"))
        };
        let (number, by_folds) = match text.strip_suffix(":folds") {
            Some(number) => (number, true),
            None => (text, false),
        };
        match number.trim().parse() {
            Ok(nets @ 1..=Self::MOST) if nets > 1 || !by_folds => Ok(Ensemble { nets, by_folds }),
            Ok(nets) if by_folds && nets < 2 => {
                fail(format!("an ensemble by folds needs at least 2 nets, not {nets}"))
            }
            Ok(0) => fail("an ensemble cannot have 0 nets".into()),
            Ok(nets) => {
                fail(format!("an ensemble of {nets} nets is too large: at most {}", Self::MOST))
            }
            Err(_) => fail(format!("{text:?} is not a number of nets")),
        }
    }
}

/// How probabilities are calibrated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Calibration {
    /// Temperature scaling: logits are divided by one number.
    Temperature,
    /// Not at all.
    None,
}

names!(Calibration, "calibration": Temperature "temperature", None "none");

/// A preset: settings that suit the kind of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Preset {
    /// A result in seconds.
    Quick,
    /// A good result in minutes.
    Strong,
    /// The best known result, however long it takes.
    Best,
}

names!(Preset, "preset": Quick "quick", Strong "strong", Best "best");

serde_as_text!(Ensemble, Calibration, Preset);

/// A number of bytes, written as in `256M` or `2G` (powers of 1024); a bare number is in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteSize(pub u64);

impl ByteSize {
    const UNITS: [&'static str; 4] = ["K", "M", "G", "T"];
    /// The smallest useful size.
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
            _ => Err(Error::usage(format!("{text:?} is not a memory size"))
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
        T: FromStr<Err = crate::base::error::Error>,
        D: Deserializer<'de>,
    {
        d.deserialize_any(TextOrNumber(PhantomData)).map(Some)
    }

    struct TextOrNumber<T>(PhantomData<T>);

    impl<T: FromStr<Err = crate::base::error::Error>> Visitor<'_> for TextOrNumber<T> {
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

/// Names of columns, separated by commas. A name with a comma is quoted with double quotes, in which a double
/// quote is doubled, as in CSV.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnNames(Vec<String>);

impl ColumnNames {
    /// These names.
    #[must_use]
    pub fn new(names: Vec<String>) -> Self {
        ColumnNames(names)
    }

    /// All the names of some lists.
    #[must_use]
    pub fn join(lists: &[ColumnNames]) -> Vec<String> {
        lists.iter().flat_map(|list| list.0.iter().cloned()).collect()
    }
}

impl FromStr for ColumnNames {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let fail = |what: &str| {
            Error::usage(format!("{what} in the list of columns {text}"))
                .help("write a name with a comma or a quote as in CSV: \"a, b\",\"say \"\"c\"\"\"")
        };
        let (mut names, mut rest) = (Vec::new(), text);
        loop {
            let Some(mut quoted) = rest.trim_start().strip_prefix('"') else {
                match rest.split_once(',') {
                    Some((name, more)) => {
                        names.push(name.to_string());
                        rest = more;
                        continue;
                    }
                    None => {
                        names.push(rest.to_string());
                        return Ok(ColumnNames(names));
                    }
                }
            };
            let mut name = String::new();
            loop {
                let (part, more) =
                    quoted.split_once('"').ok_or_else(|| fail("a quote that isn't closed"))?;
                name.push_str(part);
                quoted = more;
                let Some(more) = quoted.strip_prefix('"') else { break };
                name.push('"');
                quoted = more;
            }
            names.push(name);
            match quoted.trim_start().strip_prefix(',') {
                Some(more) => rest = more,
                None if quoted.trim().is_empty() => return Ok(ColumnNames(names)),
                None => return Err(fail("text after a closing quote")),
            }
        }
    }
}

/// Lists of names of columns: in TOML a list, or one text as on the command line.
pub(super) mod names {
    use super::ColumnNames;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a name or a list of names")]
    enum Names {
        One(String),
        Several(Vec<String>),
    }

    pub(crate) fn serialize<S: Serializer>(
        names: &Option<Vec<ColumnNames>>,
        s: S,
    ) -> Result<S::Ok, S::Error> {
        names.as_deref().map(ColumnNames::join).serialize(s)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        d: D,
    ) -> Result<Option<Vec<ColumnNames>>, D::Error> {
        let names = match Names::deserialize(d)? {
            Names::One(text) => text.parse().map_err(serde::de::Error::custom)?,
            Names::Several(names) => ColumnNames(names),
        };
        Ok(Some(vec![names]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_columns_are_separated_by_commas_and_quoted_as_in_csv() {
        for (text, names) in [
            ("a,b", &["a", "b"][..]),
            ("\"price, EUR\",dup", &["price, EUR", "dup"]),
            ("a, \"b,c\" ,d", &["a", "b,c", "d"]),
            ("say \"hi\"", &["say \"hi\""]),
            ("\"say \"\"a, b\"\"\"", &["say \"a, b\""]),
            (" lead,trail ", &[" lead", "trail "]),
            ("\"\"", &[""]),
        ] {
            assert_eq!(ColumnNames::join(&[text.parse().unwrap()]), names, "{text}");
        }
        for wrong in ["\"a", "\"a\"b", "a,\"b\"\""] {
            assert_eq!(wrong.parse::<ColumnNames>().unwrap_err().kind().exit_code(), 2, "{wrong}");
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
