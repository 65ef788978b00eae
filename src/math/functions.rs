//! Elementary functions in f32 by polynomials, without branches and calls, so that loops over them
//! are vectorized. The polynomials are those of `shaders/common/functions.wgsl`; where that stops at
//! the largest finite result, these also return infinity, subnormals and 0.
//!
//! No a·b + c is contracted: the bits are the same on every processor, with every vector width,
//! and in loops as for a single number. Errors are in units in the last place (ULP) of the true value, at
//! most as large as `errors_are_as_stated` allows.

#![allow(clippy::excessive_precision, reason = "the coefficients as they stand in the shader")]

use std::f32::consts::LOG2_E;

/// ln 2; the relative rounding error happens to be only 2.7 · 10⁻⁹.
const LN_2: f32 = std::f32::consts::LN_2;
/// ln 2 in two parts, of which the first has 9 bits: whole numbers below 2¹⁵ times it are exact.
const LN_2_PARTS: [f32; 2] = [0.693_359_375, -0.000_212_194_44];
/// Added to a number below 2²², it leaves the nearest integer in the lowest bits.
const ROUNDING: f32 = 12_582_912.0;
/// The bits of 1, and those of √½.
const ONE: i32 = 0x3f80_0000;
const SQRT_HALF: i32 = 0x3f35_04f3;
/// 2²³, which makes every subnormal number a normal one.
const NORMALISING: f32 = 8_388_608.0;

/// c_0 xⁿ + … + c_n.
macro_rules! polynomial {
    ($x:expr, [$first:expr $(, $c:expr)+ $(,)?]) => {{
        let sum = $first;
        $(let sum = sum * $x + $c;)+
        sum
    }};
}

/// 2ᵏ for −126 ≤ k ≤ 127.
#[inline(always)]
fn power_of_two(k: i32) -> f32 {
    f32::from_bits((k.wrapping_add(127) as u32) << 23)
}

/// k and r with x = k ln 2 + r, k whole, |r| ≤ ½ ln 2.
#[inline(always)]
fn reduce(x: f32) -> (i32, f32) {
    let rounded = x * LOG2_E + ROUNDING;
    let k = rounded - ROUNDING;
    let r = (x - k * LN_2_PARTS[0]) - k * LN_2_PARTS[1];
    ((rounded.to_bits() as i32).wrapping_sub(ROUNDING.to_bits() as i32), r)
}

/// eʳ − 1 for |r| ≤ ½ ln 2.
#[inline(always)]
fn exp_m1_reduced(r: f32) -> f32 {
    let q = polynomial!(
        r,
        [0.000_188_232_88, 0.001_393_257_52, 0.008_334_552_87, 0.041_666_492_8, 0.166_666_657, 0.5]
    );
    r + r * r * q
}

/// eˣ. Error: 1 ULP.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    // Comparisons, not max and min: a NaN must come out as NaN.
    let x = if x > 89.0 { 89.0 } else { x };
    let x = if x < -105.0 { -105.0 } else { x };
    let (k, r) = reduce(x);
    // Two factors, each a normal number even if the result is subnormal.
    let half = k >> 1;
    (1.0 + exp_m1_reduced(r)) * power_of_two(half) * power_of_two(k.wrapping_sub(half))
}

/// eˣ − 1. Error: 1.5 ULP.
#[inline(always)]
pub fn exp_m1(x: f32) -> f32 {
    let y = if x > 89.0 { 89.0 } else { x };
    let y = if y < -30.0 { -30.0 } else { y };
    let (k, r) = reduce(y);
    let p = exp_m1_reduced(r);
    // 2ᵏ p + (2ᵏ − 1), computed as twice its half, since 2¹²⁸ isn't finite.
    let half = power_of_two(k.wrapping_sub(1));
    let sum = (half * p + (half - 0.5)) * 2.0;
    if k == 0 { p } else { sum }
}

