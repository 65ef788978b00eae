//! SPIR-V without naga's layout for types outside of buffers.

/// Removes strides and offsets from all types that no pointer to a buffer reaches: naga 30 gives every array a
/// stride, and newer validators allow none in the memory of workgroups and invocations
/// (VUID-StandaloneSpirv-None-10684). Drivers ignore it.
pub fn with_layout_of_buffers_only(words: &[u32]) -> Vec<u32> {
    const DECORATE: u32 = 71;
    const MEMBER_DECORATE: u32 = 72;
    const TYPE_ARRAY: u32 = 28;
    const TYPE_RUNTIME_ARRAY: u32 = 29;
    const TYPE_STRUCT: u32 = 30;
    const TYPE_POINTER: u32 = 32;
    // The storage classes Uniform, PushConstant and StorageBuffer.
    const BUFFERS: [u32; 3] = [2, 9, 12];
    const ARRAY_STRIDE: u32 = 6;
    const OFFSET: u32 = 35;
    let (head, mut rest) = words.split_at(5);
    let mut instructions = Vec::new();
    while let Some(first) = rest.first() {
        let (instruction, after) = rest.split_at((first >> 16) as usize);
        instructions.push((first & 0xffff, instruction));
        rest = after;
    }
    // Types come before those that are made of them.
    let mut reached = std::collections::HashSet::new();
    for (code, of) in instructions.iter().rev() {
        match *code {
            TYPE_POINTER if BUFFERS.contains(&of[2]) => drop(reached.insert(of[3])),
            TYPE_ARRAY | TYPE_RUNTIME_ARRAY if reached.contains(&of[1]) => {
                reached.insert(of[2]);
            }
            TYPE_STRUCT if reached.contains(&of[1]) => reached.extend(&of[2..]),
            _ => {}
        }
    }
    let is_needless = |code: u32, of: &[u32]| match code {
        DECORATE => of[2] == ARRAY_STRIDE && !reached.contains(&of[1]),
        MEMBER_DECORATE => of[3] == OFFSET && !reached.contains(&of[1]),
        _ => false,
    };
    let kept = instructions.iter().filter(|(code, of)| !is_needless(*code, of));
    head.iter().chain(kept.flat_map(|(_, of)| *of)).copied().collect()
}
