//! The kernel around a tile: its constants, workgroup memory and entry point.

use super::operand::declaration;
use super::{SHORT, Tile};
use crate::kernels::common::declaration::{Binding, Kernel};

impl Tile {
    /// The kernel `{name}_{tile}` made up of `texts`, whose entry point calls
    /// `{call}(lane, workgroup)`. Bindings named in `operands` are declared
    /// here, the others by the texts. To be called once: its texts are never freed.
    #[must_use]
    pub fn kernel(
        &self,
        [name, call]: [&str; 2],
        uniform: &'static [(&'static str, usize)],
        bindings: &'static [Binding],
        operands: &[&str],
        texts: &[&str],
    ) -> Kernel {
        let declared: String = (1..)
            .zip(bindings)
            .filter(|(_, binding)| operands.contains(&binding.name))
            .map(|(number, binding)| declaration(number, binding, self.wide))
            .collect();
        let shape = [self.rows, self.cols, self.invocations()];
        let shared = declared + &self.memory();
        compose(format!("{name}_{self}"), call, shape, &shared, uniform, bindings, texts)
    }

    /// The declarations that the products of a module share: workgroup memory and the length of a segment.
    fn memory(&self) -> String {
        let [a, b] = self.strides().map(|stride| stride * self.depth * self.slices);
        let quad = self.quad();
        let mut text = format!(
            "override SEGMENT: u32 = {SHORT}u; // terms of a segment\n\
             var<workgroup> quads: array<{quad}, {}>; // of A, then of B\n",
            a + b
        );
        if self.wide {
            text +=
                "override ALIGNED: bool = false; // all operands have rows of a multiple of four\n";
        }
        if self.slices > 1 {
            let len = self.slices * self.per_slice() * (self.each[1] / 4);
            text += &format!("var<workgroup> exchange: array<vec4<f32>, {len}>;\n");
        } else {
            text += "override FOLD: bool = true; // more than one segment\n";
        }
        text
    }

    /// The constants of [`Tile::memory`] for short segments.
    #[must_use]
    pub(in crate::kernels) fn short_overrides(&self) -> Vec<(&'static str, f64)> {
        let mut overrides = vec![("SEGMENT", SHORT as f64)];
        if self.slices == 1 {
            overrides.push(("FOLD", 1.0));
        }
        overrides
    }
}

/// The kernel `entry` of blocks of `rows` × `cols`, made up of `texts` and what its products share,
/// whose entry point calls `{call}(lane, workgroup)`.
pub(in crate::kernels) fn compose(
    entry: String,
    call: &str,
    [rows, cols, invocations]: [usize; 3],
    shared: &str,
    uniform: &'static [(&'static str, usize)],
    bindings: &'static [Binding],
    texts: &[&str],
) -> Kernel {
    let text = format!(
        "{}\nconst ROWS = {rows}u; // of a block\nconst COLS = {cols}u;\n\
         const INVOCATIONS = {invocations}u;\n{shared}\
         @compute @workgroup_size({invocations})\n\
         fn {entry}(\n    @builtin(workgroup_id) group: vec3<u32>,\n    \
         @builtin(num_workgroups) groups: vec3<u32>,\n    \
         @builtin(local_invocation_index) lane: u32,\n) {{\n    \
         {call}(lane, flat(group, groups));\n}}\n",
        texts.join("\n"),
    );
    Kernel {
        entry: entry.leak(),
        source: vec![&*text.leak()].leak(),
        uniform,
        bindings,
        workgroup_size: invocations as u32,
    }
}
