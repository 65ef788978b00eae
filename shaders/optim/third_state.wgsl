// The third state of a rule, for kernels with a binding for it.

// The largest v of parameter i so far, this one included.
fn largest_so_far(i: u32, v: f32) -> f32 {
    let largest = select(v, third[i], v < third[i]);
    third[i] = largest;
    return largest;
}
