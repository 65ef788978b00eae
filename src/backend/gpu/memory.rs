//! Device memory: buffers within the limits, and transfers.

use super::answers::Answers;
use crate::backend::mebibytes;
use crate::base::error::{Error, Result};
use crate::base::oneshot;

/// Creates a buffer; an error names the limit or memory that it exceeds.
pub(super) async fn create(
    device: &wgpu::Device,
    what: &str,
    bytes: u64,
    usage: wgpu::BufferUsages,
) -> Result<wgpu::Buffer> {
    // Bindings and copies are in words of 4 bytes; a vec4 is the largest element.
    let size = bytes.max(1).checked_next_multiple_of(16).unwrap_or(u64::MAX);
    check("max_buffer_size", what, size, device.limits().max_buffer_size)?;
    let scope = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
    let buffer = device.create_buffer(&wgpu::BufferDescriptor {
        label: Some(what),
        size,
        usage,
        mapped_at_creation: false,
    });
    let error = scope.pop();
    match error.await {
        None => Ok(buffer),
        Some(_) => {
            Err(Error::device(format!("the device can't allocate {} for {what}", mebibytes(bytes)))
                .help("choose a smaller --batch-size, smaller --layers, or --device cpu"))
        }
    }
}

/// Refuses what exceeds a limit of the device, naming the limit and what to change.
pub(super) fn check(limit: &str, what: &str, bytes: u64, largest: u64) -> Result<()> {
    if bytes <= largest {
        return Ok(());
    }
    let (needed, largest) = (mebibytes(bytes), mebibytes(largest));
    Err(Error::device(format!("{what} needs {needed}, but the device's {limit} is {largest}"))
        .help("choose a smaller --batch-size, smaller --layers, fewer rows, or --device cpu"))
}

/// The number of words that are read back at a time.
const READ_WORDS: usize = 1 << 22;

/// Reads `words` 4-byte words of `buffer` from byte `offset` on, when all work before is done.
/// `take` gets them piece by piece, each with its first index.
pub(super) async fn read(
    device: &wgpu::Device,
    queue: &wgpu::Queue,
    answers: &Answers,
    buffer: &wgpu::Buffer,
    offset: u64,
    words: usize,
    mut take: impl FnMut(usize, &[f32]) + Send,
) -> Result<()> {
    let piece = words.min(READ_WORDS);
    let usage = wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ;
    let staging = create(device, "reading back", 4 * piece as u64, usage).await?;
    for first in (0..words).step_by(piece.max(1)) {
        let bytes = 4 * piece.min(words - first) as u64;
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.copy_buffer_to_buffer(buffer, offset + 4 * first as u64, &staging, 0, bytes);
        let submission = queue.submit([encoder.finish()]);
        let (sender, receiver) = oneshot::channel();
        staging.map_async(wgpu::MapMode::Read, 0..bytes, move |mapped| {
            // The receiver is gone if the future was dropped.
            let _ = sender.send(mapped);
        });
        answers.to(submission).await?;
        let lost = |e: String| Error::failed(format!("reading from the device failed: {e}"));
        let mapped = receiver.await.map_err(|_| lost("the device gave no answer".into()))?;
        mapped.map_err(|e| lost(e.to_string()))?;
        let view = staging.get_mapped_range(0..bytes).map_err(|e| lost(e.to_string()))?;
        take(first, bytemuck::cast_slice(&view));
        drop(view);
        staging.unmap();
    }
    Ok(())
}
