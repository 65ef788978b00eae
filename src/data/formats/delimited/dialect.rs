//! The separators of a delimited text.

use super::forms::is_number;
use crate::base::error::{Error, Result};
use crate::data::columns::missing::{Marks, is_missing};
use crate::data::columns::text_options::Separator;
use ::csv::{ByteRecord, ReaderBuilder, Terminator};

/// The separator of cells and the terminator of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dialect {
    pub(super) delimiter: u8,
    pub(super) terminator: u8,
    /// Whether the first line is `sep=;`, with which spreadsheets declare the separator.
    pub(super) told: bool,
}

impl Dialect {
    /// Found from the beginning of a text; `separator` is the user's option.
    ///
    /// # Errors
    /// When the bytes can't be text in an encoding compatible with ASCII.
    pub(super) fn of(head: &[u8], separator: Option<Separator>) -> Result<Self> {
        if head.starts_with(b"\xFF\xFE") || head.starts_with(b"\xFE\xFF") {
            return Err(Error::data("the text is UTF-16").help("save the file as UTF-8"));
        }
        if head.contains(&0) {
            return Err(Error::data("this is not text: it contains zero bytes").help(
                "give a CSV or TSV file, Parquet, Arrow IPC, NPY, NPZ, IDX, or a folder of images",
            ));
        }
        let head = head.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(head);
        let has_line_feeds = head.contains(&b'\n') || !head.contains(&b'\r');
        let terminator = if has_line_feeds { b'\n' } else { b'\r' };
        let told = told_separator(head);
        let delimiter = match (separator, told) {
            (Some(Separator(byte)), _) | (None, Some(byte)) => byte,
            (None, None) => delimiter(head, terminator),
        };
        Ok(Dialect { delimiter, terminator, told: told.is_some() })
    }

    /// A reader of the records of some bytes, of any length.
    pub(super) fn reader<'a>(&self, bytes: &'a [u8]) -> ::csv::Reader<&'a [u8]> {
        ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(self.delimiter)
            .terminator(Terminator::Any(self.terminator))
            .from_reader(bytes)
    }
}

/// The separator in a first line `sep=;`.
fn told_separator(head: &[u8]) -> Option<u8> {
    let line = head.split(|b| b"\r\n".contains(b)).next()?;
    match line {
        [s, e, p, b'=', separator] if [*s, *e, *p].eq_ignore_ascii_case(b"sep") => Some(*separator),
        _ => None,
    }
}

/// The number of rows that are compared.
const ROWS: usize = 100;

/// The separator, of comma, tab, semicolon and bar, under which all rows, the header included, have the
/// same number of cells. Among several, one that leaves no bracket of the header open, then the one with
/// the most numeric cells, then the first.
fn delimiter(head: &[u8], terminator: u8) -> u8 {
    let candidates = [b'\t', b',', b';', b'|'];
    let best = candidates
        .into_iter()
        .rev()
        .max_by_key(|&delimiter| Split::of(head, Dialect { delimiter, terminator, told: false }));
    best.unwrap_or(b',')
}

/// How well a separator fits a text: compared field by field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Split {
    /// The rows in a thousand with the most common number of cells, if that is more than one.
    regular: usize,
    /// Whether no cell of the first row has a bracket that is closed in another one.
    is_closed: bool,
    /// The cells in a thousand that are numbers or missing.
    numbers: usize,
}

