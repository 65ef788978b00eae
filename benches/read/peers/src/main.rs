//! Reads a file into columns with the crates that a Rust program would take for it, on one thread:
//! `read-peers csv|arrow-csv|parquet|ndarray-npy FILE` prints the seconds and the rows.

use arrow_array::RecordBatch;
use ndarray::Array2;
use ndarray_npy::ReadNpyExt;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::error::Error;
use std::fs::File;
use std::hint::black_box;
use std::io::BufReader;
use std::sync::Arc;
use std::time::Instant;

/// Batch size.
const BATCH: usize = 1 << 16;

/// A column: numbers as long as all cells are some, else texts.
enum Column {
    Numbers(Vec<f64>),
    Texts(Vec<String>),
}

impl Column {
    fn push(&mut self, cell: &str) {
        match self {
            Column::Texts(texts) => texts.push(cell.to_string()),
            Column::Numbers(numbers) if cell.is_empty() => numbers.push(f64::NAN),
            Column::Numbers(numbers) => match cell.parse() {
                Ok(number) => numbers.push(number),
                Err(_) => {
                    let mut texts: Vec<String> = numbers.iter().map(f64::to_string).collect();
                    texts.push(cell.to_string());
                    *self = Column::Texts(texts);
                }
            },
        }
    }
}

fn csv(path: &str) -> Result<usize, Box<dyn Error>> {
    let mut reader = csv::ReaderBuilder::new().buffer_capacity(1 << 20).from_path(path)?;
    let width = reader.headers()?.len();
    let mut columns: Vec<Column> = (0..width).map(|_| Column::Numbers(Vec::new())).collect();
    let (mut record, mut rows) = (csv::StringRecord::new(), 0);
    while reader.read_record(&mut record)? {
        columns.iter_mut().zip(&record).for_each(|(column, cell)| column.push(cell));
        rows += 1;
    }
    black_box(&columns);
    Ok(rows)
}

fn arrow_csv(path: &str) -> Result<usize, Box<dyn Error>> {
    let format = arrow_csv::reader::Format::default().with_header(true);
    let (schema, _) = format.infer_schema(BufReader::new(File::open(path)?), Some(1000))?;
    let reader = arrow_csv::ReaderBuilder::new(Arc::new(schema))
        .with_header(true)
        .with_batch_size(BATCH)
        .build(File::open(path)?)?;
    rows_of(reader)
}

fn parquet(path: &str) -> Result<usize, Box<dyn Error>> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path)?)?;
    rows_of(builder.with_batch_size(BATCH).build()?)
}

/// Holds all batches, as a program that goes on with them does.
fn rows_of<E: Error + 'static>(
    batches: impl Iterator<Item = Result<RecordBatch, E>>,
) -> Result<usize, Box<dyn Error>> {
    let all = batches.collect::<Result<Vec<_>, E>>()?;
    Ok(black_box(&all).iter().map(RecordBatch::num_rows).sum())
}

fn npy(path: &str) -> Result<usize, Box<dyn Error>> {
    let array = Array2::<f64>::read_npy(BufReader::new(File::open(path)?))?;
    Ok(black_box(&array).nrows())
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (peer, path) = (args.next().unwrap_or_default(), args.next().unwrap_or_default());
    let begin = Instant::now();
    let rows = match peer.as_str() {
        "csv" => csv(&path),
        "arrow-csv" => arrow_csv(&path),
        "parquet" => parquet(&path),
        "ndarray-npy" => npy(&path),
        _ => Err("csv, arrow-csv, parquet or ndarray-npy".into()),
    }?;
    println!("{{\"seconds\":{},\"rows\":{rows}}}", begin.elapsed().as_secs_f64());
    Ok(())
}
