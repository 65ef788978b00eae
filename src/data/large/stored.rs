//! Encoded rows in a temporary file, for sets larger than memory.
//!
//! Rows are written once and read for every epoch and evaluation, in windows that
//! fit into memory. The order of an epoch is shuffled in two steps, as in Xu et al., *Stochastic Gradient
//! Descent without Full Data Shuffle* (SIGMOD 2022): slabs of neighboring rows are shuffled
//! and combined to windows, then the rows within each window are shuffled.

use super::row_bytes::{Columns, Form};
use crate::base::atomic::{passing_file, write_error};
use crate::base::error::{Error, Result};
use crate::base::sha256::Sha256;
use crate::data::Fingerprint;
use crate::data::sets::dataset::all_zero;
use crate::data::{Dataset, SlabOrder, Targets};
use crate::math::matrix::Matrix;
use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// A writer of a set's rows to a file.
pub struct StoredWriter {
    path: PathBuf,
    out: BufWriter<File>,
    form: Option<Form>,
    rows: usize,
    /// The rows that are written.
    held: Range<usize>,
    /// Σ w over the rows, summed in their order.
    weight: f64,
    spread: Spread,
    hash: Sha256,
}

impl StoredWriter {
    /// Creates a [`passing_file`].
    ///
    /// # Errors
    /// When it can't be created.
    pub fn create() -> Result<Self> {
        Self::create_for(0..usize::MAX)
    }

    /// As [`StoredWriter::create`], for a set of which only these rows are written, counted from the first appended
    /// one. Its number of rows, its weights, its targets' variation and its fingerprint are those of all rows.
    ///
    /// # Errors
    /// As [`StoredWriter::create`].
    pub fn create_for(held: Range<usize>) -> Result<Self> {
        let (file, path) = passing_file()?;
        let out = BufWriter::with_capacity(1 << 20, file);
        let (spread, hash) = (Spread::default(), Sha256::new());
        Ok(StoredWriter { path, out, form: None, rows: 0, held, weight: 0.0, spread, hash })
    }

    /// Appends rows with the same columns and targets as the previous ones; those that aren't held are only counted.
    ///
    /// # Errors
    /// When the columns or targets differ, or the rows can't be written.
    pub fn append(&mut self, data: &Dataset) -> Result<()> {
        let found = Form::of(data);
        let form = self.form.get_or_insert_with(|| found.clone());
        // Bytes are also numbers.
        let same = Form { bytes: form.bytes, ..found.clone() } == *form;
        if !same || form.bytes && !found.bytes {
            return Err(Error::data("later rows have a different type from the first ones")
                .at(data.name())
                .help("a column that first held only whole numbers from 0 to 255 may hold others later: name it in --numeric"));
        }
        let bytes = form.encode(data);
        if let Targets::Numbers(m) = data.targets() {
            self.spread.add(m, data.weights());
        }
        data.weights().into_iter().flatten().for_each(|&w| self.weight += f64::from(w));
        self.hash.update(&bytes);
        let place = |row: usize| row.clamp(self.rows, self.rows + data.rows()) - self.rows;
        let held = place(self.held.start)..place(self.held.end);
        let row_bytes = form.row_bytes();
        self.rows += data.rows();
        self.out
            .write_all(&bytes[held.start * row_bytes..held.end * row_bytes])
            .map_err(|e| full(&self.path, &e))
    }

    /// The set, if it has rows.
    ///
    /// # Errors
    /// When they can't be written, or all have the weight 0.
    pub fn finish(self) -> Result<Option<StoredSet>> {
        let StoredWriter { path, mut out, form, rows, held, weight, spread, hash } = self;
        let file = out.flush().and_then(|()| out.into_inner().map_err(|e| e.into_error()));
        let file = file.map_err(|e| full(&path, &e))?;
        let Some(form) = form.filter(|_| rows > 0) else { return Ok(None) };
        if form.weighted && weight <= 0.0 {
            return Err(all_zero(&form.name));
        }
        let mean_weight = form.weighted.then_some(weight / rows as f64);
        let sha256 = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        let fingerprint = Fingerprint { rows, columns: form.features, sha256 };
        let file = Mutex::new(file);
        let held = held.start.min(rows)..held.end.min(rows);
        Ok(Some(StoredSet { path, file, form, rows, held, mean_weight, spread, fingerprint }))
    }
}

