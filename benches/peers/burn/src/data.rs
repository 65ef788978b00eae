//! The data of `benches/peers/prepare`: MNIST as IDX files, housing as a table, random numbers.

use flate2::read::GzDecoder;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::error::Error;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

/// Rows of features, and either classes or numbers.
pub struct Data {
    pub x: Vec<f32>,
    pub classes: Vec<i32>,
    pub numbers: Vec<f32>,
}

/// The bytes of a gzipped IDX file behind its header of `header` bytes.
fn idx(path: &Path, header: usize) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut bytes = Vec::new();
    GzDecoder::new(File::open(path)?).read_to_end(&mut bytes)?;
    Ok(bytes.split_off(header))
}

/// MNIST's training images in 0…1, (60000, 784), and labels.
pub fn mnist(directory: &Path) -> Result<Data, Box<dyn Error>> {
    let x = idx(&directory.join("mnist/train-images-idx3-ubyte.gz"), 16)?;
    let labels = idx(&directory.join("mnist/train-labels-idx1-ubyte.gz"), 8)?;
    Ok(Data {
        x: x.into_iter().map(|p| f32::from(p) / 255.0).collect(),
        classes: labels.into_iter().map(i32::from).collect(),
        numbers: Vec::new(),
    })
}

/// The table `housing.csv`: all columns but the last, and the last.
pub fn housing(directory: &Path) -> Result<Data, Box<dyn Error>> {
    let text = fs::read_to_string(directory.join("housing.csv"))?;
    let mut data = Data { x: Vec::new(), classes: Vec::new(), numbers: Vec::new() };
    for line in text.lines().skip(1) {
        let row: Vec<f32> = line.split(',').map(str::parse).collect::<Result<_, _>>()?;
        let (target, features) = row.split_last().ok_or("an empty row")?;
        data.x.extend(features);
        data.numbers.push(*target);
    }
    Ok(data)
}

/// Uniform random numbers.
pub fn random(rows: usize, inputs: usize, outputs: usize) -> Data {
    let mut random = StdRng::seed_from_u64(0);
    let mut draw = |n: usize| (0..n).map(|_| random.random_range(-1.0..1.0)).collect();
    Data { x: draw(rows * inputs), classes: Vec::new(), numbers: draw(rows * outputs) }
}
