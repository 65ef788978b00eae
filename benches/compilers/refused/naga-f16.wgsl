// Half precision isn't part of core WebGPU.
enable f16;

@group(0) @binding(0) var<storage, read_write> out: array<f16>;

@compute @workgroup_size(1)
fn refused() {
    out[0] = 1.0h;
}
