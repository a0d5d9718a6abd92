# SPDX-License-Identifier: Apache-2.0
"""Settings of files; what needs a longer story is told in tests/integration/files."""

import os
from pathlib import Path

import pytest

from tests.integration.files.site import ask, serving, write
from tidegate.testing.gateways import wait_until

from .kit import shows

_TEXT = "text/plain; charset=utf-8"
_TWO = '"*.js": no-store, "/assets/**": immutable'


@pytest.mark.parametrize(
    ("setting", "target", "headers", "without", "with_it"),
    [
        ("index: [home.htm, f.txt]", "/", [], "/ 200 index", "/ 200 text"),
        ("index: []", "/", [], "/ 200 index", "/ 404"),
        ("suffixes: [.txt]", "/f", [], "/ 404", "/ 200 text"),
        ("fallback: /index.html", "/gone", [], "/ 404", "/ 200 index"),
        ("hidden: true", "/.h", [], "/ 404", "/ 200 hidden"),
        ("symlinks: refuse", "/link", [], "/ 200 text", "/ 404"),
        ("precompressed: [zstd]", "/f.txt", ["Accept-Encoding: zstd"], "/ 200 text", "/ 200 zst"),
        ("ranges: 1", "/f.txt", ["Range: bytes=0-0,-1"], "/ 206 text", "/ 200 text"),
        ("ranges: 0", "/f.txt", ["Range: bytes=0-0"], "/ 206 t", "/ 200 text"),
    ],
)
def test_what_is_sent(
    tmp_path: Path, setting: str, target: str, headers: list[str], without: str, with_it: str
) -> None:
    for name, content in {
        "index.html": "index", "f.txt": "text", ".h": "hidden", "f.txt.zst": "zst",
    }.items():  # fmt: skip
        write(tmp_path / name, content)
    (tmp_path / "link").symlink_to("f.txt")
    for settings, expected in (("", without), (setting, with_it)):
        with serving(tmp_path, settings) as running:
            answer = ask(running, target, *headers)
            seen = f"/ {answer.status}" + (f" {answer.body.decode()}" if answer.status < 300 else "")
            assert seen == expected


@pytest.mark.parametrize(
    ("setting", "target", "field", "without", "with_it"),
    [
        ("types: { .txt: a/b }", "/f.txt", "content-type", _TEXT, "a/b"),
        ("charset: iso-8859-1", "/f.txt", "content-type", _TEXT, "text/plain; charset=iso-8859-1"),
        ("cache_control: no-cache", "/f.txt", "cache-control", None, "no-cache"),
        ('cache_control: { "*.js": no-store }', "/f.txt", "cache-control", None, None),
        (f"cache_control: {{ {_TWO} }}", "/assets/a.js", "cache-control", None, "no-store"),
        ('cache_control: { "/assets/**": immutable }', "/assets/a.js", "cache-control", None, "immutable"),
    ],
)  # fmt: skip
def test_what_is_told_of_it(
    tmp_path: Path, setting: str, target: str, field: str, without: str | None, with_it: str | None
) -> None:
    write(tmp_path / "f.txt", "x")
    write(tmp_path / "assets" / "a.js", "x")
    for settings, expected in (("", without), (setting, with_it)):
        with serving(tmp_path, settings) as running:
            assert ask(running, target).get(field) == expected


def test_a_folder_is_listed_where_that_is_wanted(tmp_path: Path) -> None:
    write(tmp_path / "f.txt", "x")
    for settings, status in (("", 404), ("listing: true", 200)):
        with serving(tmp_path, settings) as running:
            assert ask(running, "/").status == status


@shows("FileCache.validity")
def test_what_was_found_is_believed_for_its_validity(tmp_path: Path) -> None:
    for validity, expected in (("1h", b"one"), ("null", b"two")):
        write(tmp_path / "f", "one")
        with serving(tmp_path, f"cache: {{ validity: {validity} }}") as running:
            assert ask(running, "/f").body == b"one"
            os.replace(write(tmp_path / "new", "two"), tmp_path / "f")
            assert ask(running, "/f").body == expected


def _still_known(tmp_path: Path, settings: str) -> int:
    """Of 20 files that were asked for and then changed, those that are sent as they were."""
    for number in range(20):
        write(tmp_path / f"f{number}", "old" * 1000)
    with serving(tmp_path, f"cache: {{ validity: 1h, {settings} }}") as running:
        for number in range(20):
            assert ask(running, f"/f{number}").status == 200
        for number in range(20):
            write(tmp_path / f"f{number}", "new")
        return [ask(running, f"/f{number}").body for number in range(20)].count(b"old" * 1000)


@shows("FileCache.entries")
def test_no_more_names_than_entries_are_remembered(tmp_path: Path) -> None:
    assert _still_known(tmp_path, "entries: 500") == 20
    assert _still_known(tmp_path, "entries: 4") <= 4


@shows("FileCache.memory")
def test_no_more_bytes_than_memory_are_remembered(tmp_path: Path) -> None:
    assert _still_known(tmp_path, "memory: 12KiB") <= 4


@shows("FileCache.file_size")
def test_large_files_are_kept_open_and_not_in_memory(tmp_path: Path) -> None:
    write(tmp_path / "f", b"x" * 1000)
    for size, is_open in (("1000B", False), ("999B", True)):
        settings = f"cache: {{ validity: 1h, file_size: {size} }}"
        with serving(tmp_path, settings) as running:
            assert ask(running, "/f").status == 200
            folder = Path(f"/proc/{running.status()['pid']}/fd")

            def is_held(folder: Path = folder) -> bool:
                found = []
                for link in folder.iterdir():
                    try:
                        found.append(os.readlink(link))
                    except OSError:
                        continue
                return str(tmp_path / "f") in found

            assert wait_until(is_held, 1) == is_open
