//! Parts of a net as text, in files and on the command line.

use super::{Bias, Layer, Norm, Units};
use crate::base::error::{Error, Result, serde_as_text};
use crate::math::activation::Activation;
use std::fmt;
use std::str::FromStr;

serde_as_text!(Bias, Norm, Units);

impl fmt::Display for Units {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Units::Same(activation) => write!(f, "{activation}"),
            Units::Softmax => f.write_str("softmax"),
            Units::Each(each) => {
                for (i, run) in each.chunk_by(|a, b| a == b).enumerate() {
                    write!(f, "{}{}*{}", if i > 0 { "+" } else { "" }, run[0], run.len())?;
                }
                Ok(())
            }
        }
    }
}

impl FromStr for Units {
    type Err = Error;

    /// Reads `relu`, `softmax`, or a list over the units such as `relu*4+tanh*3+sine`.
    fn from_str(text: &str) -> Result<Self> {
        if text.trim() == "softmax" {
            return Ok(Units::Softmax);
        }
        if !text.contains(['*', '+']) {
            return text.parse().map(Units::Same);
        }
        let mut each = Vec::new();
        for part in text.split('+') {
            let (name, count) = part.split_once('*').unwrap_or((part, "1"));
            let count =
                count.trim().parse::<usize>().ok().filter(|&c| c <= 1 << 24).ok_or_else(|| {
                    Error::usage(format!("{count:?} is not a number of units"))
                        .help("write for example relu*4+tanh*4")
                })?;
            each.extend(std::iter::repeat_n(name.parse::<Activation>()?, count));
        }
        Ok(Units::Each(each))
    }
}

/// Reads hidden layers as `128:relu,64:tanh`; `default` is the activation of layers without one.
///
/// # Errors
/// For a width that isn't a number and an unknown activation.
pub fn parse_layers(text: &str, default: &Units) -> Result<Vec<Layer>> {
    if matches!(text.trim(), "" | "none") {
        return Ok(Vec::new());
    }
    let mut layers = Vec::new();
    for (l, part) in text.split(',').enumerate() {
        let (units, activation) = match part.split_once(':') {
            Some((units, activation)) => (units, activation.parse()),
            None => (part, Ok(default.clone())),
        };
        let place = |e: Error| e.at(format!("layer {} of {text:?}", l + 1));
        let units = units.trim().parse::<usize>().map_err(|_| {
            place(
                Error::usage(format!("{units:?} is not a number of units"))
                    .help("write layers as 128:relu,64:tanh"),
            )
        })?;
        layers.push(Layer::new(units, activation.map_err(place)?));
    }
    Ok(layers)
}
