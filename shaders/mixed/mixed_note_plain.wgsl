// The same declarations as mixed_note.wgsl, for modules with cooperative matrices. Those have Vulkan's memory model, in
// which naga's atomics, whose scope is the device, need a capability that it doesn't declare. All
// writers store the same word, and only later launches read it.

alias Word = u32;

fn note_overflow() {
    loss_scale[3] = 0x3F800000u;
}
