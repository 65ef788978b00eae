//! From a program's ops to launches that are ready to be encoded, with their bindings.

use super::Gpu;
use super::data::DeviceData;
use super::pipeline::Bound;
use crate::backend::{DataId, check};
use crate::base::error::Result;
use crate::kernels::tensor::TensorId;
use crate::kernels::{Access, Arg, Launch};
use std::ops::Range;
use wgpu::Limits;

/// The argument of a binding: a whole buffer, or `size` bytes from `offset` on.
pub(super) struct Argument {
    pub(super) buffer: wgpu::Buffer,
    pub(super) offset: u64,
    pub(super) size: Option<wgpu::BufferSize>,
}

impl Gpu {
    /// The most bytes that one binding may have: whole elements of the largest type, a vec4, and so few
    /// that the shaders can count them in 32 bits.
    pub(super) fn largest_binding(&self) -> u64 {
        let Limits { max_storage_buffer_binding_size, max_buffer_size, .. } = self.limits;
        max_storage_buffer_binding_size.min(max_buffer_size).min(u32::MAX.into()) / 16 * 16
    }

    /// The argument of a binding in the net with number `net`.
    fn argument(&self, arg: Arg, access: Access, net: usize, data: &DeviceData) -> Argument {
        let part = |tensor: TensorId, start: usize, len: usize| {
            let t = self.program.tensor(tensor);
            let element = t.precision.bytes();
            Argument {
                buffer: self.buffers[t.buffer].clone(),
                offset: (element * (self.program.place_in(net, tensor) + start)) as u64,
                // Tensors are padded, and a vec4 is the largest element.
                size: wgpu::BufferSize::new((element * len).next_multiple_of(16) as u64),
            }
        };
        let whole =
            |buffer: &wgpu::Buffer| Argument { buffer: buffer.clone(), offset: 0, size: None };
        match arg {
            Arg::Tensor(tensor) => part(tensor, 0, self.program.len(tensor)),
            Arg::Slice(tensor, start, len) => part(tensor, start, len),
            Arg::Features => whole(&data.features),
            Arg::Affine => whole(&data.affine),
            Arg::Targets => whole(&data.targets),
            Arg::Weights => whole(&data.weights),
            // A buffer can't be bound for reading and for writing in the same launch.
            Arg::Unused => whole(&self.unused[usize::from(access == Access::ReadWrite)]),
        }
    }

    /// Prepares the launches of `ops` on `data`, once.
    pub(super) async fn bind(&mut self, ops: Range<usize>, data: DataId) -> Result<()> {
        let program = self.program.clone();
        let Some(rows) = self.data.get(&data).cloned() else { return Err(check::forgotten()) };
        let largest = (self.largest_binding() / 4) as usize;
        for op in ops {
            if self.bound.contains_key(&(op, data)) {
                continue;
            }
            let mut bound = Vec::new();
            for launch in program.launches(&program.ops[op], rows.storage, largest, &self.tuning) {
                // What differs between nets is where their tensors lie.
                for net in 0..program.nets {
                    bound.push(self.bind_launch(&launch, net, &rows).await?);
                }
            }
            self.bound.insert((op, data), bound);
        }
        self.pipelines.keep();
        Ok(())
    }

    /// Prepares a launch of a net on `data`.
    pub(super) async fn bind_launch(
        &mut self,
        launch: &Launch,
        net: usize,
        data: &DeviceData,
    ) -> Result<Bound> {
        let bindings = launch.args.iter().zip(launch.kernel.bindings);
        let arguments: Vec<_> =
            bindings.map(|(arg, b)| self.argument(*arg, b.access, net, data)).collect();
        self.pipelines.bind(&self.device, &self.queue, launch, &arguments).await
    }
}
