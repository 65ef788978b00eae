//! Recognizing a file by its first bytes: formats with their own readers, and those that can't
//! be read, with advice.

use crate::base::error::Error;
use std::path::Path;

/// The form of records in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::data) enum Json {
    /// An object on each line.
    Lines,
    /// An array of objects.
    Array,
}

/// The form of JSON with which a text begins, if it holds records.
pub(in crate::data) fn json(head: &[u8]) -> Option<Json> {
    let text = without_mark(head).trim_ascii_start();
    let next = |text: &[u8]| text[1..].trim_ascii_start().first().copied();
    match text.first()? {
        b'{' if matches!(next(text), Some(b'"' | b'}')) => Some(Json::Lines),
        b'[' if next(text) == Some(b'{') => Some(Json::Array),
        _ => None,
    }
}

/// The error for a file in an unsupported format: `head` are its first bytes.
pub(in crate::data) fn unreadable(head: &[u8], path: &Path) -> Option<Error> {
    let (format, help) = by_magic(head).or_else(|| by_text(head))?;
    let error = Error::data(format!("the file is {format}, which can't be read"));
    let file = path.display().to_string();
    Some(error.at(&file).help(help.replace("FILE", &file)))
}

/// The advice for a text that isn't UTF-8.
pub(in crate::data) fn recode(path: &Path, from: &str) -> String {
    let file = path.display();
    format!("convert it: `iconv -f {from} -t UTF-8 {file} > {file}.utf8`, and give {file}.utf8")
}

const CSV: &str = "write it as CSV, Parquet or NPZ with the program that wrote it";
const ONE_IMAGE: &str = "give a folder with a folder of images for each class";

