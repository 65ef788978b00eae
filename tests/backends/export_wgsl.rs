//! An exported shader, run on an adapter, predicts the same as the model.

use crate::adapter::has_gpu;
use std::sync::Arc;
use wgpu::util::DeviceExt;
use wgrad::backend::device::{self, Device};
use wgrad::backend::session::initial_weights;
use wgrad::data::{Dataset, Features, Preprocessing, Scaling, Targets};
use wgrad::files::export::{Bare, Description, wgsl};
use wgrad::math::embedding::Embedding;
use wgrad::math::loss::Loss;
use wgrad::math::matrix::Matrix;
use wgrad::net::spec::{Bias, Norm};
use wgrad::{Activation, Model, Net, Spec};

/// Rows of three numbers, and of an index from 0 to 4.
const ROWS: usize = 100;

fn features() -> Features {
    let value = |r: usize, c: usize| match c {
        3 => (r % 5) as f32,
        c => ((r * 7 + c * 13) % 29) as f32 / 10.0 - 1.0,
    };
    Features::F32(Matrix::from_fn(ROWS, 4, value))
}

/// A model with drawn weights of `nets` nets.
fn model(net: &Net, loss: Loss, nets: u64) -> Model {
    let targets = loss.targets(net.outputs());
    let targets = match loss {
        Loss::CrossEntropy | Loss::BinaryCrossEntropy => Targets::Classes {
            labels: (0..ROWS as u32).map(|r| r % net.outputs().max(2) as u32).collect(),
            names: (0..net.outputs().max(2)).map(|c| c.to_string()).collect(),
        },
        _ => Targets::from(Matrix::from_fn(ROWS, targets, |r, c| (r * 3 + c) as f32)),
    };
    let data = Dataset::new("rows", features(), targets).unwrap();
    let mut preprocessing = Preprocessing::fit(&data, Scaling::Standard);
    if !net.embeddings.is_empty() {
        preprocessing.features.shift[3] = 0.0;
        preprocessing.features.scale[3] = 1.0;
    }
    let spec = Spec::new(net.clone(), loss);
    let members = (0..nets).map(|seed| initial_weights(&Spec { seed, ..spec.clone() })).collect();
    let model = Model { net: net.clone(), objective: spec.objective, preprocessing, members };
    model.check().unwrap();
    model
}

/// What a shader writes for rows of features: `outputs` numbers each.
fn run(source: &str, features: &Features, outputs: usize) -> Vec<f32> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let adapter = instance.request_adapter(&wgpu::RequestAdapterOptions::default());
    let adapter = pollster::block_on(adapter).unwrap();
    let (device, queue) = pollster::block_on(adapter.request_device(&Default::default())).unwrap();
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: None,
        source: wgpu::ShaderSource::Wgsl(source.into()),
    });
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: None,
        layout: None,
        module: &module,
        entry_point: Some("predict"),
        compilation_options: Default::default(),
        cache: None,
    });
    let Features::F32(given) = features else { panic!("f32") };
    let given = device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
        label: None,
        contents: bytemuck::cast_slice(given.data()),
        usage: wgpu::BufferUsages::STORAGE,
    });
    let buffer = |usage| {
        let size = (ROWS * outputs * 4) as u64;
        device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size,
            usage,
            mapped_at_creation: false,
        })
    };
    let written = buffer(wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC);
    let staging = buffer(wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST);
    let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: None,
        layout: &pipeline.get_bind_group_layout(0),
        entries: &[
            wgpu::BindGroupEntry { binding: 0, resource: given.as_entire_binding() },
            wgpu::BindGroupEntry { binding: 1, resource: written.as_entire_binding() },
        ],
    });
    let mut encoder = device.create_command_encoder(&Default::default());
    let mut pass = encoder.begin_compute_pass(&Default::default());
    pass.set_pipeline(&pipeline);
    pass.set_bind_group(0, &group, &[]);
    pass.dispatch_workgroups(ROWS.div_ceil(64) as u32, 1, 1);
    drop(pass);
    encoder.copy_buffer_to_buffer(&written, 0, &staging, 0, staging.size());
    queue.submit([encoder.finish()]);
    staging.map_async(wgpu::MapMode::Read, .., |mapped| mapped.unwrap());
    device.poll(wgpu::PollType::Wait { submission_index: None, timeout: None }).unwrap();
    bytemuck::cast_slice(&staging.get_mapped_range(..).unwrap()).to_vec()
}

#[test]
fn an_exported_shader_predicts_what_the_model_does() {
    if !has_gpu("an exported shader") {
        return;
    }
    let units = |net: Net| Activation::ALL.into_iter().fold(net, |net, a| net.layer(6, a));
    let deep = units(Net::new(4)).layer(2, Activation::Identity);
    let embedded = Net::new(4)
        .embed(vec![Embedding::new(5, 3)])
        .layer(6, Activation::Tanh)
        .layer(6, Activation::Gelu)
        .layer(6, Activation::Silu)
        .layer(3, Activation::Identity)
        .norm(Some(Norm::Layer))
        .residual(1);
    let plain =
        |outputs| Net::new(4).layer(8, Activation::Elu(1.0)).layer(outputs, Activation::Identity);
    for (net, loss, nets) in [
        (deep, Loss::SquaredError, 1),
        (embedded, Loss::CrossEntropy, 3),
        (plain(1).bias(Bias::Subtract), Loss::BinaryCrossEntropy, 1),
        (plain(4), Loss::GaussianNll, 2),
        (plain(1).norm(Some(Norm::Batch)), Loss::Poisson, 1),
    ] {
        let mut model = model(&net, loss, nets);
        if loss == Loss::Poisson {
            model.preprocessing.targets = wgrad::data::TargetScaling::identity(1);
        }
        let description = Description::new(&model, Bare(false)).unwrap();
        let found = run(&wgsl::write(&description).unwrap(), &features(), description.predicted());
        let backend = device::open(&Device::Cpu, Some(1)).unwrap().backend;
        let expected = model.predict(Arc::new(features()), backend).unwrap();
        for c in 0..expected.cols() {
            let column = |r: usize| expected.value(r, c);
            let scale = (0..ROWS).fold(1e-30, |s: f64, r| s.max(column(r).abs()));
            for r in 0..ROWS {
                let y = f64::from(found[r * expected.cols() + c]);
                let difference = (y - column(r)).abs() / scale;
                assert!(difference < 1e-5, "{loss}, row {r}, output {c}: {y}, not {}", column(r));
            }
        }
    }
}
