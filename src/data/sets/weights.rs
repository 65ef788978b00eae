//! The weights of rows.
//!
//! The loss of row i and its gradient are multiplied by w_i, whose mean over the training rows is
//! normalized to 1 ([`Preprocessing::samples`](crate::data::Preprocessing::samples)): with a full batch, the
//! mean loss is Σ w_i E_i / Σ w_i, as in PyTorch's and scikit-learn's weighted losses, and weights that are
//! whole numbers have the same effect as repeating the rows. Class weights are for training rows; held-out rows
//! are only weighted by a column of weights, as in scikit-learn.

use crate::base::error::{Error, Result, nearest, serde_as_text};
use crate::data::Targets;
use std::fmt;
use std::str::FromStr;

/// The weights of the classes.
#[derive(Debug, Clone, PartialEq)]
pub enum ClassWeight {
    /// Equal weight for all classes: rows / (classes · rows of the class).
    Balanced,
    /// The given weights; 1 for other classes.
    Given(Vec<(String, f32)>),
}

impl ClassWeight {
    /// The weight of each class of these targets, by its rows.
    ///
    /// # Errors
    /// When the targets aren't classes, or a given class isn't among them.
    pub fn of_classes(&self, targets: &Targets) -> Result<Vec<f32>> {
        let Targets::Classes { labels, names } = targets else {
            return Err(Error::usage("--class-weight needs a target of classes")
                .help("give weights for rows with --sample-weight, a column of the data"));
        };
        let mut counts = vec![0; names.len()];
        labels.iter().for_each(|&label| counts[label as usize] += 1);
        self.of_counts(names, &counts)
    }

    /// The weight of each class with these names and numbers of rows.
    ///
    /// # Errors
    /// When a given class isn't among them.
    pub fn of_counts(&self, names: &[String], counts: &[usize]) -> Result<Vec<f32>> {
        Ok(match self {
            ClassWeight::Balanced => {
                let share = counts.iter().sum::<usize>() as f64 / names.len() as f64;
                counts.iter().map(|&n| (share / n.max(1) as f64) as f32).collect()
            }
            ClassWeight::Given(given) => {
                let mut weights = vec![1.0; names.len()];
                for (name, weight) in given {
                    let place = names.iter().position(|n| n == name).ok_or_else(|| {
                        let hint = nearest(name, names.iter().map(String::as_str))
                            .map(|n| format!("did you mean {n}? "))
                            .unwrap_or_default();
                        let listed: Vec<&str> = names.iter().take(20).map(String::as_str).collect();
                        Error::usage(format!("--class-weight: there is no class {name:?}"))
                            .help(format!("{hint}the classes are {}", listed.join(", ")))
                    })?;
                    weights[place] = *weight;
                }
                weights
            }
        })
    }
}

impl fmt::Display for ClassWeight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClassWeight::Balanced => f.write_str("balanced"),
            ClassWeight::Given(given) => {
                let parts: Vec<String> = given.iter().map(|(c, w)| format!("{c}={w}")).collect();
                f.write_str(&parts.join(","))
            }
        }
    }
}

impl FromStr for ClassWeight {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text == "balanced" {
            return Ok(ClassWeight::Balanced);
        }
        let help = "write balanced, or for example yes=3,no=1";
        let part = |part: &str| {
            let (class, weight) = part
                .rsplit_once('=')
                .ok_or_else(|| Error::usage(format!("{part:?} is not CLASS=WEIGHT")).help(help))?;
            match weight.trim().parse::<f32>() {
                Ok(weight) if weight.is_finite() && weight >= 0.0 => {
                    Ok((class.trim().to_string(), weight))
                }
                _ => Err(Error::usage(format!("{weight:?} is not a weight")).help(help)),
            }
        };
        let given: Vec<(String, f32)> = text.split(',').map(part).collect::<Result<_>>()?;
        for (i, (class, _)) in given.iter().enumerate() {
            if given[..i].iter().any(|(before, _)| before == class) {
                return Err(Error::usage(format!("the class {class:?} has two weights"))
                    .help("give each class one weight"));
            }
        }
        Ok(ClassWeight::Given(given))
    }
}

serde_as_text!(ClassWeight);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn balanced_classes_count_alike_and_one_on_average() {
        let names = vec!["no".to_string(), "yes".to_string()];
        let targets = Targets::Classes { labels: vec![0, 0, 0, 1], names };
        assert_eq!(ClassWeight::Balanced.of_classes(&targets).unwrap(), [2.0 / 3.0, 2.0]);
        let given: ClassWeight = "yes=3".parse().unwrap();
        assert_eq!(given.of_classes(&targets).unwrap(), [1.0, 3.0]);
        assert_eq!(given.to_string().parse::<ClassWeight>().unwrap(), given);
        let error = "yess=3".parse::<ClassWeight>().unwrap().of_classes(&targets).unwrap_err();
        assert!(error.to_string().contains("did you mean yes?"), "{error}");
        for text in ["yes", "a=-1", "yes=3,no=1,yes=4", "yes=3, yes=3"] {
            assert!(text.parse::<ClassWeight>().is_err(), "{text}");
        }
    }
}
