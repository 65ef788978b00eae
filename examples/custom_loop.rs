//! The lower-level interface: a net, a trainer and your own schedule: `cargo run --release --example custom_loop`.

use wgrad::backend::cpu::Cpu;
use wgrad::data::{Dataset, Features, Preprocessing, Scaling, Targets};
use wgrad::math::matrix::Matrix;
use wgrad::{Activation, Loss, Net, Result, Spec, Trainer};

/// A sawtooth: the learning rate falls from step to step within an epoch, and each epoch starts lower.
fn learning_rate(epoch: usize, step: usize) -> f32 {
    0.02 * 0.95f32.powi(epoch as i32) * (1.0 - step as f32 / 16.0)
}

/// Runs the example.
pub fn main() -> Result<()> {
    let x = Matrix::from_fn(256, 2, |row, col| [row % 16, row / 16][col] as f32 / 16.0);
    let y = Matrix::from_fn(256, 1, |row, _| (x.row(row)[0] * 3.0).sin() + x.row(row)[1]);
    let data = Dataset::new("waves", Features::F32(x), Targets::from(y))?;
    let scaling = Preprocessing::fit(&data, Scaling::Standard);

    let net = Net::new(2).layer(32, Activation::Tanh).layer(1, Activation::Identity);
    let spec = Spec { batch_size: 32, ..Spec::new(net, Loss::SquaredError) };
    let mut trainer = Trainer::new(&spec, &data, scaling, Box::new(Cpu::<f32>::new(None)?))?;
    let before = trainer.evaluate(&data)?.loss;
    for epoch in 0..30 {
        let mut sum = 0.0;
        for step in 0..8 {
            // The mean loss of the batch, before the step.
            sum += trainer.step_at(learning_rate(epoch, step))?;
        }
        let loss = trainer.evaluate(&data)?.loss;
        println!("epoch {:2}  training loss {:.5}, then {loss:.5}", epoch + 1, sum / 8.0);
        if loss < 1e-3 {
            break;
        }
    }
    let after = trainer.evaluate(&data)?.loss;
    assert!(after < 0.2 * before, "{after} after {before}");

    let model = trainer.model()?;
    let predicted = model.predict(data.features_shared(), trainer.into_backend())?;
    println!("{:.3} for {:.3}", predicted.value(0, 0), 0.0);
    Ok(())
}
