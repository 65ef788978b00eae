//! The declarations of kernels, and the shared WGSL in front of their shaders.

/// How a kernel uses a binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// `var<storage, read>`.
    Read,
    /// `var<storage, read_write>`.
    ReadWrite,
}

/// A storage binding: its name in the shader and its access. Binding numbers count from 1 in the
/// order of the declaration; binding 0 of the group is the kernel's uniform.
#[derive(Debug, Clone, Copy)]
pub struct Binding {
    /// The variable's name.
    pub name: &'static str,
    /// Read or read and write.
    pub access: Access,
}

/// A binding that is read.
#[must_use]
pub const fn read(name: &'static str) -> Binding {
    Binding { name, access: Access::Read }
}

/// A binding that is read and written.
#[must_use]
pub const fn read_write(name: &'static str) -> Binding {
    Binding { name, access: Access::ReadWrite }
}

/// A kernel's declaration.
#[derive(Debug)]
pub struct Kernel {
    /// The entry point; unique among all kernels.
    pub entry: &'static str,
    /// The WGSL texts that make up its module, in order.
    pub source: &'static [&'static str],
    /// The fields of its uniform with their byte offsets.
    pub uniform: &'static [(&'static str, usize)],
    /// Its storage bindings.
    pub bindings: &'static [Binding],
    /// Invocations of a workgroup.
    pub workgroup_size: u32,
}

impl Kernel {
    /// The WGSL module, composed of its texts.
    #[must_use]
    pub fn wgsl(&self) -> String {
        self.source.join("\n")
    }

    /// The same with subgroups of exactly `size` invocations, which reduce a workgroup's values with fewer
    /// barriers and the same bits. It needs the optional feature of subgroups.
    #[must_use]
    pub fn wgsl_for_subgroups(&self, size: u32) -> String {
        let by_subgroups = include_str!("../../../shaders/common/reduce_subgroups.wgsl");
        let text = format!("const SUBGROUP = {size}u;\n{by_subgroups}");
        let whole = self.wgsl();
        // A text that isn't found would be left as it is without a word.
        let reduces = whole.contains("fn workgroup_sum(");
        debug_assert_eq!(reduces, whole.contains(REDUCE), "{}", self.entry);
        whole.replace(REDUCE, &text)
    }
}

/// The WGSL in front of every kernel: the step's uniform and the flat workgroup index.
pub const COMMON: &str = include_str!("../../../shaders/common/common.wgsl");

/// Elementary functions that are accurate on every device.
pub const FUNCTIONS: &str = include_str!("../../../shaders/common/functions.wgsl");

/// Random numbers and permutations.
pub const RANDOM_FUNCTIONS: &str = include_str!("../../../shaders/common/random_functions.wgsl");

/// Sums and maxima over the first 64 of a workgroup.
pub const REDUCE: &str = include_str!("../../../shaders/common/reduce.wgsl");

impl PartialEq for Kernel {
    fn eq(&self, other: &Self) -> bool {
        self.entry == other.entry
    }
}

/// Defines a kernel's uniform: a `repr(C)` struct of 4-byte fields, padded to 16 bytes, and the
/// table of its fields that a test compares with the shader's.
macro_rules! uniform {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty),+ $(,)? }) => {
        $(#[$doc])*
        #[repr(C)]
        #[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
        pub struct $name { $(#[allow(missing_docs, reason = "named as in the equations")] pub $field: $type),+ }
        impl $name {
            /// The fields and their byte offsets.
            pub const FIELDS: &'static [(&'static str, usize)] =
                &[$((stringify!($field), std::mem::offset_of!($name, $field))),+];
            /// The bytes for the device, padded to a multiple of 16.
            #[must_use]
            pub fn bytes(&self) -> Vec<u8> {
                let mut bytes = bytemuck::bytes_of(self).to_vec();
                bytes.resize(bytes.len().next_multiple_of(16), 0);
                bytes
            }
        }
    };
}

pub(crate) use uniform;
