//! The formats of columnar files.

/// A columnar file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::data) enum Format {
    Parquet,
    /// Arrow IPC with an index at its end: Feather version 2.
    ArrowFile,
    /// Arrow IPC as a stream of messages.
    ArrowStream,
}

impl Format {
    /// The format of a file that begins with `head`.
    pub(in crate::data) fn of(head: &[u8]) -> Option<Self> {
        match head {
            // The second one for encrypted files.
            [b'P', b'A', b'R', b'1' | b'E', ..] => Some(Format::Parquet),
            head if head.starts_with(MAGIC) => Some(Format::ArrowFile),
            [0xFF, 0xFF, 0xFF, 0xFF, _, _, 0, 0, ..] => Some(Format::ArrowStream),
            _ => None,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Format::Parquet => "Parquet",
            Format::ArrowFile | Format::ArrowStream => "Arrow",
        }
    }
}

/// The magic bytes at the beginning and end of a file.
pub(super) const MAGIC: &[u8] = b"ARROW1";
