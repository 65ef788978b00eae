//! The roles of the arrays of an NPZ file, found from their names.

use crate::base::error::{Error, Result};

/// The names of features, in order of precedence.
const X: [&str; 7] = ["x", "features", "data", "images", "image", "inputs", "arr_0"];
/// The names of targets.
const Y: [&str; 7] = ["y", "labels", "label", "targets", "target", "classes", "arr_1"];
/// The names of the parts of a set.
const TRAINING: [&str; 2] = ["train", "training"];
const VALIDATION: [&str; 4] = ["val", "valid", "validation", "dev"];
const TEST: [&str; 2] = ["test", "testing"];
/// The advice if no array has such a name.
pub(super) const LOOKED_FOR: &str = "features must be called x, features, data, images, inputs or \
     arr_0, targets y, labels, targets, classes or arr_1, alone or with the name of a part: x_train \
     and y_train, val_images and val_labels, x_test and y_test";

/// The indices of the arrays of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) x: usize,
    pub(super) y: Option<usize>,
}

/// The indices of the arrays of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) training: Part,
    pub(super) validation: Option<Part>,
    pub(super) test: Option<Part>,
}

impl Layout {
    /// The layout of arrays of these names; none if no array has a name of features. Without a
    /// training part, features and targets without a part are used for training, otherwise those of the test
    /// part.
    ///
    /// # Errors
    /// When a part that is held out has only features or only targets.
    pub(super) fn of(names: &[&str]) -> Result<Option<Self>> {
        let find = |words: &[&str], parts: &[&str]| {
            let is = |name: &str, word: &str| match parts {
                [] => name == word,
                parts => parts.iter().any(|part| {
                    [format!("{word}_{part}"), format!("{part}_{word}")].iter().any(|n| n == name)
                }),
            };
            let named = |word: &&str| names.iter().position(|n| is(&plain(n), word));
            words.iter().find_map(named)
        };
        let part = |parts: &[&str]| {
            let y = find(&Y, parts);
            find(&X, parts).map(|x| Part { x, y })
        };
        let held_out = |parts: &[&str]| {
            let only = |place: usize, other: &str| {
                Err(Error::data(format!("there is an array {}, but no {other}", names[place]))
                    .help(LOOKED_FOR))
            };
            match (find(&X, parts), find(&Y, parts)) {
                (Some(x), Some(y)) => Ok(Some(Part { x, y: Some(y) })),
                (Some(x), None) => {
                    only(x, &format!("targets of this part, such as y_{}", parts[0]))
                }
                (None, Some(y)) => {
                    only(y, &format!("features of this part, such as x_{}", parts[0]))
                }
                (None, None) => Ok(None),
            }
        };
        let Some(training) = part(&TRAINING).or_else(|| part(&[])) else {
            return Ok(part(&TEST).map(|training| Layout {
                training,
                validation: None,
                test: None,
            }));
        };
        Ok(Some(Layout { training, validation: held_out(&VALIDATION)?, test: held_out(&TEST)? }))
    }
}

/// A name in lower case, its words joined by underscores.
fn plain(name: &str) -> String {
    name.to_lowercase().replace(['-', '.', ' '], "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(names: &str) -> Option<Layout> {
        Layout::of(&names.split(' ').collect::<Vec<_>>()).unwrap()
    }

    fn part(x: usize, y: usize) -> Part {
        Part { x, y: Some(y) }
    }

    #[test]
    fn the_names_of_keras_medmnist_and_savez_are_known() {
        let only = |training| Some(Layout { training, validation: None, test: None });
        for names in
            ["x y", "X y", "images labels", "arr_0 arr_1", "features targets", "data Label"]
        {
            assert_eq!(of(names), only(part(0, 1)), "{names}");
        }
        assert_eq!(of("label data"), only(part(1, 0)));
        assert_eq!(of("x_test y_test"), only(part(0, 1)), "nothing else is there");
        assert_eq!(of("x id"), only(Part { x: 0, y: None }));
        let keras = Layout { training: part(0, 1), validation: None, test: Some(part(2, 3)) };
        assert_eq!(of("x_train y_train x_test y_test"), Some(keras));
        assert_eq!(of("X-train y-train X-test y-test"), Some(keras));
        let all = Layout { validation: Some(part(4, 5)), ..keras };
        for val in ["val", "valid", "validation"] {
            let names = "train_images train_labels test_images test_labels";
            assert_eq!(of(&format!("{names} {val}_images {val}_labels")), Some(all), "{val}");
        }
        assert_eq!(of("pictures kinds"), None);
    }

    #[test]
    fn half_of_a_held_out_part_is_refused_with_its_names() {
        let error = |names: &[&str]| Layout::of(names).unwrap_err().to_string();
        let found = error(&["x", "y", "x_test"]);
        assert!(found.contains("array x_test, but no targets"), "{found}");
        assert!(found.contains("such as y_test"), "{found}");
        let found = error(&["train_images", "train_labels", "val_labels"]);
        assert!(found.contains("array val_labels, but no features"), "{found}");
    }
}
