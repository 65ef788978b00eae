//! The equations of the element-wise rules: w and its state are updated in place, g is the
//! gradient. The same equations are in `shaders/optim/optimizer_functions.wgsl`.

use super::Optimizer;
use crate::math::real::Real;

/// The inputs of a rule besides w, g and its state, the same for every parameter of a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scalars<T> {
    /// η of this step.
    pub lr: T,
    /// λ.
    pub decay: T,
    /// [`Optimizer::constants`].
    pub constants: [T; 3],
    /// [`Optimizer::corrections`] of this step.
    pub corrections: [T; 4],
}

/// A loop over w, g and as many states as the rule has.
macro_rules! each {
    ($rule:ident, $s:ident, $w:ident, $g:ident) => {
        for (w, &g) in $w.iter_mut().zip($g) {
            $rule(w, g, $s);
        }
    };
    ($rule:ident, $s:ident, $w:ident, $g:ident, $a:ident) => {
        for ((w, &g), a) in $w.iter_mut().zip($g).zip($a) {
            $rule(w, g, a, $s);
        }
    };
    ($rule:ident, $s:ident, $w:ident, $g:ident, $a:ident, $b:ident) => {
        for ((w, &g), (a, b)) in $w.iter_mut().zip($g).zip($a.iter_mut().zip($b)) {
            $rule(w, g, [a, b], $s);
        }
    };
    ($rule:ident, $s:ident, $w:ident, $g:ident, $a:ident, $b:ident, $c:ident) => {
        let states = $a.iter_mut().zip($b).zip($c);
        for ((w, &g), ((a, b), c)) in $w.iter_mut().zip($g).zip(states) {
            $rule(w, g, [a, b, c], $s);
        }
    };
}

/// One step of an element-wise rule on w from g, all of equal length; states: of that length where
/// the rule has them.
#[inline(always)]
pub fn step<T: Real>(
    optimizer: Optimizer,
    s: &Scalars<T>,
    w: &mut [T],
    g: &[T],
    [first, second, third]: [&mut [T]; 3],
) {
    // A loop for each rule, so that none has a branch inside.
    match optimizer {
        Optimizer::Sgd => each!(sgd, s, w, g),
        Optimizer::Momentum { .. } => each!(momentum, s, w, g, first),
        Optimizer::Nesterov { .. } => each!(nesterov, s, w, g, first),
        Optimizer::Adam { .. } => each!(adam, s, w, g, first, second),
        Optimizer::AdamW { .. } => each!(adamw, s, w, g, first, second),
        Optimizer::Adagrad { .. } => each!(adagrad, s, w, g, first),
        Optimizer::RmsProp { momentum, .. } if momentum > 0.0 => {
            each!(rmsprop_with_momentum, s, w, g, first, second);
        }
        Optimizer::RmsProp { .. } => each!(rmsprop, s, w, g, first),
        Optimizer::NAdam { .. } => each!(nadam, s, w, g, first, second),
        Optimizer::AmsGrad { .. } => {
            each!(amsgrad, s, w, g, first, second, third);
        }
        Optimizer::RAdam { .. } => each!(radam, s, w, g, first, second),
        Optimizer::Lion { .. } => each!(lion, s, w, g, first),
        Optimizer::Rprop { .. } => each!(rprop, s, w, g, first, second),
        // These work on whole tensors, by their own ops or driven by the host.
        Optimizer::Lamb { .. } | Optimizer::Muon { .. } | Optimizer::Lbfgs => {}
    }
}

/// The direction of LAMB, without η, with the moments of Adam: all of equal length.
#[inline(always)]
pub fn lamb_direction<T: Real>(
    s: &Scalars<T>,
    w: &[T],
    g: &[T],
    [first, second]: [&mut [T]; 2],
    u: &mut [T],
) {
    let [_, _, epsilon] = s.constants;
    let [correction1, correction2, ..] = s.corrections;
    let root = correction2.sqrt();
    let states = first.iter_mut().zip(second);
    for (((u, &w), &g), (m, v)) in u.iter_mut().zip(w).zip(g).zip(states) {
        moments(g, m, v, s);
        *u = root / correction1 * *m / (v.sqrt() + epsilon * root) + s.decay * w;
    }
}

/// −1, 0 or 1; NaN of NaN.
#[inline(always)]
pub fn sign<T: Real>(x: T) -> T {
    if x > T::zero() {
        T::one()
    } else if x < T::zero() {
        -T::one()
    } else {
        x
    }
}

/// β·average + (1 − β)·x.
#[inline(always)]
fn mean<T: Real>(beta: T, average: T, x: T) -> T {
    beta * average + (T::one() - beta) * x
}

/// Updates the two moments of Adam's family with g.
#[inline(always)]
fn moments<T: Real>(g: T, m: &mut T, v: &mut T, s: &Scalars<T>) {
    let [beta1, beta2, _] = s.constants;
    *m = mean(beta1, *m, g);
    *v = beta2 * *v + (T::one() - beta2) * g * g;
}