fn full(path: &std::path::Path, error: &std::io::Error) -> Error {
    write_error(path, error)
        .help("during training, the encoded rows of a table beyond --memory-limit are stored on disk: free some space, or set WGRAD_CACHE_DIR to another directory")
}

/// Rows in a temporary file: all rows of a set, or a range of them.
#[derive(Debug)]
pub struct StoredSet {
    path: PathBuf,
    file: Mutex<File>,
    form: Form,
    rows: usize,
    held: Range<usize>,
    mean_weight: Option<f64>,
    spread: Spread,
    fingerprint: Fingerprint,
}

impl StoredSet {
    /// The name, as shown to users.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.form.name
    }

    /// The number of rows of the set, whether they are in the file or not.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The rows that are in the file.
    #[must_use]
    pub fn held(&self) -> Range<usize> {
        self.held.clone()
    }

    /// The fingerprint of the rows.
    #[must_use]
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// The number of bytes of a row.
    #[must_use]
    pub fn row_bytes(&self) -> usize {
        self.form.row_bytes()
    }

    /// The mean of the rows' weights; none if rows have no weights.
    #[must_use]
    pub fn mean_weight(&self) -> Option<f64> {
        self.mean_weight
    }

    /// Σ w (t − mean t)² over rows and outputs of numeric targets, with weights divided by their mean.
    #[must_use]
    pub fn variation(&self) -> f64 {
        self.spread.squares.iter().sum::<f64>() / self.mean_weight.unwrap_or(1.0)
    }

    /// At most `rows` rows from position `first` of an order.
    ///
    /// # Errors
    /// When they aren't in the file, or can't be read.
    pub fn window(&self, order: &SlabOrder, first: usize, rows: usize) -> Result<Dataset> {
        self.read(order.pieces(first, rows), rows.min(order.rows().saturating_sub(first)))
    }

    /// Some of its rows, in the order of the file.
    ///
    /// # Errors
    /// When they can't be read, or there is no such row.
    pub fn select(&self, rows: &[usize]) -> Result<Dataset> {
        self.read(rows.iter().map(|&row| row..row + 1), rows.len())
    }

    /// The rows of these pieces of the file, `rows` in all.
    fn read(&self, pieces: impl IntoIterator<Item = Range<usize>>, rows: usize) -> Result<Dataset> {
        let row_bytes = self.row_bytes();
        let mut all = Columns::new(&self.form, rows);
        let mut bytes = Vec::new();
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        for piece in pieces {
            if piece.start < self.held.start || piece.end > self.held.end {
                return Err(Error::failed("a row is read that isn't in the file").at(self.name()));
            }
            bytes.resize(piece.len() * row_bytes, 0);
            let place = SeekFrom::Start(((piece.start - self.held.start) * row_bytes) as u64);
            file.seek(place)
                .and_then(|_| file.read_exact(&mut bytes))
                .map_err(|e| Error::io("read", &self.path, &e))?;
            bytes.chunks_exact(row_bytes).for_each(|row| all.push(&self.form, row));
        }
        drop(file);
        all.dataset(&self.form)
    }
}

/// Weighted means and Σ w (x − mean)² of columns, summed chunk by chunk (Chan, Golub and LeVeque,
/// 1979).
#[derive(Debug, Default)]
struct Spread {
    /// Σ w: the number of rows if they have no weights.
    total: f64,
    means: Vec<f64>,
    squares: Vec<f64>,
}

