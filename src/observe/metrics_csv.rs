//! The metrics of each epoch as a table: `metrics.csv`.

use super::HeldOut;
use crate::base::error::{Error, Result};
use crate::train::event::{Epoch, Flow, Observer};
use std::io::{self, ErrorKind, Write};

/// A file that can be rewritten.
pub trait Restart: Write {
    /// Truncates it to nothing.
    ///
    /// # Errors
    /// When it can't be truncated.
    fn restart(&mut self) -> io::Result<()>;
}

impl Restart for Vec<u8> {
    fn restart(&mut self) -> io::Result<()> {
        self.clear();
        Ok(())
    }
}

impl<W: Restart> Restart for &mut W {
    fn restart(&mut self) -> io::Result<()> {
        (**self).restart()
    }
}

/// Writes a header and a row for each epoch as it ends: `epoch`, `step`, `train_loss`, `valid_loss` or
/// `test_loss` if there are held-out rows, their metrics by name, `lr`, `seconds` and
/// `samples_per_second`. Numbers are those of the event `epoch` of [`Record`](super::Record), with the same
/// digits. Each row is one write, and flushed. A run that is resumed with another metric gets a column for it, which is
/// empty for the epochs before.
pub struct MetricsCsv<W> {
    out: W,
    place: String,
    held_out: HeldOut,
    /// The existing columns and rows.
    kept: KeptRows,
}

impl<W: Restart> MetricsCsv<W> {
    /// A table that goes to `out`, called `place` in errors; `kept` is its existing content.
    pub fn new(out: W, place: impl Into<String>, held_out: HeldOut, kept: KeptRows) -> Self {
        MetricsCsv { out, place: place.into(), held_out, kept }
    }

    /// The cells of an epoch by their columns.
    fn cells(&self, epoch: &Epoch) -> Result<Vec<(&'static str, String)>> {
        let held_out = match self.held_out {
            HeldOut::Validation => "valid_loss",
            HeldOut::Test => "test_loss",
        };
        let number = |value: f64| serde_json::to_string(&value).map_err(|e| self.fail(&e));
        let mut cells = vec![
            ("epoch", epoch.epoch.to_string()),
            ("step", epoch.step.to_string()),
            ("train_loss", number(epoch.train_loss)?),
        ];
        if let Some(loss) = epoch.valid_loss {
            cells.push((held_out, number(loss)?));
        }
        for (name, value) in &epoch.metrics {
            cells.push((name, number(*value)?));
        }
        cells.push(("lr", serde_json::to_string(&epoch.lr).map_err(|e| self.fail(&e))?));
        cells.push(("seconds", number(epoch.seconds)?));
        cells.push(("samples_per_second", number(epoch.samples_per_second)?));
        // Numbers that aren't finite are null in JSON, and empty cells here.
        for (_, cell) in &mut cells {
            if cell == "null" {
                cell.clear();
            }
        }
        Ok(cells)
    }

    /// Rows as text.
    fn encode(&self, rows: &[Vec<String>]) -> Result<Vec<u8>> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let written = rows.iter().try_for_each(|row| writer.write_record(row));
        written.map_err(|e| self.fail(&e))?;
        writer.into_inner().map_err(|e| self.fail(e.error()))
    }

    fn write(&mut self, rows: &[Vec<String>]) -> Result<()> {
        let text = self.encode(rows)?;
        let written = self.out.write_all(&text).and_then(|()| self.out.flush());
        written.map_err(|e| match e.kind() {
            ErrorKind::StorageFull => self.fail(&e).help("free some space, then --resume the run"),
            _ => self.fail(&e),
        })
    }

    /// Writes a header of these columns and of the other existing ones, above the existing rows.
    fn begin(&mut self, names: Vec<String>) -> Result<()> {
        let before = self.kept.header.take().unwrap_or_default();
        let more: Vec<String> = before.iter().filter(|n| !names.contains(n)).cloned().collect();
        let header = [names, more].concat();
        let moved = |row: &Vec<String>| -> Vec<String> {
            let cell = |name| before.iter().position(|n| n == name).and_then(|i| row.get(i));
            header.iter().map(|name| cell(name).cloned().unwrap_or_default()).collect()
        };
        let rows = [vec![header.clone()], self.kept.rows.iter().map(moved).collect()].concat();
        self.out.restart().map_err(|e| self.fail(&e))?;
        self.write(&rows)?;
        self.kept.rows = rows.into_iter().skip(1).collect();
        self.kept.header = Some(header);
        Ok(())
    }

    fn fail(&self, error: &dyn std::fmt::Display) -> Error {
        Error::failed(format!("cannot write {}: {error}", self.place))
    }
}

