//! The augmentation of one image, pixel by pixel.
//!
//! Images are bytes, and everything is computed in integers, so that every device gives the same
//! image, bit for bit: coordinates and factors in units of 1/4096 ("Q12"), bilinear weights of the four
//! pixels around a point in 1/64. Only the result becomes a float, exactly. The transformation of an
//! image is determined by the run's key, the epoch and the row's position in the epoch's order.

use super::Augment;
use crate::math::random::threefry;
use std::ops::Range;

/// Augmentation of images of a known shape, as kernels take it: amounts in Q12, angles in
/// radians.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Augmentation {
    /// Width, height and colors of a pixel.
    pub shape: [u32; 3],
    /// The key of the random numbers: [`crate::math::random::stream_key`].
    pub key: [u32; 2],
    /// Pixels.
    pub shift: i32,
    /// Radians.
    pub rotation: i32,
    /// A fraction.
    pub scale: i32,
    /// The tangent of the angle.
    pub shear: i32,
    /// Pixels.
    pub elastic: i32,
    /// The distance in pixels of the grid points whose displacements are drawn, not in Q12.
    pub spacing: u32,
    /// The amplitude, in units of a byte (of 255), not in Q12.
    pub noise: i32,
    /// The side of the square in pixels, not in Q12.
    pub cutout: u32,
}

/// 1 in Q12.
pub const ONE: i32 = 1 << 12;

/// The largest width and height of an image.
pub const LARGEST: u32 = 1024;

impl Augmentation {
    /// The constants of `augment` for images of that shape: width, height, colors of a pixel.
    #[must_use]
    pub fn new(augment: &Augment, shape: [u32; 3], key: [u32; 2]) -> Self {
        let q12 = |x: f32| (x * ONE as f32).round() as i32;
        Augmentation {
            shape,
            key,
            shift: q12(augment.shift),
            rotation: q12(augment.rotation.to_radians()),
            scale: q12(augment.scale),
            shear: q12(augment.shear.to_radians().tan()),
            elastic: q12(augment.elastic[0]),
            spacing: (augment.elastic[1].round() as u32).max(1),
            noise: augment.noise.round() as i32,
            cutout: augment.cutout.round() as u32,
        }
    }

    /// The image at `position` of an epoch.
    #[must_use]
    pub fn of(self, epoch: u32, position: u32) -> Image {
        Image::new(self, epoch, position)
    }
}

/// Draws are counted from here for the movements of an elastic deformation, …
pub const ELASTIC_DRAWS: u32 = 16;
/// … and from here for noise.
pub const NOISE_DRAWS: u32 = 1 << 20;

/// The transformation of one image.
#[derive(Debug, Clone)]
pub struct Image {
    pub(super) of: Augmentation,
    key: [u32; 2],
    position: u32,
    /// Maps output points to their source: x = (m₀ dx + m₁ dy) / 2 + …, d the distance from the center
    /// in halves of a pixel.
    pub(super) matrix: [i32; 4],
    pub(super) shift: [i32; 2],
    /// The covered square's first column and row.
    covered: [i32; 2],
    /// The elastic deformation, where there is one.
    pub(super) bend: Option<Bend>,
}

/// Displacements drawn for the points of a grid, and the grid points around each pixel.
#[derive(Debug, Clone)]
pub(super) struct Bend {
    /// The displacement of each grid point: x and y.
    pub movements: Vec<[i32; 2]>,
    /// The number of grid points in a row.
    pub across: usize,
    /// For each column of pixels the column of the grid before it, and the weight of the next one.
    pub columns: Vec<(usize, i32)>,
    /// The same for each row.
    pub rows: Vec<(usize, i32)>,
}

/// A random number in [−amount, amount): the upper 13 bits of `bits`.
fn signed(bits: u32, amount: i32) -> i32 {
    (((bits >> 19) as i32 - ONE) * amount) >> 12
}

/// a · b in Q12.
fn times(a: i32, b: i32) -> i32 {
    (a * b) >> 12
}

/// Sine and cosine in Q12 of an angle of up to π/4, by the first terms of their series.
fn sine_and_cosine(angle: i32) -> [i32; 2] {
    let square = times(angle, angle);
    let cube = times(angle, square);
    let sine = angle - cube / 6 + times(cube, square) / 120;
    [sine, ONE - square / 2 + times(square, square) / 24]
}

/// 3 t² − 2 t³ of t = i / n, in units of 1/256.
fn smooth_step(i: u32, n: u32) -> i32 {
    let t = (256 * i / n) as i32;
    (t * t * (768 - 2 * t)) >> 16
}

