// X3663: FXC assumes that code after an early return is reached by only a part of a workgroup, if the
// return follows a loop with barriers.
@group(0) @binding(0) var<storage, read_write> out: array<f32>;

var<workgroup> shared_values: array<f32, 64>;

fn add_up(lane: u32, count: u32) -> f32 {
    var total = 0.0;
    for (var round = 0u; round < count; round++) {
        shared_values[lane] = f32(round);
        workgroupBarrier();
        total += shared_values[63u - lane];
        workgroupBarrier();
    }
    return total;
}

@compute @workgroup_size(64)
fn refused(
    @builtin(local_invocation_index) lane: u32,
    @builtin(workgroup_id) group: vec3<u32>,
) {
    if (group.x == 0u) {
        let total = add_up(lane, 8u);
        if (lane == 0u) {
            out[0] = total;
        }
        return;
    }
    out[group.x * 64u + lane] = add_up(lane, u32(out[group.x]));
}
