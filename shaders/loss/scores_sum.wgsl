// The sum of the scores of rows `start` … `end`, in a fixed order, by the first 64 invocations of a workgroup.

fn scores_sum(lane: u32, start: u32, end: u32) -> vec4<f32> {
    var mine = vec4<f32>(0.0, 0.0, 0.0, 0.0);
    if (lane < 64u) {
        // In chunks of 64, so that the rounding errors of a long sum don't grow with its length.
        for (var at = start + lane; at < end; at += 4096u) {
            var chunk = vec4<f32>(0.0, 0.0, 0.0, 0.0);
            for (var row = at; row < min(at + 4096u, end); row += 64u) {
                chunk += scores[row];
            }
            mine += chunk;
        }
    }
    return workgroup_sum(lane, mine);
}
