//! The library in ten lines: build a net, train it, predict.
//!
//! `cargo run --release --example digits [auto|cpu|gpu]`

use wgrad::backend::device::{self, Device};
use wgrad::data::{Preprocessing, Scaling, digits};
use wgrad::{Activation, Loss, Net, Spec, Trainer};

fn main() -> wgrad::Result<()> {
    let device: Device = std::env::args().nth(1).as_deref().unwrap_or("auto").parse()?;
    let (training, validation) = digits().split(0.1, 0)?;
    let net = Net::new(64).layer(128, Activation::Relu).layer(10, Activation::Identity);
    let spec = Spec::new(net, Loss::CrossEntropy).epochs(30);
    let scaling = Preprocessing::fit(&training, Scaling::Minmax);

    let backend = device::open(&device, None)?.backend;
    let mut trainer = Trainer::new(&spec, &training, scaling, backend)?;
    let end = trainer.fit(Some(&validation), &mut ())?;
    println!("{:?} after {:.1} s", end.valid, end.seconds);

    let model = trainer.model()?;
    let backend = device::open(&device, None)?.backend;
    let predictions = model.predict(validation.features_shared(), backend)?;
    println!("the first digit is a {}", model.class(predictions.as_f32()?.row(0)));
    Ok(())
}
