//! Data sets in device memory.

use super::{Gpu, PIECE_WORDS, memory};
use crate::backend::check::RowShape;
use crate::base::error::Result;
use crate::data::{Features, Samples, Storage, Targets};

/// A data set on the device.
#[derive(Clone)]
pub(super) struct DeviceData {
    pub(super) shape: RowShape,
    pub(super) storage: Storage,
    pub(super) features: wgpu::Buffer,
    pub(super) affine: wgpu::Buffer,
    pub(super) targets: wgpu::Buffer,
    pub(super) weights: wgpu::Buffer,
}

impl Gpu {
    /// Uploads rows into device memory.
    pub(super) async fn upload_samples(&self, samples: &Samples) -> Result<DeviceData> {
        let shape = RowShape::of(samples)?;
        let features = match &*samples.features {
            Features::U8(m) => self.upload_bytes("the feature rows", m.data()).await,
            Features::F32(m) => {
                self.upload_bytes("the feature rows", bytemuck::cast_slice(m.data())).await
            }
        }?;
        let (shift, scale) = (&samples.affine.shift, &samples.affine.scale);
        let affine: Vec<[f32; 2]> = shift.iter().zip(scale).map(|(&a, &b)| [a, b]).collect();
        let affine = self.upload_bytes("the scaling", bytemuck::cast_slice(&affine)).await?;
        let numbers: Vec<f32> = match &samples.targets {
            Some(Targets::Numbers(m)) => m.data().iter().map(|&x| x as f32).collect(),
            _ => Vec::new(),
        };
        let targets = match &samples.targets {
            Some(Targets::Classes { labels, .. }) => bytemuck::cast_slice(labels),
            Some(Targets::Labels { values, .. }) => bytemuck::cast_slice(values.data()),
            Some(Targets::Numbers(_)) | None => bytemuck::cast_slice(&numbers),
        };
        let targets = self.upload_bytes("the targets", targets).await?;
        let weights = bytemuck::cast_slice(samples.weights.as_deref().unwrap_or_default());
        let weights = self.upload_bytes("the weights of rows", weights).await?;
        let storage = samples.storage();
        Ok(DeviceData { shape, storage, features, affine, targets, weights })
    }

    /// A buffer of the data set with these bytes in it.
    async fn upload_bytes(&self, what: &str, bytes: &[u8]) -> Result<wgpu::Buffer> {
        let size = bytes.len() as u64;
        memory::check("max_storage_buffer_binding_size", what, size, self.largest_binding())?;
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST;
        let buffer = memory::create(&self.device, what, size, usage).await?;
        let (whole, rest) = bytes.split_at(bytes.len() / 4 * 4);
        // In pieces, so that there is no second copy of the data set in host memory.
        for (i, piece) in whole.chunks(4 * PIECE_WORDS).enumerate() {
            self.queue.write_buffer(&buffer, (4 * i * PIECE_WORDS) as u64, piece);
            self.queue.submit([]);
        }
        if !rest.is_empty() {
            let mut word = [0; 4];
            word[..rest.len()].copy_from_slice(rest);
            self.queue.write_buffer(&buffer, whole.len() as u64, &word);
        }
        Ok(buffer)
    }

    /// Rows for launches that read none.
    pub(super) fn no_data(&self) -> DeviceData {
        let storage = Storage::default();
        let nothing = || self.unused[0].clone();
        DeviceData {
            shape: RowShape::default(),
            storage,
            features: nothing(),
            affine: nothing(),
            targets: nothing(),
            weights: nothing(),
        }
    }
}
