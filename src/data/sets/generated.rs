//! Generated sets of two features: small problems that no linear model solves.

use crate::data::{Dataset, Features, Targets};
use crate::math::matrix::Matrix;
use crate::math::random::{Random, Stream};
use std::f64::consts::{PI, TAU};
use std::sync::Arc;

/// Three arms of a spiral around the origin, each a class, approximately within the unit circle.
///
/// At distance r (uniform in 0.1…1) arm k is at the angle (k/3 + 0.6·r)·2π, with normal noise
/// of 0.15 radians. Classes alternate row by row. There is at least one row of each class.
#[must_use]
pub fn spiral(rows: usize, seed: u64) -> Dataset {
    generate("spiral", 3, rows, seed, |class, random| {
        let r = 0.1 + 0.9 * random.uniform();
        let angle = TAU * (class as f64 / 3.0 + 0.6 * r) + 0.15 * random.normal();
        [r * angle.cos(), r * angle.sin()]
    })
}

/// Two half moons, each a class, interlocked, with normal noise of 0.1.
///
/// The first is the upper half of the unit circle, the second the lower half of the unit circle
/// around (1, 0.5). Classes alternate row by row. There is at least one row of each class.
#[must_use]
pub fn moons(rows: usize, seed: u64) -> Dataset {
    generate("moons", 2, rows, seed, |class, random| {
        let (sin, cos) = (PI * random.uniform()).sin_cos();
        let [x, y] = if class == 0 { [cos, sin] } else { [1.0 - cos, 0.5 - sin] };
        [x + 0.1 * random.normal(), y + 0.1 * random.normal()]
    })
}

/// Points around the corners (±1, ±1) with normal noise of 0.2; the class says whether the signs
/// of the corner differ.
///
/// Classes alternate row by row. There is at least one row of each class.
#[must_use]
pub fn xor(rows: usize, seed: u64) -> Dataset {
    generate("xor", 2, rows, seed, |class, random| {
        let x = if random.uniform() < 0.5 { -1.0 } else { 1.0 };
        let y = if class == 0 { x } else { -x };
        [x + 0.2 * random.normal(), y + 0.2 * random.normal()]
    })
}

/// `rows` points whose class is the row modulo `classes`; `point` draws one.
fn generate(
    name: &str,
    classes: usize,
    rows: usize,
    seed: u64,
    mut point: impl FnMut(usize, &mut Random) -> [f64; 2],
) -> Dataset {
    let rows = rows.max(classes);
    let mut random = Random::new(seed, Stream::Data, 0);
    let points: Vec<[f64; 2]> = (0..rows).map(|row| point(row % classes, &mut random)).collect();
    let points = Matrix::from_fn(rows, 2, |r, c| points[r][c] as f32);
    Dataset {
        name: name.to_string(),
        features: Arc::new(Features::F32(points)),
        targets: Targets::Classes {
            labels: (0..rows).map(|row| (row % classes) as u32).collect(),
            names: (0..classes).map(|class| class.to_string()).collect(),
        },
        weights: None,
        is_image: false,
        shape: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Generator = fn(usize, u64) -> Dataset;
    const ALL: [(Generator, usize); 3] = [(spiral, 3), (moons, 2), (xor, 2)];

    /// The fraction of rows whose nearest other row is of the same class.
    fn agreement_with_nearest(data: &Dataset) -> f64 {
        let Targets::Classes { labels, .. } = data.targets() else { panic!("classes") };
        let point = |r| [data.features().value(r, 0), data.features().value(r, 1)];
        let distance = |a: usize, b: usize| {
            let ([ax, ay], [bx, by]) = (point(a), point(b));
            (ax - bx).powi(2) + (ay - by).powi(2)
        };
        let nearest = |a: usize| {
            (0..data.rows())
                .filter(|&b| b != a)
                .min_by(|&b, &c| distance(a, b).total_cmp(&distance(a, c)))
                .unwrap()
        };
        let same = (0..data.rows()).filter(|&r| labels[r] == labels[nearest(r)]).count();
        same as f64 / data.rows() as f64
    }

    #[test]
    fn the_seed_decides_every_row_and_classes_are_balanced() {
        for (make, classes) in ALL {
            let data = make(300, 1);
            assert_eq!((data.rows(), data.features().cols(), data.outputs()), (300, 2, classes));
            assert_eq!(data, make(300, 1));
            assert_ne!(data, make(300, 2));
            assert!(Dataset::new("again", data.features().clone(), data.targets().clone()).is_ok());
            assert_eq!(make(0, 1).rows(), classes, "never without a row of each class");
        }
    }

    #[test]
    fn the_classes_can_be_told_apart() {
        for (make, _) in ALL {
            let data = make(1000, 3);
            assert!(agreement_with_nearest(&data) > 0.97, "{}", data.name());
        }
    }
}
