// The words of loss_scale in kernels that write to it, and the record of an overflow in it: the bits of 1.0.

alias Word = atomic<u32>;

fn note_overflow() {
    atomicStore(&loss_scale[3], 0x3F800000u);
}
