//! f16 tensors in device memory: two elements share a word, the unit of copies.

use super::answers::Answers;
use super::{PIECE_WORDS, memory};
use crate::base::error::Result;
use half::f16;

/// Writes values from element `offset` of `buffer` on, a multiple of two.
pub(super) async fn write(
    device: &wgpu::Device,
    queue: &wgpu::Queue,
    answers: &Answers,
    buffer: &wgpu::Buffer,
    offset: usize,
    values: &[f32],
) -> Result<()> {
    let bytes = |first: usize| 2 * (offset + first) as u64;
    let pairs = values.len() / 2 * 2;
    for (i, piece) in values[..pairs].chunks(PIECE_WORDS).enumerate() {
        let halves: Vec<f16> = piece.iter().map(|&x| f16::from_f32(x)).collect();
        let bits: Vec<u16> = halves.into_iter().map(f16::to_bits).collect();
        queue.write_buffer(buffer, bytes(i * PIECE_WORDS), bytemuck::cast_slice(&bits));
        if values.len() > PIECE_WORDS {
            queue.submit([]);
        }
    }
    if let Some(&last) = values.get(pairs) {
        // The other element of the word is unchanged.
        let mut word = 0;
        memory::read(device, queue, answers, buffer, bytes(pairs), 1, |_, piece| {
            word = piece[0].to_bits();
        })
        .await?;
        let word = (word & 0xFFFF_0000) | u32::from(f16::from_f32(last).to_bits());
        queue.write_buffer(buffer, bytes(pairs), &word.to_le_bytes());
    }
    Ok(())
}

/// Reads `len` values from element `offset` of `buffer` on, a multiple of two: `take` gets each with
/// its index.
pub(super) async fn read(
    device: &wgpu::Device,
    queue: &wgpu::Queue,
    answers: &Answers,
    buffer: &wgpu::Buffer,
    offset: usize,
    len: usize,
    mut take: impl FnMut(usize, f32) + Send,
) -> Result<()> {
    memory::read(
        device,
        queue,
        answers,
        buffer,
        2 * offset as u64,
        len.div_ceil(2),
        |first, piece| {
            let bits: &[u16] = bytemuck::cast_slice(piece);
            for (i, &bits) in (2 * first..len).zip(bits) {
                take(i, f16::from_bits(bits).to_f32());
            }
        },
    )
    .await
}
