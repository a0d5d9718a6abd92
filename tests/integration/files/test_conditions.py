# SPDX-License-Identifier: Apache-2.0
"""Validators and ranges, on our own and beside nginx where both follow the same words of RFC 9110."""

import os
import re
from pathlib import Path

import pytest

from tidegate.testing import Message

from .site import DATE, THEN, ask, nginx, serving, write

_BEFORE, _AFTER = "Sun, 06 Nov 1994 08:49:36 GMT", "Sun, 06 Nov 1994 08:49:38 GMT"
_CONTENT = bytes(range(256)) * 40


def parts_of(answer: Message) -> list[tuple[str, bytes]]:
    """`Content-Range` and content of each part of a 206."""
    kind = answer.get("content-type") or ""
    if not kind.startswith("multipart/byteranges"):
        return [(answer.get("content-range") or "", answer.body)]
    boundary = kind.partition("boundary=")[2].encode()
    found = []
    *parts, end = answer.body.split(b"\r\n--" + boundary)[1:]
    assert end == b"--\r\n"
    for part in parts:
        head, _, content = part.partition(b"\r\n\r\n")
        place = re.search(rb"(?i)content-range: (.*)", head)
        assert place is not None
        found.append((place[1].decode().strip(), content))
    return found


_SAME_AS_NGINX = [
    [],
    [f"If-Modified-Since: {DATE}"],
    ["If-Modified-Since: Sunday, 06-Nov-94 08:49:37 GMT"],
    ["If-Modified-Since: Sun Nov  6 08:49:37 1994"],
    [f"If-Modified-Since: {_BEFORE}"],
    ["If-Modified-Since: nonsense"],
    [f"If-Unmodified-Since: {DATE}"],
    [f"If-Unmodified-Since: {_BEFORE}"],
    [f"If-Unmodified-Since: {_AFTER}"],
    ["If-None-Match: TAG"],
    ["If-None-Match: W/TAG"],
    ['If-None-Match: "x", TAG, "y"'],
    ['If-None-Match: "x"'],
    ["If-None-Match: *"],
    ['If-None-Match: "x"', f"If-Modified-Since: {DATE}"],
    ["If-Match: TAG"],
    ['If-Match: "x"'],
    ["If-Match: *"],
    ["If-Match: TAG", f"If-Unmodified-Since: {DATE}"],
    ["Range: bytes=0-0"],
    ["Range: bytes=0-499"],
    ["Range: bytes=500-"],
    ["Range: bytes=-500"],
    ["Range: bytes=-999999"],
    ["Range: bytes=10000-99999"],
    ["Range: bytes=0-0,5000-5001,-1"],
    ["Range: bytes=99999-"],
    ["Range: bytes=20000-30000"],
    ["Range: bytes=0-9", "If-Range: TAG"],
    ["Range: bytes=0-9", 'If-Range: "x"'],
    ["Range: bytes=0-9", f"If-Range: {DATE}"],
    ["Range: bytes=0-9", f"If-Range: {_BEFORE}"],
    ["Range: bytes=0-9", "If-None-Match: TAG"],
    ["Range: items=0-9"],
]


@pytest.mark.parametrize("size", [len(_CONTENT), 200_000], ids=["memory", "file"])
def test_validators_and_ranges_are_answered_as_by_nginx(tmp_path: Path, size: int) -> None:
    write(tmp_path / "f.txt", (_CONTENT * 20)[:size])
    with serving(tmp_path) as running, nginx(tmp_path, "if_modified_since before;") as port:
        ours, theirs = (str(ask(one, "/f.txt").get("etag")) for one in (running, port))
        for headers in _SAME_AS_NGINX:
            for method in ("GET", "HEAD"):
                if method == "HEAD" and headers and headers[0].startswith("Range"):
                    # RFC 9110 §14.2 defines ranges of GET alone; nginx answers them to HEAD.
                    continue
                one = ask(running, "/f.txt", *(line.replace("TAG", ours) for line in headers), method=method)
                other = ask(port, "/f.txt", *(line.replace("TAG", theirs) for line in headers), method=method)
                assert one.status == other.status, (method, headers)
                if one.status in (200, 206):
                    assert parts_of(one) == parts_of(other), headers
                    assert one.get("last-modified") == other.get("last-modified") == DATE
                if one.status == 416:
                    assert one.get("content-range") == other.get("content-range")


def test_rfc9110_13_1_3_a_tag_that_fits_outweighs_the_date(tmp_path: Path) -> None:
    # nginx wants both to fit.
    write(tmp_path / "f.txt", "x")
    with serving(tmp_path) as running:
        tag = ask(running, "/f.txt").get("etag")
        assert ask(running, "/f.txt", f"If-None-Match: {tag}", f"If-Modified-Since: {_BEFORE}").status == 304


