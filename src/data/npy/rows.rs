//! The rows of an array in windows, for arrays larger than memory.

use super::header::Head;
use super::{NpyArray, elements, parse, table};
use crate::data::frame::Frame;
use crate::data::stream::{ByteStream, read_error};
use crate::error::{Error, Result};
use std::io::Read;

/// About the bytes of a window.
const WINDOW: u64 = 4 << 20;

/// Takes the rows of an array of one or two dimensions window by window, in order: calls `take` with the
/// number of rows before and the columns. An array in Fortran order, whose rows lie apart, is one window.
///
/// # Errors
/// As [`super::read_npy`], and what `take` returns.
pub(in crate::data) fn pass(
    stream: ByteStream,
    take: impl FnMut(usize, Frame) -> Result<()>,
) -> Result<()> {
    pass_in(stream, WINDOW, take)
}

fn pass_in(
    stream: ByteStream,
    window: u64,
    mut take: impl FnMut(usize, Frame) -> Result<()>,
) -> Result<()> {
    let path = stream.path().to_path_buf();
    let head = Head::read(stream.head())?;
    let (len, element) = (stream.exact_len(), head.element);
    let mut reader = stream.into_reader();
    let mut read = |count: u64, bytes: &mut Vec<u8>| -> Result<()> {
        bytes.clear();
        // Grows with what is there: a header may declare anything.
        reader.by_ref().take(count).read_to_end(bytes).map_err(|e| read_error(&path, &e))?;
        Ok(())
    };
    let mut bytes = Vec::new();
    if head.fortran && head.shape.len() > 1 {
        read(u64::MAX, &mut bytes)?;
        return take(0, table(&parse(&bytes)?));
    }
    if let Some(len) = len {
        head.check(len - head.body as u64)?;
    }
    read(head.body as u64, &mut bytes)?;
    let (rows, columns) = (head.shape[0], &head.shape[1..]);
    let width = columns.iter().try_fold(element.width() as u64, |n, &d| n.checked_mul(d));
    let width = width.ok_or_else(|| Error::data("a row of more than 2⁶⁴ bytes"))?;
    let most = (window / width).max(1);
    let (mut done, mut found) = (0, 0);
    while done < rows {
        let count = most.min(rows - done);
        read(count.saturating_mul(width), &mut bytes)?;
        found += bytes.len() as u64;
        if bytes.len() as u64 != count * width {
            return head.check(found);
        }
        let mut shape = vec![count as usize];
        shape.extend(columns.iter().map(|&d| d as usize));
        let array = NpyArray { shape, elements: elements(&bytes, element) };
        array.check_finite(done as usize)?;
        take(done as usize, table(&array))?;
        done += count;
    }
    read(u64::MAX, &mut bytes)?;
    head.check(found + bytes.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::super::tests::npy;
    use super::*;
    use crate::data::stream::tests::{gzip, of_bytes};

    fn windows(file: &[u8], window: u64) -> Result<(Vec<usize>, Frame)> {
        let (mut firsts, mut all) = (Vec::new(), Frame::default());
        pass_in(of_bytes("t.npy", file)?, window, |first, frame| {
            firsts.push(first);
            all.append(frame);
            Ok(())
        })?;
        Ok((firsts, all))
    }

    #[test]
    fn windows_hold_what_the_whole_array_does() {
        let values: Vec<f64> = (0..60).map(|i| f64::from(i) - f64::from(i % 7) / 8.0).collect();
        let body: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        for (shape, fortran, firsts) in [
            ("(20, 3)", false, vec![0, 4, 8, 12, 16]),
            ("(60,)", false, (0..60).step_by(12).collect()),
            ("(20, 3)", true, vec![0]),
        ] {
            let file = npy("<f8", fortran, shape, &body);
            let whole = table(&parse(&file).unwrap());
            assert_eq!(windows(&file, 100).unwrap(), (firsts.clone(), whole.clone()));
            assert_eq!(windows(&gzip(&file), 100).unwrap(), (firsts, whole));
        }
    }

    #[test]
    fn sizes_that_lie_and_numbers_that_are_none_are_refused() {
        let refused = |file: &[u8]| {
            let plain = windows(file, 16).unwrap_err().to_string();
            (plain, windows(&gzip(file), 16).unwrap_err().to_string())
        };
        for (shape, text) in [
            ("(5, 1)", "holds only 32 bytes"),
            ("(3, 1)", "goes on to 32 bytes"),
            ("(1099511627776, 1099511627776)", "holds only 32 bytes"),
            ("(1, 4611686018427387904)", "a row of more than"),
        ] {
            let (plain, zipped) = refused(&npy("<f8", false, shape, &[0; 32]));
            assert!(plain.contains(text) || plain.contains("holds only 32"), "{shape}: {plain}");
            assert!(zipped.contains(text), "{shape}: {zipped}");
        }
        let body: Vec<u8> =
            [0.0, 1.0, f64::INFINITY].iter().flat_map(|x| x.to_le_bytes()).collect();
        assert!(refused(&npy("<f8", false, "(3,)", &body)).0.contains("row 3"));
    }
}
