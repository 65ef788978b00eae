// In front of every kernel: what differs from step to step, and how workgroups are counted.

struct Step {
    rows: u32,        // rows of this batch
    first: u32,       // position of its first row in the epoch's order
    order_n: u32,     // the epoch's order, see random_functions.wgsl
    order_a: u32,
    order_b: u32,
    key0: u32,
    key1: u32,
    lr: f32,
    loss_scale: f32,  // 1 / (batch, or batch · outputs, or 1)
    correction1: f32, // 1 − β₁ᵗ
    correction2: f32, // 1 − β₂ᵗ
    correction3: f32, // what else a rule needs
    correction4: f32,
    t: u32,           // steps done before this one
    epoch: u32,       // from 0
    smoothing: f32,   // ε of label smoothing; 0 where rows are only measured
    position: u32,    // position of its first row in the whole epoch
    mixing: f32,      // what a row of a pair takes of the other; 0 where rows are only measured
    momentum_change: f32, // what is added to μ, or β₁
}

// One slot of a buffer that holds many steps, chosen by a dynamic offset.
@group(0) @binding(0) var<uniform> now: Step;

// A fixed number of rows, or those of the batch where it is 0.
fn extent(rows: u32) -> u32 {
    return select(rows, now.rows, rows == 0u);
}

// Grids are one-dimensional, folded into x and y where x would exceed its limit.
fn flat(group: vec3<u32>, groups: vec3<u32>) -> u32 {
    return group.y * groups.x + group.x;
}
