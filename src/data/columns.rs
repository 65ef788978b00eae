//! Which columns of a table are features and which are targets.

use super::target::{is_missing, number};
use crate::error::{Error, Result, nearest};
use serde::{Deserialize, Serialize};

/// The columns of a table, as a model remembers them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Columns {
    /// Whether the names stood in a header; else they are the numbers from 1 on.
    pub header: bool,
    /// The names of all columns in the order of the file.
    pub names: Vec<String>,
    /// The places in `names` of the targets, in the order of the outputs.
    pub targets: Vec<usize>,
}

impl Columns {
    /// The names of the feature columns, in the order of the inputs.
    pub fn features(&self) -> impl Iterator<Item = &str> {
        let is_feature = |(i, _): &(usize, &String)| !self.targets.contains(i);
        self.names.iter().enumerate().filter(is_feature).map(|(_, name)| name.as_str())
    }

    /// The names of the target columns, in the order of the outputs.
    pub fn target_names(&self) -> impl Iterator<Item = &str> {
        self.targets.iter().filter_map(|&i| self.names.get(i)).map(String::as_str)
    }

    /// A column for a message: its number, and its name where it has one.
    pub(super) fn describe(&self, place: usize) -> String {
        match self.names.get(place) {
            Some(name) if self.header => format!("column {} ({name})", place + 1),
            _ => format!("column {}", place + 1),
        }
    }
}

/// What a trained model expects of the data that it is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// The number of features.
    pub features: usize,
    /// The number of outputs.
    pub outputs: usize,
    /// The classes in the order of the outputs; none if the outputs are numbers.
    pub classes: Option<Vec<String>>,
    /// The columns of the table that it was trained on, if it was one.
    pub columns: Option<Columns>,
}

impl Expected {
    fn target_columns(&self) -> usize {
        if self.classes.is_some() { 1 } else { self.outputs }
    }

    /// The names of the columns, where the model was trained on a table with a header.
    fn named(&self) -> Option<&Columns> {
        self.columns.as_ref().filter(|c| c.header)
    }
}

/// What a column of a file is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Feature of that number.
    Feature(usize),
    /// Target of that number.
    Target(usize),
    /// Nothing.
    Ignored,
}

/// The role of each column of a file.
pub(super) fn roles(
    columns: &Columns,
    target: &[String],
    expected: Option<&Expected>,
) -> Result<Vec<Role>> {
    let cols = columns.names.len();
    let Some(expected) = expected else {
        let targets = chosen(columns, target)?.unwrap_or_else(|| vec![cols - 1]);
        return Ok(features_beside(cols, &targets));
    };
    if let Some(trained) = expected.named().filter(|_| columns.header) {
        return by_name(columns, target, trained);
    }
    let targets = expected.target_columns();
    if cols == expected.features {
        return Ok(features_beside(cols, &[]));
    }
    if cols == expected.features + targets {
        let trained = expected.columns.as_ref().map(|c| c.targets.clone());
        let is_distinct = |t: &[usize]| (1..t.len()).all(|i| !t[..i].contains(&t[i]));
        let trained =
            trained.filter(|t| t.len() == targets && t.iter().all(|&i| i < cols) && is_distinct(t));
        let last = || (expected.features..cols).collect();
        let targets = chosen(columns, target)?.or(trained).unwrap_or_else(last);
        return Ok(features_beside(cols, &targets));
    }
    Err(Error::data(format!(
        "{cols} columns, but the model takes {} features{}",
        expected.features,
        match targets {
            1 => ", or one column more with the target".to_string(),
            n => format!(", or {n} columns more with the targets"),
        }
    ))
    .help("give the columns that the model was trained on, in the same order"))
}

/// The places of the targets that the user named, if any.
fn chosen(columns: &Columns, target: &[String]) -> Result<Option<Vec<usize>>> {
    if target.is_empty() {
        return Ok(None);
    }
    let mut places = Vec::new();
    for name in target {
        let place = place_of(columns, name)?;
        if places.contains(&place) {
            return Err(Error::usage(format!("the target {name:?} is named twice")));
        }
        places.push(place);
    }
    if places.len() == columns.names.len() {
        return Err(Error::usage("every column is a target, and none is left to learn from")
            .help("name fewer targets"));
    }
    Ok(Some(places))
}

/// The place of a column called by its name, or by its number from 1 on.
fn place_of(columns: &Columns, name: &str) -> Result<usize> {
    let cols = columns.names.len();
    if columns.header
        && let Some(place) = columns.names.iter().position(|n| n == name)
    {
        return Ok(place);
    }
    match name.parse::<usize>() {
        Ok(number) if (1..=cols).contains(&number) => return Ok(number - 1),
        _ if columns.header => {}
        _ => {
            return Err(Error::usage(format!("there is no target column {name:?}")).help(format!(
                "the file has no header: name the target by its number, 1 to {cols}"
            )));
        }
    }
    Err(Error::usage(format!("there is no target column {name:?}"))
        .help(suggestion(name, &columns.names)))
}