def test_a_304_has_no_body_and_the_fields_of_a_200(tmp_path: Path) -> None:
    write(tmp_path / "f.txt", "x")
    with serving(tmp_path, "cache_control: no-cache, precompressed: [gzip]") as running:
        whole = ask(running, "/f.txt")
        answer = ask(running, "/f.txt", f"If-None-Match: {whole.get('etag')}")
        assert (answer.status, answer.body, answer.get("content-length")) == (304, b"", None)
        for name in ("etag", "cache-control", "vary"):
            assert answer.get(name) == whole.get(name) is not None


def test_near_and_overlapping_ranges_become_one(tmp_path: Path) -> None:
    write(tmp_path / "f", _CONTENT)
    with serving(tmp_path) as running:
        answer = ask(running, "/f", "Range: bytes=0-99,50-149,160-199")
        assert parts_of(answer) == [("bytes 0-199/10240", _CONTENT[:200])]
        answer = ask(running, "/f", "Range: bytes=9000-9009,0-9")
        assert parts_of(answer) == [
            ("bytes 0-9/10240", _CONTENT[:10]),
            ("bytes 9000-9009/10240", _CONTENT[9000:9010]),
        ]
        assert (answer.get("content-type") or "").startswith("multipart/byteranges; boundary=")
        assert answer.get("content-length") == str(len(answer.body))


def test_a_huge_list_of_ranges_costs_no_more_than_the_file(tmp_path: Path) -> None:
    write(tmp_path / "f", _CONTENT)
    overlapping = "bytes=" + ",".join(f"0-{end}" for end in range(1300))
    apart = "bytes=" + ",".join(f"{start}-{start}" for start in range(0, 9000, 100))
    with serving(tmp_path) as running:
        for field in (overlapping, apart, "bytes=" + "0-," * 2000, "bytes=" + "," * 5000):
            answer = ask(running, "/f", f"Range: {field}")
            assert (answer.status, answer.body) == (200, _CONTENT), field[:40]
        answer = ask(running, "/f", "Range: bytes=0-0", "Range: bytes=5-5")
        assert answer.status == 200


def test_ranges_of_a_large_file_come_from_their_places(tmp_path: Path) -> None:
    content = os.urandom(2_000_000)
    write(tmp_path / "f", content)
    with serving(tmp_path) as running:
        for start, end in [(0, 0), (1, 700_000), (524_287, 524_289), (1_999_999, 1_999_999), (0, 1_999_999)]:
            answer = ask(running, "/f", f"Range: bytes={start}-{end}")
            assert (answer.status, answer.body) == (206, content[start : end + 1])
        answer = ask(running, "/f", "Range: bytes=0-9,600000-1300000,-10")
        assert [part for _, part in parts_of(answer)] == [
            content[:10],
            content[600_000:1_300_001],
            content[-10:],
        ]


def test_a_file_changed_a_moment_ago_has_a_weak_tag(tmp_path: Path) -> None:
    import time

    write(tmp_path / "f", "x", at=time.time())
    with serving(tmp_path) as running:
        tag = ask(running, "/f").get("etag") or ""
        if tag.startswith("W/"):
            assert ask(running, "/f", f"If-None-Match: {tag}").status == 304
            assert ask(running, "/f", f"If-Match: {tag}").status == 412
            assert ask(running, "/f", "Range: bytes=0-0", f"If-Range: {tag}").status == 200


@pytest.mark.parametrize("at", [0, 1])
def test_a_time_that_tells_nothing_is_no_validator(tmp_path: Path, at: int) -> None:
    # Packagers that want the same bytes each time set it for every file alike.
    write(tmp_path / "f", "x", at=at)
    with serving(tmp_path) as running:
        answer = ask(running, "/f")
        assert (answer.get("etag"), answer.get("last-modified")) == (None, None)
        assert ask(running, "/f", "If-Modified-Since: Thu, 01 Jan 1970 00:00:01 GMT").status == 200


def test_a_time_to_come_is_not_told(tmp_path: Path) -> None:
    write(tmp_path / "f", "x", at=4_000_000_000)
    with serving(tmp_path) as running:
        answer = ask(running, "/f")
        assert answer.get("last-modified") == answer.get("date")


def test_copies_on_two_nodes_have_the_same_tag(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write(tmp_path / name / "f", "same", at=THEN)
    with serving(tmp_path / "one") as one, serving(tmp_path / "two") as two:
        assert ask(one, "/f").get("etag") == ask(two, "/f").get("etag")
