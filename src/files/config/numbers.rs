//! Parsers of numbers as values of options; errors give an example.

use crate::base::error::{Error, Result};
use std::str::FromStr;

/// A parser of whole numbers, 0 or more.
pub fn whole(example: &'static str) -> impl Fn(&str) -> Result<usize> + Clone {
    move |text| parse_whole(text, example)
}

/// A parser of numbers in single precision.
pub fn number(example: &'static str) -> impl Fn(&str) -> Result<f32> + Clone {
    move |text| parse_number(text, example)
}

/// A parser of numbers in double precision.
pub fn double(example: &'static str) -> impl Fn(&str) -> Result<f64> + Clone {
    move |text| parse_number(text, example)
}

/// Reads a seed: a whole number below 2⁶³, the range of TOML.
pub fn seed(text: &str) -> Result<u64> {
    let seed: u64 = parse_whole(text, "42")?;
    match i64::try_from(seed) {
        Ok(_) => Ok(seed),
        Err(_) => Err(Error::usage(format!("the seed {text:?} is too large"))
            .help("write a whole number below 2^63, for example 42")),
    }
}

fn parse_whole<T: FromStr>(text: &str, example: &str) -> Result<T> {
    text.trim().parse().map_err(|_| {
        let is_whole = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let what = if is_whole { "too large" } else { "not a whole number of 0 or more" };
        Error::usage(format!("{text:?} is {what}")).help(format!("write for example {example}"))
    })
}

fn parse_number<T: FromStr>(text: &str, example: &str) -> Result<T> {
    text.trim().parse().map_err(|_| {
        Error::usage(format!("{text:?} is not a number"))
            .help(format!("write for example {example}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_is_refused_with_an_example() {
        assert_eq!(whole("10")(" 12 "), Ok(12usize));
        assert_eq!(number("0.1")("1e-3"), Ok(1e-3f32));
        assert_eq!((seed("7"), seed(&u64::MAX.to_string()).is_err()), (Ok(7), true));
        for (text, what) in [
            ("ten", "\"ten\" is not a whole number of 0 or more"),
            ("", "\"\" is not a whole number of 0 or more"),
            ("-1", "\"-1\" is not a whole number of 0 or more"),
            ("1.5", "\"1.5\" is not a whole number of 0 or more"),
            ("99999999999999999999", "is too large"),
        ] {
            let error = whole("10")(text).unwrap_err().to_string();
            assert!(
                error.contains(what) && error.contains("help: write for example 10"),
                "{error}"
            );
        }
        assert!(number("0.1")("x").unwrap_err().to_string().contains("\"x\" is not a number"));
    }
}
