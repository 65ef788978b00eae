//! Tensors between host and device.

use super::{Gpu, PIECE_WORDS, half, memory};
use crate::backend::{Values, ValuesMut, check_length};
use crate::error::Result;
use crate::precision::Precision;
use crate::tensor::TensorId;

impl Gpu {
    pub(super) fn write_tensor(&mut self, tensor: TensorId, values: Values<'_>) -> Result<()> {
        check_length(&self.program, tensor, values.len())?;
        let t = self.program.tensor(tensor);
        let (buffer, offset) = (&self.buffers[t.buffer], 4 * t.offset as u64);
        let mut rounded = Vec::new();
        let values = match values {
            Values::F32(values) => values,
            Values::F64(values) => {
                rounded.extend(values.iter().map(|&x| x as f32));
                &rounded
            }
        };
        if t.precision == Precision::F16 {
            return half::write(&self.device, &self.queue, buffer, t.offset, values);
        }
        for (i, piece) in values.chunks(PIECE_WORDS).enumerate() {
            let offset = offset + 4 * (i * PIECE_WORDS) as u64;
            self.queue.write_buffer(buffer, offset, bytemuck::cast_slice(piece));
            if values.len() > PIECE_WORDS {
                self.queue.submit([]);
            }
        }
        Ok(())
    }

    pub(super) fn read_tensor(&mut self, tensor: TensorId, values: ValuesMut<'_>) -> Result<()> {
        let len = values.len();
        check_length(&self.program, tensor, len)?;
        let t = self.program.tensor(tensor);
        let (buffer, offset) = (&self.buffers[t.buffer], 4 * t.offset as u64);
        let (device, queue) = (&self.device, &self.queue);
        match values {
            ValuesMut::F32(values) if t.precision == Precision::F16 => {
                half::read(device, queue, buffer, t.offset, len, |i, x| values[i] = x)
            }
            ValuesMut::F64(values) if t.precision == Precision::F16 => {
                half::read(device, queue, buffer, t.offset, len, |i, x| values[i] = x.into())
            }
            ValuesMut::F32(values) => {
                memory::read(&self.device, &self.queue, buffer, offset, len, |first, piece| {
                    values[first..first + piece.len()].copy_from_slice(piece);
                })
            }
            ValuesMut::F64(values) => {
                memory::read(&self.device, &self.queue, buffer, offset, len, |first, piece| {
                    values[first..].iter_mut().zip(piece).for_each(|(v, &x)| *v = x.into());
                })
            }
        }?;
        self.traffic.bytes_read += (self.program.tensor(tensor).precision.bytes() * len) as u64;
        self.under_way.clear();
        self.last_done = None;
        self.health.check()
    }
}
