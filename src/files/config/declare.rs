//! The macro that declares options, each in one place.

/// The variable of an option: `WGRAD_BATCH_SIZE` for `batch_size`.
#[cfg(feature = "cli")]
macro_rules! variable {
    ($field:ident) => {{
        const NAME: &str = concat!("WGRAD_", stringify!($field));
        const BYTES: [u8; NAME.len()] = crate::files::config::declare::upper(NAME);
        const TEXT: &str = match std::str::from_utf8(&BYTES) {
            Ok(text) => text,
            Err(_) => NAME,
        };
        TEXT
    }};
}
#[cfg(feature = "cli")]
pub(super) use variable;

/// Declares a group of options. Each field is a flag of its name (`--batch-size`), a variable
/// (`WGRAD_BATCH_SIZE`) and a key (`batch-size`); its first line is its help.
macro_rules! options {
    (
        $(#[doc = $about:literal])*
        $(#[command($($command:tt)*)])?
        $type:ident {$(
            $(#[doc = $help:literal])*
            $(#[arg($($arg:tt)*)])?
            $(#[serde($($serde:tt)*)])?
            $field:ident: $value:ty,
        )+}
    ) => {
        #[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
        #[cfg_attr(feature = "cli", derive(clap::Args))]
        #[serde(rename_all = "kebab-case", default)]
        $(#[doc = $about])*
        $(#[cfg_attr(feature = "cli", command($($command)*))])?
        pub struct $type {
            $(
                #[cfg_attr(feature = "cli", arg(long, env = $crate::files::config::declare::variable!($field)))]
                #[serde(skip_serializing_if = "Option::is_none")]
                $(#[doc = $help])*
                $(#[cfg_attr(feature = "cli", arg($($arg)*))])?
                $(#[serde($($serde)*)])?
                pub $field: Option<$value>,
            )+
        }

        impl $type {
            /// These options, completed by those of `other`.
            #[must_use]
            pub fn or(self, other: Self) -> Self {
                $type { $($field: self.$field.or(other.$field)),+ }
            }
        }
    };
}
pub(super) use options;

/// A name in upper case.
#[cfg(feature = "cli")]
pub(super) const fn upper<const N: usize>(name: &str) -> [u8; N] {
    let mut bytes = [0; N];
    let mut i = 0;
    while i < N {
        bytes[i] = name.as_bytes()[i].to_ascii_uppercase();
        i += 1;
    }
    bytes
}