impl Split {
    fn of(head: &[u8], dialect: Dialect) -> Self {
        let mut rows: Vec<ByteRecord> = Vec::new();
        let mut reader = dialect.reader(head);
        let mut record = ByteRecord::new();
        while rows.len() < ROWS
            && let Ok(true) = reader.read_byte_record(&mut record)
        {
            if record.len() > 1 || !record[0].trim_ascii().is_empty() {
                rows.push(record.clone());
            }
        }
        // The last record may be cut off at the end of `head`.
        if rows.len() > 1 && rows.len() < ROWS && head.last() != Some(&dialect.terminator) {
            rows.pop();
        }
        let Some((first, below)) = rows.split_first() else {
            return Split { regular: 0, is_closed: false, numbers: 0 };
        };
        let alike = |cells: usize| rows.iter().filter(|row| row.len() == cells).count();
        let most = rows.iter().map(ByteRecord::len).max_by_key(|&cells| alike(cells)).unwrap_or(1);
        let regular = if most > 1 { 1000 * alike(most) / rows.len() } else { 0 };
        let is_number = |cell: &[u8]| {
            let cell = cell.trim_ascii();
            is_missing(cell) || is_number(&String::from_utf8_lossy(cell))
        };
        let has_names = !first.iter().any(is_number);
        // Texts separated by bars usually have decimal points.
        let is_plain = |cell: &[u8]| is_number(cell) && !cell.contains(&b',');
        let counted: &dyn Fn(&[u8]) -> bool =
            if dialect.delimiter == b'|' && has_names { &is_plain } else { &is_number };
        let cells = below.iter().map(ByteRecord::len).sum::<usize>().max(1);
        let numbers = below.iter().flatten().filter(|cell| counted(cell)).count();
        Split { regular, is_closed: first.iter().all(is_closed), numbers: 1000 * numbers / cells }
    }
}

/// Whether the brackets of a cell are closed.
fn is_closed(cell: &[u8]) -> bool {
    let count = |of: &[u8]| cell.iter().filter(|b| of.contains(b)).count();
    count(b"([{") == count(b")]}")
}

/// The apparent content of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    Missing,
    Number,
    Text,
}

pub(super) fn look(cell: &[u8], marks: &Marks) -> Look {
    let cell = cell.trim_ascii();
    if is_missing(cell) || marks.has(cell) {
        return Look::Missing;
    }
    let is_plain = fast_float2::parse::<f64, _>(cell).is_ok();
    let is_formed = || std::str::from_utf8(cell).is_ok_and(is_number);
    if is_plain || is_formed() { Look::Number } else { Look::Text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Dialect {
        Dialect::of(text.as_bytes(), None).unwrap()
    }

    #[test]
    fn all_rows_have_as_many_cells_under_the_separator() {
        for (text, delimiter) in [
            ("1,5;2,5\n3,5;4,5\n", b';'),
            ("a;b;c\n1,5;2,5;x\n3,5;4,5;y\n", b';'),
            ("\"a;b\",c\n1,2\n", b','),
            ("a;b,c\nd,e\nf;;,g\n", b','),
            ("a|b\n1|2\n", b'|'),
            ("a|b\n1,5|2\n3,5|4\n", b'|'),
            ("a\tb c\n1\t2\n", b'\t'),
            ("size (w|h),price\n10|20,3\n20|30,4\n", b','),
            ("size w|h,price\n10|20,3\n20|30,4\n", b','),
            ("text;more,temp,y\nx;b,1.5,2\ny;b,2.5,3\n", b','),
            ("text,temp,y\nx;b,1.5,2\ny;b,2.5,3\n", b','),
            ("one column\n1\n", b'\t'),
        ] {
            assert_eq!(char::from(of(text).delimiter), char::from(delimiter), "{text}");
        }
        assert_eq!(of("a,b\r1,2\r").terminator, b'\r');
        let said = Dialect::of(b"a;b\n1;2\n", Some(Separator(b','))).unwrap();
        assert_eq!(said.delimiter, b',');
        for bytes in [&b"\xFF\xFEa\0,\0b\0"[..], b"1,2\0"] {
            assert!(Dialect::of(bytes, None).is_err());
        }
    }

    #[test]
    fn a_line_that_tells_the_separator_is_obeyed() {
        for (text, delimiter) in
            [("sep=;\na,b;c\n1,5;2\n", b';'), ("\u{feff}SEP=,\r\na,b\r\n1,2\r\n", b',')]
        {
            let dialect = of(text);
            assert_eq!((dialect.delimiter, dialect.told), (delimiter, true), "{text}");
        }
        assert!(!of("sep=;x\n1\n").told && !of("sep\n1\n").told);
    }
}
