//! The metrics of each epoch as a table: `metrics.csv`.

use super::HeldOut;
use crate::error::{Error, Result};
use crate::event::{Epoch, Flow, Observer};
use std::io::{ErrorKind, Write};

/// Writes a header and a row for each epoch as it ends: `epoch`, `step`, `train_loss`, `valid_loss` or
/// `test_loss` where there are held-out rows, their metrics by name, `lr`, `seconds` and
/// `samples_per_second`. Numbers are those of the event `epoch` of [`Record`](super::Record), in the same
/// digits. Each row is one write, and flushed.
pub struct MetricsCsv<W> {
    out: W,
    place: String,
    held_out: HeldOut,
    /// The columns, once they are written.
    header: Option<Vec<String>>,
}

impl<W: Write> MetricsCsv<W> {
    /// A table that goes to `out`, called `place` in errors; `header` are the columns that it has already.
    pub fn new(
        out: W,
        place: impl Into<String>,
        held_out: HeldOut,
        header: Option<Vec<String>>,
    ) -> Self {
        MetricsCsv { out, place: place.into(), held_out, header }
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
        // What isn't finite is null in JSON, and an empty cell here.
        for (_, cell) in &mut cells {
            if cell == "null" {
                cell.clear();
            }
        }
        Ok(cells)
    }

    fn row<T: AsRef<[u8]>>(&mut self, cells: impl IntoIterator<Item = T>) -> Result<()> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let line = writer
            .write_record(cells)
            .map_err(std::io::Error::other)
            .and_then(|()| writer.into_inner().map_err(|e| e.into_error()))
            .map_err(|e| self.fail(&e))?;
        let written = self.out.write_all(&line).and_then(|()| self.out.flush());
        written.map_err(|e| match e.kind() {
            ErrorKind::StorageFull => self.fail(&e).help("free some space, then --resume the run"),
            _ => self.fail(&e),
        })
    }

    fn fail(&self, error: &dyn std::fmt::Display) -> Error {
        Error::failed(format!("cannot write {}: {error}", self.place))
    }
}

impl<W: Write> Observer for MetricsCsv<W> {
    fn epoch(&mut self, epoch: &Epoch) -> Result<Flow> {
        let cells = self.cells(epoch)?;
        let names: Vec<String> = cells.iter().map(|(name, _)| (*name).to_string()).collect();
        match &self.header {
            Some(header) if *header != names => {
                return Err(Error::usage(format!(
                    "its columns are {}, and those of this run {}",
                    header.join(","),
                    names.join(",")
                ))
                .at(&self.place)
                .help("move the file away: a new one is begun"));
            }
            Some(_) => {}
            None => {
                self.row(&names)?;
                self.header = Some(names);
            }
        }
        self.row(cells.iter().map(|(_, cell)| cell))?;
        Ok(Flow::Continue)
    }
}

/// What of such a table stays where a run goes on behind `epochs` epochs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeptRows {
    /// Its length in bytes.
    pub bytes: u64,
    /// Its columns, where it has them.
    pub header: Option<Vec<String>>,
}

impl KeptRows {
    /// That of the table `text`: up to the first row of a later epoch, or one that isn't whole.
    #[must_use]
    pub fn of(text: &[u8], epochs: usize) -> Self {
        let whole = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(&text[..whole]);
        let mut kept = KeptRows::default();
        let mut record = csv::StringRecord::new();
        while let Ok(true) = reader.read_record(&mut record) {
            match kept.header {
                None => kept.header = Some(record.iter().map(str::to_string).collect()),
                Some(_) => {
                    let epoch = record.get(0).and_then(|cell| cell.parse::<usize>().ok());
                    if epoch.is_none_or(|epoch| epoch > epochs) {
                        break;
                    }
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
        let mut table = MetricsCsv::new(&mut out, "metrics.csv", held_out, None);
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
    fn other_columns_than_before_are_refused() {
        let bare = Epoch { valid_loss: None, metrics: Vec::new(), ..epoch() };
        let error = table(HeldOut::Validation, &[epoch(), bare]).unwrap_err();
        assert!(error.to_string().contains("metrics.csv"), "{error}");
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
