//! What each column of a table is for, by what the user says of it.

use super::encode::suggestion;
use super::frame::Header;
use crate::error::{Error, Result};

/// What a user says of a table's columns. A column is called by its name, or by its number from 1
/// on.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ColumnOptions {
    /// The target columns; empty for the last one.
    pub target: Vec<String>,
    /// The only columns that are learnt from; empty for all but the targets.
    pub columns: Vec<String>,
    /// Columns that are left out.
    pub ignore: Vec<String>,
    /// Columns of categories, whatever they look like.
    pub categorical: Vec<String>,
    /// Columns of numbers, whatever they look like.
    pub numeric: Vec<String>,
    /// The column of the rows' weights.
    pub sample_weight: Option<String>,
    /// Columns that are read, but not learnt from, such as those that decide a split.
    pub reserved: Vec<String>,
}

/// What a column is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// To be learnt from.
    Feature,
    /// To be learnt: the target of that number.
    Target(usize),
    /// The rows' weights.
    Weight,
    /// Read, but not learnt from.
    Reserved,
    /// Left out, as the user said.
    Ignored,
}

/// What a column's values are, as the user said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    Nothing,
    Categories,
    Numbers,
}

/// The role of each column, and what was said of its values.
///
/// # Errors
/// For a name that no column has, and a column that is said to be two things.
pub(super) fn roles(header: &Header, options: &ColumnOptions) -> Result<Vec<(Role, Said)>> {
    let cols = header.names.len();
    let places = |option: &str, names: &[String]| -> Result<Vec<usize>> {
        names.iter().map(|name| place_of(header, option, name)).collect()
    };
    let targets = match options.target.is_empty() {
        true => vec![last_free(header, options)?],
        false => places("target column", &options.target)?,
    };
    for (k, place) in targets.iter().enumerate() {
        if targets[..k].contains(place) {
            let name = &header.names[*place];
            return Err(Error::usage(format!("the target {name:?} is named twice")));
        }
    }
    let chosen = places("column", &options.columns)?;
    let all = chosen.is_empty();
    let mut roles: Vec<(Role, Said)> = (0..cols)
        .map(|i| match all || chosen.contains(&i) {
            true => (Role::Feature, Said::Nothing),
            false => (Role::Ignored, Said::Nothing),
        })
        .collect();
    let mut assign = |place: usize, role: Role, option: &str| {
        let (old, _) = roles[place];
        let is_free = old == Role::Feature || old == Role::Ignored && !chosen.contains(&place);
        roles[place].0 = role;
        if is_free && !(matches!(role, Role::Target(_)) && chosen.contains(&place)) {
            return Ok(());
        }
        let name = &header.names[place];
        Err(Error::usage(format!("the column {name:?} is named twice: once by {option}"))
            .help("a column has one part to play: target, weight, or something to learn from"))
    };
    for (k, &place) in targets.iter().enumerate() {
        assign(place, Role::Target(k), "--target")?;
    }
    for place in places("column", &options.sample_weight.iter().cloned().collect::<Vec<_>>())? {
        assign(place, Role::Weight, "--sample-weight")?;
    }
    let mut ignored = Vec::new();
    for place in places("column", &options.ignore)? {
        if !ignored.contains(&place) {
            assign(place, Role::Ignored, "--ignore")?;
            ignored.push(place);
        }
    }
    for place in places("column", &options.reserved)? {
        if matches!(roles[place].0, Role::Feature | Role::Ignored) {
            roles[place].0 = Role::Reserved;
        }
    }
    let said = [(&options.categorical, Said::Categories), (&options.numeric, Said::Numbers)];
    for (names, said) in said {
        for place in places("column", names)? {
            if roles[place].1 != Said::Nothing && roles[place].1 != said {
                let name = &header.names[place];
                return Err(Error::usage(format!("the column {name:?} can't be both"))
                    .help("name it in one of --categorical and --numeric"));
            }
            roles[place].1 = said;
        }
    }
    if !roles.iter().any(|(role, _)| *role == Role::Feature) {
        return Err(Error::usage("no column is left to learn from")
            .help("name fewer columns as targets, weights or to be ignored"));
    }
    Ok(roles)
}

