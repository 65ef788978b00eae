// 64 KB of workgroup memory: Direct3D has 32 KB.
@group(1) @binding(1) var<storage, read_write> values: array<f32>;
var<workgroup> shared_values: array<f32, 16384>;

@compute @workgroup_size(64)
fn refused(@builtin(local_invocation_index) i: u32) {
    shared_values[i * 256u] = values[i];
    workgroupBarrier();
    values[i] = shared_values[(63u - i) * 256u];
}
