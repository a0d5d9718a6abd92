// SPDX-License-Identifier: Apache-2.0
//! Opens names below a root and reads what they hold.
use super::plan::FilesPlan;
use rustix::fs::{CWD, FileType, Mode, OFlags, Stat, fstat, openat};
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use tidegate_config::Symlinks;

/// How often a read is tried again when the file changed meanwhile.
const TRIES: usize = 3;

/// Whether a call may wait for a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Only what the kernel has in memory.
    Now,
    /// As long as it takes: not on a thread with traffic.
    Any,
}

/// Why there is no file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The disk would have to be asked: try again with [`Patience::Any`].
    Wait,
    /// Nothing that may be sent has this name.
    Missing(&'static str),
    /// It is there, and not to be read by this process.
    Forbidden(&'static str),
    /// It could not be found out.
    Failed(&'static str),
}

/// What tells one state of a file from another on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
    changed: (i64, i64),
    /// Seconds and nanoseconds since 1970.
    pub(crate) modified: (i64, i64),
    pub(crate) length: u64,
}

impl Identity {
    #[allow(clippy::unnecessary_cast)] // the widths differ by platform
    pub(crate) fn of(stat: &Stat) -> Self {
        Self {
            device: stat.st_dev as u64,
            inode: stat.st_ino as u64,
            changed: (stat.st_ctime as i64, stat.st_ctime_nsec as i64),
            modified: (stat.st_mtime as i64, stat.st_mtime_nsec as i64),
            length: u64::try_from(stat.st_size).unwrap_or_default(),
        }
    }
}

/// Something that was opened.
pub(crate) enum Opened {
    File(OwnedFd, Identity),
    Folder(OwnedFd),
}

/// Opens the root itself.
pub(crate) fn root(plan: &FilesPlan, patience: Patience) -> Result<OwnedFd, Trouble> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = match patience {
        Patience::Now => root_now(&plan.settings.root, flags),
        Patience::Any => openat(CWD, plan.settings.root.as_str(), flags, Mode::empty()),
    };
    opened.map_err(|error| match error {
        Errno::AGAIN => Trouble::Wait,
        _ => Trouble::Failed("the root folder can not be opened"),
    })
}

/// Opens `name`, which `tidegate_files::name` has judged, below `root`. A pipe or a device is opened
/// without waiting for its other side and closed again.
pub(crate) fn below(
    root: &OwnedFd,
    name: &[u8],
    plan: &FilesPlan,
    patience: Patience,
) -> Result<Opened, Trouble> {
    let name = if name.is_empty() { b"." } else { name };
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let opened = resolve(root, name, flags, plan.settings.symlinks, patience);
    let fd = opened.map_err(trouble)?;
    let stat = fstat(&fd).map_err(|_| Trouble::Failed("a file can not be looked at"))?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(Opened::File(fd, Identity::of(&stat))),
        FileType::Directory => Ok(Opened::Folder(fd)),
        _ => Err(Trouble::Missing("neither a file nor a folder")),
    }
}

fn trouble(error: Errno) -> Trouble {
    match error {
        Errno::AGAIN => Trouble::Wait,
        Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG | Errno::INVAL => {
            Trouble::Missing("no such file")
        }
        Errno::XDEV => Trouble::Missing("a link that leads out of the folder"),
        Errno::LOOP => Trouble::Missing("a link that is not followed"),
        Errno::ACCESS | Errno::PERM => Trouble::Forbidden("the file may not be read"),
        // A socket, or a device without a driver.
        Errno::NXIO | Errno::NODEV => Trouble::Missing("neither a file nor a folder"),
        _ => Trouble::Failed("a file can not be opened"),
    }
}

#[cfg(target_os = "linux")]
fn root_now(path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    use rustix::fs::{ResolveFlags, openat2};
    match openat2(CWD, path, flags, Mode::empty(), ResolveFlags::CACHED) {
        // A kernel without the call, or without this flag.
        Err(Errno::NOSYS | Errno::PERM | Errno::INVAL) => Err(Errno::AGAIN),
        opened => opened,
    }
}

#[cfg(not(target_os = "linux"))]
fn root_now(_: &str, _: OFlags) -> Result<OwnedFd, Errno> {
    Err(Errno::AGAIN)
}

/// The kernel itself keeps the way below the root, whatever is renamed meanwhile (openat2(2)).
#[cfg(target_os = "linux")]
fn resolve(
    root: &OwnedFd,
    name: &[u8],
    flags: OFlags,
    symlinks: Symlinks,
    patience: Patience,
) -> Result<OwnedFd, Errno> {
    use rustix::fs::{ResolveFlags, openat2};
    let mut how = ResolveFlags::NO_MAGICLINKS;
    match symlinks {
        Symlinks::Inside => how |= ResolveFlags::BENEATH,
        Symlinks::Refuse => how |= ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS,
        Symlinks::UnsafeAnywhere => {}
    }
    if patience == Patience::Now {
        how |= ResolveFlags::CACHED;
    }
    for _ in 0..TRIES {
        match openat2(root, name, flags, Mode::empty(), how) {
            // With patience it means that something was renamed on the way.
            Err(Errno::AGAIN) if patience == Patience::Any => {}
            // A kernel or a container that does not know the call or this flag of it.
            Err(Errno::NOSYS | Errno::PERM) if patience == Patience::Now => {
                return Err(Errno::AGAIN);
            }
            Err(Errno::INVAL) if patience == Patience::Now => return Err(Errno::AGAIN),
            Err(Errno::NOSYS | Errno::PERM) => return walk(root, name, flags, symlinks),
            opened => return opened,
        }
    }
    Err(Errno::IO)
}

