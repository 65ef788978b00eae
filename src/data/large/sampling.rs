//! A sample of the rows of a table, drawn in one pass.

use crate::base::error::Result;
use crate::data::columns::frame::{Frame, Values};
use crate::data::columns::texts::Texts;
use crate::data::formats::want::Rows;
use crate::data::tables::target::MAX_CLASSES;
use crate::math::random::{Stream, stream_key, threefry};

/// The most distinct numbers in the target for which each has a row in the sample.
const FEW: usize = 64;

/// A seeded sample of rows: those with the smallest random keys, and the first of each class.
pub(super) struct Sampling {
    keep: usize,
    targets: Vec<usize>,
    key: [u32; 2],
    /// Rows with a key below this are in the sample.
    below: u64,
    pub(super) frame: Frame,
    /// The index and the key of each row of the sample.
    pub(super) places: Vec<usize>,
    keys: Vec<u64>,
    pub(super) rows: usize,
    /// The target values that have a row in the sample.
    seen: Texts,
}

impl Sampling {
    pub(super) fn new(keep: usize, targets: Vec<usize>, seed: u64) -> Self {
        Sampling {
            keep,
            targets,
            key: stream_key(seed, Stream::Sample, 0),
            below: u64::MAX,
            frame: Frame::default(),
            places: Vec::new(),
            keys: Vec::new(),
            rows: 0,
            seen: Texts::default(),
        }
    }

    pub(super) fn take(&mut self, Rows { first, frame, .. }: Rows) -> Result<()> {
        let mut keys: Vec<u64> = (first..first + frame.rows).map(|row| self.key_of(row)).collect();
        if let [target] = self.targets[..]
            && let Some(values) = &frame.columns[target]
        {
            self.keep_classes(values, &mut keys)?;
        }
        let kept: Vec<usize> = (0..frame.rows).filter(|&row| keys[row] < self.below).collect();
        self.rows = first + frame.rows;
        self.places.extend(kept.iter().map(|&row| first + row));
        self.keys.extend(kept.iter().map(|&row| keys[row]));
        let chosen = frame.select(&kept);
        match self.frame.rows {
            0 => self.frame = chosen,
            _ => self.frame.append(chosen),
        }
        while self.frame.rows > 2 * self.keep && self.below > 1 {
            self.below /= 2;
            let kept: Vec<usize> =
                (0..self.keys.len()).filter(|&i| self.keys[i] < self.below).collect();
            self.frame = self.frame.select(&kept);
            self.places = kept.iter().map(|&i| self.places[i]).collect();
            self.keys = kept.iter().map(|&i| self.keys[i]).collect();
        }
        Ok(())
    }

    /// The random key of a row, which depends only on the row and the seed.
    fn key_of(&self, row: usize) -> u64 {
        let row = row as u64;
        let [a, b] = threefry(self.key, [row as u32, (row >> 32) as u32]);
        (u64::from(a) | u64::from(b) << 32).max(1)
    }

    /// Gives the first row of each class the key 0, which is always kept.
    fn keep_classes(&mut self, values: &Values, keys: &mut [u64]) -> Result<()> {
        let limit = if matches!(values, Values::Texts(_)) { MAX_CLASSES } else { FEW };
        if self.seen.words.len() > limit {
            return Ok(());
        }
        for (row, key) in keys.iter_mut().enumerate() {
            let Some(text) = values.text(row) else { continue };
            let before = self.seen.words.len();
            self.seen.words.code(&text);
            if self.seen.words.len() > before {
                *key = 0;
                if before >= limit {
                    break;
                }
            }
        }
        Ok(())
    }
}
