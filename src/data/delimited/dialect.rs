//! How a text is delimited, and whether its first row names the columns.

use crate::data::frame::Header;
use crate::data::recognize::recode;
use crate::error::{Error, Result};
use std::path::Path;

/// What separates cells and ends records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dialect {
    pub(super) delimiter: u8,
    pub(super) terminator: u8,
}

impl Dialect {
    /// Finds out from the beginning of a text.
    ///
    /// # Errors
    /// When the bytes can't be text of one byte or more a character in ASCII's order.
    pub(super) fn of(head: &[u8]) -> Result<Self> {
        if head.starts_with(b"\xFF\xFE") || head.starts_with(b"\xFE\xFF") {
            return Err(Error::data("the text is UTF-16").help("save the file as UTF-8"));
        }
        if head.contains(&0) {
            return Err(Error::data("this is no text: it holds zero bytes").help(
                "give a CSV or TSV file, Parquet, Arrow IPC, NPY, NPZ, IDX, or a folder of images",
            ));
        }
        let has_line_feeds = head.contains(&b'\n') || !head.contains(&b'\r');
        let terminator = if has_line_feeds { b'\n' } else { b'\r' };
        Ok(Dialect { delimiter: delimiter(head, terminator), terminator })
    }
}

/// The separator: of tab, semicolon, bar and comma the first of which each of the first lines has
/// the same number; else a comma. Semicolons come before commas, which mark decimals where they
/// are used.
fn delimiter(head: &[u8], terminator: u8) -> u8 {
    let is_regular = |delimiter: u8| {
        let mut counts = Vec::new();
        let (mut count, mut quoted) = (0, false);
        for &byte in head {
            match byte {
                b'"' => quoted = !quoted,
                b if quoted || b == b'\r' && terminator != b'\r' => {}
                b if b == delimiter => count += 1,
                b if b == terminator => counts.push(std::mem::take(&mut count)),
                _ => {}
            }
        }
        if counts.is_empty() {
            counts.push(count);
        }
        counts[0] > 0 && counts.iter().take(20).filter(|&&n| n > 0).all(|&n| n == counts[0])
    };
    [b'\t', b';', b'|'].into_iter().find(|&d| is_regular(d)).unwrap_or(b',')
}

/// What a cell looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    Missing,
    Number,
    Text,
}

pub(super) fn look(cell: &[u8]) -> Look {
    let cell = cell.trim_ascii();
    match cell {
        _ if is_missing(cell) => Look::Missing,
        _ if fast_float2::parse::<f64, _>(cell).is_ok() => Look::Number,
        _ => Look::Text,
    }
}

/// Whether a cell without white space around it says that its value is missing.
pub(crate) fn is_missing(cell: &[u8]) -> bool {
    const MARKS: [&[u8]; 5] = [b"na", b"n/a", b"nan", b"null", b"?"];
    cell.len() < 5 && (cell.is_empty() || MARKS.iter().any(|mark| mark.eq_ignore_ascii_case(cell)))
}

/// Whether the first of these rows names the columns, where nothing else tells.
///
/// It does if a column of numbers has a text there. It doesn't if any other cell is a number,
/// unless the cells count up from 0 or 1. Where all is text, it does if no column has a cell of
/// the first row again, and no cell is empty.
pub(super) fn is_header(rows: &[Vec<Vec<u8>>]) -> bool {
    let Some((first, rest)) = rows.split_first() else { return false };
    let looks: Vec<Look> = first.iter().map(|cell| look(cell)).collect();
    let numbers_below = |i: usize| {
        let mut below = rest.iter().filter_map(|row| row.get(i)).map(|cell| look(cell)).peekable();
        let mut some = false;
        below.all(|l| {
            some |= l == Look::Number;
            l != Look::Text
        }) && some
    };
    if (0..first.len()).any(|i| looks[i] == Look::Text && numbers_below(i)) {
        return true;
    }
    let counts_from = |start: usize| {
        let count = (start..).zip(first).filter(|(n, cell)| **cell == n.to_string().as_bytes());
        first.len() > 4 && count.count() + 1 >= first.len()
    };
    if looks.contains(&Look::Number) {
        return counts_from(0) || counts_from(1);
    }
    let again = |i: usize| rest.iter().any(|row| row.get(i) == Some(&first[i]));
    !looks.contains(&Look::Missing) && !(0..first.len()).any(again) && is_distinct(first)
}

