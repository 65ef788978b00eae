// Metal has the function since version 1.2 of its language; the shader uses it in 1.1.
@group(1) @binding(1) var<storage, read_write> values: array<u32>;

@compute @workgroup_size(64)
fn refused(@builtin(local_invocation_index) i: u32) {
    values[i] = reverseBits(values[i]);
}