/// ln(1 + f) for √½ ≤ 1 + f ≤ √2.
#[inline(always)]
fn ln_1p_reduced(f: f32) -> f32 {
    let q = polynomial!(
        f,
        [
            -0.083_258_785_3,
            0.131_069_943,
            -0.130_643_994,
            0.141_470_343,
            -0.166_264_37,
            0.200_033_322,
            -0.250_008_196,
            0.333_333_313,
            -0.5
        ]
    );
    f + f * f * q
}

/// k with x = 2ᵏ m, √½ ≤ m < √2, and the bits of m; for normal x > 0.
#[inline(always)]
fn split(x: f32) -> (i32, i32) {
    let bits = (x.to_bits() as i32).wrapping_add(ONE - SQRT_HALF);
    ((bits >> 23) - 127, (bits & 0x007f_ffff) + SQRT_HALF)
}

/// ln x; −∞ at 0, NaN below. Error: 1.2 ULP.
#[inline(always)]
pub fn ln(x: f32) -> f32 {
    let is_small = x < f32::MIN_POSITIVE;
    let (k, m) = split(if is_small { x * NORMALISING } else { x });
    let k = if is_small { k - 23 } else { k };
    let y = k as f32 * LN_2 + ln_1p_reduced(f32::from_bits(m as u32) - 1.0);
    ends_of_ln(x, y)
}

/// ln(1 + x); −∞ at −1, NaN below. Error: 1.6 ULP.
#[inline(always)]
pub fn ln_1p(x: f32) -> f32 {
    let (k, _) = split(1.0 + x);
    // (1 + x) / 2ᵏ − 1, not from 1 + x, which has lost digits of x; computed by four times it, since 2⁻¹²⁸
    // isn't a normal number.
    let scale = power_of_two(2_i32.wrapping_sub(k));
    let f = 0.25 * (scale * x + (scale - 4.0));
    let y = k as f32 * LN_2 + ln_1p_reduced(if k == 0 { x } else { f });
    ends_of_ln(1.0 + x, y)
}

/// y, or the special value of ln x at 0, at infinity, below 0 and at NaN.
#[inline(always)]
fn ends_of_ln(x: f32, y: f32) -> f32 {
    let y = if x == 0.0 { f32::NEG_INFINITY } else { y };
    let y = if x == f32::INFINITY { f32::INFINITY } else { y };
    if x >= 0.0 { y } else { f32::NAN }
}

/// tanh x. Error: 1.4 ULP.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    let a = x.abs();
    let z = x * x;
    let q = polynomial!(
        z,
        [-0.005_695_359_32, 0.020_630_501_2, -0.053_736_846_9, 0.133_314_058, -0.333_332_807]
    );
    let t = 1.0 - 2.0 / (exp(2.0 * a) + 1.0);
    if a > 0.625 { t.copysign(x) } else { x + x * z * q }
}

/// The error function, 2/√π ∫₀ˣ exp(−t²) dt. Error: 1.4 ULP.
#[inline(always)]
pub fn erf(x: f32) -> f32 {
    let a = x.abs();
    let z = x * x;
    let q = polynomial!(
        z,
        [
            -0.000_632_963_376,
            0.005_054_560_49,
            -0.026_805_484_7,
            0.112_828_24,
            -0.376_125_872,
            0.128_379_166
        ]
    );
    let b = if a > 4.0 { 4.0 } else { a };
    let l = polynomial!(
        b,
        [
            0.000_203_688_323,
            -0.003_117_959_71,
            0.022_519_441_3,
            -0.104_526_661,
            -0.636_518_18,
            -1.128_061_41,
            -0.000_104_433_624
        ]
    );
    let t = 1.0 - exp(l);
    if a > 0.85 { t.copysign(x) } else { x + x * q }
}

