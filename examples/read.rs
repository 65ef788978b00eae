//! The time to convert a table to the rows of a net: `cargo run --release --example read FILE`.
//!
//! Prints the seconds for reading and analyzing, for fitting, and for encoding all rows, and
//! the bytes and rows of the file.

use std::time::Instant;
use wgrad::data::{self, DataOptions, Fitting, Preprocessing, Scaling};

fn main() -> wgrad::Result<()> {
    let path = std::env::args().nth(1).unwrap_or_default();
    let bytes = std::fs::metadata(&path).map_or(0, |m| m.len());
    let begin = Instant::now();
    let data = data::open(&path, &DataOptions::default())?.train;
    let read = begin.elapsed().as_secs_f64();
    let rows: Vec<usize> = (0..data.rows()).collect();
    let begin = Instant::now();
    let fitting = Fitting::new(Scaling::Standard);
    let fitted = Preprocessing::fit_rows(&data, &rows, &fitting)?;
    let fit = begin.elapsed().as_secs_f64();
    let begin = Instant::now();
    let set = fitted.dataset(&data, &rows)?;
    let encode = begin.elapsed().as_secs_f64();
    println!(
        "{{\"read\":{read},\"fit\":{fit},\"encode\":{encode},\"bytes\":{bytes},\"rows\":{},\"inputs\":{}}}",
        set.rows(),
        set.features().cols()
    );
    Ok(())
}
