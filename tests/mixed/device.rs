//! The devices for tests of f16.

use super::adapter::has_gpu;
use super::forward::forward;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use wgrad::backend::cpu::Cpu;
use wgrad::backend::gpu::Gpu;
use wgrad::backend::{Backend, DataId, Pending, ValuesMut};
use wgrad::kernels::Step;
use wgrad::kernels::mixed::Multiplier;
use wgrad::kernels::tensor::TensorId;
use wgrad::net::precision::Precision;
use wgrad::plan::program::Program;

/// The CPU as a device for f16: as its reference, or with the properties of a device to be detected.
pub struct Device {
    pub cpu: Cpu<f32>,
    pub offered: Vec<Multiplier>,
    /// The variant that computes incorrectly: by two units of f16 in the first element of every f64 read.
    pub wrong: Option<Multiplier>,
    /// The time of a step in f32 and in f16 with each variant.
    pub pace: Option<(Duration, Vec<Duration>)>,
    /// The variant that loses the device when a program is loaded, until it is opened again without matrices.
    pub breaks: Option<Multiplier>,
    pub multiplier: Multiplier,
    pub in_f16: bool,
    pub is_lost: bool,
}

impl Device {
    pub fn new() -> Self {
        Device {
            cpu: Cpu::new(Some(2)).unwrap(),
            offered: vec![Multiplier::Fma],
            wrong: None,
            pace: None,
            breaks: None,
            multiplier: Multiplier::Fma,
            in_f16: false,
            is_lost: false,
        }
    }

    pub fn boxed() -> Box<dyn Backend> {
        Box::new(Self::new())
    }
}

impl Backend for Device {
    forward!(cpu: info upload forget write traffic);
    fn open_mixed(&mut self) -> Pending<'_, Vec<Multiplier>> {
        Box::pin(async move { Ok(self.offered.clone()) })
    }
    fn multiply_by(&mut self, multiplier: Multiplier) {
        self.multiplier = multiplier;
    }
    fn without_matrices(&mut self) -> Pending<'_> {
        Box::pin(async move {
            self.offered.retain(|multiplier| *multiplier == Multiplier::Fma);
            self.multiplier = Multiplier::Fma;
            self.is_lost = false;
            Ok(())
        })
    }
    fn load(&mut self, program: Arc<Program>) -> Pending<'_> {
        Box::pin(async move {
            self.is_lost |= self.breaks == Some(self.multiplier);
            if self.is_lost {
                return Err(wgrad::Error::failed("the device was lost"));
            }
            self.in_f16 = program.tensors.iter().any(|t| t.precision == Precision::F16);
            self.cpu.load(program).await
        })
    }
    fn run<'a>(&'a mut self, ops: Range<usize>, data: DataId, steps: &'a [Step]) -> Pending<'a> {
        Box::pin(async move {
            // Of whole steps; the self-test runs op by op.
            if let (Some((single, halves)), true) = (&self.pace, ops.len() > 1) {
                let place = self.offered.iter().position(|m| *m == self.multiplier).unwrap();
                let each = if self.in_f16 { halves[place] } else { *single };
                std::thread::sleep(each * steps.len() as u32);
            }
            self.cpu.run(ops, data, steps).await
        })
    }
    fn read<'a>(&'a mut self, tensor: TensorId, mut values: ValuesMut<'a>) -> Pending<'a> {
        Box::pin(async move {
            let is_wrong = self.in_f16 && self.wrong == Some(self.multiplier);
            match &mut values {
                ValuesMut::F32(v) => self.cpu.read(tensor, ValuesMut::F32(v)).await,
                ValuesMut::F64(v) => {
                    self.cpu.read(tensor, ValuesMut::F64(v)).await?;
                    v.iter_mut().take(usize::from(is_wrong)).for_each(|x| *x *= 1.0 + 1.0 / 512.0);
                    Ok(())
                }
            }
        })
    }
}

/// The CPU as a reference, and the GPU where there is one.
pub fn devices(test: &str) -> Vec<Box<dyn Backend>> {
    let mut devices = vec![Device::boxed()];
    if has_gpu(test) {
        devices.push(Box::new(Gpu::open(0).unwrap()));
    }
    devices
}
