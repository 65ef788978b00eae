//! The rows of an array in windows, for arrays larger than memory.

use super::header::Head;
use super::{NpyArray, elements, read_npy, table};
use crate::base::error::{Error, Result};
use crate::base::memory::Budget;
use crate::data::columns::frame::Frame;
use crate::data::streams::stream::{ByteStream, Source, read_error};
use std::io::Read;

/// The approximate number of bytes in a window.
const WINDOW: u64 = 4 << 20;

/// Reads the rows of an array of one or two dimensions window by window, in order: calls `take` with the
/// number of previous rows and the columns. An array in Fortran order, whose rows aren't contiguous, is one
/// window.
/// It begins again with the first row if a column turns out to hold whole numbers that f64 doesn't
/// distinguish, which become texts.
///
/// # Errors
/// As [`super::read_npy`], and what `take` returns.
pub(in crate::data) fn pass(
    source: &Source,
    budget: Budget,
    take: impl FnMut(usize, Frame) -> Result<()>,
) -> Result<()> {
    pass_in(source, budget, WINDOW, take)
}

fn pass_in(
    source: &Source,
    budget: Budget,
    window: u64,
    mut take: impl FnMut(usize, Frame) -> Result<()>,
) -> Result<()> {
    let mut wide = Vec::new();
    while !windows(source.open()?, budget, window, &mut wide, &mut take)? {}
    Ok(())
}

/// One pass; false if a column that isn't among the wide ones turned out to be one after the first
/// window.
fn windows(
    stream: ByteStream,
    budget: Budget,
    window: u64,
    wide: &mut Vec<bool>,
    mut take: impl FnMut(usize, Frame) -> Result<()>,
) -> Result<bool> {
    let head = Head::read(stream.head())?;
    if head.fortran && head.shape.len() > 1 {
        take(0, table(&read_npy(stream, budget)?, &[]))?;
        return Ok(true);
    }
    let path = stream.path().to_path_buf();
    if let Some(len) = stream.exact_len() {
        head.check(len.saturating_sub(head.body as u64))?;
    }
    let element = head.element;
    let mut reader = stream.into_reader();
    let mut read = |count: u64| -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        // Grows as bytes are read: a header may declare any size.
        reader.by_ref().take(count).read_to_end(&mut bytes).map_err(|e| read_error(&path, &e))?;
        Ok(bytes)
    };
    read(head.body as u64)?;
    let (rows, columns) = (head.shape[0], &head.shape[1..]);
    let width = columns.iter().try_fold(element.width() as u64, |n, &d| n.checked_mul(d));
    let width = width.ok_or_else(|| Error::data("a row of more than 2⁶⁴ bytes"))?;
    let row = Head { shape: [&[1], columns].concat(), ..head.clone() };
    budget.check(row.memory(), format!("a row of {} elements", row.sizes()))?;
    let most = (window / width).max(1);
    let (mut done, mut found) = (0, 0);
    while done < rows {
        let count = most.min(rows - done);
        let bytes = read(count.saturating_mul(width))?;
        found += bytes.len() as u64;
        if bytes.len() as u64 != count * width {
            return head.check(found).map(|()| true);
        }
        let mut shape = vec![count as usize];
        shape.extend(columns.iter().map(|&d| d as usize));
        let array = NpyArray { shape, elements: elements(bytes, element) };
        array.check_finite(done as usize)?;
        let own = array.wide_columns();
        wide.resize(own.len(), false);
        let is_new = own.iter().zip(wide.iter()).any(|(own, wide)| *own && !wide);
        wide.iter_mut().zip(own).for_each(|(wide, own)| *wide |= own);
        if is_new && done > 0 {
            return Ok(false);
        }
        take(done as usize, table(&array, wide))?;
        done += count;
    }
    // A single byte shows whether the file continues.
    head.check(found + read(1)?.len() as u64).map(|()| true)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{npy, parse};
    use super::*;
    use crate::data::columns::frame::Values;
    use crate::data::streams::stream::tests::{gzip, of_memory};

    fn windows(file: &[u8], window: u64) -> Result<(Vec<usize>, Frame)> {
        let (mut firsts, mut all) = (Vec::new(), Frame::default());
        pass_in(&of_memory("t.npy", file), Budget::default(), window, |first, frame| {
            if first == 0 {
                (firsts, all) = (Vec::new(), Frame::default());
            }
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
            let whole = table(&parse(&file).unwrap(), &[]);
            assert_eq!(windows(&file, 100).unwrap(), (firsts.clone(), whole.clone()));
            assert_eq!(windows(&gzip(&file), 100).unwrap(), (firsts, whole));
        }
    }

    #[test]
    fn a_column_that_turns_out_wide_is_texts_from_its_first_row_on() {
        let ids: Vec<i64> = vec![5, 1, 6, 2, 7, 3, -9_007_199_254_740_993, 4];
        let body: Vec<u8> = ids.iter().flat_map(|x| x.to_le_bytes()).collect();
        let (firsts, all) = windows(&npy("<i8", false, "(4, 2)", &body), 16).unwrap();
        assert_eq!((firsts, all.rows), (vec![0, 1, 2, 3], 4));
        let texts = [Some("5"), Some("6"), Some("7"), Some("-9007199254740993")];
        assert_eq!(all.columns[0], Some(Values::Texts(texts.into_iter().collect())));
        assert_eq!(all.columns[1], Some(Values::Bytes(vec![1, 2, 3, 4])));
    }

    #[test]
    fn sizes_that_lie_and_numbers_that_are_none_are_refused() {
        let refused = |file: &[u8]| {
            let plain = windows(file, 16).unwrap_err().to_string();
            (plain, windows(&gzip(file), 16).unwrap_err().to_string())
        };
        for (shape, text) in [
            ("(5, 1)", "holds only 32 bytes"),
            ("(3, 1)", "more bytes follow them"),
            ("(1099511627776, 1099511627776)", "of memory"),
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
