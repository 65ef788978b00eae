//! Fingerprints, by which rows are recognized.

use crate::base::parallel::*;
use crate::base::sha256::Sha256;
use crate::data::{Affine, Features, Samples, Targets};
use serde::{Deserialize, Serialize};

/// The number of bytes that are hashed as one piece: pieces are distributed to all processors.
const PIECE: usize = 1 << 20;

impl Samples {
    /// The fingerprint of these rows: any other value, order, scaling, target or weight gives another one.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        let mut all = Sha256::new();
        let mut add = |bytes: &[u8]| {
            let pieces: Vec<_> = bytes.par_chunks(PIECE).map(Sha256::digest).collect();
            all.update((bytes.len() as u64).to_le_bytes());
            pieces.iter().for_each(|digest| all.update(digest));
        };
        match &*self.features {
            Features::U8(m) => add(m.data()),
            Features::F32(m) => add(bytemuck::cast_slice(m.data())),
        }
        let Affine { shift, scale } = &self.affine;
        add(bytemuck::cast_slice(shift));
        add(bytemuck::cast_slice(scale));
        match &self.targets {
            None => add(&[]),
            Some(Targets::Classes { labels, names }) => {
                add(bytemuck::cast_slice(labels));
                add(names.join("\n").as_bytes());
            }
            Some(Targets::Numbers(m)) => {
                let single: Vec<f32> = m.data().iter().map(|&x| x as f32).collect();
                add(bytemuck::cast_slice(&single));
            }
            Some(Targets::Labels { values, .. }) => add(bytemuck::cast_slice(values.data())),
        }
        if let Some(weights) = &self.weights {
            add(bytemuck::cast_slice(weights));
        }
        let sha256 = all.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Fingerprint { rows: self.rows(), columns: self.features.cols(), sha256 }
    }
}

/// The fingerprint of some rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fingerprint {
    /// The number of rows.
    pub rows: usize,
    /// The number of feature columns after encoding.
    pub columns: usize,
    /// SHA-256 over features, scaling, targets and weights, in hexadecimal.
    pub sha256: String,
}

#[cfg(test)]
mod tests {
    use crate::data::{Dataset, Features, Preprocessing, Targets};
    use crate::math::matrix::Matrix;

    #[test]
    fn a_changed_value_or_order_shows() {
        let set = |change: f32, rows: &[usize]| {
            let features = Features::F32(Matrix::from_fn(4, 3, |r, c| (r * 3 + c) as f32));
            let targets =
                Targets::from(Matrix::from_fn(4, 1, |r, _| if r == 2 { change } else { 0.5 }));
            let data = Dataset::new("set", features, targets).unwrap().select(rows);
            let weighted = data.clone().weighted(vec![1.0, 2.0, 1.0, 1.0]).unwrap();
            let of = |data| Preprocessing::none(data).samples(data).unwrap().fingerprint();
            assert_ne!(of(&weighted), of(&data));
            of(&data)
        };
        let first = set(1.0, &[0, 1, 2, 3]);
        assert_eq!((first.rows, first.columns, first.sha256.len()), (4, 3, 64));
        assert_eq!(set(1.0, &[0, 1, 2, 3]), first);
        assert_ne!(set(1.5, &[0, 1, 2, 3]), first);
        assert_ne!(set(1.0, &[1, 0, 2, 3]), first);
    }
}