/// The first bytes of a format, its name, and advice.
type Magic = (&'static [u8], &'static str, &'static str);

const MAGIC: [Magic; 32] = [
    (
        b"\x89HDF\r\n\x1a\n",
        "HDF5 (.h5, .hdf5, .mat)",
        "write it as CSV, Parquet or NPZ: `python3 -c \"import pandas; pandas.read_hdf('FILE').to_csv('table.csv', index=False)\"`, or arrays by h5py and numpy.savez",
    ),
    (
        b"MATLAB 5.0 MAT-file",
        "MATLAB (.mat)",
        "write it as NPZ: `python3 -c \"import numpy, scipy.io; m = scipy.io.loadmat('FILE'); numpy.savez('arrays.npz', **{k: v for k, v in m.items() if k[0] != '_'})\"`",
    ),
    (
        b"SQLite format 3\0",
        "an SQLite database",
        "write a table as CSV: `sqlite3 -header -csv FILE 'select * from TABLE' > table.csv`",
    ),
    (
        b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1",
        "an old Excel workbook (.xls) or another Microsoft Office document",
        "save the sheet as CSV: in Excel or LibreOffice, File, Save As, CSV UTF-8",
    ),
    (b"\x89PNG\r\n\x1a\n", "a single image (PNG)", ONE_IMAGE),
    (b"\xFF\xD8\xFF", "a single image (JPEG)", ONE_IMAGE),
    (b"GIF87a", "a single image (GIF)", ONE_IMAGE),
    (b"GIF89a", "a single image (GIF)", ONE_IMAGE),
    (b"II*\0", "a single image (TIFF)", ONE_IMAGE),
    (b"MM\0*", "a single image (TIFF)", ONE_IMAGE),
    (b"%PDF-", "PDF", "copy the table out of it into a spreadsheet, and save that as CSV"),
    (b"BZh", "compressed by bzip2", "decompress it: `bunzip2 -k FILE`"),
    (b"\xFD7zXZ\0", "compressed by xz", "decompress it: `unxz -k FILE`"),
    (b"\x04\x22\x4D\x18", "compressed by lz4", "decompress it: `lz4 -d FILE`"),
    (b"7z\xBC\xAF\x27\x1C", "a 7-Zip archive", "unpack it: `7z x FILE`, and give the file in it"),
    (b"Rar!\x1A\x07", "a RAR archive", "unpack it: `unrar x FILE`, and give the file in it"),
    (b"\x80\x02", "a Python pickle", PICKLE),
    (b"\x80\x03", "a Python pickle", PICKLE),
    (b"\x80\x04", "a Python pickle", PICKLE),
    (b"\x80\x05", "a Python pickle", PICKLE),
    (b"RDX2\n", "R data (.RData)", R),
    (b"RDX3\n", "R data (.RData)", R),
    (b"X\n\0\0\0", "R data (.rds)", R),
    (b"<stata_dta>", "Stata data (.dta)", "write it as CSV: `export delimited table.csv`"),
    (b"$FL2", "SPSS data (.sav)", CSV),
    (
        b"ORC",
        "ORC",
        "write it as Parquet: `python3 -c \"import pandas; pandas.read_orc('FILE').to_parquet('table.parquet')\"`",
    ),
    (b"Obj\x01", "Avro", "write it as Parquet or CSV"),
    (
        b"FEA1",
        "Feather version 1",
        "write it as Feather version 2, which is Arrow IPC: `python3 -c \"import pandas; pandas.read_feather('FILE').to_feather('table.feather')\"`",
    ),
    (
        b"GGUF",
        "a model (GGUF), not data",
        "give the data; a model of wgrad comes before them on the command line",
    ),
    (
        b"version https://git-lfs.github.com/spec/",
        "a Git LFS pointer to a file that wasn't downloaded",
        "download the file itself: `git lfs pull`",
    ),
    (b"\0\0\0\x1CftypM4V", "a video", CSV),
    (b"RIFF", "a single image (WebP) or a sound", ONE_IMAGE),
];

const PICKLE: &str = "write it as Parquet or NPZ: `python3 -c \"import pandas; pandas.read_pickle('FILE').to_parquet('table.parquet')\"`";
const R: &str = "write it as CSV in R: `write.csv(table, 'table.csv', row.names = FALSE)`";

fn by_magic(head: &[u8]) -> Option<(&'static str, String)> {
    // Letters could begin a header: the following bytes must not be text.
    let is_binary = |magic: &[u8]| {
        !magic.iter().all(u8::is_ascii_alphanumeric)
            || head.iter().take(256).any(|&b| b == 0 || b > 0xF0)
    };
    let found = MAGIC.iter().find(|(magic, ..)| head.starts_with(magic) && is_binary(magic));
    let found = found.map(|&(_, format, help)| (format, help.to_string()));
    let is_tar = || head.get(257..262) == Some(b"ustar");
    let is_model = || matches!(head, [_, _, _, _, 0, 0, 0, 0, b'{', b'"', ..]);
    found
        .or_else(|| {
            is_tar().then(|| {
                ("a tar archive", "unpack it: `tar xf FILE`, and give the file in it".to_string())
            })
        })
        .or_else(|| {
            is_model().then(|| {
                (
                    "a model (safetensors), not data",
                    "give the data; a model comes before them on the command line".to_string(),
                )
            })
        })
        .or_else(|| utf16(head))
}

/// UTF-16 and UTF-32 by their byte order mark, or by zeros in every second byte.
fn utf16(head: &[u8]) -> Option<(&'static str, String)> {
    let convert = |from: &str| {
        format!("convert it: `iconv -f {from} -t UTF-8 FILE > FILE.utf8`, and give FILE.utf8")
    };
    let begin = &head[..head.len().min(256)];
    let zeros = |odd: usize| {
        let pairs = begin.chunks_exact(2);
        begin.len() >= 4 && pairs.clone().all(|p| p[odd] == 0 && p[1 - odd] != 0)
    };
    match head {
        [0xFF, 0xFE, 0, 0, ..] => Some(("text in UTF-32", convert("UTF-32"))),
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => Some(("text in UTF-16", convert("UTF-16"))),
        _ if zeros(1) => Some(("text in UTF-16", convert("UTF-16LE"))),
        _ if zeros(0) => Some(("text in UTF-16", convert("UTF-16BE"))),
        _ => None,
    }
}

fn without_mark(head: &[u8]) -> &[u8] {
    head.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(head)
}

/// Formats that are text.
fn by_text(head: &[u8]) -> Option<(&'static str, String)> {
    let text = without_mark(head).trim_ascii_start();
    let begins =
        |word: &[u8]| text.get(..word.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(word));
    let own = |format, help: &str| Some((format, help.to_string()));
    if begins(b"<!doctype html") || begins(b"<html") {
        return own(
            "an HTML page",
            "the download is a web page, maybe with an error message, instead of the data: open it in a browser, and download the file itself",
        );
    }
    if begins(b"<?xml") {
        return own("XML", CSV);
    }
    if begins(b"[[") || begins(b"[ [") {
        return own(
            "JSON, an array of arrays",
            "write it as CSV: `jq -r '.[] | @csv' FILE > table.csv`",
        );
    }
    if is_arff(text) {
        return own(
            "ARFF of Weka",
            "write it as CSV: `python3 -c \"import pandas, scipy.io.arff as a; pandas.DataFrame(a.loadarff('FILE')[0]).to_csv('table.csv', index=False)\"`",
        );
    }
    if is_libsvm(text) {
        return own(
            "LIBSVM (SVMlight)",
            "write it as NPZ: `python3 -c \"import numpy, sklearn.datasets as d; x, y = d.load_svmlight_file('FILE'); numpy.savez('data.npz', x=x.toarray(), y=y)\"`",
        );
    }
    None
}

/// Whether a text begins with `@relation`, ignoring comments.
fn is_arff(text: &[u8]) -> bool {
    let mut lines = text.split(|&b| b == b'\n').map(<[u8]>::trim_ascii);
    let first = lines.find(|line| !line.is_empty() && line[0] != b'%').unwrap_or_default();
    first.get(..9).is_some_and(|word| word.eq_ignore_ascii_case(b"@relation"))
}

/// Whether the lines of a text are a label and pairs of a column and its value: `+1 3:0.5 17:1`.
fn is_libsvm(text: &[u8]) -> bool {
    const LINES: usize = 20;
    let mut lines: Vec<&[u8]> = text.split(|&b| b == b'\n').take(LINES + 1).collect();
    // The last one may be cut off.
    if lines.len() > 1 {
        lines.pop();
    }
    let mut pairs = 0;
    let is_number = |word: &str| word.parse::<f64>().is_ok();
    let mut is_row = |line: &[u8]| {
        let Ok(line) = std::str::from_utf8(line) else { return false };
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_ascii_whitespace();
        let Some(label) = words.next() else { return true };
        label.split(',').all(is_number)
            && words.all(|word| {
                pairs += 1;
                word.split_once(':').is_some_and(|(column, value)| {
                    (column == "qid" || column.parse::<u64>().is_ok()) && is_number(value)
                })
            })
    };
    lines.iter().all(|line| is_row(line)) && pairs > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(head: &[u8]) -> Option<String> {
        unreadable(head, Path::new("d/t.csv")).map(|e| e.to_string())
    }

    #[test]
    fn formats_are_named_with_what_to_do() {
        let svm: &[u8] = b"+1 1:0.5 3:1e-3\n-1 2:7 # note\n";
        let mut tar = vec![b'a'; 257];
        tar.extend(b"ustar\x0000");
        for (head, format, help) in [
            (&b"\x89HDF\r\n\x1a\n"[..], "HDF5", "NPZ"),
            (b"MATLAB 5.0 MAT-file, Platform", "MATLAB", "loadmat('d/t.csv')"),
            (b"SQLite format 3\0", "SQLite", "sqlite3 -header -csv d/t.csv"),
            (b"%PDF-1.7", "PDF", "CSV"),
            (b"\x80\x04\x95\0", "pickle", "read_pickle('d/t.csv')"),
            (b"BZh91AY&SY\xF1\0", "bzip2", "bunzip2 -k d/t.csv"),
            (b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1", "Excel", "CSV UTF-8"),
            (b"version https://git-lfs.github.com/spec/v1\noid", "Git LFS", "git lfs pull"),
            (b"\n<!DOCTYPE html>\n<html>", "HTML", "browser"),
            (b"<?xml version", "XML", "CSV"),
            (b"% comment\n\n@RELATION iris\n", "ARFF", "loadarff('d/t.csv')"),
            (svm, "LIBSVM", "load_svmlight_file('d/t.csv')"),
            (b"[[1, 2], [3, 4]]", "array of arrays", "@csv"),
            (b"\xFF\xFEa\0,\0", "UTF-16", "`iconv -f UTF-16 -t UTF-8 d/t.csv > d/t.csv.utf8`"),
            (b"a\0,\0b\0\n\0", "UTF-16", "UTF-16LE"),
            (&tar, "tar", "tar xf d/t.csv"),
            (b"\x10\0\0\0\0\0\0\0{\"__metadata__\"", "model", "data"),
        ] {
            let found = refusal(head).unwrap_or_default();
            assert!(found.contains(format) && found.contains(help), "{format}: {found}");
        }
    }

    #[test]
    fn a_table_is_taken_for_nothing_else() {
        for text in [
            &b"a,b\n1,2\n"[..],
            b"ORC,GGUF\n1,2\n",
            b"RIFF;BZh\n1;2\n",
            b"1 2 3\n4 5 6\n",
            b"time,y\n12:30,1\n",
            b"12:30,1\n",
            b"x<y,z\n1,2\n",
            b"[a],b\n1,2\n",
            b"{a},b\n1,2\n",
            b"version,x\n1,2\n",
            b"",
            b"\n",
        ] {
            assert_eq!(
                (refusal(text), json(text)),
                (None, None),
                "{:?}",
                String::from_utf8_lossy(text)
            );
        }
    }

    #[test]
    fn records_in_json_are_told_by_their_beginning() {
        assert_eq!(json(b"\xEF\xBB\xBF {\"a\": 1}"), Some(Json::Lines));
        assert_eq!(json(b"[\n  {\"a\": 1}]"), Some(Json::Array));
        assert_eq!(json(b"{}"), Some(Json::Lines));
    }
}
