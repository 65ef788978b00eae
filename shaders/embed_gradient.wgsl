// ∂E/∂E[v, j] = Σ_{r: i(r) = v} ∂E/∂X[r, at + j], in the order of the rows.

struct EmbedGradient {
    features: u32,
    column: u32, // of the indices
    inputs: u32,
    at: u32,     // the first input from the table
    values: u32,
    dims: u32,
    first: u32,  // this part: rows first … first + count
    count: u32,
}

override ADD: bool = false; // add to what the parts before summed

@group(1) @binding(0) var<uniform> p: EmbedGradient;
@group(1) @binding(1) var<storage, read> features: array<f32>;              // (B, features)
@group(1) @binding(2) var<storage, read> gradient: array<f32>;              // (B, inputs)
@group(1) @binding(3) var<storage, read_write> table_gradient: array<f32>;  // (values, dims)

// An invocation for each element of the table looks through all rows.
@compute @workgroup_size(64)
fn embed_gradient(
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
    let end = min(p.first + p.count, now.rows);
    var sum = 0.0;
    // In stretches, so that the rounding errors of a long sum don't grow with its length.
    for (var start = p.first; start < end; start += 256u) {
        var stretch = 0.0;
        for (var row = start; row < min(start + 256u, end); row++) {
            // What is no index of the table counts as 0.
            let found = features[row * p.features + p.column];
            let index = select(0u, u32(found), found >= 0.0 && found < f32(p.values));
            if (index == value) {
                stretch += gradient[row * p.inputs + col];
            }
        }
        sum += stretch;
    }
    let before = select(0.0, table_gradient[i], ADD);
    table_gradient[i] = before + sum;
}
