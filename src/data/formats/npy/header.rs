//! The header of an NPY file: the type, order and number of its elements.

use crate::base::error::{Error, Result};

/// The longest header of a plain array.
pub(super) const LONGEST: usize = 1 << 16;

/// The type of an element.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Type {
    pub(super) kind: u8,
    /// The number of bytes, or for texts, of characters.
    pub(super) size: usize,
    pub(super) big_endian: bool,
}

impl Type {
    /// The bytes of an element.
    pub(super) fn width(self) -> usize {
        if self.kind == b'U' { self.size * 4 } else { self.size }
    }
}

/// A header.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Head {
    pub(super) element: Type,
    /// Whether the first dimension varies fastest (Fortran order).
    pub(super) fortran: bool,
    /// No size is 0.
    pub(super) shape: Vec<u64>,
    /// Where the elements begin.
    pub(super) body: usize,
}

impl Head {
    /// Reads the header with which a file begins.
    ///
    /// # Errors
    /// When it isn't a header, is truncated, or doesn't declare an array of numbers or texts.
    pub(super) fn read(bytes: &[u8]) -> Result<Self> {
        let cut =
            || Error::data("the NPY file ends within its header").help("copy or download it again");
        if !bytes.starts_with(MAGIC) {
            return Err(Error::data("not an NPY file").help("give a file that numpy.save wrote"));
        }
        let (&[major, ..], Some(length)) = (&bytes[6..], bytes.get(8..12)) else {
            return Err(cut());
        };
        let (begin, length) = match major {
            1 => (10, usize::from(u16::from_le_bytes([length[0], length[1]]))),
            2 | 3 => {
                (12, u32::from_le_bytes([length[0], length[1], length[2], length[3]]) as usize)
            }
            _ => {
                return Err(Error::data(format!("unknown NPY version {major}"))
                    .help("save the array again with numpy.save"));
            }
        };
        if length > LONGEST {
            return Err(Error::data(format!("the header claims to be {length} bytes long"))
                .help("the file is damaged: copy or download it again"));
        }
        let text = bytes.get(begin..begin + length).ok_or_else(cut)?;
        let (descr, fortran, shape) = words(&String::from_utf8_lossy(text))?;
        let head = Head { element: element_type(&descr)?, fortran, shape, body: begin + length };
        if head.shape.contains(&0) || head.element.width() == 0 {
            return Err(Error::data(format!("the array is empty: its sizes are {}", head.sizes()))
                .help("give an array with at least one row"));
        }
        Ok(head)
    }

    /// Its sizes, for messages.
    pub(super) fn sizes(&self) -> String {
        self.shape.iter().map(u64::to_string).collect::<Vec<_>>().join(" × ")
    }

    /// The bytes of all elements in the file; none if there are more than 2⁶⁴.
    pub(super) fn bytes(&self) -> Option<u64> {
        self.shape.iter().try_fold(self.element.width() as u64, |n, &d| n.checked_mul(d))
    }

    /// The approximate number of bytes of memory for reading: the bytes of the file, the elements, and
    /// the columns.
    pub(super) fn memory(&self) -> u64 {
        let bytes = self.bytes().unwrap_or(u64::MAX);
        let Type { kind, size, .. } = self.element;
        let elements = bytes / self.element.width() as u64;
        let each = match (kind, size) {
            (b'u' | b'b', 1) => 2,
            (b'U' | b'S', size) => 32 + size as u64,
            _ => 16,
        };
        bytes.saturating_add(elements.saturating_mul(each))
    }

    /// Refuses a number of bytes after the header other than it declares.
    pub(super) fn check(&self, found: u64) -> Result<()> {
        let width = self.element.width();
        let declared = self.bytes();
        if declared == Some(found) {
            return Ok(());
        }
        let what = match declared {
            Some(n) if n < found => "more bytes follow them".to_string(),
            _ => format!("the file holds only {found} bytes"),
        };
        Err(Error::data(format!(
            "the header declares {} elements of {width} bytes, but {what}",
            self.sizes()
        ))
        .help("the file is truncated or damaged: copy or download it again"))
    }
}

/// The type, the order and the shape that a header declares.
pub(super) fn words(text: &str) -> Result<(String, bool, Vec<u64>)> {
    let bad = |what: &str| {
        let shown: String = text.chars().take(80).collect();
        Error::data(format!("the NPY header {what}: {:?}", shown.trim_end())).help(
            "give a file that numpy.save wrote; save a structured array as several plain ones",
        )
    };
    let after = |key: &str| {
        let quoted = [format!("'{key}'"), format!("\"{key}\"")];
        let at = quoted.iter().find_map(|q| Some(text.find(q.as_str())? + q.len()));
        let rest = at.map(|at| text[at..].trim_start());
        rest.and_then(|r| r.strip_prefix(':')).map(str::trim_start)
    };
    let descr = after("descr").ok_or_else(|| bad("has no descr"))?;
    let quote = descr.chars().next().filter(|c| matches!(c, '\'' | '"'));
    let descr = quote
        .and_then(|q| descr[1..].split(q).next())
        .ok_or_else(|| bad("has a structured type"))?;
    let fortran = match after("fortran_order") {
        Some(rest) if rest.starts_with("True") => true,
        Some(rest) if rest.starts_with("False") => false,
        _ => return Err(bad("doesn't give its order")),
    };
    let shape = after("shape").and_then(|rest| rest.strip_prefix('(')?.split_once(')'));
    let (shape, _) = shape.ok_or_else(|| bad("has no shape"))?;
    let sizes = shape.split(',').map(str::trim).filter(|s| !s.is_empty());
    let sizes: std::result::Result<Vec<u64>, _> =
        sizes.map(|s| s.trim_end_matches('L').parse()).collect();
    let sizes = sizes.map_err(|_| bad("has an invalid shape"))?;
    match sizes.len() {
        0 => Err(bad("declares a single value")),
        n if n > 32 => Err(bad("has more than 32 dimensions")),
        _ => Ok((descr.to_string(), fortran, sizes)),
    }
}

fn element_type(descr: &str) -> Result<Type> {
    let unknown = || {
        Error::data(format!("elements of the unsupported type {descr:?}")).help(
            "save the array as numbers or as strings of fixed length, such as astype(\"float32\")",
        )
    };
    let (order, kind, size) = match descr.as_bytes() {
        [order @ (b'<' | b'>' | b'|' | b'='), kind, size @ ..] => (*order, *kind, size),
        _ => return Err(unknown()),
    };
    let size: usize =
        std::str::from_utf8(size).ok().and_then(|s| s.parse().ok()).ok_or_else(unknown)?;
    let known = match kind {
        b'b' => size == 1,
        b'i' | b'u' => matches!(size, 1 | 2 | 4 | 8),
        b'f' => matches!(size, 2 | 4 | 8),
        b'U' | b'S' => size < 1 << 20,
        _ => false,
    };
    match known {
        true => Ok(Type { kind, size, big_endian: order == b'>' }),
        false => Err(unknown()),
    }
}

pub(super) const MAGIC: &[u8] = b"\x93NUMPY";
