// y = S x, in f16: δ_L with the scale of the loss.

struct Rescale {
    cols: u32,
}

@group(1) @binding(0) var<uniform> p: Rescale;
@group(1) @binding(1) var<storage, read> x: array<f32>;       // (B, cols)
@group(1) @binding(2) var<storage, read_write> y: array<f16>; // (B, cols)
@group(1) @binding(3) var<storage, read_write> loss_scale: array<Word>;

@compute @workgroup_size(64)
fn mixed_rescale(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = flat(group, groups) * 64u + lane;
    if (i < now.rows * p.cols) {
        y[i] = stored(bitcast<f32>(atomicLoad(&loss_scale[0])) * x[i]);
    }
}
