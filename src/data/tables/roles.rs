//! The role of each column of a table, by the user's options.

use crate::base::error::{Error, Result, nearest};
use crate::data::MissingTarget;
use crate::data::columns::frame::{Header, places_by_name};
use std::collections::{HashMap, HashSet};

/// The user's options for a table's columns. A column is given by its name, or by its number from 1 on
/// if none has that name.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ColumnOptions {
    /// The target columns; empty for the last one.
    pub target: Vec<String>,
    /// The feature columns; empty for all except the targets.
    pub columns: Vec<String>,
    /// Columns that are ignored.
    pub ignore: Vec<String>,
    /// Columns to treat as categorical.
    pub categorical: Vec<String>,
    /// Columns to treat as numeric.
    pub numeric: Vec<String>,
    /// The column of the rows' weights.
    pub sample_weight: Option<String>,
    /// Columns that are read but aren't features, such as those that decide a split.
    pub reserved: Vec<String>,
    /// How rows with a missing target are treated.
    pub missing_target: MissingTarget,
}

impl ColumnOptions {
    /// The lists of columns.
    pub(super) fn lists(&self) -> [&Vec<String>; 6] {
        [
            &self.target,
            &self.columns,
            &self.ignore,
            &self.categorical,
            &self.numeric,
            &self.reserved,
        ]
    }
}

/// The role of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A feature.
    Feature,
    /// The target with that number.
    Target(usize),
    /// The rows' weights.
    Weight,
    /// Read, but not a feature.
    Reserved,
    /// Ignored, by the user's option.
    Ignored,
}

/// The kind of a column's values given by the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::data) enum Said {
    Nothing,
    Categories,
    Numbers,
}

/// The role of each column, and the kind given by the user.
///
/// # Errors
/// For a name that no column has, and a column with two roles.
pub(in crate::data) fn roles(
    header: &Header,
    options: &ColumnOptions,
) -> Result<Vec<(Role, Said)>> {
    let cols = header.names.len();
    let known = Places::of(header);
    let places = |option: &str, names: &[String]| known.find_all(option, names);
    let targets = match options.target.is_empty() {
        true => vec![last_free(&known, options)?],
        false => places("target column", &options.target)?,
    };
    let mut met = HashSet::new();
    for place in &targets {
        if !met.insert(place) {
            let name = &header.names[*place];
            return Err(Error::usage(format!("the target {name:?} is named twice")));
        }
    }
    let chosen: HashSet<usize> = places("column", &options.columns)?.into_iter().collect();
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
            .help("a column has only one role: target, weight or feature"))
    };
    for (k, &place) in targets.iter().enumerate() {
        assign(place, Role::Target(k), "--target")?;
    }
    for place in places("column", &options.sample_weight.iter().cloned().collect::<Vec<_>>())? {
        assign(place, Role::Weight, "--sample-weight")?;
    }
    let mut ignored = HashSet::new();
    for place in places("column", &options.ignore)? {
        if ignored.insert(place) {
            assign(place, Role::Ignored, "--ignore")?;
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
                return Err(Error::usage(format!(
                    "the column {name:?} can't be both categorical and numeric"
                ))
                .help("name it in one of --categorical and --numeric"));
            }
            roles[place].1 = said;
        }
    }
    if !roles.iter().any(|(role, _)| *role == Role::Feature) {
        return Err(Error::usage("no column is left as a feature")
            .help("name fewer columns as targets, weights or ignored columns"));
    }
    Ok(roles)
}

/// The index of the last column without another role.
fn last_free(known: &Places<'_>, options: &ColumnOptions) -> Result<usize> {
    let mut taken = HashSet::new();
    for names in [&options.ignore, &options.columns, &options.reserved] {
        taken.extend(known.find_all("column", names)?);
    }
    let weight = options.sample_weight.as_ref().map(|name| known.find("column", name));
    taken.extend(weight.transpose()?);
    let free = (0..known.header.names.len()).rev().find(|place| !taken.contains(place));
    free.ok_or_else(|| {
        Error::usage("no column is left as the target").help("name it with --target")
    })
}

/// The columns of a header, for many lookups.
struct Places<'a> {
    header: &'a Header,
    by_name: HashMap<&'a str, usize>,
    /// By their names without white space around them.
    by_trimmed: HashMap<&'a str, usize>,
}

impl<'a> Places<'a> {
    fn of(header: &'a Header) -> Self {
        let names = if header.named { &header.names[..] } else { &[] };
        let trimmed = names.iter().enumerate().rev().map(|(place, name)| (name.trim(), place));
        Places { header, by_name: places_by_name(names), by_trimmed: trimmed.collect() }
    }

