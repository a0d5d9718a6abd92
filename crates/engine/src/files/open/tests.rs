// SPDX-License-Identifier: Apache-2.0
use super::walk;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use std::fs::{create_dir_all, remove_dir_all, write};
use std::os::unix::fs::symlink;
use tidegate_config::Symlinks;

#[test]
fn the_walk_without_openat2_stays_below_the_root() {
    let folder = std::env::temp_dir().join(format!("tidegate-walk-{}", std::process::id()));
    create_dir_all(folder.join("root/a/b")).unwrap();
    write(folder.join("outside"), "").unwrap();
    for file in ["root/x", "root/a/b/y"] {
        write(folder.join(file), "").unwrap();
    }
    symlink("../outside", folder.join("root/out")).unwrap();
    symlink("x", folder.join("root/in")).unwrap();
    symlink("a", folder.join("root/folder")).unwrap();
    symlink("../..", folder.join("root/a/up")).unwrap();
    symlink("/", folder.join("root/top")).unwrap();
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let root = openat(CWD, folder.join("root"), flags, Mode::empty()).unwrap();
    let walked = |name: &str, symlinks| walk(&root, name.as_bytes(), flags, symlinks).err();
    for symlinks in [Symlinks::Inside, Symlinks::Refuse] {
        for name in [".", "x", "a", "a/b", "a/b/y", "./a/./b/y"] {
            assert_eq!(walked(name, symlinks), None, "{name}");
        }
        for name in [
            "..",
            "../outside",
            "a/..",
            "a/../../outside",
            "a/b/../../../outside",
        ] {
            assert_eq!(walked(name, symlinks), Some(Errno::XDEV), "{name}");
        }
        // A link at the end, wherever it leads; one on the way is no folder.
        for name in ["out", "in", "a/up", "top"] {
            assert_eq!(walked(name, symlinks), Some(Errno::LOOP), "{name}");
        }
        for name in ["folder/b/y", "a/up/outside", "top/etc", "out/x", "x/y"] {
            let error = walked(name, symlinks);
            assert!(
                matches!(error, Some(Errno::NOTDIR | Errno::LOOP)),
                "{name}: {error:?}"
            );
        }
    }
    assert_eq!(walked("out", Symlinks::UnsafeAnywhere), None);
    remove_dir_all(folder).unwrap();
}
