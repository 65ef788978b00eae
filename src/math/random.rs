//! Counter-based random numbers and permutations, bit-equal to `shaders/common/random_functions.wgsl`.
//!
//! A number is a function of (key, counter), so any of them can be computed without the ones before
//! it: on any device, in any order, and again when a run is resumed.

use crate::math::multiversion::multiversioned;
#[cfg(feature = "data")]
use rand::TryRng;
#[cfg(feature = "data")]
use std::convert::Infallible;

/// Threefry-2x32 with 20 rounds (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as
/// 1, 2, 3", SC 2011): 64 random bits for each (key, counter).
#[must_use]
#[inline(always)]
pub fn threefry(key: [u32; 2], counter: [u32; 2]) -> [u32; 2] {
    let [[a], [b]] = threefry_lanes(key, |_| counter);
    [a, b]
}

/// [`threefry`] at N counters: the first words, then the second ones. Each round loops over all of them, so
/// that it is vectorized.
#[inline(always)]
pub(crate) fn threefry_lanes<const N: usize>(
    key: [u32; 2],
    counter: impl Fn(u32) -> [u32; 2],
) -> [[u32; N]; 2] {
    let keys = [key[0], key[1], 0x1BD1_1BDA ^ key[0] ^ key[1]];
    let [mut x, mut y] = [[0u32; N]; 2];
    for (i, (x, y)) in (0..).zip(x.iter_mut().zip(&mut y)) {
        let [first, second] = counter(i);
        (*x, *y) = (first.wrapping_add(keys[0]), second.wrapping_add(keys[1]));
    }
    // Not in a loop, so that the number of a block is a constant.
    four_rounds(&mut x, &mut y, keys, 1);
    four_rounds(&mut x, &mut y, keys, 2);
    four_rounds(&mut x, &mut y, keys, 3);
    four_rounds(&mut x, &mut y, keys, 4);
    four_rounds(&mut x, &mut y, keys, 5);
    [x, y]
}

/// Block number `block` of [`threefry`], from 1: four rounds, then a key injection.
#[inline(always)]
fn four_rounds<const N: usize>(x: &mut [u32; N], y: &mut [u32; N], keys: [u32; 3], block: usize) {
    const ROTATIONS: [[u32; 4]; 2] = [[17, 29, 16, 24], [13, 15, 26, 6]];
    for rotation in ROTATIONS[block % 2] {
        for (x, y) in x.iter_mut().zip(&mut *y) {
            *x = x.wrapping_add(*y);
            *y = y.rotate_left(rotation) ^ *x;
        }
    }
    for (x, y) in x.iter_mut().zip(y) {
        *x = x.wrapping_add(keys[block % 3]);
        *y = y.wrapping_add(keys[(block + 1) % 3]).wrapping_add(block as u32);
    }
}

/// What a stream of random numbers is for: streams of one seed never share numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Stream {
    /// Initial weights of layer `n`.
    Weights = 1,
    /// The order of the rows in epoch `n`.
    Shuffle = 2,
    /// The split into training and validation rows.
    Split = 3,
    /// Generated data sets.
    Data = 4,
    /// Tests and checks.
    Check = 5,
    /// The folds of a cross-validation.
    Folds = 6,
    /// Dropout masks: 0 for the inputs, l for the outputs of layer l.
    Dropout = 7,
    /// Image augmentation.
    Augment = 8,
    /// The initial table of embedding `n`.
    Embeddings = 9,
    /// The sample of a table that isn't held in memory.
    Sample = 16,
    /// The order of the slabs of a set that isn't held in memory, in epoch `n`.
    Slabs = 17,
    /// The rows of a table that isn't held in memory which are held out.
    HeldOut = 18,
    /// The noise that is added to gradients.
    GradientNoise = 24,
    /// The mixing weights of mixup in step `n`.
    Mixup = 25,
    /// Random choices of a report: resamples of rows, permutations of columns, samples of points.
    Report = 26,
}

/// The key of stream `stream`, number `n`, under `seed`.
#[must_use]
pub fn stream_key(seed: u64, stream: Stream, n: u64) -> [u32; 2] {
    let (seed_low, seed_high) = halves(seed);
    let (n_low, n_high) = halves(n);
    let key = threefry([seed_low, seed_high], [stream as u32, n_high]);
    threefry(key, [n_low, 0])
}

/// The low and the high 32 bits.
fn halves(x: u64) -> (u32, u32) {
    (x as u32, (x >> 32) as u32)
}

/// A sequential generator over one stream, usable with everything in `rand`.
#[derive(Debug, Clone)]
pub struct Random {
    key: [u32; 2],
    counter: u64,
}

impl Random {
    /// The generator of stream `stream`, number `n`, under `seed`.
    #[must_use]
    pub fn new(seed: u64, stream: Stream, n: u64) -> Self {
        Random { key: stream_key(seed, stream, n), counter: 0 }
    }