impl<W: Restart> Observer for MetricsCsv<W> {
    fn epoch(&mut self, epoch: &Epoch) -> Result<Flow> {
        let cells = self.cells(epoch)?;
        let names: Vec<String> = cells.iter().map(|(name, _)| (*name).to_string()).collect();
        let has = |header: &Vec<String>| names.iter().all(|name| header.contains(name));
        if !self.kept.header.as_ref().is_some_and(has) {
            self.begin(names)?;
        }
        let cell = |column: &String| {
            let found = cells.iter().find(|(name, _)| name == column);
            found.map_or(String::new(), |(_, cell)| cell.clone())
        };
        let row: Vec<String> = self.kept.header.iter().flatten().map(cell).collect();
        self.kept.rows.push(row.clone());
        self.write(&[row])?;
        Ok(Flow::Continue)
    }
}

/// The part of a table that is kept when a run resumes after `epochs` epochs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeptRows {
    /// Its length in bytes.
    pub bytes: u64,
    /// Its columns, if it has them.
    pub header: Option<Vec<String>>,
    /// Its rows.
    pub rows: Vec<Vec<String>>,
}

impl KeptRows {
    /// The kept part of the table `text`: up to the first row of a later epoch, or the first incomplete row.
    #[must_use]
    pub fn of(text: &[u8], epochs: usize) -> Self {
        let whole = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(&text[..whole]);
        let mut kept = KeptRows::default();
        let mut record = csv::StringRecord::new();
        while let Ok(true) = reader.read_record(&mut record) {
            let cells: Vec<String> = record.iter().map(str::to_string).collect();
            match kept.header {
                None => kept.header = Some(cells),
                Some(_) => {
                    let epoch = record.get(0).and_then(|cell| cell.parse::<usize>().ok());
                    if epoch.is_none_or(|epoch| epoch > epochs) {
                        break;
                    }
                    kept.rows.push(cells);
                }
            }
            kept.bytes = reader.position().byte();
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::record::tests::epoch;

    const TABLE: &str = "epoch,step,train_loss,valid_loss,accuracy,lr,seconds,samples_per_second\n\
                         2,20,0.25,0.5,0.75,0.001,1.5,1000.0\n";

    fn table(held_out: HeldOut, epochs: &[Epoch]) -> Result<String> {
        let mut out = Vec::new();
        let mut table = MetricsCsv::new(&mut out, "metrics.csv", held_out, KeptRows::default());
        epochs.iter().try_for_each(|epoch| table.epoch(epoch).map(|_| ()))?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn each_epoch_is_a_row_below_one_header() {
        assert_eq!(table(HeldOut::Validation, &[epoch()]).unwrap(), TABLE);
        let infinite = Epoch { epoch: 3, train_loss: f64::INFINITY, ..epoch() };
        let both = table(HeldOut::Test, &[epoch(), infinite]).unwrap();
        assert!(both.starts_with("epoch,step,train_loss,test_loss,"), "{both}");
        assert!(both.ends_with("\n3,20,,0.5,0.75,0.001,1.5,1000.0\n"), "{both}");
    }

    #[test]
    fn a_metric_that_comes_later_gets_a_column() {
        let more = Epoch { epoch: 3, metrics: vec![("accuracy", 0.5), ("f1", 0.25)], ..epoch() };
        let bare = Epoch { epoch: 4, valid_loss: None, metrics: Vec::new(), ..epoch() };
        assert_eq!(
            table(HeldOut::Validation, &[epoch(), more, bare]).unwrap(),
            "epoch,step,train_loss,valid_loss,accuracy,f1,lr,seconds,samples_per_second\n\
             2,20,0.25,0.5,0.75,,0.001,1.5,1000.0\n3,20,0.25,0.5,0.5,0.25,0.001,1.5,1000.0\n\
             4,20,0.25,,,,0.001,1.5,1000.0\n"
        );
    }

    #[test]
    fn rows_of_later_epochs_and_half_rows_go() {
        let header = "epoch,step\n";
        let all = format!("{header}1,5\n2,10\n3,1");
        for (epochs, kept) in [(0, header.len()), (1, header.len() + 4), (9, all.len() - 3)] {
            let found = KeptRows::of(all.as_bytes(), epochs);
            assert_eq!(found.bytes, kept as u64, "{epochs}");
            assert_eq!(found.header.unwrap(), ["epoch", "step"]);
        }
        assert_eq!(KeptRows::of(b"", 3), KeptRows::default());
        assert_eq!(KeptRows::of(b"epoch,st", 3), KeptRows::default());
        assert_eq!(KeptRows::of(b"epoch\n\xff\n", 3).bytes, 6);
    }
}
