# SPDX-License-Identifier: Apache-2.0
"""A log that cannot be written costs lines, which are counted, and no request."""

from __future__ import annotations

import ctypes
import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.ports import free_port
from tidegate.testing import Wire, wait_until

from .site import TIMEOUT, Site

GET = b"GET /%d HTTP/1.1\r\nhost: a\r\n\r\n"
COUNT = 200


def configuration(port: int, log: Path | str) -> dict[str, Any]:
    return {
        "gateway": {"access_log": {"path": str(log)}},
        "listeners": {"web": {"address": "127.0.0.1", "port": port}},
        "routes": [{"path": "/", "to": {"respond": "here"}}],
    }


def ask(port: int, count: int = COUNT, first: int = 0) -> None:
    """That many requests, each answered."""
    with Wire(("127.0.0.1", port), timeout=TIMEOUT) as wire:
        for number in range(count):
            wire.send(GET % (first + number), "GET")
            assert wire.wait_final(number + 1), (number, wire.closed)
        assert {response.status for response in wire.final_responses} == {200}


def dropped(site: Site) -> int:
    return int(site.call("status")["log_dropped"])


def lines(*files: Path) -> list[dict[str, Any]]:
    """The entries of logs; each line must be one. What has no end yet is being written."""
    whole = [line for file in files if file.exists() for line in file.read_text().split("\n")[:-1]]
    return [json.loads(line) for line in whole]


def test_a_full_device_costs_lines_that_are_counted(tmp_path: Path):
    log, port = tmp_path / "access.jsonl", free_port()
    log.symlink_to("/dev/full")
    with Site(tmp_path, configuration(port, log)) as site:
        ask(port)
        assert wait_until(lambda: dropped(site) == COUNT, TIMEOUT), dropped(site)
        # There is room again: without a signal the log goes on.
        log.unlink()
        ask(port, first=1000)
        assert wait_until(lambda: len(lines(log)) == COUNT, TIMEOUT), len(lines(log))
        assert dropped(site) == COUNT


def asked_for(site: Site, log: Path, count: int) -> None:
    """Waits until that many requests are in the log or given up."""
    assert wait_until(lambda: dropped(site) + log.read_text().count("\n") >= count, TIMEOUT)


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """1 MiB of disk; skips where nothing may be mounted."""
    folder.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"none", os.fsencode(folder), b"tmpfs", 0, b"size=1m,mode=0777") != 0:
        pytest.skip(f"no tmpfs for a test: {os.strerror(ctypes.get_errno())}")
    try:
        yield folder
    finally:
        libc.umount2(os.fsencode(folder), 2)


def test_a_disk_that_fills_up_costs_whole_lines_and_is_used_again(tmp_path: Path):
    port = free_port()
    with small_disk(tmp_path / "disk") as disk:
        log, ballast = disk / "access.jsonl", disk / "ballast"
        with Site(tmp_path, configuration(port, log)) as site:
            ask(port)
            assert wait_until(lambda: len(lines(log)) == COUNT, TIMEOUT)
            with open(ballast, "wb", buffering=0) as file:
                try:
                    while file.write(bytes(1024)):
                        pass
                except OSError:
                    pass  # full
            asked = COUNT
            while not dropped(site):
                ask(port, first=asked)
                asked += COUNT
                asked_for(site, log, asked)
            ballast.unlink()
            ask(port, first=1_000_000)
            last = f"/{1_000_000 + COUNT - 1}"
            assert wait_until(lambda: last in log.read_text(), TIMEOUT)
            # Half a line before the end of the space would spoil the next one.
            found = lines(log)
            assert len(found) + dropped(site) == asked + COUNT


@pytest.mark.parametrize("to", ["supervisor", "node"])
def test_sigusr1_opens_a_log_again_that_was_moved_away(tmp_path: Path, to: str):
    log, moved, port = tmp_path / "access.jsonl", tmp_path / "access.1", free_port()
    with Site(tmp_path, configuration(port, log)) as site:
        ask(port)
        assert wait_until(lambda: len(lines(log)) == COUNT, TIMEOUT)
        log.rename(moved)
        ask(port, first=1000)
        assert wait_until(lambda: len(lines(moved)) == 2 * COUNT, TIMEOUT)
        pid = site.supervisor if to == "supervisor" else int(site.call("status")["pid"])
        os.kill(pid, signal.SIGUSR1)
        assert wait_until(log.exists, TIMEOUT)
        ask(port, first=2000)
        assert wait_until(lambda: len(lines(log)) == COUNT, TIMEOUT)
        assert len(lines(moved)) == 2 * COUNT
        assert dropped(site) == 0


def test_a_log_that_is_moved_again_and_again_under_load_loses_no_line(tmp_path: Path):
    log, port = tmp_path / "access.jsonl", free_port()
    with Site(tmp_path, configuration(port, log)) as site:
        for turn in range(10):
            ask(port, first=turn * COUNT)
            assert wait_until(log.exists, TIMEOUT)
            log.rename(tmp_path / f"access.{turn}")
            os.kill(site.supervisor, signal.SIGUSR1)
        files = [tmp_path / f"access.{turn}" for turn in range(10)]
        assert wait_until(lambda: len(lines(log, *files)) == 10 * COUNT, TIMEOUT), len(lines(log, *files))
        assert {entry["path"] for entry in lines(log, *files)} == {f"/{n}" for n in range(10 * COUNT)}
        assert dropped(site) == 0


def test_a_log_in_a_missing_folder_costs_no_request(tmp_path: Path):
    log, port = tmp_path / "later" / "access.jsonl", free_port()
    with Site(tmp_path, configuration(port, log)) as site:
        ask(port)
        assert wait_until(lambda: dropped(site) == COUNT, TIMEOUT)
        log.parent.mkdir()
        ask(port)
        assert wait_until(lambda: len(lines(log)) == COUNT, TIMEOUT)
