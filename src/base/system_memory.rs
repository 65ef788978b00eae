//! How much memory this process may use: what the machine has, or less where a control group limits it,
//! as those of containers, batch systems and services do.
//!
//! Linux reports both in files: `/proc/meminfo`, and for control groups of version 2 `memory.max`, of version
//! 1 `memory.limit_in_bytes`, in the group of the process and in each above it. Elsewhere nothing is known.

use std::fs;
use std::path::Path;

/// Bytes of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// The number of bytes.
    pub bytes: u64,
    /// Whether a control group, and not the machine, sets the limit.
    pub by_control_group: bool,
}

/// All memory that this process may use, where the system reports it.
#[must_use]
pub fn total() -> Option<Memory> {
    System(Path::new("/")).total()
}

/// The part of it that is free now or can be freed, where the system reports it.
#[must_use]
pub fn available() -> Option<Memory> {
    System(Path::new("/")).available()
}

/// Bytes of memory that this process holds now (resident set), where the system reports it.
#[must_use]
pub fn resident() -> Option<u64> {
    System(Path::new("/")).kibibytes("proc/self/status", "VmRSS:")
}

/// The files of a system, under this root directory.
struct System<'a>(&'a Path);

/// The files of a control group in version 1 or 2.
struct Files {
    limit: &'static str,
    usage: &'static str,
    /// In `memory.stat`: the part of the usage that is freed when memory is short.
    cached: &'static str,
}

const VERSION_2: Files =
    Files { limit: "memory.max", usage: "memory.current", cached: "inactive_file" };
const VERSION_1: Files = Files {
    limit: "memory.limit_in_bytes",
    usage: "memory.usage_in_bytes",
    cached: "total_inactive_file",
};

/// A control group with a limit, in bytes.
struct Group {
    limit: u64,
    available: u64,
}

impl System<'_> {
    fn total(&self) -> Option<Memory> {
        self.least(self.of_machine("MemTotal:")?, |group| group.limit)
    }

    fn available(&self) -> Option<Memory> {
        self.least(self.of_machine("MemAvailable:")?, |group| group.available)
    }

    fn least(&self, machine: u64, of: impl Fn(&Group) -> u64) -> Option<Memory> {
        let limited = self.groups().iter().map(of).min().filter(|&limit| limit < machine);
        Some(match limited {
            Some(bytes) => Memory { bytes, by_control_group: true },
            None => Memory { bytes: machine, by_control_group: false },
        })
    }

    fn of_machine(&self, name: &str) -> Option<u64> {
        self.kibibytes("proc/meminfo", name)
    }

    /// A number of kibibytes in a file of lines such as `MemTotal: 16 kB`, in bytes.
    fn kibibytes(&self, file: &str, name: &str) -> Option<u64> {
        let text = fs::read_to_string(self.0.join(file)).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        kibibytes.checked_mul(1024)
    }

    /// The control groups that this process is in, and those above them, as far as they have limits.
    fn groups(&self) -> Vec<Group> {
        let own = fs::read_to_string(self.0.join("proc/self/cgroup")).unwrap_or_default();
        let mut all = Vec::new();
        for line in own.lines() {
            // hierarchy:controllers:path, with no controllers in version 2.
            let mut fields = line.splitn(3, ':').skip(1);
            let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
            let (mount, files) = match controllers {
                "" => ("sys/fs/cgroup", VERSION_2),
                list if list.split(',').any(|name| name == "memory") => {
                    ("sys/fs/cgroup/memory", VERSION_1)
                }
                _ => continue,
            };
            let mount = self.0.join(mount);
            // A path may be that outside of the container: then only the groups above are seen.
            for above in Path::new(path.trim_start_matches('/')).ancestors() {
                let is_within = above.components().all(|c| c.as_os_str() != "..");
                all.extend(is_within.then(|| group(&mount.join(above), &files)).flatten());
            }
        }
        all
    }
}

