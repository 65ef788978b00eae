//! Names of values in files and on the command line.

/// Gives an enum without fields the names of its values: `ALL` of them, `name`, `Display` and `FromStr`; `what`
/// describes it in the error for an unknown name.
macro_rules! names {
    ($type:ident, $what:literal: $($variant:ident $name:literal),+) => {
        impl $type {
            /// All values, each once.
            pub const ALL: [$type; [$($name),+].len()] = [$($type::$variant),+];

            /// The name used in files and on the command line.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $($type::$variant => $name),+
                }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }

        impl std::str::FromStr for $type {
            type Err = $crate::base::error::Error;

            fn from_str(name: &str) -> $crate::base::error::Result<Self> {
                let unknown = || $crate::base::error::unknown($what, name, &[$($name),+]);
                Self::ALL.into_iter().find(|value| value.name() == name).ok_or_else(unknown)
            }
        }
    };
}
pub(crate) use names;
