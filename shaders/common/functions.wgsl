// Elementary functions in f32 that are accurate to a few ULP on every GPU.
//
// WGSL is loose about the accuracy of the built-in exp, log, tanh, sin and cos (a driver may be wrong by 2^-11 in
// sin, and one was measured at 64 ULP in exp), and has no expm1, log1p or erf. These use only
// + - * /, fma, floor, abs, select and bit patterns, whose errors are bounded.
//
// - Fused or separate a*b+c, flushed subnormals and a division wrong by 2.5 ULP are all fine.
//   Nothing depends on an exact rounding error, such as (1 + x) - 1.
// - "Error" below is the largest found, in units in the last place (ULP) of the true value: in an
//   emulation (8e5 points or more; each a*b+c fused, not fused, or drawn by chance) and on Mesa's
//   lavapipe (2e7 points), whichever is larger. Polynomials are minimax fits, coefficients rounded.
// - NaN gives NaN if the compiler preserves NaN at all (WGSL lets it assume there is
//   none). Results stay finite: exp_f(inf) is exp_f(88). sin_f and cos_f of infinity are NaN.
//
// To use: put this text before the shader's own. It declares functions and one constant, all
// named *_f or *_F, and no bindings.

const LN2_F: f32 = 0.693147182; // nearest f32 to ln(2), by luck only 2.7e-9 (relative) off

// A NaN, built from x at run time since WGSL has no literal for one.
fn nan_f(x: f32) -> f32 {
    return bitcast<f32>(bitcast<i32>(x) | 0x7fc00000);
}

// 2^k for -126 <= k <= 127.
fn pow2_f(k: i32) -> f32 {
    return bitcast<f32>((k + 127) << 23u);
}

// Splits x = k ln(2) + r with whole k and |r| <= ln(2)/2 for the exponentials; this gives k.
fn exp_whole_f(x: f32) -> f32 {
    return floor(x * 1.44269504 + 0.5);
}

// This gives r. ln(2) comes in two parts; the first has 9 bits, so that k times it is exact.
fn exp_rest_f(x: f32, k: f32) -> f32 {
    return fma(-k, -0.00021219444, fma(-k, 0.693359375, x));
}

// exp(r) - 1 for |r| <= ln(2)/2, as r + r^2 q(r).
fn expm1_rest_f(r: f32) -> f32 {
    let q = ((((0.00018823288 * r + 0.00139325752) * r + 0.00833455287) * r + 0.0416664928) * r
        + 0.166666657) * r + 0.5;
    return r + r * r * q;
}

// exp(x) = 2^k exp(r). Domain: all x; exactly 0 below -87, and exp(88) = 1.65e38 above 88.
// Error: 1.3 ULP.
fn exp_f(x: f32) -> f32 {
    let y = select(x, 88.0, x > 88.0);
    let k = exp_whole_f(y);
    let p = expm1_rest_f(exp_rest_f(y, k));
    return select(pow2_f(i32(k)) * (1.0 + p), 0.0, x < -87.0);
}

// exp(x) - 1 = 2^k (exp(r) - 1) + (2^k - 1), where the last bracket is exact or harmless.
// Domain: all x; -1 below -87, 1.65e38 above 88. Error: 1.5 ULP, near zero too.
fn expm1_f(x: f32) -> f32 {
    let low = select(x, -87.0, x < -87.0);
    let y = select(low, 88.0, x > 88.0);
    let k = exp_whole_f(y);
    let p = expm1_rest_f(exp_rest_f(y, k));
    let s = pow2_f(i32(k));
    return select(s * p + (s - 1.0), p, abs(k) < 0.5);
}

// ln(1 + f) for sqrt(1/2) <= 1 + f <= sqrt(2), as f + f^2 q(f).
fn log1p_rest_f(f: f32) -> f32 {
    let q = (((((((-0.0832587853 * f + 0.131069943) * f - 0.130643994) * f + 0.141470343) * f
        - 0.16626437) * f + 0.200033322) * f - 0.250008196) * f + 0.333333313) * f - 0.5;
    return f + f * f * q;
}

// ln(x) = k ln(2) + ln(m) with x = 2^k m and sqrt(1/2) <= m < sqrt(2), both read off the bits.
// Domain: normal x > 0. Zero and subnormals give about -88, infinity 88.7, x < 0 NaN.
// Error: 1.1 ULP, near x = 1 too.
fn ln_f(x: f32) -> f32 {
    let i = bitcast<i32>(x) + 0x004afb0d; // bits of 1.0 minus bits of sqrt(1/2)
    let k = (i >> 23u) - 127;
    let m = bitcast<f32>((i & 0x007fffff) + 0x3f3504f3); // bits of sqrt(1/2)
    let y = f32(k) * LN2_F + log1p_rest_f(m - 1.0);
    return select(nan_f(x), y, x >= 0.0);
}

