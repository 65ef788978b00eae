//! The device that a user selects, and the one that is opened for it.

use super::Backend;
use super::cpu::Cpu;
use super::gpu::{self, Gpu};
use crate::base::error::{Error, Result, serde_as_text};
use crate::net::precision::Multiplier;
use std::fmt;
use std::str::FromStr;

/// Where nets are trained and predict, as a user names it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Device {
    /// The fastest of the CPU and the real GPUs for the work, measured by
    /// [`train::choose::open`](crate::train::choose::open). If the work isn't known, a real GPU if there is
    /// one, otherwise the CPU.
    #[default]
    Auto,
    /// The CPU backend.
    Cpu,
    /// The best adapter, even a software one.
    Gpu,
    /// The adapter with this number in the list of `wgrad devices`.
    Index(usize),
    /// The adapter whose name contains this.
    Name(String),
}

/// An opened device.
pub struct Opened {
    /// The backend on it.
    pub backend: Box<dyn Backend>,
    /// The choice that opens the same device again: never [`Device::Auto`].
    pub device: Device,
    /// Why it was chosen, as a sentence for users.
    pub why: String,
    /// The multiplier for mixed precision, if it was already measured.
    pub multiplier: Option<Multiplier>,
    /// The devices that [`Device::Auto`] skipped, each with the reason, a sentence for users: devices
    /// that don't open or, with [`train::choose::open`](crate::train::choose::open), don't compile the kernels.
    pub passed_over: Vec<String>,
}

/// An entry of [`Opened::passed_over`]: one line, even for long messages of a compiler.
pub(crate) fn passed_over(name: &str, error: &Error) -> String {
    let brief = error.brief();
    format!("{name} is skipped: {}", brief.lines().next().unwrap_or_default())
}

/// Opens the chosen device; `threads` are those of the CPU backend. For [`Device::Auto`] prefer
/// [`train::choose::open`](crate::train::choose::open), as the commands do: this uses the first real GPU that
/// opens, which is slower than the CPU for small nets.
///
/// # Errors
/// When there is no such device, with those that exist, or it can't be opened.
pub fn open(choice: &Device, threads: Option<usize>) -> Result<Opened> {
    let cpu = |why: &str| -> Result<Opened> {
        Ok(Opened {
            backend: Box::new(Cpu::<f32>::new(threads)?),
            device: Device::Cpu,
            why: why.into(),
            multiplier: None,
            passed_over: Vec::new(),
        })
    };
    let gpu = |index: usize, why: String| -> Result<Opened> {
        let backend = Box::new(Gpu::open(index)?);
        let device = Device::Index(index);
        Ok(Opened { backend, device, why, multiplier: None, passed_over: Vec::new() })
    };
    if *choice == Device::Cpu {
        return cpu("as requested");
    }
    let adapters = gpu::adapters();
    let known = || {
        let list: Vec<_> = adapters.iter().map(|a| format!("{} {}", a.index, a.name)).collect();
        let adapters = if list.is_empty() { "no GPU adapters".into() } else { list.join(", ") };
        format!("choose auto, cpu, gpu, or a number or name; devices here: cpu, {adapters}")
    };
    match choice {
        Device::Cpu => cpu("as requested"),
        Device::Auto => {
            let mut refused = Vec::new();
            for a in adapters.iter().filter(|a| !a.is_software) {
                match gpu(a.index, "the best adapter that could be opened".into()) {
                    Ok(opened) => return Ok(Opened { passed_over: refused, ..opened }),
                    Err(e) => refused.push(passed_over(&a.title(), &e)),
                }
            }
            let why = match refused.is_empty() {
                false => "no GPU could be opened",
                true if adapters.is_empty() => "no GPU adapter was found",
                true => "no hardware GPU found; --device gpu uses the software adapter",
            };
            Ok(Opened { passed_over: refused, ..cpu(why)? })
        }
        Device::Gpu => match adapters.first() {
            Some(a) if a.is_software => gpu(a.index, "as requested; a software adapter, as no GPU was found".into()),
            Some(a) => gpu(a.index, "as requested".into()),
            None => Err(Error::device("no GPU adapter was found").help(
                "install a Vulkan driver (on Debian and Ubuntu mesa-vulkan-drivers), or use --device cpu",
            )),
        },
        Device::Index(index) if *index < adapters.len() => gpu(*index, "selected by number".into()),
        Device::Index(index) => {
            Err(Error::device(format!("there is no adapter {index}")).help(known()))
        }
        Device::Name(name) => {
            let wanted = name.to_lowercase();
            match adapters.iter().find(|a| a.name.to_lowercase().contains(&wanted)) {
                Some(a) => gpu(a.index, format!("its name contains {name:?}")),
                None => Err(Error::device(format!("there is no device {name:?}")).help(known())),
            }
        }
    }
}

serde_as_text!(Device);

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Device::Auto => f.write_str("auto"),
            Device::Cpu => f.write_str("cpu"),
            Device::Gpu => f.write_str("gpu"),
            Device::Index(index) => write!(f, "{index}"),
            Device::Name(name) => f.write_str(name),
        }
    }
}

impl FromStr for Device {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Ok(match text.to_lowercase().as_str() {
            "auto" => Device::Auto,
            "cpu" => Device::Cpu,
            "gpu" => Device::Gpu,
            "" => {
                return Err(
                    Error::usage("no device was given").help("auto, cpu, gpu, a number or a name")
                );
            }
            _ => text.parse().map_or_else(|_| Device::Name(text.into()), Device::Index),
        })
    }
}
