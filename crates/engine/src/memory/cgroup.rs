// SPDX-License-Identifier: Apache-2.0
//! Memory limits of control groups, both versions: cgroups(7), and the kernel's
//! `admin-guide/cgroup-v2.rst` and `cgroup-v1/memory.rst`.
use std::fs;
use std::path::{Path, PathBuf};

/// Version 1 says "no limit" by a number near the largest.
const NO_LIMIT: u64 = 1 << 60;

/// A control group that this process is in, or one above it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) folder: PathBuf,
    is_v2: bool,
}

impl Group {
    /// The groups that count this process's memory, innermost first. `root` is `/`, or a folder
    /// that stands for it.
    pub(super) fn all(root: &Path) -> Vec<Self> {
        let read = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
        let (own, mounts) = (read("proc/self/cgroup"), read("proc/self/mountinfo"));
        own.lines()
            .filter_map(|line| place(root, line, &mounts))
            .flat_map(|(top, folder, is_v2)| {
                let above = folder.ancestors().take_while(|each| each.starts_with(&top));
                above
                    .map(|folder| Self {
                        folder: folder.to_owned(),
                        is_v2,
                    })
                    .collect::<Vec<_>>()
            })
            .collect()
    }

    /// Bytes that its processes may use together; `None` without a limit.
    pub(super) fn limit(&self) -> Option<u64> {
        let names: &[&str] = match self.is_v2 {
            // Above `high` the kernel takes memory back by force and lets every process wait.
            true => &["memory.max", "memory.high"],
            false => &["memory.limit_in_bytes"],
        };
        let limits = names.iter().filter_map(|name| self.number(name));
        limits.min().filter(|limit| *limit < NO_LIMIT)
    }

    /// Bytes used, without what the kernel would give back by itself: cached files.
    pub(super) fn used(&self) -> Option<u64> {
        let (current, files, shared) = match self.is_v2 {
            true => ("memory.current", "file", "shmem"),
            false => ("memory.usage_in_bytes", "total_cache", "total_shmem"),
        };
        let used = self.number(current)?;
        let told = fs::read_to_string(self.folder.join("memory.stat")).unwrap_or_default();
        let of = |wanted: &str| {
            let mut pairs = told.lines().filter_map(|line| line.split_once(' '));
            let found = pairs.find(|(name, _)| *name == wanted);
            found.and_then(|(_, value)| value.parse::<u64>().ok())
        };
        // Files in memory alone count as cached files and cannot be given back.
        let cached = of(files).unwrap_or(0);
        Some(used.saturating_sub(cached.saturating_sub(of(shared).unwrap_or(0))))
    }

    fn number(&self, name: &str) -> Option<u64> {
        let text = fs::read_to_string(self.folder.join(name)).ok()?;
        text.trim().parse().ok() // `max` is no number: no limit
    }
}

/// Where a line of /proc/self/cgroup is found: the mount's folder, the group's and whether it is
/// of version 2. `None` for hierarchies that do not count memory, and those mounted nowhere.
fn place(root: &Path, line: &str, mounts: &str) -> Option<(PathBuf, PathBuf, bool)> {
    let mut parts = line.splitn(3, ':');
    let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
    let is_v2 = controllers.is_empty();
    let has = |list: &str| list.split(',').any(|name| name == "memory");
    if !is_v2 && !has(controllers) {
        return None;
    }
    let (top, point) = mounts.lines().find_map(|line| {
        // proc_pid_mountinfo(5): ... root, mount point, options, -, type, source, super options.
        let (before, after) = line.split_once(" - ")?;
        let mut before = before.split(' ').skip(3);
        let (top, point) = (before.next()?, before.next()?);
        let mut after = after.split(' ');
        let kind = after.next()?;
        let fits = match is_v2 {
            true => kind == "cgroup2",
            false => kind == "cgroup" && after.nth(1).is_some_and(has),
        };
        fits.then_some((top, point))
    })?;
    let point = root.join(point.trim_start_matches('/'));
    // In a container the mount often begins at the group itself, and the path may lead above it.
    let inner = Path::new(path).strip_prefix(top).unwrap_or(Path::new(""));
    let inner = match inner.components().any(|part| part.as_os_str() == "..") {
        true => Path::new(""),
        false => inner,
    };
    Some((point.clone(), point.join(inner), is_v2))
}
