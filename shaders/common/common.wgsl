// Included in every kernel: the parameters of a step, and the numbering of workgroups.

struct Step {
    rows: u32,        // rows of this batch
    first: u32,       // position of its first row in the epoch's order
    order_n: u32,     // the epoch's order, see random_functions.wgsl
    order_a: u32,
    order_b: u32,
    key0: u32,
    key1: u32,
    lr: f32,
    reduction_factor: f32,  // 1 / (batch, or batch · outputs, or 1)
    correction1: f32, // 1 − β₁ᵗ⁺¹
    correction2: f32, // 1 − β₂ᵗ⁺¹
    correction3: f32, // another number for some optimizers
    correction4: f32,
    t: u32,           // steps done before this one
    epoch: u32,       // from 0
    smoothing: f32,   // ε of label smoothing; 0 in evaluation
    position: u32,    // position of its first row in the whole epoch
    mixing: f32,      // weight of the other row of a pair; 0 in evaluation
    momentum_change: f32, // added to μ or β₁
}

// One slot of a buffer with many steps, chosen by a dynamic offset.
@group(0) @binding(0) var<uniform> now: Step;

// A fixed number of rows, or 0 for those of the batch.
fn extent(rows: u32) -> u32 {
    return select(rows, now.rows, rows == 0u);
}

// Grids are one-dimensional, folded into x and y if x would exceed its limit.
fn flat(group: vec3<u32>, groups: vec3<u32>) -> u32 {
    return group.y * groups.x + group.x;
}
