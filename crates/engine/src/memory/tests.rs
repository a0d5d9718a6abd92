// SPDX-License-Identifier: Apache-2.0
use super::cgroup::Group;
use super::{Budget, Level, Meter, Reading};
use std::fs;
use std::path::{Path, PathBuf};

const V2: &str = "34 29 0:30 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate";
const V1: &str = "34 29 0:30 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                  35 29 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory";
const MIB: u64 = 1 << 20;

/// A folder with what the kernel would show below `/`; gone at its end.
struct Tree(PathBuf);

impl Tree {
    fn new(name: &str, own: &str, mounts: &str, files: &[(&str, &str)]) -> Self {
        let tree = format!("tidegate-memory-{}-{name}", std::process::id());
        let tree = Self(std::env::temp_dir().join(tree));
        tree.write("proc/self/cgroup", own);
        tree.write("proc/self/mountinfo", mounts);
        tree.write(
            "proc/self/status",
            "VmRSS:\t  99000 kB\nRssAnon:\t   51200 kB\n",
        );
        for (path, text) in files {
            tree.write(path, text);
        }
        tree
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn read(&self, setting: Option<u64>) -> Option<Reading> {
        let mut reading = Meter::new(&self.0).read(setting)?;
        // Shown as it would be without the folder before it.
        if let Ok(rest) = Path::new(&reading.source).strip_prefix(&self.0) {
            reading.source = format!("/{}", rest.display());
        }
        Some(reading)
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn reading(used: u64, limit: u64, source: &str) -> Option<Reading> {
    Some(Reading {
        used,
        limit,
        source: source.into(),
    })
}

#[test]
fn the_tightest_of_nested_groups_counts_and_max_is_no_limit() {
    let tree = Tree::new(
        "nested",
        "0::/pod/web\n",
        V2,
        &[
            ("sys/fs/cgroup/pod/web/memory.max", "max\n"),
            ("sys/fs/cgroup/pod/web/memory.high", "max\n"),
            ("sys/fs/cgroup/pod/memory.max", "209715200\n"),
            ("sys/fs/cgroup/pod/memory.high", "104857600\n"),
            ("sys/fs/cgroup/pod/memory.current", "94371840\n"),
            (
                "sys/fs/cgroup/pod/memory.stat",
                "anon 1\nfile 41943040\nshmem 10485760\n",
            ),
        ],
    );
    // Files that the kernel would give back do not count, those in memory alone do.
    let expected = reading(60 * MIB, 100 * MIB, "/sys/fs/cgroup/pod");
    assert_eq!(tree.read(None), expected);
    assert_eq!(Group::all(&tree.0).len(), 3);
}

#[test]
fn version_1_is_read_as_well_and_its_largest_number_is_no_limit() {
    let own = "3:cpu:/a\n4:memory:/a/b\n0::/\n";
    let group = "sys/fs/cgroup/memory/a";
    let limit = |folder: &str, value: &str| {
        let tree = Tree::new(
            &format!("v1-{value}"),
            own,
            V1,
            &[
                (&format!("{folder}/memory.limit_in_bytes"), value),
                (&format!("{folder}/memory.usage_in_bytes"), "83886080"),
                (
                    &format!("{folder}/memory.stat"),
                    "cache 1\ntotal_cache 1048576\n",
                ),
            ],
        );
        tree.read(None)
    };
    let expected = reading(79 * MIB, 100 * MIB, "/sys/fs/cgroup/memory/a");
    assert_eq!(limit(group, "104857600\n"), expected);
    assert_eq!(limit(group, "9223372036854771712\n"), None);
}

#[test]
fn a_mount_that_begins_at_the_group_itself_is_found() {
    let mounts = V2.replace(" / /sys", " /docker/abc /sys");
    let files = [
        ("sys/fs/cgroup/memory.max", "104857600"),
        ("sys/fs/cgroup/memory.current", "10485760"),
    ];
    for own in ["0::/docker/abc\n", "0::/\n", "0::/../other\n"] {
        let name = own.replace('/', "_");
        let tree = Tree::new(name.trim(), own, &mounts, &files);
        let expected = reading(10 * MIB, 100 * MIB, "/sys/fs/cgroup");
        assert_eq!(tree.read(None), expected, "{own}");
    }
}

#[test]
fn a_group_that_others_fill_is_not_this_nodes_to_empty() {
    let tree = Tree::new(
        "others",
        "0::/\n",
        V2,
        &[
            ("sys/fs/cgroup/memory.max", "1073741824"),
            ("sys/fs/cgroup/memory.current", "1073741824"),
        ],
    );
    assert_eq!(
        tree.read(None),
        reading(50 * MIB, 1024 * MIB, "/sys/fs/cgroup")
    );
}

#[test]
fn the_setting_counts_the_nodes_own_memory() {
    let tree = Tree::new("setting", "", "", &[]);
    assert_eq!(tree.read(None), None);
    let expected = reading(50 * MIB, 64 * MIB, "gateway.memory");
    assert_eq!(tree.read(Some(64 * MIB)), expected);
}

#[test]
fn levels_are_entered_at_their_marks_and_left_below_them() {
    let budget = Budget::new();
    let mut levels = Vec::new();
    for percent in [84, 85, 84, 80, 79, 85, 92, 93, 92, 88, 87, 80, 79, 99, 10] {
        let level = budget.set(reading(percent, 100, ""));
        assert_eq!(budget.level(), level);
        levels.push(level as u8);
    }
    assert_eq!(levels, [0, 1, 1, 1, 0, 1, 1, 2, 2, 2, 1, 1, 0, 2, 0]);
    assert_eq!(budget.set(None), Level::Ample);
    assert!(budget.admits(usize::MAX));
    let excess = |used| reading(used, 1000, "").map(|reading| reading.excess());
    assert_eq!(
        [excess(929), excess(930), excess(1000)],
        [Some(0), Some(50), Some(120)]
    );
}

#[test]
fn what_is_taken_between_two_readings_counts() {
    let budget = Budget::new();
    budget.set(reading(50_000, 100_000, ""));
    let taken: Vec<bool> = [30_000, 13_000, 12_000, 500]
        .map(|bytes| budget.admits(bytes))
        .into();
    assert_eq!(taken, [true, false, true, true]);
    budget.set(reading(99_000, 100_000, ""));
    assert!(!budget.admits(1));
}
