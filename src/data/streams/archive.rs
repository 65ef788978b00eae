//! Zip files: their content, and the single table in them.

use super::stream::{HELD, Source, damaged_zip};
use crate::base::error::{Error, Result};
use flate2::Crc;
use flate2::bufread::DeflateDecoder;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use zip::{CompressionMethod, ZipArchive};

/// The extensions of tables.
const TABLES: [&str; 11] =
    ["csv", "tsv", "tab", "txt", "jsonl", "ndjson", "json", "parquet", "arrow", "feather", "npy"];
/// The number of names that are shown.
const SHOWN: usize = 8;

/// A reader with random access.
pub(in crate::data) trait Bytewise: Read + Seek {}
impl<T: Read + Seek> Bytewise for T {}

/// A zip file.
pub(in crate::data) type Zip = ZipArchive<Box<dyn Bytewise>>;

/// A file in a zip file.
#[derive(Debug, Clone)]
pub(in crate::data) struct Entry {
    zip: Source,
    /// The offset of its compressed bytes.
    start: u64,
    compressed: u64,
    /// Its size in bytes, according to the zip file.
    size: u64,
    is_deflated: bool,
    crc: u32,
}

/// The content of a zip file.
#[derive(Debug)]
pub(in crate::data) enum Content {
    /// Arrays of NumPy.
    Arrays,
    /// One table.
    Table(Source),
}

/// Opens a zip file, which may itself be compressed.
///
/// # Errors
/// When it can't be read, or is damaged.
pub(in crate::data) fn open(source: &Source) -> Result<Zip> {
    let stream = source.open()?;
    let source = match stream.exact_len() {
        Some(_) => source.clone(),
        None => Source::kept(source.path(), stream.into_reader(), HELD)?,
    };
    let bytes: Box<dyn Bytewise> = Box::new(BufReader::new(source.seekable()?.at(0)));
    ZipArchive::new(bytes).map_err(|e| damaged_zip(&e))
}

/// The readable content of a zip file.
///
/// # Errors
/// When it is damaged, holds no table or several, or is a file of another program, with
/// advice.
pub(in crate::data) fn content(source: &Source) -> Result<Content> {
    let mut zip = open(source)?;
    let names = zip.file_names().map(|name| name.map(|n| n.into_owned()));
    let names: Vec<String> =
        names.collect::<zip::result::ZipResult<_>>().map_err(|e| damaged_zip(&e))?;
    let has = |begin: &str| names.iter().any(|name| name.starts_with(begin));
    if names.iter().any(|name| name.ends_with(".npy")) {
        return Ok(Content::Arrays);
    }
    let program = match () {
        () if has("xl/") => Some("an Excel workbook (.xlsx)"),
        () if has("content.xml") && has("mimetype") => Some("an OpenDocument spreadsheet (.ods)"),
        () if has("word/") || has("ppt/") => Some("an office document"),
        () => None,
    };
    if let Some(program) = program {
        return Err(Error::data(format!("{program} can't be read"))
            .help("save the sheet as CSV: in Excel or LibreOffice, File, Save As, CSV UTF-8"));
    }
    if names.iter().any(|name| name.ends_with("data.pkl")) {
        return Err(Error::data("a file that torch.save wrote can't be read")
            .help("save the arrays: numpy.savez(FILE, x=x.numpy(), y=y.numpy())"));
    }
    let files: Vec<&String> = names.iter().filter(|name| is_file(name)).collect();
    let tables: Vec<&String> = files.iter().filter(|name| is_table(name)).copied().collect();
    // A text next to a table is probably its description.
    let is_text = |name: &&&String| name.to_lowercase().ends_with(".txt");
    let named: Vec<&String> = tables.iter().filter(|name| !is_text(name)).copied().collect();
    let one = match (&named[..], &tables[..], &files[..]) {
        ([one], ..) | (_, [one], _) | (_, [], [one]) => *one,
        (_, several, _) => return Err(not_one(several, &files)),
    };
    let entry = entry(source, &mut zip, one)?;
    let path = source.path().join(one);
    Ok(Content::Table(Source::Entry(path, entry.into())))
}

/// Whether an entry is a file of the user, not one left by a system.
fn is_file(name: &str) -> bool {
    let last = name.rsplit('/').next().unwrap_or_default();
    !(last.is_empty()
        || last.starts_with('.')
        || name.starts_with("__MACOSX/")
        || last == "Thumbs.db")
}

