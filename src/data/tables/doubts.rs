//! Warnings about columns for which a guess could be wrong.

use super::column::Column;
use crate::base::words::count;
use crate::data::Role;
use crate::data::columns::frame::{Frame, Values, number_text};
use crate::data::columns::kind::{Kind, counted};
use crate::data::columns::missing::is_word;
use crate::data::columns::texts::Texts;
use crate::data::columns::time::{self, Dates};
#[cfg(feature = "data")]
use crate::data::formats::delimited::is_number;
use std::cmp::Reverse;
use std::collections::HashSet;

/// Columns with up to this number of categories are probably categorical.
const FEW: usize = 20;
/// The number of a column's texts that are named.
const NAMED: usize = 3;

/// A sentence for each warning about a column.
pub(in crate::data) fn of(column: &Column, values: Option<&Values>) -> Vec<String> {
    let (Some(values), Some(kind)) = (values, column.kind) else { return Vec::new() };
    let name = &column.name;
    let mut all = Vec::new();
    match (column.role, values) {
        (Role::Feature | Role::Target(_), Values::Bytes(_) | Values::Numbers(_))
            if kind == Kind::Number =>
        {
            all.extend(sentinel(values).map(|found| found.warning(name)));
        }
        (Role::Target(_), Values::Texts(texts)) => all.extend(class_words(name, texts)),
        (Role::Feature, Values::Texts(texts)) => match (kind, &column.dates) {
            (Kind::Time, Some(dates)) => all.extend(of_dates(name, texts, dates)),
            (Kind::Text, _) => all.extend(in_the_way(name, texts, "left out")),
            (Kind::Category, _) if texts.words.len() > FEW => {
                all.extend(in_the_way(name, texts, "used as categories"));
            }
            _ => {}
        },
        _ => {}
    }
    all
}

/// The texts that were read as missing values and may be something else, in the columns that are read.
pub(in crate::data) fn of_marks(frame: &Frame, columns: &[Column]) -> Option<String> {
    let is_read = |place: usize| columns.get(place).is_some_and(|c| c.role != Role::Ignored);
    let mut found: Vec<(&str, &String, usize)> = Vec::new();
    for ((place, text), &cells) in frame.marks.iter().filter(|((place, _), _)| is_read(*place)) {
        found.push((&columns[*place].name, text, cells));
    }
    found.sort_by_key(|(.., cells)| Reverse(*cells));
    let named = |(name, text, cells): &(&str, &String, usize)| {
        format!("{text:?} in {name} ({})", count(*cells, "cell"))
    };
    let list: Vec<String> = found.iter().take(NAMED).map(named).collect();
    let more = match found.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    (!list.is_empty()).then(|| format!("read as missing values: {}{more}", list.join(", ")))
}

/// A number that is probably a mark of missing values.
#[derive(Debug, PartialEq)]
struct Sentinel {
    value: f64,
    rows: usize,
}

impl Sentinel {
    fn warning(&self, name: &str) -> String {
        let value = number_text(self.value);
        let rows = rows(self.rows);
        format!(
            "column {name}: {value} ({rows}) stands out from all other values, like a missing-value marker: if it is one, use --missing {value}"
        )
    }
}

/// The smallest or largest number of a column if it looks like a mark of missing values,
/// such as −999 or 1e30, and is far from all others: by three times their interquartile range.
fn sentinel(values: &Values) -> Option<Sentinel> {
    let (least, most) = range(values);
    let value = [least, most].into_iter().find(|&x| is_sentinel(x))?;
    let present = (0..values.len()).map(|row| values.number(row)).filter(|x| !x.is_nan());
    let mut others: Vec<f64> = present.filter(|&x| x != value).collect();
    let rows = values.present() - others.len();
    if others.len() < 8 || rows > others.len() {
        return None;
    }
    others.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| others[(share * (others.len() - 1) as f64) as usize];
    let (first, last) = (others[0], others[others.len() - 1]);
    let gap = if value < first { first - value } else { value - last };
    (gap > 3.0 * (at(0.75) - at(0.25)) && gap > 0.0).then_some(Sentinel { value, rows })
}