#[cfg(not(target_os = "linux"))]
fn resolve(
    root: &OwnedFd,
    name: &[u8],
    flags: OFlags,
    symlinks: Symlinks,
    patience: Patience,
) -> Result<OwnedFd, Errno> {
    match patience {
        Patience::Now => Err(Errno::AGAIN),
        Patience::Any => walk(root, name, flags, symlinks),
    }
}

/// Without openat2: one segment after the other, and no link is followed, since only the kernel could
/// say where it leads without being raced.
fn walk(root: &OwnedFd, name: &[u8], flags: OFlags, symlinks: Symlinks) -> Result<OwnedFd, Errno> {
    if symlinks == Symlinks::UnsafeAnywhere {
        return openat(root, name, flags, Mode::empty());
    }
    let flags = flags | OFlags::NOFOLLOW;
    let folder = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut held: Option<OwnedFd> = None;
    let mut segments = name.split(|byte| *byte == b'/').peekable();
    while let Some(segment) = segments.next() {
        // No name has one; here it would lead out, where openat2 would refuse it.
        if segment == b".." {
            return Err(Errno::XDEV);
        }
        let flags = if segments.peek().is_some() {
            folder
        } else {
            flags
        };
        let at = held.as_ref().unwrap_or(root);
        held = Some(openat(at, segment, flags, Mode::empty())?);
    }
    held.ok_or(Errno::NOENT)
}

/// All of a small file, in one state of it.
pub(crate) fn read_all(
    fd: &OwnedFd,
    identity: &mut Identity,
    patience: Patience,
) -> Result<Box<[u8]>, Trouble> {
    for _ in 0..TRIES {
        let mut bytes = vec![0; identity.length as usize];
        let count = read_at(fd, &mut bytes, 0, patience)?;
        let stat = fstat(fd).map_err(|_| Trouble::Failed("a file can not be looked at"))?;
        let after = Identity::of(&stat);
        if count == bytes.len() && after == *identity {
            return Ok(bytes.into());
        }
        *identity = after;
        if identity.length > bytes.len() as u64 * 2 + (1 << 16) {
            break;
        }
    }
    Err(Trouble::Failed("the file keeps changing"))
}

/// Fills `bytes` from `offset` on, or as much of it as there is.
pub(crate) fn read_at(
    fd: &OwnedFd,
    bytes: &mut [u8],
    offset: u64,
    patience: Patience,
) -> Result<usize, Trouble> {
    let mut count = 0;
    while let Some(rest) = bytes.get_mut(count..).filter(|rest| !rest.is_empty()) {
        match read_some(fd, rest, offset + count as u64, patience) {
            Ok(0) => break,
            Ok(more) => count += more,
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Err(Trouble::Wait),
            Err(_) => return Err(Trouble::Failed("a file can not be read")),
        }
    }
    Ok(count)
}

#[cfg(target_os = "linux")]
fn read_some(
    fd: &OwnedFd,
    bytes: &mut [u8],
    offset: u64,
    patience: Patience,
) -> Result<usize, Errno> {
    use rustix::io::{ReadWriteFlags, preadv2};
    use std::io::IoSliceMut;
    if patience == Patience::Now {
        let mut slices = [IoSliceMut::new(bytes)];
        match preadv2(fd, &mut slices, offset, ReadWriteFlags::NOWAIT) {
            // A file system that can not say, such as one over a network or over another.
            Err(Errno::OPNOTSUPP) if !is_in_memory(fd) => return Err(Errno::AGAIN),
            Err(Errno::OPNOTSUPP) => {}
            outcome => return outcome,
        }
    }
    rustix::io::pread(fd, bytes, offset)
}

/// Whether the file system has no disk at all.
#[cfg(target_os = "linux")]
fn is_in_memory(fd: &OwnedFd) -> bool {
    /// Of tmpfs and ramfs (statfs(2)).
    const IN_MEMORY: [u64; 2] = [0x0102_1994, 0x8584_58f6];
    #[allow(clippy::unnecessary_cast)] // the width differs by platform
    rustix::fs::fstatfs(fd).is_ok_and(|told| IN_MEMORY.contains(&(told.f_type as u64)))
}

#[cfg(not(target_os = "linux"))]
fn read_some(fd: &OwnedFd, bytes: &mut [u8], offset: u64, _: Patience) -> Result<usize, Errno> {
    rustix::io::pread(fd, bytes, offset)
}

#[cfg(test)]
mod tests;
