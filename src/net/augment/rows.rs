//! An augmented image row by row: the same as [`Image::pixel`], in loops over a row that the
//! compiler vectorizes.

use super::image::{Bend, Image};
use crate::math::multiversion::multiversioned;

/// Scratch memory for the rows of an image, reused for each image.
#[derive(Debug, Default)]
pub struct Canvas {
    /// The displacements of the columns along each row of the grid: x of all columns, then y.
    bends: Vec<i32>,
    /// The source of each pixel of a row.
    points: Vec<Point>,
    values: Vec<i32>,
}

/// The four pixels around a point.
#[derive(Debug, Clone, Copy, Default)]
struct Point {
    /// The first byte of the upper left pixel.
    at: u32,
    /// The distance in bytes to the pixel to its right, and to the pixel below.
    right: u32,
    below: u32,
    /// The weights of these, in units of 1/64.
    wx: i32,
    wy: i32,
}

/// The inputs from which the points of a row are computed.
struct Line<'a> {
    /// Width and height.
    size: [i32; 2],
    colours: u32,
    row: i32,
    matrix: [i32; 4],
    shift: [i32; 2],
    /// The displacements along the rows of the grid above and below, and the weight of the latter.
    bend: Option<([&'a [i32]; 2], i32)>,
}

impl Image {
    /// Passes the image row by row to `take`: the number of a row's first feature, and its features in Q12 of a
    /// byte.
    pub fn each_row(&self, raw: &[u8], canvas: &mut Canvas, mut take: impl FnMut(usize, &[i32])) {
        let [width, height, colours] = self.of.shape;
        let (columns, len) = (width as usize, (width * colours) as usize);
        let Canvas { bends, points, values } = canvas;
        if let Some(bend) = &self.bend {
            bends.resize(2 * columns * bend.down(), 0);
            let grid_rows = bends.chunks_exact_mut(2 * columns).enumerate();
            grid_rows.for_each(|(row, to)| along(bend, row, to));
        }
        points.resize(columns, Point::default());
        values.resize(len, 0);
        for y in 0..height {
            let bend = self.bend.as_ref().map(|bend| {
                let (row, weight) = bend.rows[y as usize];
                let of = |row: usize| &bends[row * 2 * columns..][..2 * columns];
                ([of(row), of(row + 1)], weight)
            });
            let line = Line {
                size: [width as i32, height as i32],
                colours,
                row: y as i32,
                matrix: self.matrix,
                shift: self.shift,
                bend,
            };
            place(&line, points);
            match colours {
                1 => sample::<1>(raw, points, values),
                3 => sample::<3>(raw, points, values),
                _ => {
                    for (point, values) in
                        points.iter().zip(values.chunks_exact_mut(colours as usize))
                    {
                        let between = (0..colours).map(|colour| between(raw, point, colour));
                        values.iter_mut().zip(between).for_each(|(to, value)| *to = value);
                    }
                }
            }
            let first = y as usize * len;
            if self.of.noise != 0 {
                for (i, value) in (first as u32..).zip(&mut *values) {
                    *value = (*value + self.noise(i)).clamp(0, super::ONE * 255);
                }
            }
            let covered = self.covered_columns(y);
            let covered = covered.start * colours..covered.end * colours;
            values[covered.start as usize..covered.end as usize].fill(0);
            take(first, values);
        }
    }
}

/// The displacements of all columns along a row of the grid.
fn along(bend: &Bend, row: usize, to: &mut [i32]) {
    let (xs, ys) = to.split_at_mut(bend.columns.len());
    let points = &bend.movements[row * bend.across..][..bend.across];
    for ((x, y), &(column, weight)) in xs.iter_mut().zip(ys).zip(&bend.columns) {
        let (a, b) = (points[column], points[column + 1]);
        let at = |axis: usize| (a[axis] * (256 - weight) + b[axis] * weight) >> 8;
        (*x, *y) = (at(0), at(1));
    }
}

multiversioned! {
    /// Computes the sources of the pixels of a row.
    fn place(line: &Line<'_>, points: &mut [Point]) {
        let &Line { size: [width, height], colours, row, .. } = line;
        let (of_row, of_column) = (width as u32 * colours, colours);
        let [m0, m1, m2, m3] = line.matrix;
        let dy = 2 * row - (height - 1);
        let base = [((width - 1) << 11) + line.shift[0], ((height - 1) << 11) + line.shift[1]];
        for (x, point) in points.iter_mut().enumerate() {
            let dx = 2 * x as i32 - (width - 1);
            let [bend_x, bend_y] = line.bend.map_or([0; 2], |([upper, lower], weight)| {
                [x, x + width as usize].map(|i| (upper[i] * (256 - weight) + lower[i] * weight) >> 8)
            });
            let sx = ((m0 * dx + m1 * dy) >> 1) + base[0] + bend_x;
            let sy = ((m2 * dx + m3 * dy) >> 1) + base[1] + bend_y;
            // Beyond the edge, the pixel at the edge is repeated.
            let (sx, sy) = (sx.clamp(0, (width - 1) << 12), sy.clamp(0, (height - 1) << 12));
            let (left, top) = (sx as u32 >> 12, sy as u32 >> 12);
            *point = Point {
                at: top * of_row + left * of_column,
                right: if left + 1 < width as u32 { of_column } else { 0 },
                below: if top + 1 < height as u32 { of_row } else { 0 },
                wx: (sx & 4095) >> 6,
                wy: (sy & 4095) >> 6,
            };
        }
    }
}

/// The features of a row of points with C colors.
fn sample<const C: usize>(raw: &[u8], points: &[Point], values: &mut [i32]) {
    let (values, _) = values.as_chunks_mut::<C>();
    for (point, values) in points.iter().zip(values) {
        *values = std::array::from_fn(|colour| between(raw, point, colour as u32));
    }
}

/// A color interpolated between the four pixels around a point, in Q12 of a byte.
#[inline(always)]
fn between(raw: &[u8], point: &Point, colour: u32) -> i32 {
    let Point { at, right, below, wx, wy } = *point;
    let at = |i: u32| i32::from(raw[(at + colour + i) as usize]);
    let upper = at(0) * (64 - wx) + at(right) * wx;
    let lower = at(below) * (64 - wx) + at(right + below) * wx;
    upper * (64 - wy) + lower * wy
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::augment::Augmentation;

    #[test]
    fn rows_are_those_that_pixels_make() {
        let texts = [
            "none",
            "standard",
            "shift(2)+noise(9)",
            "rotation(45)+scale(0.5)+cutout(3)",
            "elastic(3,2)+shear(20)+cutout(5)+noise(3)",
        ];
        let mut canvas = Canvas::default();
        for text in texts {
            for shape in [[28, 28, 1], [5, 9, 3], [17, 6, 2], [1, 1, 1], [8, 8, 4]] {
                let raw = Vec::from_iter(
                    (0..shape.iter().product::<u32>()).map(|i| (i * 37 % 251) as u8),
                );
                let augmentation = Augmentation::new(&text.parse().unwrap(), shape, [3, 4]);
                for position in 0..9 {
                    let image = augmentation.of(1, position);
                    let mut expected = Vec::new();
                    for i in 0..shape[0] * shape[1] {
                        image.pixel(&raw, i % shape[0], i / shape[0], |v| expected.push(v));
                    }
                    let mut found = Vec::new();
                    image.each_row(&raw, &mut canvas, |first, values| {
                        assert_eq!(first, found.len());
                        found.extend_from_slice(values);
                    });
                    assert_eq!(found, expected, "{text} of {shape:?} at {position}");
                }
            }
        }
    }
}
