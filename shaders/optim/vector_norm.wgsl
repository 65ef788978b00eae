// ‖x‖₂: the sums of squares of chunks of 4,096 elements, and the root of their sum.

struct Norm {
    len: u32,
    first: u32, // index of the first current chunk among the partial sums
}

@group(1) @binding(0) var<uniform> p: Norm;
@group(1) @binding(1) var<storage, read> x: array<f32>;             // (len)
@group(1) @binding(2) var<storage, read_write> partial_sums: array<f32>; // (chunks)
@group(1) @binding(3) var<storage, read_write> norm: array<f32>;    // (1)

@compute @workgroup_size(64)
fn square_sums(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let chunk = flat(group, groups);
    var sum = 0.0;
    for (var i = chunk * 4096u + lane; i < min((chunk + 1u) * 4096u, p.len); i += 64u) {
        sum += x[i] * x[i];
    }
    let total = workgroup_sum(lane, vec4<f32>(sum, 0.0, 0.0, 0.0)).x;
    if (lane == 0u && chunk * 4096u < p.len) {
        partial_sums[p.first + chunk] = total;
    }
}

@compute @workgroup_size(64)
fn root_of_sum(@builtin(local_invocation_index) lane: u32) {
    var sum = 0.0;
    for (var i = lane; i < p.len; i += 64u) {
        sum += partial_sums[i];
    }
    let total = workgroup_sum(lane, vec4<f32>(sum, 0.0, 0.0, 0.0)).x;
    if (lane == 0u) {
        norm[0] = sqrt(total);
    }
}
