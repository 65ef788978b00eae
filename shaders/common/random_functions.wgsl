// Counter-based random numbers and permutations, bit-equal to src/math/random.rs.

fn rotate_left(x: u32, bits: u32) -> u32 {
    return (x << bits) | (x >> (32u - bits));
}

// Threefry-2x32, 20 rounds (Salmon et al., SC 2011).
fn threefry(key: vec2<u32>, counter: vec2<u32>) -> vec2<u32> {
    var rotations = array<vec4<u32>, 2>(vec4<u32>(13u, 15u, 26u, 6u), vec4<u32>(17u, 29u, 16u, 24u));
    var keys = array<u32, 3>(key.x, key.y, 0x1BD11BDAu ^ key.x ^ key.y);
    var x = counter + key;
    for (var block = 0u; block < 5u; block++) {
        for (var round = 0u; round < 4u; round++) {
            x.x += x.y;
            x.y = rotate_left(x.y, rotations[block % 2u][round]) ^ x.x;
        }
        x.x += keys[(block + 1u) % 3u];
        x.y += keys[(block + 2u) % 3u] + block + 1u;
    }
    return x;
}

fn mix(value: u32) -> u32 {
    var x = value;
    x = (x ^ (x >> 16u)) * 0x7FEB352Du;
    x = (x ^ (x >> 15u)) * 0x846CA68Bu;
    return x ^ (x >> 16u);
}

// The row at a position of the epoch's order: a generalized Feistel network over Z_a × Z_b, walked
// until the value falls into 0..n (Black, Rogaway, CT-RSA 2002). n = 0: the identity.
fn permute(position: u32) -> u32 {
    let n = now.order_n;
    let a = now.order_a;
    let b = now.order_b;
    if (n == 0u) {
        return position;
    }
    var x = position;
    loop {
        var left = x / b;
        var right = x % b;
        for (var round = 0u; round < 8u; round++) {
            let even = round % 2u == 0u;
            let half = select(left, right, even);
            let hash = mix((mix(half ^ now.key0) + now.key1) ^ (round * 0x9E3779B9u));
            if (even) {
                left = (left + hash % a) % a;
            } else {
                right = (right + hash % b) % b;
            }
        }
        x = left * b + right;
        if (x < n) {
            break;
        }
    }
    return x;
}
