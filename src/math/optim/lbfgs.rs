//! L-BFGS (Liu, Nocedal 1989): steps along −H g, where H approximates the inverse Hessian from the last changes
//! of w and g, with a length found by line search. For small data, on full batches.
//!
//! What is minimized is a function of one vector w, with its gradient; all in f64 on the host.

use crate::base::error::Result;

/// The number of changes of w and g that are kept.
pub const HISTORY: usize = 10;

/// A point with its loss and gradient.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// w.
    pub w: Vec<f64>,
    /// E(w).
    pub loss: f64,
    /// ∂E/∂w.
    pub g: Vec<f64>,
}

/// The changes of one step.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    /// The change of w.
    pub s: Vec<f64>,
    /// The change of g.
    pub y: Vec<f64>,
}

impl Pair {
    /// The changes from one point to the next; none where E isn't convex between them, which H
    /// can't represent.
    #[must_use]
    pub fn between(from: &Point, to: &Point) -> Option<Self> {
        let change = |from: &[f64], to: &[f64]| to.iter().zip(from).map(|(t, f)| t - f).collect();
        let pair = Pair { s: change(&from.w, &to.w), y: change(&from.g, &to.g) };
        (pair.curvature() > 1e-10).then_some(pair)
    }

    /// s·y.
    #[must_use]
    pub fn curvature(&self) -> f64 {
        dot(&self.s, &self.y)
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// x + a y.
fn along(x: &[f64], a: f64, y: &[f64]) -> Vec<f64> {
    x.iter().zip(y).map(|(x, y)| x + a * y).collect()
}

/// −H g by the two loops of Nocedal (1980), from the oldest pair to the newest; the initial H is
/// (s·y / y·y) of the newest pair, or 1 without any.
#[must_use]
pub fn direction(g: &[f64], pairs: &[Pair]) -> Vec<f64> {
    let mut d: Vec<f64> = g.iter().map(|g| -g).collect();
    let mut factors = Vec::with_capacity(pairs.len());
    for pair in pairs.iter().rev() {
        let factor = dot(&pair.s, &d) / pair.curvature();
        d = along(&d, -factor, &pair.y);
        factors.push(factor);
    }
    if let Some(newest) = pairs.last() {
        let scale = newest.curvature() / dot(&newest.y, &newest.y);
        d.iter_mut().for_each(|d| *d *= scale);
    }
    for (pair, factor) in pairs.iter().zip(factors.into_iter().rev()) {
        let back = dot(&pair.y, &d) / pair.curvature();
        d = along(&d, factor - back, &pair.s);
    }
    d
}

/// The first step length that is tried: η, but at most η / ‖g‖₁ without any pair.
#[must_use]
pub fn first_length(lr: f64, g: &[f64], pairs: &[Pair]) -> f64 {
    let size: f64 = g.iter().map(|g| g.abs()).sum();
    if pairs.is_empty() { lr * (1.0 / size).min(1.0) } else { lr }
}

/// The constants of the strong Wolfe conditions: of sufficient decrease, and of the slope.
const DECREASE: f64 = 1e-4;
const SLOPE: f64 = 0.9;
/// The largest number of points that a line search evaluates.
const TRIALS: usize = 25;

/// A point on the line, `length` from its start, with the slope of E there.
struct Trial {
    length: f64,
    slope: f64,
    point: Point,
}

/// A point from `start` along `d` that meets the strong Wolfe conditions, or at least decreases E
/// sufficiently (Nocedal, Wright 2006, algorithms 3.5 and 3.6); none if none is found.
///
/// # Errors
/// Those of `evaluate`.
pub fn search(
    start: &Point,
    d: &[f64],
    first: f64,
    mut evaluate: impl FnMut(&[f64]) -> Result<Point>,
) -> Result<Option<Point>> {
    let slope0 = dot(&start.g, d);
    if slope0.is_nan() || slope0 >= 0.0 {
        return Ok(None);
    }
    let is_high = |t: &Trial| {
        t.point.loss.is_nan() || t.point.loss > start.loss + DECREASE * t.length * slope0
    };
    let is_flat = |t: &Trial| t.slope.abs() <= -SLOPE * slope0;
    let mut trial = |length: f64| -> Result<Trial> {
        let point = evaluate(&along(&start.w, length, d))?;
        Ok(Trial { length, slope: dot(&point.g, d), point })
    };
    let mut low = Trial { length: 0.0, slope: slope0, point: start.clone() };
    let mut high: Option<Trial> = None;
    let mut length = first;
    for _ in 0..TRIALS {
        let found = trial(length)?;
        if is_high(&found) || (low.length > 0.0 && found.point.loss >= low.point.loss) {
            high = Some(found);
        } else if is_flat(&found) {
            return Ok(Some(found.point));
        } else {
            // The minimum lies on the side to which E falls.
            let ahead = match &high {
                Some(high) => high.length - low.length,
                None => found.length - low.length,
            };
            let turns = found.slope * ahead >= 0.0;
            let before = std::mem::replace(&mut low, found);
            if turns {
                high = Some(before);
            }
        }
        length = match &high {
            None => 2.0 * low.length,
            Some(high) => between(&low, high),
        };
    }
    Ok((low.length > 0.0).then_some(low.point))
}

/// The minimum of the cubic through both points with their slopes, away from the ends; the middle
/// if there is none.
fn between(a: &Trial, b: &Trial) -> f64 {
    let width = b.length - a.length;
    let middle = a.length + 0.5 * width;
    let theta = a.slope + b.slope - 3.0 * (b.point.loss - a.point.loss) / width;
    let root = (theta * theta - a.slope * b.slope).sqrt() * width.signum();
    let lowest = b.length - width * (b.slope + root - theta) / (b.slope - a.slope + 2.0 * root);
    let ends = [a.length + 0.1 * width, b.length - 0.1 * width];
    let [least, most] = [ends[0].min(ends[1]), ends[0].max(ends[1])];
    if lowest.is_finite() { lowest.clamp(least, most) } else { middle }
}
