//! A model in a file, for predictions in another program: `cargo run --release --example save_and_load`.

use wgrad::{Classifier, Device};

/// Runs the example.
pub fn main() -> wgrad::Result<()> {
    let x: Vec<[f32; 2]> = (0..80).map(|i| [i % 9, i % 7].map(|n| n as f32)).collect();
    let is_above: Vec<bool> = x.iter().map(|[a, b]| a > b).collect();
    let path =
        std::env::temp_dir().join(format!("wgrad-example-{}.safetensors", std::process::id()));

    let trained = Classifier::builder().epochs(20).fit(&x, &is_above)?;
    trained.save(&path)?;

    // In another program. `wgrad predict` and `wgrad export` also read the file.
    let model = Classifier::load(&path)?.on_device(Device::Cpu);
    let probabilities = model.predict_proba(&[[7.0, 1.0], [1.0, 6.0]])?;
    println!("{:?}: {:?}", model.class_names(), probabilities.data());
    let classes: Vec<bool> = model.predict(&[[7.0, 1.0], [1.0, 6.0]])?;

    std::fs::remove_file(&path).ok();
    assert_eq!(classes, [true, false]);
    Ok(())
}
