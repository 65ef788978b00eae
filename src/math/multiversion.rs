//! Multiversioning: functions compiled for the vectors of each kind of processor.

/// Functions whose bodies are compiled for x86-64 with AVX-512, with AVX2, and for every other processor: a call
/// runs the version for this processor. Functions that bodies call must be `#[inline(always)]` or in this macro
/// to be compiled the same way. No a·b + c is contracted into a fused multiply-add, so that all give the same
/// bits.
macro_rules! multiversioned {
    ($(
        $(#[$meta:meta])*
        $visible:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $result:ty)? $body:block
    )*) => {$(
        $(#[$meta])*
        $visible fn $name($($argument: $type),*) $(-> $result)? {
            #[inline(always)]
            fn plain($($argument: $type),*) $(-> $result)? $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
                fn with_avx512($($argument: $type),*) $(-> $result)? {
                    plain($($argument),*)
                }
                #[target_feature(enable = "avx2,fma")]
                fn with_avx2($($argument: $type),*) $(-> $result)? {
                    plain($($argument),*)
                }
                match $crate::math::multiversion::vectors() {
                    // SAFETY: the processor has what the function is compiled for.
                    $crate::math::multiversion::Vectors::Avx512 => {
                        return unsafe { with_avx512($($argument),*) };
                    }
                    // SAFETY: the same.
                    $crate::math::multiversion::Vectors::Avx2 => {
                        return unsafe { with_avx2($($argument),*) };
                    }
                    $crate::math::multiversion::Vectors::Plain => {}
                }
            }
            plain($($argument),*)
        }
    )*};
}
pub(crate) use multiversioned;

/// A kind of vectors.
#[cfg(target_arch = "x86_64")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Vectors {
    Avx512,
    Avx2,
    Plain,
}

/// The vectors of this processor; the standard library caches the detection.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(crate) fn vectors() -> Vectors {
    let has_avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
    let has_avx512 = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq");
    match (has_avx2, has_avx512) {
        (true, true) => Vectors::Avx512,
        (true, false) => Vectors::Avx2,
        _ => Vectors::Plain,
    }
}
