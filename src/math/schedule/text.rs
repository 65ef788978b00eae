//! Schedules as text: a name, and in parentheses its parameters.

use super::{Schedule, Span};
use crate::base::error::{Error, Result, serde_as_text, unknown};
use std::fmt;
use std::str::FromStr;

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name();
        match self {
            Schedule::Constant | Schedule::Cosine | Schedule::InverseSqrt => f.write_str(name),
            Schedule::Polynomial(power) if *power == 1.0 => f.write_str("linear"),
            Schedule::Polynomial(power) => write!(f, "{name}({power})"),
            Schedule::Step { every, factor } => write!(f, "{name}({every},{factor})"),
            Schedule::Exponential { factor, every: None } => write!(f, "{name}({factor})"),
            Schedule::Exponential { factor, every: Some(every) } => {
                write!(f, "{name}({factor},{every})")
            }
            Schedule::CosineRestarts { first, mult } => write!(f, "{name}({first},{mult})"),
            Schedule::OneCycle { peak, start, end } => write!(f, "{name}({peak},{start},{end})"),
            Schedule::Plateau { factor, patience } => write!(f, "{name}({factor},{patience})"),
        }
    }
}

impl FromStr for Schedule {
    type Err = Error;

    /// Reads `cosine` or `step(0.3,0.1)`; parameters that aren't given are as in [`Schedule::ALL`].
    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        let (name, arguments) = match text.split_once('(') {
            Some((name, rest)) => (name.trim(), rest.strip_suffix(')')),
            None => (text, Some("")),
        };
        let Some(arguments) = arguments else {
            return Err(
                Error::usage(format!("{text:?} has no )")).help("write for example step(0.3,0.1)")
            );
        };
        if let Some((name, given)) = name.split_once([':', '=']) {
            return Err(Error::usage(format!("unknown schedule {text:?}"))
                .help(format!("parameters go in parentheses: write {name}({given})")));
        }
        let known = if name == "linear" {
            Some(Schedule::LINEAR)
        } else {
            Schedule::ALL.into_iter().find(|s| s.name() == name)
        };
        let mut given = Arguments {
            name,
            example: known.map_or(String::new(), |known| known.to_string()),
            rest: arguments.split(',').filter(|a| !a.is_empty()),
        };
        let schedule = match known {
            None => {
                let names: Vec<&str> =
                    Schedule::ALL.map(Schedule::name).into_iter().chain(["linear"]).collect();
                return Err(unknown("schedule", name, &names));
            }
            Some(Schedule::Polynomial(power)) if name != "linear" => {
                Schedule::Polynomial(given.next("power", power)?)
            }
            Some(Schedule::Step { every, factor }) => Schedule::Step {
                every: given.next("span", every)?,
                factor: given.next("factor", factor)?,
            },
            Some(Schedule::Exponential { factor, .. }) => Schedule::Exponential {
                factor: given.next("factor", factor)?,
                every: given.optional("span")?,
            },
            Some(Schedule::CosineRestarts { first, mult }) => Schedule::CosineRestarts {
                first: given.next("first cycle", first)?,
                mult: given.next("multiple", mult)?,
            },
            Some(Schedule::OneCycle { peak, start, end }) => Schedule::OneCycle {
                peak: given.next("peak", peak)?,
                start: given.next("first divisor", start)?,
                end: given.next("last divisor", end)?,
            },
            Some(Schedule::Plateau { factor, patience }) => Schedule::Plateau {
                factor: given.next("factor", factor)?,
                patience: given.next("patience", patience)?,
            },
            Some(other) => other,
        };
        if let Some(more) = given.rest.next() {
            return Err(Error::usage(format!("{name} takes no parameter {more}"))
                .help(format!("write for example {}", given.example)));
        }
        schedule.check().map(|()| schedule)
    }
}

/// The parameters in parentheses, in order.
struct Arguments<'a, I> {
    name: &'a str,
    /// The schedule with its defaults, as an example.
    example: String,
    rest: I,
}

