//! SHA-256 (FIPS 180-4): by the crate `sha2`, which uses the processor's instructions for it, where the feature
//! `data` is on; else in plain Rust, so that nets and training need no crate for it.

/// A digest that grows.
#[derive(Clone)]
pub(crate) struct Sha256(
    #[cfg(feature = "data")] sha2::Sha256,
    #[cfg(not(feature = "data"))] plain::Sha256,
);

impl Sha256 {
    pub(crate) fn new() -> Self {
        #[cfg(feature = "data")]
        return Sha256(sha2::Digest::new());
        #[cfg(not(feature = "data"))]
        return Sha256(plain::Sha256::new());
    }

    pub(crate) fn update(&mut self, bytes: impl AsRef<[u8]>) {
        #[cfg(feature = "data")]
        sha2::Digest::update(&mut self.0, bytes);
        #[cfg(not(feature = "data"))]
        self.0.update(bytes.as_ref());
    }

    pub(crate) fn finalize(self) -> [u8; 32] {
        #[cfg(feature = "data")]
        return sha2::Digest::finalize(self.0).into();
        #[cfg(not(feature = "data"))]
        return self.0.finalize();
    }

    /// The digest of these bytes.
    pub(crate) fn digest(bytes: impl AsRef<[u8]>) -> [u8; 32] {
        let mut all = Self::new();
        all.update(bytes);
        all.finalize()
    }
}

/// SHA-256 in plain Rust.
#[cfg(any(test, not(feature = "data")))]
mod plain {
    /// The fractional parts of the cube roots of the first 64 primes (section 4.2.2).
    #[rustfmt::skip]
    const K: [u32; 64] = [
        0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1,
        0x923f_82a4, 0xab1c_5ed5, 0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3,
        0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174, 0xe49b_69c1, 0xefbe_4786,
        0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da,
        0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7, 0xc6e0_0bf3, 0xd5a7_9147,
        0x06ca_6351, 0x1429_2967, 0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13,
        0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85, 0xa2bf_e8a1, 0xa81a_664b,
        0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070,
        0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a,
        0x5b9c_ca4f, 0x682e_6ff3, 0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208,
        0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2,
    ];

    #[derive(Clone)]
    pub(crate) struct Sha256 {
        state: [u32; 8],
        /// The bytes of the last block that isn't whole.
        block: Vec<u8>,
        length: u64,
    }

    impl Sha256 {
        pub(crate) fn new() -> Self {
            let state = [
                0x6a09_e667,
                0xbb67_ae85,
                0x3c6e_f372,
                0xa54f_f53a,
                0x510e_527f,
                0x9b05_688c,
                0x1f83_d9ab,
                0x5be0_cd19,
            ];
            Sha256 { state, block: Vec::with_capacity(64), length: 0 }
        }

        pub(crate) fn update(&mut self, mut bytes: &[u8]) {
            self.length += bytes.len() as u64;
            if !self.block.is_empty() {
                let (first, rest) = bytes.split_at(bytes.len().min(64 - self.block.len()));
                self.block.extend_from_slice(first);
                bytes = rest;
                if self.block.len() < 64 {
                    return;
                }
                let block = std::mem::take(&mut self.block);
                block.as_chunks::<64>().0.iter().for_each(|block| self.compress(block));
            }
            let (blocks, rest) = bytes.as_chunks::<64>();
            blocks.iter().for_each(|block| self.compress(block));
            self.block.extend_from_slice(rest);
        }

        pub(crate) fn finalize(mut self) -> [u8; 32] {
            let bits = self.length * 8;
            self.update(&[0x80]);
            while self.block.len() != 56 {
                self.update(&[0]);
            }
            self.update(&bits.to_be_bytes());
            let mut digest = [0; 32];
            for (bytes, word) in digest.as_chunks_mut::<4>().0.iter_mut().zip(self.state) {
                *bytes = word.to_be_bytes();
            }
            digest
        }

        /// One block (section 6.2.2).
        fn compress(&mut self, block: &[u8; 64]) {
            let mut w = [0u32; 64];
            for (word, bytes) in w.iter_mut().zip(block.as_chunks::<4>().0) {
                *word = u32::from_be_bytes(*bytes);
            }
            for t in 16..64 {
                let (a, b) = (w[t - 15], w[t - 2]);
                let s0 = a.rotate_right(7) ^ a.rotate_right(18) ^ (a >> 3);
                let s1 = b.rotate_right(17) ^ b.rotate_right(19) ^ (b >> 10);
                w[t] = w[t - 16].wrapping_add(s0).wrapping_add(w[t - 7]).wrapping_add(s1);
            }
            let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = self.state;
            for (k, w) in K.into_iter().zip(w) {
                let s1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
                let choice = (e & f) ^ (!e & g);
                let t1 = h.wrapping_add(s1).wrapping_add(choice).wrapping_add(k).wrapping_add(w);
                let s0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
                let t2 = s0.wrapping_add((a & b) ^ (a & c) ^ (b & c));
                (h, g, f, e, d, c, b, a) =
                    (g, f, e, d.wrapping_add(t1), c, b, a, t1.wrapping_add(t2));
            }
            for (state, x) in self.state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
                *state = state.wrapping_add(x);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Sha256, plain};

    fn plainly(pieces: &[&[u8]]) -> [u8; 32] {
        let mut all = plain::Sha256::new();
        pieces.iter().for_each(|piece| all.update(piece));
        all.finalize()
    }

    /// The examples of FIPS 180-4, and pieces of every length around a block.
    #[test]
    fn the_plain_digest_is_that_of_the_standard() {
        for (text, digest) in [
            ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            (
                "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
            ),
            ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ] {
            let found = plainly(&[text.as_bytes()]);
            assert_eq!(found.map(|byte| format!("{byte:02x}")).concat(), digest);
            assert_eq!(Sha256::digest(text), found);
        }
        let bytes: Vec<u8> = (0..200).collect();
        for cut in 0..=200 {
            let found = plainly(&[&bytes[..cut], &bytes[cut..]]);
            assert_eq!(found, Sha256::digest(&bytes));
            assert_eq!(plainly(&[&bytes[..cut]]), Sha256::digest(&bytes[..cut]));
        }
    }
}
