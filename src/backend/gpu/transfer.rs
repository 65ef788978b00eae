//! Tensors between host and device.

use super::{Gpu, PIECE_WORDS, half, memory};
use crate::backend::{Values, ValuesMut, check};
use crate::base::error::Result;
use crate::kernels::tensor::TensorId;
use crate::net::precision::Precision;

impl Gpu {
    /// Implements [`Backend::write`](crate::backend::Backend::write).
    pub(super) async fn write_tensor(
        &mut self,
        tensor: TensorId,
        values: Values<'_>,
    ) -> Result<()> {
        check::transfer(&self.program, tensor, values.len())?;
        let mut rounded = Vec::new();
        let values = match values {
            Values::F32(values) => values,
            Values::F64(values) => {
                rounded.extend(values.iter().map(|&x| x as f32));
                &rounded
            }
        };
        for (net, values) in values.chunks(self.program.len(tensor).max(1)).enumerate() {
            self.write_net(net, tensor, values).await?;
        }
        Ok(())
    }

    /// Writes the first elements of a tensor of a net.
    pub(super) async fn write_net(
        &mut self,
        net: usize,
        tensor: TensorId,
        values: &[f32],
    ) -> Result<()> {
        let t = self.program.tensor(tensor);
        let (buffer, first) = (&self.buffers[t.buffer], self.program.place_in(net, tensor));
        if t.precision == Precision::F16 {
            return half::write(&self.device, &self.queue, &self.answers, buffer, first, values)
                .await;
        }
        for (i, piece) in values.chunks(PIECE_WORDS).enumerate() {
            let offset = 4 * (first + i * PIECE_WORDS) as u64;
            self.queue.write_buffer(buffer, offset, bytemuck::cast_slice(piece));
            if values.len() > PIECE_WORDS {
                self.queue.submit([]);
            }
        }
        Ok(())
    }

    /// Implements [`Backend::read`](crate::backend::Backend::read).
    pub(super) async fn read_tensor(
        &mut self,
        tensor: TensorId,
        mut values: ValuesMut<'_>,
    ) -> Result<()> {
        let len = values.len();
        check::transfer(&self.program, tensor, len)?;
        let t = self.program.tensor(tensor);
        let buffer = &self.buffers[t.buffer];
        let (device, queue, answers) = (&self.device, &self.queue, &self.answers);
        let of_net = self.program.len(tensor).max(1);
        // An empty read also waits.
        for net in 0..len.div_ceil(of_net).max(1) {
            let (start, first) = (net * of_net, self.program.place_in(net, tensor));
            let count = of_net.min(len - start);
            let mut put = |i: usize, piece: &[f32]| match &mut values {
                ValuesMut::F32(values) => values[start + i..][..piece.len()].copy_from_slice(piece),
                ValuesMut::F64(values) => {
                    values[start + i..].iter_mut().zip(piece).for_each(|(v, &x)| *v = x.into());
                }
            };
            let read = match t.precision {
                Precision::F16 => {
                    let put = |i, x| put(i, &[x]);
                    half::read(device, queue, answers, buffer, first, count, put).await
                }
                Precision::F32 => {
                    memory::read(device, queue, answers, buffer, 4 * first as u64, count, put).await
                }
            };
            // The device's own error says more.
            self.health.check()?;
            read?;
        }
        self.traffic.bytes_read += (self.program.tensor(tensor).precision.bytes() * len) as u64;
        self.under_way.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Backend;
    use crate::backend::gpu::adapters;
    use crate::base::wait::BlockOn as _;
    use crate::kernels::tensor::{Extent, Role};
    use crate::plan::program::Program;
    use std::sync::Arc;

    #[test]
    fn a_device_that_is_gone_gives_an_error_and_its_cause_where_it_is_known() {
        if adapters().is_empty() {
            return eprintln!("skipped: no GPU adapter: a device that is gone");
        }
        let mut gpu = Gpu::open(0).unwrap();
        let mut program = Program::new(1);
        let tensor = program.add("t", Role::Parameter, Extent::Fixed(3), 5);
        gpu.load(Arc::new(program)).block_on().unwrap();
        let mut values = [1.0; 15];
        gpu.read(tensor, ValuesMut::F32(&mut values)).block_on().unwrap();
        assert_eq!(values, [0.0; 15]);
        gpu.device.destroy();
        assert!(gpu.read(tensor, ValuesMut::F32(&mut values)).block_on().is_err());
        gpu.health.note_loss("it took too long");
        let error =
            gpu.read(tensor, ValuesMut::F32(&mut values)).block_on().unwrap_err().to_string();
        assert!(error.contains("it took too long") && error.contains("--batch-size"), "{error}");
    }
}
