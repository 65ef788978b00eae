// The features of a batch of images, augmented in integer arithmetic as explained in src/net/augment/image.rs.
// One invocation for each pixel.

struct Augment {
    width: u32,
    height: u32,
    colours: u32,
    key0: u32,
    key1: u32,
    shift: i32,
    rotation: i32,
    scale: i32,
    shear: i32,
    elastic: i32,
    spacing: u32,
    noise: i32,
    cutout: u32,
}

const ONE = 4096;
const ELASTIC_DRAWS = 16u;
const NOISE_DRAWS = 1048576u;

@group(1) @binding(0) var<uniform> p: Augment;
@group(1) @binding(1) var<storage, read> data: array<u32>;         // (N, n_0) bytes
@group(1) @binding(2) var<storage, read> affine: array<vec2<f32>>; // (shift, scale) of each column
@group(1) @binding(3) var<storage, read_write> out: array<f32>;    // (B, n_0)

var<private> position: u32;

fn draw(i: u32) -> vec2<u32> {
    return threefry(vec2<u32>(p.key0, p.key1 ^ now.epoch), vec2<u32>(position, i));
}

fn signed(bits: u32, amount: i32) -> i32 {
    return ((i32(bits >> 19u) - ONE) * amount) >> 12u;
}

fn times(a: i32, b: i32) -> i32 {
    return (a * b) >> 12u;
}

fn smooth_step(i: u32, n: u32) -> i32 {
    let t = i32(256u * i / n);
    return (t * t * (768 - 2 * t)) >> 16u;
}

fn movement(point: u32) -> vec2<i32> {
    let bits = draw(ELASTIC_DRAWS + point);
    return vec2<i32>(signed(bits.x, p.elastic), signed(bits.y, p.elastic));
}

fn bend(x: u32, y: u32) -> vec2<i32> {
    if (p.elastic == 0) {
        return vec2<i32>(0, 0);
    }
    let across = p.width / p.spacing + 2u;
    let wx = smooth_step(x % p.spacing, p.spacing);
    let wy = smooth_step(y % p.spacing, p.spacing);
    let point = y / p.spacing * across + x / p.spacing;
    let upper = (movement(point) * (256 - wx) + movement(point + 1u) * wx) >> vec2<u32>(8u, 8u);
    let below = point + across;
    let lower = (movement(below) * (256 - wx) + movement(below + 1u) * wx) >> vec2<u32>(8u, 8u);
    return (upper * (256 - wy) + lower * wy) >> vec2<u32>(8u, 8u);
}

fn byte_at(index: u32) -> i32 {
    return i32((data[index / 4u] >> (8u * (index % 4u))) & 0xFFu);
}

fn noise(feature: u32) -> i32 {
    if (p.noise == 0) {
        return 0;
    }
    let draws = draw(NOISE_DRAWS + feature / 2u);
    return (i32(select(draws.x, draws.y, feature % 2u == 1u) >> 19u) - ONE) * p.noise;
}

@compute @workgroup_size(64)
fn augment(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = flat(group, groups) * 64u + lane;
    let pixels = p.width * p.height;
    if (i >= now.rows * pixels) {
        return;
    }
    position = now.position + i / pixels;
    let x = i % pixels % p.width;
    let y = i % pixels / p.width;

    let moved = draw(0u);
    let turned = draw(1u);
    let leant = draw(2u);
    let angle = signed(turned.x, p.rotation);
    let square = times(angle, angle);
    let cube = times(angle, square);
    let sine = angle - cube / 6 + times(cube, square) / 120;
    let cosine = ONE - square / 2 + times(square, square) / 24;
    let shear = signed(leant.x, p.shear);
    let size = ONE + signed(turned.y, p.scale);
    let m0 = times(cosine, size);
    let m1 = times(times(cosine, shear) - sine, size);
    let m2 = times(sine, size);
    let m3 = times(times(sine, shear) + cosine, size);

    let last_x = i32(p.width) - 1;
    let last_y = i32(p.height) - 1;
    let dx = 2 * i32(x) - last_x;
    let dy = 2 * i32(y) - last_y;
    let bent = bend(x, y);
    let from_x = ((m0 * dx + m1 * dy) >> 1u) + (last_x << 11u) + signed(moved.x, p.shift) + bent.x;
    let from_y = ((m2 * dx + m3 * dy) >> 1u) + (last_y << 11u) + signed(moved.y, p.shift) + bent.y;
    let source_x = clamp(from_x, 0, last_x << 12u);
    let source_y = clamp(from_y, 0, last_y << 12u);
    let left = u32(source_x) >> 12u;
    let top = u32(source_y) >> 12u;
    let right = min(left + 1u, p.width - 1u);
    let below = min(top + 1u, p.height - 1u);
    let wx = (source_x & 4095) >> 6u;
    let wy = (source_y & 4095) >> 6u;

    let side = i32(p.cutout);
    let covered_x = i32(x) - (i32(leant.y % p.width) - side / 2);
    let covered_y = i32(y) - (i32(draw(3u).x % p.height) - side / 2);
    let covered = covered_x >= 0 && covered_x < side && covered_y >= 0 && covered_y < side;

    let image = permute(now.first + i / pixels) * pixels * p.colours;
    for (var colour = 0u; colour < p.colours; colour++) {
        let upper = byte_at(image + (top * p.width + left) * p.colours + colour) * (64 - wx)
            + byte_at(image + (top * p.width + right) * p.colours + colour) * wx;
        let lower = byte_at(image + (below * p.width + left) * p.colours + colour) * (64 - wx)
            + byte_at(image + (below * p.width + right) * p.colours + colour) * wx;
        let feature = (y * p.width + x) * p.colours + colour;
        let value = clamp(upper * (64 - wy) + lower * wy + noise(feature), 0, 255 * ONE);
        // Exact: at most 20 bits, and a power of two.
        let byte = f32(select(value, 0, covered)) * 0.000244140625;
        out[i / pixels * pixels * p.colours + feature] = (byte - affine[feature].x) * affine[feature].y;
    }
}