/// The nearest name, and the ones there are.
fn suggestion(name: &str, names: &[String]) -> String {
    let hint = nearest(name, names.iter().map(String::as_str))
        .map(|n| format!("did you mean {n}? "))
        .unwrap_or_default();
    let listed = names.iter().take(20).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = if names.len() > 20 { ", …" } else { "" };
    format!("{hint}the columns are {listed}{more}")
}

/// Roles by the names in the header: other columns, and any order, change nothing.
fn by_name(columns: &Columns, target: &[String], trained: &Columns) -> Result<Vec<Role>> {
    let find = |name: &str| columns.names.iter().position(|n| n == name);
    let mut roles = vec![Role::Ignored; columns.names.len()];
    for (k, name) in trained.features().enumerate() {
        let place = find(name).ok_or_else(|| {
            Error::data(format!("the column {name:?}, which the model needs, is missing"))
                .help(suggestion(name, &columns.names))
        })?;
        if roles[place] != Role::Ignored {
            return Err(Error::data(format!("the model has two features called {name:?}"))
                .help("its file was changed: train it again"));
        }
        roles[place] = Role::Feature(k);
    }
    let targets = match chosen(columns, target)? {
        Some(places) => Some(places),
        None => trained.target_names().map(find).collect::<Option<Vec<_>>>(),
    };
    for (k, place) in targets.into_iter().flatten().enumerate() {
        if roles[place] != Role::Ignored {
            return Err(Error::usage(format!(
                "the target {:?} is one of the model's features",
                columns.names[place]
            )));
        }
        roles[place] = Role::Target(k);
    }
    Ok(roles)
}

/// Targets at those places, features everywhere else.
fn features_beside(cols: usize, targets: &[usize]) -> Vec<Role> {
    let mut features = 0..;
    (0..cols)
        .map(|place| match targets.iter().position(|&t| t == place) {
            Some(k) => Role::Target(k),
            None => features.next().map_or(Role::Ignored, Role::Feature),
        })
        .collect()
}

/// Whether the first row of a file names the columns.
///
/// It does if a feature cell in it is text. Where only the target is text, it names the column if
/// the next row has a number there, or four features or more are called 0, 1, 2… or 1, 2, 3…;
/// else it is the class of the first row.
pub(super) fn is_header(
    first: &[&[u8]],
    second: Option<&[&[u8]]>,
    target: &[String],
    expected: Option<&Expected>,
) -> bool {
    let is_text = |cell: &[u8]| !is_missing(cell) && not_even_infinite(cell);
    let text: Vec<usize> = (0..first.len()).filter(|&i| is_text(first[i])).collect();
    let Some(targets) = likely_targets(first.len(), target, expected) else { return true };
    if text.is_empty() || text.iter().any(|i| !targets.contains(i)) {
        return !text.is_empty();
    }
    let numbers_follow = second
        .is_some_and(|row| text.iter().all(|&i| row.get(i).is_some_and(|cell| !is_text(cell))));
    let features: Vec<&[u8]> =
        (0..first.len()).filter(|i| !targets.contains(i)).map(|i| first[i]).collect();
    let counts_from = |start: usize| {
        features.len() > 3
            && features.iter().zip(start..).all(|(cell, n)| *cell == n.to_string().as_bytes())
    };
    numbers_follow || counts_from(0) || counts_from(1)
}

/// Whether a cell isn't written as a number; `inf` is, though it can't be learnt from.
fn not_even_infinite(cell: &[u8]) -> bool {
    number(cell).is_err()
        && std::str::from_utf8(cell).is_ok_and(|t| t.trim().parse::<f32>().is_err())
}

/// Where the targets are before the header is known; none if they are named, as a header does.
fn likely_targets(
    cols: usize,
    target: &[String],
    expected: Option<&Expected>,
) -> Option<Vec<usize>> {
    match expected {
        Some(e) if cols == e.features => return Some(Vec::new()),
        Some(Expected { columns: Some(c), .. }) if target.is_empty() => {
            return Some(c.targets.clone());
        }
        _ => {}
    }
    if target.is_empty() {
        return Some(vec![cols.saturating_sub(1)]);
    }
    let number = |name: &String| name.parse().ok().filter(|n| (1..=cols).contains(n));
    target.iter().map(|name| number(name).map(|n| n - 1)).collect()
}

#[cfg(test)]
mod tests {
    use super::Role::{Feature, Ignored, Target};
    use super::*;

