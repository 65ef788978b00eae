//! Numbers as values of options: what isn't one is refused with an example of one.

use crate::base::error::{Error, Result};
use std::str::FromStr;

/// A reader of whole numbers from 0 on.
pub fn whole(example: &'static str) -> impl Fn(&str) -> Result<usize> + Clone {
    move |text| parse_whole(text, example)
}

/// A reader of numbers in single precision.
pub fn number(example: &'static str) -> impl Fn(&str) -> Result<f32> + Clone {
    move |text| parse_number(text, example)
}

/// A reader of numbers in double precision.
pub fn double(example: &'static str) -> impl Fn(&str) -> Result<f64> + Clone {
    move |text| parse_number(text, example)
}

/// Reads a seed: a whole number below 2⁶³, as TOML has them.
pub fn seed(text: &str) -> Result<u64> {
    let seed: u64 = parse_whole(text, "42")?;
    match i64::try_from(seed) {
        Ok(_) => Ok(seed),
        Err(_) => Err(Error::usage(format!("{text:?} is too large a seed"))
            .help("write a whole number below 2^63, for example 42")),
    }
}

fn parse_whole<T: FromStr>(text: &str, example: &str) -> Result<T> {
    text.trim().parse().map_err(|_| {
        let is_whole = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let what = if is_whole { "too large a number" } else { "no whole number from 0 on" };
        Error::usage(format!("{text:?} is {what}")).help(format!("write for example {example}"))
    })
}

fn parse_number<T: FromStr>(text: &str, example: &str) -> Result<T> {
    text.trim().parse().map_err(|_| {
        Error::usage(format!("{text:?} is no number")).help(format!("write for example {example}"))
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
            ("ten", "\"ten\" is no whole number from 0 on"),
            ("", "\"\" is no whole number from 0 on"),
            ("-1", "\"-1\" is no whole number from 0 on"),
            ("1.5", "\"1.5\" is no whole number from 0 on"),
            ("99999999999999999999", "is too large a number"),
        ] {
            let error = whole("10")(text).unwrap_err().to_string();
            assert!(
                error.contains(what) && error.contains("help: write for example 10"),
                "{error}"
            );
        }
        assert!(number("0.1")("x").unwrap_err().to_string().contains("\"x\" is no number"));
    }
}
