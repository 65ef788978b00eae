// δ_l together with one update.

override ACTIVATION: u32 = 0u; // σ_l
override PARAMETER: f32 = 0.0;

// above: δ_{l+1}, (B, k), an operand, is declared by src/kernels/products/tile.
@group(1) @binding(7) var<storage, read> z: array<f32>;         // Z_l: (B, n)
@group(1) @binding(8) var<storage, read_write> out: array<f32>; // δ_l: (B, n)

fn w_at(i: u32) -> f32 {
    return w[i];
}

fn delta_store(row: u32, col: u32, value: vec4<f32>) {
    for (var j = 0u; j < 4u; j++) {
        if (row < now.rows && col + j < p.delta.x) {
            let i = row * p.delta.x + col + j;
            out[i] = value[j] * activation_derivative(ACTIVATION, PARAMETER, z[i]);
        }
    }
}

fn backward(lane: u32, group: u32) {
    if (group < p.groups0) {
        update_block(lane, group, p.update0, p.sign0);
        return;
    }
    let at = corner(group - p.groups0, p.delta.x);
    if (at.x < now.rows) {
        delta_product(lane, at.x, at.y, p.delta.y);
    }
}
