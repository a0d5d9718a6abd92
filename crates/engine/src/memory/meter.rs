// SPDX-License-Identifier: Apache-2.0
use super::cgroup::Group;
use rustix::process::{Resource, getrlimit};
use std::fs;
use std::path::{Path, PathBuf};

/// Readings after which groups and limits are looked up again: both can be changed from outside.
const LOOK_AGAIN: u32 = 50;

/// How much memory is used, of how much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    /// Bytes.
    pub(crate) used: u64,
    /// Bytes; not 0.
    pub(crate) limit: u64,
    /// Whose limit it is: `gateway.memory`, `rlimit`, or a control group's folder.
    pub(crate) source: String,
}

impl Reading {
    pub(crate) fn percent(&self) -> u64 {
        self.used.saturating_mul(100) / self.limit.max(1)
    }
}

/// Reads limits of memory and how near they are.
pub(crate) struct Meter {
    root: PathBuf,
    groups: Vec<(Group, u64)>,
    /// The least of the process's own limits.
    own: Option<u64>,
    until_look: u32,
}

impl Meter {
    /// `root` is `/`, or a folder that stands for it.
    pub(crate) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            groups: Vec::new(),
            own: None,
            until_look: 0,
        }
    }

    /// The limit that is nearest, `setting` being `gateway.memory`; `None` without any.
    pub(crate) fn read(&mut self, setting: Option<u64>) -> Option<Reading> {
        if self.until_look == 0 {
            self.look();
        }
        self.until_look = self.until_look.saturating_sub(1);
        if setting.is_none() && self.own.is_none() && self.groups.is_empty() {
            return None;
        }
        let own = self.own_use();
        let mut readings = Vec::new();
        for (limit, source) in [(setting, "gateway.memory"), (self.own, "rlimit")] {
            if let Some(limit) = limit {
                readings.push(Reading {
                    used: own,
                    limit,
                    source: source.to_owned(),
                });
            }
        }
        for (group, limit) in &self.groups {
            let used = group.used().unwrap_or(own);
            readings.push(Reading {
                // Where others fill the group, nothing that this node gives back would help.
                used: if own >= limit / 10 { used } else { own },
                limit: *limit,
                source: group.folder.display().to_string(),
            });
        }
        readings.into_iter().max_by_key(Reading::percent)
    }

    fn look(&mut self) {
        self.until_look = LOOK_AGAIN;
        let groups = Group::all(&self.root).into_iter();
        self.groups = groups
            .filter_map(|group| {
                let limit = group.limit().filter(|limit| *limit > 0)?;
                Some((group, limit))
            })
            .collect();
        let limits = [Resource::Data, Resource::As];
        let limits = limits.map(|resource| getrlimit(resource).current);
        self.own = limits.into_iter().flatten().filter(|one| *one > 0).min();
    }

    /// Bytes of memory that this process has to itself and that are in place.
    fn own_use(&self) -> u64 {
        // proc_pid_status(5), in kibibytes.
        let text = fs::read_to_string(self.root.join("proc/self/status")).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let number = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
        number.unwrap_or(0) << 10
    }
}
