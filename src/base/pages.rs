//! Large buffers on large pages, where the system has them on request.

use bytemuck::Zeroable;

/// The smallest buffer for which it pays: two large pages of the usual size.
const LEAST: usize = 4 << 20;

/// `count` zeros, in memory that is about to be filled.
///
/// The first write to a page costs a page fault; with pages of 4 KiB the faults take longer than the writes.
/// Linux gives pages of 2 MiB on request.
#[must_use]
pub fn zeros<T: Zeroable + Clone>(count: usize) -> Vec<T> {
    let buffer = vec![T::zeroed(); count];
    if size_of_val(buffer.as_slice()) >= LEAST {
        ask_for_large_pages(&buffer);
    }
    buffer
}

#[cfg(target_os = "linux")]
fn ask_for_large_pages<T>(buffer: &[T]) {
    const PAGE: usize = 4096;
    let bytes = size_of_val(buffer);
    let begin = buffer.as_ptr().cast::<u8>();
    let ahead = begin.align_offset(PAGE).min(bytes);
    let whole = (bytes - ahead) / PAGE * PAGE;
    // SAFETY: the range lies within the buffer. The advice changes no byte of it, and the system
    // may ignore it.
    unsafe {
        libc::madvise(begin.add(ahead).cast_mut().cast(), whole, libc::MADV_HUGEPAGE);
    }
}

#[cfg(not(target_os = "linux"))]
fn ask_for_large_pages<T>(_: &[T]) {}

#[cfg(test)]
mod tests {
    #[test]
    fn buffers_of_any_size_hold_zeros() {
        for count in [0, 1, 1000, super::LEAST / 4, super::LEAST + 12_345] {
            let mut buffer = super::zeros::<f32>(count);
            assert!(buffer.len() == count && buffer.iter().all(|x| *x == 0.0));
            buffer.iter_mut().for_each(|x| *x = 1.0);
        }
    }
}