    /// The column of that name, exactly or except for white space around it.
    fn name_place(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).or_else(|| self.by_trimmed.get(name.trim())).copied()
    }

    /// The column of that name, or if there is none, of that number from 1 on.
    fn place(&self, name: &str) -> Option<usize> {
        let number = || name.trim().parse::<usize>().ok()?.checked_sub(1);
        let of_number = || number().filter(|&place| place < self.header.names.len());
        self.name_place(name).or_else(of_number)
    }

    fn find(&self, what: &str, name: &str) -> Result<usize> {
        self.place(name).ok_or_else(|| {
            let cols = self.header.names.len();
            let is_number = name.trim().parse::<u64>().is_ok();
            let help = match self.header.named {
                false => {
                    format!("the data have no header: name columns by their numbers, 1 to {cols}")
                }
                true if is_number => {
                    format!("no column has this name, and as a number it must be 1 to {cols}")
                }
                true => suggestion(name, &self.header.names),
            };
            Error::usage(format!("there is no {what} {name:?}")).help(help)
        })
    }

    /// The columns in a list. An unknown name may be a part of a name with commas: then
    /// adjacent items that form the name of a column together are used as one.
    fn find_all(&self, what: &str, names: &[String]) -> Result<Vec<usize>> {
        let mut places = Vec::new();
        let mut rest = names;
        while let Some(name) = rest.first() {
            let joined = || {
                let joined = |n: usize| Some((n, self.name_place(&rest[..n].join(","))?));
                (2..=rest.len()).find_map(joined)
            };
            let (count, place) = match self.place(name).map(|place| (1, place)).or_else(joined) {
                Some(found) => found,
                None => (1, self.find(what, name)?),
            };
            places.push(place);
            rest = &rest[count..];
        }
        Ok(places)
    }
}

/// The index of one column given by its name, or if no column has that name, by its number from 1
/// on.
pub(in crate::data) fn place_of(header: &Header, what: &str, name: &str) -> Result<usize> {
    Places::of(header).find(what, name)
}

/// The indices of the columns in a list: see [`place_of`]; a name with commas may be quoted or not.
pub(in crate::data) fn places_of(
    header: &Header,
    what: &str,
    names: &[String],
) -> Result<Vec<usize>> {
    Places::of(header).find_all(what, names)
}

/// Notes about the columns in a list whose name is also the number of another column.
pub(super) fn names_like_numbers(header: &Header, names: &[String]) -> Vec<String> {
    let known = Places::of(header);
    let note = |name: &String| {
        let number = name.trim().parse::<usize>().ok()?;
        let place = known.name_place(name)?;
        let is_other = header.named && number != place + 1;
        (is_other && (1..=header.names.len()).contains(&number)).then(|| {
            format!("{name} is used as the name of column {}, not as a column number", place + 1)
        })
    };
    names.iter().filter_map(note).collect()
}

/// The nearest name, and all names.
pub(in crate::data) fn suggestion(name: &str, names: &[String]) -> String {
    let has_comma = |name: &str| name.contains(',');
    // In the form needed in a list.
    let written = |name: &str| match has_comma(name) {
        true => format!("\"{}\"", name.replace('"', "\"\"")),
        false => name.to_string(),
    };
    let hint = nearest(name, names.iter().map(String::as_str))
        .map(|n| format!("did you mean {}? ", written(n)))
        .unwrap_or_default();
    let listed = names.iter().take(20).map(|n| written(n)).collect::<Vec<_>>().join(", ");
    let more = if names.len() > 20 { ", …" } else { "" };
    let quotes = match names.iter().any(|n| has_comma(n)) {
        true => "; within a list, quote a name with a comma, as in '\"a, b\",c'",
        false => "",
    };
    format!("{hint}the columns are {listed}{more}{quotes}")
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
        assert!(refusal(target(&["age", "y", "1"])).contains("left as a feature"));
        let ignored = ColumnOptions { ignore: strings(&["age"]), ..target(&["age"]) };
        assert!(refusal(ignored).contains("\"age\" is named twice"));
        let both =
            ColumnOptions { numeric: strings(&["age"]), categorical: strings(&["age"]), ..none() };
        assert!(refusal(both).contains("can't be both"));
        let numbered = Header::numbered(2);
        let error = roles(&numbered, &target(&["age"])).unwrap_err().to_string();
        assert!(error.contains("by their numbers, 1 to 2"), "{error}");
        assert!(refusal(target(&["12"])).contains("as a number it must be 1 to 3"));
    }

    #[test]
    fn names_go_before_numbers_and_white_space_and_commas_are_found() {
        let header = named(&["price, EUR", " lead", "0", "2", "a,b,c", "say \"hi\""]);
        let of = |names: &[&str]| places_of(&header, "column", &strings(names));
        for (names, places) in [
            (&["price, EUR"][..], &[0][..]),
            (&["price", " EUR", "2"], &[0, 3]),
            (&["lead", "1"], &[1, 0]),
            (&[" 3 ", "0 "], &[2, 2]),
            (&["0", "a", "b", "c", "6"], &[2, 4, 5]),
            (&["say \"hi\""], &[5]),
        ] {
            assert_eq!(of(names).unwrap(), places, "{names:?}");
        }
        let error = of(&["price"]).unwrap_err().to_string();
        assert!(error.contains("did you mean \"price, EUR\"?"), "{error}");
        assert!(error.contains("quote a name with a comma"), "{error}");
        assert!(of(&["price", "EUR"]).is_err());
        assert_eq!(
            names_like_numbers(&header, &strings(&["2", "1", "lead", "0"])),
            ["2 is used as the name of column 4, not as a column number"]
        );
        assert_eq!(places_of(&Header::numbered(3), "column", &strings(&["2"])).unwrap(), [1]);
    }
}
