//! Regression with early stopping and a callback: `cargo run --release --example regression`.

use wgrad::{Flow, Regressor};

/// Runs the example.
pub fn main() -> wgrad::Result<()> {
    // 400 rows of two features, and a target that is a function of them.
    let x: Vec<[f32; 2]> = (0..400).map(|i| [i % 20, i / 20].map(|n| n as f32 * 0.1)).collect();
    let y: Vec<f32> = x.iter().map(|[a, b]| 10.0 + a.sin() - a * b).collect();

    let model = Regressor::builder()
        .hidden_layers([32, 32])
        .learning_rate(0.01)
        .batch_size(32)
        .epochs(60)
        .validation_fraction(0.2)
        .early_stopping(10)
        .seed(7)
        .callback(|epoch| {
            println!(
                "epoch {:3}  rmse {:.4}",
                epoch.epoch,
                epoch.metric("rmse").unwrap_or(f64::NAN)
            );
            if epoch.metric("rmse").is_some_and(|rmse| rmse < 0.02) {
                return Flow::Stop;
            }
            Flow::Continue
        })
        .fit(&x, &y)?;

    let predicted = model.predict(&[[0.5, 0.5]])?;
    let r2 = model.score(&x, &y)?;
    println!("{:.3} for 10.229, R² {r2:.4}", predicted[0]);
    assert!(r2 > 0.95, "{r2}");
    Ok(())
}