/// Whether a name has the extension of a table, compressed or not.
fn is_table(name: &str) -> bool {
    let name = name.to_lowercase();
    let name = [".gz", ".zst"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
    Path::new(name).extension().is_some_and(|end| TABLES.iter().any(|t| end == *t))
}

fn not_one(tables: &[&String], files: &[&String]) -> Error {
    let all = if tables.is_empty() { files } else { tables };
    let shown: Vec<&str> = all.iter().take(SHOWN).map(|name| name.as_str()).collect();
    let more = if all.len() > SHOWN { ", …" } else { "" };
    let what = match (tables.len(), files.len()) {
        (_, 0) => return Error::data("the zip file is empty").help("give a file with data in it"),
        (0, _) => "no table in this zip file".to_string(),
        (several, _) => format!("{several} tables in this zip file, but only one can be read"),
    };
    Error::data(format!("{what}: it holds {}{more}", shown.join(", ")))
        .help("unpack it with `unzip`, and give the file that you want")
}

fn entry(source: &Source, zip: &mut Zip, name: &str) -> Result<Entry> {
    // Raw: the compression is handled below.
    let place = zip.index_for_name(name).ok_or_else(|| damaged_zip(&"an entry is missing"))?;
    let file = zip.by_index_raw(place).map_err(|e| damaged_zip(&e))?;
    let refuse = |what: &str| {
        Err(Error::data(format!("{name} in the zip file is {what}"))
            .help("unpack it with `unzip` or `7z x`, and give the file in it"))
    };
    if file.encrypted() {
        return refuse("encrypted");
    }
    let is_deflated = match file.compression() {
        CompressionMethod::Stored => false,
        CompressionMethod::Deflated => true,
        other => return refuse(&format!("compressed by {other}")),
    };
    let start = file.data_start().ok_or_else(|| damaged_zip(&"an entry has no beginning"))?;
    let (compressed, size, crc) = (file.compressed_size(), file.size(), file.crc32());
    Ok(Entry { zip: source.clone(), start, compressed, size, is_deflated, crc })
}

impl Entry {
    /// Its size in the zip file, if it is compressed.
    pub(in crate::data) fn packed(&self) -> Option<u64> {
        self.is_deflated.then_some(self.compressed)
    }

    /// Its bytes, which are checked at their end, and their expected number.
    ///
    /// # Errors
    /// When the zip file can't be read.
    pub(in crate::data) fn open(&self) -> Result<(Box<dyn Read>, u64)> {
        let mut zip = open(&self.zip)?.into_inner();
        zip.seek(SeekFrom::Start(self.start)).map_err(|e| damaged_zip(&e))?;
        let raw = BufReader::with_capacity(1 << 16, zip.take(self.compressed));
        let inner: Box<dyn Read> = match self.is_deflated {
            true => Box::new(DeflateDecoder::new(raw)),
            false => Box::new(raw),
        };
        Ok((
            Box::new(Checked { inner, crc: Crc::new(), expected: (self.size, self.crc) }),
            self.size,
        ))
    }
}

/// Bytes whose number and checksum are checked at their end.
struct Checked {
    inner: Box<dyn Read>,
    crc: Crc,
    expected: (u64, u32),
}

impl Read for Checked {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(bytes)?;
        if read == 0 && !bytes.is_empty() {
            let (size, crc) = self.expected;
            // The crate counts bytes in 32 bits.
            if self.crc.amount() != size as u32 || self.crc.sum() != crc {
                let error = "an entry of the zip file doesn't match its checksum";
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
        }
        self.crc.update(&bytes[..read]);
        Ok(read)
    }
}

#[cfg(test)]
pub(in crate::data) mod tests {
    use super::super::stream::tests::of_memory;
    use super::*;
    use std::io::Cursor;
    use std::io::Write;
    use zip::write::SimpleFileOptions;

    /// A zip file of these files.
    pub(in crate::data) fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, bytes) in files {
            writer.start_file(*name, SimpleFileOptions::default()).unwrap();
            writer.write_all(bytes).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    fn found(files: &[(&str, &[u8])]) -> Result<Content> {
        content(&of_memory("t.zip", &zip(files)))
    }

    #[test]
    fn the_one_table_is_found_beside_other_files() {
        let csv = b"a,b\n1,2\n".repeat(1000);
        for files in [
            &[("data/table.csv", &csv[..])][..],
            &[("t.csv", &csv), ("README.md", b"text"), ("__MACOSX/._t.csv", b"x"), (".x.csv", b"")],
            &[("table", &csv)],
        ] {
            let Content::Table(source) = found(files).unwrap() else { panic!("{files:?}") };
            assert!(source.path().ends_with(files[0].0));
            let stream = source.open().unwrap();
            assert_eq!(stream.exact_len(), Some(csv.len() as u64));
            let mut bytes = Vec::new();
            stream.into_reader().read_to_end(&mut bytes).unwrap();
            assert_eq!(bytes, csv);
        }
        assert!(matches!(found(&[("x.npy", b"")]).unwrap(), Content::Arrays));
    }

    #[test]
    fn what_is_no_single_table_is_named() {
        for (files, text) in [
            (
                &[("a.csv", &b"1"[..]), ("b.tsv", b"2")][..],
                "2 tables in this zip file, but only one can be read: it holds a.csv, b.tsv",
            ),
            (
                &[("a.bin", b"1"), ("b.bin", b"2")],
                "no table in this zip file: it holds a.bin, b.bin",
            ),
            (&[("[Content_Types].xml", b""), ("xl/workbook.xml", b"")], "Excel workbook"),
            (&[("mimetype", b""), ("content.xml", b"")], "OpenDocument spreadsheet"),
            (&[("archive/data.pkl", b""), ("archive/data/0", b"")], "torch.save"),
            (&[], "empty"),
        ] {
            let error = found(files).unwrap_err();
            assert!(error.kind().exit_code() == 3 && error.to_string().contains(text), "{error}");
        }
    }

    #[test]
    fn bytes_that_were_changed_are_found_at_their_end() {
        let mut bytes = zip::ZipWriter::new(Cursor::new(Vec::new()));
        let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        bytes.start_file("t.csv", stored).unwrap();
        bytes.write_all(b"a,b\n1,2\n").unwrap();
        let mut bytes = bytes.finish().unwrap().into_inner();
        let place = memchr::memmem::find(&bytes, b"1,2").unwrap();
        bytes[place] = b'7';
        let Content::Table(source) = content(&of_memory("t.zip", &bytes)).unwrap() else {
            panic!("a table")
        };
        let error = source.open().err().unwrap();
        assert!(error.kind().exit_code() == 3, "{error}");
        assert!(error.to_string().contains("checksum"), "{error}");
    }
}
