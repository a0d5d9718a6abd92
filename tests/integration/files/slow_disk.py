# SPDX-License-Identifier: Apache-2.0
"""A disk that waits for as long as a test wants: a small server of the kernel's FUSE protocol."""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

_LIBC = ctypes.CDLL(None, use_errno=True)
_DETACH = 2
_ROOT = 1
_FOREVER = 1 << 30
"""Seconds that the kernel may remember names and attributes."""
_IN = struct.Struct("<IIQQIIIHH")
_OUT = struct.Struct("<IiQ")
_ATTRIBUTES = struct.Struct("<6Q10I")
_READ = struct.Struct("<QQI")
LOOKUP, _FORGET, _GETATTR, _OPEN, READ, _INIT, _BATCH_FORGET = 1, 2, 3, 14, 15, 26, 42
_RELEASE, _STATFS, _FLUSH, _OPENDIR, _RELEASEDIR = 18, 17, 25, 27, 29
_DIRECT_IO = 1
"""What is open is not kept in the kernel's memory."""


class SlowDisk:
    """One folder of files that are only read, mounted at `folder`."""

    def __init__(self, folder: Path, files: Mapping[str, bytes], *, is_kept: bool = True) -> None:
        self._names = list(files)
        self._contents = list(files.values())
        self._is_kept = is_kept
        self._lock = threading.Condition()
        self._held_kind: int | None = None
        self._held: list[bytes] = []
        self._device = _mount(folder)
        self._folder = folder
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def hold(self, kind: int) -> None:
        """From now on questions of this kind (`LOOKUP`, `READ`) wait."""
        with self._lock:
            self._held_kind = kind

    def is_asked(self) -> bool:
        """Whether a question waits."""
        with self._lock:
            return bool(self._held)

    def release(self) -> None:
        """Answers all that wait, and what comes from now on."""
        with self._lock:
            self._held_kind = None
            held, self._held = self._held, []
        for message in held:
            self._answer(message)

    def close(self) -> None:
        self.release()
        _LIBC.umount2(os.fsencode(self._folder), _DETACH)
        self._thread.join(20)

    def _serve(self) -> None:
        while True:
            try:
                message = os.read(self._device, 1 << 18)
            except OSError as error:
                if error.errno in (errno.EINTR, errno.ENOENT, errno.EAGAIN):
                    continue
                # ENODEV: it is mounted no more.
                os.close(self._device)
                return
            with self._lock:
                if self._held_kind == _IN.unpack_from(message)[1]:
                    self._held.append(message)
                    continue
            self._answer(message)

    def _answer(self, message: bytes) -> None:
        _, kind, unique, node, *_ = _IN.unpack_from(message)
        if kind in (_FORGET, _BATCH_FORGET):
            return
        told = self._told(kind, node, message[_IN.size :])
        error, body = (told, b"") if isinstance(told, int) else (0, told)
        try:
            os.write(self._device, _OUT.pack(_OUT.size + len(body), -error, unique) + body)
        except OSError as failure:
            # Whoever asked is gone, or the mount is.
            if failure.errno not in (errno.ENOENT, errno.ENODEV):
                raise

    def _told(self, kind: int, node: int, asked: bytes) -> bytes | int:
        if kind == _INIT:
            return struct.pack("<4I2H2I2H8I", 7, 31, 0, 0, 8, 8, 1 << 16, 1, 0, 0, *[0] * 8)
        if kind == LOOKUP:
            name = os.fsdecode(asked.rstrip(b"\0"))
            if name not in self._names:
                return errno.ENOENT
            found = self._names.index(name) + _ROOT + 1
            return struct.pack("<4Q2I", found, 0, _FOREVER, _FOREVER, 0, 0) + self._attributes(found)
        if kind == _GETATTR:
            return struct.pack("<Q2I", _FOREVER, 0, 0) + self._attributes(node)
        if kind in (_OPEN, _OPENDIR):
            return struct.pack("<Q2I", 0, 0 if self._is_kept else _DIRECT_IO, 0)
        if kind == READ:
            _, offset, size = _READ.unpack_from(asked)
            return self._contents[node - _ROOT - 1][offset : offset + size]
        if kind in (_RELEASE, _RELEASEDIR, _FLUSH):
            return b""
        return struct.pack("<5Q10I", *[0] * 15) if kind == _STATFS else errno.ENOSYS

    def _attributes(self, node: int) -> bytes:
        is_root = node == _ROOT
        mode = stat.S_IFDIR | 0o755 if is_root else stat.S_IFREG | 0o644
        size = 0 if is_root else len(self._contents[node - _ROOT - 1])
        then = 784_111_777
        return _ATTRIBUTES.pack(
            node, size, -(-size // 512), then, then, then, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0
        )  # fmt: skip


def _mount(folder: Path) -> int:
    """The descriptor of the kernel's side."""
    name = Path("/dev/fuse")
    try:
        if not name.exists():
            # A container may lack the name alone.
            name = folder.parent / "fuse"
            os.mknod(name, stat.S_IFCHR | 0o600, os.makedev(10, 229))
        device = os.open(name, os.O_RDWR)
    except OSError as error:
        pytest.skip(f"no FUSE for a test: {name}: {error.strerror}")
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions"
    if _LIBC.mount(b"slow", os.fsencode(folder), b"fuse.slow", 1, options.encode()) != 0:
        reason = os.strerror(ctypes.get_errno())
        os.close(device)
        pytest.skip(f"no FUSE for a test: mount: {reason}")
    return device


@contextmanager
def over_fuse(folder: Path, files: Mapping[str, bytes]) -> Iterator[tuple[SlowDisk, Path]]:
    """The files on a file system that can not say what it has in memory."""
    root = folder / "root"
    root.mkdir()
    disk = SlowDisk(root, files)
    try:
        yield disk, root
    finally:
        disk.close()


@contextmanager
def over_ext4(folder: Path, files: Mapping[str, bytes]) -> Iterator[tuple[SlowDisk, Path]]:
    """The files on ext4, which can say it, on a disk that is a file on a slow file system."""
    source, root, below = (folder / name for name in ("source", "root", "below"))
    for each in (source, root, below):
        each.mkdir()
    for name, content in files.items():
        (source / name).write_bytes(content)
    image = folder / "image"
    making = ["mke2fs", "-q", "-t", "ext4", "-d", str(source), str(image), "16M"]
    subprocess.run(making, check=True, timeout=60, env=_environment())
    disk = SlowDisk(below, {"disk": image.read_bytes()}, is_kept=False)
    try:
        mounting = ["mount", "-o", "loop,ro,noload", str(below / "disk"), str(root)]
        mounted = subprocess.run(
            mounting, capture_output=True, text=True, timeout=60, check=False, env=_environment()
        )
        if mounted.returncode != 0:
            pytest.skip(f"no loop device for a test: {mounted.stderr.strip()}")
        try:
            yield disk, root
        finally:
            disk.release()
            # The loop device goes with its last user.
            _LIBC.umount2(os.fsencode(root), _DETACH)
    finally:
        disk.close()


def _environment() -> dict[str, str]:
    return {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin", "LC_ALL": "C"}
