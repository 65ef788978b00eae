//! On an existing `wgpu::Device` of the program, for example one used for rendering:
//! `cargo run --release --example wgpu_device`.

use wgrad::Regressor;
use wgrad::backend::gpu::Gpu;

/// Runs the example.
pub fn main() -> wgrad::Result<()> {
    let Some((device, queue)) = device() else {
        println!("no adapter here");
        return Ok(());
    };
    // The program's own error handler is kept: wgrad's errors are returned as results.
    device.on_uncaptured_error(std::sync::Arc::new(|error| panic!("not of wgrad: {error}")));

    let x: Vec<f32> = (0..200).map(|i| i as f32 / 50.0).collect();
    let y: Vec<f32> = x.iter().map(|x| 3.0 * x + 1.0).collect();
    let backend = Gpu::from_device(device.clone(), queue.clone(), "the renderer's device")?;
    let model = Regressor::builder()
        .hidden_layers([16])
        .epochs(30)
        .validation_fraction(0.1)
        .backend(Box::new(backend))
        .fit(&x, &y)?;
    let predicted = model.predict(&[2.0f32])?;
    println!("{:.2} for 7 on {}", predicted[0], model.device().unwrap_or_default());

    // The device is still usable.
    let encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    queue.submit([encoder.finish()]);
    assert!((predicted[0] - 7.0).abs() < 1.0, "{predicted:?}");
    Ok(())
}

/// The device of a program that renders.
fn device() -> Option<(wgpu::Device, wgpu::Queue)> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let adapter =
        pollster::block_on(instance.request_adapter(&wgpu::RequestAdapterOptions::default()))
            .ok()?;
    let limits = adapter.limits();
    pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor {
        required_limits: limits,
        ..wgpu::DeviceDescriptor::default()
    }))
    .ok()
}