    fn named(names: &[&str]) -> Columns {
        let names = names.iter().map(|n| n.to_string()).collect();
        Columns { header: true, names, targets: Vec::new() }
    }

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().map(|n| n.to_string()).collect()
    }

    fn header(first: &[&str], second: &[&str], target: &[&str]) -> bool {
        let [first, second] =
            [first, second].map(|row| row.iter().map(|c| c.as_bytes()).collect::<Vec<_>>());
        is_header(&first, Some(&second), &strings(target), None)
    }

    #[test]
    fn a_header_is_told_from_a_first_row_of_data() {
        assert!(header(&["a", "b"], &["1", "2"], &[]));
        assert!(!header(&["1", "2"], &["1", "2"], &[]));
        assert!(!header(&["5.1", "setosa"], &["4.9", "setosa"], &[]), "a class in the last column");
        assert!(!header(&["setosa", "5.1"], &["setosa", "4.9"], &["1"]));
        assert!(header(&["7", "label"], &["4.9", "1"], &[]), "a number follows");
        assert!(
            header(&["0", "1", "2", "3", "is"], &["5", "4", "1", "0", "cat"], &[]),
            "counted names"
        );
        assert!(!header(&["", "2", "3"], &["1", "2", "3"], &[]), "a missing value is no name");
        assert!(!header(&["inf", "2"], &["1", "2"], &[]));
        assert!(header(&["1", "2"], &["1", "2"], &["price"]), "the target is named");
    }

    #[test]
    fn targets_are_called_by_name_or_number_and_else_are_last() {
        let columns = named(&["a", "2", "c"]);
        let of = |target: &[&str]| roles(&columns, &strings(target), None).unwrap();
        assert_eq!(of(&[]), [Feature(0), Feature(1), Target(0)]);
        assert_eq!(of(&["a"]), [Target(0), Feature(0), Feature(1)]);
        assert_eq!(of(&["2"]), [Feature(0), Target(0), Feature(1)]);
        assert_eq!(of(&["3", "1"]), [Target(1), Feature(0), Target(0)]);
    }

    #[test]
    fn an_unknown_target_is_answered_with_the_nearest_name() {
        let columns = named(&["median_house_value", "age"]);
        let error = roles(&columns, &strings(&["median_house_valu"]), None).unwrap_err();
        assert_eq!(error.kind().exit_code(), 2);
        assert!(error.to_string().contains("did you mean median_house_value?"), "{error}");
        assert!(roles(&columns, &strings(&["age", "age"]), None).is_err());
        assert!(roles(&columns, &strings(&["age", "1"]), None).is_err(), "nothing left");
        let numbered = Columns { header: false, ..named(&["1", "2"]) };
        let error = roles(&numbered, &strings(&["age"]), None).unwrap_err().to_string();
        assert!(error.contains("by its number, 1 to 2"), "{error}");
    }

    #[test]
    fn a_trained_model_finds_its_columns_by_name_in_any_order() {
        let trained = Columns { targets: vec![1], ..named(&["a", "y", "b"]) };
        let expected =
            Expected { features: 2, outputs: 1, classes: None, columns: Some(trained.clone()) };
        let of = |names: &[&str]| roles(&named(names), &[], Some(&expected));
        assert_eq!(of(&["b", "id", "a"]).unwrap(), [Feature(1), Ignored, Feature(0)]);
        assert_eq!(of(&["y", "b", "a"]).unwrap(), [Target(0), Feature(1), Feature(0)]);
        let error = of(&["a", "y", "c"]).unwrap_err().to_string();
        assert!(error.contains("column \"b\", which the model needs, is missing"), "{error}");
        assert_eq!(trained.features().collect::<Vec<_>>(), ["a", "b"]);
        let twice = Expected { columns: Some(named(&["a", "a"])), ..expected.clone() };
        assert!(roles(&named(&["a", "b"]), &[], Some(&twice)).is_err());
        assert_eq!(trained.target_names().collect::<Vec<_>>(), ["y"]);
    }

    #[test]
    fn without_names_the_number_of_columns_tells_whether_the_target_is_there() {
        let trained = Columns { header: false, targets: vec![0], ..named(&["1", "2", "3"]) };
        let expected = Expected { features: 2, outputs: 1, classes: None, columns: Some(trained) };
        let of = |names: &[&str]| roles(&named(names), &[], Some(&expected));
        assert_eq!(of(&["a", "b"]).unwrap(), [Feature(0), Feature(1)]);
        assert_eq!(of(&["y", "a", "b"]).unwrap(), [Target(0), Feature(0), Feature(1)]);
        let twice = Columns { header: false, targets: vec![0, 0], ..named(&["1", "2", "3"]) };
        let changed = Expected { outputs: 2, features: 1, columns: Some(twice), classes: None };
        let roles = roles(&named(&["a", "b", "c"]), &[], Some(&changed)).unwrap();
        assert_eq!(roles, [Feature(0), Target(0), Target(1)]);
        let error = of(&["a", "b", "c", "d"]).unwrap_err().to_string();
        assert!(error.contains("4 columns, but the model takes 2 features"), "{error}");
    }
}