impl Image {
    fn new(of: Augmentation, epoch: u32, position: u32) -> Self {
        let key = [of.key[0], of.key[1] ^ epoch];
        let draw = |i: u32| threefry(key, [position, i]);
        let [x, y] = draw(0);
        let [turn, size] = draw(1);
        let [lean, left] = draw(2);
        let [top, _] = draw(3);
        let [sine, cosine] = sine_and_cosine(signed(turn, of.rotation));
        let shear = signed(lean, of.shear);
        let size = ONE + signed(size, of.scale);
        let matrix = [cosine, times(cosine, shear) - sine, sine, times(sine, shear) + cosine];
        let [width, height, _] = of.shape;
        let side = of.cutout as i32 / 2;
        let bend = || Bend::new(of, |i| draw(ELASTIC_DRAWS + i));
        Image {
            of,
            key,
            position,
            matrix: matrix.map(|m| times(m, size)),
            shift: [x, y].map(|bits| signed(bits, of.shift)),
            covered: [(left % width) as i32 - side, (top % height) as i32 - side],
            bend: (of.elastic > 0).then(bend),
        }
    }

    /// The pixel in column x and row y, for each color, in Q12 of a byte: from `raw`, an image of
    /// bytes.
    pub fn pixel(&self, raw: &[u8], x: u32, y: u32, mut take: impl FnMut(i32)) {
        let [width, height, colours] = self.of.shape;
        let [px, py] = [x as i32 - self.covered[0], y as i32 - self.covered[1]];
        let side = self.of.cutout as i32;
        if (0..side).contains(&px) && (0..side).contains(&py) {
            (0..colours).for_each(|_| take(0));
            return;
        }
        let [sx, sy] = self.source(x, y);
        // Beyond the edge, the pixel at the edge is repeated.
        let sx = sx.clamp(0, (width as i32 - 1) << 12);
        let sy = sy.clamp(0, (height as i32 - 1) << 12);
        let (left, top) = (sx as u32 >> 12, sy as u32 >> 12);
        let (right, below) = ((left + 1).min(width - 1), (top + 1).min(height - 1));
        let (wx, wy) = ((sx & 4095) >> 6, (sy & 4095) >> 6);
        for colour in 0..colours {
            let at = |x: u32, y: u32| i32::from(raw[((y * width + x) * colours + colour) as usize]);
            let upper = at(left, top) * (64 - wx) + at(right, top) * wx;
            let lower = at(left, below) * (64 - wx) + at(right, below) * wx;
            let value = upper * (64 - wy) + lower * wy;
            let noise = self.noise((y * width + x) * colours + colour);
            take((value + noise).clamp(0, 255 * ONE));
        }
    }

    /// The columns of a row that the square covers.
    pub(super) fn covered_columns(&self, y: u32) -> Range<u32> {
        let (side, width) = (self.of.cutout as i32, self.of.shape[0] as i32);
        if !(0..side).contains(&(y as i32 - self.covered[1])) {
            return 0..0;
        }
        let [first, end] =
            [self.covered[0], self.covered[0] + side].map(|x| x.clamp(0, width) as u32);
        first..end
    }

    /// The noise added to a feature, in Q12 of a byte.
    pub(super) fn noise(&self, feature: u32) -> i32 {
        if self.of.noise == 0 {
            return 0;
        }
        let draws = threefry(self.key, [self.position, NOISE_DRAWS + feature / 2]);
        ((draws[feature as usize % 2] >> 19) as i32 - ONE) * self.of.noise
    }

    /// Where the pixel in column x and row y comes from, in Q12.
    fn source(&self, x: u32, y: u32) -> [i32; 2] {
        let [width, height, _] = self.of.shape.map(|n| n as i32);
        let d = [2 * x as i32 - (width - 1), 2 * y as i32 - (height - 1)];
        let [bend_x, bend_y] = self.bend.as_ref().map_or([0; 2], |bend| bend.at(x, y));
        let [m0, m1, m2, m3] = self.matrix;
        [
            ((m0 * d[0] + m1 * d[1]) >> 1) + ((width - 1) << 11) + self.shift[0] + bend_x,
            ((m2 * d[0] + m3 * d[1]) >> 1) + ((height - 1) << 11) + self.shift[1] + bend_y,
        ]
    }
}

impl Bend {
    fn new(of: Augmentation, draw: impl Fn(u32) -> [u32; 2]) -> Self {
        let [width, height, _] = of.shape;
        let spacing = of.spacing;
        let [across, down] = [width, height].map(|side| side / spacing + 2);
        let movement = |i: u32| draw(i).map(|bits| signed(bits, of.elastic));
        let cell = |at: u32| ((at / spacing) as usize, smooth_step(at % spacing, spacing));
        Bend {
            movements: (0..across * down).map(movement).collect(),
            across: across as usize,
            columns: (0..width).map(cell).collect(),
            rows: (0..height).map(cell).collect(),
        }
    }