impl<'a, I: Iterator<Item = &'a str>> Arguments<'_, I> {
    fn optional<T: FromStr>(&mut self, what: &str) -> Result<Option<T>> {
        let Some(text) = self.rest.next() else { return Ok(None) };
        let fault = |_| {
            Error::usage(format!("{text:?} is not a {what} of {}", self.name))
                .help(format!("write for example {}", self.example))
        };
        text.trim().parse().map(Some).map_err(fault)
    }

    fn next<T: FromStr>(&mut self, what: &str, default: T) -> Result<T> {
        Ok(self.optional(what)?.unwrap_or(default))
    }
}

impl Schedule {
    /// Refuses parameters that give no learning rate.
    ///
    /// # Errors
    /// For a factor outside of (0, 1], a power or divisor below 0 or 1, a peak outside of (0, 1), a
    /// span or multiple of 0.
    pub fn check(self) -> Result<()> {
        let is_factor = |factor: f32| factor > 0.0 && factor <= 1.0;
        let is_long = |span: Span| !matches!(span, Span::Steps(0)) && span != Span::Share(0.0);
        let fault = match self {
            Schedule::Step { factor, .. }
            | Schedule::Exponential { factor, .. }
            | Schedule::Plateau { factor, .. }
                if !is_factor(factor) =>
            {
                "a factor must be above 0 and at most 1"
            }
            Schedule::Step { every, .. }
            | Schedule::Exponential { every: Some(every), .. }
            | Schedule::CosineRestarts { first: every, .. }
                if !is_long(every) =>
            {
                "a span must be longer than 0"
            }
            Schedule::Polynomial(power) if !(power >= 0.0 && power.is_finite()) => {
                "a power must be 0 or more"
            }
            Schedule::CosineRestarts { mult: 0, .. } => "a multiple must be 1 or more",
            Schedule::OneCycle { peak, .. } if !(peak > 0.0 && peak < 1.0) => {
                "a peak must be between 0 and 1"
            }
            Schedule::OneCycle { start, end, .. }
                if !(start >= 1.0 && end >= 1.0 && start.is_finite() && end.is_finite()) =>
            {
                "a divisor must be 1 or more"
            }
            _ => return Ok(()),
        };
        Err(Error::usage(format!("the schedule {self}: {fault}")))
    }
}

serde_as_text!(Schedule);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_schedule_reads_back() {
        for schedule in Schedule::ALL.into_iter().chain([Schedule::LINEAR]) {
            assert_eq!(schedule.to_string().parse::<Schedule>().unwrap(), schedule, "{schedule}");
            assert!(schedule.name() == "polynomial" || schedule.name().parse() == Ok(schedule));
        }
        for text in [
            "step(100,0.5)",
            "step(2epochs,0.5)",
            "exponential(0.9,1epochs)",
            "linear",
            "plateau(0.1,10)",
            "one-cycle(0.25,10,100)",
        ] {
            assert_eq!(text.parse::<Schedule>().unwrap().to_string(), text);
        }
        assert_eq!("step(50)".parse::<Schedule>().unwrap().to_string(), "step(50,0.1)");
    }

    #[test]
    fn parameters_that_make_no_sense_are_refused() {
        for text in [
            "step(0)",
            "step(10,0)",
            "step(10,2)",
            "step(10,0.1,3)",
            "step(10",
            "cosine(3)",
            "linear(2)",
            "one-cycle(1)",
            "one-cycle(0.3,0.5)",
            "plateau(0.1,-1)",
            "cosine-restarts(5,0)",
            "polynomial(NaN)",
            "sawtooth",
        ] {
            assert!(text.parse::<Schedule>().is_err(), "{text}");
        }
        for (text, help) in [
            ("step(abc)", "write for example step("),
            ("step(10,x)", "write for example step("),
            ("cosine(3)", "write for example cosine"),
            ("step:abc", "write step(abc)"),
        ] {
            let error = text.parse::<Schedule>().unwrap_err().to_string();
            assert!(error.contains(help), "{error}");
        }
        let error = "polynomal".parse::<Schedule>().unwrap_err().to_string();
        assert!(error.contains("did you mean polynomial?"), "{error}");
    }
}