/// The smallest and the largest number of a column. Comparisons with missing values are false.
fn range(values: &Values) -> (f64, f64) {
    match values {
        Values::Bytes(v) => {
            let (least, most) = v.iter().fold((255, 0), |(a, b), &x| (x.min(a), x.max(b)));
            (f64::from(least), f64::from(most))
        }
        Values::Numbers(v) | Values::Times(v) => {
            v.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), &x| {
                (if x < a { x } else { a }, if x > b { x } else { b })
            })
        }
        Values::Texts(_) => (f64::NAN, f64::NAN),
    }
}

/// Whether a number consists of nines, is an extreme power of ten, or the smallest or
/// largest integer of some width.
fn is_sentinel(x: f64) -> bool {
    let size = x.abs();
    let are_nines = [99.0, 999.0, 9999.0, 99_999.0, 999_999.0, 9_999_999.0, 99_999_999.0];
    let is_power = size >= 1e20 && (size.log10() - size.log10().round()).abs() < 1e-12;
    let limits = [-32_768.0, 32_767.0, -2_147_483_648.0, 2_147_483_647.0];
    are_nines.contains(&size) || is_power || limits.contains(&x)
}

fn of_dates(name: &str, texts: &Texts, dates: &Dates) -> Vec<String> {
    let mut all = Vec::new();
    let form = time::spelt(&dates.format);
    if let Some(rival) = dates.rival {
        let mut words = counted(texts).map(|(word, _)| word);
        let differs =
            |word: &&str| time::seconds(word, &dates.format) != time::seconds(word, rival);
        let example = words.find(differs).unwrap_or_default();
        all.push(format!(
            "column {name}: {example} and all other dates fit both {form} and {}: {form} is used, \
             --date-format {} selects the other",
            time::spelt(rival),
            time::spelt(rival)
        ));
    }
    let strays: HashSet<&str> = dates.strays.iter().map(String::as_str).collect();
    let strays: Vec<_> = counted(texts).filter(|(word, _)| strays.contains(word)).collect();
    let total = strays.iter().map(|(_, rows)| rows).sum();
    if let Some(list) = listed(strays.into_iter()) {
        all.push(format!(
            "column {name}: {} without a date of the format {form}, read as missing: {list}",
            rows(total)
        ));
    }
    let is_far = |word: &str| time::seconds(word, &dates.format).is_some_and(time::is_far_future);
    if let Some((word, count)) = counted(texts).find(|(word, _)| is_far(word)) {
        all.push(format!(
            "column {name}: {word} ({}) looks like a marker of missing dates: use --missing {word:?} if it is one",
            rows(count)
        ));
    }
    all
}

/// Texts of a target that are classes, although they mean missing values elsewhere.
fn class_words(name: &str, texts: &Texts) -> Option<String> {
    let words = counted(texts).filter(|(word, _)| is_word(word.as_bytes()));
    let list = listed(words.clone())?;
    let example = words.map(|(word, _)| word).next().unwrap_or_default();
    Some(format!(
        "column {name}: {list} is used as a class: if it means that the target is missing, use --missing \
         {example}"
    ))
}

/// A column of texts most of which are numbers, or dates.
fn in_the_way(name: &str, texts: &Texts, what: &str) -> Option<String> {
    let is_date = |word: &str| time::seconds_in_any(word, |_| true).is_some();
    let all: usize = counted(texts).map(|(_, rows)| rows).sum();
    let shares = [
        ("numbers", counted(texts).filter(|(w, _)| is_number(w)).map(|(_, n)| n).sum::<usize>()),
        ("dates or times", counted(texts).filter(|(w, _)| is_date(w)).map(|(_, n)| n).sum()),
    ];
    let (kind, most) = shares.into_iter().max_by_key(|(_, rows)| *rows)?;
    if 2 * most < all {
        return None;
    }
    if most == all && kind == "numbers" {
        // Whole numbers that f64 would round are identifiers.
        let is_wide = texts.words.iter().all(|word| word.parse::<i128>().is_ok());
        return (!is_wide).then(|| {
            format!(
                "column {name} is {what}, but its values are numbers written as text: use --numeric {name} to \
                 read them as numbers, without --decimal and --thousands if they are written as 1234.5"
            )
        });
    }
    let share = 100.0 * most as f64 / all as f64;
    let others = counted(texts).filter(|(word, _)| match kind {
        "numbers" => !is_number(word),
        _ => !is_date(word),
    });
    let example = others.clone().map(|(word, _)| word).next().unwrap_or_default().to_string();
    Some(match listed(others) {
        Some(list) => format!(
            "column {name} is {what}, but {share:.0}% of its values are {kind}; the others are {list}: \
             use --missing {example:?} if such a value is missing, or --ignore {name} to leave the column \
             out"
        ),
        None => format!(
            "column {name} is {what}: its values are {kind}, but in several formats; set the format with \
             --date-format"
        ),
    })
}

