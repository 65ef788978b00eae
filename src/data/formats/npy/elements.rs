//! The elements of an array, from their bytes.

use super::header::Type;
use half::f16;

/// f64 distinguishes all whole numbers up to this one.
const EXACT: u128 = 1 << 53;

/// The elements of an array.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Elements {
    Bytes(Vec<u8>),
    Numbers(Vec<f64>),
    /// Whole numbers, some of them beyond 2⁵³, which f64 doesn't distinguish.
    Wide(Vec<i128>),
    Texts(Vec<String>),
}

/// Whether f64 doesn't distinguish a whole number from its neighbors.
pub(super) fn is_wide(x: i128) -> bool {
    x.unsigned_abs() > EXACT
}

/// The elements encoded in bytes.
pub(super) fn elements(bytes: Vec<u8>, element: Type) -> Elements {
    let Type { kind, size, big_endian } = element;
    if matches!((kind, size), (b'u' | b'b', 1)) {
        return Elements::Bytes(bytes);
    }
    let body = &bytes[..];
    fn ordered<const N: usize>(bytes: &[u8], big: bool) -> [u8; N] {
        let mut own = [0; N];
        own.copy_from_slice(bytes);
        if big {
            own.reverse();
        }
        own
    }
    /// The numbers of N bytes each, which `of` decodes from their bytes in native order.
    fn each<const N: usize>(body: &[u8], big: bool, of: impl Fn([u8; N]) -> f64) -> Elements {
        let number = |bytes: &[u8]| of(ordered(bytes, big));
        Elements::Numbers(body.chunks_exact(N).map(number).collect())
    }
    /// Whole numbers of 8 bytes.
    fn whole(body: &[u8], big: bool, of: impl Fn([u8; 8]) -> i128) -> Elements {
        let numbers = || body.chunks_exact(8).map(|bytes| of(ordered(bytes, big)));
        match numbers().any(is_wide) {
            true => Elements::Wide(numbers().collect()),
            false => Elements::Numbers(numbers().map(|x| x as f64).collect()),
        }
    }
    match (kind, size) {
        (b'i', 1) => Elements::Numbers(body.iter().map(|&b| f64::from(b as i8)).collect()),
        (b'u', 2) => each(body, big_endian, |b| u16::from_le_bytes(b).into()),
        (b'u', 4) => each(body, big_endian, |b| u32::from_le_bytes(b).into()),
        (b'u', _) => whole(body, big_endian, |b| u64::from_le_bytes(b).into()),
        (b'i', 2) => each(body, big_endian, |b| i16::from_le_bytes(b).into()),
        (b'i', 4) => each(body, big_endian, |b| i32::from_le_bytes(b).into()),
        (b'i', _) => whole(body, big_endian, |b| i64::from_le_bytes(b).into()),
        (b'f', 2) => each(body, big_endian, |b| f16::from_le_bytes(b).into()),
        (b'f', 4) => each(body, big_endian, |b| f32::from_le_bytes(b).into()),
        (b'f', _) => each(body, big_endian, f64::from_le_bytes),
        (b'U', _) => {
            let text = |chars: &[u8]| {
                let code = |c: &[u8]| match big_endian {
                    true => u32::from_be_bytes([c[0], c[1], c[2], c[3]]),
                    false => u32::from_le_bytes([c[0], c[1], c[2], c[3]]),
                };
                let chars = chars.chunks_exact(4).map(code).take_while(|&c| c != 0);
                chars.map(|c| char::from_u32(c).unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
            };
            Elements::Texts(body.chunks_exact(size * 4).map(text).collect())
        }
        _ => {
            let text = |bytes: &[u8]| {
                let end = bytes.iter().rposition(|&b| b != 0).map_or(0, |i| i + 1);
                String::from_utf8_lossy(&bytes[..end]).into_owned()
            };
            Elements::Texts(body.chunks_exact(size).map(text).collect())
        }
    }
}

/// Converts elements from Fortran order (first dimension fastest) to C order (last one fastest).
pub(super) fn reorder(elements: Elements, shape: &[usize]) -> Elements {
    fn of<T: Clone>(all: &[T], shape: &[usize]) -> Vec<T> {
        let mut index = vec![0; shape.len()];
        let strides: Vec<usize> = shape
            .iter()
            .scan(1, |stride, &n| Some(std::mem::replace(stride, *stride * n)))
            .collect();
        let mut ordered = Vec::with_capacity(all.len());
        for _ in 0..all.len() {
            let at: usize = index.iter().zip(&strides).map(|(i, s)| i * s).sum();
            ordered.push(all[at].clone());
            for d in (0..shape.len()).rev() {
                index[d] += 1;
                if index[d] < shape[d] {
                    break;
                }
                index[d] = 0;
            }
        }
        ordered
    }
    match elements {
        Elements::Bytes(v) => Elements::Bytes(of(&v, shape)),
        Elements::Numbers(v) => Elements::Numbers(of(&v, shape)),
        Elements::Wide(v) => Elements::Wide(of(&v, shape)),
        Elements::Texts(v) => Elements::Texts(of(&v, shape)),
    }
}