/// cos 2πx for |x| ≤ 2²⁰; the reduction of a number of turns is exact. Error: 2 ULP.
#[inline(always)]
pub fn cos_turns(x: f32) -> f32 {
    let quarters = 4.0 * x + ROUNDING;
    let r = (4.0 * x - (quarters - ROUNDING)) * std::f32::consts::FRAC_PI_2;
    let z = r * r;
    let s = r + r * z * polynomial!(z, [-0.000_195_181_012, 0.008_332_188_24, -0.166_666_552]);
    let q = polynomial!(z, [0.000_024_432_354_6, -0.001_388_730_95, 0.041_666_645_6]);
    let c = 1.0 - 0.5 * z + z * z * q;
    // The number of the quarter turn: cos(r + k π/2) is c, −s, −c, s for k = 0, 1, 2, 3.
    let k = quarters.to_bits();
    let y = if k & 1 == 0 { c } else { -s };
    if k & 2 == 0 { y } else { -y }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The largest error over a dense sample of all numbers between `low` and `high`, in units in the
    /// last place of the true value, and where it is.
    fn worst(f: fn(f32) -> f32, truth: fn(f64) -> f64, low: f32, high: f32) -> (f64, f32) {
        let mut worst = (0.0, 0.0);
        // The stride is prime, so that all patterns of low bits occur.
        for bits in (0..=u32::MAX).step_by(4099) {
            let x = f32::from_bits(bits);
            if !(low..=high).contains(&x) {
                continue;
            }
            let (found, exact) = (f(x), truth(f64::from(x)));
            let nearest = exact as f32;
            let error = if nearest.is_infinite() || !found.is_finite() {
                if found == nearest { 0.0 } else { f64::INFINITY }
            } else {
                let exponent = exact.abs().max(f64::from(f32::MIN_POSITIVE)).log2().floor();
                (f64::from(found) - exact).abs() / (exponent - 23.0).exp2()
            };
            if error > worst.0 {
                worst = (error, x);
            }
        }
        worst
    }

    #[test]
    fn errors_are_as_stated() {
        type Case = (&'static str, fn(f32) -> f32, fn(f64) -> f64, f64);
        let cases: [Case; 7] = [
            ("exp", exp, f64::exp, 1.0),
            ("exp_m1", exp_m1, f64::exp_m1, 1.5),
            ("ln", ln, f64::ln, 1.2),
            ("ln_1p", ln_1p, f64::ln_1p, 1.6),
            ("tanh", tanh, f64::tanh, 1.4),
            ("erf", erf, libm::erf, 1.4),
            ("cos_turns", cos_turns, |x| (std::f64::consts::TAU * x).cos(), 2.0),
        ];
        for (name, f, truth, allowed) in cases {
            let (low, high) = match name {
                "ln" => (0.0, f32::INFINITY),
                "ln_1p" => (-1.0, f32::INFINITY),
                // Here f64 is exact enough around the zeros.
                "cos_turns" => (0.0, 1.0),
                _ => (f32::NEG_INFINITY, f32::INFINITY),
            };
            let (error, x) = worst(f, truth, low, high);
            assert!(error <= allowed, "{name}({x:e}) is {} by {error:.3} ULP off", f(x));
            assert!(f(f32::NAN).is_nan(), "{name}(NaN) is {}", f(f32::NAN));
        }
    }

    #[test]
    fn the_ends_are_exact() {
        assert_eq!((exp(f32::NEG_INFINITY), exp(-104.0), exp(0.0)), (0.0, 0.0, 1.0));
        assert_eq!((exp(88.8), exp(f32::INFINITY)), (f32::INFINITY, f32::INFINITY));
        assert_eq!((exp_m1(f32::NEG_INFINITY), exp_m1(0.0)), (-1.0, 0.0));
        assert_eq!((ln(0.0), ln(1.0), ln(f32::INFINITY)), (f32::NEG_INFINITY, 0.0, f32::INFINITY));
        assert_eq!((ln_1p(-1.0), ln_1p(f32::INFINITY)), (f32::NEG_INFINITY, f32::INFINITY));
        assert_eq!((tanh(f32::INFINITY), tanh(f32::NEG_INFINITY)), (1.0, -1.0));
        assert_eq!((erf(f32::INFINITY), erf(f32::NEG_INFINITY)), (1.0, -1.0));
        assert!(ln(-1.0).is_nan() && ln_1p(-1.5).is_nan());
        let quarters = [-0.5, 0.0, 0.25, 0.5, 0.75, 1.0].map(cos_turns);
        assert_eq!(quarters, [-1.0, 1.0, 0.0, -1.0, 0.0, 1.0]);
    }
}