fn group(directory: &Path, files: &Files) -> Option<Group> {
    let number = |name: &str| -> Option<u64> {
        fs::read_to_string(directory.join(name)).ok()?.trim().parse().ok()
    };
    // Without a limit it is the word max, or more than any machine has.
    let limit = number(files.limit)?;
    let stat = fs::read_to_string(directory.join("memory.stat")).unwrap_or_default();
    let cached = stat.lines().find_map(|line| line.strip_prefix(files.cached)?.trim().parse().ok());
    let taken = number(files.usage).unwrap_or(0).saturating_sub(cached.unwrap_or(0));
    Some(Group { limit, available: limit.saturating_sub(taken) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    /// A system of 16 GiB, 12 of them free, with these files besides: (total, available).
    fn told(files: &[(&str, &str)]) -> (Memory, Memory) {
        let root = tempfile::tempdir().unwrap();
        let meminfo = "MemTotal:       16777216 kB\nMemFree: 1 kB\nMemAvailable:   12582912 kB\n";
        for (path, text) in files.iter().chain(&[("proc/meminfo", meminfo)]) {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let system = System(root.path());
        (system.total().unwrap(), system.available().unwrap())
    }

    fn machine(bytes: u64) -> Memory {
        Memory { bytes, by_control_group: false }
    }

    fn limited(bytes: u64) -> Memory {
        Memory { bytes, by_control_group: true }
    }

    #[test]
    fn without_a_limit_it_is_the_machine_that_counts() {
        assert_eq!(told(&[]), (machine(16 * GIB), machine(12 * GIB)));
        let v2 = [("proc/self/cgroup", "0::/a\n"), ("sys/fs/cgroup/a/memory.max", "max\n")];
        assert_eq!(told(&v2), (machine(16 * GIB), machine(12 * GIB)));
        let v1 = [
            ("proc/self/cgroup", "4:memory:/\n1:name=systemd:/\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
        ];
        assert_eq!(told(&v1), (machine(16 * GIB), machine(12 * GIB)));
        let root = tempfile::tempdir().unwrap();
        assert_eq!(System(root.path()).total(), None, "a system without such files");
    }

    #[test]
    fn version_2_counts_the_groups_above_and_leaves_out_what_is_only_cached() {
        let files = [
            ("proc/self/cgroup", "0::/user.slice/job.scope\n"),
            ("sys/fs/cgroup/user.slice/job.scope/memory.max", "max\n"),
            ("sys/fs/cgroup/user.slice/memory.max", "4294967296\n"),
            ("sys/fs/cgroup/user.slice/memory.current", "3221225472\n"),
            ("sys/fs/cgroup/user.slice/memory.stat", "anon 5\ninactive_file 1073741824\n"),
        ];
        assert_eq!(told(&files), (limited(4 * GIB), limited(2 * GIB)));
    }

    #[test]
    fn version_1_has_a_hierarchy_for_memory() {
        let files = [
            ("proc/self/cgroup", "11:cpu,cpuacct:/other\n9:hugetlb,memory:/slurm/job_1\n"),
            ("sys/fs/cgroup/memory/slurm/job_1/memory.limit_in_bytes", "2147483648\n"),
            ("sys/fs/cgroup/memory/slurm/job_1/memory.usage_in_bytes", "1610612736\n"),
            (
                "sys/fs/cgroup/memory/slurm/job_1/memory.stat",
                "inactive_file 9\ntotal_inactive_file 536870912\n",
            ),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
        ];
        assert_eq!(told(&files), (limited(2 * GIB), limited(GIB)));
    }

    #[test]
    fn a_container_that_sees_only_its_own_group_is_limited_by_that() {
        for path in ["/", "/docker/0123abcd", "/../../docker/0123abcd"] {
            let own = format!("0::{path}\n");
            let files = [
                ("proc/self/cgroup", own.as_str()),
                ("sys/fs/cgroup/memory.max", "1073741824\n"),
                ("sys/fs/cgroup/memory.current", "2147483648\n"),
            ];
            assert_eq!(told(&files), (limited(GIB), limited(0)), "{path}");
        }
    }
}
