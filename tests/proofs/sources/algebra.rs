//! Matrices as rows of f64, with the textbook loops: the arithmetic of the oracles.

/// A matrix, row by row.
pub type Rows = Vec<Vec<f64>>;

/// The matrix whose element at (row, col) is `f(row, col)`.
pub fn build(rows: usize, cols: usize, f: impl Fn(usize, usize) -> f64) -> Rows {
    (0..rows).map(|r| (0..cols).map(|c| f(r, c)).collect()).collect()
}

/// The matrix with one column, (n, 1).
pub fn column(v: &[f64]) -> Rows {
    v.iter().map(|&x| vec![x]).collect()
}

/// The matrix with one row, (1, n).
pub fn row(v: &[f64]) -> Rows {
    vec![v.to_vec()]
}

/// The elements, row by row.
pub fn elements(m: &Rows) -> Vec<f64> {
    m.iter().flatten().copied().collect()
}

/// The square matrix with `v` on its diagonal and zeros elsewhere.
pub fn diag(v: &[f64]) -> Rows {
    build(v.len(), v.len(), |r, c| if r == c { v[r] } else { 0.0 })
}

/// Mᵀ.
pub fn transpose(m: &Rows) -> Rows {
    build(m[0].len(), m.len(), |r, c| m[c][r])
}

/// A·B; A: (m, k), B: (k, n).
pub fn product(a: &Rows, b: &Rows) -> Rows {
    assert!(a.iter().all(|row| row.len() == b.len()), "the inner dimensions differ");
    build(a.len(), b[0].len(), |r, c| (0..b.len()).map(|i| a[r][i] * b[i][c]).sum())
}

/// A ⊙ B.
pub fn hadamard(a: &Rows, b: &Rows) -> Rows {
    combine(a, b, |a, b| a * b)
}

/// A + s·B.
pub fn add_scaled(a: &Rows, s: f64, b: &Rows) -> Rows {
    combine(a, b, |a, b| a + s * b)
}

/// The matrix of `f` of the elements of two matrices of the same shape.
fn combine(a: &Rows, b: &Rows, f: impl Fn(f64, f64) -> f64) -> Rows {
    let shape = |m: &Rows| (m.len(), m[0].len());
    assert_eq!(shape(a), shape(b), "the shapes differ");
    build(a.len(), a[0].len(), |r, c| f(a[r][c], b[r][c]))
}

/// The matrix of `f` of each element.
pub fn map(m: &Rows, f: impl Fn(f64) -> f64) -> Rows {
    m.iter().map(|row| row.iter().map(|&x| f(x)).collect()).collect()
}

/// ‖M‖²_F.
pub fn squared_norm(m: &Rows) -> f64 {
    m.iter().flatten().map(|x| x * x).sum()
}

/// (f(x + h) − f(x − h)) / 2h for each element x of `m` (source 002, the numerical check).
pub fn difference_quotients(m: &Rows, h: f64, mut f: impl FnMut(&Rows) -> f64) -> Rows {
    let mut at = m.clone();
    let mut quotients = m.clone();
    for r in 0..m.len() {
        for c in 0..m[r].len() {
            at[r][c] = m[r][c] + h;
            let above = f(&at);
            at[r][c] = m[r][c] - h;
            let below = f(&at);
            at[r][c] = m[r][c];
            quotients[r][c] = (above - below) / (2.0 * h);
        }
    }
    quotients
}

/// Numbers that f32 holds exactly, from Knuth's linear congruential generator.
pub struct Lcg(pub u64);

impl Lcg {
    /// A multiple of 1/64 in [−1, 1].
    pub fn number(&mut self) -> f64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % 129) as f64 / 64.0 - 1.0
    }

    /// A matrix of multiples of 1/64 in [−1, 1].
    pub fn rows(&mut self, rows: usize, cols: usize) -> Rows {
        (0..rows).map(|_| self.vector(cols)).collect()
    }

    /// A vector of multiples of 1/64 in [−1, 1].
    pub fn vector(&mut self, len: usize) -> Vec<f64> {
        (0..len).map(|_| self.number()).collect()
    }
}
