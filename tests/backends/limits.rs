//! Work beyond a device's limits is split, or refused before training starts.

use crate::adapter::has_gpu;
use crate::common::difference;
use wgrad::backend::gpu::{self, Gpu};
use wgrad::backend::session::LayerWeights;
use wgrad::backend::{Backend, cpu::Cpu};
use wgrad::base::error::ErrorKind;
use wgrad::data::{Dataset, Features, Preprocessing, Scaling, Targets, digits};
use wgrad::math::matrix::Matrix;
use wgrad::{Activation, Loss, Net, Optimizer, Spec, Trainer};

fn train(spec: &Spec, data: &Dataset, backend: Box<dyn Backend>) -> Vec<LayerWeights> {
    let mut trainer =
        Trainer::new(spec, data, Preprocessing::fit(data, Scaling::Minmax), backend).unwrap();
    trainer.fit(None, &mut ()).unwrap();
    trainer.weights().unwrap()
}

/// A device of the caller, with limits so low that the optimizer can't bind all parameters at once.
#[test]
fn parameters_beyond_the_binding_limit_are_updated_in_parts() {
    if !has_gpu("parameters beyond the binding limit") {
        return;
    }
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let adapter =
        pollster::block_on(instance.request_adapter(&wgpu::RequestAdapterOptions::default()))
            .unwrap();
    let limits =
        wgpu::Limits { max_storage_buffer_binding_size: 1 << 17, ..wgpu::Limits::default() };
    let descriptor = wgpu::DeviceDescriptor { required_limits: limits, ..Default::default() };
    let (device, queue) = pollster::block_on(adapter.request_device(&descriptor)).unwrap();

    let mut net = Net::new(64);
    for _ in 0..7 {
        net = net.layer(80, Activation::Tanh);
    }
    let mut spec = Spec::new(net.layer(10, Activation::Identity), Loss::CrossEntropy).epochs(2);
    spec.batch_size = 97;
    assert!(spec.net.parameters() * 4 > 1 << 17);
    let data = digits().split(0.2, 0).unwrap().1;
    let gpu =
        train(&spec, &data, Box::new(Gpu::from_device(device, queue, "with low limits").unwrap()));
    let cpu = train(&spec, &data, Box::new(Cpu::<f32>::new(None).unwrap()));
    assert!(difference(&gpu, &cpu) < 1e-4, "{}", difference(&gpu, &cpu));
}

#[test]
fn a_batch_of_more_rows_than_a_dispatch_has_workgroups_is_folded() {
    if !has_gpu("a batch beyond the workgroup limit") {
        return;
    }
    let rows = 66_000;
    let features =
        Features::F32(Matrix::from_fn(rows, 2, |r, c| ((r * 7 + c * 3) % 11) as f32 / 11.0));
    let targets = Targets::from(Matrix::from_fn(rows, 1, |r, _| (r % 5) as f32));
    let data = Dataset::new("many rows", features, targets).unwrap();
    let net = Net::new(2).layer(66, Activation::Tanh).layer(1, Activation::Identity);
    // Not Adam: where a gradient is nearly zero, it takes a full step by the sign of the rounding.
    let mut spec = Spec::new(net, Loss::SquaredError).epochs(2).optimizer(Optimizer::Sgd);
    spec.batch_size = rows;
    let gpu = train(&spec, &data, Box::new(Gpu::open(0).unwrap()));
    let cpu = train(&spec, &data, Box::new(Cpu::<f32>::new(None).unwrap()));
    assert!(difference(&gpu, &cpu) < 1e-5, "{}", difference(&gpu, &cpu));
}

#[test]
fn a_matrix_beyond_the_binding_limit_is_refused_by_name_before_training() {
    if !has_gpu("a matrix beyond the binding limit") {
        return;
    }
    let adapter = &gpu::adapters()[0];
    let (name, limit) = adapter.limits[0];
    let width = limit as usize / (4 * 64) + 1;
    let net = Net::new(64).layer(width, Activation::Relu).layer(10, Activation::Identity);
    let data = digits();
    let preprocessing = Preprocessing::fit(&data, Scaling::Minmax);
    let backend = Box::new(Gpu::open(0).unwrap());
    let refused = Trainer::new(&Spec::new(net, Loss::CrossEntropy), &data, preprocessing, backend);
    let error = refused.err().expect("refused");
    assert_eq!(error.kind(), ErrorKind::Device);
    let text = error.to_string();
    for part in [name, "layers.0", "--layers", "--device cpu"] {
        assert!(text.contains(part), "no {part} in: {text}");
    }
}

#[test]
fn a_net_beyond_all_memory_is_refused_on_both_backends() {
    let data = digits();
    let preprocessing = Preprocessing::fit(&data, Scaling::Minmax);
    let net = Net::new(64).layer(1 << 31, Activation::Relu).layer(1 << 31, Activation::Relu);
    let spec = Spec::new(net.layer(10, Activation::Identity), Loss::CrossEntropy);
    let mut backends: Vec<Box<dyn Backend>> = vec![Box::new(Cpu::<f32>::new(None).unwrap())];
    if has_gpu("a net beyond all memory") {
        backends.push(Box::new(Gpu::open(0).unwrap()));
    }
    for backend in backends {
        let error =
            Trainer::new(&spec, &data, preprocessing.clone(), backend).err().expect("refused");
        assert_eq!(error.kind(), ErrorKind::Device, "{error}");
    }
}
