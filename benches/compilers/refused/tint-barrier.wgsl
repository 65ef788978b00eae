// A barrier under a condition that Tint can't prove to be uniform in a workgroup: it depends
// on a private variable.
@group(0) @binding(0) var<storage, read_write> out: array<f32>;

var<workgroup> shared_values: array<f32, 64>;
var<private> part: u32;

@compute @workgroup_size(64)
fn refused(
    @builtin(local_invocation_index) lane: u32,
    @builtin(workgroup_id) group: vec3<u32>,
) {
    part = group.x;
    for (var round = 0u; round < 64u - part; round++) {
        shared_values[lane] = f32(round);
        workgroupBarrier();
        out[lane] += shared_values[63u - lane];
        workgroupBarrier();
    }
}