    /// The number of grid points in a column.
    pub(super) fn down(&self) -> usize {
        self.movements.len() / self.across
    }

    /// The displacement of the pixel in column x and row y, interpolated between the grid points around it.
    fn at(&self, x: u32, y: u32) -> [i32; 2] {
        let ((column, wx), (row, wy)) = (self.columns[x as usize], self.rows[y as usize]);
        let point = row * self.across + column;
        let corner = |i: usize| self.movements[i];
        let corners = [
            corner(point),
            corner(point + 1),
            corner(point + self.across),
            corner(point + self.across + 1),
        ];
        [0, 1].map(|axis| {
            let [a, b, c, d] = corners.map(|movement| movement[axis]);
            let upper = (a * (256 - wx) + b * wx) >> 8;
            let lower = (c * (256 - wx) + d * wx) >> 8;
            (upper * (256 - wy) + lower * wy) >> 8
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u32; 2] = [3, 4];

    fn image(text: &str, shape: [u32; 3], position: u32, raw: &[u8]) -> Vec<f64> {
        let image = Augmentation::new(&text.parse().unwrap(), shape, KEY).of(0, position);
        let mut all = Vec::new();
        for i in 0..shape[0] * shape[1] {
            image.pixel(raw, i % shape[0], i / shape[0], |v| all.push(f64::from(v) / 4096.0));
        }
        all
    }

    fn ramp(shape: [u32; 3]) -> Vec<u8> {
        (0..shape.iter().product::<u32>()).map(|i| (i * 37 % 251) as u8).collect()
    }

    #[test]
    fn nothing_changes_nothing() {
        for shape in [[5, 4, 1], [4, 5, 3], [1, 1, 1]] {
            let raw = ramp(shape);
            let expected: Vec<f64> = raw.iter().map(|&v| v.into()).collect();
            assert_eq!(image("none", shape, 9, &raw), expected);
        }
    }

    #[test]
    fn sines_are_right_to_the_last_place_but_two() {
        for angle in -3217..=3217 {
            let exact = f64::from(angle) / 4096.0;
            let [sine, cosine] = sine_and_cosine(angle).map(|x| f64::from(x) / 4096.0);
            assert!((sine - exact.sin()).abs() < 1.5e-3, "{angle}: {sine}");
            assert!((cosine - exact.cos()).abs() < 1.5e-3, "{angle}: {cosine}");
        }
    }

    #[test]
    fn images_move_by_as_much_as_asked_for_and_never_more() {
        // A ramp from left to right tells where a pixel came from.
        let shape = [64, 64, 1];
        let raw: Vec<u8> = (0..64 * 64).map(|i| (i % 64 * 4) as u8).collect();
        for (text, at_most) in [("shift(3)", 3.0), ("elastic(2,8)", 2.0)] {
            let mut largest = 0.0f64;
            for position in 0..50 {
                let found = image(text, shape, position, &raw);
                // Away from the edges.
                for y in 8..56 {
                    for x in 8..56 {
                        let from = found[y * 64 + x] / 4.0;
                        largest = largest.max((from - x as f64).abs());
                    }
                }
            }
            assert!(largest <= at_most + 0.05, "{text}: {largest}");
            assert!(largest > 0.8 * at_most, "{text}: {largest}");
        }
        let turned = image("rotation(45)", shape, 5, &raw);
        let centre = (turned[31 * 64 + 31] + turned[32 * 64 + 32]) / 2.0;
        assert!((centre - 126.0).abs() < 1.0, "the center stays: {centre}");
    }

    #[test]
    fn cutout_covers_a_square_and_noise_keeps_within_its_bounds() {
        let (shape, raw) = ([20, 20, 1], vec![100; 400]);
        let mut seen = std::collections::HashSet::new();
        for position in 0..40 {
            let covered = image("cutout(6)", shape, position, &raw);
            let zeros = covered.iter().filter(|&&v| v == 0.0).count();
            assert!((9..=36).contains(&zeros), "{zeros}");
            seen.insert(covered.iter().position(|&v| v == 0.0));
        }
        assert!(seen.len() > 20, "squares lie in different places");
        let noisy = image("noise(30)", shape, 1, &raw);
        assert!(noisy.iter().all(|v| (70.0..=130.0).contains(v)));
        assert!(noisy.iter().fold(0.0, |m: f64, v| m.max((v - 100.0).abs())) > 25.0);
    }
}
