# SPDX-License-Identifier: Apache-2.0
"""No path, link or race leads out of the folder."""

import itertools
import os
import random
import threading
from pathlib import Path

import pytest

from tidegate.testing import Wire

from .site import ask, serving, write

SECRET = b"this must never be sent"
_DOTS = [
    "..",
    "%2e%2e",
    "%2E.",
    ".%2e",
    "%252e%252e",
    "..;",
    "..%3b",
    "%c0%ae%c0%ae",
    "%e0%80%ae.",
    "...",
    ". .",
]
_SLASHES = ["/", "%2f", "%2F", "%252f", "\\", "%5c", "%255c", "//", "/./", "%c0%af", ";/", "%00/"]


def _site(tmp_path: Path) -> Path:
    write(tmp_path / "secret.txt", SECRET)
    write(tmp_path / "root" / "sub" / "f.txt", "fine")
    write(tmp_path / "root-secret" / "secret.txt", SECRET)
    return tmp_path / "root"


def test_no_spelling_of_a_path_leads_out(tmp_path: Path) -> None:
    root = _site(tmp_path)
    targets = [
        f"/{start}{dots}{slash}secret.txt"
        for start, dots, slash in itertools.product(("", "sub/", "sub%2f"), _DOTS, _SLASHES)
    ]
    targets += [
        f"/{dots}{slash}{dots}{slash}etc{slash}passwd" for dots, slash in itertools.product(_DOTS, _SLASHES)
    ]
    targets += [f"/sub{slash}{dots}{slash}{dots}{slash}secret.txt" for dots in _DOTS for slash in _SLASHES]
    targets += [
        "/../secret.txt%00.html",
        f"/{tmp_path}/secret.txt",
        f"//{tmp_path}/secret.txt",
        "/..",
        "/../",
    ]
    targets += ["/-secret/secret.txt", "/%2e%2e/root-secret/secret.txt", "/proc/self/root/etc/passwd"]
    with serving(root, "listing: true, hidden: true, suffixes: [.txt]") as running:
        for target in targets:
            line = f"GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode("latin-1")
            with Wire(("127.0.0.1", running.port)) as wire:
                wire.send(line, "GET")
                assert wire.wait_final(1), target
                answer = wire.final_responses[0]
            assert answer.status in (400, 404), (target, answer.status)
            assert SECRET not in answer.raw and b"root:" not in answer.raw
        assert ask(running, "/sub/f.txt").status == 200


def test_random_bytes_in_a_path_lead_nowhere(tmp_path: Path) -> None:
    root = _site(tmp_path)
    seed = random.SystemRandom().getrandbits(32)
    draw = random.Random(seed)
    pieces = [
        *_DOTS,
        *_SLASHES,
        "sub",
        "secret.txt",
        "root-secret",
        "f.txt",
        "a",
        "%ff",
        "%0d%0a",
        "~",
        "%25",
    ]
    with serving(root, "listing: true, hidden: true") as running:
        for _ in range(400):
            target = "/" + "".join(draw.choices(pieces, k=draw.randint(1, 6))).replace(" ", "%20")
            with Wire(("127.0.0.1", running.port)) as wire:
                wire.send(f"GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode(), "GET")
                assert wire.wait_final(1), (seed, target)
                assert SECRET not in wire.final_responses[0].raw, (seed, target)


def test_hidden_names_are_not_there(tmp_path: Path) -> None:
    for name in (
        ".env",
        ".git/config",
        "sub/.htpasswd",
        ".well-known/acme-challenge/token",
        ".well-known/.x",
    ):
        write(tmp_path / name, "x")
    with serving(tmp_path) as running:
        for target in ("/.env", "/.git/config", "/sub/.htpasswd", "/%2eenv", "/.well-known/.x"):
            assert ask(running, target).status == 404, target
        assert ask(running, "/.well-known/acme-challenge/token").status == 200
    with serving(tmp_path, "hidden: true") as running:
        assert ask(running, "/.env").status == 200


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("inside", {"near": 200, "loop": 404, "far": 404, "up": 404, "folder/f.txt": 200, "etc/passwd": 404}),
        ("refuse", {"near": 404, "loop": 404, "far": 404, "up": 404, "folder/f.txt": 404, "etc/passwd": 404}),
        (
            "unsafe_anywhere",
            {"near": 200, "loop": 404, "far": 200, "up": 200, "folder/f.txt": 200, "etc/passwd": 200},
        ),
    ],
)
def test_links_are_followed_as_the_setting_says(
    tmp_path: Path, policy: str, expected: dict[str, int]
) -> None:
    root = _site(tmp_path)
    (root / "near").symlink_to("sub/f.txt")
    (root / "folder").symlink_to("sub")
    (root / "loop").symlink_to("loop")
    (root / "far").symlink_to(tmp_path / "secret.txt")
    (root / "up").symlink_to("../secret.txt")
    (root / "etc").symlink_to("/etc")
    (root / "magic").symlink_to("/proc/self/root/etc/passwd")
    with serving(root, f"symlinks: {policy}") as running:
        assert {name: ask(running, f"/{name}").status for name in expected} == expected
        assert ask(running, "/magic").status == 404


def test_a_link_that_is_swapped_all_the_time_never_leads_out(tmp_path: Path) -> None:
    root = _site(tmp_path)
    write(tmp_path / "outside" / "f.txt", SECRET)
    (tmp_path / "inner").symlink_to("sub")
    (tmp_path / "outer").symlink_to(tmp_path / "outside")
    over = threading.Event()

    def swap() -> None:
        for target in itertools.cycle(("sub", str(tmp_path / "outside"), "../outside")):
            if over.is_set():
                return
            link = root / "new"
            link.symlink_to(target)
            os.replace(link, root / "folder")

    (root / "folder").symlink_to("sub")
    swapping = threading.Thread(target=swap)
    with serving(root) as running:
        swapping.start()
        try:
            statuses = set()
            for _ in range(400):
                answer = ask(running, "/folder/f.txt")
                assert SECRET not in answer.raw
                statuses.add(answer.status)
        finally:
            over.set()
            swapping.join()
    assert statuses <= {200, 404, 500}


def test_a_root_that_is_a_link_may_be_switched(tmp_path: Path) -> None:
    write(tmp_path / "one" / "f.txt", "one")
    write(tmp_path / "two" / "f.txt", "two")
    (tmp_path / "current").symlink_to("one")
    with serving(tmp_path / "current") as running:
        assert ask(running, "/f.txt").body == b"one"
        (tmp_path / "next").symlink_to("two")
        os.replace(tmp_path / "next", tmp_path / "current")
        assert ask(running, "/f.txt").body == b"two"
