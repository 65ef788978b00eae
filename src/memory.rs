//! How much memory this process may take, and refusing what needs more before any of it is taken.

use crate::error::{Error, Result};
use std::fmt::Display;
use std::fs;
use std::path::Path;
use std::sync::OnceLock;

/// The bytes of memory that this process may take: those of the machine, or the limit of its control
/// group where that is lower, as they were when first asked for; none where the system doesn't tell.
#[must_use]
pub fn available() -> Option<u64> {
    static ALL: OnceLock<Option<u64>> = OnceLock::new();
    *ALL.get_or_init(read_available)
}

fn read_available() -> Option<u64> {
    let cgroups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total(&text));
    machine.into_iter().chain(group_limit(Path::new("/sys/fs/cgroup"), &cgroups)).min()
}

/// The total memory that `/proc/meminfo` tells, in bytes.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|l| l.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The lowest limit of the control groups that `/proc/self/cgroup` names and of those around them, of
/// version 1 and version 2.
fn group_limit(root: &Path, cgroups: &str) -> Option<u64> {
    let limits = cgroups.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let (root, file) = match controllers {
            "" => (root.to_path_buf(), "memory.max"),
            v1 if v1.split(',').any(|c| c == "memory") => {
                (root.join("memory"), "memory.limit_in_bytes")
            }
            _ => return None,
        };
        // Within a container the path may be that of the host: what isn't there has no limit.
        let groups = Path::new(path.trim_start_matches('/')).ancestors();
        let limit = |group: &Path| {
            let text = fs::read_to_string(root.join(group).join(file)).ok()?;
            // "max" where there is none.
            text.trim().parse::<u64>().ok()
        };
        groups.filter_map(limit).min()
    });
    limits.min()
}

/// The memory that reading data may take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Budget(pub Option<u64>);

impl Budget {
    /// Refuses `what` where it needs more bytes than there may be taken: than the limit that the user
    /// gave, or without one than [`available`].
    ///
    /// # Errors
    /// With what it needs and what there is.
    pub fn check(self, need: u64, what: impl Display) -> Result<()> {
        let (most, who, help) = match self.0 {
            Some(limit) => (limit, "the memory limit is", "raise --memory-limit, or "),
            None => match available() {
                Some(all) => (all, "there are only", ""),
                None => return Ok(()),
            },
        };
        if need <= most {
            return Ok(());
        }
        Err(Error::data(format!(
            "{what} takes {} of memory, but {who} {}",
            human(need as f64),
            human(most as f64)
        ))
        .help(format!("{help}write the data as Parquet or CSV, which are read in parts")))
    }
}

/// Bytes as people read them.
#[must_use]
pub fn human(bytes: f64) -> String {
    const UNITS: [&str; 6] = ["B", "kB", "MB", "GB", "TB", "PB"];
    let step = (bytes.max(1.0).log10() / 3.0) as usize;
    let unit = step.min(UNITS.len() - 1);
    let value = bytes / 1000f64.powi(unit as i32);
    let digits = usize::from(value < 9.95 && unit > 0);
    format!("{value:.digits$} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_limit_of_a_control_group_and_those_around_it_counts() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("user/run/memory.max", "max\n");
        write("user/memory.max", "3000000\n");
        write("memory/job/memory.limit_in_bytes", "2000000\n");
        write("memory/memory.limit_in_bytes", "9223372036854771712\n");
        let limit = |text: &str| group_limit(root.path(), text);
        assert_eq!(limit("0::/user/run\n"), Some(3_000_000));
        assert_eq!(limit("0::/elsewhere\n"), None);
        assert_eq!(limit("5:cpu,memory:/job\n0::/user/run\n"), Some(2_000_000));
        assert_eq!(limit("4:cpu:/job\n"), None);
        assert_eq!(limit(""), None);
    }

    #[test]
    fn meminfo_tells_the_total() {
        assert_eq!(total("MemTotal:        2048 kB\nMemFree: 1 kB\n"), Some(2_097_152));
        assert_eq!(total("MemFree: 1 kB\n"), None);
    }

    #[test]
    fn what_needs_more_than_the_limit_is_refused_with_both_numbers() {
        let budget = Budget(Some(1_000_000));
        budget.check(1_000_000, "x").unwrap();
        let error = budget.check(5_000_000_000, "the array x").unwrap_err().to_string();
        assert!(error.starts_with("the array x takes 5.0 GB of memory"), "{error}");
        assert!(error.contains("the memory limit is 1.0 MB"), "{error}");
        assert!(Budget(None).check(u64::MAX, "x").is_err() || available().is_none());
    }

    #[test]
    fn bytes_are_readable() {
        let all = [0.0, 999.0, 1500.0, 12e6, 3.25e9, 7e20].map(human);
        assert_eq!(all, ["0 B", "999 B", "1.5 kB", "12 MB", "3.2 GB", "700000 PB"]);
    }
}
