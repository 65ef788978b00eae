//! Device memory: buffers within the limits, and transfers.

use crate::backend::mebibytes;
use crate::base::error::{Error, Result};
use std::sync::mpsc;
use std::time::Duration;

/// Creates a buffer, or says which limit or memory it exceeds.
pub(super) fn create(
    device: &wgpu::Device,
    what: &str,
    bytes: u64,
    usage: wgpu::BufferUsages,
) -> Result<wgpu::Buffer> {
    // Bindings and copies come in words of 4 bytes; a vec4 is the largest element.
    let size = bytes.max(1).checked_next_multiple_of(16).unwrap_or(u64::MAX);
    check("max_buffer_size", what, size, device.limits().max_buffer_size)?;
    let scope = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
    let buffer = device.create_buffer(&wgpu::BufferDescriptor {
        label: Some(what),
        size,
        usage,
        mapped_at_creation: false,
    });
    match pollster::block_on(scope.pop()) {
        None => Ok(buffer),
        Some(_) => Err(Error::device(format!("the device has no {} for {what}", mebibytes(bytes)))
            .help("choose a smaller --batch-size, smaller --layers, or --device cpu")),
    }
}

/// Refuses what exceeds a limit of the device, naming the limit and what to change.
pub(super) fn check(limit: &str, what: &str, bytes: u64, largest: u64) -> Result<()> {
    if bytes <= largest {
        return Ok(());
    }
    let (needed, largest) = (mebibytes(bytes), mebibytes(largest));
    Err(Error::device(format!("{what} needs {needed}, the device's {limit} is {largest}"))
        .help("choose a smaller --batch-size, smaller --layers, fewer rows, or --device cpu"))
}

/// How long a device may take to answer.
const PATIENCE: Duration = Duration::from_secs(300);
/// Words that are read back at a time.
const READ_WORDS: usize = 1 << 22;

/// Reads `words` 4-byte words of `buffer` from byte `offset` on, waiting for all work before.
/// `take` gets them piece by piece, each with its first index.
pub(super) fn read(
    device: &wgpu::Device,
    queue: &wgpu::Queue,
    buffer: &wgpu::Buffer,
    offset: u64,
    words: usize,
    mut take: impl FnMut(usize, &[f32]),
) -> Result<()> {
    let piece = words.min(READ_WORDS);
    let usage = wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ;
    let staging = create(device, "reading back", 4 * piece as u64, usage)?;
    for first in (0..words).step_by(piece.max(1)) {
        let bytes = 4 * piece.min(words - first) as u64;
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.copy_buffer_to_buffer(buffer, offset + 4 * first as u64, &staging, 0, bytes);
        queue.submit([encoder.finish()]);
        let (sender, receiver) = mpsc::channel();
        staging.map_async(wgpu::MapMode::Read, 0..bytes, move |mapped| {
            // The receiver is only gone when the wait below failed.
            let _ = sender.send(mapped);
        });
        wait(device, None)?;
        let lost = |e: String| Error::failed(format!("reading from the device failed: {e}"));
        // Another thread of a program that shares its device may bring the answer a little later.
        match receiver.recv_timeout(PATIENCE) {
            Ok(mapped) => mapped.map_err(|e| lost(e.to_string()))?,
            Err(_) => return Err(lost("the device gave no answer".into())),
        }
        let view = staging.get_mapped_range(0..bytes).map_err(|e| lost(e.to_string()))?;
        take(first, bytemuck::cast_slice(&view));
        drop(view);
        staging.unmap();
    }
    Ok(())
}

/// Waits for a submission, or for all; a device that never answers is given up.
pub(super) fn wait(device: &wgpu::Device, submission: Option<wgpu::SubmissionIndex>) -> Result<()> {
    let poll = wgpu::PollType::Wait { submission_index: submission, timeout: Some(PATIENCE) };
    device.poll(poll).map(|_| ()).map_err(|e| {
        Error::failed(format!("the device doesn't answer: {e}"))
            .help("try a smaller --batch-size, another --device, or --device cpu")
    })
}
