// The optimiser's step on one parameter, for kernels with bindings w, first and second and a uniform
// with the constants. The equations stand in src/optim.rs; the codes are the places in
// `Optimizer::ALL`.

override RULE: u32 = 0u;

const SGD = 0u;
const MOMENTUM = 1u;
const NESTEROV = 2u;
const ADAM = 3u;
const ADAMW = 4u;

// The step of Adam, after its two moments took the gradient in.
fn adam(i: u32, gradient: f32) -> f32 {
    let m = p.constant0 * first[i] + (1.0 - p.constant0) * gradient;
    let v = p.constant1 * second[i] + (1.0 - p.constant1) * gradient * gradient;
    first[i] = m;
    second[i] = v;
    let root = sqrt(now.correction2);
    return now.lr * root / now.correction1 * m / (sqrt(v) + p.constant2 * root);
}

// w[i] and its state, by its gradient.
fn update(i: u32, g: f32) {
    var weight = w[i];
    var gradient = g;
    if (RULE != ADAMW) {
        gradient += p.decay * weight;
    }
    switch RULE {
        case MOMENTUM: {
            let v = p.constant0 * first[i] + gradient;
            first[i] = v;
            weight -= now.lr * v;
        }
        case NESTEROV: {
            let v = p.constant0 * first[i] + gradient;
            first[i] = v;
            weight -= now.lr * (gradient + p.constant0 * v);
        }
        case ADAM: {
            weight -= adam(i, gradient);
        }
        case ADAMW: {
            weight -= now.lr * p.decay * weight;
            weight -= adam(i, gradient);
        }
        default: {
            weight -= now.lr * gradient;
        }
    }
    w[i] = weight;
}
