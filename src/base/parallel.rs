//! Loops over many threads: those of the crate `rayon` where the feature `data` is on, else the same loops on one
//! thread, so that nets and training need no crate for them. No result depends on it.

pub(crate) use rayon_core::join;

#[cfg(feature = "data")]
pub(crate) use rayon::prelude::*;

#[cfg(not(feature = "data"))]
pub(crate) use sequential::*;

/// The methods of rayon that this crate calls, on one thread.
#[cfg(not(feature = "data"))]
mod sequential {
    pub(crate) trait Slices<T> {
        fn par_iter(&self) -> std::slice::Iter<'_, T>;
        fn par_chunks(&self, size: usize) -> std::slice::Chunks<'_, T>;
        fn par_chunks_mut(&mut self, size: usize) -> std::slice::ChunksMut<'_, T>;
        fn par_sort_unstable(&mut self)
        where
            T: Ord;
    }

    impl<T> Slices<T> for [T] {
        fn par_iter(&self) -> std::slice::Iter<'_, T> {
            self.iter()
        }
        fn par_chunks(&self, size: usize) -> std::slice::Chunks<'_, T> {
            self.chunks(size)
        }
        fn par_chunks_mut(&mut self, size: usize) -> std::slice::ChunksMut<'_, T> {
            self.chunks_mut(size)
        }
        fn par_sort_unstable(&mut self)
        where
            T: Ord,
        {
            self.sort_unstable();
        }
    }

    pub(crate) trait Parallel: IntoIterator + Sized {
        fn into_par_iter(self) -> Self::IntoIter {
            self.into_iter()
        }
    }

    impl<I: IntoIterator> Parallel for I {}

    pub(crate) trait Lengths: Iterator + Sized {
        fn with_min_len(self, _: usize) -> Self {
            self
        }
        fn flat_map_iter<U: IntoIterator, F: FnMut(Self::Item) -> U>(
            self,
            f: F,
        ) -> std::iter::FlatMap<Self, U, F> {
            self.flat_map(f)
        }
    }

    impl<I: Iterator> Lengths for I {}
}