/// The place of the last column that isn't said to be something else.
fn last_free(header: &Header, options: &ColumnOptions) -> Result<usize> {
    let named = options.ignore.iter().chain(&options.sample_weight).chain(&options.columns);
    let named = named.chain(&options.reserved);
    let taken: Vec<usize> =
        named.map(|name| place_of(header, "column", name)).collect::<Result<_>>()?;
    let free = (0..header.names.len()).rev().find(|place| !taken.contains(place));
    free.ok_or_else(|| {
        Error::usage("no column is left to be the target").help("name it with --target")
    })
}

/// The place of a column called by its name, or by its number from 1 on.
pub(super) fn place_of(header: &Header, what: &str, name: &str) -> Result<usize> {
    let cols = header.names.len();
    if header.named
        && let Some(place) = header.place(name)
    {
        return Ok(place);
    }
    match name.parse::<usize>() {
        Ok(number) if (1..=cols).contains(&number) => return Ok(number - 1),
        _ if header.named => {}
        _ => {
            return Err(Error::usage(format!("there is no {what} {name:?}")).help(format!(
                "the data have no header: name columns by their numbers, 1 to {cols}"
            )));
        }
    }
    Err(Error::usage(format!("there is no {what} {name:?}")).help(suggestion(name, &header.names)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(names: &[&str]) -> Header {
        Header { named: true, names: strings(names), ..Header::default() }
    }

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().map(|n| n.to_string()).collect()
    }

    fn of(names: &[&str], options: &ColumnOptions) -> Result<Vec<Role>> {
        Ok(roles(&named(names), options)?.into_iter().map(|(role, _)| role).collect())
    }

    #[test]
    fn targets_are_called_by_name_or_number_and_else_are_last() {
        use Role::{Feature, Ignored, Target, Weight};
        let target =
            |names: &[&str]| ColumnOptions { target: strings(names), ..ColumnOptions::default() };
        let names = ["a", "2", "c"];
        assert_eq!(of(&names, &target(&[])).unwrap(), [Feature, Feature, Target(0)]);
        assert_eq!(of(&names, &target(&["a"])).unwrap(), [Target(0), Feature, Feature]);
        assert_eq!(of(&names, &target(&["2"])).unwrap(), [Feature, Target(0), Feature]);
        assert_eq!(of(&names, &target(&["3", "1"])).unwrap(), [Target(1), Feature, Target(0)]);
        let some = ColumnOptions {
            columns: strings(&["b", "a"]),
            sample_weight: Some("w".into()),
            ..ColumnOptions::default()
        };
        let names = ["a", "b", "c", "y", "w"];
        assert_eq!(of(&names, &some).unwrap(), [Feature, Feature, Ignored, Target(0), Weight]);
        let ignore = ColumnOptions { ignore: strings(&["w", "b"]), ..ColumnOptions::default() };
        assert_eq!(of(&names, &ignore).unwrap(), [Feature, Ignored, Feature, Target(0), Ignored]);
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_nearest_name() {
        let refusal = |options: ColumnOptions| {
            let error = of(&["median_house_value", "age", "y"], &options).unwrap_err();
            assert_eq!(error.kind().exit_code(), 2);
            error.to_string()
        };
        let none = ColumnOptions::default;
        let target = |names: &[&str]| ColumnOptions { target: strings(names), ..none() };
        assert!(
            refusal(target(&["median_house_valu"])).contains("did you mean median_house_value?")
        );
        assert!(refusal(target(&["age", "age"])).contains("twice"));
        assert!(refusal(target(&["age", "y", "1"])).contains("left to learn from"));
        let ignored = ColumnOptions { ignore: strings(&["age"]), ..target(&["age"]) };
        assert!(refusal(ignored).contains("\"age\" is named twice"));
        let both =
            ColumnOptions { numeric: strings(&["age"]), categorical: strings(&["age"]), ..none() };
        assert!(refusal(both).contains("can't be both"));
        let numbered = Header::numbered(2);
        let error = roles(&numbered, &target(&["age"])).unwrap_err().to_string();
        assert!(error.contains("by their numbers, 1 to 2"), "{error}");
    }
}