    fn next(&mut self) -> u64 {
        let (low, high) = halves(self.counter);
        self.counter += 1;
        let [a, b] = threefry(self.key, [low, high]);
        u64::from(a) | u64::from(b) << 32
    }

    /// Uniform in (0, 1), in steps of 2⁻⁵³; never 0 and never 1.
    pub fn uniform(&mut self) -> f64 {
        ((self.next() >> 11) as f64 + 0.5) * 2f64.powi(-53)
    }

    /// Standard normal (Box, Muller, "A note on the generation of random normal deviates", 1958).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.uniform().ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

#[cfg(feature = "data")]
impl TryRng for Random {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.next() as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.next())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(8) {
            let next = self.next().to_le_bytes();
            chunk.copy_from_slice(&next[..chunk.len()]);
        }
        Ok(())
    }
}

/// A seeded permutation of `0..n` that can be evaluated at any position without being stored.
///
/// A generalized Feistel network over Z_a × Z_b with a·b ≥ n, walked until the value falls into
/// `0..n` (Black, Rogaway, "Ciphers with arbitrary finite domains", CT-RSA 2002). The kernels that
/// gather rows evaluate the same function on the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permutation {
    n: u32,
    a: u32,
    b: u32,
    key: Option<[u32; 2]>,
}

impl Permutation {
    /// Rounds of the network: each adds a keyed hash of one half to the other.
    pub const ROUNDS: u32 = 8;

    /// The permutation of `0..n` under `key`; without a key the identity.
    #[must_use]
    pub fn new(n: u32, key: Option<[u32; 2]>) -> Self {
        let a = (f64::from(n).sqrt().ceil() as u32).max(1);
        let b = n.div_ceil(a).max(1);
        Permutation { n, a, b, key }
    }

    /// The constants that kernels need: `[n, a, b, key₀, key₁]`; n = 0 means the identity.
    #[must_use]
    pub fn words(&self) -> [u32; 5] {
        match self.key {
            Some([k0, k1]) => [self.n, self.a, self.b, k0, k1],
            None => [0; 5],
        }
    }

    /// The value at `position`, which is below n.
    #[must_use]
    pub fn at(&self, position: u32) -> u32 {
        permute(self.words(), position)
    }
}

/// [`Permutation::at`] over the five words of [`Permutation::words`].
#[must_use]
pub fn permute([n, a, b, k0, k1]: [u32; 5], position: u32) -> u32 {
    if n == 0 {
        return position;
    }
    let mut x = position;
    loop {
        let (mut left, mut right) = (x / b, x % b);
        for round in 0..Permutation::ROUNDS {
            let half = if round % 2 == 0 { right } else { left };
            let hash = mix(mix(half ^ k0).wrapping_add(k1) ^ round.wrapping_mul(0x9E37_79B9));
            let (part, size) = if round % 2 == 0 { (&mut left, a) } else { (&mut right, b) };
            *part += hash % size;
            if *part >= size {
                *part -= size;
            }
        }
        x = left * b + right;
        if x < n {
            return x;
        }
    }
}

/// [`permute`] for the positions from `first` on: vectorized, as every row of a batch needs it.
pub fn permute_all(words: [u32; 5], first: u32, places: &mut [u32]) {
    const LANES: usize = 16;
    let [n, a, b, k0, k1] = words;
    if n == 0 || a == 0 || b == 0 {
        (first..).zip(places).for_each(|(position, place)| *place = position);
        return;
    }
    for (group, places) in places.chunks_mut(LANES).enumerate() {
        let start = first.wrapping_add((group * LANES) as u32);
        let found = &mut std::array::from_fn(|i| start.wrapping_add(i as u32));
        feistel(found, [a, b, k0, k1]);
        for (place, &found) in places.iter_mut().zip(found.iter()) {
            // A value beyond n goes through the network once more, as in `permute`.
            *place = if found < n { found } else { permute(words, found) };
        }
    }
}

