//! The bundled digits: 1,797 real handwritten digits of 8 × 8 pixels.
//!
//! E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning
//! Repository, doi 10.24432/C50P49, CC BY 4.0. `assets/README.md` has the format of the file.

use crate::data::{Dataset, Features, Targets};
use crate::math::matrix::Matrix;
use flate2::read::ZlibDecoder;
use std::io::Read;
use std::sync::Arc;

static FILE: &[u8] = include_bytes!("../../../assets/digits.bin");
const HEADER: usize = 12;

/// The bundled set of handwritten digits: 1,797 rows of 64 pixels with values 0…16, 10 classes.
#[must_use]
pub fn digits() -> Dataset {
    let (header, compressed) = FILE.split_at(HEADER);
    let rows = usize::from(u16::from_le_bytes([header[8], header[9]]));
    let pixels = usize::from(header[10]) * usize::from(header[11]);
    let mut bytes = vec![0; rows * pixels + rows];
    ZlibDecoder::new(compressed)
        .read_exact(&mut bytes)
        .expect("the file is part of the program, and a test reads it");
    let labels = bytes.split_off(rows * pixels).into_iter().map(u32::from).collect();
    let features = Matrix::from_fn(rows, pixels, |r, c| bytes[r * pixels + c]);
    Dataset {
        name: "digits".to_string(),
        features: Arc::new(Features::U8(features)),
        targets: Targets::Classes { labels, names: (0..10).map(|d| d.to_string()).collect() },
        weights: None,
        is_image: true,
        shape: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundled_file_holds_1797_digits_with_known_sums() {
        assert!(FILE.starts_with(b"wgdigits"));
        let data = digits();
        let (Features::U8(pixels), Targets::Classes { labels, names }) =
            (data.features(), data.targets())
        else {
            panic!("bytes and classes");
        };
        assert_eq!((pixels.rows(), pixels.cols(), names.len()), (1797, 64, 10));
        assert!(data.is_image() && pixels.data().iter().all(|&p| p <= 16));
        // sum and counts of the original CSV, by awk
        assert_eq!(pixels.data().iter().map(|&p| u64::from(p)).sum::<u64>(), 561_718);
        let mut counts = [0; 10];
        labels.iter().for_each(|&l| counts[l as usize] += 1);
        assert_eq!(counts, [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]);
        assert_eq!(&pixels.row(0)[..8], [0, 0, 5, 13, 9, 1, 0, 0]);
        assert_eq!(labels[..5], [0, 1, 2, 3, 4]);
    }
}
