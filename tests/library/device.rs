//! A model keeps its device, and is shared by threads.

use crate::forward::forward;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use wgrad::backend::cpu::Cpu;
use wgrad::backend::gpu::Gpu;
use wgrad::backend::{Backend, Pending};
use wgrad::plan::program::Program;
use wgrad::{Classifier, Device, Regressor};

/// A custom backend that counts the loaded programs.
struct Counting {
    inner: Cpu<f32>,
    loads: Arc<AtomicUsize>,
}

impl Backend for Counting {
    forward!(inner: info traits unload upload forget write run read);
    fn load(&mut self, program: Arc<Program>) -> Pending<'_> {
        self.loads.fetch_add(1, Ordering::SeqCst);
        self.inner.load(program)
    }
}

#[test]
fn predictions_load_no_program_after_the_training() {
    let x: Vec<f32> = (0..60).map(|i| i as f32 / 10.0).collect();
    let loads = Arc::new(AtomicUsize::new(0));
    let inner = Cpu::<f32>::new(Some(1)).unwrap();
    let backend = Box::new(Counting { inner, loads: loads.clone() });
    let builder = Regressor::builder().epochs(2).ensemble(1).backend(backend);
    let model = builder.fit(&x, &x).unwrap();
    let trained = loads.load(Ordering::SeqCst);
    assert!(trained >= 1, "the training ran on it");
    let first = model.predict(&x).unwrap();
    for _ in 0..20 {
        assert_eq!(model.predict(&x).unwrap(), first);
    }
    assert_eq!(loads.load(Ordering::SeqCst), trained);
}

#[test]
fn a_model_is_shared_by_threads() {
    fn is_shared<T: Send + Sync>(_: &T) {}
    let x: Vec<f32> = (0..120).map(|i| (i * 7 % 60) as f32 / 10.0).collect();
    let y: Vec<u8> = x.chunks(2).map(|row| u8::from(row[0] > row[1])).collect();
    let builder = Classifier::builder().device(Device::Cpu).epochs(3);
    let model = builder.fit((&x, 2), &y).unwrap();
    is_shared(&model);
    let expected = model.predict_proba((&x, 2)).unwrap();
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..4).map(|_| scope.spawn(|| model.predict_proba((&x, 2)).unwrap())).collect();
        for thread in threads {
            assert_eq!(thread.join().unwrap(), expected);
        }
    });
}

/// A device of the program, where there is an adapter.
fn device() -> Option<(wgpu::Device, wgpu::Queue)> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let options = wgpu::RequestAdapterOptions::default();
    let adapter = pollster::block_on(instance.request_adapter(&options)).ok()?;
    let required_limits = adapter.limits();
    let descriptor = wgpu::DeviceDescriptor { required_limits, ..Default::default() };
    pollster::block_on(adapter.request_device(&descriptor)).ok()
}

#[test]
fn the_handlers_of_a_device_that_is_handed_in_stay_the_programs() {
    let Some((device, queue)) = device() else {
        return eprintln!("skipped: no GPU adapter: the handlers of a device that is handed in");
    };
    let seen = Arc::new(AtomicUsize::new(0));
    let count = seen.clone();
    device.on_uncaptured_error(Arc::new(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
    }));
    let wrong = || {
        drop(device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: 16,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::MAP_WRITE,
            mapped_at_creation: false,
        }));
    };
    wrong();
    assert_eq!(seen.load(Ordering::SeqCst), 1, "the program's handler sees the program's errors");
    let backend = Gpu::from_device(device.clone(), queue, "the program's").unwrap();
    let x: Vec<f32> = (0..64).map(|i| i as f32 / 10.0).collect();
    let builder = Regressor::builder().epochs(2).ensemble(1).hidden_layers([8]);
    let model = builder.backend(Box::new(backend)).fit(&x, &x).unwrap();
    model.predict(&x).unwrap();
    assert_eq!(seen.load(Ordering::SeqCst), 1, "and none of wgrad's");
    wrong();
    assert_eq!(seen.load(Ordering::SeqCst), 2, "it is still there afterwards");
    // A device that is gone is an error, and no panic.
    device.destroy();
    assert!(model.predict(&x).is_err());
}
