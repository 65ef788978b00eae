// The optimizer's step on one parameter, for kernels with bindings w, first and second and a uniform
// with the constants. The equations are in src/math/optim/rules.rs; the codes are the indices in
// `Optimizer::ALL`.

override RULE: u32 = 0u;

const SGD = 0u;
const MOMENTUM = 1u;
const NESTEROV = 2u;
const ADAM = 3u;
const ADAMW = 4u;
const ADAGRAD = 5u;
const RMSPROP = 6u;
const NADAM = 7u;
const AMSGRAD = 8u;
const RADAM = 9u;
const LION = 10u;
const RPROP = 11u;

// μ or β₁ at this step.
fn momentum() -> f32 {
    return p.constant0 + now.momentum_change;
}

// −1, 0 or 1; NaN for NaN.
fn sign_of(x: f32) -> f32 {
    return select(select(x, -1.0, x < 0.0), 1.0, x > 0.0);
}

// The two moments of Adam's family, updated with the gradient.
fn moments(i: u32, gradient: f32) -> vec2<f32> {
    let beta1 = momentum();
    let m = beta1 * first[i] + (1.0 - beta1) * gradient;
    let v = p.constant1 * second[i] + (1.0 - p.constant1) * gradient * gradient;
    first[i] = m;
    second[i] = v;
    return vec2<f32>(m, v);
}

// The step of Adam.
fn adam(m: f32, v: f32) -> f32 {
    let root = sqrt(now.correction2);
    return now.lr * root / now.correction1 * m / (sqrt(v) + p.constant2 * root);
}

// w[i] and its state, by its gradient.
fn update(i: u32, g: f32) {
    let decay = select(0.0, p.decay, i < p.decayed);
    var weight = w[i];
    var gradient = g;
    if (RULE != ADAMW && RULE != LION) {
        gradient += decay * weight;
    }
    switch RULE {
        case MOMENTUM: {
            let v = momentum() * first[i] + gradient;
            first[i] = v;
            weight -= now.lr * v;
        }
        case NESTEROV: {
            let v = momentum() * first[i] + gradient;
            first[i] = v;
            weight -= now.lr * (gradient + momentum() * v);
        }
        case ADAM: {
            let m = moments(i, gradient);
            weight -= adam(m.x, m.y);
        }
        case ADAMW: {
            weight -= now.lr * decay * weight;
            let m = moments(i, gradient);
            weight -= adam(m.x, m.y);
        }
        case ADAGRAD: {
            let v = first[i] + gradient * gradient;
            first[i] = v;
            weight -= now.lr * gradient / (sqrt(v) + p.constant2);
        }
        case RMSPROP: {
            let v = p.constant1 * first[i] + (1.0 - p.constant1) * gradient * gradient;
            first[i] = v;
            var step = gradient / (sqrt(v) + p.constant2);
            if (p.constant0 > 0.0) {
                step += momentum() * second[i];
                second[i] = step;
            }
            weight -= now.lr * step;
        }
        case NADAM: {
            let m = moments(i, gradient);
            let root = sqrt(now.correction3);
            let numerator = now.correction1 * m.x + now.correction2 * gradient;
            weight -= now.lr * root * numerator / (sqrt(m.y) + p.constant2 * root);
        }
        case AMSGRAD: {
            let m = moments(i, gradient);
            weight -= adam(m.x, largest_so_far(i, m.y));
        }
        case RADAM: {
            let m = moments(i, gradient);
            let factor = now.correction1 / (sqrt(m.y) + p.constant2) + now.correction2;
            weight -= now.lr * factor * m.x;
        }
        case LION: {
            let m = first[i];
            let direction = sign_of(momentum() * m + (1.0 - momentum()) * gradient);
            weight -= now.lr * (direction + decay * weight);
            first[i] = p.constant1 * m + (1.0 - p.constant1) * gradient;
        }
        case RPROP: {
            let agreement = sign_of(gradient) * sign_of(first[i]);
            var factor = 1.0;
            if (agreement > 0.0) {
                factor = p.constant1;
            } else if (agreement < 0.0) {
                factor = p.constant0;
                gradient = 0.0;
            }
            let old = select(second[i], now.lr, second[i] == 0.0);
            let size = clamp(old * factor, 1e-6, 50.0);
            second[i] = size;
            first[i] = gradient;
            weight -= size * sign_of(gradient);
        }
        default: {
            weight -= now.lr * gradient;
        }
    }
    w[i] = weight;
}