fn is_distinct(cells: &[Vec<u8>]) -> bool {
    (1..cells.len()).all(|i| !cells[..i].contains(&cells[i]))
}

/// The header that a row of cells makes; an empty name becomes the column's number.
///
/// # Errors
/// For invalid UTF-8 and for two columns of one name.
pub(super) fn header(first: &[Vec<u8>], path: &Path) -> Result<Header> {
    let mut names: Vec<String> = Vec::with_capacity(first.len());
    for (i, cell) in first.iter().enumerate() {
        let name = std::str::from_utf8(cell).map_err(|_| {
            Error::data("invalid UTF-8")
                .at(format!("column {}", i + 1))
                .help(recode(path, "WINDOWS-1252"))
        })?;
        names.push(match name.trim() {
            "" => (i + 1).to_string(),
            name => name.to_string(),
        });
    }
    let mut seen = std::collections::HashMap::new();
    for (i, name) in names.iter().enumerate() {
        if let Some(before) = seen.insert(name, i) {
            return Err(Error::data(format!("two columns are called {name:?}"))
                .at(format!("columns {} and {}", before + 1, i + 1))
                .help("give each column a name of its own"));
        }
    }
    Ok(Header { named: true, names })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first_is_header(rows: &[&[&str]]) -> bool {
        let rows: Vec<Vec<Vec<u8>>> =
            rows.iter().map(|r| r.iter().map(|c| c.as_bytes().to_vec()).collect()).collect();
        is_header(&rows)
    }

    #[test]
    fn a_header_is_told_from_a_first_row_of_data() {
        let header = |first: &[&str], second: &[&str]| first_is_header(&[first, second]);
        assert!(header(&["a", "b"], &["1", "2"]));
        assert!(!header(&["1", "2"], &["1", "2"]));
        assert!(!header(&["5.1", "setosa"], &["4.9", "setosa"]), "a class in the last column");
        assert!(header(&["7", "label"], &["4.9", "1"]), "a number follows");
        assert!(header(&["0", "1", "2", "3", "is"], &["5", "4", "1", "0", "cat"]), "counted names");
        assert!(!header(&["", "2", "3"], &["1", "2", "3"]), "a missing value is no name");
        assert!(!header(&["inf", "2"], &["1", "2"]));
        assert!(header(&["city", "kind"], &["Oslo", "flat"]), "texts that don't come again");
        assert!(!first_is_header(&[&["Oslo", "flat"], &["Rome", "flat"]]));
        assert!(header(&["city", "price"], &["Oslo", ""]) && !header(&["a", "b"], &["a", "c"]));
    }

    #[test]
    fn separators_are_those_that_come_up_as_often_in_each_line() {
        for (text, delimiter) in [
            ("1,5;2,5\n3,5;4,5\n", b';'),
            ("\"a;b\",c\n1,2\n", b','),
            ("a;b,c\nd,e\nf;;,g\n", b','),
            ("a|b\n1|2\n", b'|'),
            ("a\tb c\n1\t2\n", b'\t'),
        ] {
            assert_eq!(Dialect::of(text.as_bytes()).unwrap().delimiter, delimiter, "{text}");
        }
        assert_eq!(Dialect::of(b"a,b\r1,2\r").unwrap().terminator, b'\r');
        for bytes in [&b"\xFF\xFEa\0,\0b\0"[..], b"1,2\0"] {
            assert!(Dialect::of(bytes).is_err());
        }
    }
}