impl Spread {
    fn add(&mut self, m: &Matrix<f64>, weights: Option<&[f32]>) {
        self.means.resize(m.cols(), 0.0);
        self.squares.resize(m.cols(), 0.0);
        let weight = |row: usize| weights.map_or(1.0, |w| f64::from(w[row]));
        let n: f64 = (0..m.rows()).map(weight).sum();
        if n <= 0.0 {
            return;
        }
        for c in 0..m.cols() {
            let column = || (0..m.rows()).map(|row| (weight(row), m.row(row)[c]));
            let mean = column().map(|(w, x)| w * x).sum::<f64>() / n;
            let squares: f64 = column().map(|(w, x)| w * (x - mean).powi(2)).sum();
            let (apart, all) = (mean - self.means[c], self.total + n);
            self.squares[c] += squares + apart * apart * self.total * n / all;
            self.means[c] += apart * n / all;
        }
        self.total += n;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Features;

    fn set(rows: std::ops::Range<usize>) -> Dataset {
        let count = rows.len();
        let features = Matrix::from_fn(count, 3, |r, c| ((rows.start + r) * 10 + c) as f32);
        let targets = Matrix::from_fn(count, 1, |r, _| (rows.start + r) as f64);
        let weights = (0..count).map(|r| (rows.start + r) as f32 + 0.5).collect();
        let data = Dataset::new("t", Features::F32(features), Targets::Numbers(targets)).unwrap();
        data.weighted(weights).unwrap()
    }

    #[test]
    fn what_is_written_in_chunks_is_read_in_windows() {
        let mut writer = StoredWriter::create().unwrap();
        for chunk in [0..7, 7..8, 8..50] {
            writer.append(&set(chunk)).unwrap();
        }
        let stored = writer.finish().unwrap().unwrap();
        assert_eq!((stored.rows(), stored.row_bytes()), (50, 24));
        let order = SlabOrder::new(&stored, None, 0);
        assert_eq!(stored.window(&order, 0, 100).unwrap(), set(0..50));
        assert_eq!(stored.window(&order, 13, 9).unwrap(), set(13..22));
        let weighted = |of: fn(f64) -> f64| -> f64 {
            (0..50).map(|t| (f64::from(t) + 0.5) / 25.0 * of(f64::from(t))).sum()
        };
        let mean = weighted(|t| t) / 50.0;
        let squares = weighted(|t| t * t) - 50.0 * mean * mean;
        assert_eq!(stored.mean_weight(), Some(25.0));
        assert!((stored.variation() / squares - 1.0).abs() < 1e-12);
        assert!(StoredWriter::create().unwrap().finish().unwrap().is_none());
    }

    #[test]
    fn a_range_of_the_rows_is_written_and_all_are_counted() {
        let chunks = [0..7, 7..8, 8..31, 31..50];
        let store = |held: Option<Range<usize>>| {
            let mut writer = match held {
                Some(held) => StoredWriter::create_for(held).unwrap(),
                None => StoredWriter::create().unwrap(),
            };
            chunks.iter().for_each(|chunk| writer.append(&set(chunk.clone())).unwrap());
            writer.finish().unwrap().unwrap()
        };
        let bytes = |stored: &StoredSet| {
            stored.file.lock().unwrap().metadata().unwrap().len() as usize / stored.row_bytes()
        };
        let whole = store(None);
        assert_eq!((whole.held(), bytes(&whole)), (0..50, 50));
        for held in [0..20, 5..33, 31..50, 8..9] {
            let part = store(Some(held.clone()));
            assert_eq!((part.held(), bytes(&part)), (held.clone(), held.len()));
            assert_eq!((part.rows(), part.fingerprint()), (50, whole.fingerprint()));
            assert_eq!(part.mean_weight(), whole.mean_weight());
            assert_eq!(part.variation().to_bits(), whole.variation().to_bits());
            let order = SlabOrder::of_rows(&part, held.clone(), None, 0);
            assert_eq!(part.window(&order, 0, 100).unwrap(), set(held.clone()));
            let beyond = part.select(&[held.end]).unwrap_err().to_string();
            assert!(beyond.contains("isn't in the file"), "{beyond}");
        }
    }

    #[test]
    fn bytes_and_classes_come_back_and_other_kinds_are_refused() {
        let of = |features| {
            let names = vec!["a".to_string(), "b".to_string()];
            let targets = Targets::Classes { labels: vec![1, 0], names };
            Dataset::new("t", features, targets).unwrap().image()
        };
        let bytes = of(Features::U8(Matrix::new(2, 2, vec![1, 2, 3, 255]).unwrap()));
        let numbers = of(Features::F32(Matrix::new(2, 2, vec![1.0, 2.0, 3.0, 255.0]).unwrap()));
        let mut writer = StoredWriter::create().unwrap();
        writer.append(&bytes).unwrap();
        assert!(writer.append(&numbers).is_err());
        assert!(writer.append(&set(0..2)).is_err());
        let stored = writer.finish().unwrap().unwrap();
        assert_eq!(stored.window(&SlabOrder::new(&stored, None, 0), 0, 2).unwrap(), bytes);
        let mut writer = StoredWriter::create().unwrap();
        writer.append(&numbers).unwrap();
        writer.append(&bytes).unwrap();
        let stored = writer.finish().unwrap().unwrap();
        let order = SlabOrder::new(&stored, None, 0);
        assert_eq!(stored.window(&order, 2, 2).unwrap(), numbers);
    }
}
