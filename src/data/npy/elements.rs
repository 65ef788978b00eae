//! The elements of an array, from their bytes.

use super::header::Type;

/// The elements of an array.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Elements {
    Bytes(Vec<u8>),
    Numbers(Vec<f64>),
    Texts(Vec<String>),
}

/// The elements that bytes stand for.
pub(super) fn elements(body: &[u8], element: Type) -> Elements {
    let Type { kind, size, big_endian } = element;
    /// The numbers of N bytes each, which `of` makes of their bytes in the order of this machine.
    fn each<const N: usize>(body: &[u8], big: bool, of: impl Fn([u8; N]) -> f64) -> Elements {
        let number = |bytes: &[u8]| {
            let mut own = [0; N];
            own.copy_from_slice(bytes);
            if big {
                own.reverse();
            }
            of(own)
        };
        Elements::Numbers(body.chunks_exact(N).map(number).collect())
    }
    match (kind, size) {
        (b'u' | b'b', 1) => Elements::Bytes(body.to_vec()),
        (b'i', 1) => Elements::Numbers(body.iter().map(|&b| f64::from(b as i8)).collect()),
        (b'u', 2) => each(body, big_endian, |b| u16::from_le_bytes(b).into()),
        (b'u', 4) => each(body, big_endian, |b| u32::from_le_bytes(b).into()),
        (b'u', _) => each(body, big_endian, |b| u64::from_le_bytes(b) as f64),
        (b'i', 2) => each(body, big_endian, |b| i16::from_le_bytes(b).into()),
        (b'i', 4) => each(body, big_endian, |b| i32::from_le_bytes(b).into()),
        (b'i', _) => each(body, big_endian, |b| i64::from_le_bytes(b) as f64),
        (b'f', 2) => each(body, big_endian, |b| half(u16::from_le_bytes(b))),
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

/// The number that the 16 bits of an IEEE half stand for.
pub(super) fn half(bits: u16) -> f64 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 1023) / 1024.0);
    match exponent {
        0 => sign * fraction * 2f64.powi(-14),
        31 if fraction == 0.0 => sign * f64::INFINITY,
        31 => f64::NAN,
        _ => sign * (1.0 + fraction) * 2f64.powi(exponent - 15),
    }
}

/// Elements whose first dimension ran fastest, now with the last one fastest.
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
        Elements::Texts(v) => Elements::Texts(of(&v, shape)),
    }
}
