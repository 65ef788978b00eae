// The bindings of a layer whose input is the previous layer.

// x: (B, k) and w: (n, k), the operands, are declared by src/kernels/products/tile.
@group(1) @binding(3) var<storage, read> bias: array<f32>;    // (n)
@group(1) @binding(4) var<storage, read_write> z: array<f32>; // (B, n)
@group(1) @binding(5) var<storage, read_write> a: array<f32>; // (B, n)

fn begin(lane: u32, top: u32, left: u32) {}