/// η m̂ / (√v̂ + ε) with what doesn't depend on the parameter taken out (Kingma and Ba, end of
/// section 2), which saves two divisions.
#[inline(always)]
fn adam_step<T: Real>(m: T, v: T, s: &Scalars<T>) -> T {
    let root = s.corrections[1].sqrt();
    s.lr * root / s.corrections[0] * m / (v.sqrt() + s.constants[2] * root)
}

#[inline(always)]
fn sgd<T: Real>(w: &mut T, g: T, s: &Scalars<T>) {
    let g = g + s.decay * *w;
    *w = *w - s.lr * g;
}

#[inline(always)]
fn momentum<T: Real>(w: &mut T, g: T, v: &mut T, s: &Scalars<T>) {
    let g = g + s.decay * *w;
    *v = s.constants[0] * *v + g;
    *w = *w - s.lr * *v;
}

#[inline(always)]
fn nesterov<T: Real>(w: &mut T, g: T, v: &mut T, s: &Scalars<T>) {
    let g = g + s.decay * *w;
    *v = s.constants[0] * *v + g;
    *w = *w - s.lr * (g + s.constants[0] * *v);
}

#[inline(always)]
fn adam<T: Real>(w: &mut T, g: T, [m, v]: [&mut T; 2], s: &Scalars<T>) {
    let g = g + s.decay * *w;
    moments(g, m, v, s);
    *w = *w - adam_step(*m, *v, s);
}

#[inline(always)]
fn adamw<T: Real>(w: &mut T, g: T, [m, v]: [&mut T; 2], s: &Scalars<T>) {
    *w = *w - s.lr * s.decay * *w;
    moments(g, m, v, s);
    *w = *w - adam_step(*m, *v, s);
}

#[inline(always)]
fn adagrad<T: Real>(w: &mut T, g: T, v: &mut T, s: &Scalars<T>) {
    let g = g + s.decay * *w;
    *v += g * g;
    *w = *w - s.lr * g / (v.sqrt() + s.constants[2]);
}

#[inline(always)]
fn rmsprop<T: Real>(w: &mut T, g: T, v: &mut T, s: &Scalars<T>) {
    let [_, alpha, epsilon] = s.constants;
    let g = g + s.decay * *w;
    *v = alpha * *v + (T::one() - alpha) * g * g;
    *w = *w - s.lr * g / (v.sqrt() + epsilon);
}

#[inline(always)]
fn rmsprop_with_momentum<T: Real>(w: &mut T, g: T, [v, u]: [&mut T; 2], s: &Scalars<T>) {
    let [mu, alpha, epsilon] = s.constants;
    let g = g + s.decay * *w;
    *v = alpha * *v + (T::one() - alpha) * g * g;
    *u = mu * *u + g / (v.sqrt() + epsilon);
    *w = *w - s.lr * *u;
}

#[inline(always)]
fn nadam<T: Real>(w: &mut T, g: T, [m, v]: [&mut T; 2], s: &Scalars<T>) {
    let [of_m, of_g, correction2, _] = s.corrections;
    let g = g + s.decay * *w;
    moments(g, m, v, s);
    let root = correction2.sqrt();
    *w = *w - s.lr * root * (of_m * *m + of_g * g) / (v.sqrt() + s.constants[2] * root);
}

#[inline(always)]
fn amsgrad<T: Real>(w: &mut T, g: T, [m, v, largest]: [&mut T; 3], s: &Scalars<T>) {
    let g = g + s.decay * *w;
    moments(g, m, v, s);
    *largest = if *v < *largest { *largest } else { *v };
    *w = *w - adam_step(*m, *largest, s);
}

#[inline(always)]
fn radam<T: Real>(w: &mut T, g: T, [m, v]: [&mut T; 2], s: &Scalars<T>) {
    let [of_ratio, of_m, ..] = s.corrections;
    let g = g + s.decay * *w;
    moments(g, m, v, s);
    *w = *w - s.lr * (of_ratio / (v.sqrt() + s.constants[2]) + of_m) * *m;
}

#[inline(always)]
fn lion<T: Real>(w: &mut T, g: T, m: &mut T, s: &Scalars<T>) {
    let [beta1, beta2, _] = s.constants;
    *w = *w - s.lr * (sign(mean(beta1, *m, g)) + s.decay * *w);
    *m = mean(beta2, *m, g);
}

/// The smallest and the largest step of RPROP.
const RPROP_SIZES: [f64; 2] = [1e-6, 50.0];

#[inline(always)]
fn rprop<T: Real>(w: &mut T, g: T, [before, size]: [&mut T; 2], s: &Scalars<T>) {
    let [shrink, grow, _] = s.constants;
    let [least, most] = RPROP_SIZES.map(T::of);
    let g = g + s.decay * *w;
    // The signs are multiplied, as the product of two small gradients may be 0.
    let agreement = sign(g) * sign(*before);
    let factor = if agreement > T::zero() {
        grow
    } else if agreement < T::zero() {
        shrink
    } else {
        T::one()
    };
    // A size is 0 only before the first step.
    let old = if *size == T::zero() { s.lr } else { *size };
    *size = (old * factor).max(least).min(most);
    *before = if agreement < T::zero() { T::zero() } else { g };
    *w = *w - *size * sign(*before);
}
