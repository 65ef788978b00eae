// The loss of a batch with its scores, and δ_L = ∂E/∂Z_L, straight from the targets of the data set.

struct Output {
    cols: u32,
    loss_parameter: f32, // of the loss
    threshold: f32,      // above it, a single output means yes
    segments: u32,       // of k, if Z_L is their sum
    bias_sign: f32,      // of its bias then
}

override CLASSES: bool = false;
override GRADIENT: bool = true; // δ_L is needed
override SOFTMAX: bool = false; // the last layer is a softmax
override ACTIVATION: u32 = 0u;  // otherwise its activation
override PARAMETER: f32 = 0.0;

@group(1) @binding(0) var<uniform> p: Output;
@group(1) @binding(1) var<storage, read> labels: array<u32>;             // (N) classes, or (N, targets) numbers
@group(1) @binding(4) var<storage, read> unit: array<f32>;               // (targets): the unit of a scaled target in the user's units
@group(1) @binding(5) var<storage, read> weights: array<f32>;            // (N): of the data set's rows
@group(1) @binding(6) var<storage, read_write> delta: array<f32>;        // δ_L: (B, cols)
@group(1) @binding(7) var<storage, read_write> scores: array<vec4<f32>>; // (B): loss, right, d², |d|

var<private> source: u32; // the row of the data set

fn output_at(row: u32, j: u32) -> f32 {
    return y[row * p.cols + j];
}

// As `targets` in gather.wgsl.
fn target_at(row: u32, j: u32) -> f32 {
    if (CLASSES) {
        let label = labels[source];
        return select(f32(label == j), f32(label), p.cols == 1u);
    }
    return bitcast<f32>(labels[source * targets_of(p.cols) + j]);
}

fn weight_of(row: u32) -> f32 {
    return weights[source];
}

fn put_slope(row: u32, j: u32, slope: f32) {
    if (GRADIENT) {
        let i = row * p.cols + j;
        if (SOFTMAX) {
            delta[i] = slope;
        } else {
            delta[i] = slope * activation_derivative(ACTIVATION, PARAMETER, z_at(row, j));
        }
    }
}

// By a workgroup for each row.
fn output_row(lane: u32, row: u32) {
    source = permute(now.first + row);
    let score = loss_row(lane, row, true, p.cols, p.loss_parameter, p.threshold);
    if (lane == 0u) {
        scores[row] = score;
    }
    if (GRADIENT && SOFTMAX) {
        // δ ← Jᵀ δ, as in softmax.wgsl. An invocation reads what it wrote itself, but for the slopes of
        // deviations, which lie `targets_of(p.cols)` behind those of means.
        if (LOSS == GAUSSIAN_NLL) {
            storageBarrier();
        }
        var along = 0.0;
        for (var j = lane; j < p.cols; j += 64u) {
            along += delta[row * p.cols + j] * output_at(row, j);
        }
        let sum = workgroup_sum(lane, vec4<f32>(along, 0.0, 0.0, 0.0)).x;
        for (var j = lane; j < p.cols; j += 64u) {
            delta[row * p.cols + j] = output_at(row, j) * (delta[row * p.cols + j] - sum);
        }
    }
}
