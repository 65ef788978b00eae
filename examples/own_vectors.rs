//! A classifier on your own vectors: `cargo run --release --example own_vectors`.

use wgrad::Classifier;

/// Runs the example.
pub fn main() -> wgrad::Result<()> {
    let (x, y) = flowers();

    let model = Classifier::fit((&x, 2), &y)?;
    let classes: Vec<String> = model.predict(&[[1.4, 0.2], [5.5, 2.1]])?;
    println!("{classes:?}, {:.1}% right", 100.0 * model.score((&x, 2), &y)?);

    assert_eq!(classes, ["setosa", "virginica"]);
    Ok(())
}

/// Length and width of the petals of three species of iris, row by row, and the species of each: (150, 2).
fn flowers() -> (Vec<f32>, Vec<&'static str>) {
    let kinds = [("setosa", 1.5, 0.25), ("versicolor", 4.3, 1.3), ("virginica", 5.6, 2.05)];
    let (mut x, mut y) = (Vec::new(), Vec::new());
    for i in 0..150 {
        let (kind, length, width) = kinds[i % 3];
        // Two numbers from −1 to 1 that differ from row to row.
        let [a, b] = [0.618_034, 0.754_878].map(|step| (i as f32 * step).fract() * 2.0 - 1.0);
        x.extend([length + 0.4 * a, width + 0.2 * b]);
        y.push(kind);
    }
    (x, y)
}
