// A row of the loss for each workgroup of 64.

const LANES = 64u;

fn row_sum(lane: u32, value: vec4<f32>) -> vec4<f32> {
    return workgroup_sum(lane, value);
}

fn row_max(lane: u32, value: f32, index: u32) -> vec2<f32> {
    return workgroup_max(lane, value, index);
}
