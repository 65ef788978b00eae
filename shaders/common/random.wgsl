// Uniform random numbers in [0, 1) and the epoch's order, written out.

struct Uniform {
    rows: u32,
    cols: u32,
    key0: u32,
    key1: u32,
}

@group(1) @binding(0) var<uniform> p: Uniform;
@group(1) @binding(1) var<storage, read_write> out: array<f32>;

// out: (rows, cols); element i is a multiple of 2⁻²⁴, from counter (i, first)
@compute @workgroup_size(64)
fn uniform_numbers(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = flat(group, groups) * 64u + lane;
    if (i < extent(p.rows) * p.cols) {
        let bits = threefry(vec2<u32>(p.key0, p.key1), vec2<u32>(i, now.first)).x;
        out[i] = f32(bits >> 8u) * 5.9604644775390625e-8;
    }
}

// out: (rows, 1); the row of the data set at each position of the batch, as a number
@compute @workgroup_size(64)
fn permutation(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = flat(group, groups) * 64u + lane;
    if (i < extent(p.rows)) {
        out[i] = f32(permute(now.first + i));
    }
}