/// The most frequent of some texts with their rows; none if there are none.
fn listed<'a>(words: impl Iterator<Item = (&'a str, usize)>) -> Option<String> {
    let mut words: Vec<(&str, usize)> = words.collect();
    words.sort_by_key(|(_, rows)| Reverse(*rows));
    let named: Vec<String> = words
        .iter()
        .take(NAMED)
        .map(|(word, count)| {
            let short: String = word.chars().take(40).collect();
            format!("{short:?} ({})", rows(*count))
        })
        .collect();
    let more = words.len().saturating_sub(NAMED);
    match (named.is_empty(), more) {
        (true, _) => None,
        (_, 0) => Some(named.join(", ")),
        (_, more) => Some(format!("{} and {more} more", named.join(", "))),
    }
}

fn rows(number: usize) -> String {
    count(number, "row")
}

/// Whether a text is a number in any form that is read from files.
#[cfg(not(feature = "data"))]
fn is_number(text: &str) -> bool {
    text.trim().parse::<f64>().is_ok_and(f64::is_finite)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(values: &[f64]) -> Values {
        Values::Numbers(values.to_vec())
    }

    #[test]
    fn a_number_for_a_missing_one_stands_out() {
        let usual: Vec<f64> = (0..100).map(|i| f64::from(i % 37) - 9.5).collect();
        let with = |x: f64| numbers(&[&usual[..], &[x, x]].concat());
        for x in [-999.0, 9999.0, -99.0, 1e30, -2_147_483_648.0] {
            assert_eq!(sentinel(&with(x)), Some(Sentinel { value: x, rows: 2 }), "{x}");
        }
        for x in [-998.0, 1234.0, 10.0] {
            assert_eq!(sentinel(&with(x)), None, "{x}");
        }
        let ages: Vec<f64> = (0..100).map(f64::from).collect();
        assert_eq!(sentinel(&numbers(&ages)), None, "99 is beside 98");
    }

    #[test]
    fn texts_among_numbers_are_named() {
        let texts: Texts = (0..100)
            .map(|i| if i % 10 == 0 { "unknown".to_string() } else { format!("{i}.5") })
            .collect::<Vec<_>>()
            .iter()
            .map(|text| Some(text.as_str()))
            .collect();
        let found = in_the_way("size", &texts, "left out").unwrap();
        assert!(found.contains("90% of its values are numbers"), "{found}");
        assert!(found.contains("\"unknown\" (10 rows)"), "{found}");
        let names: Texts = ["a", "b", "1"].into_iter().map(Some).collect();
        assert_eq!(in_the_way("size", &names, "left out"), None);
    }

    #[test]
    fn open_dates_slips_and_marks_for_missing_dates_are_said() {
        let of = |words: &[&str]| {
            let texts: Texts = words.iter().map(|word| Some(*word)).collect();
            let dates = Dates::of(counted(&texts), None).unwrap();
            of_dates("day", &texts, &dates)
        };
        let open = of(&["03/04/2024", "05/06/2024"]);
        assert!(
            open[0].contains("03/04/2024 and all other dates fit both MM/DD/YYYY and DD/MM/YYYY")
        );
        assert_eq!((open.len(), of(&["13/04/2024", "05/06/2024"]).len()), (1, 0));
        let mut days: Vec<String> = (1..=20).map(|day| format!("2024-01-{day:02}")).collect();
        days[3] = "9999-12-31".into();
        let far = of(&days.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(far[0].contains("9999-12-31 (1 row)") && far[0].contains("--missing"), "{far:?}");
        days[3] = "2024-13-01".into();
        let slip = of(&days.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(slip[0].contains("read as missing: \"2024-13-01\" (1 row)"), "{slip:?}");
    }

    #[test]
    fn a_class_called_none_is_said() {
        let texts: Texts = ["None", "a", "None"].into_iter().map(Some).collect();
        let found = class_words("disorder", &texts).unwrap();
        assert!(found.contains("\"None\" (2 rows)") && found.contains("--missing None"), "{found}");
    }
}
