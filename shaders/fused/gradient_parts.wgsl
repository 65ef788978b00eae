// Gradients over parts of a long batch, stored separately.

@group(1) @binding(4) var<storage, read_write> parts: array<f32>; // (parts, parameters)

fn put(at: u32, gradient: f32) {
    parts[part.x * p.len + at] = gradient;
}
