// The same results as reduce.wgsl, with subgroups of SUBGROUP invocations: 4, 8, 16, 32 or 64. The additions
// are the same in the same order, so the bits are the same.
//
// Every subgroup reduces the values of all invocations from workgroup memory, so that nothing is
// assumed about which invocations it has; there are two barriers instead of eight.
//
// A subgroup of the size SUBGROUP may still have fewer invocations. Vulkan promises full subgroups only
// to pipelines with REQUIRE_FULL_SUBGROUPS, which wgpu doesn't set, and D3D12 promises none. So each
// subgroup counts its invocations, and if some are missing, every invocation sums the whole tree
// by itself: slower, without a barrier, and with the same bits.

var<workgroup> partial: array<vec4<f32>, 64>;

// The invocation's number in its subgroup.
fn subgroup_lane() -> u32 {
    return subgroupExclusiveAdd(1u);
}

// Whether no invocation of the subgroup is missing.
fn is_full() -> bool {
    return subgroupAdd(1u) == SUBGROUP;
}

// Pairs of sums with `half` between them, down to the size of a subgroup.
fn sum_of_2(i: u32) -> vec4<f32> {
    return partial[i] + partial[i + 32u];
}

fn sum_of_4(i: u32) -> vec4<f32> {
    return sum_of_2(i) + sum_of_2(i + 16u);
}

fn sum_of_8(i: u32) -> vec4<f32> {
    return sum_of_4(i) + sum_of_4(i + 8u);
}

fn sum_of_16(i: u32) -> vec4<f32> {
    return sum_of_8(i) + sum_of_8(i + 4u);
}

fn sum_of_32(i: u32) -> vec4<f32> {
    return sum_of_16(i) + sum_of_16(i + 2u);
}

fn workgroup_sum(lane: u32, value: vec4<f32>) -> vec4<f32> {
    if (lane < 64u) {
        partial[lane] = value;
    }
    workgroupBarrier();
    let i = subgroup_lane();
    var total: vec4<f32>;
    switch SUBGROUP {
        case 64u: {
            total = partial[i];
        }
        case 32u: {
            total = sum_of_2(i);
        }
        case 16u: {
            total = sum_of_4(i);
        }
        case 8u: {
            total = sum_of_8(i);
        }
        default: {
            total = sum_of_16(i);
        }
    }
    for (var half = SUBGROUP / 2u; half > 0u; half /= 2u) {
        total += subgroupShuffleXor(total, half);
    }
    // After the shuffles, which need all invocations.
    if (!is_full()) {
        total = sum_of_32(0u) + sum_of_32(1u);
    }
    workgroupBarrier();
    return total;
}

// The larger value, or for equal values the lower index.
fn larger(mine: vec2<f32>, other: vec2<f32>) -> vec2<f32> {
    let better = other.x > mine.x || (other.x == mine.x && other.y < mine.y);
    return select(mine, other, better);
}

// The largest value and its lowest index.
fn workgroup_max(lane: u32, value: f32, index: u32) -> vec2<f32> {
    partial[lane] = vec4<f32>(value, f32(index), 0.0, 0.0);
    workgroupBarrier();
    let first = subgroup_lane();
    var best = partial[first].xy;
    for (var i = first + SUBGROUP; i < 64u; i += SUBGROUP) {
        best = larger(best, partial[i].xy);
    }
    for (var half = SUBGROUP / 2u; half > 0u; half /= 2u) {
        best = larger(best, subgroupShuffleXor(best, half));
    }
    if (!is_full()) {
        best = partial[0].xy;
        for (var i = 1u; i < 64u; i++) {
            best = larger(best, partial[i].xy);
        }
    }
    workgroupBarrier();
    // All have the same, except with a NaN, which is neither larger nor smaller.
    return subgroupBroadcastFirst(best);
}
