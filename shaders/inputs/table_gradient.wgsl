// ∂E/∂E[v, j] = Σ_{r: i(r) = v} ∂E/∂X[r, at + j], in the order of the rows, for a small table: each of its
// elements searches the whole batch.

struct TableGradient {
    features: u32,
    column: u32, // of the indices
    inputs: u32,
    at: u32,     // the first input from the table
    values: u32,
    dims: u32,
}

@group(1) @binding(0) var<uniform> p: TableGradient;
@group(1) @binding(1) var<storage, read> features: array<f32>;              // (B, features)
@group(1) @binding(2) var<storage, read> gradient: array<f32>;              // (B, inputs)
@group(1) @binding(3) var<storage, read_write> table_gradient: array<f32>;  // (values, dims)

@compute @workgroup_size(64)
fn table_gradient_of(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = flat(group, groups) * 64u + lane;
    if (i >= p.values * p.dims) {
        return;
    }
    let value = i / p.dims;
    let col = p.at + i % p.dims;
    // In stretches of 256 rows of the batch, as in embed_gradient.wgsl.
    var sum = 0.0;
    var stretch = 0.0;
    for (var row = 0u; row < now.rows; row++) {
        if (row % 256u == 0u) {
            sum += stretch;
            stretch = 0.0;
        }
        // Invalid indices count as 0.
        let found = features[row * p.features + p.column];
        let index = select(0u, u32(found), found >= 0.0 && found < f32(p.values));
        if (index == value) {
            stretch += gradient[row * p.inputs + col];
        }
    }
    table_gradient[i] = sum + stretch;
}