// ln(1 + x): 1 + x is used only to choose k; f = (1 + x) / 2^k - 1 is then formed from x itself.
// Domain: -1 < x <= 1e38, and above that the value at 1e38. x = -1 gives about -88, x < -1 NaN.
// Error: 1.6 ULP, near zero too.
fn log1p_f(x: f32) -> f32 {
    let y = select(x, 1e38, x > 1e38);
    let k = ((bitcast<i32>(1.0 + y) + 0x004afb0d) >> 23u) - 127; // as in ln_f
    let s = pow2_f(-k);
    let f = select(s * y + (s - 1.0), y, k == 0);
    return select(nan_f(x), f32(k) * LN2_F + log1p_rest_f(f), x >= -1.0);
}

// tanh(x): an odd polynomial up to 0.625, then 1 - 2 / (exp(2|x|) + 1). Domain: all x.
// Error: 1.4 ULP, near zero too; 2.4 ULP where division is wrong by 2.5 ULP.
fn tanh_f(x: f32) -> f32 {
    let a = abs(x);
    let z = x * x;
    let q = (((-0.00569535932 * z + 0.0206305012) * z - 0.0537368469) * z + 0.133314058) * z
        - 0.333332807;
    let t = 1.0 - 2.0 / (exp_f(2.0 * a) + 1.0);
    return select(x + x * z * q, select(t, -t, x < 0.0), a > 0.625);
}

// 1 / (1 + exp(-x)), from e = exp(-|x|) so that nothing overflows and the left tail keeps its
// digits. e / (1 + e) = e - e t, with t the same quotient, reduces the effect of an error in t.
// Domain: all x; exactly 0 below -87.
// Error: 2.0 ULP; about 5 ULP (3e-7 relative) where division is wrong by 2.5 ULP.
fn sigmoid_f(x: f32) -> f32 {
    let e = exp_f(-abs(x));
    let t = e / (1.0 + e);
    return select(1.0 - t, e - e * t, x < 0.0);
}

// sin(x + n pi/2): x = k pi/2 + r with |r| <= pi/4, then a polynomial for sin or cos of r.
// pi/2 comes in four parts of at most 11 bits but the last, so that k times the first two is exact.
fn sin_quarter_f(x: f32, n: i32) -> f32 {
    let k = floor(x * 0.636619772 + 0.5);
    let r1 = fma(-k, 0.000483751297, fma(-k, 1.5703125, x));
    let r = fma(-k, 2.56334415e-12, fma(-k, 7.54953362e-8, r1));
    let z = r * r;
    let s = r + r * z * ((-0.000195181012 * z + 0.00833218824) * z - 0.166666552);
    let c = 1.0 - 0.5 * z + z * z * ((0.0000244323546 * z - 0.00138873095) * z + 0.0416666456);
    let quadrant = i32(k) + n;
    let y = select(s, c, (quadrant & 1) == 1);
    return select(select(y, -y, (quadrant & 2) == 2), nan_f(x), abs(x) > 1e5);
}

// sin(x). Domain: |x| <= 1e4; NaN beyond 1e5, where no digit would be right.
// Error: 2.3 ULP, near every zero too.
fn sin_f(x: f32) -> f32 {
    return sin_quarter_f(x, 0);
}

// cos(x). Domain and error as for sin_f: 2.4 ULP.
fn cos_f(x: f32) -> f32 {
    return sin_quarter_f(x, 1);
}

// erf(x): an odd polynomial up to 0.85, then 1 - exp(l) with l a polynomial fit to ln(erfc|x|).
// Domain: all x. Error: 1.2 ULP, near zero too. 1 + erf_f(x) for large negative x has only an
// absolute error of about 1e-7, and is exactly 0 from about -3.9 down.
fn erf_f(x: f32) -> f32 {
    let a = abs(x);
    let z = x * x;
    let q = ((((-0.000632963376 * z + 0.00505456049) * z - 0.0268054847) * z + 0.11282824) * z
        - 0.376125872) * z + 0.128379166;
    let b = select(a, 4.0, a > 4.0);
    let l = (((((0.000203688323 * b - 0.00311795971) * b + 0.0225194413) * b - 0.104526661) * b
        - 0.63651818) * b - 1.12806141) * b - 0.000104433624;
    let t = 1.0 - exp_f(l);
    return select(x + x * q, select(t, -t, x < 0.0), a > 0.85);
}