multiversioned! {
    /// One pass of the network over many values.
    fn feistel(values: &mut [u32; 16], words: [u32; 4]) {
        let [a, b, k0, k1] = words;
        let (by_a, by_b) = (1.0 / f64::from(a), 1.0 / f64::from(b));
        // The remainder, by a reciprocal whose quotient may be off by one.
        let divide = |x: u32, by: f64, size: u32| -> (u32, u32) {
            // SAFETY: at most x, as `by` is at most 1.
            let quotient: u32 = unsafe { (f64::from(x) * by).to_int_unchecked() };
            let rest = i64::from(x) - i64::from(quotient) * i64::from(size);
            if rest < 0 {
                (quotient - 1, (rest + i64::from(size)) as u32)
            } else if rest >= i64::from(size) {
                (quotient + 1, (rest - i64::from(size)) as u32)
            } else {
                (quotient, rest as u32)
            }
        };
        let mut right = *values;
        let mut left = *values;
        for i in 0..16 {
            (left[i], right[i]) = divide(values[i], by_b, b);
        }
        for round in 0..Permutation::ROUNDS {
            let salt = round.wrapping_mul(0x9E37_79B9);
            for i in 0..16 {
                let half = if round % 2 == 0 { right[i] } else { left[i] };
                let hash = mix(mix(half ^ k0).wrapping_add(k1) ^ salt);
                let (part, by, size) =
                    if round % 2 == 0 { (&mut left[i], by_a, a) } else { (&mut right[i], by_b, b) };
                let sum = *part + divide(hash, by, size).1;
                *part = if sum >= size { sum - size } else { sum };
            }
        }
        for i in 0..16 {
            // Beyond n only at places that weren't asked for.
            values[i] = left[i].wrapping_mul(b).wrapping_add(right[i]);
        }
    }
}

/// A bijective 32-bit mixer (the "lowbias32" of C. Wellons' hash prospector).
#[inline(always)]
fn mix(mut x: u32) -> u32 {
    x = (x ^ (x >> 16)).wrapping_mul(0x7FEB_352D);
    x = (x ^ (x >> 15)).wrapping_mul(0x846C_A68B);
    x ^ (x >> 16)
}

/// The 64-bit hash FNV-1a (Fowler, Noll, Vo), with the finalizer of MurmurHash3. It must never
/// change, as models depend on it.
#[must_use]
pub fn text_hash(text: &str) -> u64 {
    let hash = text.bytes().fold(0xCBF2_9CE4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3)
    });
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xC4CE_B9FE_1A85_EC53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known answers published with the Random123 library for threefry2x32, 20 rounds.
    #[test]
    fn threefry_gives_the_published_known_answers() {
        assert_eq!(threefry([0, 0], [0, 0]), [0x6b20_0159, 0x99ba_4efe]);
        assert_eq!(threefry([u32::MAX; 2], [u32::MAX; 2]), [0x1cb9_96fc, 0xbb00_2be7]);
        assert_eq!(
            threefry([0x1319_8a2e, 0x0370_7344], [0x243f_6a88, 0x85a3_08d3]),
            [0xc492_3a9c, 0x483d_f7a0]
        );
    }

    #[test]
    fn every_permutation_holds_each_value_once() {
        for n in (1..200).chain([1009, 1617, 65_536, 60_000]) {
            let permutation = Permutation::new(n, Some(stream_key(3, Stream::Shuffle, 1)));
            let mut seen = vec![false; n as usize];
            for position in 0..n {
                let value = permutation.at(position) as usize;
                assert!(!std::mem::replace(&mut seen[value], true), "n = {n}");
            }
        }
    }

    #[test]
    fn many_places_at_once_are_those_found_one_by_one() {
        for n in [1, 2, 5, 17, 100, 1009, 60_000, 16_777_259, u32::MAX] {
            let words = Permutation::new(n, Some(stream_key(7, Stream::Shuffle, 2))).words();
            for first in [0, 3, n / 2].into_iter().filter(|&first| first < n) {
                let mut places = [0; 37];
                let count = places.len().min((n - first) as usize);
                permute_all(words, first, &mut places[..count]);
                for (i, &place) in places[..count].iter().enumerate() {
                    assert_eq!(place, permute(words, first + i as u32), "{i} of {n}");
                }
            }
        }
        let mut places = [0; 3];
        permute_all(Permutation::new(9, None).words(), 4, &mut places);
        assert_eq!(places, [4, 5, 6]);
    }

    /// χ² of which value stands at each position, over many keys, against uniform.
    #[test]
    fn permutations_are_uniform_over_positions() {
        const N: usize = 10;
        const KEYS: u64 = 20_000;
        let mut counts = [[0u32; N]; N];
        for epoch in 0..KEYS {
            let permutation =
                Permutation::new(N as u32, Some(stream_key(0, Stream::Shuffle, epoch)));
            for (position, row) in counts.iter_mut().enumerate() {
                row[permutation.at(position as u32) as usize] += 1;
            }
        }
        let expected = KEYS as f64 / N as f64;
        for row in counts {
            let chi2: f64 = row.iter().map(|&c| (f64::from(c) - expected).powi(2) / expected).sum();
            // 9 degrees of freedom: 99.99% quantile 33.7
            assert!(chi2 < 33.7, "χ² = {chi2}");
        }
    }

    #[test]
    fn normal_numbers_have_mean_zero_and_variance_one() {
        let mut random = Random::new(7, Stream::Check, 0);
        let draws: Vec<f64> = (0..100_000).map(|_| random.normal()).collect();
        let mean = draws.iter().sum::<f64>() / 1e5;
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 1e5;
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.02);
    }
}
